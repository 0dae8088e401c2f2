"""Um modelo que dá notas às respostas de outro: cada item fica com uma nota ou com o motivo de não haver nota.

A ideia é a do livro de origem, e de Zheng et al. (2023); o que se acrescenta é não perder nada: as notas ilegíveis não
somem da lista, cada resposta do juiz é guardada crua, e um julgamento interrompido continua de onde parou.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timezone
from typing import Any

from .chat import OLLAMA_URL, ChatError, ChatOptions, query_model
from .judge_prompts import JudgePrompt, isolated_prompt, source_prompt
from .judge_records import Journal, JudgeRecord
from .judge_scores import parse_score
from .progress import progress_bar

__all__ = [
    "PROMPTS",
    "JudgeRecord",
    "generate_model_scores",
    "judge_entries",
    "query_model",
]

#: Os pedidos, por nome: o isolado, em português, e o do livro de origem.
PROMPTS: dict[str, JudgePrompt] = {"isolado": isolated_prompt, "origem": source_prompt}


def generate_model_scores(
    json_data: Sequence[Mapping[str, Any]],
    json_key: str,
    model: str = "llama3",
    *,
    url: str = OLLAMA_URL,
    prompt: str | JudgePrompt = "isolado",
    path: str | os.PathLike[str] | None = None,
    options: ChatOptions | None = None,
    concurrency: int = 1,
    show: bool | None = None,
) -> list[float | None]:
    """Nota de 0 a 100 de cada item, na ordem; `None` onde não houve nota. O comprimento é sempre o da entrada.

    O porquê de cada `None` está nos registros: veja :func:`judge_entries`, que tem os mesmos parâmetros e erros.
    """
    records = judge_entries(
        json_data,
        json_key,
        model,
        **{"url": url, "prompt": prompt, "path": path, "options": options, "concurrency": concurrency, "show": show},
    )
    return [record.score for record in records]


def judge_entries(
    json_data: Sequence[Mapping[str, Any]],
    json_key: str,
    model: str = "llama3",
    *,
    url: str = OLLAMA_URL,
    prompt: str | JudgePrompt = "isolado",
    path: str | os.PathLike[str] | None = None,
    options: ChatOptions | None = None,
    concurrency: int = 1,
    show: bool | None = None,
) -> list[JudgeRecord]:
    """Um registro por item: a nota ou o motivo de não haver, a resposta crua, o pedido, o modelo e o tempo.

    Interrompida, a mesma chamada com o mesmo `path` continua do primeiro item sem registro, e repete os que ficaram
    sem resposta por falha do servidor. Uma resposta que não se lê como nota não se repete: é um resultado.

    Parâmetros:
        json_data: itens com `instruction`, `input`, `output` (a resposta certa) e `json_key`.
        json_key: o campo que traz a resposta julgada.
        model: nome do juiz no servidor.
        url: ver :func:`~llmdefinitions.chat.query_model`.
        prompt: um nome de :data:`PROMPTS`, ou uma função `(item, json_key)` que monta o pedido.
        path: arquivo JSONL em que cada registro é gravado assim que existe; `None` guarda só em memória.
        options: esperas, tentativas e amostragem; o padrão pede no máximo 32 tokens.
        concurrency: pedidos ao mesmo tempo.
        show: mostra a barra de progresso; ver :func:`~llmdefinitions.progress.progress_bar`.

    Erros:
        ValueError: item sem os campos, pedido desconhecido, `concurrency` < 1, ou `path` de outro julgamento.
        ServerUnavailableError: ninguém atende; o que já foi julgado está em `path`.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency={concurrency}: esperado um inteiro ≥ 1.")
    options = options or ChatOptions(max_tokens=32)
    prompts = _prompts(json_data, json_key, prompt)
    journal = Journal(path, _summary(prompts, model, options))
    done = {i for i, record in journal.records.items() if record.answered}
    missing = [i for i in range(len(prompts)) if i not in done]

    with journal.writer() as writer, ThreadPoolExecutor(concurrency) as pool:
        lock = threading.Lock()

        def ask(index: int) -> None:
            record = _ask(index, prompts[index], model, url, options)
            # Quem pergunta grava, antes da pergunta seguinte: morto a qualquer hora, só se perde a do momento.
            with lock:
                writer.add(record)

        futures = [pool.submit(ask, i) for i in missing]
        try:
            for future in progress_bar(as_completed(futures), show=show, total=len(futures), desc="juiz", unit="item"):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # o que já estava sendo perguntado acaba, e é guardado
            raise
    return [journal.records[i] for i in range(len(prompts))]


def _prompts(json_data: Sequence[Mapping[str, Any]], json_key: str, prompt: str | JudgePrompt) -> list[str]:
    if isinstance(prompt, str):
        if prompt not in PROMPTS:
            raise ValueError(f"prompt={prompt!r}: esperado um de {', '.join(PROMPTS)}, ou uma função (item, campo).")
        prompt = PROMPTS[prompt]
    prompts = []
    for index, entry in enumerate(json_data):
        try:
            prompts.append(prompt(entry, json_key))
        except (KeyError, TypeError) as error:
            found = list(entry) if isinstance(entry, Mapping) else type(entry).__name__
            raise ValueError(
                f"item {index} (o primeiro é 0): falta {error} entre {found}; esperados instruction, input, output e "
                f"{json_key!r}, o campo da resposta julgada."
            ) from error
    return prompts


def _ask(index: int, prompt: str, model: str, url: str, options: ChatOptions) -> JudgeRecord:
    start = time.perf_counter()
    answered, score, reason = True, None, ""
    try:
        raw = query_model(prompt, model, url, options=options)
    except ChatError as error:
        answered, raw, reason = False, error.partial, f"falha do servidor: {error.reason}"
    else:
        reading = parse_score(raw)
        score, reason = reading.value, reading.reason
    seconds = round(time.perf_counter() - start, 3)
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return JudgeRecord(index, score, reason, raw, prompt, model, seconds, when, answered)


def _summary(prompts: Sequence[str], model: str, options: ChatOptions) -> str:
    """Identifica de que julgamento se trata; o endereço, as esperas e as tentativas podem mudar sem recomeçar."""
    asked = [list(prompts), model, options.temperature, options.seed, options.max_tokens]
    return hashlib.sha256(json.dumps([*asked, dict(options.extra)], ensure_ascii=False).encode()).hexdigest()
