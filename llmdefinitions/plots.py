"""Gráficos do livro: cores distinguíveis por daltônicos, eixos com nome e unidade, figura devolvida e nunca gravada."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: Paleta de Okabe e Ito, distinguível nas formas comuns de daltonismo.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def use_book_style() -> None:
    """Ajusta o matplotlib para as páginas do livro: paleta própria, grade leve e letra legível no celular."""
    plt.rcParams.update(
        {
            "axes.prop_cycle": plt.cycler(color=COLORS),
            "axes.grid": True,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.dpi": 110,
            "figure.figsize": (6.4, 3.8),
            "font.size": 11,
            "grid.alpha": 0.3,
            "legend.frameon": False,
            "lines.linewidth": 2,
        }
    )


def plot_losses(
    epochs_seen: Sequence[float],
    tokens_seen: Sequence[int],
    train_losses: Sequence[float],
    val_losses: Sequence[float],
) -> Figure:
    """Perdas de treino e validação por época (eixo de baixo) e por tokens vistos (eixo de cima).

    Parâmetros:
        epochs_seen: época de cada medida.
        tokens_seen: tokens vistos até cada medida.
        train_losses: perda de treino, nats por token.
        val_losses: perda de validação, nats por token.

    Erros:
        ValueError: listas vazias ou de comprimentos diferentes.
    """
    lengths = [len(values) for values in (epochs_seen, tokens_seen, train_losses, val_losses)]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise ValueError(
            f"comprimentos {lengths} de épocas, tokens, treino e validação: esperado o mesmo nos quatro, e não zero."
        )
    figure, axis = plt.subplots(layout="constrained")
    axis.plot(epochs_seen, train_losses, label="treino")
    axis.plot(epochs_seen, val_losses, linestyle="--", label="validação")
    axis.set_xlabel("épocas")
    axis.set_ylabel("perda (nats por token)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend()
    # A posição em tokens é só outra régua do mesmo eixo: uma curva invisível a alinha com a de épocas.
    tokens_axis = axis.twiny()
    tokens_axis.plot(tokens_seen, train_losses, alpha=0)
    tokens_axis.set_xlabel("tokens vistos")
    tokens_axis.grid(visible=False)
    tokens_axis.xaxis.set_major_locator(MaxNLocator(nbins=5))
    tokens_axis.spines["top"].set_visible(True)
    plt.close(figure)
    return figure


def plot_next_token(
    tokens: Sequence[str], probs: Sequence[float], *, title: str = "", x_max: float | None = None
) -> Figure:
    """Barras horizontais com a probabilidade de cada candidato a próximo token.

    Parâmetros:
        tokens: texto de cada candidato, do mais para o menos provável; espaços aparecem como `␣`.
        probs: probabilidade de cada um, em [0, 1].
        title: título da figura.
        x_max: fim do eixo, para comparar figuras na mesma escala.
    """
    if len(tokens) != len(probs):
        raise ValueError(f"{len(tokens)} tokens e {len(probs)} probabilidades: esperado o mesmo número.")
    labels = [token.replace(" ", "␣").replace("\n", "⏎") for token in tokens]
    figure, axis = plt.subplots(figsize=(6.4, 0.32 * len(tokens) + 1.1), layout="constrained")
    rows = np.arange(len(labels))
    axis.barh(rows, probs, color=COLORS[0])
    axis.set_yticks(rows, labels, parse_math=False)  # um token pode ser um cifrão
    axis.invert_yaxis()
    axis.set_xlabel("probabilidade do próximo token")
    axis.set_xlim(0, x_max)
    axis.grid(visible=False, axis="y")
    axis.set_title(title)
    plt.close(figure)
    return figure
