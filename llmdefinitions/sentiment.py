"""Sentimento em português: frases curtas escritas para o livro, em três classes, com o fenômeno que as torna difíceis.

Os dados estão em `assets/sentimentos-pt.json`; como foram feitos, e para que não servem, em
`assets/sentimentos-pt.md`. Licença CC BY 4.0.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .records import asset_or_path, load_distinct

CLASSES = ("negativo", "neutro", "positivo")
PHENOMENA = ("direto", "negação", "concessão", "comparação", "ironia", "implícito", "menção")
PARTS = ("treino", "validacao", "teste")
MIN_WORDS, MAX_WORDS = 4, 25
SPLIT_SEED = 123
_FIELDS = {"texto": str, "classe": str, "dominio": str, "fenomeno": str, "parte": str}
_KEY = "frases"


@dataclass(frozen=True)
class SentimentExample:
    """Uma frase e o que se sabe dela.

    Atributos:
        label: uma de `CLASSES`.
        domain: o assunto ("restaurante", "transporte"…).
        phenomenon: uma de `PHENOMENA`; "menção" são palavras de opinião numa frase que não opina.
        part: uma de `PARTS`.
    """

    text: str
    label: str
    domain: str
    phenomenon: str
    part: str

    @property
    def label_id(self) -> int:
        """Posição da classe em `CLASSES`, o alvo de um classificador."""
        return CLASSES.index(self.label)


def load_sentiment(part: str | None = None, *, path: str | Path | None = None) -> tuple[SentimentExample, ...]:
    """As frases de uma parte, ou todas, na ordem do arquivo.

    Parâmetros:
        part: "treino", "validacao", "teste" ou `None`, para as três.
        path: outro arquivo, no mesmo formato.

    Erros:
        ValueError: parte desconhecida, ou um registro inválido (a mensagem diz qual, o que se esperava e o remédio).
    """
    if part is not None and part not in PARTS:
        raise ValueError(f"part={part!r}: esperado um de {PARTS}, ou None para as três")
    examples = _load_all(path)
    return examples if part is None else tuple(example for example in examples if example.part == part)


def assign_parts(texts: Sequence[str], strata: Sequence[Hashable], *, seed: int = SPLIT_SEED) -> list[str]:
    """Divide em 70% de treino, 10% de validação e 20% de teste, com a mesma proporção em cada estrato.

    A ordem do sorteio é a do sha256 de cada texto com a semente: não depende da ordem das frases nem da versão de um
    gerador de números, e uma frase nova não muda de lugar as dos outros estratos.

    Parâmetros:
        texts: frases distintas.
        strata: o estrato de cada frase; no livro, o par (classe, fenômeno).

    Erros:
        ValueError: tamanhos diferentes, ou frases repetidas.
    """
    if len(texts) != len(strata) or len(set(texts)) != len(texts):
        raise ValueError(
            f"{len(texts)} frases ({len(set(texts))} distintas) e {len(strata)} estratos: "
            "esperado um estrato por frase, e nenhuma frase repetida"
        )
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, stratum in enumerate(strata):
        groups[stratum].append(index)
    parts = ["treino"] * len(texts)
    for members in groups.values():
        members.sort(key=lambda i: hashlib.sha256(f"{seed}:{texts[i]}".encode()).digest())
        validation, test = round(0.1 * len(members)), round(0.2 * len(members))
        for position, index in enumerate(members[: validation + test]):
            parts[index] = "validacao" if position < validation else "teste"
    return parts


@cache
def _load_all(path: str | Path | None) -> tuple[SentimentExample, ...]:
    file = asset_or_path("sentimentos-pt.json", path)
    return load_distinct(file, _KEY, _FIELDS, SentimentExample, _problem, _words)


def _words(example: SentimentExample) -> str:
    return " ".join(re.findall(r"\w+", example.text.casefold()))


def _problem(example: SentimentExample) -> str:
    choices = (
        ("classe", example.label, CLASSES),
        ("fenomeno", example.phenomenon, PHENOMENA),
        ("parte", example.part, PARTS),
    )
    for name, value, allowed in choices:
        if value not in allowed:
            return f"{name}={value!r}: esperado um de {allowed}; corrija o campo"
    if not example.domain:
        return "dominio está vazio: escreva o assunto da frase"
    words = len(example.text.split())
    if not MIN_WORDS <= words <= MAX_WORDS:
        return f"texto={example.text!r} tem {words} palavras: esperado de {MIN_WORDS} a {MAX_WORDS}; reescreva-o"
    if example.text[-1] not in '.!?"':
        return f"texto={example.text!r} acaba em {example.text[-1]!r}: ponha a pontuação final"
    return ""
