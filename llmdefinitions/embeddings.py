"""Vetores de frases tirados dos estados internos de um GPT, e a semelhança entre eles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .layer_states import layer_states
from .model import GPTModel
from .tokenizer import encode, eos_id


def sentence_vectors(
    model: GPTModel, texts: Sequence[str], tokenizer: Any, *, layer: int = -1, batch_size: int = 32
) -> Tensor:
    """Um vetor por texto: a média dos estados de uma camada sobre os tokens dele, `(N, D)`.

    O texto é lido depois de um token de fim, como no treino; a posição desse token fica fora da média, porque nela os
    modelos costumam ter estados muito maiores que nas outras. O que passa do contexto é cortado.

    Parâmetros:
        model: o modelo; só é lido.
        texts: textos não vazios.
        tokenizer: o tokenizador do modelo.
        layer: 0 são os embeddings, 1 a L, as saídas dos blocos (a última, já normalizada); negativos, do fim.

    Erros:
        ValueError: nenhum texto, texto vazio, ou camada que não existe.
    """
    n_states = len(model.trf_blocks) + 1
    if not -n_states <= layer < n_states:
        raise ValueError(f"layer={layer}: o modelo tem estados de 0 a {n_states - 1}.")
    if not texts or isinstance(texts, str) or not all(texts):
        raise ValueError("texts: esperada uma lista com ao menos um texto, e nenhum vazio.")
    end = eos_id(tokenizer) or 0
    ids = [[end, *encode(text, tokenizer)][: model.cfg.context_length] for text in texts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))  # do mesmo tamanho lado a lado: menos preenchimento
    vectors: list[Tensor] = [torch.empty(0)] * len(ids)
    for start in range(0, len(order), batch_size):
        group = order[start : start + batch_size]
        width = max(len(ids[i]) for i in group)
        x = torch.tensor([ids[i] + [end] * (width - len(ids[i])) for i in group])  # (B, T)
        lengths = torch.tensor([len(ids[i]) for i in group])
        positions = torch.arange(width)
        # A máscara causal impede o preenchimento, que vem depois, de mudar os estados do texto.
        weights = ((positions >= 1) & (positions < lengths[:, None])).float()  # (B, T)
        states = layer_states(model, x.to(next(model.parameters()).device))[layer].cpu()  # (B, T, D)
        means = (states * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)  # (B, D)
        for i, vector in zip(group, means, strict=True):
            vectors[i] = vector
    return torch.stack(vectors)


def center(vectors: Tensor, reference: Tensor | None = None) -> Tensor:
    """Subtrai a média de `reference` (padrão: os próprios vetores), `(N, D)` → `(N, D)`.

    Os estados de um modelo de linguagem apontam quase todos para o mesmo lado (Ethayarajh, 2019): sem tirar a parte
    comum, duas frases quaisquer parecem iguais.
    """
    return vectors - (vectors if reference is None else reference).mean(dim=0)


def cosine_similarities(vectors: Tensor) -> Tensor:
    """Cosseno do ângulo entre cada par de vetores: `(N, D)` → `(N, N)`."""
    unit = F.normalize(vectors, dim=-1)
    return unit @ unit.mT
