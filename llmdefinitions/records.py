"""Registros em JSON: lê a lista de um arquivo de dados e recusa o que não tem exatamente os campos esperados."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # no Python 3.10 este nome mora em importlib.abc
    from importlib.resources.abc import Traversable

Record = TypeVar("Record")


def asset_or_path(name: str, path: str | Path | None = None) -> Path | Traversable:
    """O arquivo `path` ou, sem ele, o de nome `name` que vem no pacote."""
    return Path(path) if path is not None else files("llmdefinitions").joinpath("assets", name)


def load_records(file: Path | Traversable, key: str, fields: Mapping[str, type]) -> list[dict[str, Any]]:
    """A lista `key` do arquivo, com os campos e os tipos conferidos.

    Parâmetros:
        file: um JSON em UTF-8, com um objeto que tem a lista `key`.
        key: o nome da lista; aparece nas mensagens de erro.
        fields: {campo: tipo}. Todo registro tem esses campos e nenhum outro; todo texto vem sem espaços nas pontas.

    Erros:
        FileNotFoundError: o arquivo não existe.
        ValueError: não é JSON, não tem a lista, ou um registro está fora do esperado (a mensagem diz o índice, de 0).
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # JSON inválido ou outra codificação
        raise ValueError(f"{file} não é um JSON em UTF-8 ({error}): salve-o de novo nesse formato") from error
    items = content.get(key) if isinstance(content, dict) else None
    if not isinstance(items, list) or not items:
        raise ValueError(f'{file}: esperado um objeto com a lista "{key}", não vazia; acrescente-a')
    for index, item in enumerate(items):
        problem = _problem(item, fields)
        if problem:
            raise _record_error(file, key, index, problem)
    return items


def load_distinct(
    file: Path | Traversable,
    key: str,
    fields: Mapping[str, type],
    build: Callable[..., Record],
    problem: Callable[[Record], str],
    identity: Callable[[Record], Hashable],
) -> tuple[Record, ...]:
    """Os registros da lista `key`, já construídos e conferidos, sem dois iguais.

    Parâmetros:
        file, key, fields: como em :func:`load_records`.
        build: recebe os valores na ordem de `fields`.
        problem: o que há de errado num registro e o remédio, ou "".
        identity: o que dois registros não podem ter em comum.

    Erros:
        ValueError: como em :func:`load_records`, ou registro com problema ou repetido.
    """
    seen: dict[Hashable, int] = {}
    records = []
    for index, item in enumerate(load_records(file, key, fields)):
        record = build(*(item[name] for name in fields))
        own = identity(record)
        wrong = problem(record) or (f"repete {key}[{seen[own]}]: apague um dos dois" if own in seen else "")
        if wrong:
            raise _record_error(file, key, index, wrong)
        seen[own] = index
        records.append(record)
    return tuple(records)


def _record_error(file: Path | Traversable, key: str, index: int, problem: str) -> ValueError:
    return ValueError(f"{file}, {key}[{index}]: {problem}")


def _problem(item: object, fields: Mapping[str, type]) -> str:
    if not isinstance(item, dict):
        return f"é {type(item).__name__}: esperado um objeto com os campos {', '.join(fields)}"
    missing, extra = [name for name in fields if name not in item], [name for name in item if name not in fields]
    if missing or extra:
        return f"faltam os campos {missing} e sobram {extra}: esperado exatamente {', '.join(fields)}"
    for name, kind in fields.items():
        value = item[name]
        if type(value) is not kind:  # isinstance aceitaria True como inteiro
            return f"{name}={value!r} é {type(value).__name__}: esperado {kind.__name__}"
        if kind is str and value != value.strip():
            return f"{name}={value!r} tem espaços nas pontas: apague-os"
    return ""
