"""O diário de um julgamento: um registro por item, em JSONL, que cresce a cada resposta e sobrevive a uma queda."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class JudgeRecord:
    """O que aconteceu com um item.

    Atributos:
        index: posição do item na entrada.
        score: a nota, ou `None`.
        reason: por que não há nota; vazio se há.
        raw: a resposta crua do juiz, ou o que chegou dela.
        prompt: o que se perguntou.
        model: o nome do modelo.
        seconds: quanto levou, com as novas tentativas.
        when: quando terminou, em UTC.
        answered: se o servidor respondeu; `False` é uma falha dele, que vale perguntar de novo.
    """

    index: int
    score: float | None
    reason: str
    raw: str
    prompt: str
    model: str
    seconds: float
    when: str
    answered: bool


class Journal:
    """Diário em disco; sem caminho, só em memória.

    A primeira linha identifica o julgamento (`summary`): o diário de outro nunca é aproveitado nem apagado. Uma última
    linha pela metade, de um processo morto enquanto gravava, é descartada; qualquer outra ilegível é erro.

    Parâmetros:
        path: o arquivo `.jsonl`, ou `None`.
        summary: o que identifica os itens, o modelo, o pedido e as opções.

    Erros:
        ValueError: arquivo que não é um diário, ilegível, ou de outro julgamento.
    """

    def __init__(self, path: str | os.PathLike[str] | None, summary: str) -> None:
        self.path = None if path is None else Path(path)
        self.summary = summary
        self.records: dict[int, JudgeRecord] = {}
        self._whole = 0  # bytes das linhas inteiras
        if self.path is not None and self.path.is_file():
            self._read(self.path)

    def _read(self, path: Path) -> None:
        *whole, _ = path.read_bytes().split(b"\n")
        self._whole = sum(len(line) + 1 for line in whole)
        for number, line in enumerate(whole, 1):
            try:
                item = json.loads(line)
                if number == 1:
                    found = item["resumo"]
                else:
                    record = JudgeRecord(**{field.name: item[field.name] for field in fields(JudgeRecord)})
                    self.records[record.index] = record  # o item perguntado de novo tem a última palavra
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}, linha {number}: ilegível ({error!r}); apague a linha, ou use outro arquivo."
                ) from error
            if found != self.summary:
                raise ValueError(
                    f"{path} é de outro julgamento: mudaram os itens, o modelo, o pedido ou as opções. Use outro "
                    "arquivo, ou apague este para recomeçar."
                )

    @contextmanager
    def writer(self) -> Iterator[_Writer]:
        """Abre o diário para acrescentar registros; ao sair, fecha o arquivo."""
        if self.path is None:
            yield _Writer(self, None)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            os.ftruncate(descriptor, self._whole)
            os.lseek(descriptor, 0, os.SEEK_END)
            writer = _Writer(self, descriptor)
            if not self._whole:
                writer.line({"resumo": self.summary})
            yield writer
        finally:
            os.close(descriptor)


class _Writer:
    def __init__(self, journal: Journal, descriptor: int | None) -> None:
        self._journal, self._descriptor = journal, descriptor

    def add(self, record: JudgeRecord) -> None:
        """Guarda um registro; ao voltar, ele já está no disco."""
        self.line(asdict(record))
        self._journal.records[record.index] = record

    def line(self, item: dict) -> None:
        if self._descriptor is None:
            return
        data = (json.dumps(item, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._descriptor, data) :]
        os.fsync(self._descriptor)
        self._journal._whole = os.lseek(self._descriptor, 0, os.SEEK_CUR)
