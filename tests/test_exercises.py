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

import exercicios_cap04 as cap04
import exercicios_cap05 as cap05
import exercicios_cap06 as cap06
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from llmdefinitions import GPTConfig, exercises
from llmdefinitions.exercises import CheckResult, available_exercises, check, exercise
from llmdefinitions.gpt2_format import gpt2_shapes

CADERNOS = sorted((Path(__file__).parent.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))


# --- soluções de referência


def _certa_1_1(probs, mascaradas):
    return -math.log(math.prod(p for p, m in zip(probs, mascaradas, strict=True) if m)) / sum(mascaradas)


def _certa_1_2(textos, codifica):
    return Fraction(sum(len(codifica(t)) for t in textos), len(" ".join(textos).split()))


def _certa_1_3(a, b, n):
    def gramas(texto):
        p = texto.split()
        return {tuple(p[i : i + n]) for i in range(len(p) - n + 1)}

    juntos = len(gramas(a) | gramas(b))
    return 1 - len(gramas(a) ^ gramas(b)) / juntos


def _certa_1_4(u, v, media):
    u, v = ([x - m for x, m in zip(w, media, strict=True)] for w in (u, v))
    angulo = math.atan2(u[0] * v[1] - u[1] * v[0], sum(x * y for x, y in zip(u, v, strict=True)))
    return math.cos(angulo)


def _certa_1_6(grupo, controle):
    return sum(a - b for a, b in grupo) / len(grupo) - sum(a - b for a, b in controle) / len(controle)


def _certa_1_7(certo, escrito):
    iguais = itertools.takewhile(lambda par: par[0] == par[1], zip(certo, escrito, strict=True))
    return len(list(iguais)) / len(certo)


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


# Cada texto continua "a escola é"; contados os pares de palavras que voltam, estão do menos para o mais repetitivo.
_TEXTOS_3_1 = (
    "a escola é um lugar onde gente aprende coisas novas todo santo dia útil",
    "a escola é boa e a escola é grande e tem um pátio com mangueiras",
    "a escola é a escola é a escola é a escola é a escola é",
)
_CERTA_3_1 = [(0.3 + i / 3, 0.8 + i / 20, texto) for i, texto in enumerate(_TEXTOS_3_1)]


def _certa_3_2(prefixos, gera, mede):
    medias = {p: math.fsum(mede(t[len(p) :]) for t in textos) / len(textos) for p in prefixos if (textos := gera(p))}
    return [p for _, p in sorted((media, p) for p, media in medias.items())]


def _certa_3_3(textos, fracao):
    distintos = list(dict.fromkeys(textos))
    corte = len(distintos) - round(len(distintos) * fracao)
    return [t for t in textos if distintos.index(t) < corte], [t for t in textos if distintos.index(t) >= corte]


def _certa_3_4(historico):
    por_passo = {h["step"]: 2 ** (h["eval_loss"] / math.log(2)) for h in historico if "eval_loss" in h}
    return list(por_passo.items()), min(por_passo, key=por_passo.__getitem__)


def _certa_3_5(T):
    return [[True] * (t + 1) + [False] * (T - t - 1) for t in range(T)]


def _certa_3_6(modelo, ids):
    # Em vez de trocar o futuro, retira-o: um modelo causal dá o mesmo ao prefixo.
    return any(modelo(ids[: t + 1])[t] != saida for t, saida in enumerate(modelo(ids)))


def _certa_3_7(contexto, respostas, inicio, separador, extracao):
    comeco = [inicio, *contexto, separador]
    return [comeco + list(resposta) + [extracao] for resposta in respostas]


def _certa_3_8(V, T, D, L):
    return sum(math.prod(formato) for formato in gpt2_shapes(GPTConfig(V, T, D, 1, L)).values())


CERTAS = {
    "1.1": _certa_1_1,
    "1.2": _certa_1_2,
    "1.3": _certa_1_3,
    "1.4": _certa_1_4,
    "1.5": 70.1,
    "1.6": _certa_1_6,
    "1.7": _certa_1_7,
    "2.1": _certa_2_1,
    "2.2": _certa_2_2,
    "2.3": _certa_2_3,
    "2.4": _certa_2_4,
    "2.5": 7_603_200,
    "2.6": _certa_2_6,
    "2.7": _certa_2_7,
    "3.1": _CERTA_3_1,
    "3.2": _certa_3_2,
    "3.3": _certa_3_3,
    "3.4": _certa_3_4,
    "3.5": _certa_3_5,
    "3.6": _certa_3_6,
    "3.7": _certa_3_7,
    "3.8": _certa_3_8,
}

# Enganos comuns e um trecho da dica que cada um tem de receber.
ERRADAS = [
    ("1.1", 0.7, "função `(probs, mascaradas)`"),
    ("1.1", lambda p, m: -sum(map(math.log, p)) / len(p), "só contam as que foram escondidas"),
    ("1.1", lambda p, m: _certa_1_1(p, m) * sum(m) / len(p), "não pelo de todas"),
    ("1.1", lambda p, m: 1.0, "com p = 1/2 e 1/4"),
    ("1.1", lambda p, m: 1.5 * math.log(2), "uma só posição escondida"),
    ("1.2", 1.5, "função `(textos, codifica)`"),
    ("1.2", lambda t, c: 1 / _certa_1_2(t, c), "palavras por token"),
    ("1.2", lambda t, c: sum(len(c(x)) / len(x.split()) for x in t) / len(t), "média das razões"),
    ("1.2", lambda t, c: sum(len(c(x)) for x in t), "divida pelas palavras de todos"),
    ("1.3", 0.5, "função `(a, b, n)`"),
    ("1.3", lambda a, b, n: 0.5, "conte os n-gramas"),
    ("1.3", lambda a, b, n: _certa_1_3(a, b, 1), "têm semelhança 0.5"),
    ("1.3", lambda a, b, n: _certa_1_3(a, b, n) if a[:3] != "sim" else 0.5, "conta uma vez só"),
    ("1.4", 0.0, "função `(u, v, media)`"),
    ("1.4", lambda u, v, m: _certa_1_4(u, v, [0, 0]), "sem centrar"),
    ("1.4", lambda u, v, m: 0.5, "são perpendiculares"),
    ("1.4", lambda u, v, m: sum((a - c) * (b - c) for a, b, c in zip(u, v, m, strict=True)), "dividir pelas normas"),
    ("1.5", "muito", "um número, em toneladas"),
    ("1.5", True, "um número, em toneladas"),
    ("1.5", 70_141.5, "em quilogramas"),
    ("1.5", 0.0701, "em milhares de toneladas"),
    ("1.5", 1287 / 0.0545, "ele não divide"),
    ("1.5", 552, "o que muda é o fator"),
    ("1.6", 1.0, "função `(grupo, controle)`"),
    ("1.6", lambda g, c: _certa_1_6(g, [(0, 0)]), "isso não é do grupo"),
    ("1.6", lambda g, c: -_certa_1_6(g, c), "o sinal está trocado"),
    ("1.6", lambda g, c: sum(a - b for a, b in g) - sum(a - b for a, b in c), "depois a média de cada lista"),
    ("1.7", 0.5, "função `(certo, escrito)`"),
    ("1.7", lambda a, b: 0.0, "a fração é 1"),
    ("1.7", lambda a, b: sum(x == y for x, y in zip(a, b, strict=True)) / len(a), "pare na primeira diferença"),
    ("1.7", lambda a, b: float(a == b), "divida pelo tamanho do trecho"),
    ("1.7", lambda a, b: _certa_1_7(a, b) * len(a) / 4, "use o tamanho da lista"),
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
    ("3.1", _CERTA_3_1[:2], "três trincas"),
    ("3.1", [(0.0, 0.9, texto) for texto in _TEXTOS_3_1], "maior que zero"),
    ("3.1", [(0.5, 0.9, texto) for texto in _TEXTOS_3_1], "mesma temperatura e o mesmo top-p"),
    ("3.1", [*_CERTA_3_1[:2], (2.0, 1.0, "outra coisa " * 9)], "mesmo prompt"),
    ("3.1", [*_CERTA_3_1[:2], (2.0, 1.0, "a escola é")], "menos de 12 palavras"),
    ("3.1", [(t, p, _TEXTOS_3_1[0]) for t, p, _ in _CERTA_3_1], "textos iguais"),
    ("3.1", _CERTA_3_1[::-1], "do menos para o mais repetitivo"),
    ("3.2", ["a"], "função `(prefixos, gera, mede)`"),
    ("3.2", lambda prefixos, gera, mede: prefixos[:1], "cada um uma vez"),
    ("3.2", lambda prefixos, gera, mede: sorted(prefixos, key=lambda p: mede(gera(p)[0])), "para cada texto gerado"),
    (
        "3.2",
        lambda prefixos, gera, mede: sorted(prefixos, key=lambda p: sum(map(mede, gera(p)))),
        "também mediria o que você escreveu",
    ),
    ("3.2", lambda prefixos, gera, mede: _certa_3_2(prefixos, gera, mede)[::-1], "da menor para a maior"),
    ("3.3", 0.2, "função `(textos, fracao)`"),
    ("3.3", lambda textos, fracao: (textos[:3], textos[3:5]), "nenhum texto pode se perder"),
    (
        "3.3",
        lambda textos, fracao: (textos[:-50], textos[-50:]) if len(textos) > 50 else _certa_3_3(textos, fracao),
        "cinco",
    ),
    ("3.3", lambda textos, fracao: (textos, []), "a validação ficou com 0.00"),
    ("3.4", 10, "recebe `trainer.state.log_history`"),
    ("3.4", lambda h: ([(d["step"], 1.0) for d in h], 10), "só as entradas com `eval_loss`"),
    ("3.4", lambda h: ([(d["step"], d["eval_loss"]) for d in h if "eval_loss" in d], 10), "nats por token"),
    ("3.4", lambda h: (_certa_3_4(h)[0], 20), "não é sempre o último"),
    ("3.5", True, "recebe T"),
    ("3.5", lambda T: [[True] * T], "4 linhas de 4 valores"),
    ("3.5", lambda T: [[True] * T] * T, "olha para o futuro"),
    ("3.5", lambda T: [[s < t for s in range(T)] for t in range(T)], "olha para si mesma"),
    ("3.5", lambda T: [[t - 1 <= s <= t for s in range(T)] for t in range(T)], "todo o passado"),
    ("3.6", False, "função `(modelo, ids)`"),
    ("3.6", lambda modelo, ids: modelo(ids) != modelo([v + 1 for v in ids]), "só olha para o passado, e foi acusado"),
    ("3.6", lambda modelo, ids: modelo([*ids[:-1], 0])[:-2] != modelo(ids)[:-2], "espia só o token seguinte"),
    (
        "3.6",
        lambda modelo, ids: any(_troca(modelo, ids, t)[t - 1] != modelo(ids)[t - 1] for t in range(2, 8)),
        "de uma posição do meio",
    ),
    (
        "3.6",
        lambda modelo, ids: any(_troca(modelo, ids, t)[:t] != modelo(ids)[:t] for t in range(2, 8)),
        "na primeira posição",
    ),
    ("3.7", [[1]], "(contexto, respostas, inicio, separador, extracao)"),
    ("3.7", lambda c, r, i, s, e: [[i, *c, s, *itertools.chain(*r), e]], "uma para cada resposta"),
    ("3.7", lambda c, r, i, s, e: [[i, *c, *x, e] for x in r], "o separador aparece uma vez"),
    ("3.7", lambda c, r, i, s, e: [[*c, s, *x, e] for x in r], "abre com o token de início"),
    ("3.7", lambda c, r, i, s, e: [[i, *x, s, *c, e] for x in r], "nesta ordem"),
    ("3.8", 124_439_808, "função `(V, T, D, L)`"),
    ("3.8", lambda V, T, D, L: _certa_3_8(V, T, D, L) + V * D, "contada de novo"),
    ("3.8", lambda V, T, D, L: _certa_3_8(V, T, D, L) - T * D, "faltam os embeddings de posição"),
    ("3.8", lambda V, T, D, L: _certa_3_8(V, T, D, L) - 2 * D, "falta a última normalização"),
    ("3.8", lambda V, T, D, L: _certa_3_8(V, T, D, L) - 3 * D * L, "confira os vieses"),
    ("3.8", lambda V, T, D, L: (V + T) * D + 8 * L * D * D, "quatro matrizes D×D"),
]

# O que uma dica não pode dizer: a conta pronta ou o resultado.
SEGREDOS = {
    "1.1": (r"math\.log", r"sum\("),
    "1.2": (r"sum\(", r"split\("),
    "1.3": (r"len\(", r"set\(", r"\|"),
    "1.4": (r"math\.", r"\*\* ?0?\.5"),
    "1.5": (r"70[.,]1", r"1[.,_]?287"),
    "1.6": (r"sum\(", r"fmean"),
    "1.7": (r"len\(", r"break"),
    "2.1": (r"ids\[:T\]", r"1 ?: ?T ?\+ ?1"),
    "2.2": (r"exp\(", r"\*\*"),
    "2.3": (r"log\(2\)", r"/ ?ln ?2\b"),
    "2.4": (r"sorted", r"cumsum"),
    "2.5": (r"7[.,_]?603", r"46[.,_]?080"),
    "2.6": (r"math\.", r"\(passo ?[-+]"),
    "2.7": (r"C ?/ ?120", r"sqrt", r"√"),
    "3.1": (r"sorted", r"\.sort\("),
    "3.2": (r"removeprefix", r"len\("),
    "3.3": (r"set\(", r"shuffle"),
    "3.4": (r"exp\(", r"min\("),
    "3.5": (r"<=", r"≤"),
    "3.6": (r"\[:t\]", r"\+ ?1"),
    "3.7": (r"\[inicio", r"\*contexto"),
    "3.8": (r"12 ?\*", r"8 ?\* ?D", r"13"),
}

for capitulo in (cap04, cap05, cap06):
    CERTAS |= capitulo.CERTAS
    ERRADAS += capitulo.ERRADAS
    SEGREDOS |= capitulo.SEGREDOS


def _troca(modelo, ids, t):
    return modelo([*ids[:t], 77, *ids[t + 1 :]])


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
