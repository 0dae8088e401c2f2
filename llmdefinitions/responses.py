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
    ids = _prompt_ids(model, tokenizer, entry, chosen)
    return _answers(model, tokenizer, [ids], chosen, max_new_tokens, **sampling)[0]


def respond_all(
    model: nn.Module,
    tokenizer: Any,
    data: Sequence[Mapping[str, Any]],
    *,
    template: str | PromptTemplate = "alpaca",
    max_new_tokens: int = 64,
    batch_size: int = 64,
) -> list[str]:
    """Respostas gulosas a muitos itens, as mesmas de :func:`respond`, em lotes.

    Cada lote junta prompts com o mesmo número de tokens: nenhum precisa de preenchimento.

    Parâmetros:
        data: itens.
        batch_size: prompts por lote, no máximo.
        Os outros, como em :func:`respond`.

    Devolve:
        Uma resposta por item, na ordem deles.

    Erros:
        ValueError: `batch_size` < 1, e os de :func:`respond`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: esperado um inteiro ≥ 1.")
    chosen = get_template(template)
    prompts = [_prompt_ids(model, tokenizer, entry, chosen) for entry in data]
    by_length: dict[int, list[int]] = {}
    for number, ids in enumerate(prompts):
        by_length.setdefault(len(ids), []).append(number)
    answers = [""] * len(prompts)
    for numbers in by_length.values():
        for start in range(0, len(numbers), batch_size):
            group = numbers[start : start + batch_size]
            found = _answers(model, tokenizer, [prompts[n] for n in group], chosen, max_new_tokens)
            for number, answer in zip(group, found, strict=True):
                answers[number] = answer
    return answers


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


def _prompt_ids(model: nn.Module, tokenizer: Any, entry: Mapping[str, Any], template: PromptTemplate) -> list[int]:
    ids = encode(template.prompt(entry) + template.response, tokenizer)
    if len(ids) >= model.cfg.context_length:
        raise ValueError(
            f"o prompt tem {len(ids)} tokens e o contexto do modelo é de {model.cfg.context_length}: encurte a "
            "instrução ou o contexto dado, ou use um molde menor."
        )
    return ids


def _answers(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    template: PromptTemplate,
    max_new_tokens: int,
    **sampling: Any,
) -> list[str]:
    """Respostas a prompts do mesmo comprimento."""
    idx = torch.tensor(prompts, device=next(model.parameters()).device)  # (B, T)
    out = generate(model, idx, max_new_tokens, model.cfg.context_length, eos_id=eos_id(tokenizer), **sampling)
    return [extract_response(row, tokenizer, template=template) for row in out[:, idx.shape[1] :].tolist()]


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
