"""As peças de um funil: três tipos de passo sobre documentos, e o relatório do que cada um fez.

Um documento é um dicionário com `id`, `text` e `source`, como uma linha de `datasets.Dataset`; outras chaves passam
intactas. Há o passo que muda um texto, o que recusa um texto, e o que precisa ver todos os documentos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # o pacote não depende de `datasets`
    from datasets import Dataset

Row = Mapping[str, Any]


class Removal(NamedTuple):
    """Por que um documento saiu: a razão, que se conta, e o pormenor: a língua, a medida, ou o `id` de quem ficou."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class TextStep:
    """Passo que muda cada texto: `change(text)` devolve o novo."""

    name: str
    change: Callable[[str], str]

    def run(self, documents: Sequence[Row]) -> tuple[list[Row], dict[str, Removal]]:
        """Os documentos depois do passo, e os retirados (aqui, nenhum)."""
        return [{**row, "text": self.change(row["text"])} for row in documents], {}

    def run_dataset(self, dataset: Dataset) -> Dataset:
        """O mesmo por `Dataset.map`."""
        return dataset.map(lambda text: {"text": self.change(text)}, input_columns="text")


@dataclass(frozen=True)
class FilterStep:
    """Passo que decide olhando um texto só: `reject(text)` devolve um `Removal`, ou `None` se o texto fica."""

    name: str
    reject: Callable[[str], Removal | None]

    def run(self, documents: Sequence[Row]) -> tuple[list[Row], dict[str, Removal]]:
        """Os documentos que ficam, e por que saiu cada um dos outros."""
        verdicts = [(row, self.reject(row["text"])) for row in documents]
        removed = {row["id"]: verdict for row, verdict in verdicts if verdict is not None}
        return [row for row, verdict in verdicts if verdict is None], removed

    def run_dataset(self, dataset: Dataset) -> Dataset:
        """O mesmo por `Dataset.filter`."""
        return dataset.filter(lambda text: self.reject(text) is None, input_columns="text")


@dataclass(frozen=True)
class CorpusStep:
    """Passo que precisa de todos os documentos: `select(documents)` devolve {posição: Removal} dos que saem."""

    name: str
    select: Callable[[Sequence[Row]], Mapping[int, Removal]]

    def run(self, documents: Sequence[Row]) -> tuple[list[Row], dict[str, Removal]]:
        """Os documentos que ficam, na ordem em que estavam, e por que saiu cada um dos outros."""
        out = self.select(documents)
        return [row for i, row in enumerate(documents) if i not in out], {
            documents[i]["id"]: out[i] for i in sorted(out)
        }

    def run_dataset(self, dataset: Dataset) -> Dataset:
        """O mesmo por `Dataset.select`; lê o conjunto inteiro para a memória."""
        out = self.select(list(dataset))
        return dataset.select([i for i in range(len(dataset)) if i not in out])


Step = TextStep | FilterStep | CorpusStep


@dataclass(frozen=True)
class StepReport:
    """O que um passo fez.

    Atributos:
        name: nome do passo.
        ids_in: os documentos que entraram, na ordem.
        characters_in, characters_out: caracteres que entraram e que saíram, somados todos os documentos.
        changed: os que ficaram com outro texto.
        removed: {id: por que saiu}.
    """

    name: str
    ids_in: tuple[str, ...]
    characters_in: int
    characters_out: int
    changed: tuple[str, ...]
    removed: Mapping[str, Removal]

    @property
    def documents_in(self) -> int:
        """Quantos documentos entraram."""
        return len(self.ids_in)

    @property
    def documents_out(self) -> int:
        """Quantos ficaram."""
        return len(self.ids_in) - len(self.removed)

    @property
    def reasons(self) -> dict[str, int]:
        """{razão: documentos retirados por ela}, da mais à menos comum."""
        return dict(Counter(removal.reason for removal in self.removed.values()).most_common())
