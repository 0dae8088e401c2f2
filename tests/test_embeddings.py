"""Vetores de frases: refeitos um a um, sem lote nem preenchimento, e as contas de semelhança contra o numpy."""

import numpy as np
import pytest
import torch
from modelos import modelo_pequeno, um_fio  # noqa: F401

from llmdefinitions.bpe import train_bpe
from llmdefinitions.embeddings import center, cosine_similarities, sentence_vectors
from llmdefinitions.tokenizer import encode

TEXTOS = ["abc", "um texto bem maior que o primeiro e que passa do contexto", "b", "dois tokens"]


@pytest.fixture(scope="module")
def bpe():
    return train_bpe(TEXTOS, 257)


@pytest.fixture
def modelo():
    return modelo_pequeno(vocab_size=257, context_length=20, drop_rate=0.1).train()


@pytest.mark.parametrize("camada", [0, 1, 2, -1])
def test_media_dos_estados_igual_a_de_cada_texto_sozinho(modelo, bpe, camada):
    achado = sentence_vectors(modelo, TEXTOS, bpe, layer=camada, batch_size=3)
    assert modelo.training  # volta ao modo em que estava
    modelo.eval()
    for texto, vetor in zip(TEXTOS, achado, strict=True):
        ids = torch.tensor([[0, *encode(texto, bpe)]])[:, :20]
        x = modelo.tok_emb(ids) + modelo.pos_emb(torch.arange(ids.shape[1]))
        for bloco in modelo.trf_blocks[: camada % 3]:
            x = bloco(x)
        x = modelo.final_norm(x) if camada in (2, -1) else x
        torch.testing.assert_close(
            vetor, x[0, 1:].mean(0).detach(), rtol=1e-4, atol=1e-5
        )  # float32, outra ordem de somas


def test_a_ordem_e_a_dos_textos_e_o_lote_nao_muda_nada(modelo, bpe):
    juntos = sentence_vectors(modelo, TEXTOS, bpe)
    invertidos = sentence_vectors(modelo, TEXTOS[::-1], bpe, batch_size=1)
    torch.testing.assert_close(juntos, invertidos.flip(0), rtol=1e-4, atol=1e-5)


def test_recusas(modelo, bpe):
    for textos in ([], ["a", ""], "solto"):
        with pytest.raises(ValueError, match="texts: esperada uma lista"):
            sentence_vectors(modelo, textos, bpe)
    for camada in (3, -4):
        with pytest.raises(ValueError, match=f"layer={camada}: o modelo tem estados de 0 a 2"):
            sentence_vectors(modelo, ["a"], bpe, layer=camada)


def test_cosseno_igual_ao_do_numpy():
    vetores = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    v = vetores.double().numpy()
    normas = np.linalg.norm(v, axis=1)
    torch.testing.assert_close(
        cosine_similarities(vetores).double(), torch.tensor(v @ v.T / np.outer(normas, normas)), rtol=1e-5, atol=1e-6
    )


def test_centrar_desfaz_uma_direcao_comum():
    vetores = torch.tensor([[101.0, 1.0], [101.0, -1.0], [99.0, 0.0], [99.0, 0.0]])
    assert cosine_similarities(vetores).min() > 0.99
    assert cosine_similarities(center(vetores))[0, 1] == pytest.approx(0.0, abs=1e-6)
    assert center(vetores).sum(0).tolist() == [0.0, 0.0]
    assert center(vetores[:1], vetores).tolist() == [[1.0, 1.0]]
