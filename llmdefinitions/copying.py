"""Cópia do contexto: quanto um modelo aproveita, na segunda vez, uma sequência que acabou de ler."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .generation import evaluating


class CopyLosses(NamedTuple):
    """Perdas médias, em nats por token, na primeira e na segunda vez da mesma sequência."""

    first: float
    second: float


def copy_losses(model: nn.Module, *, length: int = 32, n: int = 64, seed: int = 0) -> CopyLosses:
    """Mostra duas vezes seguidas sequências de tokens sorteados, em que nada se prevê a não ser por cópia.

    É a medida de Olsson et al. (2022) para as cabeças de indução. Os ids são sorteados com a mesma chance no
    vocabulário inteiro: na primeira vez, o melhor possível é ln V.

    Parâmetros:
        model: modelo que leva ids `(B, T)` a logits `(B, T, V)`, com `cfg`.
        length: tokens da sequência.
        n: sequências.
        seed: semente do sorteio.

    Erros:
        ValueError: sequência de menos de dois tokens, duas vezes maior que o contexto, ou nenhuma.
    """
    context = model.cfg.context_length
    if not (length >= 2 and 2 * length <= context + 1 and n >= 1):
        raise ValueError(f"length={length}, n={n}: esperado 2 ≤ length ≤ {(context + 1) // 2} e n ≥ 1.")
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    once = torch.randint(model.cfg.vocab_size, (n, length), generator=generator)  # (N, length)
    ids = torch.cat([once, once], dim=1).to(device)  # (N, 2·length)
    with evaluating(model), torch.no_grad():
        logits = model(ids[:, :-1]).float()  # (N, 2·length − 1, V)
    losses = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")  # (N, 2·length − 1)
    # O primeiro token de cada vez não tem de onde ser copiado.
    return CopyLosses(losses[:, : length - 1].mean().item(), losses[:, length:].mean().item())
