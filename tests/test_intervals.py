"""Intervalos: conferidos com a teoria normal, com todas as reamostras enumeradas e por contas à mão."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdefinitions.intervals import (
    Interval,
    difference_interval,
    expanded_level,
    mean_interval,
    paired_interval,
    proportion_interval,
    rate_interval,
    student_interval,
)


def test_media_e_intervalo_perto_do_da_teoria_normal():
    valores = np.random.default_rng(3).normal(5, 2, size=400)
    achado = mean_interval(valores.tolist())
    assert achado.estimate == pytest.approx(valores.mean())
    assert achado.n == 400
    meia = 1.96 * valores.std() / 20
    # 2.000 reamostras estimam um quantil de 2,5% com erro de uns 5% do desvio da média.
    assert achado.low == pytest.approx(valores.mean() - meia, abs=0.1 * meia * 2)
    assert achado.high == pytest.approx(valores.mean() + meia, abs=0.1 * meia * 2)


def test_igual_ao_que_sai_de_todas_as_reamostras_possiveis():
    valores = [0.0, 1.0, 5.0]
    medias = sorted(np.mean(amostra) for amostra in itertools.product(valores, repeat=3))  # as 27, igualmente prováveis
    achado = mean_interval(valores, level=0.5, resamples=20_000)
    # Efron (1987): o lugar, pela fração de médias abaixo da estimativa; a assimetria, pelas médias sem um dos valores.
    normal = statistics.NormalDist()
    lugar = normal.inv_cdf(np.mean([(m < 2) + (m == 2) / 2 for m in medias]))
    desvios = np.mean([3.0, 2.5, 0.5]) - np.array([3.0, 2.5, 0.5])
    aceleracao = sum(desvios**3) / (6 * sum(desvios**2) ** 1.5)
    # Com 3 casos, os quartis do t (±0,8165) vezes √(3/2) são ±1.
    for z, limite in ((-1, achado.low), (1, achado.high)):
        quantil = normal.cdf(lugar + (lugar + z) / (1 - aceleracao * (lugar + z)))
        # As 27 médias são poucas, e os quantis caem em degraus largos: o sorteio acerta o degrau.
        assert limite == pytest.approx(medias[int(27 * quantil)])


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12) | st.lists(st.sampled_from([0.0, 1.0]), min_size=2))
@settings(max_examples=60, deadline=None)
def test_o_intervalo_contem_a_estimativa_e_nao_sai_do_que_se_viu(valores):
    achado = mean_interval(valores, resamples=300)
    folga = 1e-9 * max(map(abs, valores))
    assert min(valores) - folga <= achado.low <= achado.estimate + folga
    assert achado.estimate - folga <= achado.high <= max(valores) + folga


def test_poucos_casos_pedem_mais_dos_percentis():
    assert expanded_level(0.5, 3) == pytest.approx(0.6827, abs=1e-4)  # ±1 desvio da normal
    assert expanded_level(0.95, 10**6) == pytest.approx(0.95, abs=1e-6)
    niveis = [expanded_level(0.95, n) for n in (2, 3, 5, 10, 30, 82)]
    assert niveis == sorted(niveis, reverse=True)
    assert mean_interval([0.0, 1.0]) == Interval(0.5, 0.0, 1.0, 2)  # dois casos: tudo o que se viu


def test_diferenca_de_amostras_de_tamanhos_diferentes():
    a, b = [3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 1.0]
    achado = difference_interval(a, b)
    assert achado.estimate == 3.5
    assert achado.n == 7
    so_a = mean_interval(a)  # b não varia: só a reamostragem de a conta
    assert achado.high - achado.low == pytest.approx(so_a.high - so_a.low, abs=0.3)


def test_casos_iguais_dao_intervalo_de_um_ponto():
    assert mean_interval([0.0] * 5) == Interval(0.0, 0.0, 0.0, 5)


def test_a_semente_decide_o_sorteio():
    valores = [0.1, 0.9, 0.4, 0.35, 0.8]
    assert mean_interval(valores, seed=1) == mean_interval(valores, seed=1)
    assert mean_interval(valores, seed=1) != mean_interval(valores, seed=2)


def test_mais_confianca_e_intervalo_maior():
    valores = list(range(20))
    estreito, largo = mean_interval(valores, level=0.5), mean_interval(valores, level=0.99)
    assert largo.low < estreito.low < estreito.high < largo.high


def test_com_cinco_valores_o_meio_intervalo_e_o_da_tabela_t():
    valores = [1.0, 2.0, 3.0, 4.0, 5.0]
    meia = 2.776 * np.sqrt(2.5 / 5)  # t de 97,5% com 4 graus de liberdade, nas tabelas; variância 2,5
    achado = student_interval(valores)
    assert (achado.estimate, achado.n) == (3.0, 5)
    assert (achado.low, achado.high) == pytest.approx((3 - meia, 3 + meia), abs=1e-3)  # a tabela tem três casas
    assert student_interval([2.0, 2.0]) == Interval(2.0, 2.0, 2.0, 2)
    with pytest.raises(ValueError, match=r"1 valor\(es\)"):
        student_interval([1.0])


def test_contem():
    assert Interval(1.0, 0.5, 1.5, 3).contains(0.5)
    assert not Interval(1.0, 0.5, 1.5, 3).contains(0.0)


@pytest.mark.parametrize("valores", [[], [1.0]])
def test_recusa_amostra_sem_o_que_reamostrar(valores):
    with pytest.raises(ValueError, match=rf"{len(valores)} valor\(es\)"):
        mean_interval(valores)
    with pytest.raises(ValueError, match=rf"{len(valores)} valor\(es\)"):
        difference_interval([1.0, 2.0], valores)


@pytest.mark.parametrize("nivel", [0, 1, -0.5, 95])
def test_recusa_confianca_fora_de_zero_a_um(nivel):
    with pytest.raises(ValueError, match=f"level={nivel}"):
        mean_interval([1.0, 2.0], level=nivel)


def test_proporcao_de_wilson_e_a_raiz_da_equacao_dele():
    z = 1.959963984540054
    for acertos, n in ((0, 10), (3, 10), (50, 100), (10, 10)):
        achado = proportion_interval(acertos, n)
        assert achado.estimate == acertos / n
        # Os limites são as proporções p em que |p̂ − p| = z·√(p(1 − p)/n).
        for p in (achado.low, achado.high):
            assert (acertos / n - p) ** 2 == pytest.approx(z * z * p * (1 - p) / n, abs=1e-12)
        assert achado.low <= acertos / n <= achado.high


def test_taxa_e_a_proporcao_dos_verdadeiros():
    assert rate_interval([True, False, 1, 0.0]) == proportion_interval(2, 4)
    assert rate_interval([False] * 20).high > 0.1  # nenhum em 20 não prova que não há
    with pytest.raises(ValueError, match="0 casos"):
        rate_interval([])


def test_pareado_e_o_t_das_diferencas():
    antes, depois = [1.0, 2.0, 4.0], [2.0, 4.0, 7.0]  # diferenças 1, 2 e 3: média 2, desvio 1
    achado = paired_interval(antes, depois)
    meia = 4.302652729749462 / 3**0.5  # t de 97,5% com 2 graus de liberdade
    assert (achado.estimate, achado.n) == (2.0, 3)
    assert (achado.low, achado.high) == pytest.approx((2 - meia, 2 + meia))
    assert paired_interval([1.0, 2.0], [2.0, 3.0]) == Interval(1.0, 1.0, 1.0, 2)


def test_pareado_e_proporcao_recusam_o_que_nao_se_mede():
    with pytest.raises(ValueError, match="2 e 3 valores: esperado um par por caso"):
        paired_interval([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="ao menos dois"):
        paired_interval([1], [1])
    with pytest.raises(ValueError, match="4 acertos em 3 casos"):
        proportion_interval(4, 3)
    with pytest.raises(ValueError, match="0 acertos em 0 casos"):
        proportion_interval(0, 0)
    for level in (0, 1):
        with pytest.raises(ValueError, match="entre 0 e 1"):
            proportion_interval(1, 2, level=level)
