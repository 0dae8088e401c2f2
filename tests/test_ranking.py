"""Bradley-Terry e Elo: recuperam forças plantadas, batem com contas à mão, e recusam o que não dá para ordenar."""

import itertools
import math

import numpy as np
import pytest

from llmdefinitions.ranking import bradley_terry, elo, games_from_scores, ratings, win_probability

FORCAS = {"ana": 1.2, "bia": 0.4, "caio": -0.3, "davi": -1.3}


def partidas(por_par, semente=0):
    rng = np.random.default_rng(semente)
    jogos = []
    for i, j in itertools.permutations(FORCAS, 2):
        p = 1 / (1 + math.exp(FORCAS[j] - FORCAS[i]))
        jogos += [(i, j, float(rng.random() < p)) for _ in range(por_par)]
    return jogos


def test_recupera_as_forcas_plantadas():
    achadas = bradley_terry(partidas(2000), prior=0)
    # 2.000 partidas por par ordenado: o erro-padrão de cada força é perto de 1/√(3·4000·0,2) ≈ 0,02.
    assert achadas == pytest.approx(FORCAS, abs=0.08)
    assert sum(achadas.values()) == pytest.approx(0, abs=1e-9)


def test_dois_jogadores_a_mao():
    # 3 vitórias em 4: e^(βa − βb) = 3.
    achadas = bradley_terry([("a", "b", 1.0)] * 3 + [("b", "a", 1.0)], prior=0)
    assert achadas["a"] - achadas["b"] == pytest.approx(math.log(3), abs=1e-5)
    assert win_probability(achadas, "a", "b") == pytest.approx(0.75, abs=1e-5)
    empates = bradley_terry([("a", "b", 0.5)] * 5)
    assert empates == pytest.approx({"a": 0, "b": 0}, abs=1e-6)


def test_as_equacoes_da_maxima_verossimilhanca_valem_no_ponto_achado():
    jogos = partidas(5, semente=3)
    achadas = bradley_terry(jogos, prior=0)
    for nome in FORCAS:  # vitórias observadas = vitórias esperadas (Zermelo, 1929)
        ganhas = sum(r if i == nome else 1 - r for i, j, r in jogos if nome in (i, j))
        esperadas = sum(win_probability(achadas, nome, j if i == nome else i) for i, j, _ in jogos if nome in (i, j))
        assert ganhas == pytest.approx(esperadas, abs=1e-3)


def test_a_ordem_das_partidas_so_importa_no_elo():
    jogos = partidas(6, semente=1)
    trocados = [jogos[i] for i in np.random.default_rng(0).permutation(len(jogos))]
    virados = [(j, i, 1 - r) for i, j, r in jogos]
    assert bradley_terry(trocados) == pytest.approx(bradley_terry(jogos), abs=1e-4)
    assert bradley_terry(virados) == pytest.approx(bradley_terry(jogos), abs=1e-4)
    assert elo(trocados) != pytest.approx(elo(jogos), abs=1e-6)


def test_quem_so_venceu_fica_no_topo_com_forca_finita_ou_e_erro():
    jogos = [("a", "b", 1.0), ("a", "c", 1.0), ("b", "c", 1.0), ("c", "b", 1.0)]
    achadas = bradley_terry(jogos)
    assert max(achadas, key=achadas.get) == "a"
    assert math.isfinite(achadas["a"])
    with pytest.raises(ValueError, match="a só venceu, ou só perdeu"):
        bradley_terry(jogos, prior=0)


def test_pontos_com_intervalo():
    tabela = ratings(partidas(40), resamples=100)
    assert [linha.name for linha in tabela] == list(FORCAS)
    assert [linha.games for linha in tabela] == [240] * 4
    for linha in tabela:
        verdade = 1000 + 400 / math.log(10) * FORCAS[linha.name]
        assert linha.points.low < linha.points.estimate < linha.points.high
        assert linha.points.low - 60 < verdade < linha.points.high + 60  # o prior encolhe um pouco os extremos
    diferenca = tabela[0].points.estimate - tabela[1].points.estimate
    certa = win_probability(bradley_terry(partidas(40)), "ana", "bia")
    assert 1 / (1 + 10 ** (-diferenca / 400)) == pytest.approx(certa, abs=1e-3)  # a escala é a do Elo


def test_elo_a_mao():
    assert elo([("a", "b", 1.0)], k=32) == {"a": 1016, "b": 984}
    depois = elo([("a", "b", 1.0), ("a", "b", 0.5)], k=32)
    esperado = 1 / (1 + 10 ** (-32 / 400))
    assert depois["a"] == pytest.approx(1016 + 32 * (0.5 - esperado))
    assert sum(depois.values()) == pytest.approx(2000)


def test_todos_contra_todos_item_a_item():
    notas = {"x": [1.0, 0.0, None], "y": [0.0, 0.0, 1.0], "z": [0.5, 1.0, 1.0]}
    assert games_from_scores(notas) == [
        *[("x", "y", 1.0), ("x", "z", 1.0), ("y", "z", 0.0)],
        *[("x", "y", 0.5), ("x", "z", 0.0), ("y", "z", 0.0)],
        ("y", "z", 0.5),
    ]
    assert games_from_scores({"x": [60.0], "y": [55.0]}, margin=10) == [("x", "y", 0.5)]
    with pytest.raises(ValueError, match="com o mesmo número de itens"):
        games_from_scores({"x": [1.0], "y": []})


@pytest.mark.parametrize("jogos", [[], [("a", "a", 1.0)], [("a", "b", 2.0)], [("a", "b", -0.1)]])
def test_partidas_invalidas(jogos):
    for medida in (bradley_terry, elo):
        with pytest.raises(ValueError, match=r"nenhuma partida|esperados dois jogadores"):
            medida(jogos)


def test_opcoes_invalidas():
    with pytest.raises(ValueError, match="prior=-1"):
        bradley_terry([("a", "b", 1.0)], prior=-1)
    with pytest.raises(ValueError, match="k=0"):
        elo([("a", "b", 1.0)], k=0)
