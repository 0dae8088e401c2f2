"""Memorização literal: quanto do próprio texto de treino um modelo continua palavra por palavra."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .generation import generate
from .intervals import Interval, mean_interval
from .tokenizer import encode, eos_id

#: Letras por token com folga: mesmo as palavras compridas do português cabem nisto.
_LONGEST_TOKEN = 40


@dataclass(frozen=True)
class Continuations:
    """Continuações gulosas comparadas com o texto verdadeiro.

    Atributos:
        prompt_tokens: tokens que o modelo recebeu.
        new_tokens: tokens que ele tinha de continuar.
        matched: por trecho, quantos tokens saíram iguais antes da primeira diferença.
    """

    prompt_tokens: int
    new_tokens: int
    matched: tuple[int, ...]

    @property
    def rate(self) -> Interval:
        """Fração dos tokens repetida antes da primeira diferença, com intervalo por bootstrap sobre os trechos."""
        return mean_interval([n / self.new_tokens for n in self.matched])

    @property
    def verbatim(self) -> float:
        """Fração dos trechos repetidos por inteiro: os extraíveis, na definição de Carlini et al. (2023)."""
        return sum(n == self.new_tokens for n in self.matched) / len(self.matched)


def excerpts(
    documents: Sequence[str],
    tokenizer: Any,
    *,
    prompt_tokens: int,
    new_tokens: int,
    limit: int | None = None,
    seed: int = 0,
) -> Tensor:
    """Começo de cada documento que tem tokens bastantes: ids `(N, prompt_tokens + new_tokens)`.

    Cada linha começa pelo token de fim de texto, o que o modelo via antes de um documento no treino.

    Parâmetros:
        limit: no máximo tantos trechos, de documentos sorteados; sem ele, todos.
        seed: semente do sorteio.

    Erros:
        ValueError: nenhum documento tem tamanho bastante, ou tamanhos menores que 1.
    """
    if prompt_tokens < 1 or new_tokens < 1:
        raise ValueError(f"prompt_tokens={prompt_tokens}, new_tokens={new_tokens}: esperados dois inteiros ≥ 1.")
    width = prompt_tokens + new_tokens
    end = eos_id(tokenizer)
    start = [] if end is None else [end]
    order = list(range(len(documents)))
    if limit is not None:
        random.Random(seed).shuffle(order)
    rows: dict[int, list[int]] = {}
    for i in order:
        if len(rows) == limit:
            break
        # O começo basta: um romance não é codificado inteiro por causa de 40 tokens.
        row = [*start, *encode(documents[i][: _LONGEST_TOKEN * width], tokenizer)][:width]
        if len(row) == width:
            rows[i] = row
    if not rows:
        raise ValueError(
            f"nenhum dos {len(documents)} documentos tem {width} tokens: diminua prompt_tokens ou new_tokens."
        )
    return torch.tensor([rows[i] for i in sorted(rows)])


def continuations(
    model: nn.Module, rows: Tensor, *, prompt_tokens: int, new_tokens: int, batch_size: int = 32
) -> Continuations:
    """Pede ao modelo a continuação gulosa de cada trecho e conta os tokens iguais aos verdadeiros.

    O alvo são sempre os últimos `new_tokens` de cada linha, e o prompt, os `prompt_tokens` logo antes deles: mudar o
    tamanho do prompt não muda o que se pede, só quanto se mostra.

    Parâmetros:
        model: o modelo, com `cfg.context_length`.
        rows: `(N, T)`, de `excerpts`.

    Erros:
        ValueError: linhas curtas para o prompt e o alvo, ou contexto menor que os dois juntos.
    """
    width, context = prompt_tokens + new_tokens, model.cfg.context_length
    if prompt_tokens < 1 or new_tokens < 1 or rows.shape[1] < width or context < width:
        raise ValueError(
            f"prompt_tokens={prompt_tokens} e new_tokens={new_tokens} com linhas de {rows.shape[1]} tokens e contexto "
            f"de {context}: esperados dois inteiros ≥ 1 cuja soma caiba nos dois."
        )
    target = rows[:, -new_tokens:]  # (N, new_tokens)
    prompts = rows[:, -width:-new_tokens]  # (N, prompt_tokens)
    use_cache = hasattr(model, "new_cache")
    written = torch.cat(
        [generate(model, g, new_tokens, context, use_cache=use_cache).cpu() for g in prompts.split(batch_size)]
    )
    same = written[:, prompt_tokens:] == target  # (N, new_tokens)
    return Continuations(prompt_tokens, new_tokens, tuple(same.long().cumprod(dim=1).sum(dim=1).tolist()))
