"""Funil de limpeza: passos pequenos sobre documentos, cada um medido, do texto bruto da web ao corpus de treino.

`clean` roda os passos e os mede; as funções terminadas em `_step` fazem os passos usuais. Um documento é um dicionário
com `id`, `text` e `source`; para passos próprios, veja `funnel`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .deduplication import drop_duplicates, exact_duplicates
from .funnel import CorpusStep, FilterStep, Removal, Row, Step, StepReport, TextStep
from .language import LanguageIdentifier, default_identifier
from .markup import html_to_text
from .minhash import normalize_for_comparison
from .normalization import normalize_text, repair_mojibake
from .quality import QualityRules, drop_short_lines

if TYPE_CHECKING:  # o pacote não depende de `datasets`
    from datasets import Dataset


@dataclass(frozen=True)
class Cleaning:
    """Os documentos que ficaram e o relatório de cada passo, na ordem."""

    documents: tuple[dict[str, Any], ...]
    reports: tuple[StepReport, ...]


def clean(documents: Iterable[Row], steps: Sequence[Step]) -> Cleaning:
    """Passa os documentos pelos passos, na ordem dada, medindo cada um; os documentos recebidos não mudam.

    Erros:
        ValueError: documento sem `id`, `text` ou `source`, com texto que não é `str`, ou `id` repetido.
    """
    rows: list[Row] = [dict(row) for row in documents]
    for position, row in enumerate(rows):
        missing = [key for key in ("id", "text", "source") if key not in row]
        if missing:
            raise ValueError(f"documento {position} sem {', '.join(missing)}: esperado id, text e source em cada um")
        if not isinstance(row["text"], str):
            raise ValueError(f"documento {position}: text={row['text']!r}; esperado um texto (str)")
    repeated = [key for key, times in Counter(row["id"] for row in rows).items() if times > 1]
    if repeated:
        raise ValueError(f"id repetido: {repeated[:5]}; esperado um id diferente por documento")
    reports = []
    for step in steps:
        before = {row["id"]: row["text"] for row in rows}
        rows, removed = step.run(rows)
        reports.append(
            StepReport(
                name=step.name,
                ids_in=tuple(before),
                characters_in=sum(map(len, before.values())),
                characters_out=sum(len(row["text"]) for row in rows),
                changed=tuple(row["id"] for row in rows if row["text"] != before[row["id"]]),
                removed=removed,
            )
        )
    return Cleaning(tuple(dict(row) for row in rows), tuple(reports))


def clean_dataset(dataset: Dataset, steps: Sequence[Step]) -> Dataset:
    """Os mesmos passos sobre um `datasets.Dataset`, por `map`, `filter` e `select`; os documentos são os de `clean`.

    Não faz relatórios: é para o corpus grande, depois de escolhidos os passos numa amostra.
    """
    for step in steps:
        dataset = step.run_dataset(dataset)
    return dataset


def mojibake_step(name: str = "codificação") -> TextStep:
    """`repair_mojibake`. Vem antes de todos: depois de juntar espaços não há mais conserto."""
    return TextStep(name, repair_mojibake)


def html_step(name: str = "HTML") -> TextStep:
    """`html_to_text`."""
    return TextStep(name, html_to_text)


def normalize_step(name: str = "normalização") -> TextStep:
    """`normalize_text`."""
    return TextStep(name, normalize_text)


def short_lines_step(min_words: int = 5, name: str = "linhas curtas") -> TextStep:
    """`drop_short_lines`."""
    return TextStep(name, lambda text: drop_short_lines(text, min_words))


def quality_step(rules: QualityRules | None = None, name: str = "qualidade") -> FilterStep:
    """As regras de `QualityRules`; a razão é a primeira que o texto quebra."""
    rules = rules or QualityRules()

    def reject(text: str) -> Removal | None:
        problem = rules.problem(text)
        return Removal(*problem) if problem else None

    return FilterStep(name, reject)


def language_step(
    language: str = "pt", identifier: LanguageIdentifier | None = None, name: str = "idioma"
) -> FilterStep:
    """Ficam os textos em `language`.

    Erros:
        ValueError: língua que o identificador não conhece.
    """
    identifier = identifier or default_identifier()
    if language not in identifier.languages:
        raise ValueError(f"language={language!r}: o identificador conhece {', '.join(identifier.languages)}")

    def reject(text: str) -> Removal | None:
        found = identifier.identify(text)
        return None if found == language else Removal("outro idioma" if found else "sem letras", found or "")

    return FilterStep(name, reject)


def blocked_words_step(words: Iterable[str], name: str = "palavras bloqueadas") -> FilterStep:
    """Saem os textos com alguma das palavras ou expressões, inteiras, sem olhar caixa, acentos nem pontuação.

    O limite do método: a lista não lê o contexto. "Burro" é ofensa e é bicho; sem acentos, palavras diferentes viram a
    mesma; e uma lista de ofensas retira também quem as denuncia (Dodge et al., 2021, medem isso no C4). Por outro lado,
    "b.u.r.r.o" escapa.

    Erros:
        ValueError: um texto só em vez de uma lista, ou item sem letra nem algarismo.
    """
    if isinstance(words, str):
        raise ValueError(f"words={words!r} é um texto só: passe uma lista de palavras")
    blocked = {word: normalize_for_comparison(word) for word in words}
    if empty := [word for word, normalized in blocked.items() if not normalized]:
        raise ValueError(f"palavras sem letra nem algarismo: {empty}; retire-as da lista")

    def reject(text: str) -> Removal | None:
        normalized = f" {normalize_for_comparison(text)} "
        return next((Removal("palavra bloqueada", w) for w, n in blocked.items() if f" {n} " in normalized), None)

    return FilterStep(name, reject)


def exact_duplicates_step(name: str = "repetidos") -> CorpusStep:
    """Dos documentos iguais, a menos de caixa, acentos e pontuação, fica o primeiro."""

    def select(documents: Sequence[Row]) -> dict[int, Removal]:
        groups = exact_duplicates([row["text"] for row in documents])
        return {i: Removal("igual a outro", documents[first]["id"]) for first, *rest in groups for i in rest}

    return CorpusStep(name, select)


def near_duplicates_step(
    threshold: float = 0.5,
    *,
    containment: float | None = None,
    n: int = 5,
    num_perm: int = 128,
    seed: int = 1,
    name: str = "quase repetidos",
) -> CorpusStep:
    """Dos documentos quase iguais fica o mais longo; os parâmetros são os de `deduplication.drop_duplicates`.

    Um documento sem palavra alguma não se compara com nada, e sai.
    """

    def select(documents: Sequence[Row]) -> dict[int, Removal]:
        positions = {row["id"]: i for i, row in enumerate(documents)}
        texts = {row["id"]: row["text"] for row in documents if normalize_for_comparison(row["text"])}
        found = drop_duplicates(
            list(texts.values()),
            list(texts),
            threshold=threshold,
            containment=containment,
            n=n,
            num_perm=num_perm,
            seed=seed,
        )
        out = {positions[d.name]: Removal("quase igual a outro", d.kept_name) for d in found.dropped}
        return out | {i: Removal("sem palavras") for key, i in positions.items() if key not in texts}

    return CorpusStep(name, select)


def balance_step(cap: int | Mapping[str, int], *, seed: int = 1, name: str = "equilíbrio") -> CorpusStep:
    """No máximo `cap` documentos por fonte, para que a maior não abafe as outras.

    Quem fica é sorteado por `id` e `seed`, e não pela posição: a ordem dos documentos não muda a escolha.

    Parâmetros:
        cap: o mesmo teto para todas as fontes, ou {fonte: teto}; fonte ausente do dicionário não tem teto.

    Erros:
        ValueError: teto negativo.
    """
    caps = list(cap.values()) if isinstance(cap, Mapping) else [cap]
    if any(value < 0 for value in caps):
        raise ValueError(f"cap={cap}: esperado tetos ≥ 0")

    def draw(row: Row) -> bytes:
        return hashlib.blake2b(f"{seed}|{row['id']}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def select(documents: Sequence[Row]) -> dict[int, Removal]:
        groups: dict[str, list[int]] = {}
        for i in sorted(range(len(documents)), key=lambda i: draw(documents[i])):
            groups.setdefault(documents[i]["source"], []).append(i)
        limits = cap if isinstance(cap, Mapping) else dict.fromkeys(groups, cap)
        return {
            i: Removal("acima do teto da fonte", source)
            for source, members in groups.items()
            for i in members[limits.get(source, len(members)) :]
        }

    return CorpusStep(name, select)
