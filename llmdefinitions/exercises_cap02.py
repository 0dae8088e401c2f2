"""Exercícios do capítulo 2, Pré-treinamento: cada verificação recalcula a resposta por outro caminho."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .exercises import exercise


@exercise("2.1", "Entrada e alvo", "fácil")
def _shift(answer: Callable[[list[int], int], tuple[list[int], list[int]]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(ids, T)` que devolve o par `(entrada, alvo)`."
    for ids, length in (([5, 6, 7, 8, 9], 4), ([1, 2, 3], 2), (list(range(30)), 12)):
        x, y = (list(part) for part in answer(ids, length))
        if len(x) != length or len(y) != length:
            return f"com {len(ids)} ids e T={length}, entrada e alvo devem ter {length} ids cada."
        if x != ids[:length]:
            return "a entrada é o começo da sequência: os T primeiros ids."
        if y != ids[1 : length + 1]:
            return "o alvo na posição t é a entrada na posição t + 1; o último alvo não está na entrada."
    return None


@exercise("2.2", "Perplexidade à mão", "fácil")
def _perplexity(answer: Callable[[Sequence[float]], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função que recebe a lista das probabilidades dos tokens certos."
    if not math.isclose(answer([0.1] * 5), 10.0, rel_tol=1e-9):
        return "um modelo que dá sempre 1/10 ao token certo hesita entre 10 tokens: a perplexidade é 10."
    probs = [0.9, 0.05, 0.4]
    expected = 1 / (probs[0] * probs[1] * probs[2]) ** (1 / 3)
    if not math.isclose(answer(probs), expected, rel_tol=1e-9):
        return "tire primeiro a média dos −ln p, e só depois a exponencial; a média das perplexidades é outra conta."
    return None


@exercise("2.3", "Comparar tokenizadores", "médio")
def _bits_per_byte(answer: Callable[[float, int, int], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(perda, n_tokens, n_bytes)`."
    if math.isclose(answer(2.0, 100, 400), 2.0 * 100 / 400, rel_tol=1e-9):
        return "isso são nats por byte; um bit é ln 2 nats."
    if not math.isclose(answer(math.log(2), 100, 400), 0.25, rel_tol=1e-9):
        return "some a perda de todos os tokens, divida pelos bytes e converta de nats para bits."
    if not math.isclose(answer(3.1, 977, 4096), 3.1 * 977 / 4096 / math.log(2), rel_tol=1e-9):
        return "a conta acerta o caso simples, mas não o geral: confira o uso de n_tokens e n_bytes."
    return None


@exercise("2.4", "O núcleo do top-p", "médio")
def _nucleus(answer: Callable[[Sequence[float], float], Sequence[int]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(probs, p)` que devolve os índices dos tokens mantidos."
    cases: tuple[tuple[list[float], float, set[int]], ...] = (
        ([0.5, 0.3, 0.2], 1.0, {0, 1, 2}),
        ([0.2, 0.5, 0.3], 0.6, {1, 2}),
        ([0.2, 0.5, 0.3], 0.4, {1}),
        ([0.05, 0.15, 0.6, 0.2], 0.75, {2, 3}),
    )
    for probs, p, expected in cases:
        got = set(answer(probs, p))
        if got == expected:
            continue
        if len(got) < len(expected):
            return f"com probs={probs} e p={p} a soma ainda não chega a p: o token que completa p também entra."
        if len(got) > len(expected):
            return f"com probs={probs} e p={p} há um conjunto menor que já soma p: pare ao alcançar p."
        return "comece pelos tokens mais prováveis: ordene antes de somar."
    return None


@exercise("2.5", "A conta em reais", "médio")
def _cost(answer: float) -> str | None:
    # Enunciado: 13B do Llama 2 (368.640 GPU-horas), 8 GPUs por servidor, US$ 30/h, R$ 5,50 por dólar.
    expected = 368_640 / 8 * 30 * 5.5
    if not isinstance(answer, (int, float)) or isinstance(answer, bool):
        return "a resposta é um número, em reais."
    if math.isclose(answer, expected, rel_tol=1e-6):
        return None
    if math.isclose(answer, expected * 8, rel_tol=1e-6):
        return "o preço é do servidor inteiro: divida as GPU-horas pelas 8 GPUs dele."
    if math.isclose(answer, expected / 5.5, rel_tol=1e-6):
        return "isso está em dólares; falta o câmbio."
    return "horas de servidor × preço da hora × câmbio."


@exercise("2.6", "Aquecimento e cosseno", "difícil")
def _schedule(answer: Callable[[int, int, int], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(passo, total, aquecimento)` que devolve o fator da taxa."
    total, warm = 101, 10
    factors = [answer(step, total, warm) for step in range(total)]
    if any(not math.isclose(factors[s], (s + 1) / warm, rel_tol=1e-9) for s in range(warm)):
        return "no aquecimento o fator sobe em linha reta: 1/aquecimento no passo 0, e 1 no último passo dele."
    if not math.isclose(factors[warm], 1.0, rel_tol=1e-9):
        return "logo depois do aquecimento o cosseno começa em 1."
    if abs(factors[-1]) > 1e-9:
        return "no último passo (total − 1) o fator chega a 0."
    middle = (warm + total - 1) // 2
    if not math.isclose(factors[middle], 0.5, abs_tol=1e-9):
        return "no meio da descida o cosseno vale 0,5: use ½·(1 + cos(π·progresso)), com o progresso de 0 a 1."
    if any(b > a for a, b in zip(factors[warm:], factors[warm + 1 :], strict=False)):
        return "depois do aquecimento o fator nunca sobe."
    return None


@exercise("2.7", "Um orçamento de operações", "difícil")
def _budget(answer: Callable[[float], tuple[float, float]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função que recebe C (FLOPs) e devolve o par (N, D)."
    for budget in (6e18, 1.2e21):
        n_params, n_tokens = answer(budget)
        if not math.isclose(6 * n_params * n_tokens, budget, rel_tol=1e-6):
            return "o par devolvido não gasta o orçamento: 6·N·D tem de ser C."
        if not math.isclose(n_tokens / n_params, 20, rel_tol=1e-6):
            return "a regra é 20 tokens por parâmetro: D = 20·N; substitua em C = 6·N·D e isole N."
    return None
