"""A lei de escala: recupera uma lei plantada, com e sem ruído, e recusa medidas que não a determinam."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdefinitions.scaling import PowerLaw, fit_power_law

TOKENS = [2e5, 4e5, 8e5, 2e6, 1.4e7]


@settings(max_examples=50)
@given(st.floats(0.3, 4.0), st.floats(0.1, 0.9), st.floats(0.3, 3.0))
def test_recupera_a_lei_plantada(piso, expoente, queda):
    lei = PowerLaw(piso, queda * 1e6**expoente, expoente)  # `queda`: quanto ainda há acima do piso com 1 milhão
    achada = fit_power_law(TOKENS, [lei(d) for d in TOKENS])
    # Sem ruído só sobra a parada do otimizador, de 1e-8 no custo: as previsões, que é o que se usa, batem em 1e-4.
    for d in (*TOKENS, 5e7):
        assert achada(d) == pytest.approx(lei(d), rel=1e-4)


def test_com_ruido_a_previsao_fica_perto():
    lei, sorteio = PowerLaw(1.4, 60.0, 0.32), np.random.default_rng(3)
    ruidosas = [lei(d) * (1 + 0.003 * sorteio.standard_normal()) for d in TOKENS]
    # Ruído de 0,3% em cada medida; dentro do intervalo medido o ajuste não o amplia.
    for d in TOKENS:
        assert fit_power_law(TOKENS, ruidosas)(d) == pytest.approx(lei(d), rel=0.006)


def test_piso_nunca_e_negativo():
    assert fit_power_law([1, 2, 4, 8], [8.0, 4.0, 2.0, 1.0]).floor >= 0  # 8/D exatos: o piso é zero


@pytest.mark.parametrize(
    ("tokens", "perdas", "mensagem"),
    [
        ([1, 2], [3, 2], "ao menos 3"),
        ([1, 2, 2], [3, 2, 2], "tokens distintos"),
        ([1, 2, 3], [3, 2], r"\(3,\).*\(2,\)"),
        ([[1, 2, 3]], [[3, 2, 1]], r"\(1, 3\)"),
        ([1, 2, 0], [3, 2, 1], "positivos e finitos"),
        ([1, 2, 3], [3, 2, -1], "positivos e finitos"),
        ([1, 2, 3], [3, float("nan"), 1], "nan"),
        ([1, 2, float("inf")], [3, 2, 1], "inf"),
    ],
)
def test_medidas_que_nao_servem(tokens, perdas, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        fit_power_law(tokens, perdas)
