"""Estado dos geradores aleatórios (PyTorch, NumPy e Python), para guardar e repor."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def rng_tensors() -> dict[str, Tensor]:
    """Parte do estado que é vetor: `torch`, `cuda.i` e `mps` (uint8) e as 624 palavras do NumPy (int64)."""
    states = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.random.get_state()[1].astype(np.int64))}
    if torch.cuda.is_available():
        states |= {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    if torch.backends.mps.is_available():  # a GPU dos Macs
        states["mps"] = torch.mps.get_rng_state()
    return states


def rng_numbers() -> dict[str, Any]:
    """Parte do estado que cabe em JSON: a posição no NumPy e o gerador do Python."""
    _, _, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    return {"numpy": [int(position), int(has_gauss), float(gauss)], "python": [version, list(internal), gauss_next]}


def restore_rng(tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    """Repõe o que :func:`rng_tensors` e :func:`rng_numbers` devolveram."""
    torch.set_rng_state(tensors["torch"])
    for name, state in tensors.items():
        if name.startswith("cuda."):
            torch.cuda.set_rng_state(state, int(name[5:]))
    if "mps" in tensors and torch.backends.mps.is_available():  # o checkpoint pode ter vindo de um Mac
        torch.mps.set_rng_state(tensors["mps"])
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, *numbers["numpy"]))
    version, internal, gauss_next = numbers["python"]
    random.setstate((version, tuple(internal), gauss_next))
