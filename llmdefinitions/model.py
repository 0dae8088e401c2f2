"""O modelo GPT: embeddings, blocos de atenção causal e a cabeça de linguagem.

Arquitetura do GPT-2 (Radford et al., 2019): normalização antes de cada sub-bloco, GELU, posições aprendidas.
Os nomes dos parâmetros e a ordem em que a criação e o dropout consomem o gerador aleatório são os do livro de
origem (Raschka, 2024): com a mesma semente saem os mesmos pesos e as mesmas máscaras.

Símbolos: B lote, T tokens, D `emb_dim`, H cabeças, K = D/H, V vocabulário, S posições já no cache mais T.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import GPTConfig

# Sem esta recusa o erro só viria no `backward`, e falaria da versão de um tensor: gravar no cache, que é no lugar,
# estraga o que a passagem de volta leria.
CACHE_WITH_GRADIENTS = (
    "cache KV com gradientes ligados: ele só serve para gerar. Chame o modelo dentro de `with torch.no_grad():`, "
    "ou, para treinar, chame-o sem `cache`."
)


class LayerNorm(nn.Module):
    """Normaliza cada vetor para média 0 e variância 1, com escala e deslocamento aprendidos (Ba et al., 2016)."""

    def __init__(self, emb_dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        """`(..., D)` → `(..., D)`."""
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)


class FeedForward(nn.Module):
    """Rede de duas camadas por posição, que alarga para 4·D e volta (GELU na forma com tanh)."""

    def __init__(self, cfg: GPTConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(cfg.emb_dim, 4 * cfg.emb_dim),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * cfg.emb_dim, cfg.emb_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, D)` → `(B, T, D)`."""
        return self.layers(x)


class KVCache:
    """Chaves e valores já calculados, para gerar sem repetir contas (Pope et al., 2023).

    Atributos:
        stored: `(L, B, 2, H, context_length, K)`.
        keys: `(L, B, H, context_length, K)`, vista de `stored`.
        values: `(L, B, H, context_length, K)`, vista de `stored`.
        length: quantas posições já estão preenchidas.
    """

    def __init__(self, cfg: GPTConfig, batch_size: int, device: torch.device, dtype: torch.dtype) -> None:
        shape = (cfg.n_layers, batch_size, 2, cfg.n_heads, cfg.context_length, cfg.head_dim)
        self.stored = torch.empty(shape, device=device, dtype=dtype)
        self.keys, self.values = self.stored[:, :, 0], self.stored[:, :, 1]
        self.length = 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Grava as T posições novas da camada e devolve todas as S: `(B, H, T, K)` → `(B, H, S, K)`.

        Erros:
            ValueError: gradientes ligados.
        """
        if k.requires_grad or v.requires_grad:
            raise ValueError(CACHE_WITH_GRADIENTS)
        end = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


class MultiHeadAttention(nn.Module):
    """Autoatenção causal com H cabeças (Vaswani et al., 2017): cada posição só vê a si e o passado."""

    def __init__(self, cfg: GPTConfig) -> None:
        super().__init__()
        self.n_heads = cfg.n_heads
        self.W_query = nn.Linear(cfg.emb_dim, cfg.emb_dim, bias=cfg.qkv_bias)
        self.W_key = nn.Linear(cfg.emb_dim, cfg.emb_dim, bias=cfg.qkv_bias)
        self.W_value = nn.Linear(cfg.emb_dim, cfg.emb_dim, bias=cfg.qkv_bias)
        self.out_proj = nn.Linear(cfg.emb_dim, cfg.emb_dim)
        self.dropout = nn.Dropout(cfg.drop_rate)

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0, mask: Tensor | None = None) -> Tensor:
        """`(B, T, D)` → `(B, T, D)`; `mask` `(B, 1, T, T)`, verdadeira onde se pode ver, no lugar da causal."""
        q = self._split_heads(self.W_query(x))  # (B, H, T, K)
        k = self._split_heads(self.W_key(x))  # (B, H, T, K)
        v = self._split_heads(self.W_value(x))  # (B, H, T, K)
        past = 0
        if cache is not None:
            past = cache.length
            k, v = cache.extend(layer, k, v)  # (B, H, S, K)
        n_new = q.shape[2]
        # Sem passado, a máscara é a triangular padrão; um token só, no fim, vê tudo; o resto precisa da máscara.
        if past and n_new > 1:
            mask = torch.ones(n_new, past + n_new, dtype=torch.bool, device=x.device).tril(past)  # (T, S)
        dropout_p = self.dropout.p if self.training else 0.0
        if cache is None and q.dtype is torch.bfloat16 and q.device.type == "cpu" and torch.is_grad_enabled():
            out = _causal_attention(q, k, v, dropout_p, mask)  # (B, H, T, K)
        else:
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout_p, is_causal=mask is None and n_new > 1
            )  # (B, H, T, K)
        return self.out_proj(out.transpose(1, 2).flatten(2))  # (B, T, D)

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, T, D) → (B, H, T, K)


def _causal_attention(q: Tensor, k: Tensor, v: Tensor, dropout_p: float, allowed: Tensor | None = None) -> Tensor:
    """A atenção causal escrita por extenso: `(B, H, T, K)` três vezes → `(B, H, T, K)`.

    Só para treinar em bfloat16 na CPU: ali a volta da versão fundida do PyTorch 2.13 leva cerca do dobro do tempo.
    """
    n_tokens = q.shape[2]
    mask = torch.full((n_tokens, n_tokens), -torch.inf, dtype=q.dtype, device=q.device).triu(1)  # (T, T)
    if allowed is not None:
        mask = mask.masked_fill(~allowed, -torch.inf).expand(-1, q.shape[1], -1, -1).flatten(0, 1)  # (B·H, T, T)
    scores = torch.baddbmm(mask, q.flatten(0, 1), k.flatten(0, 1).mT, alpha=q.shape[3] ** -0.5)  # (B·H, T, T)
    weights = F.dropout(scores.softmax(-1), dropout_p)  # (B·H, T, T)
    return (weights @ v.flatten(0, 1)).view(q.shape)  # (B, H, T, K)


class TransformerBlock(nn.Module):
    """Um bloco: atenção e rede por posição, cada uma com normalização antes e conexão residual depois."""

    def __init__(self, cfg: GPTConfig) -> None:
        super().__init__()
        self.att = MultiHeadAttention(cfg)
        self.ff = FeedForward(cfg)
        self.norm1 = LayerNorm(cfg.emb_dim)
        self.norm2 = LayerNorm(cfg.emb_dim)
        self.drop_resid = nn.Dropout(cfg.drop_rate)

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0, mask: Tensor | None = None) -> Tensor:
        """`(B, T, D)` → `(B, T, D)`; os argumentos são os da atenção."""
        x = x + self.drop_resid(self.att(self.norm1(x), cache, layer, mask))
        return x + self.drop_resid(self.ff(self.norm2(x)))


class GPTModel(nn.Module):
    """Modelo de linguagem GPT: ids `(B, T)` → logits `(B, T, V)`.

    Parâmetros:
        cfg: dicionário com as chaves do livro de origem ou :class:`GPTConfig`.

    Erros:
        ValueError: chave errada ou valor inválido em `cfg` (a mensagem lista as chaves válidas).
    """

    def __init__(self, cfg: Mapping[str, Any] | GPTConfig) -> None:
        super().__init__()
        self.cfg = cfg = GPTConfig.from_dict(cfg)
        self.tok_emb = _embedding(cfg.vocab_size, cfg.emb_dim)
        self.pos_emb = _embedding(cfg.context_length, cfg.emb_dim)
        self.drop_emb = nn.Dropout(cfg.drop_rate)
        self.trf_blocks = nn.ModuleList(TransformerBlock(cfg) for _ in range(cfg.n_layers))
        self.final_norm = LayerNorm(cfg.emb_dim)
        self.out_head = nn.Linear(cfg.emb_dim, cfg.vocab_size, bias=False)
        if cfg.init_std is not None and not self.tok_emb.weight.is_meta:
            self._init_like_gpt2(cfg.init_std)
        if cfg.tie_weights:
            self.out_head.weight = self.tok_emb.weight

    def forward(
        self,
        in_idx: Tensor,
        *,
        cache: KVCache | None = None,
        last_only: bool = False,
        segments: Tensor | None = None,
    ) -> Tensor:
        """Logits de cada posição.

        Parâmetros:
            in_idx: ids inteiros `(B, T)`.
            cache: posições anteriores já calculadas; as T novas são acrescentadas a ele.
            last_only: calcula a saída só da última posição (a cabeça é a conta mais cara ao gerar).
            segments: `(B, T)`, o número do trecho de cada posição, para vários exemplos numa linha: nenhum vê outro,
                e as posições de cada um recomeçam do zero. Não vale com `cache`.

        Devolve:
            `(B, T, V)`, ou `(B, 1, V)` com `last_only`.

        Erros:
            ValueError: entrada que não é `(B, T)`, maior que o contexto, ou com id fora do vocabulário; `segments` de
                outro formato, decrescente numa linha, ou junto de `cache`.
        """
        past = 0 if cache is None else cache.length
        self._check_input(in_idx, past)
        n_new = in_idx.shape[1]
        positions = torch.arange(past, past + n_new, device=in_idx.device)  # (T,)
        mask = None
        if segments is not None:
            positions, mask = _segment_positions(segments, in_idx, cache)  # (B, T) e (B, 1, T, T)
        x = self.drop_emb(self._embed(in_idx) + self.pos_emb(positions))  # (B, T, D)
        for layer, block in enumerate(self.trf_blocks):
            x = block(x, cache, layer, mask)  # (B, T, D)
        if cache is not None:
            cache.length += n_new
        if last_only:
            x = x[:, -1:]  # (B, 1, D)
        return self.out_head(self.final_norm(x))  # (B, T, V)

    def new_cache(self, batch_size: int) -> KVCache:
        """Cache vazio para gerar `batch_size` sequências com este modelo."""
        weight = self.tok_emb.weight
        return KVCache(self.cfg, batch_size, weight.device, weight.dtype)

    def count_parameters(self) -> int:
        """Número de parâmetros; uma matriz compartilhada conta uma vez."""
        return sum(p.numel() for p in self.parameters())

    def _embed(self, in_idx: Tensor) -> Tensor:
        try:
            return self.tok_emb(in_idx)
        except IndexError:
            bad = in_idx[(in_idx < 0) | (in_idx >= self.cfg.vocab_size)]
            raise ValueError(
                f"id de token {int(bad[0])} fora do vocabulário de {self.cfg.vocab_size}: use o tokenizador "
                "com que o modelo foi criado, ou aumente `vocab_size`."
            ) from None

    def _check_input(self, in_idx: Tensor, past: int) -> None:
        if in_idx.ndim != 2 or in_idx.shape[1] == 0 or in_idx.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"entrada {tuple(in_idx.shape)} de {in_idx.dtype}: esperado ids inteiros (B, T) com T ≥ 1; "
                "para uma sequência só, use `ids.unsqueeze(0)`."
            )
        length = past + in_idx.shape[1]
        if length > self.cfg.context_length:
            raise ValueError(
                f"contexto de {length} tokens é maior que {self.cfg.context_length}: corte a entrada "
                f"(`idx[:, -{self.cfg.context_length}:]`) ou crie o modelo com `context_length` maior."
            )

    def _init_like_gpt2(self, std: float) -> None:
        # As duas projeções que entram no resíduo são 1/√(2L) menores: a variância não cresce com a profundidade.
        residual_std = std / (2 * self.cfg.n_layers) ** 0.5
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                is_residual = name.endswith(("att.out_proj", "ff.layers.2"))
                nn.init.normal_(module.weight, std=residual_std if is_residual else std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=std)


def _embedding(rows: int, width: int) -> nn.Embedding:
    """`nn.Embedding`; num tensor sem memória (`meta`) não sorteia, porque lá isso importa o compilador do PyTorch."""
    weight = torch.empty(rows, width)
    return nn.Embedding(rows, width, _weight=weight) if weight.is_meta else nn.Embedding(rows, width)


def _segment_positions(segments: Tensor, in_idx: Tensor, cache: KVCache | None) -> tuple[Tensor, Tensor]:
    """Posição de cada token dentro do seu trecho, `(B, T)`, e quem vê quem, `(B, 1, T, T)`."""
    if cache is not None or segments.shape != in_idx.shape or (segments.diff(dim=1) < 0).any():
        raise ValueError(
            f"segments de formato {tuple(segments.shape)} para uma entrada {tuple(in_idx.shape)}: esperado o mesmo "
            "formato, com números que não decrescem ao longo da linha, e sem cache."
        )
    places = torch.arange(segments.shape[1], device=segments.device)  # (T,)
    starts_here = F.pad(segments.diff(dim=1) != 0, (1, 0), value=True)  # (B, T)
    positions = places - torch.where(starts_here, places, 0).cummax(dim=1).values  # (B, T)
    same = segments.unsqueeze(2) == segments.unsqueeze(1)  # (B, T, T)
    return positions, same.tril().unsqueeze(1)
