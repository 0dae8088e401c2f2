"""O dicionário aninhado `params` do livro de origem (Raschka, 2024): os pesos do GPT-2 como o TensorFlow os guarda.

`params["wte"]` e `params["wpe"]` são os embeddings; `params["g"]` e `params["b"]`, a normalização final; e
`params["blocks"][i]["attn"]["c_attn"]["w"]`, por exemplo, um peso do bloco i. Os formatos são os do GPT-2 publicado.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .config import GPTConfig
from .gpt2_format import PREFIX, check_tensors, copy_float32, from_gpt2_state, gpt2_shapes, has_qkv_bias
from .model import GPTModel


def load_weights_into_gpt(gpt: GPTModel, params: Mapping[str, Any]) -> None:
    """Põe em `gpt` os pesos de `params`; tudo é conferido antes, e um erro não muda nada no modelo.

    Um modelo criado com `qkv_bias=False` não teria onde guardar os vieses de consulta, chave e valor do GPT-2, e sem
    eles os logits seriam outros: se algum é diferente de zero, o modelo ganha esses parâmetros e `gpt.cfg` passa a
    dizer `qkv_bias=True`. Por isso crie o otimizador depois de carregar.

    Parâmetros:
        gpt: modelo com as dimensões do checkpoint; o GPT-2 publicado tem `context_length=1024`.
        params: o dicionário aninhado, com vetores NumPy ou tensores.

    Erros:
        ValueError: o que falta, o que sobra e o que tem outro formato, pelo caminho em `params`; ou um `gpt` com
            camadas que não são as do `GPTModel`.
    """
    state = state_from_params(params, gpt.cfg)
    cfg = gpt.cfg if not has_qkv_bias(state) else replace(gpt.cfg, qkv_bias=True)
    weights = from_gpt2_state(state, cfg)
    gains_bias = cfg.qkv_bias and not gpt.cfg.qkv_bias
    new = [name for name in weights if gains_bias and ".att.W_" in name and name.endswith(".bias")]
    if different := sorted(set(weights) ^ {*gpt.state_dict(), *new}):
        raise ValueError(f"{different[0]}: `gpt` não é um GPTModel puro; carregue os pesos antes de mudar as camadas.")
    for name in new:
        linear = gpt.get_submodule(name.removesuffix(".bias"))
        linear.bias = nn.Parameter(torch.zeros_like(linear.weight[:, 0]))  # (D,)
    gpt.cfg = cfg
    gpt.load_state_dict(weights)


def state_from_params(params: Mapping[str, Any], cfg: GPTConfig) -> dict[str, Tensor]:
    """Estado de GPT-2 (veja `gpt2_format`) a partir do dicionário aninhado.

    Erros:
        ValueError: o que falta, o que sobra e o que tem outro formato, pelo caminho em `params`.
    """
    shapes = gpt2_shapes(cfg)
    names = {".".join(_path(name)): name for name in shapes}
    found = dict(_leaves(params, ()))
    check_tensors(found, {path: shapes[name] for path, name in names.items()})
    return {names[path]: tensor for path, tensor in found.items()}


def params_from_state(state: Mapping[str, Tensor], cfg: GPTConfig) -> dict[str, Any]:
    """O inverso de :func:`state_from_params`: o dicionário aninhado, em vetores NumPy float32.

    Erros:
        ValueError: o estado não é o do GPT-2 de `cfg`.
    """
    state = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    shapes = gpt2_shapes(cfg)
    check_tensors({name: tensor for name, tensor in state.items() if name in shapes}, shapes)
    params: dict[str, Any] = {"blocks": [{} for _ in range(cfg.n_layers)]}
    for name in shapes:
        node: Any = params
        *path, leaf = _path(name)
        for key in path:
            node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
        node[leaf] = copy_float32(state[name]).numpy()
    return params


def _path(name: str) -> tuple[str, ...]:
    """`h.0.attn.c_attn.weight` → `blocks, 0, attn, c_attn, w`; as normalizações usam `g` e `b`."""
    *modules, kind = name.split(".")
    if modules[0] in ("wte", "wpe"):
        return (modules[0],)
    leaf = "b" if kind == "bias" else "g" if modules[-1].startswith("ln_") else "w"
    return (leaf,) if modules == ["ln_f"] else ("blocks", *modules[1:], leaf)


def _leaves(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield from _leaves(child, (*path, str(key)))
    elif isinstance(node, (list, tuple)) and path == ("blocks",):
        for index, child in enumerate(node):
            yield from _leaves(child, (*path, str(index)))
    else:
        try:
            yield ".".join(path), node if isinstance(node, Tensor) else torch.as_tensor(np.asarray(node))
        except (TypeError, ValueError) as error:
            where = f"params[{'.'.join(path)!r}]" if path else "params"
            raise ValueError(f"{where} é {type(node).__name__}: esperado um vetor numérico ({error}).") from error
