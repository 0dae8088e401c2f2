"""Linha do tempo dos modelos de linguagem: números com fonte, e as séries dos gráficos.

Os dados estão em `assets/linha-do-tempo.json`. Cada número traz a chave BibTeX (de `book/references.bib`), o lugar na
fonte e se foi conferido numa cópia dela; o que ninguém publicou é `None` e aparece como "não divulgado".
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Source:
    """De onde vem um número: chave BibTeX, lugar na fonte, e como foi conferido ou (`checked` falso) por que não."""

    key: str
    where: str
    checked: bool
    evidence: str


@dataclass(frozen=True)
class Cell:
    """Um valor e as suas fontes; `value` é `None` se não foi divulgado, e um texto se não é número."""

    value: int | float | str | None
    sources: tuple[Source, ...]
    note: str = ""

    @property
    def number(self) -> float | None:
        """O valor, se é um número."""
        return float(self.value) if isinstance(self.value, (int, float)) else None


@dataclass(frozen=True)
class Shape:
    """Dimensões de um Transformer, na ordem em que os artigos as dão."""

    layers: int
    width: int
    heads: int
    vocab_size: int
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Model:
    """Um modelo, com a data em "AAAA-MM".

    Atributos:
        training: "do zero", "continuado" (parte de outro modelo pré-treinado) ou "ajustado" (instruções ou RLHF).
        active: parâmetros usados por token, nos modelos de mistura de especialistas.
    """

    name: str
    organization: str
    kind: str
    training: str
    language: str
    date: Cell
    parameters: Cell
    tokens: Cell
    context: Cell
    data: Cell
    architecture: Cell
    active: Cell | None = None
    shape: Shape | None = None


@dataclass(frozen=True)
class Fact:
    """Um número avulso (`id` o acha): resultado, tamanho de corpus, energia, emissão ou custo; raro, uma frase."""

    id: str
    group: str
    description: str
    value: int | float | str
    unit: str
    sources: tuple[Source, ...]
    note: str = ""


@dataclass(frozen=True)
class Correction:
    """Um erro das fontes do curso: onde está, o que diz e o que é certo."""

    origin: str
    said: str
    right: str
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Timeline:
    """Tudo o que o arquivo traz; `chinchilla` são pares (parâmetros, tokens) da Tabela 3 de Hoffmann et al. (2022)."""

    models: tuple[Model, ...]
    facts: tuple[Fact, ...]
    corrections: tuple[Correction, ...]
    chinchilla: tuple[tuple[float, float], ...]
    chinchilla_sources: tuple[Source, ...]

    def model(self, name: str) -> Model:
        """O modelo desse nome. Erros: `KeyError`, com os nomes que existem."""
        return _find({m.name: m for m in self.models}, name, "modelo")

    def fact(self, id: str) -> Fact:
        """O fato desse `id`. Erros: `KeyError`, com os que existem."""
        return _find({f.id: f for f in self.facts}, id, "fato")

    def facts_in(self, group: str) -> list[Fact]:
        """Os fatos desse grupo, na ordem do arquivo. Erros: `KeyError`, com os grupos que existem."""
        _find(dict.fromkeys(f.group for f in self.facts), group, "grupo")
        return [f for f in self.facts if f.group == group]


def _find(items: dict[str, Any], name: str, kind: str) -> Any:
    if name not in items:
        raise KeyError(f"{kind} {name!r} não está na linha do tempo; há: {', '.join(items)}")
    return items[name]


def _sources(items: Iterable[dict]) -> tuple[Source, ...]:
    return tuple(
        Source(s["chave"], s["onde"], s["conferido"], s["como" if s["conferido"] else "motivo"]) for s in items
    )


def _cell(item: dict) -> Cell:
    return Cell(item["valor"], _sources(item["fontes"]), item.get("nota", ""))


def _model(item: dict) -> Model:
    cells = (_cell(item[k]) for k in ("data", "parametros", "tokens", "contexto", "dados", "arquitetura"))
    text = (item[name] for name in ("nome", "organizacao", "tipo", "pretreino", "idioma"))
    active = _cell(item["parametros_ativos"]) if "parametros_ativos" in item else None
    return Model(*text, *cells, active, _shape(item["dimensoes"]) if "dimensoes" in item else None)


def _fact(item: dict) -> Fact:
    text = (item[name] for name in ("id", "grupo", "descricao", "valor", "unidade"))
    return Fact(*text, _sources(item["fontes"]), item.get("nota", ""))


def _shape(item: dict) -> Shape:
    sizes = (item[name] for name in ("camadas", "largura", "cabecas", "vocabulario"))
    return Shape(*sizes, _sources(item["fontes"]))


@cache
def load_timeline(path: str | Path | None = None) -> Timeline:
    """A linha do tempo do pacote, ou a de `path`. Erros: `ValueError` se falta um campo ao arquivo."""
    file = Path(path) if path else files("llmdefinitions").joinpath("assets/linha-do-tempo.json")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        models, facts = tuple(map(_model, raw["modelos"])), tuple(map(_fact, raw["fatos"]))
        fixes = (Correction(c["origem"], c["dizia"], c["certo"], _sources(c["fontes"])) for c in raw["correcoes"])
        frontier = raw["chinchilla"]
        pairs = tuple(zip(frontier["parametros"], frontier["tokens"], strict=True))
        return Timeline(models, facts, tuple(fixes), pairs, _sources(frontier["fontes"]))
    except KeyError as error:
        raise ValueError(f"{file}: falta o campo {error}; compare com o arquivo que vem no pacote.") from error


def decimal_year(date: str) -> float:
    """Posição de "AAAA-MM" num eixo de anos: "2020-07" é 2020,5."""
    year, month = map(int, date.split("-"))
    return year + (month - 1) / 12


def parameters_by_year(models: Iterable[Model]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Nomes, datas (ano decimal) e parâmetros dos modelos de tamanho divulgado, vetores (M,)."""
    known = [m for m in models if m.parameters.number is not None]
    years = [decimal_year(str(m.date.value)) for m in known]
    return [m.name for m in known], np.array(years), np.array([m.parameters.number for m in known])


def tokens_by_parameters(models: Iterable[Model]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Nomes, parâmetros e tokens, vetores (M,), dos modelos treinados do zero que divulgaram os dois."""
    known = [m for m in models if m.training == "do zero" and m.parameters.number and m.tokens.number]
    return [m.name for m in known], *(np.array([getattr(m, c).number for m in known]) for c in ("parameters", "tokens"))


def chinchilla_line(timeline: Timeline, parameters: np.ndarray) -> np.ndarray:
    """Tokens de menor perda para cada número de parâmetros, pela lei de potência D = a·Nᵇ.

    `a` e `b` saem de mínimos quadrados, em log-log, sobre a Tabela 3 de Hoffmann et al. (2022): b é quase 1, e daí a
    regra dos 20 tokens por parâmetro.
    """
    slope, intercept = np.polyfit(*np.log(np.array(timeline.chinchilla)).T, deg=1)
    return np.exp(intercept) * np.asarray(parameters, dtype=float) ** slope
