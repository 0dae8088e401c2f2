"""O que sai de cada camada de um `GPTModel`, na mesma contagem do `output_hidden_states` do `transformers`."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor

from .generation import evaluating
from .model import GPTModel


def layer_states(model: GPTModel, idx: Tensor) -> Tensor:
    """Estados depois de cada camada: é por eles que se acha onde duas implementações se separam.

    O primeiro é a soma dos embeddings de tokens e de posições; os do meio saem de cada bloco; o último sai do último
    bloco e da normalização final, como o `transformers` o devolve. O modelo roda em `eval()` e sem gradientes, e volta
    ao modo em que estava.

    Parâmetros:
        model: o modelo; só é lido.
        idx: ids `(B, T)`.

    Devolve:
        `(L + 1, B, T, D)`.

    Erros:
        ValueError: entrada que o modelo recusa.
    """
    states: list[Tensor] = []  # o que entrou em cada bloco, (B, T, D)
    with torch.no_grad(), evaluating(model), ExitStack() as hooks:
        for block in model.trf_blocks:
            handle = block.register_forward_pre_hook(lambda _, args: states.append(args[0]))
            hooks.callback(handle.remove)
        handle = model.final_norm.register_forward_hook(lambda _, args, out: states.append(out))
        hooks.callback(handle.remove)
        model(idx)
    return torch.stack(states)
