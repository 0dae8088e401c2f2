"""Auditoria de um juiz: igual ao scikit-learn e ao scipy, cobertura simulada, e vieses plantados que aparecem."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from llmdefinitions.agreement import (
    accuracy,
    decide,
    judge_kappa,
    kappa,
    length_bias,
    paired_interval,
    position_bias,
    spearman,
    unreadable_rate,
    verdicts_from_scores,
)
from llmdefinitions.duels import load_duels
from llmdefinitions.intervals import mean_interval

DUELOS = load_duels()
NOSSOS = [d.winner for d in DUELOS]


def test_as_estimativas_sao_as_das_bibliotecas():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 100, 60)
    b = a + rng.integers(-30, 30, 60)
    assert spearman(a, b, resamples=50).estimate == stats.spearmanr(a, b).statistic
    x, y = rng.choice(["a", "b", "empate"], 60), rng.choice(["a", "b", "empate"], 60)
    assert kappa(x, y, resamples=50).estimate == cohen_kappa_score(x, y)


def test_kappa_a_mao():
    # 20 casos: 12 concordâncias; um lado diz "a" em 10, o outro em 8. Acaso: 0,5·0,4 + 0,5·0,6 = 0,5.
    x = ["a"] * 10 + ["b"] * 10
    y = ["a"] * 5 + ["b"] * 5 + ["a"] * 3 + ["b"] * 7
    assert kappa(x, y, resamples=20).estimate == pytest.approx((0.6 - 0.5) / (1 - 0.5))


@pytest.mark.parametrize(("medida", "casos"), [("notas", 20), ("notas", 82), ("exponencial", 30), ("spearman", 82)])
def test_cobertura_simulada(medida, casos):
    """De 1.000 estudos sorteados com verdade conhecida, o intervalo de 95% tem de contê-la em ao menos 93%.

    O erro da própria simulação é √(0,95·0,05/1.000) ≈ 0,7%, e a semente é fixa.
    """
    rng = np.random.default_rng(2026)
    estudos, dentro, rho = 1000, 0, 0.6
    notas, pesos = np.array([0, 50, 80, 100]), np.array([0.2, 0.2, 0.3, 0.3])
    for estudo in range(estudos):
        if medida == "spearman":
            verdade = 6 / math.pi * math.asin(rho / 2)  # a correlação de postos de uma normal bivariada
            x = rng.normal(size=(casos, 2)) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T
            # Spearman só vê a ordem: no lugar dos valores, a posição de cada um.
            achado = paired_interval(_postos, *x.argsort(0).argsort(0).T, resamples=150, seed=estudo)
        else:
            verdade = 1.0 if medida == "exponencial" else notas @ pesos
            amostra = rng.exponential(size=casos) if medida == "exponencial" else rng.choice(notas, casos, p=pesos)
            achado = mean_interval(amostra, resamples=400, seed=estudo)
        dentro += achado.contains(verdade)
    assert dentro / estudos >= 0.93


def _postos(a, b):
    # Os postos médios de rankdata, a menos de uma constante, que a correlação não vê; e bem mais depressa.
    x, y = (_dobro_do_posto(v) - len(v) for v in (a, b))  # centrados
    return (x @ y) / math.sqrt((x @ x) * (y @ y))


def _dobro_do_posto(posicoes):
    vezes = np.bincount(posicoes)
    return (2 * vezes.cumsum() - vezes)[posicoes]


def test_reamostra_os_pares_e_nao_cada_lado():
    a = np.arange(30.0)
    achado = spearman(a, a**3)
    assert (achado.estimate, achado.low, achado.high) == pytest.approx((1, 1, 1))


def test_quem_da_sempre_a_mesma_nota_nao_ordena():
    achado = spearman([50.0] * 20, list(range(20)), resamples=20)
    assert math.isnan(achado.estimate)
    assert math.isnan(achado.low)
    assert not achado.contains(0)
    assert math.isnan(kappa(["a"] * 5, ["a"] * 5, resamples=20).estimate)
    with pytest.raises(ValueError, match="2 e 3 valores"):
        spearman([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="level=1"):
        paired_interval(lambda a, b: 0.0, [1, 2], [1, 2], level=1)


def test_juizes_extremos_nos_duelos_do_livro():
    assert accuracy(NOSSOS, NOSSOS).estimate == 1
    assert judge_kappa(NOSSOS, NOSSOS, resamples=20).estimate == 1
    assert accuracy([None] * 82, NOSSOS).estimate == 0
    assert unreadable_rate([None, "a", None, 3]).estimate == 0.5
    sempre_a = ["a"] * 82
    assert judge_kappa(sempre_a, NOSSOS, resamples=20).estimate == pytest.approx(0)  # acerta 36 por acaso
    assert judge_kappa([None] * 40 + NOSSOS[40:], NOSSOS, resamples=20).estimate < 1


def test_vies_de_posicao():
    # Quem diz sempre "a primeira": "a" na ordem direta e "b" na trocada.
    viciado = position_bias(["a"] * 10, ["b"] * 10)
    assert viciado.first.estimate == 1
    assert viciado.consistent.estimate == 0
    justo = position_bias(["a", "b"] * 5, ["a", "b"] * 5)
    assert justo.first.estimate == 0.5
    assert justo.consistent.estimate == 1
    ultimo = position_bias(["b", "b", None], ["a", "a", "empate"])
    assert ultimo.first.estimate == 0
    assert ultimo.consistent.estimate == 0
    assert ultimo.first.n == 2
    assert position_bias([None, "a", "a"], [None, "a", "a"]).consistent.estimate == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="0 duelos decididos"):
        position_bias([None, "empate"], ["empate", None])


def test_vies_de_tamanho():
    longo = [d.longer for d in DUELOS]
    assert length_bias(longo, DUELOS).estimate == 1
    assert length_bias([{"a": "b", "b": "a"}.get(v, v) for v in longo], DUELOS).estimate == 0
    # Nos duelos do livro a melhor é a mais longa em metade dos decididos: quem acerta tudo não parece ter viés.
    assert length_bias(NOSSOS, DUELOS).estimate == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ValueError, match="0 duelos decididos"):
        length_bias([None] * 82, DUELOS)


def test_vereditos_de_notas():
    pares = [(90, 10), (10, 90), (50, 55), (None, 3), (3, None), (50, 60)]
    assert verdicts_from_scores(pares) == ["a", "b", "empate", None, None, "b"]
    assert verdicts_from_scores([(1, 1), (1, 2)], margin=0) == ["empate", "b"]
    assert [decide(x) for x in (1e-9, -1e-9, 0.0)] == ["a", "b", "empate"]
