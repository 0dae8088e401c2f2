"""A documentação do próprio pacote como corpus: português técnico, real e sempre à mão, para ajustes finos."""

from __future__ import annotations

import ast
import inspect
from importlib.resources import files


def package_docstrings(package: str = "llmdefinitions", *, min_chars: int = 80) -> list[tuple[str, str]]:
    """Docstrings dos módulos, classes e funções de um pacote, lidas do código sem executá-lo.

    Parâmetros:
        package: nome de um pacote instalado; só os arquivos da pasta dele, sem subpacotes.
        min_chars: tamanho mínimo; as de uma linha curta não ensinam o registro.

    Devolve:
        Pares (nome, texto), em ordem alfabética de módulo e, dentro dele, na ordem do código; o nome é `módulo` ou
        `módulo.Classe.função`.

    Erros:
        ValueError: o pacote não tem nenhuma docstring desse tamanho.
        ModuleNotFoundError: não há esse pacote.
    """
    found: list[tuple[str, str]] = []
    for path in sorted(files(package).iterdir(), key=lambda path: path.name):
        if path.name.endswith(".py"):
            _collect(ast.parse(path.read_text(encoding="utf-8")), path.name.removesuffix(".py"), found)
    found = [(name, text) for name, text in found if len(text) >= min_chars]
    if not found:
        raise ValueError(f"o pacote {package!r} não tem docstrings de {min_chars} caracteres ou mais.")
    return found


def _collect(node: ast.Module | ast.ClassDef | ast.FunctionDef, name: str, found: list[tuple[str, str]]) -> None:
    if text := ast.get_docstring(node, clean=False):
        found.append((name, inspect.cleandoc(text)))
    for child in node.body:
        if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
            _collect(child, f"{name}.{child.name}", found)
