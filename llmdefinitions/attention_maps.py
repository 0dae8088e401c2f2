"""Mapas de atenção de um `GPTModel`, e o que acontece quando a máscara causal é retirada.

O modelo usa a atenção fundida do PyTorch, que não devolve os pesos. Aqui eles são recalculados, pela definição
(Vaswani et al., 2017), a partir do que entrou em cada camada de atenção durante uma passagem comum.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import MethodType

import torch
from torch import Tensor

from .generation import evaluating
from .model import GPTModel, KVCache, MultiHeadAttention


def attention_weights(model: GPTModel, idx: Tensor) -> Tensor:
    """Quanto cada posição olha para cada outra, em cada cabeça de cada camada.

    O elemento `[l, b, h, t, s]` é o peso que a posição t dá à posição s; cada linha soma 1. O modelo roda em `eval()`
    e sem gradientes, e volta ao modo em que estava. Dentro de :func:`without_causal_mask`, são os pesos sem máscara.

    Parâmetros:
        model: o modelo; só é lido.
        idx: ids `(B, T)`.

    Devolve:
        `(L, B, H, T, T)`.

    Erros:
        ValueError: entrada que o modelo recusa.
    """
    inputs: list[Tensor] = []  # o que entrou na atenção de cada camada, (B, T, D)
    with torch.no_grad(), evaluating(model), ExitStack() as hooks:
        for block in model.trf_blocks:
            handle = block.att.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
            hooks.callback(handle.remove)
        model(idx)
        maps = [_weights(block.att, x) for block, x in zip(model.trf_blocks, inputs, strict=True)]
    return torch.stack(maps)


@contextmanager
def without_causal_mask(model: GPTModel) -> Iterator[None]:
    """Retira a máscara causal enquanto durar o `with`: cada posição passa a ver também o futuro.

    Serve para mostrar o vazamento: um modelo treinado assim lê na entrada o token que deveria prever. Vale para
    `eval()` e para treino, com gradientes e dropout. Só este modelo muda, e a máscara volta mesmo que haja erro.
    Não serve para gerar com cache KV, em que o futuro ainda não existe: use `generate(..., use_cache=False)`.
    """
    layers = [block.att for block in model.trf_blocks]
    before = [vars(att).get("forward") for att in layers]
    for att in layers:
        att.forward = MethodType(_forward_without_mask, att)  # no objeto: a classe e os outros modelos ficam como estão
    try:
        yield
    finally:
        for att, forward in zip(layers, before, strict=True):
            if forward is None:
                del att.forward
            else:  # já estava trocado: um `with` dentro de outro
                att.forward = forward


def _weights(att: MultiHeadAttention, x: Tensor) -> Tensor:
    """softmax(QKᵀ/√K), com a máscara se a camada a usa: `(B, T, D)` → `(B, H, T, T)`."""
    q, k = _split_heads(att, att.W_query(x)), _split_heads(att, att.W_key(x))  # (B, H, T, K)
    scores = q @ k.mT / q.shape[-1] ** 0.5  # (B, H, T, T)
    if getattr(vars(att).get("forward"), "__func__", None) is not _forward_without_mask:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)  # (T, T)
        scores = scores.masked_fill(future, float("-inf"))
    return scores.softmax(dim=-1)


def _forward_without_mask(
    att: MultiHeadAttention, x: Tensor, cache: KVCache | None = None, layer: int = 0, mask: Tensor | None = None
) -> Tensor:
    """O mesmo que `MultiHeadAttention.forward`, sem máscara: `(B, T, D)` → `(B, T, D)`."""
    if mask is not None:
        raise ValueError("segments num modelo sem máscara: os trechos de uma linha se veriam. Chame-o sem `segments`.")
    if cache is not None:
        raise ValueError(
            f"cache KV na camada {layer} de um modelo sem máscara: as posições guardadas mudariam a cada token novo. "
            "Gere com `use_cache=False`."
        )
    values = _split_heads(att, att.W_value(x))  # (B, H, T, K)
    out = att.dropout(_weights(att, x)) @ values  # (B, H, T, K)
    return att.out_proj(out.transpose(1, 2).flatten(2))  # (B, T, D)


def _split_heads(att: MultiHeadAttention, x: Tensor) -> Tensor:
    return x.unflatten(-1, (att.n_heads, -1)).transpose(1, 2)  # (B, T, D) → (B, H, T, K)
