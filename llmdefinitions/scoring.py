"""Probabilidade que um modelo dá a documentos inteiros, maiores que o contexto ou não."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from .config import IGNORE_INDEX
from .device import autocast
from .generation import evaluating
from .tokenizer import encode, eos_id


@dataclass(frozen=True)
class DocumentScore:
    """Quanto um documento custa a um modelo.

    Atributos:
        nats: −ln p do documento, do primeiro token ao token de fim que o encerra.
        n_tokens: tokens previstos, com o de fim.
        n_bytes: bytes do texto em UTF-8.
    """

    nats: float
    n_tokens: int
    n_bytes: int


@torch.no_grad()
def score_documents(
    model: nn.Module,
    documents: Sequence[str],
    tokenizer: Any,
    *,
    stride: int | None = None,
    batch_size: int = 16,
    precision: str = "float32",
) -> list[DocumentScore]:
    """−ln p de cada documento, lido a partir de um token de fim, em janelas que se sobrepõem.

    A primeira janela conta todos os seus tokens; as seguintes andam `stride` tokens e só contam os novos, que assim
    veem ao menos `context_length − stride` tokens para trás. Cada token é contado uma vez.

    Parâmetros:
        model: `(B, T)` → `(B, T, V)`, com `cfg.context_length`.
        documents: textos.
        tokenizer: precisa de um token de fim de texto.
        stride: passo entre janelas; padrão, metade do contexto.
        batch_size: janelas por vez.
        precision: ver :func:`~llmdefinitions.device.autocast`.

    Devolve:
        Uma medida por documento, na ordem deles.

    Erros:
        ValueError: nenhum documento, documento vazio, passo fora de [1, contexto], lote menor que 1 ou tokenizador
            sem token de fim.
    """
    context = model.cfg.context_length
    stride = context // 2 if stride is None else stride
    if not 1 <= stride <= context:
        raise ValueError(f"stride={stride}: esperado um inteiro entre 1 e o contexto do modelo ({context}).")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: esperado um inteiro ≥ 1.")
    if isinstance(documents, str):
        raise ValueError("documents é um texto só, que seria lido letra por letra: passe [texto].")
    end = eos_id(tokenizer)
    if end is None:
        raise ValueError("o tokenizador não tem token de fim de texto: use um que tenha, como o de train_bpe.")
    if not documents or not all(documents):
        empty = sum(not text for text in documents)
        raise ValueError(f"{len(documents)} documentos, {empty} vazios: passe ao menos um, e retire os vazios.")
    device = next(model.parameters()).device
    ids = [torch.tensor([end, *encode(text, tokenizer), end]) for text in documents]
    nats = [0.0] * len(ids)
    windows = [(number, x, y) for number, row in enumerate(ids) for x, y in _windows(row, context, stride)]
    # Do mesmo tamanho lado a lado: histórias curtas não pagam o preenchimento das janelas cheias.
    windows.sort(key=lambda window: len(window[1]))
    with evaluating(model):
        for start in range(0, len(windows), batch_size):
            group = windows[start : start + batch_size]
            width = max(len(x) for _, x, _ in group)
            x = torch.stack([F.pad(x, (0, width - len(x)), value=end) for _, x, _ in group]).to(device)  # (B, T)
            y = torch.stack([F.pad(y, (0, width - len(y)), value=IGNORE_INDEX) for _, _, y in group])  # (B, T)
            with autocast(precision, device):
                logits = model(x)  # (B, T, V)
            losses = F.cross_entropy(
                logits.flatten(0, 1).float(), y.to(device).flatten(), reduction="none", ignore_index=IGNORE_INDEX
            ).view(y.shape)  # (B, T)
            for (number, _, _), total in zip(group, losses.double().sum(1).tolist(), strict=True):
                nats[number] += total
    return [
        DocumentScore(total, len(row) - 1, len(text.encode()))
        for total, row, text in zip(nats, ids, documents, strict=True)
    ]


@torch.no_grad()
def score_continuations(
    model: nn.Module, rows: Sequence[Sequence[int]], prompt_length: int, *, batch_size: int = 16
) -> tuple[float, int]:
    """−ln p, em nats, e número de tokens das continuações de um prompt, segundo o próprio modelo.

    É a probabilidade antes de temperatura ou filtro: diz quão esperado, e não quão bom, é o que foi gerado.

    Parâmetros:
        model: `(B, T)` → `(B, T, V)`.
        rows: ids do prompt seguidos dos da continuação; os comprimentos podem ser diferentes.
        prompt_length: tokens do prompt, que não são contados.
        batch_size: linhas por vez.

    Devolve:
        Soma sobre todas as linhas; a perplexidade é a exponencial da razão.

    Erros:
        ValueError: nenhuma linha, prompt vazio, ou linha sem continuação.
    """
    if not rows or prompt_length < 1 or min(map(len, rows)) <= prompt_length:
        raise ValueError(
            f"{len(rows)} linhas e prompt_length={prompt_length}: esperada ao menos uma linha, um prompt de um token "
            "ou mais, e continuação em todas."
        )
    device = next(model.parameters()).device
    nats = 0.0
    with evaluating(model):
        for start in range(0, len(rows), batch_size):
            group = [torch.tensor(row) for row in rows[start : start + batch_size]]
            ids = pad_sequence(group, batch_first=True).to(device)  # (B, T)
            known = pad_sequence(group, batch_first=True, padding_value=IGNORE_INDEX).to(device)  # (B, T)
            logits = model(ids[:, :-1])[:, prompt_length - 1 :].float()  # (B, T − P, V)
            nats += F.cross_entropy(
                logits.flatten(0, 1), known[:, prompt_length:].flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
            ).item()
    return nats, sum(len(row) - prompt_length for row in rows)


def total_bits_per_byte(scores: Sequence[DocumentScore]) -> float:
    """Bits por byte de um conjunto de documentos: todos os bits sobre todos os bytes.

    Erros:
        ValueError: nenhum documento.
    """
    if not scores:
        raise ValueError("nenhum documento medido: não há bytes pelos quais dividir.")
    return sum(s.nats for s in scores) / (math.log(2) * sum(s.n_bytes for s in scores))


def _windows(row: Tensor, context: int, stride: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Entradas e alvos `(T,)` que cobrem uma linha de N + 1 ids; alvos já contados viram −100."""
    n = len(row) - 1
    scored = 0
    while scored < n:
        end = min(n, scored + (context if scored == 0 else stride))
        start = max(0, end - context)
        targets = row[start + 1 : end + 1].clone()
        targets[: scored - start] = IGNORE_INDEX
        yield row[start:end], targets
        scored = end
