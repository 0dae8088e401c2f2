"""Vários exemplos numa linha, sem que um veja o outro: menos preenchimento, as mesmas perdas.

Num lote de exemplos de tamanhos diferentes boa parte das contas é preenchimento. Aqui as linhas têm todas o mesmo
tamanho e se enchem com exemplos inteiros; `segments` diz ao modelo onde cada um começa.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .config import IGNORE_INDEX
from .instruction import custom_collate_fn


class PackedBatch(NamedTuple):
    """Um lote empacotado; o preenchimento tem o seu próprio trecho e alvo −100."""

    inputs: Tensor  # (B, T)
    targets: Tensor  # (B, T)
    segments: Tensor  # (B, T)


def pack_lengths(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Reparte exemplos em linhas de `size` tokens: posições dos que vão em cada uma.

    Do maior ao menor, cada exemplo vai para a linha em que sobra menos espaço (*best fit decreasing*; Johnson, 1974): o
    número de linhas fica a no máximo 11/9 do mínimo possível, mais uma constante.

    Erros:
        ValueError: exemplo vazio, ou maior que `size`.
    """
    for i, length in enumerate(lengths):
        if not 0 < length <= size:
            raise ValueError(
                f"exemplo {i} com {length} tokens: esperado de 1 a {size}; retire-o, corte-o ou aumente size."
            )
    rows: list[list[int]] = []
    space: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        fitting = [row for row, left in enumerate(space) if left >= lengths[i]]
        if not fitting:
            rows.append([])
            space.append(size)
            fitting = [len(rows) - 1]
        best = min(fitting, key=lambda row: space[row])
        rows[best].append(i)
        space[best] -= lengths[i]
    return rows


def pack_batch(
    rows: Sequence[Sequence[Sequence[int]]], size: int, pad_token_id: int, *, mask_instruction: bool = False
) -> PackedBatch:
    """Monta um lote em que cada linha é uma lista de exemplos.

    Parâmetros:
        rows: exemplos de cada linha, em ids; os comprimentos de uma linha somam no máximo `size`.
        size: tokens por linha, T.
        pad_token_id: token que é o último alvo de cada exemplo e completa a linha.
        mask_instruction: ver :func:`~llmdefinitions.instruction.custom_collate_fn`.

    Erros:
        ValueError: lote ou linha vazia, ou linha que não cabe em `size`.
    """
    if not rows or not all(rows):
        raise ValueError("lote ou linha sem exemplos: esperado ao menos um em cada linha.")
    inputs = torch.full((len(rows), size), pad_token_id)
    targets = torch.full((len(rows), size), IGNORE_INDEX)
    segments = torch.empty(len(rows), size, dtype=torch.long)
    for r, row in enumerate(rows):
        used = 0
        for number, item in enumerate(row):
            x, y = custom_collate_fn([item], pad_token_id, mask_instruction=mask_instruction)  # (1, n)
            end = used + x.shape[1]
            if end > size:
                raise ValueError(f"a linha {r} precisa de {end} tokens ou mais e size={size}: use pack_lengths.")
            inputs[r, used:end], targets[r, used:end], segments[r, used:end] = x[0], y[0], number
            used = end
        segments[r, used:] = len(row)
    return PackedBatch(inputs, targets, segments)
