"""Exercícios do capítulo 1, Modelos de fundação: cada verificação recalcula a resposta por outro caminho."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .exercises import exercise


@exercise("1.1", "Perda do MLM", "fácil")
def _mlm_loss(answer: Callable[[Sequence[float], Sequence[bool]], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(probs, mascaradas)` que devolve a perda média."
    probs, masked = [0.5, 0.9, 0.25, 0.8], [True, False, True, False]
    got = answer(probs, masked)
    if math.isclose(got, -math.log(math.prod(probs)) / 4, rel_tol=1e-9):
        return "essa é a média de todas as posições; no MLM só contam as que foram escondidas."
    if math.isclose(got, 3 * math.log(2) / 4, rel_tol=1e-9):
        return "some só as posições escondidas e divida pelo número delas, e não pelo de todas."
    if not math.isclose(got, 1.5 * math.log(2), rel_tol=1e-9):
        return "é a média de −ln p do token certo nas posições escondidas: com p = 1/2 e 1/4, dá 1,5 · ln 2."
    if not math.isclose(answer([0.1, 0.2, 0.3], [False, False, True]), math.log(10 / 3), rel_tol=1e-9):
        return "a conta acerta um caso, mas não quando há uma só posição escondida."
    return None


@exercise("1.2", "Fertilidade", "fácil")
def _fertility(answer: Callable[[Sequence[str], Callable[[str], list[int]]], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(textos, codifica)`, em que `codifica(texto)` devolve a lista de ids."

    def letters(text: str) -> list[int]:  # um token por letra, e nenhum para o espaço
        return [ord(c) for c in text if c != " "]

    texts = ["casa azul grande", "o mar", "sol"]
    got = answer(texts, letters)
    n_tokens, n_words = 14 + 4 + 3, 6
    if math.isclose(got, n_words / n_tokens, rel_tol=1e-9):
        return "isso são palavras por token; a fertilidade é o inverso."
    if math.isclose(got, (14 / 3 + 4 / 2 + 3) / 3, rel_tol=1e-9):
        return "essa é a média das razões, em que um texto curto pesa tanto quanto um longo; divida os totais."
    if not math.isclose(got, n_tokens / n_words, rel_tol=1e-9):
        return "conte os tokens de todos os textos e divida pelas palavras de todos, separadas por espaços."
    return None


@exercise("1.3", "Semelhança de Jaccard", "médio")
def _jaccard(answer: Callable[[str, str, int], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(a, b, n)` que devolve um número entre 0 e 1."
    a, b = "o rato roeu a roupa do rei", "o rato roeu a rolha do rei"
    cases = ((a, a, 2, 1.0), (a, "chove muito lá fora", 2, 0.0), (a, b, 2, 4 / 8), (a, b, 1, 6 / 8))
    for first, second, n, expected in cases:
        got = answer(first, second, n)
        if math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-12):
            continue
        return (
            f"com n={n}, {first!r} e {second!r} têm semelhança {expected:g}, e não {got:g}: conte os n-gramas de "
            "palavras que os dois têm, sobre os que ao menos um tem."
        )
    if not math.isclose(answer("sim sim sim não", "sim não", 1), 1.0):
        return "são conjuntos: um n-grama repetido no mesmo texto conta uma vez só."
    return None


@exercise("1.4", "Cosseno depois de centrar", "médio")
def _centered_cosine(answer: Callable[[Sequence[float], Sequence[float], Sequence[float]], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(u, v, media)` que devolve o cosseno entre u e v depois de tirar a média."
    u, v, mean = [101.0, 1.0], [101.0, -1.0], [100.0, 0.0]
    got = answer(u, v, mean)
    if math.isclose(got, 10_200 / 10_202, rel_tol=1e-9):
        return "esse é o cosseno sem centrar: subtraia a média dos dois vetores antes."
    if not math.isclose(got, 0.0, abs_tol=1e-9):
        return "depois de tirar a média sobram (1, 1) e (1, −1), que são perpendiculares: o cosseno deles é 0."
    if not math.isclose(answer([3.0, 4.0], [6.0, 8.0], [0.0, 0.0]), 1.0, rel_tol=1e-9):
        return "vetores na mesma direção têm cosseno 1, qualquer que seja o comprimento: falta dividir pelas normas."
    return None


@exercise("1.5", "O mesmo treino em outra rede", "médio")
def _same_run_elsewhere(answer: float) -> str | None:
    # Enunciado: 1.287 MWh do GPT-3, fator médio do SIN em 2024, 0,0545 tCO₂/MWh; em toneladas.
    expected = 1287 * 0.0545
    if not isinstance(answer, (int, float)) or isinstance(answer, bool):
        return "a resposta é um número, em toneladas de CO₂."
    if math.isclose(answer, expected, rel_tol=0.01):
        return None
    for factor, unit in ((1000, "quilogramas"), (1e6, "gramas"), (1 / 1000, "milhares de toneladas")):
        if math.isclose(answer, expected * factor, rel_tol=0.01):
            return f"isso está em {unit}: o fator já vem em toneladas por MWh."
    if math.isclose(answer, 1287 / 0.0545, rel_tol=0.01):
        return "quanto menor o fator da rede, menos se emite: ele não divide."
    return "a energia é a mesma; o que muda é o fator da rede, em toneladas por MWh."


@exercise("1.6", "Descontar o controle", "médio")
def _contrast(
    answer: Callable[[Sequence[tuple[float, float]], Sequence[tuple[float, float]]], float],
) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(grupo, controle)`; cada um é uma lista de pares (ln p com ele, ln p com ela)."
    group, control = (
        [(-10.0, -12.0), (-20.0, -21.0)],
        [(-30.0, -31.0), (-15.0, -15.5), (-9.0, -9.0), (-8.0, -9.0), (-7.0, -7.0)],
    )
    got = answer(group, control)
    if math.isclose(got, 1.5, rel_tol=1e-9):
        return "essa é a preferência do grupo; o modelo também prefere 'ele' no controle, e isso não é do grupo."
    if math.isclose(got, -1.0, rel_tol=1e-9):
        return "o sinal está trocado: positivo quer dizer que o grupo puxa para 'ele' mais que o controle."
    if not math.isclose(got, 1.0, rel_tol=1e-9):
        return "tire a diferença de cada par, depois a média de cada lista (que podem ter tamanhos diferentes)."
    return None


@exercise("1.7", "Até onde o modelo recita", "difícil")
def _recited(answer: Callable[[Sequence[int], Sequence[int]], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(certo, escrito)` que recebe duas listas de ids do mesmo tamanho."
    true = [5, 6, 7, 8]
    if not math.isclose(answer(true, true), 1.0):
        return "se os dois são iguais, o modelo recitou tudo: a fração é 1."
    if not math.isclose(answer(true, [9, 6, 7, 8]), 0.0, abs_tol=1e-12):
        return "pare na primeira diferença: o que coincide depois dela já não é continuação do texto."
    if not math.isclose(answer(true, [5, 6, 0, 8]), 0.5):
        return "conte os tokens iguais do começo até a primeira diferença e divida pelo tamanho do trecho."
    if not math.isclose(answer([1, 2, 3], [1, 2, 4]), 2 / 3):
        return "a conta acerta trechos de 4 tokens, mas não de 3: use o tamanho da lista."
    return None
