"""Cadernos para a turma: de cada capítulo, um sem soluções e um com elas no lugar da resposta.

Uso: `python ferramentas/alunos.py` (é o que `make alunos` chama). Grava em `_build/alunos/estudante` e em
`_build/alunos/solucao`; a fonte é sempre notebooks/, onde cada exercício tem uma célula `exercicio` e uma `solucao`.
"""

from __future__ import annotations

import copy
import re
import shutil
import sys
from pathlib import Path

import nbformat
import yaml
from ambiente import gravar_atomico

RAIZ = Path(__file__).resolve().parents[1]
SAIDA = RAIZ / "_build" / "alunos"
_LINK = re.compile(r"\]\(\.\./(book/[^)#\s]+)(#[^)\s]*)?\)")
_TITULO_ESCONDIDO = "# @title Solução\n"


def para_estudante(caderno: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Cópia do caderno sem as soluções."""
    feito = copy.deepcopy(caderno)
    feito.cells = [celula for celula in feito.cells if not _tem(celula, "solucao")]
    return feito


def para_professor(caderno: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Cópia do caderno com a solução, à vista, no lugar de cada resposta em branco.

    Erros:
        ValueError: um exercício que não é seguido da sua solução.
    """
    feito = copy.deepcopy(caderno)
    for i, celula in enumerate(feito.cells):
        if _tem(celula, "exercicio") and not (i + 1 < len(feito.cells) and _tem(feito.cells[i + 1], "solucao")):
            raise ValueError(f"célula {i}: exercício sem a solução logo abaixo; escreva-a com a etiqueta `solucao`.")
    feito.cells = [celula for celula in feito.cells if not _tem(celula, "exercicio")]
    for celula in feito.cells:
        if _tem(celula, "solucao"):
            celula.source = celula.source.removeprefix(_TITULO_ESCONDIDO)
            celula.metadata = nbformat.from_dict({"tags": ["solucao"]})
    return feito


def com_links_do_site(caderno: nbformat.NotebookNode, repositorio: str, ramo: str) -> nbformat.NotebookNode:
    """Cópia em que os links para páginas de book/ levam ao repositório: fora da pasta do livro não há vizinhos."""
    feito = copy.deepcopy(caderno)
    for celula in feito.cells:
        if celula.cell_type == "markdown":
            celula.source = _LINK.sub(lambda m: f"]({repositorio}/blob/{ramo}/{m[1]}{m[2] or ''})", celula.source)
    return feito


def _tem(celula: nbformat.NotebookNode, etiqueta: str) -> bool:
    return etiqueta in celula.metadata.get("tags", [])


def principal() -> int:
    """Grava as duas versões de todos os cadernos."""
    origem = yaml.safe_load((RAIZ / "_config.yml").read_text(encoding="utf-8"))["repository"]
    cadernos = sorted((RAIZ / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    shutil.rmtree(SAIDA, ignore_errors=True)
    for nome, versao in (("estudante", para_estudante), ("solucao", para_professor)):
        (SAIDA / nome).mkdir(parents=True)
        for caminho in cadernos:
            pronto = com_links_do_site(versao(nbformat.read(caminho, as_version=4)), origem["url"], origem["branch"])
            gravar_atomico(SAIDA / nome / caminho.name, (nbformat.writes(pronto) + "\n").encode())
        print(f"{len(cadernos)} cadernos em {SAIDA / nome}")
    return 0


if __name__ == "__main__":
    sys.exit(principal())
