"""Intervalos de confiança por bootstrap: quanto uma média mudaria com outra amostra dos mesmos dados."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


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
        raise ValueError(f"level={level}: esperado um número entre 0 e 1, como 0,95.")
    for values in samples:
        if len(values) < 2:
            raise ValueError(f"{len(values)} valor(es): esperados ao menos dois para reamostrar.")
