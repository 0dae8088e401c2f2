"""Guarda no cache do site os cadernos que o nbmake acabou de executar: cada um roda uma vez só em `make testes`.

Uso: python ferramentas/execucoes.py PASTA   (a das cópias executadas)
O cache é o do MyST-NB, com a chave do livro (book/_ext/livro_execucao.py): a construção do site que vem depois acha
lá as mesmas células, executadas com o mesmo módulo, e só monta as páginas.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

RAIZ = Path(__file__).resolve().parents[1]


def extensao() -> ModuleType:
    """O módulo da extensão do Sphinx que decide onde fica o cache."""
    caminho = RAIZ / "book" / "_ext" / "livro_execucao.py"
    especificacao = importlib.util.spec_from_file_location("livro_execucao", caminho)
    modulo = importlib.util.module_from_spec(especificacao)
    especificacao.loader.exec_module(modulo)
    return modulo


def guardar(executados: Path) -> int:
    """Põe no cache cada caderno de `executados`, com o endereço do original; devolve quantos."""
    modo = os.environ.get("LIVRO_MODO") or "rapido"
    cache = get_cache(extensao().cache_folder(RAIZ, modo))
    copias = sorted(executados.glob("*.ipynb"))
    for copia in copias:
        original = RAIZ / "notebooks" / copia.name
        cache.cache_notebook_bundle(CacheBundleIn(_com_saidas(original, copia), str(original)), overwrite=True)
    return len(copias)


def _com_saidas(original: Path, executado: Path) -> nbformat.NotebookNode:
    """O caderno original com as saídas do executado: o nbmake marca as células, e marcadas não seriam as mesmas."""
    caderno, feito = (nbformat.read(caminho, as_version=4) for caminho in (original, executado))
    for celula, pronta in zip(caderno.cells, feito.cells, strict=True):
        if celula.source != pronta.source:
            raise ValueError(f"{original.name} mudou depois de executado: rode a etapa dos cadernos de novo.")
        if celula.cell_type == "code":
            celula.outputs, celula.execution_count = pronta.outputs, pronta.execution_count
    if "widgets" in feito.metadata:  # o estado dos controles interativos, que a página mostra sem Python
        caderno.metadata.widgets = feito.metadata.widgets
    return caderno


if __name__ == "__main__":
    print(f"Execuções guardadas para o site: {guardar(Path(sys.argv[1]))}.")
