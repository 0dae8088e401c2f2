"""Probabilidade de documentos: contra um token por vez, em todos os tamanhos e passos, e a contagem de cada token."""

import math
from types import SimpleNamespace

import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modelos import modelo_pequeno, um_fio  # noqa: F401
from preparo import HISTORIAS, nats_um_a_um
from torch import Tensor, nn

from llmdefinitions import get_tokenizer
from llmdefinitions.bpe import train_bpe
from llmdefinitions.scoring import DocumentScore, score_continuations, score_documents, total_bits_per_byte
from llmdefinitions.tokenizer import encode, eos_id

# Só os 256 bytes e o token de fim: um texto de n bytes tem n tokens, e os tamanhos ficam na mão do teste.
BYTES = train_bpe(HISTORIAS[:2], 257)
BPE = train_bpe(HISTORIAS, 320)
CONTEXTO = 12


def modelo(**mudancas) -> nn.Module:
    return modelo_pequeno(**{"vocab_size": 320, "context_length": CONTEXTO, "drop_rate": 0.0, **mudancas}).eval()


class PorId(nn.Module):
    """Dá a cada token a mesma probabilidade em qualquer contexto: o total diz quantas vezes cada um foi contado."""

    def __init__(self, logits: Tensor, contexto: int = CONTEXTO) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.cfg = SimpleNamespace(context_length=contexto)
        self.vistos: list[tuple[int, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.vistos.append(tuple(x.shape))
        assert x.shape[1] <= self.cfg.context_length
        return self.logits.expand(*x.shape, -1)


# --- contra um token por vez -----------------------------------------------------------------------


@pytest.mark.parametrize("passo", [1, 5, 6, CONTEXTO - 1, CONTEXTO])
def test_igual_a_um_token_por_vez(passo):
    # Alvos por documento, com o de fim: 2 a 61, com os tamanhos em que as janelas mudam (12, 13, 18, 24, 25).
    tamanhos = (2, 11, CONTEXTO, CONTEXTO + 1, 18, 24, 25, 61)
    documentos = [HISTORIAS[i].encode("ascii", "replace").decode()[: n - 1] for i, n in enumerate(tamanhos)]
    m, fim = modelo(vocab_size=257), eos_id(BYTES)
    medidas = score_documents(m, documentos, BYTES, stride=passo)
    for texto, medida, tamanho in zip(documentos, medidas, tamanhos, strict=True):
        assert medida.n_tokens == tamanho
        esperado = nats_um_a_um(m, [fim, *encode(texto, BYTES), fim], CONTEXTO, passo)
        # Logits em float32, somas de até 61 parcelas em float64: erro relativo de poucos 1e-7.
        assert medida.nats == pytest.approx(esperado, rel=2e-6)


def test_o_passo_padrao_e_metade_do_contexto():
    m = modelo()
    padrao = score_documents(m, HISTORIAS[:4], BPE)
    assert padrao == score_documents(m, HISTORIAS[:4], BPE, stride=CONTEXTO // 2)
    assert padrao != score_documents(m, HISTORIAS[:4], BPE, stride=CONTEXTO)


def test_o_passo_nao_muda_documentos_que_cabem_no_contexto():
    m = modelo(context_length=400)
    assert max(len(encode(t, BPE)) for t in HISTORIAS[:5]) < 400
    medidas = score_documents(m, HISTORIAS[:5], BPE, stride=1)
    assert medidas == score_documents(m, HISTORIAS[:5], BPE, stride=400)


@pytest.mark.parametrize("lote", [1, 2, 5, 1000])
def test_tamanho_do_lote_e_ordem_nao_mudam_o_resultado(lote):
    m = modelo()
    documentos = [*HISTORIAS[:6], "a", HISTORIAS[0][:30]]
    esperadas = score_documents(m, documentos, BPE, batch_size=16)
    ordem = [5, 0, 7, 3, 6, 1, 2, 4]
    achadas = score_documents(m, [documentos[i] for i in ordem], BPE, batch_size=lote)
    for i, achada in zip(ordem, achadas, strict=True):
        assert (achada.n_tokens, achada.n_bytes) == (esperadas[i].n_tokens, esperadas[i].n_bytes)
        # O tamanho do lote muda a ordem das somas nos produtos de matrizes em float32.
        assert achada.nats == pytest.approx(esperadas[i].nats, rel=1e-6)


# --- a contagem ------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.lists(st.text(alphabet="abçé 🙂", min_size=1, max_size=40), min_size=1, max_size=6),
    st.integers(2, 15),
    st.data(),
)
def test_cada_token_conta_uma_vez(documentos, contexto, data):
    passo, lote = data.draw(st.integers(1, contexto)), data.draw(st.integers(1, 8))
    logits = torch.randn(257, generator=torch.Generator().manual_seed(contexto))
    custo = -torch.log_softmax(logits.double(), dim=0)
    medidas = score_documents(PorId(logits, contexto), documentos, BYTES, stride=passo, batch_size=lote)
    for texto, medida in zip(documentos, medidas, strict=True):
        ids = [*encode(texto, BYTES), eos_id(BYTES)]
        assert medida.n_tokens == len(ids) == len(texto.encode()) + 1
        assert medida.n_bytes == len(texto.encode())
        assert medida.nats == pytest.approx(custo[ids].sum().item(), rel=1e-5)  # float32 por token


def test_um_modelo_uniforme_paga_ln_v_por_token():
    uniforme = PorId(torch.zeros(320))
    for texto, medida in zip(HISTORIAS[:8], score_documents(uniforme, HISTORIAS[:8], BPE), strict=True):
        assert medida.n_tokens == len(encode(texto, BPE)) + 1
        assert medida.nats == pytest.approx(medida.n_tokens * math.log(320), rel=1e-6)


def test_historias_curtas_nao_pagam_o_preenchimento_das_longas():
    m = PorId(torch.zeros(257))
    score_documents(m, ["a" * 100, "b", "c" * 100, "d"], BYTES, batch_size=2)
    assert m.vistos[0] == (2, 2)  # as duas curtas juntas, sem preenchimento


def test_sem_dropout_nem_gradiente_e_o_modo_volta():
    m = modelo(drop_rate=0.5)
    esperadas = score_documents(m, HISTORIAS[:3], BPE)
    m.train()
    assert score_documents(m, HISTORIAS[:3], BPE) == esperadas
    assert all(modulo.training for modulo in m.modules())
    assert all(p.grad is None for p in m.parameters())


def test_bfloat16_fica_perto():
    m = modelo()
    completa, meia = (
        total_bits_per_byte(score_documents(m, HISTORIAS[:4], BPE, precision=p)) for p in ("float32", "bfloat16")
    )
    # bfloat16 tem 8 bits de mantissa: 2**-8 relativo em cada logit, e as médias se compensam.
    assert meia == pytest.approx(completa, rel=0.01)
    assert meia != completa


# --- bits por byte ---------------------------------------------------------------------------------


def test_bits_por_byte_sao_todos_os_bits_sobre_todos_os_bytes():
    medidas = [DocumentScore(8 * math.log(2), 3, 4), DocumentScore(2 * math.log(2), 1, 1)]
    assert total_bits_per_byte(medidas) == pytest.approx((8 + 2) / (4 + 1))
    assert total_bits_per_byte(medidas[:1]) == pytest.approx(2.0)


def test_bits_por_byte_do_uniforme_sobre_bytes():
    # 8,0056 bits por token (257 símbolos), e um token a mais por documento: o de fim.
    medidas = score_documents(PorId(torch.zeros(257)), ["abcd", "ação"], BYTES)
    assert total_bits_per_byte(medidas) == pytest.approx((5 + 7) * math.log2(257) / (4 + 6), rel=1e-6)


# --- erros -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("documentos", "opcoes", "mensagem"),
    [
        ([], {}, "0 documentos, 0 vazios: passe ao menos um"),
        (["a", "", "b", ""], {}, "4 documentos, 2 vazios"),
        ("um texto", {}, r"documents é um texto só.*passe \[texto\]"),
        (["a"], {"stride": 0}, r"stride=0: esperado um inteiro entre 1 e o contexto do modelo \(12\)"),
        (["a"], {"stride": 13}, "stride=13"),
        (["a"], {"batch_size": 0}, "batch_size=0: esperado um inteiro ≥ 1"),
        (["a"], {"batch_size": -1}, "batch_size=-1"),
        (["a"], {"precision": "float16"}, "precision='float16'"),
    ],
)
def test_erros_dizem_o_valor_e_o_remedio(documentos, opcoes, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        score_documents(modelo(), documentos, BPE, **opcoes)


def test_tokenizador_sem_token_de_fim(tmp_path):
    sem_fim = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1}, []))
    sem_fim.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="não tem token de fim de texto"):
        score_documents(modelo(), ["a"], get_tokenizer(tmp_path))


def test_bits_por_byte_de_nada():
    with pytest.raises(ValueError, match="nenhum documento medido"):
        total_bits_per_byte([])


# --- continuações


def test_continuacao_e_a_soma_dos_tokens_novos_um_a_um():
    rede, linhas = modelo().train(), [[5, 6, 7, 8, 9], [5, 6, 250], [5, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]]
    nats, n_tokens = score_continuations(rede, linhas, 2, batch_size=2)
    assert rede.training
    assert n_tokens == 3 + 1 + 10
    rede.eval()
    esperado = 0.0
    for linha in linhas:
        for t in range(2, len(linha)):
            esperado -= rede(torch.tensor([linha[:t]]))[0, -1].log_softmax(-1)[linha[t]].item()
    assert math.isclose(nats, esperado, rel_tol=1e-5)  # somas em float32, em outra ordem


@pytest.mark.parametrize(
    ("linhas", "n_prompt"), [([], 1), ([[1, 2]], 0), ([[1, 2]], 2), ([[1, 2, 3], [1, 2]], 2)], ids=str
)
def test_continuacao_recusada(linhas, n_prompt):
    with pytest.raises(ValueError, match=f"{len(linhas)} linhas e prompt_length={n_prompt}: esperada"):
        score_continuations(modelo(), linhas, n_prompt)
