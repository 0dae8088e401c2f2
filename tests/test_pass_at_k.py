"""pass@k contra a enumeração, e os problemas do livro executados: as soluções passam, as erradas falham."""

import itertools
import json
import math
from fractions import Fraction

import pytest

from llmdefinitions.pass_at_k import check_completion, function_body, load_problems, mean_pass_at_k, pass_at_k
from llmdefinitions.sandbox import Limits

FOLGA = Limits(seconds=60)
PROBLEMAS = load_problems()


@pytest.mark.parametrize("n", range(1, 8))
def test_igual_a_enumerar_todas_as_escolhas(n):
    for c in range(n + 1):
        for k in range(1, n + 1):
            escolhas = list(itertools.combinations([True] * c + [False] * (n - c), k))
            certo = Fraction(sum(map(any, escolhas)), len(escolhas))
            assert pass_at_k(n, c, k) == pytest.approx(float(certo), abs=1e-12)  # só o arredondamento da divisão


def test_sem_vies_e_a_conta_ingenua_erra_para_baixo():
    # A chance de acerto é p; a média do estimador sobre todos os resultados de n sorteios tem de ser 1 − (1 − p)ᵏ.
    p, n, k = Fraction(3, 10), 6, 3
    peso = {c: math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)}
    verdade = 1 - (1 - p) ** k
    assert sum(float(peso[c]) * pass_at_k(n, c, k) for c in peso) == pytest.approx(float(verdade), abs=1e-12)
    ingenua = sum(float(peso[c]) * (1 - (1 - c / n) ** k) for c in peso)
    assert ingenua < float(verdade) - 0.02


def test_media_dos_problemas_e_erros():
    assert mean_pass_at_k([(4, 0), (4, 4), (4, 1)], 2) == pytest.approx((0 + 1 + 0.5) / 3)
    with pytest.raises(ValueError, match="nenhum problema"):
        mean_pass_at_k([], 1)
    for ruim in ((3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4)):
        with pytest.raises(ValueError, match="esperados 0 ≤ c ≤ n"):
            pass_at_k(*ruim)


@pytest.mark.parametrize("problema", PROBLEMAS, ids=lambda p: p.name)
def test_a_solucao_passa_e_as_erradas_falham(problema):
    feito = check_completion(problema, problema.solution, limits=FOLGA, trusted=True)
    assert feito.passed, feito
    assert len(problema.wrong) >= 3
    for errada in problema.wrong:
        assert not check_completion(problema, errada, limits=FOLGA, trusted=True), errada


def test_ha_ao_menos_dez_problemas_sem_repeticao():
    assert len(PROBLEMAS) >= 10
    assert len({p.name for p in PROBLEMAS}) == len(PROBLEMAS)
    assert all(p.prompt.endswith('"""\n') for p in PROBLEMAS)


def test_o_que_vem_depois_da_funcao_e_cortado():
    assert function_body("    return 1\n\n    # fim\nprint('outra coisa')\n    x") == "    return 1\n\n    # fim"
    assert function_body("return 1") == ""
    problema = PROBLEMAS[0]
    assert check_completion(problema, f"{problema.solution}\n\nraise SystemExit(1)", limits=FOLGA, trusted=True)


@pytest.mark.parametrize(
    ("muda", "motivo"),
    [
        ({"enunciado": "def outra(x):"}, "tem de começar por 'def f\\('"),
        ({"testes": []}, "a de testes não pode ser vazia"),
        ({"testes": [1]}, "listas de textos"),
        ({"solucao": " return 1"}, "espaços nas pontas"),
    ],
)
def test_arquivo_malformado(tmp_path, muda, motivo):
    bom = {"nome": "f", "enunciado": "def f(x):", "solucao": "return 1", "erradas": [], "testes": ["f(0) == 1"]}
    (tmp_path / "p.json").write_text(json.dumps({"problemas": [bom | muda]}), encoding="utf-8")
    with pytest.raises(ValueError, match=motivo):
        load_problems(tmp_path / "p.json")
