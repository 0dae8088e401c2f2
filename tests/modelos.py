"""Modelos e lotes minúsculos para os testes, e uma segunda implementação do GPT, escrita à mão, para comparar."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from llmdefinitions import GPTConfig, GPTModel

CFG_PEQUENA: dict[str, Any] = {
    "vocab_size": 61,
    "context_length": 12,
    "emb_dim": 32,
    "n_heads": 4,
    "n_layers": 2,
    "drop_rate": 0.1,
    "qkv_bias": False,
}


@pytest.fixture(autouse=True)
def um_fio(request: pytest.FixtureRequest) -> Iterator[None]:
    """Um fio só, para os testes dos módulos que importam esta função, menos os lentos.

    Contas minúsculas não ganham com vários fios e, com a máquina ocupada, a espera entre eles as deixa 15 vezes mais
    lentas (medido).
    """
    antes = torch.get_num_threads()
    if request.node.get_closest_marker("lento") is None:
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(antes)


def modelo_pequeno(semente: int = 0, **mudancas: Any) -> GPTModel:
    torch.manual_seed(semente)
    return GPTModel({**CFG_PEQUENA, **mudancas})


def ids_sorteados(*formato: int, semente: int = 1, vocab_size: int = CFG_PEQUENA["vocab_size"]) -> Tensor:
    return torch.randint(vocab_size, formato, generator=torch.Generator().manual_seed(semente))


def pares(n: int, comprimento: int = 8, semente: int = 2) -> list[tuple[Tensor, Tensor]]:
    """Janelas (entrada, alvo deslocado em um) de uma sequência sorteada."""
    ids = ids_sorteados(n * comprimento + 1, semente=semente)
    comecos = range(0, n * comprimento, comprimento)
    return [(ids[i : i + comprimento], ids[i + 1 : i + comprimento + 1]) for i in comecos]


def carregador(n: int = 12, lote: int = 2, *, embaralha: bool = True, semente: int = 2, **opcoes: Any) -> DataLoader:
    return DataLoader(pares(n, semente=semente), batch_size=lote, shuffle=embaralha, **opcoes)


def pesos(modelo: torch.nn.Module) -> dict[str, Tensor]:
    return {nome: t.clone() for nome, t in modelo.state_dict().items()}


def iguais(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Mesmos nomes e mesmos bits."""
    return a.keys() == b.keys() and all(torch.equal(a[nome], b[nome]) for nome in a)


def atencao_de_referencia(x: Tensor, p: dict[str, Tensor], prefixo: str, n_heads: int, drop: float = 0.0) -> Tensor:
    """Atenção causal pela definição, uma cabeça por vez: softmax(QKᵀ/√K + máscara)·V, `(B, T, D)` → `(B, T, D)`."""
    n_tokens, largura = x.shape[1], x.shape[2]
    por_cabeca = largura // n_heads
    q, k, v = (
        x @ p[f"{prefixo}W_{nome}.weight"].T + p.get(f"{prefixo}W_{nome}.bias", torch.zeros(()))
        for nome in ("query", "key", "value")
    )
    futuro = torch.full((n_tokens, n_tokens), -math.inf, dtype=x.dtype).triu(1)
    fatias = [slice(h * por_cabeca, (h + 1) * por_cabeca) for h in range(n_heads)]
    notas = torch.stack([q[..., f] @ k[..., f].mT / math.sqrt(por_cabeca) + futuro for f in fatias], dim=1)
    importancia = (notas - notas.amax(-1, keepdim=True)).exp()
    importancia = importancia / importancia.sum(-1, keepdim=True)  # (B, H, T, T)
    importancia = torch.nn.functional.dropout(importancia, drop)
    contexto = torch.cat([importancia[:, h] @ v[..., f] for h, f in enumerate(fatias)], dim=-1)
    return contexto @ p[f"{prefixo}out_proj.weight"].T + p[f"{prefixo}out_proj.bias"]


def normaliza(x: Tensor, escala: Tensor, deslocamento: Tensor) -> Tensor:
    centrado = x - x.mean(-1, keepdim=True)
    return centrado / (centrado.square().mean(-1, keepdim=True) + 1e-5).sqrt() * escala + deslocamento


def logits_de_referencia(modelo: GPTModel, ids: Tensor, *, treino: bool = False) -> Tensor:
    """O GPT inteiro pelas fórmulas, só com os pesos de `modelo`.

    Em modo de treino sorteia as máscaras de dropout na ordem do livro de origem: embeddings; depois, em cada bloco,
    pesos da atenção, saída da atenção e saída da rede.
    """
    cfg: GPTConfig = modelo.cfg
    p = dict(modelo.state_dict())
    drop = cfg.drop_rate if treino else 0.0

    def dropout(t: Tensor) -> Tensor:
        return torch.nn.functional.dropout(t, drop)

    x = dropout(p["tok_emb.weight"][ids] + p["pos_emb.weight"][: ids.shape[1]])
    for i in range(cfg.n_layers):
        b = f"trf_blocks.{i}."
        h = normaliza(x, p[f"{b}norm1.scale"], p[f"{b}norm1.shift"])
        x = x + dropout(atencao_de_referencia(h, p, f"{b}att.", cfg.n_heads, drop))
        h = normaliza(x, p[f"{b}norm2.scale"], p[f"{b}norm2.shift"])
        h = h @ p[f"{b}ff.layers.0.weight"].T + p[f"{b}ff.layers.0.bias"]
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + dropout(h @ p[f"{b}ff.layers.2.weight"].T + p[f"{b}ff.layers.2.bias"])
    return normaliza(x, p["final_norm.scale"], p["final_norm.shift"]) @ p["out_head.weight"].T
