"""Lei de escala: como a perda cai com o número de tokens de treino, ajustada a medidas.

A forma é a de Hoffmann et al. (2022, eq. 2) com o tamanho do modelo fixo: L(D) = E + A·D^(−α). E é o que este modelo
pagaria com dados sem fim (a entropia do texto mais o que falta ao modelo), e a outra parcela, o que os dados ainda dão.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares


@dataclass(frozen=True)
class PowerLaw:
    """L(D) = `floor` + `scale` · D^(−`exponent`), na unidade em que as perdas vieram."""

    floor: float
    scale: float
    exponent: float

    def __call__(self, tokens: float) -> float:
        """Perda prevista para esse número de tokens."""
        return self.floor + self.scale * tokens**-self.exponent


def fit_power_law(tokens: Sequence[float], losses: Sequence[float]) -> PowerLaw:
    """Ajusta a lei por mínimos quadrados do erro relativo, com piso, escala e expoente positivos.

    O piso se adivinha mal quando as medidas não chegam perto dele: use a lei para prever pouco além do maior treino.

    Parâmetros:
        tokens: tokens de treino de cada medida, todos distintos.
        losses: perda de cada uma, em nats por token ou bits por byte.

    Erros:
        ValueError: menos de três medidas, tokens repetidos, ou valores que não são positivos e finitos.
    """
    d, measured = np.asarray(tokens, dtype=float), np.asarray(losses, dtype=float)
    if d.ndim != 1 or d.shape != measured.shape or len(d) < 3 or len(set(d.tolist())) < len(d):
        raise ValueError(
            f"tokens de formato {d.shape} e perdas de formato {measured.shape}: esperado o mesmo número de cada, ao "
            "menos 3 (a lei tem três parâmetros), com tokens distintos."
        )
    if not (np.isfinite(d) & (d > 0) & np.isfinite(measured) & (measured > 0)).all():
        raise ValueError(f"tokens={d.tolist()}, perdas={measured.tolist()}: esperado números positivos e finitos.")
    middle = np.exp(np.log(d).mean())  # com D medido em torno do meio, os três parâmetros têm tamanhos parecidos

    def predicted(parameters: np.ndarray) -> np.ndarray:
        floor, amplitude, exponent = np.exp(parameters)
        return floor + amplitude * (d / middle) ** -exponent

    # Não é convexo: parte de vários expoentes e fica com o melhor.
    starts = [np.log([0.5 * measured.min(), 0.5 * np.median(measured), exponent]) for exponent in (0.05, 0.2, 0.5, 1.0)]
    bounds = ([-50.0, -50.0, np.log(1e-3)], [50.0, 50.0, np.log(10.0)])
    fits = [least_squares(lambda p: predicted(p) / measured - 1, start, bounds=bounds, xtol=1e-12) for start in starts]
    floor, amplitude, exponent = np.exp(min(fits, key=lambda fit: fit.cost).x)
    return PowerLaw(float(floor), float(amplitude * middle**exponent), float(exponent))
