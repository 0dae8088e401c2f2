"""Auditar um juiz: quanto ele concorda com pessoas, e quanto decide pela posição, pelo tamanho ou não decide nada.

Vereditos são "a", "b" ou "empate"; `None` é uma resposta que não se leu, e conta como erro, não some. As proporções vêm
com o intervalo de Wilson; as outras medidas, por bootstrap.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from .duels import TIE_MARGIN, Duel
from .intervals import Interval, expanded_level, mean_interval, rate_interval


@dataclass(frozen=True)
class PositionBias:
    """O que a posição faz com o veredito.

    Atributos:
        first: fração das escolhas que caem na resposta mostrada primeiro; sem viés, 0,5.
        consistent: fração dos duelos em que o veredito é o mesmo nas duas ordens.
    """

    first: Interval
    consistent: Interval


def paired_interval(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    first: Sequence,
    second: Sequence,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Estatística de dois valores por caso, e o intervalo por bootstrap, que reamostra os pares.

    São os percentis, alargados como em :func:`~llmdefinitions.intervals.expanded_level`.

    Uma reamostra em que a estatística não existe (todos os valores iguais) fica de fora; se são mais da metade, o
    intervalo é o que se sabe: nada, de `nan` a `nan`.

    Parâmetros:
        statistic: de dois vetores do mesmo tamanho a um número, `nan` se não existe.
        first, second: um valor por caso.
        level: confiança, em (0, 1).
        resamples: quantas reamostras.
        seed: semente delas.

    Erros:
        ValueError: tamanhos diferentes, menos de dois casos, ou `level` fora de (0, 1).
    """
    a, b = np.asarray(first), np.asarray(second)
    if len(a) != len(b) or len(a) < 2 or not 0 < level < 1:
        raise ValueError(
            f"{len(a)} e {len(b)} valores, level={level}: esperados o mesmo número, ao menos dois, e 0 < level < 1."
        )
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(a), size=(resamples, len(a)))
    values = np.array([statistic(a[rows], b[rows]) for rows in chosen])
    known = values[np.isfinite(values)]
    tail = (1 - expanded_level(level, len(a))) / 2
    low, high = np.quantile(known, [tail, 1 - tail]) if 2 * len(known) > resamples else (np.nan, np.nan)
    return Interval(float(statistic(a, b)), float(low), float(high), len(a))


def spearman(first: Sequence[float], second: Sequence[float], *, resamples: int = 1000, seed: int = 0) -> Interval:
    """Correlação de postos de Spearman (1904): 1 se as duas ordens são a mesma, 0 se nada têm em comum.

    `nan` se todos os valores de um lado são iguais: quem dá sempre a mesma nota não ordena nada.
    """
    return paired_interval(_spearman, first, second, resamples=resamples, seed=seed)


def kappa(first: Sequence[str], second: Sequence[str], *, resamples: int = 1000, seed: int = 0) -> Interval:
    """Kappa de Cohen (1960): concordância acima do acaso; 0 é o acaso, 1 é a concordância completa.

    `nan` se os dois lados dão sempre o mesmo rótulo: não há acaso a descontar.
    """
    return paired_interval(_kappa, first, second, resamples=resamples, seed=seed)


def judge_kappa(judge: Sequence[str | None], human: Sequence[str], *, resamples: int = 1000) -> Interval:
    """Kappa entre os vereditos de um juiz e os nossos; o ilegível é um rótulo à parte, que nunca concorda."""
    return kappa([v or "ilegível" for v in judge], human, resamples=resamples)


def accuracy(judge: Sequence[str | None], human: Sequence[str]) -> Interval:
    """Fração dos vereditos iguais aos nossos; o ilegível conta como erro.

    Erros:
        ValueError: tamanhos diferentes, ou nenhum veredito.
    """
    return rate_interval([mine == theirs for mine, theirs in zip(judge, human, strict=True)])


def unreadable_rate(judge: Sequence[object]) -> Interval:
    """Fração das respostas em que não se leu nem nota nem veredito."""
    return rate_interval([value is None for value in judge])


def position_bias(direct: Sequence[str | None], swapped: Sequence[str | None]) -> PositionBias:
    """Viés de posição, dos mesmos duelos julgados nas duas ordens.

    Parâmetros:
        direct: vereditos com a resposta A na frente.
        swapped: vereditos com a B na frente, já traduzidos: "a" é a resposta A do duelo, mostrada em segundo lugar.

    Erros:
        ValueError: tamanhos diferentes, ou menos de dois duelos decididos.
    """
    pairs = list(zip(direct, swapped, strict=True))
    first = [[v == side for v, side in zip(pair, "ab", strict=True) if v in ("a", "b")] for pair in pairs]
    by_duel = [float(np.mean(choices)) for choices in first if choices]
    if len(by_duel) < 2:
        raise ValueError(f"{len(by_duel)} duelos decididos: sem ao menos dois não há viés de posição a medir.")
    return PositionBias(mean_interval(by_duel), rate_interval([d == s and d is not None for d, s in pairs]))


def length_bias(judge: Sequence[str | None], duels: Sequence[Duel]) -> Interval:
    """Fração das escolhas que caem na resposta mais longa; a melhor é a mais longa em metade dos duelos do livro.

    Erros:
        ValueError: tamanhos diferentes, ou menos de dois duelos decididos entre respostas de tamanhos diferentes.
    """
    chosen = [
        verdict == duel.longer
        for verdict, duel in zip(judge, duels, strict=True)
        if verdict in ("a", "b") and duel.longer != "empate"
    ]
    if len(chosen) < 2:
        raise ValueError(f"{len(chosen)} duelos decididos: sem ao menos dois não há viés de tamanho a medir.")
    return rate_interval(chosen)


def verdicts_from_scores(
    pairs: Sequence[tuple[float | None, float | None]], *, margin: float = TIE_MARGIN
) -> list[str | None]:
    """Vereditos de um juiz que dá uma nota a cada resposta: notas a menos de `margin` uma da outra são empate."""
    return [None if a is None or b is None else decide(a - b, margin) for a, b in pairs]


def decide(difference: float, margin: float = 0.0) -> str:
    """Veredito de uma diferença entre a resposta A e a B; `margin=0` só empata no igual."""
    if abs(difference) < margin or difference == 0:
        return "empate"
    return "a" if difference > 0 else "b"


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    if (a == a[0]).all() or (b == b[0]).all():
        return float("nan")
    return float(stats.spearmanr(a, b).statistic)


def _kappa(a: np.ndarray, b: np.ndarray) -> float:
    with warnings.catch_warnings():
        # Com um só rótulo a conta é 0/0; o scikit-learn avisa e devolve nan, que é a resposta certa.
        warnings.simplefilter("ignore")
        return float(cohen_kappa_score(a, b))
