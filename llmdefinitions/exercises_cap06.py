"""Exercícios do capítulo 6, Avaliação: cada verificação experimenta a resposta em casos que ela não viu."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from .exercises import exercise


@exercise("6.1", "F1 de palavras", "fácil")
def _word_f1(answer: Callable[[str, str], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(resposta, referencia)` que devolve um número de 0 a 1."
    cases = {("a b", "a b"): 1, ("a b c d", "a b"): 2 / 3, ("a a a", "a"): 0.5, ("b a", "a b"): 1}
    for (given, reference), right in cases.items():
        if not math.isclose(answer(given, reference), right, abs_tol=1e-9):
            repeated = given == "a a a"
            return f"com {given!r} e {reference!r} o esperado é outro valor: " + (
                "uma palavra repetida só conta tantas vezes quantas a referência a tem."
                if repeated
                else "a média é a harmônica, da precisão e da cobertura."
            )
    if answer("x", "y") != 0:
        return "sem nenhuma palavra em comum o F1 é zero, e a conta não pode dividir por zero."
    return None


@exercise("6.2", "Ler a nota sem adivinhar", "médio")
def _read_score(answer: Callable[[str], int | None]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função que recebe o texto do juiz e devolve um inteiro de 0 a 100, ou `None`."
    readable = {"85": 85, " 7\n": 7, "Nota: 85": 85, "nota: 0": 0, "85/100": 85, "100": 100}
    unreadable = ("", "não sei", "150", "Nota: 300", "o texto tem 26 erros", "entre 70 e 80", "Nota: 10. Nota: 90.")
    for text, score in readable.items():
        if answer(text) != score:
            return f"{text!r} diz claramente uma nota, e a função não a leu."
    for text in unreadable:
        if answer(text) is not None:
            return f"em {text!r} não há uma nota só, clara e de 0 a 100: a função tem de dizer que não leu."
    return None


@exercise("6.3", "pass@k sem viés", "médio")
def _pass_at_k(answer: Callable[[int, int, int], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(n, c, k)`."
    for n, c, k in ((5, 2, 1), (5, 2, 2), (6, 1, 3), (4, 4, 2), (4, 0, 3), (5, 3, 4)):
        draws = list(combinations([1] * c + [0] * (n - c), k))
        right = sum(map(any, draws)) / len(draws)
        got = answer(n, c, k)
        if math.isclose(got, 1 - (1 - c / n) ** k, abs_tol=1e-9) and not math.isclose(got, right, abs_tol=1e-9):
            return "essa conta sorteia com reposição, e erra para baixo: os k programas são k diferentes dos n."
        if not math.isclose(got, right, abs_tol=1e-9):
            return f"com n={n}, c={c} e k={k}, conte em quantas das escolhas de k programas todos falham."
    return None


@exercise("6.4", "Kappa de Cohen", "médio")
def _kappa(answer: Callable[[Sequence[str], Sequence[str]], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(juiz, humano)` de duas listas de rótulos."
    half = answer(["a", "a", "b", "b"], ["a", "b", "a", "b"])
    if math.isclose(half, 0.5, abs_tol=1e-9):
        return "isso é a fração de concordância; falta descontar a que o acaso daria."
    if not math.isclose(half, 0, abs_tol=1e-9):
        return "dois avaliadores que não se olham concordam só por acaso: o kappa deles é zero."
    judge, human = ["a"] * 10 + ["b"] * 10, ["a"] * 5 + ["b"] * 5 + ["a"] * 3 + ["b"] * 7
    if not math.isclose(answer(judge, human), 0.2, abs_tol=1e-9):
        return "o acaso usa a frequência de cada rótulo em cada avaliador, e não a mesma para todos os rótulos."
    if not math.isclose(answer(["a", "b", "c"], ["a", "b", "c"]), 1, abs_tol=1e-9):
        return "com três rótulos e concordância completa o kappa é 1: some o acaso de todos os rótulos."
    return None


@exercise("6.5", "O juiz que olha a posição", "médio")
def _position(answer: Callable[[Callable[[str, str], str], list[tuple[str, str]]], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(juiz, pares)`; `juiz(primeira, segunda)` devolve 'A' ou 'B'."
    pairs = [("curta", "bem mais longa"), ("uma longa de verdade", "oi"), ("três", "quatro letras"), ("ab", "c")]
    judges: list[tuple[Callable[[str, str], str], float, str]] = [
        (lambda first, second: "A", 0.0, "um juiz que sempre diz 'A' nunca mantém o veredito quando se troca a ordem."),
        (
            lambda first, second: "A" if len(first) > len(second) else "B",
            1.0,
            "um juiz que só olha o tamanho mantém o veredito: depois da troca, a mesma resposta tem outra letra.",
        ),
        (
            lambda first, second: "A" if "longa" in first else "B",
            0.5,
            "a fração é sobre todos os pares, cada um julgado nas duas ordens.",
        ),
    ]
    for judge, right, hint in judges:
        if not math.isclose(answer(judge, list(pairs)), right, abs_tol=1e-9):
            return hint
    return None


@exercise("6.6", "Uma partida de Elo", "fácil")
def _elo(answer: Callable[[float, float, float, float], tuple[float, float]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(a, b, resultado, k)` que devolve os pontos novos dos dois."
    first, second = answer(1000, 1000, 1, 32)
    if not math.isclose(first, 1016) or not math.isclose(second, 984):
        return "entre iguais o esperado é 0,5: com k=32, quem vence ganha metade de k, e o outro perde o mesmo."
    strong, weak = answer(1400, 1000, 1, 32)
    if math.isclose(strong, 1416):
        return "o esperado depende da diferença de pontos: o favorito que vence ganha pouco."
    if not math.isclose(strong - 1400, 32 / 11, rel_tol=1e-9) or not math.isclose(strong + weak, 2400):
        return "400 pontos de vantagem são 10 para 1, e o que um ganha o outro perde."
    return None


@exercise("6.7", "Um verificador de instrução", "fácil")
def _verifier(answer: Callable[[str, int], bool]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(texto, n)` que devolve se a instrução foi seguida."
    obeys = {("- a\n- b", 2): True, ("- só um", 1): True, ("\n- a\n\n- b\n", 2): True}
    fails = {
        ("- a\n- b", 3): "conte os itens.",
        ("a\nb", 2): "todo item começa por hífen e espaço.",
        ("- a, b\n- c", 2): "a instrução também proíbe vírgulas.",
        ("Claro:\n- a\n- b", 2): "a instrução pede só a lista: uma linha a mais já a descumpre.",
        ("-a\n-b", 2): "depois do hífen vem um espaço.",
        ("", 0): "uma resposta vazia não segue instrução nenhuma.",
    }
    for (text, n), right in obeys.items():
        if bool(answer(text, n)) is not right:
            return f"{text!r} segue a instrução de {n} item(ns); linhas em branco não contam."
    for (text, n), hint in fails.items():
        if answer(text, n):
            return hint
    return None


@exercise("6.8", "Contaminação por n-gramas", "difícil")
def _contamination(answer: Callable[[str, Sequence[str], int], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(texto, treino, n)` que devolve uma fração de 0 a 1."
    cases: list[tuple[tuple[Any, ...], float, str]] = [
        (("a b c d", ["x a b c y"], 3), 0.5, "dos dois trigramas do texto, o treino tem um."),
        (("a b c d", ["a b", "c d"], 2), 2 / 3, "um n-grama não atravessa dois textos de treino."),
        (("A b C", ["a B c"], 3), 1.0, "maiúsculas não contam."),
        (("a b a b", ["a b"], 2), 0.5, "conte os n-gramas distintos: o repetido vale um só."),
        (("a b c", [], 2), 0.0, "sem treino não há contaminação."),
    ]
    for arguments, right, hint in cases:
        if not math.isclose(answer(*arguments), right, abs_tol=1e-9):
            return hint
    return None
