"""Respostas de um modelo a instruções: gerar, separar do prompt e guardar, sem perder nada se o processo morrer."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .files import write_json
from .generation import generate
from .instruction import PromptTemplate, get_template
from .progress import progress_bar
from .tokenizer import encode, eos_id, token_ids_to_text

#: Campo em que a resposta é guardada, como no livro de origem.
FIELD = "model_response"


def extract_response(new_ids: Sequence[int], tokenizer: Any, *, template: str | PromptTemplate = "alpaca") -> str:
    """Texto da resposta, dados só os ids gerados depois do prompt.

    Corta no token de fim e onde o modelo começa a inventar outra pergunta; não conta caracteres do prompt, que a volta
    de ids a texto pode mudar.

    Parâmetros:
        new_ids: ids gerados, sem os do prompt.
        tokenizer: o que codificou o prompt.
        template: molde do prompt.
    """
    ids, end = list(new_ids), eos_id(tokenizer)
    text = token_ids_to_text(torch.tensor(ids[: ids.index(end)] if end in ids else ids, dtype=torch.long), tokenizer)
    chosen = get_template(template)
    for header in (chosen.instruction, chosen.context, chosen.response):
        if header.strip():
            text = text.split(header.strip(), 1)[0]
    return text.strip()


def respond(
    model: nn.Module,
    tokenizer: Any,
    entry: Mapping[str, Any],
    *,
    template: str | PromptTemplate = "alpaca",
    max_new_tokens: int = 64,
    **sampling: Any,
) -> str:
    """Resposta do modelo a um item.

    Parâmetros:
        model: um `GPTModel`.
        tokenizer: o do modelo.
        entry: com `instruction` e, se houver, `input`.
        template: o molde com que o modelo foi ajustado.
        max_new_tokens: tamanho máximo da resposta.
        sampling: `temperature`, `top_k`, `top_p` e `generator` de :func:`~llmdefinitions.generate`; sem eles, gulosa.

    Erros:
        ValueError: prompt que não deixa espaço para a resposta no contexto do modelo.
    """
    chosen = get_template(template)
    ids = encode(chosen.prompt(entry) + chosen.response, tokenizer)
    context = model.cfg.context_length
    if len(ids) >= context:
        raise ValueError(
            f"o prompt tem {len(ids)} tokens e o contexto do modelo é de {context}: encurte a instrução ou o contexto "
            "dado, ou use um molde menor."
        )
    device = next(model.parameters()).device
    idx = torch.tensor([ids], device=device)  # (1, T)
    out = generate(model, idx, max_new_tokens, context, eos_id=eos_id(tokenizer), **sampling)
    return extract_response(out[0, len(ids) :].tolist(), tokenizer, template=chosen)


def generate_responses(
    model: nn.Module,
    tokenizer: Any,
    data: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    template: str | PromptTemplate = "alpaca",
    max_new_tokens: int = 64,
    save_every: int = 20,
) -> list[dict[str, Any]]:
    """Responde a todos os itens (gulosa) e grava `data` com as respostas no campo `model_response`.

    A cada `save_every` respostas o andamento vai para um arquivo ao lado. Interrompida, a mesma chamada continua dele;
    se o modelo, os itens ou as opções mudaram, recomeça. O arquivo final só aparece completo.

    Parâmetros:
        path: arquivo JSON final, uma lista na ordem de `data`.
        Os outros, como em :func:`respond`.

    Devolve:
        Cópias dos itens, com a resposta.

    Erros:
        ValueError: `save_every` < 1, andamento ilegível, e os de :func:`respond`.
    """
    path = Path(path)
    if save_every < 1:
        raise ValueError(f"save_every={save_every}: esperado um inteiro ≥ 1.")
    progress_path = path.with_name(f"{path.name}.andamento")
    summary = _summary(model, data, get_template(template), max_new_tokens)
    answers = _answers_so_far(progress_path, summary)
    for entry in progress_bar(data[len(answers) :], desc="respostas", unit="item"):
        answers.append(respond(model, tokenizer, entry, template=template, max_new_tokens=max_new_tokens))
        if len(answers) % save_every == 0:
            write_json(progress_path, {"resumo": summary, "respostas": answers})
    filled = [{**entry, FIELD: answer} for entry, answer in zip(data, answers, strict=True)]
    write_json(path, filled)
    progress_path.unlink(missing_ok=True)
    return filled


def _answers_so_far(path: Path, summary: str) -> list[str]:
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return list(found["respostas"]) if found["resumo"] == summary else []
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: o andamento guardado está ilegível ({error}); apague-o e rode de novo.") from error


def _summary(model: nn.Module, data: Sequence[Mapping[str, Any]], template: PromptTemplate, max_new_tokens: int) -> str:
    """Identifica de que respostas se trata: os pesos, os itens e as opções."""
    digest = hashlib.sha256(json.dumps([list(data), repr(template), max_new_tokens], ensure_ascii=False).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
