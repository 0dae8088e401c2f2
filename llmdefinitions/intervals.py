"""Intervalos de confiança: quanto uma média, uma diferença ou uma proporção mudaria com outra amostra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_LEVEL = "level={}: esperado um número entre 0 e 1, como 0,95."


@dataclass(frozen=True)
class Interval:
    """Uma estimativa e o intervalo em torno dela; `n` são os casos, de todas as amostras."""

    estimate: float
    low: float
    high: float
    n: int

    def contains(self, value: float) -> bool:
        """Se o intervalo inclui `value`."""
        return self.low <= value <= self.high


def mean_interval(values: Sequence[float], *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Média e intervalo por bootstrap de percentis (Efron, 1979).

    Parâmetros:
        values: um valor por caso independente. Medidas do mesmo caso devem entrar já resumidas num só valor.
        level: confiança, em (0, 1).
        resamples: quantas reamostragens.
        seed: semente delas.

    Erros:
        ValueError: menos de dois valores, ou `level` fora de (0, 1).
    """
    _check([values], level)
    return _bootstrap((values,), lambda a, axis: np.mean(a, axis=axis), level, resamples, seed)


def difference_interval(
    first: Sequence[float], second: Sequence[float], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Diferença entre as médias de duas amostras independentes, e o intervalo dela; parâmetros de `mean_interval`."""
    _check([first, second], level)
    return _bootstrap(
        (first, second), lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis), level, resamples, seed
    )


def paired_interval(first: Sequence[float], second: Sequence[float], *, level: float = 0.95) -> Interval:
    """Média das diferenças `second − first`, caso a caso, e o intervalo t de Student: vale com poucos pares.

    Parâmetros:
        first: um valor por caso.
        second: o outro valor de cada caso, na mesma ordem.
        level: confiança, em (0, 1).

    Erros:
        ValueError: menos de dois pares, listas de tamanhos diferentes, ou `level` fora de (0, 1).
    """
    _check([first, second], level)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} e {len(second)} valores: esperado um par por caso.")
    differences = np.subtract(second, first, dtype=float)
    if np.ptp(differences) == 0:  # sem variação, o t não se define; a estimativa não mudaria
        return Interval(float(differences[0]), float(differences[0]), float(differences[0]), len(differences))
    found = stats.ttest_1samp(differences, 0.0).confidence_interval(level)
    return Interval(float(differences.mean()), float(found.low), float(found.high), len(differences))


def proportion_interval(hits: int, n: int, *, level: float = 0.95) -> Interval:
    """Proporção de acertos e o intervalo de Wilson (1927), que vale com poucos casos e perto de 0 e de 1.

    Erros:
        ValueError: `n` menor que 1, `hits` fora de [0, n], ou `level` fora de (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(_LEVEL.format(level))
    if not (n >= 1 and 0 <= hits <= n):
        raise ValueError(f"{hits} acertos em {n} casos: esperado de 0 a n acertos, e ao menos um caso.")
    found = stats.binomtest(int(hits), int(n)).proportion_ci(level, method="wilson")
    return Interval(hits / n, float(found.low), float(found.high), n)


def _bootstrap(samples: tuple[Sequence[float], ...], statistic, level: float, resamples: int, seed: int) -> Interval:
    arrays = [np.asarray(values, dtype=float) for values in samples]
    found = stats.bootstrap(
        arrays,
        statistic,
        confidence_level=level,
        n_resamples=resamples,
        method="percentile",
        vectorized=True,
        # `random_state` é o nome que todas as versões aceitas do scipy entendem.
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(statistic(*arrays, axis=0)), float(found.low), float(found.high), sum(map(len, arrays)))


def _check(samples: Sequence[Sequence[float]], level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(_LEVEL.format(level))
    for values in samples:
        if len(values) < 2:
            raise ValueError(f"{len(values)} valor(es): esperados ao menos dois para medir a variação.")
