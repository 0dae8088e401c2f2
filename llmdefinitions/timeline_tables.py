"""Tabelas da linha do tempo em Markdown do MyST: cada número com a sua citação."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .timeline import Cell, Correction, Fact, Model, Source

UNDISCLOSED = "não divulgado"
# Escapado: dois asteriscos soltos num parágrafo de Markdown virariam ênfase.
UNCHECKED_MARK = r"\*"
MODEL_HEADER = ("Modelo", "Organização", "Data", "Parâmetros", "Tokens de treino", "Contexto", "Dados")
FACT_HEADER = ("O quê", "Quanto", "Onde está")
CORRECTION_HEADER = ("A fonte do curso", "O certo")
_CITATION = re.compile(r"\{cite:[pt]\}`[^`]+`")
_SCALES = ((10**12, "trilhão", "trilhões"), (10**9, "bilhão", "bilhões"), (10**6, "milhão", "milhões"))


def format_number(value: int | float) -> str:
    """Número em português: "1,56 bilhão", "2.048", "8,63". A partir de um milhão, três algarismos significativos."""
    for size, one, many in _SCALES:
        scaled = float(f"{value / size:.3g}")
        if scaled >= 1:
            return f"{_decimal(scaled)} {one if scaled < 2 else many}"
    return _decimal(value)


def _decimal(value: int | float) -> str:
    text = f"{value:,.10f}".rstrip("0").rstrip(".")
    return text.translate(str.maketrans(",.", ".,"))


def format_quantity(value: int | float, unit: str) -> str:
    """Número com a unidade, como se escreve: "92%", "US$ 30/h", "2,5 bilhões de palavras", "40 GB"."""
    text = format_number(value)
    if unit.startswith("US$"):
        return f"US$ {text}{unit.removeprefix('US$')}"
    if unit == "%":
        return f"{text}%"
    return f"{text}{' de' if unit and text.endswith(('ão', 'ões')) else ''} {unit}".rstrip()


def citation(sources: Iterable[Source], role: str = "p") -> str:
    """Papel `{cite:p}` ou `{cite:t}` com as chaves das fontes, sem repetir."""
    keys = dict.fromkeys(source.key for source in sources)
    return f"{{cite:{role}}}`{','.join(keys)}`"


def unchecked_mark(sources: Iterable[Source]) -> str:
    """`UNCHECKED_MARK` se nenhuma das fontes foi conferida; senão, nada."""
    return "" if any(source.checked for source in sources) else UNCHECKED_MARK


def format_cell(cell: Cell) -> str:
    """O valor (ou "não divulgado"), a marca de não conferido e a citação."""
    number = cell.number
    text = UNDISCLOSED if cell.value is None else str(cell.value) if number is None else format_number(number)
    return f"{text}{unchecked_mark(cell.sources)} {citation(cell.sources)}"


def model_rows(models: Iterable[Model]) -> list[list[str]]:
    """Uma linha por modelo, nas colunas de `MODEL_HEADER`; nos de mistura de especialistas, também os ativos."""
    rows = []
    for model in models:
        parameters = format_cell(model.parameters)
        if model.active is not None:
            parameters += f"; ativos por token: {format_cell(model.active)}"
        cells = (model.tokens, model.context, model.data)
        rows.append([model.name, model.organization, format_cell(model.date), parameters, *map(format_cell, cells)])
    return rows


def fact_rows(facts: Iterable[Fact]) -> list[list[str]]:
    """Uma linha por fato, nas colunas de `FACT_HEADER`."""
    rows = []
    for fact in facts:
        value = fact.value if isinstance(fact.value, str) else format_quantity(fact.value, fact.unit)
        where = "; ".join(f"{source.where}, em {citation([source], 't')}" for source in fact.sources)
        rows.append([fact.description, f"{value}{unchecked_mark(fact.sources)} {citation(fact.sources)}", where])
    return rows


def correction_rows(corrections: Iterable[Correction]) -> list[list[str]]:
    """Uma linha por correção, nas colunas de `CORRECTION_HEADER`; a primeira repete o erro, que não tem fonte."""
    return [
        [f"{fix.origin}: {fix.said}", f"{fix.right}{unchecked_mark(fix.sources)} {citation(fix.sources)}"]
        for fix in corrections
    ]


def plain_citations(markdown: str) -> str:
    """O mesmo Markdown com as chaves entre colchetes no lugar dos papéis de citação, que só o livro sabe mostrar."""
    return _CITATION.sub(lambda match: f"[{match[0].split('`')[1].replace(',', ', ')}]", markdown)


def uncited_cells(rows: Iterable[Sequence[str]]) -> list[str]:
    """Células com algarismo depois da última citação (ou sem nenhuma), como "rótulo: célula".

    A primeira coluna, que é o rótulo da linha, não conta.
    """
    found = []
    for label, *cells in rows:
        found += [f"{label}: {cell}" for cell in cells if re.search(r"\d", _CITATION.split(cell)[-1])]
    return found


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Tabela em Markdown. Erros: `ValueError` se uma linha não tem uma célula por coluna."""
    lines = [header, ["---"] * len(header)]
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a linha {row[0]!r} tem {len(row)} células: esperado {len(header)}, uma por coluna.")
        # Um cifrão abriria uma fórmula; uma barra, outra coluna.
        lines.append([re.sub(r"(?<!\\)([|$])", r"\\\1", cell) for cell in row])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
