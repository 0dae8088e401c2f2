"""Decodificação de um ou poucos tokens por vez: as contas do modelo em menos chamadas.

Com poucas posições, cada conta é pequena, e chamá-la módulo por módulo custa tanto quanto fazê-la. Aqui as três
projeções da atenção viram uma, e cada bloco é uma sequência de funções sobre os mesmos pesos.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .model import CACHE_WITH_GRADIENTS, FeedForward, GPTModel, KVCache, LayerNorm, MultiHeadAttention, TransformerBlock

#: Acima desta largura a conta domina as chamadas, e juntar as projeções só gastaria memória.
MAX_EMB_DIM = 1024

_KNOWN = {
    *(GPTModel, TransformerBlock, MultiHeadAttention, FeedForward, LayerNorm),
    *(nn.ModuleList, nn.Sequential, nn.Embedding, nn.Linear, nn.Dropout, nn.GELU),
}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


class _Layer(NamedTuple):
    stored: Tensor  # (B, 2, H, context_length, K)
    norm1: tuple[Tensor, Tensor]  # escala e deslocamento, (D,) cada
    qkv: tuple[Tensor, Tensor | None]  # peso e viés daqui para baixo: (3·D, D) e (3·D,)
    out: tuple[Tensor, Tensor]  # (D, D) e (D,)
    norm2: tuple[Tensor, Tensor]  # (D,) cada
    up: tuple[Tensor, Tensor]  # (4·D, D) e (4·D,)
    down: tuple[Tensor, Tensor]  # (D, 4·D) e (D,)


class TokenDecoder:
    """Logits de T tokens novos, dado um `GPTModel` em `eval()` e o cache das posições anteriores."""

    def __init__(self, model: GPTModel, cache: KVCache) -> None:
        self.model, self.cache = model, cache
        self.layers = [_layer(block, cache.stored[i]) for i, block in enumerate(model.trf_blocks)]

    @staticmethod
    def supports(model: nn.Module) -> bool:
        """Se o modelo é só o que este módulo sabe calcular: nada trocado (LoRA), observado (hooks) nem largo."""
        return (
            type(model) is GPTModel
            and model.cfg.emb_dim <= MAX_EMB_DIM
            and all(
                type(m) in _KNOWN and "forward" not in vars(m) and not any(getattr(m, name) for name in _HOOKS)
                for m in model.modules()
            )
        )

    def __call__(self, new: Tensor) -> Tensor:
        """Acrescenta T tokens por linha ao cache: `(B, T)` → `(B, T, V)`.

        Erros:
            ValueError: mais tokens do que cabem no contexto, ou gradientes ligados.
        """
        cfg, past, n_new = self.model.cfg, self.cache.length, new.shape[1]
        end = past + n_new
        if end > cfg.context_length:
            return self.model(new, cache=self.cache)  # o modelo recusa, com a sua mensagem
        width, eps = (cfg.emb_dim,), self.model.final_norm.eps
        heads = (len(new), n_new, 3, cfg.n_heads, cfg.head_dim)
        # Um token só, no fim, vê todo o passado; vários precisam da máscara causal entre si.
        mask = None if n_new == 1 else torch.ones(n_new, end, dtype=torch.bool, device=new.device).tril(past)  # (T, S)
        x = self.model.tok_emb(new) + self.model.pos_emb.weight[past:end]  # (B, T, D)
        for stored, norm1, qkv, out, norm2, up, down in self.layers:
            normed = torch.layer_norm(x, width, *norm1, eps)  # (B, T, D)
            q_k_v = F.linear(normed, *qkv).view(heads).permute(0, 2, 3, 1, 4)  # (B, 3, H, T, K)
            if q_k_v.requires_grad:
                raise ValueError(CACHE_WITH_GRADIENTS)
            stored[:, :, :, past:end] = q_k_v[:, 1:]
            k, v = stored[:, :, :, :end].unbind(1)  # (B, H, S, K) cada
            seen = F.scaled_dot_product_attention(q_k_v[:, 0], k, v, attn_mask=mask)  # (B, H, T, K)
            x = x + F.linear(seen.transpose(1, 2).reshape(x.shape), *out)  # (B, T, D)
            normed = torch.layer_norm(x, width, *norm2, eps)  # (B, T, D)
            hidden = F.gelu(F.linear(normed, *up), approximate="tanh")  # (B, T, 4·D)
            x = x + F.linear(hidden, *down)  # (B, T, D)
        self.cache.length = end
        return self.model.out_head(self.model.final_norm(x))  # (B, T, V)


def _layer(block: TransformerBlock, stored: Tensor) -> _Layer:
    att, (up, _, down) = block.att, block.ff.layers
    projections = (att.W_query, att.W_key, att.W_value)
    weight = torch.cat([p.weight for p in projections])
    bias = None if att.W_query.bias is None else torch.cat([p.bias for p in projections])
    return _Layer(
        stored,
        norm1=(block.norm1.scale, block.norm1.shift),
        qkv=(weight, bias),
        out=(att.out_proj.weight, att.out_proj.bias),
        norm2=(block.norm2.scale, block.norm2.shift),
        up=(up.weight, up.bias),
        down=(down.weight, down.bias),
    )
