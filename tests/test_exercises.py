"""Exercícios: em branco, errado e certo dão o que o leitor espera, aqui e nos cadernos, e nenhuma dica entrega a conta.

As soluções de referência daqui são outras que as dos cadernos: as duas têm de passar.
"""

import ast
import inspect
import itertools
import math
import re
from fractions import Fraction
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from llmdefinitions import exercises
from llmdefinitions.exercises import CheckResult, available_exercises, check, exercise

CADERNOS = sorted((Path(__file__).parent.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))


# --- soluções de referência


def _certa_2_1(ids, T):
    pares = list(itertools.pairwise(ids))[:T]
    return [a for a, _ in pares], [b for _, b in pares]


def _certa_2_2(probs):
    return math.prod(probs) ** (-1 / len(probs))


def _certa_2_3(perda, n_tokens, n_bytes):
    return n_tokens * math.log2(math.exp(perda)) / n_bytes


def _certa_2_4(probs, p):
    melhores = [
        conjunto
        for tamanho in range(1, len(probs) + 1)
        for conjunto in itertools.combinations(range(len(probs)), tamanho)
        if sum(Fraction(str(probs[i])) for i in conjunto) >= Fraction(str(p))
    ]
    menor = min(map(len, melhores))
    return max((c for c in melhores if len(c) == menor), key=lambda c: sum(probs[i] for i in c))


def _certa_2_6(passo, total, aquecimento):
    if passo < aquecimento:
        return (passo + 1) / aquecimento
    return math.cos(math.pi / 2 * (passo - aquecimento) / (total - 1 - aquecimento)) ** 2


def _certa_2_7(C):
    return math.sqrt(C / 6 / 20), math.sqrt(C / 6 * 20)


CERTAS = {
    "2.1": _certa_2_1,
    "2.2": _certa_2_2,
    "2.3": _certa_2_3,
    "2.4": _certa_2_4,
    "2.5": 7_603_200,
    "2.6": _certa_2_6,
    "2.7": _certa_2_7,
}

# Enganos comuns e um trecho da dica que cada um tem de receber.
ERRADAS = [
    ("2.1", 3, "função `(ids, T)`"),
    ("2.1", lambda ids, T: (ids[: T - 1], ids[1:T]), "devem ter 4 ids cada"),
    ("2.1", lambda ids, T: (ids[:T], ids[:T]), "a entrada na posição t + 1"),
    ("2.1", lambda ids, T: (ids[1 : T + 1], ids[:T]), "os T primeiros ids"),
    ("2.1", lambda ids, T: (ids[:T], [*ids[1:T], ids[0]]), "o último alvo não está na entrada"),
    ("2.2", 10.0, "função que recebe a lista"),
    ("2.2", lambda probs: -sum(map(math.log, probs)) / len(probs), "a perplexidade é 10"),
    ("2.2", lambda probs: sum(1 / p for p in probs) / len(probs), "a média das perplexidades é outra conta"),
    ("2.2", lambda probs: len(probs) / sum(probs), "tire primeiro a média"),
    ("2.3", "não sei", "função `(perda, n_tokens, n_bytes)`"),
    ("2.3", lambda perda, n, m: perda * n / m, "nats por byte"),
    ("2.3", lambda perda, n, m: perda / math.log(2), "divida pelos bytes"),
    ("2.3", lambda perda, n, m: perda * m / n / math.log(2), "some a perda"),
    ("2.3", lambda perda, n, m: perda / math.log(2) / 4, "não o geral"),
    ("2.4", [0, 1], "função `(probs, p)`"),
    ("2.4", lambda probs, p: [i for i in range(len(probs)) if _massa_antes(probs, i) + probs[i] <= p], "também entra"),
    ("2.4", lambda probs, p: range(len(probs)), "pare ao alcançar p"),
    ("2.4", lambda probs, p: range(len(_certa_2_4(probs, p))), "ordene antes de somar"),
    ("2.5", "caro", "um número, em reais"),
    ("2.5", True, "um número, em reais"),
    ("2.5", 368_640 * 30 * 5.5, "divida as GPU-horas"),
    ("2.5", 368_640 / 8 * 30, "falta o câmbio"),
    ("2.5", 1.0, "horas de servidor × preço"),
    ("2.5", math.nan, "horas de servidor × preço"),
    ("2.6", 0.5, "função `(passo, total, aquecimento)`"),
    ("2.6", lambda s, total, warm: s / warm if s < warm else _certa_2_6(s, total, warm), "1/aquecimento no passo 0"),
    ("2.6", lambda s, total, warm: min(1, (s + 1) / warm), "chega a 0"),
    ("2.6", lambda s, total, warm: (s + 1) / warm if s < warm else (total - 1 - s) / total, "começa em 1"),
    (
        "2.6",
        lambda s, total, warm: (s + 1) / warm if s < warm else ((total - 1 - s) / (total - 1 - warm)) ** 2,
        "no meio da descida",
    ),
    (
        "2.6",
        lambda s, total, warm: 0.6 if s == warm + 3 else 0.5 if s == warm + 2 else _certa_2_6(s, total, warm),
        "nunca sobe",
    ),
    ("2.7", (1.0, 20.0), "recebe C"),
    ("2.7", lambda C: (C / 120, 20 * C / 120), "não gasta o orçamento"),
    ("2.7", lambda C: (math.sqrt(C / 6), math.sqrt(C / 6)), "20 tokens por parâmetro"),
]

# O que uma dica não pode dizer: a conta pronta ou o resultado.
SEGREDOS = {
    "2.1": (r"ids\[:T\]", r"1 ?: ?T ?\+ ?1"),
    "2.2": (r"exp\(", r"\*\*"),
    "2.3": (r"log\(2\)", r"/ ?ln ?2\b"),
    "2.4": (r"sorted", r"cumsum"),
    "2.5": (r"7[.,_]?603", r"46[.,_]?080"),
    "2.6": (r"math\.", r"\(passo ?[-+]"),
    "2.7": (r"C ?/ ?120", r"sqrt", r"√"),
}


def _massa_antes(probs, i):
    return sum(p for p in probs if p > probs[i])


def _id(caso):
    return caso if isinstance(caso, str) and caso[0].isdigit() else None


def test_todo_exercicio_tem_referencia_enganos_e_segredos():
    assert set(available_exercises()) == set(CERTAS) == {n for n, *_ in ERRADAS} == set(SEGREDOS)


@pytest.mark.parametrize("numero", CERTAS)
def test_em_branco_diz_que_esta_em_branco(numero):
    resultado = check(numero, ...)
    assert not resultado
    assert resultado.message == f"Exercício {numero}: ainda em branco. Troque os `...` pela sua resposta."


@pytest.mark.parametrize("numero", CERTAS)
def test_solucao_de_referencia_passa(numero):
    resultado = check(numero, CERTAS[numero])
    assert resultado.passed, resultado.message
    assert resultado.message == f"Exercício {numero}: certo!"


@pytest.mark.parametrize(("numero", "resposta", "trecho"), ERRADAS, ids=_id)
def test_engano_recebe_a_dica_que_o_explica(numero, resposta, trecho):
    resultado = check(numero, resposta)
    assert not resultado.passed
    assert resultado.message.startswith(f"Exercício {numero}: ainda não. Dica: ")
    assert trecho in resultado.message


@pytest.mark.parametrize(("numero", "resposta", "trecho"), ERRADAS, ids=_id)
def test_dica_nao_entrega_a_solucao(numero, resposta, trecho):
    dica = check(numero, resposta).message
    for segredo in SEGREDOS[numero]:
        assert not re.search(segredo, dica)


@pytest.mark.parametrize("numero", [n for n, certa in CERTAS.items() if callable(certa)])
def test_segredos_reconhecem_a_solucao_do_caderno(numero):
    # Sem isto, um segredo mal escrito deixaria passar qualquer dica.
    (caderno,) = [c for c in CADERNOS if c.name.startswith(f"{int(numero.split('.')[0]):02d}_")]
    (solucao,) = _celulas(caderno, "solucao")[numero]
    assert any(re.search(segredo, solucao) for segredo in SEGREDOS[numero])


@pytest.mark.parametrize("numero", [n for n, certa in CERTAS.items() if callable(certa)])
def test_resposta_que_levanta_erro_vira_dica(numero):
    def quebrada(*args):
        raise ZeroDivisionError("dividiu por zero")

    resultado = check(numero, quebrada)
    assert not resultado
    assert "sua resposta levantou ZeroDivisionError: dividiu por zero" in resultado.message


@pytest.mark.parametrize("numero", [n for n, certa in CERTAS.items() if callable(certa)])
def test_funcao_vazia_nao_passa_nem_interrompe(numero):
    nomes = inspect.signature(CERTAS[numero]).parameters
    espaco: dict = {}
    exec(f"def resposta({', '.join(nomes)}): ...", espaco)
    assert not check(numero, espaco["resposta"])


@pytest.mark.parametrize("numero", ["9.9", "", "2"])
def test_numero_desconhecido_lista_os_que_existem(numero):
    with pytest.raises(ValueError, match=rf"exercício '{numero}' desconhecido.*2\.1, 2\.2"):
        check(numero, 1)


def test_numeracao_consecutiva_por_capitulo_e_em_ordem():
    por_capitulo: dict[int, list[int]] = {}
    for numero in available_exercises():
        capitulo, ordem = map(int, numero.split("."))
        por_capitulo.setdefault(capitulo, []).append(ordem)
    assert por_capitulo
    for ordens in por_capitulo.values():
        assert ordens == list(range(1, len(ordens) + 1))


def test_decimo_exercicio_vem_depois_do_nono(monkeypatch):
    available_exercises()  # registra os dos capítulos antes da troca
    monkeypatch.setattr(exercises, "_REGISTRY", {})
    for numero in ("2.10", "10.1", "2.9"):
        exercise(numero, "título", "fácil")(lambda resposta: None)
    assert list(available_exercises()) == ["2.9", "2.10", "10.1"]


def test_titulos_e_niveis():
    for numero, exercicio in available_exercises().items():
        assert exercicio.number == numero
        assert exercicio.title
        assert exercicio.level in {"fácil", "médio", "difícil"}


def test_mesmo_numero_duas_vezes_e_recusado():
    available_exercises()
    with pytest.raises(ValueError, match=r"exercício 2\.1 registrado duas vezes"):
        exercise("2.1", "outro", "fácil")(lambda resposta: None)


def test_resultado_mostra_so_a_mensagem():
    assert repr(CheckResult(True, "certo!")) == "certo!"
    assert bool(CheckResult(True, "")) is True
    assert bool(CheckResult(False, "")) is False


# --- nos cadernos


def _celulas(caderno: Path, etiqueta: str) -> dict[str, list[str]]:
    """Código das células com a etiqueta, por número de exercício."""
    achadas: dict[str, list[str]] = {}
    for celula in nbformat.read(caderno, as_version=4).cells:
        if etiqueta in celula.metadata.get("tags", []):
            numeros = set(re.findall(r'check\(\s*"([\d.]+)"', celula.source))
            assert len(numeros) == 1, f"{caderno.name}: uma célula {etiqueta} corrige {numeros}, e não um exercício"
            achadas.setdefault(numeros.pop(), []).append(celula.source)
    return achadas


def _importados(caderno: Path) -> dict:
    """Espaço de nomes só com o que o caderno importa, sem executar mais nada dele."""
    espaco: dict = {"check": check}
    for celula in nbformat.read(caderno, as_version=4).cells:
        if celula.cell_type == "code":
            arvore = ast.parse(TransformerManager().transform_cell(celula.source))
            imports = [no for no in arvore.body if isinstance(no, (ast.Import, ast.ImportFrom))]
            exec(compile(ast.Module(imports, []), caderno.name, "exec"), espaco)
    return espaco


def _resultado(codigo: str, espaco: dict) -> CheckResult:
    """Executa a célula e devolve o valor da última expressão, o que o caderno mostraria."""
    arvore = ast.parse(codigo)
    ultima = arvore.body.pop()
    assert isinstance(ultima, ast.Expr), f"a célula termina em {ast.unparse(ultima)!r}, e não em check(...)"
    exec(compile(arvore, "célula", "exec"), espaco)
    return eval(compile(ast.Expression(ultima.value), "célula", "eval"), espaco)


@pytest.mark.parametrize("caderno", CADERNOS, ids=lambda c: c.stem)
def test_cada_exercicio_do_capitulo_esta_no_caderno_uma_vez(caderno):
    capitulo = int(caderno.name[:2])
    registrados = [n for n in available_exercises() if n.split(".")[0] == str(capitulo)]
    assert registrados, f"{caderno.name} não tem exercícios registrados em llmdefinitions.exercises"
    for etiqueta in ("exercicio", "solucao"):
        celulas = _celulas(caderno, etiqueta)
        assert list(celulas) == registrados
        assert {n for n, fontes in celulas.items() if len(fontes) > 1} == set()


@pytest.mark.parametrize("caderno", CADERNOS, ids=lambda c: c.stem)
def test_celulas_do_caderno_em_branco_e_resolvidas(caderno):
    espaco = _importados(caderno)
    enunciados, solucoes = _celulas(caderno, "exercicio"), _celulas(caderno, "solucao")
    for numero in enunciados:
        em_branco = _resultado(enunciados[numero][0], espaco)
        assert "ainda em branco" in em_branco.message, em_branco.message
        assert not em_branco
        resolvido = _resultado(solucoes[numero][0], espaco)
        assert resolvido.passed, f"{caderno.name}: {resolvido.message}"


@pytest.mark.parametrize("caderno", CADERNOS, ids=lambda c: c.stem)
def test_enunciado_traz_titulo_e_nivel_registrados(caderno):
    textos = "\n".join(c.source for c in nbformat.read(caderno, as_version=4).cells if c.cell_type == "markdown")
    titulos = re.findall(r"^### Exercício ([\d.]+) \((.+?)\): (.+)$", textos, re.MULTILINE)
    capitulo = str(int(caderno.name[:2]))
    assert [(n, nivel, titulo.lower()) for n, nivel, titulo in titulos] == [
        (n, e.level, e.title.lower()) for n, e in available_exercises().items() if n.split(".")[0] == capitulo
    ]


def test_ha_cadernos():
    assert CADERNOS, "nenhum caderno em notebooks/: os testes por caderno não teriam conferido nada"
