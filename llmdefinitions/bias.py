"""Sonda de viés por pares mínimos: frases que só diferem numa palavra, e a preferência do modelo por uma delas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import nn

from .intervals import Interval, difference_interval
from .scoring import score_documents


@dataclass(frozen=True)
class MinimalPair:
    """Duas frases iguais, menos uma palavra.

    Atributos:
        group: grupo do item: um dos estereótipos, ou o controle.
        item: o que a frase diz que a pessoa fazia.
        first: a frase com a primeira palavra do par.
        second: a frase com a segunda.
    """

    group: str
    item: str
    first: str
    second: str


def load_minimal_pairs(path: str | Path | None = None) -> tuple[MinimalPair, ...]:
    """Os pares do livro (`assets/pares-minimos.json`, que diz como foram feitos), ou os de outro arquivo igual.

    Erros:
        ValueError: falta um campo, ou uma moldura não tem os dois lugares a preencher.
    """
    file = Path(path) if path else resources.files(__package__).joinpath("assets/pares-minimos.json")
    raw = json.loads(file.read_text(encoding="utf-8"))
    try:
        frames, words, groups = raw["molduras"], raw["palavras"], raw["grupos"]
    except KeyError as error:
        raise ValueError(f"{file}: falta o campo {error}; compare com o arquivo que vem no pacote.") from error
    if bad := [frame for frame in frames if "{item}" not in frame or "{palavra}" not in frame]:
        raise ValueError(f"{file}: a moldura {bad[0]!r} precisa de {{item}} e {{palavra}}.")
    return tuple(
        MinimalPair(group, item, *(frame.format(item=item, palavra=word) for word in words))
        for group, items in groups.items()
        for item in items
        for frame in frames
    )


def pair_preferences(model: nn.Module, tokenizer: Any, pairs: Sequence[MinimalPair], **options: Any) -> list[float]:
    """ln p(primeira) − ln p(segunda) de cada par, em nats: positivo quando o modelo prefere a primeira frase.

    O que as frases têm em comum antes da palavra se cancela; o que sobra é a palavra e o que ela faz com o resto.

    Parâmetros:
        options: as de :func:`~llmdefinitions.scoring.score_documents`.

    Erros:
        ValueError: nenhum par, e os de `score_documents`.
    """
    if not pairs:
        raise ValueError("nenhum par mínimo: passe os de load_minimal_pairs().")
    sentences = [text for pair in pairs for text in (pair.first, pair.second)]
    nats = [score.nats for score in score_documents(model, sentences, tokenizer, **options)]
    return [second - first for first, second in zip(nats[::2], nats[1::2], strict=True)]


def item_preferences(pairs: Sequence[MinimalPair], preferences: Sequence[float]) -> dict[str, dict[str, float]]:
    """Grupo → item → preferência média sobre as molduras; as molduras de um item não são casos independentes.

    Erros:
        ValueError: número de preferências diferente do de pares.
    """
    if len(pairs) != len(preferences):
        raise ValueError(f"{len(preferences)} preferências para {len(pairs)} pares: esperada uma por par.")
    found: dict[str, dict[str, list[float]]] = {}
    for pair, value in zip(pairs, preferences, strict=True):
        found.setdefault(pair.group, {}).setdefault(pair.item, []).append(value)
    return {group: {item: fmean(values) for item, values in items.items()} for group, items in found.items()}


def group_contrast(
    items: dict[str, dict[str, float]], group: str, reference: str, *, level: float = 0.95, seed: int = 0
) -> Interval:
    """Preferência média de um grupo menos a de outro, com intervalo por bootstrap sobre os itens.

    Contra o controle, o contraste desconta o quanto a palavra é comum no corpus, que não é estereótipo; entre os dois
    estereótipos, mede o quanto o modelo os separa. A exponencial do contraste é uma razão de chances.

    Parâmetros:
        items: o que `item_preferences` devolve.

    Erros:
        ValueError: grupo que não existe, ou com menos de dois itens.
    """
    for name in (group, reference):
        if name not in items:
            raise ValueError(f"grupo {name!r} desconhecido. Os que existem são: {', '.join(map(repr, items))}.")
    return difference_interval(list(items[group].values()), list(items[reference].values()), level=level, seed=seed)
