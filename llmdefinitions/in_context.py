"""Aprendizado no contexto: montar prompts com zero, um ou mais exemplos, e ler a resposta entre rótulos dados.

Brown et al. (2020), seção 2. Nenhum peso muda: o que ensina são os exemplos escritos antes da pergunta.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .generation import evaluating
from .tokenizer import encode


def few_shot_prompt(
    text: str,
    shots: Sequence[tuple[str, str]] = (),
    *,
    instruction: str = "",
    text_name: str = "Texto",
    label_name: str = "Resposta",
) -> str:
    """Instrução, exemplos resolvidos e a pergunta, que termina à espera do rótulo.

    Parâmetros:
        text: o texto a classificar.
        shots: pares (texto, rótulo): nenhum é *zero-shot*; um, *one-shot*; alguns, *few-shot*.
        instruction: o que se pede, antes de tudo.
        text_name, label_name: como o texto e o rótulo são anunciados.
    """
    blocks = [instruction] if instruction else []
    blocks += [f"{text_name}: {shot}\n{label_name}: {label}" for shot, label in shots]
    return "\n\n".join([*blocks, f"{text_name}: {text}\n{label_name}:"])


@torch.no_grad()
def label_log_probs(
    model: nn.Module, tokenizer: Any, prompts: Sequence[str], labels: Sequence[str], *, batch_size: int = 8
) -> Tensor:
    """ln p de cada rótulo logo depois de cada prompt, normalizado entre os rótulos: `(N, C)`, cada linha soma 1 em p.

    O rótulo é lido pelo primeiro token dele, precedido de espaço, e por isso os primeiros tokens têm de ser
    diferentes. Um prompt maior que o contexto perde o começo, isto é, os exemplos mais antigos.

    Parâmetros:
        model: `(B, T)` → `(B, T, V)`, com `cfg.context_length`.
        prompts: textos que terminam onde o rótulo começaria, sem espaço no fim.
        labels: os rótulos possíveis, C.
        batch_size: prompts por vez.

    Erros:
        ValueError: nenhum prompt, menos de dois rótulos, ou dois rótulos que começam pelo mesmo token.
    """
    if not prompts or len(labels) < 2:
        raise ValueError(f"{len(prompts)} prompts e {len(labels)} rótulos: esperados ao menos um e dois.")
    first = [encode(f" {label}", tokenizer)[0] for label in labels]
    if len(set(first)) < len(first):
        raise ValueError(
            f"os rótulos {list(labels)} começam pelos tokens {first}, e dois são iguais: troque um deles por um "
            "sinônimo que comece de outro jeito."
        )
    device = next(model.parameters()).device
    rows = [torch.tensor(encode(prompt, tokenizer)[-model.cfg.context_length :]) for prompt in prompts]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # tamanhos parecidos juntos: menos preenchimento
    scores = torch.empty(len(rows), len(labels))
    with evaluating(model):
        for start in range(0, len(order), batch_size):
            group = order[start : start + batch_size]
            width = max(len(rows[i]) for i in group)
            # À direita, onde a atenção causal não deixa que seja visto.
            idx = torch.stack([F.pad(rows[i], (0, width - len(rows[i]))) for i in group]).to(device)  # (B, T)
            last = torch.tensor([len(rows[i]) - 1 for i in group], device=device)  # (B,)
            logits = model(idx)[torch.arange(len(group), device=device), last]  # (B, V)
            scores[group] = logits[:, first].float().log_softmax(-1).cpu()  # (B, C)
    return scores
