"""Custos: os números da ementa, as fórmulas refeitas com frações exatas e a medição de FLOP/s."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmdefinitions.costs import CloudCost, measure_matmul_flops, training_flops

POSITIVO = st.integers(1, 10**9)


def test_llama_2_de_7b_custa_691_200_dolares():
    custo = CloudCost(gpu_hours=184_320, gpus_per_server=8, usd_per_server_hour=30, brl_per_usd=5.5)
    assert custo.server_hours == 23_040
    assert custo.usd == 691_200
    assert custo.brl == 3_801_600


@given(POSITIVO, st.integers(1, 64), POSITIVO, st.integers(1, 100))
def test_custo_igual_a_conta_com_fracoes(horas, gpus, preco, cambio):
    custo = CloudCost(horas, gpus, preco, cambio)
    exato = Fraction(horas, gpus) * preco
    # Duas ou três operações em float64: erro relativo de no máximo 3·2⁻⁵³.
    assert custo.usd == pytest.approx(float(exato), rel=1e-15)
    assert custo.brl == pytest.approx(float(exato * cambio), rel=1e-15)


@pytest.mark.parametrize("campo", ["gpu_hours", "gpus_per_server", "usd_per_server_hour", "brl_per_usd"])
@pytest.mark.parametrize("valor", [0, -1, math.nan])
def test_custo_recusa_o_que_nao_e_positivo(campo, valor):
    certos = {"gpu_hours": 10, "gpus_per_server": 8, "usd_per_server_hour": 30, "brl_per_usd": 5}
    with pytest.raises(ValueError, match=rf"{campo}={valor}: esperado um número maior que zero"):
        CloudCost(**{**certos, campo: valor})


def test_operacoes_de_um_treino_conhecido():
    # GPT-3 em Brown et al. (2020, tabela D.1): 174,6 bilhões de parâmetros, 300 bilhões de tokens, 3,14e23
    # operações. A tolerância é o arredondamento da tabela.
    assert training_flops(174.6e9, 300e9) == pytest.approx(3.14e23, abs=0.005e23)


@pytest.mark.parametrize("tokens", [3, 17])
def test_operacoes_contadas_uma_a_uma_numa_camada_linear(tokens):
    # Ida: cada token multiplica e soma por peso. Volta: o mesmo para o gradiente dos pesos e o da entrada.
    entrada, saida = 4, 5
    ida = sum(2 for _ in range(tokens) for _ in range(entrada) for _ in range(saida))
    assert training_flops(entrada * saida, tokens) == 3 * ida


@pytest.mark.parametrize(("n", "d"), [(0, 10), (10, 0), (-1, 10), (math.nan, 1)])
def test_operacoes_recusam_contagem_nao_positiva(n, d):
    with pytest.raises(ValueError, match=f"n_params={n}, n_tokens={d}: esperado dois números maiores que zero"):
        training_flops(n, d)


def test_medicao_da_um_valor_plausivel():
    medido = measure_matmul_flops(size=128, seconds=0.02)
    # Qualquer CPU em que o PyTorch roda passa de 100 MFLOP/s; nenhuma de hoje chega a 1 PFLOP/s em float32.
    assert math.isfinite(medido)
    assert 1e8 < medido < 1e15


def test_medicao_conta_duas_operacoes_por_multiplicacao_e_o_melhor_tempo(monkeypatch):
    # Relógio de mentira: rajadas de 3, 1 e 2 segundos. 2·10³ operações no melhor segundo.
    instantes = iter([0.0, 10.0, 13.0, 20.0, 21.0, 30.0, 32.0, 40.0])
    monkeypatch.setattr("llmdefinitions.costs.time.perf_counter", lambda: next(instantes))
    assert measure_matmul_flops(size=10, seconds=0.0) == 2000.0


def test_medicao_nao_muda_o_gerador_de_quem_chama():
    torch.manual_seed(7)
    antes = torch.get_rng_state()
    measure_matmul_flops(size=8, seconds=0.0)
    assert torch.equal(torch.get_rng_state(), antes)


def test_precisao_desconhecida_e_recusada():
    with pytest.raises(ValueError, match="precision='float8'"):
        measure_matmul_flops(size=8, seconds=0.0, precision="float8")
