"""Referências, enganos e segredos dos exercícios do capítulo 6, que test_exercises junta aos dos outros."""

import math
import re
from fractions import Fraction

from sklearn.metrics import cohen_kappa_score

from llmdefinitions import exercises_cap06  # noqa: F401 — importar é o que registra
from llmdefinitions.contamination import ngram_overlap
from llmdefinitions.judge_scores import parse_score


def _certa_6_1(dada, referencia):
    sobra, comuns = referencia.split(), 0
    for palavra in dada.split():
        if palavra in sobra:
            sobra.remove(palavra)
            comuns += 1
    if not comuns:
        return 0.0
    p, c = comuns / len(dada.split()), comuns / len(referencia.split())
    return 2 / (1 / p + 1 / c)


def _certa_6_2(texto):
    lida = parse_score(texto).value
    return None if lida is None else int(lida)


def _certa_6_3(n, c, k):
    return float(1 - Fraction(math.comb(n - c, k), math.comb(n, k)))


def _certa_6_4(juiz, humano):
    return cohen_kappa_score(juiz, humano)


def _certa_6_5(juiz, pares):
    escolha = {"A": 0, "B": 1}
    mantem = [(x, y)[escolha[juiz(x, y)]] == (y, x)[escolha[juiz(y, x)]] for x, y in pares]
    return sum(mantem) / len(mantem)


def _certa_6_6(a, b, resultado, k):
    forca = [10 ** (p / 400) for p in (a, b)]
    muda = k * (resultado - forca[0] / sum(forca))
    return a + muda, b - muda


def _certa_6_7(texto, n):
    linhas = [linha for linha in texto.splitlines() if linha.strip()]
    itens = [re.fullmatch(r"- [^,]+", linha) for linha in linhas]
    return n > 0 and len(itens) == n and None not in itens


def _certa_6_8(texto, treino, n):
    return ngram_overlap([texto], treino, n).fractions[0]


CERTAS = {f"6.{i}": globals()[f"_certa_6_{i}"] for i in range(1, 9)}

ERRADAS = [
    ("6.1", lambda a, b: len(set(a.split()) & set(b.split())) / len(b.split()), "a média é a harmônica"),
    (
        "6.1",
        lambda a, b: 2 * sum(p in b.split() for p in a.split()) / (len(a.split()) + len(b.split())),
        "uma palavra repetida só conta",
    ),
    ("6.1", lambda a, b: _certa_6_1(a, b) or 1 / 0, "levantou ZeroDivisionError"),
    ("6.1", 0.5, "é uma função"),
    ("6.2", lambda texto: int(texto) if texto.strip().isdigit() else None, "diz claramente uma nota"),
    ("6.2", lambda texto: int((re.findall(r"\d+", texto) or [0])[0]), "não há uma nota só"),
    ("6.2", 85, "é uma função"),
    ("6.3", lambda n, c, k: 1 - (1 - c / n) ** k, "sorteia com reposição"),
    ("6.3", lambda n, c, k: c / n, "todos falham"),
    ("6.3", 0.5, "é uma função"),
    ("6.4", lambda a, b: sum(x == y for x, y in zip(a, b, strict=True)) / len(a), "isso é a fração de concordância"),
    ("6.4", lambda a, b: 0.0, "o acaso usa a frequência"),
    ("6.4", lambda a, b: 0.3, "concordam só por acaso"),
    ("6.4", 1, "é uma função"),
    ("6.5", lambda juiz, pares: sum(juiz(x, y) == juiz(y, x) for x, y in pares) / len(pares), "nunca mantém"),
    ("6.5", lambda juiz, pares: 0.0, "mantém o veredito"),
    ("6.5", lambda juiz, pares: float(juiz(*pares[0]) != juiz(*pares[0][::-1])), "sobre todos os pares"),
    ("6.5", 1, "é uma função"),
    ("6.6", lambda a, b, r, k: (a + k * (r - 0.5), b - k * (r - 0.5)), "o favorito que vence ganha pouco"),
    ("6.6", lambda a, b, r, k: (a + k, b - k), "entre iguais o esperado é 0,5"),
    ("6.6", lambda a, b, r, k: (a + k * (r - 1 / (1 + math.exp((b - a) / 400))), b - k / 2), "400 pontos"),
    ("6.6", 1, "é uma função"),
    ("6.7", lambda texto, n: texto.count("- ") == n and bool(texto), "proíbe vírgulas"),
    ("6.7", lambda texto, n: len(texto.splitlines()) == n and "," not in texto, "linhas em branco não contam"),
    ("6.7", lambda texto, n: all(x.startswith("-") for x in texto.split("\n") if x), "conte os itens"),
    ("6.7", 1, "é uma função"),
    ("6.8", lambda texto, treino, n: float(any(texto in t for t in treino)), "o treino tem um"),
    ("6.8", lambda texto, treino, n: _certa_6_8(texto, [" ".join(treino)], n), "não atravessa dois textos"),
    ("6.8", 1, "é uma função"),
]

# Pedaços do código das soluções: nenhuma dica pode trazê-los.
SEGREDOS = {
    "6.1": (r"Counter\(", r"sum\("),
    "6.2": (r"findall", r"fullmatch"),
    "6.3": (r"range\(k\)", r"comb\("),
    "6.4": (r"Counter\(", r"1 - acaso"),
    "6.5": (r"!= juiz", r"sum\("),
    "6.6": (r"10 \*\*", r"/ 400\)"),
    "6.7": (r"startswith", r"split\("),
    "6.8": (r"union", r"range\("),
}
