"""O que mudou na arquitetura desde o GPT-2: RMSNorm, RoPE, SwiGLU, GQA e mistura de especialistas.

São as peças do Llama 2 (Touvron et al., 2023), do Mistral (Jiang et al., 2023) e do Mixtral (Jiang et al., 2024),
escritas para serem lidas: sem cache, sem dropout e, como nesses modelos, sem vieses nas camadas lineares.

Símbolos: B lote, T tokens, D largura, H cabeças de consulta, G cabeças de chave e valor, K = D/H, M largura interna
da rede por posição.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Divide cada vetor por sua raiz da média dos quadrados (Zhang e Sennrich, 2019).

    É a `LayerNorm` sem subtrair a média e sem deslocamento: menos contas e, nos experimentos do artigo,
    qualidade comparável.
    """

    def __init__(self, emb_dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        """`(..., D)` → `(..., D)`."""
        mean_square = x.square().mean(dim=-1, keepdim=True)  # (..., 1)
        return self.scale * x * torch.rsqrt(mean_square + self.eps)


def rope_frequencies(head_dim: int, base: float = 10_000.0) -> Tensor:
    """Quanto cada par de dimensões gira por posição, em radianos: θᵢ = base^(−2i/K), `(K/2,)`.

    O primeiro par dá uma volta a cada 2π posições; o último quase não gira e distingue posições distantes.

    Erros:
        ValueError: `head_dim` ímpar ou menor que 2, ou `base` não positiva.
    """
    if head_dim < 2 or head_dim % 2:
        raise ValueError(f"head_dim={head_dim}: esperado um par ≥ 2, porque a RoPE gira as dimensões aos pares.")
    if not base > 0:
        raise ValueError(f"base={base}: esperado um número maior que zero (10.000 no artigo).")
    return 1.0 / base ** (torch.arange(0, head_dim, 2) / head_dim)


def apply_rope(x: Tensor, positions: Tensor, base: float = 10_000.0) -> Tensor:
    """Gira cada par de dimensões de um ângulo proporcional à posição (RoPE; Su et al., 2021).

    Como o produto escalar de dois vetores girados só depende da diferença entre os ângulos, a nota da atenção passa a
    depender da distância entre os tokens, e não de onde estão. O par é (i, i + K/2), a convenção do `transformers`;
    o artigo usa (2i, 2i + 1), que dá no mesmo com as dimensões em outra ordem.

    Parâmetros:
        x: consultas ou chaves, `(B, H, T, K)`.
        positions: posição de cada token, `(T,)`.
        base: ver :func:`rope_frequencies`.

    Devolve:
        `(B, H, T, K)`; o comprimento de cada vetor não muda.

    Erros:
        ValueError: `positions` que não é `(T,)`, ou K ímpar.
    """
    if positions.shape != x.shape[-2:-1]:
        raise ValueError(f"positions de formato {tuple(positions.shape)}: esperado ({x.shape[-2]},), uma por token.")
    # O ângulo em float32 mesmo que x seja bfloat16, que não distingue as posições 256 e 257.
    angles = torch.outer(positions.float(), rope_frequencies(x.shape[-1], base).to(x.device))  # (T, K/2)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)  # (T, K/2)
    first, second = x.chunk(2, dim=-1)  # (B, H, T, K/2)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class SwiGLU(nn.Module):
    """Rede por posição em que uma projeção, passada pela SiLU, serve de porta para a outra (Shazeer, 2020).

    São três matrizes em vez de duas: com `hidden_dim` de 8/3 de D, tem tantos parâmetros quanto a rede do GPT-2.
    """

    def __init__(self, emb_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(emb_dim, hidden_dim, bias=False)
        self.up = nn.Linear(emb_dim, hidden_dim, bias=False)
        self.down = nn.Linear(hidden_dim, emb_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., D)` → `(..., D)`."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


class GroupedQueryAttention(nn.Module):
    """Atenção causal em que cada grupo de H/G consultas divide uma chave e um valor (GQA; Ainslie et al., 2023).

    O cache KV encolhe H/G vezes. Com G = H é a atenção de várias cabeças do GPT-2; com G = 1, a MQA (Shazeer, 2019).

    Parâmetros:
        emb_dim: largura do modelo, D.
        n_heads: cabeças de consulta, H.
        n_kv_heads: cabeças de chave e valor, G; H tem de ser múltiplo de G.
        rope_base: base da RoPE aplicada a consultas e chaves, ou `None` para não aplicá-la.

    Erros:
        ValueError: D não é múltiplo de H, ou H não é múltiplo de G.
    """

    def __init__(self, emb_dim: int, n_heads: int, n_kv_heads: int, rope_base: float | None = None) -> None:
        super().__init__()
        if min(emb_dim, n_heads, n_kv_heads) < 1 or emb_dim % n_heads or n_heads % n_kv_heads:
            raise ValueError(
                f"emb_dim={emb_dim}, n_heads={n_heads}, n_kv_heads={n_kv_heads}: esperados três inteiros ≥ 1, "
                "emb_dim múltiplo de n_heads e n_heads múltiplo de n_kv_heads."
            )
        self.head_dim, self.group_size, self.rope_base = emb_dim // n_heads, n_heads // n_kv_heads, rope_base
        self.W_query = nn.Linear(emb_dim, emb_dim, bias=False)
        self.W_key = nn.Linear(emb_dim, n_kv_heads * self.head_dim, bias=False)
        self.W_value = nn.Linear(emb_dim, n_kv_heads * self.head_dim, bias=False)
        self.out_proj = nn.Linear(emb_dim, emb_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, D)` → `(B, T, D)`."""
        q = self._split_heads(self.W_query(x))  # (B, H, T, K)
        k = self._split_heads(self.W_key(x))  # (B, G, T, K)
        v = self._split_heads(self.W_value(x))  # (B, G, T, K)
        if self.rope_base is not None:
            positions = torch.arange(x.shape[1], device=x.device)  # (T,)
            q, k = apply_rope(q, positions, self.rope_base), apply_rope(k, positions, self.rope_base)
        k = k.repeat_interleave(self.group_size, dim=1)  # (B, H, T, K)
        v = v.repeat_interleave(self.group_size, dim=1)  # (B, H, T, K)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, K)
        return self.out_proj(out.transpose(1, 2).flatten(2))  # (B, T, D)

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, T, n·K) → (B, n, T, K)


class MixtureOfExperts(nn.Module):
    """Várias redes por posição, das quais cada token usa só as k que o roteador escolher (MoE; Shazeer et al., 2017).

    Como no Mixtral (Jiang et al., 2024), cada especialista é uma SwiGLU e a softmax é feita só entre os k escolhidos.
    Fica de fora a perda auxiliar que, no treino, equilibra o uso dos especialistas.

    Erros:
        ValueError: `top_k` fora de 1..`n_experts`.
    """

    def __init__(self, emb_dim: int, hidden_dim: int, n_experts: int, top_k: int = 2) -> None:
        super().__init__()
        if not 1 <= top_k <= n_experts:
            raise ValueError(f"top_k={top_k} com n_experts={n_experts}: esperado 1 ≤ top_k ≤ n_experts.")
        self.top_k = top_k
        self.router = nn.Linear(emb_dim, n_experts, bias=False)
        self.experts = nn.ModuleList(SwiGLU(emb_dim, hidden_dim) for _ in range(n_experts))

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Peso e número dos k especialistas de cada token: `(..., D)` → dois `(..., k)`; os pesos somam 1."""
        scores, chosen = self.router(x).topk(self.top_k, dim=-1)  # (..., k)
        return scores.softmax(dim=-1), chosen

    def forward(self, x: Tensor) -> Tensor:
        """`(..., D)` → `(..., D)`."""
        weights, chosen = self.route(x)  # (..., k)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            is_mine = chosen == number  # (..., k)
            tokens = is_mine.any(dim=-1)  # (...): só estes passam pelo especialista
            weight = (weights * is_mine).sum(dim=-1)[tokens]  # (N,)
            out[tokens] += weight[:, None] * expert(x[tokens])  # (N, D)
        return out


class ModernBlock(nn.Module):
    """Um bloco à moda do Llama: o do GPT-2 com RMSNorm, GQA com RoPE e SwiGLU; trocada por uma
    :class:`MixtureOfExperts` a rede `ff`, é o bloco do Mixtral.

    Parâmetros: os de :class:`GroupedQueryAttention`, a largura M da rede (`hidden_dim`) e o `eps` das normalizações.
    """

    def __init__(
        self,
        emb_dim: int,
        n_heads: int,
        n_kv_heads: int,
        hidden_dim: int,
        *,
        rope_base: float | None = 10_000.0,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm1 = RMSNorm(emb_dim, eps)
        self.att = GroupedQueryAttention(emb_dim, n_heads, n_kv_heads, rope_base)
        self.norm2 = RMSNorm(emb_dim, eps)
        self.ff = SwiGLU(emb_dim, hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, D)` → `(B, T, D)`."""
        x = x + self.att(self.norm1(x))
        return x + self.ff(self.norm2(x))
