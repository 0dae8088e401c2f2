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
    """Média e intervalo por bootstrap BCa (Efron, 1987), alargado para amostras pequenas.

    Os percentis crus dão um intervalo estreito demais com poucos casos, e no lugar errado quando os valores são
    assimétricos; o BCa corrige o lugar, e :func:`expanded_level`, a largura.

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


def expanded_level(level: float, n: int) -> float:
    """A confiança a pedir aos percentis do bootstrap para que o intervalo de `n` casos tenha a confiança `level`.

    O desvio das médias reamostradas é menor que o erro padrão por um fator √((n−1)/n), e os percentis agem como os da
    normal, e não como os do t de Student; a correção (Hesterberg, 2015) desfaz as duas coisas. Com centenas de casos,
    quase nada muda.

    Parâmetros:
        level: confiança desejada, em (0, 1).
        n: casos; ao menos dois.
    """
    tail = stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf((1 - level) / 2, n - 1))
    return float(1 - 2 * max(tail, 1e-12))  # com dois ou três casos, tudo o que se viu


def difference_interval(
    first: Sequence[float], second: Sequence[float], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Diferença entre as médias de duas amostras independentes, e o intervalo dela; parâmetros de `mean_interval`.

    Alargado como pede a menor das duas: em amostras desiguais, é um pouco largo, e nunca estreito.
    """
    _check([first, second], level)
    return _bootstrap(
        (first, second), lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis), level, resamples, seed
    )


def student_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Média e intervalo t de Student: vale com poucos valores (cinco sementes), em que o bootstrap sai estreito demais.

    Parâmetros:
        values: um valor por caso independente.
        level: confiança, em (0, 1).

    Erros:
        ValueError: menos de dois valores, ou `level` fora de (0, 1).
    """
    _check([values], level)
    if np.ptp(values) == 0:  # sem variação, o t não se define; a estimativa não mudaria
        return Interval(float(values[0]), float(values[0]), float(values[0]), len(values))
    found = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    return Interval(float(np.mean(values)), float(found.low), float(found.high), len(values))


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
    return student_interval(np.subtract(second, first, dtype=float), level=level)


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


def rate_interval(outcomes: Sequence[bool]) -> Interval:
    """Fração de verdadeiros, com o intervalo de 95% de :func:`proportion_interval`.

    Erros:
        ValueError: nenhum caso.
    """
    return proportion_interval(sum(map(bool, outcomes)), len(outcomes))


def _bootstrap(samples: tuple[Sequence[float], ...], statistic, level: float, resamples: int, seed: int) -> Interval:
    arrays = [np.asarray(values, dtype=float) for values in samples]
    estimate, n = float(statistic(*arrays, axis=0)), sum(map(len, arrays))
    if not any(np.ptp(values) for values in arrays):  # sem variação, toda reamostra é a própria amostra
        return Interval(estimate, estimate, estimate, n)
    scale = max(np.abs(values).max() for values in arrays)  # o BCa usa cubos, que se perderiam em números minúsculos
    found = stats.bootstrap(
        [values / scale for values in arrays],
        statistic,
        confidence_level=expanded_level(level, min(map(len, arrays))),
        n_resamples=resamples,
        method="BCa",
        vectorized=True,
        # `random_state` é o nome que todas as versões aceitas do scipy entendem.
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(estimate, float(scale * found.low), float(scale * found.high), n)


def _check(samples: Sequence[Sequence[float]], level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(_LEVEL.format(level))
    for values in samples:
        if len(values) < 2:
            raise ValueError(f"{len(values)} valor(es): esperados ao menos dois para medir a variação.")
