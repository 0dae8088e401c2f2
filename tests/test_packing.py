"""Empacotar exemplos: cabem, nenhum se perde, e os logits de cada um são os dele sozinho."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modelos import modelo_pequeno, um_fio  # noqa: F401

from llmdefinitions.config import IGNORE_INDEX
from llmdefinitions.instruction import EncodedExample, custom_collate_fn
from llmdefinitions.packing import pack_batch, pack_lengths

FIM = 60


@given(st.lists(st.integers(1, 20), max_size=40))
def test_reparte_todos_sem_passar_do_tamanho(tamanhos):
    linhas = pack_lengths(tamanhos, 20)
    assert sorted(i for linha in linhas for i in linha) == list(range(len(tamanhos)))
    somas = [sum(tamanhos[i] for i in linha) for linha in linhas]
    assert all(0 < soma <= 20 for soma in somas)
    # Duas linhas meio vazias não sobram: a segunda caberia na primeira.
    assert sum(soma <= 10 for soma in somas) <= 1


def test_acha_a_reparticao_perfeita_quando_e_facil():
    assert sorted(map(sorted, pack_lengths([7, 3, 6, 4, 5, 5], 10))) == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(("tamanhos", "mensagem"), [([3, 0], "exemplo 1 com 0"), ([3, 11], "exemplo 1 com 11.*1 a 10")])
def test_tamanhos_que_nao_servem(tamanhos, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        pack_lengths(tamanhos, 10)


EXEMPLOS = st.lists(st.lists(st.integers(0, FIM), min_size=1, max_size=12), min_size=1, max_size=8)


@settings(max_examples=40)
@given(EXEMPLOS)
def test_logits_e_perda_de_cada_exemplo_sao_os_dele_sozinho(exemplos):
    modelo = modelo_pequeno(2, drop_rate=0.0).eval()
    linhas = pack_lengths([len(ids) for ids in exemplos], 12)
    lote = pack_batch([[exemplos[i] for i in linha] for linha in linhas], 12, FIM)
    with torch.no_grad():
        juntos = modelo(lote.inputs, segments=lote.segments)
        for r, linha in enumerate(linhas):
            inicio = 0
            for i in linha:
                fim = inicio + len(exemplos[i])
                x, y = custom_collate_fn([exemplos[i]], FIM)
                # float32, largura 32 e até 12 posições: só muda a ordem das somas.
                torch.testing.assert_close(juntos[r, inicio:fim], modelo(x)[0], rtol=1e-5, atol=1e-5)
                assert lote.targets[r, inicio:fim].tolist() == y[0].tolist()
                inicio = fim
            assert (lote.targets[r, inicio:] == IGNORE_INDEX).all()


def test_em_bfloat16_tambem_nao_ve_o_vizinho():
    """O caminho que treina em bfloat16 na CPU escreve a atenção por extenso: a máscara vale lá também."""
    modelo = modelo_pequeno(2, drop_rate=0.0)
    for troca in (1, 2):
        lote = pack_batch([[[troca, 5, 7], [3, 4, 8, 9]]], 10, FIM)
        with torch.autocast("cpu", torch.bfloat16):
            saida = modelo(lote.inputs, segments=lote.segments)[0, 3:7]
        if troca == 1:
            primeira = saida
    assert torch.equal(primeira, saida)  # mudou só o exemplo vizinho


def test_mascara_da_instrucao_no_pacote():
    lote = pack_batch([[EncodedExample([1, 2, 3], 2), EncodedExample([4, 5], 1)]], 6, FIM, mask_instruction=True)
    assert lote.targets.tolist() == [[IGNORE_INDEX, 3, FIM, 5, FIM, IGNORE_INDEX]]
    assert lote.segments.tolist() == [[0, 0, 0, 1, 1, 2]]
    assert lote.inputs.tolist() == [[1, 2, 3, 4, 5, FIM]]


@pytest.mark.parametrize(
    ("linhas", "mensagem"),
    [([], "sem exemplos"), ([[[1]], []], "sem exemplos"), ([[[1, 2], [3, 4]]], "a linha 0 precisa")],
)
def test_pacotes_que_nao_servem(linhas, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        pack_batch(linhas, 3, FIM)


# --- o que o modelo exige de `segments`


@pytest.mark.parametrize("segmentos", [[[0, 0, 1, 1]], [[1, 0, 0]], [[0, 1, 0]]], ids=str)
def test_segmentos_que_nao_servem(segmentos):
    with pytest.raises(ValueError, match="segments de formato"):
        modelo_pequeno()(torch.ones(1, 3, dtype=torch.long), segments=torch.tensor(segmentos))


def test_segmentos_com_cache():
    modelo = modelo_pequeno().eval()
    with torch.no_grad(), pytest.raises(ValueError, match="sem cache"):
        modelo(
            torch.ones(1, 3, dtype=torch.long), cache=modelo.new_cache(1), segments=torch.zeros(1, 3, dtype=torch.long)
        )


def test_um_segmento_so_e_o_modelo_comum():
    modelo, ids = modelo_pequeno().eval(), torch.arange(8).view(2, 4)
    with torch.no_grad():
        torch.testing.assert_close(
            modelo(ids, segments=torch.zeros_like(ids)), modelo(ids), rtol=1e-5, atol=1e-6
        )  # outra ordem de somas na atenção, em float32
