"""Ordenar modelos por duelos: Bradley-Terry, como a Chatbot Arena faz hoje, e Elo, como fazia antes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from .intervals import Interval

#: (quem, contra quem, resultado do primeiro): 1 se venceu, 0 se perdeu, 0,5 se empatou.
Game = tuple[str, str, float]
_SCALE = 400 / np.log(10)  # a escala do xadrez: 400 pontos são 10 para 1


@dataclass(frozen=True)
class Rating:
    """A força de um jogador, em pontos na escala do Elo (média 1000), com intervalo; `games` são as partidas."""

    name: str
    points: Interval
    games: int


def bradley_terry(games: Sequence[Game], *, prior: float = 0.5) -> dict[str, float]:
    """Forças de máxima verossimilhança do modelo de Bradley e Terry (1952): P(i vence j) = 1/(1 + e^(βⱼ−βᵢ)).

    Um empate vale meia vitória para cada lado. A ordem das partidas não importa.

    Parâmetros:
        games: partidas; todos têm de estar ligados por elas, direta ou indiretamente, para se compararem.
        prior: meia partida empatada com um adversário médio, por padrão: sem ela, quem nunca perdeu teria força
            infinita. Zero é a máxima verossimilhança pura.

    Devolve:
        β por jogador, de média zero.

    Erros:
        ValueError: nenhuma partida, alguém contra si mesmo, resultado fora de [0, 1], `prior` negativo, ou, com
            `prior=0`, alguém que só venceu ou só perdeu.
    """
    names, left, right, result = _arrays(games)
    if prior < 0:
        raise ValueError(f"prior={prior}: esperado um número ≥ 0.")
    if prior == 0:
        gained = np.bincount(left, result, len(names)) + np.bincount(right, 1 - result, len(names))
        played = np.bincount(left, minlength=len(names)) + np.bincount(right, minlength=len(names))
        extreme = [n for n, g, p in zip(names, gained, played, strict=True) if g in (0, p)]
        if extreme:
            raise ValueError(f"{extreme[0]} só venceu, ou só perdeu: a força seria infinita; use prior > 0.")
    return dict(zip(names, _fit(len(names), left, right, result, np.ones(len(result)), prior).tolist(), strict=True))


def ratings(games: Sequence[Game], *, prior: float = 0.5, resamples: int = 300, seed: int = 0) -> list[Rating]:
    """Bradley-Terry em pontos, do mais forte ao mais fraco, com intervalos de 95% por bootstrap sobre as partidas.

    Parâmetros:
        games, prior: ver :func:`bradley_terry`.
        resamples: reamostras das partidas.
        seed: semente delas.
    """
    strengths = bradley_terry(games, prior=prior)
    names, left, right, result = _arrays(games)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(games), np.full(len(games), 1 / len(games)), size=resamples)
    drawn = np.array([_fit(len(names), left, right, result, w, prior) for w in weights])  # (reamostras, jogadores)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    played = np.bincount(left, minlength=len(names)) + np.bincount(right, minlength=len(names))
    rows = [
        Rating(name, Interval(*(1000 + _SCALE * x for x in (strengths[name], low[i], high[i])), len(games)), int(n))
        for i, (name, n) in enumerate(zip(names, played, strict=True))
    ]
    return sorted(rows, key=lambda row: -row.points.estimate)


def win_probability(strengths: Mapping[str, float], first: str, second: str) -> float:
    """Probabilidade de `first` vencer `second`, dadas as forças de :func:`bradley_terry`."""
    return float(1 / (1 + np.exp(strengths[second] - strengths[first])))


def elo(games: Sequence[Game], *, k: float = 16.0, start: float = 1000.0) -> dict[str, float]:
    """Elo (1978): depois de cada partida, os pontos andam k × (resultado − esperado). A ordem importa.

    Parâmetros:
        games: partidas, na ordem em que aconteceram.
        k: passo.
        start: pontos de quem começa.

    Erros:
        ValueError: ver :func:`bradley_terry`, ou k ≤ 0.
    """
    if k <= 0:
        raise ValueError(f"k={k}: esperado um número > 0.")
    names, left, right, result = _arrays(games)
    points = np.full(len(names), float(start))
    for i, j, score in zip(left, right, result, strict=True):
        change = k * (score - 1 / (1 + 10 ** ((points[j] - points[i]) / 400)))
        points[i] += change
        points[j] -= change
    return dict(zip(names, points.tolist(), strict=True))


def games_from_scores(scores: Mapping[str, Sequence[float | None]], *, margin: float = 0.0) -> list[Game]:
    """Todos contra todos, item a item: vence a nota maior; diferença menor que `margin`, ou igual, é empate.

    Um item sem nota para um dos dois não é partida.

    Erros:
        ValueError: listas de tamanhos diferentes, ou menos de dois jogadores.
    """
    if len(scores) < 2 or len({len(row) for row in scores.values()}) != 1:
        sizes = {name: len(row) for name, row in scores.items()}
        raise ValueError(f"tamanhos {sizes}: esperados dois ou mais jogadores, com o mesmo número de itens.")
    names = list(scores)
    games: list[Game] = []
    for item in range(len(scores[names[0]])):
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                a, b = scores[first][item], scores[second][item]
                if a is not None and b is not None:
                    tied = abs(a - b) < margin or a == b
                    games.append((first, second, 0.5 if tied else float(a > b)))
    return games


def _arrays(games: Sequence[Game]) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    if not games:
        raise ValueError("nenhuma partida: não há o que ordenar.")
    for first, second, score in games:
        if first == second or not 0 <= score <= 1:
            raise ValueError(
                f"partida ({first}, {second}, {score}): esperados dois jogadores e um resultado em [0, 1]."
            )
    names = sorted({name for first, second, _ in games for name in (first, second)})
    index = {name: i for i, name in enumerate(names)}
    left, right = (np.array([index[game[side]] for game in games]) for side in (0, 1))
    return names, left, right, np.array([game[2] for game in games], dtype=float)


def _fit(
    n: int, left: np.ndarray, right: np.ndarray, result: np.ndarray, weight: np.ndarray, prior: float
) -> np.ndarray:
    """β `(n,)` que minimiza a entropia cruzada dos resultados, mais `prior` empates de cada um com a força zero."""

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        gap = beta[left] - beta[right]  # (partidas,)
        value = weight @ (np.logaddexp(0, gap) - result * gap) + prior * (np.logaddexp(0, beta) - beta / 2).sum()
        slope = weight * (1 / (1 + np.exp(-gap)) - result)
        grad = np.bincount(left, slope, n) - np.bincount(right, slope, n)
        return value, grad + prior * (1 / (1 + np.exp(-beta)) - 0.5)

    found = optimize.minimize(loss, np.zeros(n), jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9})
    return found.x - found.x.mean()
