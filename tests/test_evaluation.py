"""Métricas contra força bruta escrita de outro jeito, e contra contas feitas à mão."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdefinitions.evaluation import bits_per_byte, distinct_n, perplexity, repetition_rate

SEQUENCIAS = st.lists(st.lists(st.integers(0, 4), max_size=12), min_size=1, max_size=5)


def _ngramas(sequencia: list[int], n: int) -> list[str]:
    # Texto em vez de tuplas, e índices em vez de zip: nada em comum com a implementação além da definição.
    return [" ".join(map(str, sequencia[i : i + n])) for i in range(len(sequencia) - n + 1)]


def test_perplexidade_de_um_modelo_indeciso_e_o_numero_de_opcoes():
    assert perplexity(math.log(8)) == pytest.approx(8, rel=1e-12)
    assert perplexity(0.0) == 1.0


def test_perplexidade_do_contrato():
    # A perda vem impressa com 4 casas: ±0,00005 nela são ±0,005% na exponencial.
    assert perplexity(10.7722) == pytest.approx(47678.9, rel=6e-5)
    assert perplexity(10.7940) == pytest.approx(48725.9, rel=6e-5)


@pytest.mark.parametrize("perda", [-0.1, math.inf, -math.inf, math.nan])
def test_perda_invalida_diz_o_valor_e_o_esperado(perda):
    with pytest.raises(ValueError, match=rf"perda={perda}.*finito ≥ 0.*nats por token"):
        perplexity(perda)
    with pytest.raises(ValueError, match=rf"perda={perda}.*finito ≥ 0.*nats por token"):
        bits_per_byte(perda, 10, 40)


def test_bits_por_byte_de_um_codigo_conhecido():
    # Um token de 2 bytes entre 16 igualmente prováveis custa 4 bits: 2 bits por byte.
    assert bits_per_byte(math.log(16), n_tokens=50, n_bytes=100) == pytest.approx(2.0, rel=1e-12)


@given(
    st.floats(0, 20),
    st.integers(1, 10**6),
    st.integers(1, 10**7),
    st.integers(1, 50),
)
def test_bits_por_byte_nao_depende_de_como_o_texto_foi_cortado(perda, tokens, octetos, partes):
    inteiro = bits_per_byte(perda, tokens, octetos)
    # O mesmo texto em `partes` vezes mais tokens, cada um com a perda dividida por `partes`.
    picado = bits_per_byte(perda / partes, tokens * partes, octetos)
    assert picado == pytest.approx(inteiro, rel=1e-12)


@given(st.floats(0, 20), st.integers(1, 10**6), st.integers(1, 10**7))
def test_bits_por_byte_e_o_logaritmo_na_base_2(perda, tokens, octetos):
    # log2(perplexidade) bits por token; a tolerância é a de dois arredondamentos de float64.
    bits = math.log2(perplexity(perda)) * tokens
    assert bits_per_byte(perda, tokens, octetos) == pytest.approx(bits / octetos, rel=1e-12, abs=1e-15 * tokens)


@pytest.mark.parametrize(("tokens", "octetos"), [(0, 10), (10, 0), (-1, 10)])
def test_contagem_invalida_diz_os_dois_valores(tokens, octetos):
    with pytest.raises(ValueError, match=rf"n_tokens={tokens}, n_bytes={octetos}.*≥ 1"):
        bits_per_byte(1.0, tokens, octetos)


def test_distinct_n_contado_a_mao():
    # Bigramas: (1,2) (2,1) (1,2) e (1,2): quatro, dois distintos.
    assert distinct_n([[1, 2, 1, 2], [1, 2]], n=2) == 0.5
    assert distinct_n([["a", "a", "a"]], n=1) == pytest.approx(1 / 3, rel=1e-15)


def test_repeticao_conta_dentro_da_sequencia_e_nao_entre_elas():
    assert repetition_rate([[1, 2], [1, 2]], n=2) == 0.0
    assert distinct_n([[1, 2], [1, 2]], n=2) == 0.5
    # Três unigramas iguais: dois deles repetem o primeiro.
    assert repetition_rate([[7, 7, 7]], n=1) == pytest.approx(2 / 3, rel=1e-15)


@given(SEQUENCIAS, st.integers(1, 4))
def test_metricas_iguais_a_forca_bruta(sequencias, n):
    grupos = [_ngramas(s, n) for s in sequencias]
    total = sum(len(g) for g in grupos)
    if total == 0:
        for metrica in (distinct_n, repetition_rate):
            with pytest.raises(ValueError, match=f"nenhuma das {len(sequencias)} sequências tem {n} itens"):
                metrica(sequencias, n)
        return
    vistos: list[str] = []
    for grama in (grama for grupo in grupos for grama in grupo):
        if grama not in vistos:
            vistos.append(grama)
    repetidos = sum(grama in grupo[:i] for grupo in grupos for i, grama in enumerate(grupo))
    # Frações exatas arredondadas uma vez: a implementação faz a mesma única divisão, então a igualdade é exata.
    assert distinct_n(sequencias, n) == float(Fraction(len(vistos), total))
    assert repetition_rate(sequencias, n) == float(Fraction(repetidos, total))


@given(SEQUENCIAS.filter(lambda s: any(s)), st.permutations(range(5)))
def test_metricas_nao_dependem_do_nome_dos_tokens(sequencias, troca):
    trocadas = [[troca[t] for t in s] for s in sequencias]
    assert distinct_n(trocadas, 1) == distinct_n(sequencias, 1)
    assert repetition_rate(trocadas, 1) == repetition_rate(sequencias, 1)


@pytest.mark.parametrize("metrica", [distinct_n, repetition_rate])
def test_n_menor_que_um_e_recusado(metrica):
    with pytest.raises(ValueError, match="n=0: esperado um inteiro ≥ 1"):
        metrica([[1, 2, 3]], 0)
