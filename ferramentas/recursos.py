"""Mede tempo, memória e download de cada caderno e grava `book/_gerado/recursos.md`, que a página de recursos inclui.

Uso: `python ferramentas/recursos.py` (é o que `make recursos` chama). Cada caderno roda num kernel novo, com a pasta de
dados vazia e sem espelho, como na primeira vez de um leitor. A memória é o pico de memória residente do kernel e dos
processos que ele abre, amostrado a cada décimo de segundo; o download, o que o caderno deixa na pasta de dados.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
from ambiente import gravar_atomico
from maquina import descrever, em_palavras
from nbclient import NotebookClient

RAIZ = Path(__file__).resolve().parents[1]
PAGINA = RAIZ / "book" / "_gerado" / "recursos.md"
INTERVALO = 0.1  # segundos entre amostras de memória


class Medidor(threading.Thread):
    """Amostra a memória residente enquanto um caderno roda."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.pico = 0
        self.parar = threading.Event()

    def run(self) -> None:
        """Guarda a maior soma de memória residente dos descendentes deste processo."""
        eu = psutil.Process()
        while not self.parar.wait(INTERVALO):
            soma = 0
            for processo in eu.children(recursive=True):
                try:
                    soma += processo.memory_info().rss
                except psutil.NoSuchProcess:
                    continue  # terminou entre a listagem e a leitura
            self.pico = max(self.pico, soma)


def medir(caderno: Path) -> tuple[float, int, int]:
    """Segundos, pico de bytes de memória e bytes baixados de uma execução."""
    livro = nbformat.read(caderno, as_version=4)
    os.environ.pop("LLMDEFINITIONS_ESPELHO", None)
    with tempfile.TemporaryDirectory() as dados:
        os.environ["LLMDEFINITIONS_CACHE"] = dados
        medidor, comeco = Medidor(), time.monotonic()
        medidor.start()
        try:
            NotebookClient(livro, timeout=None, resources={"metadata": {"path": str(caderno.parent)}}).execute()
        finally:
            segundos = time.monotonic() - comeco
            medidor.parar.set()
            medidor.join()
        baixados = sum(arquivo.stat().st_size for arquivo in Path(dados).rglob("*") if arquivo.is_file())
    return segundos, medidor.pico, baixados


def principal() -> int:
    """Mede todos os cadernos e grava a tabela."""
    linhas = []
    for caderno in sorted((RAIZ / "notebooks").glob("*.ipynb")):
        segundos, pico, baixados = medir(caderno)
        print(f"{caderno.name}: {segundos:.0f} s, {pico / 1e6:.0f} MB, {baixados / 1e6:.1f} MB baixados", flush=True)
        titulo = next(c.source for c in nbformat.read(caderno, as_version=4).cells if c.cell_type == "markdown")
        nome = titulo.splitlines()[0].lstrip("# ")
        linhas.append(f"| {nome} | {segundos:.0f} s | {pico / 1e9:.1f} GB | {baixados / 1e6:.1f} MB |")
    modo = os.environ.get("LIVRO_MODO") or "rapido"
    texto = (
        "| Caderno | Tempo | RAM | Download |\n|:--|--:|--:|--:|\n" + "\n".join(linhas) + "\n\n"
        f"Modo `{modo}`. Comando: `make recursos`. Máquina: {em_palavras(descrever(['torch', 'numpy']))}\n"
    )
    PAGINA.parent.mkdir(parents=True, exist_ok=True)
    gravar_atomico(PAGINA, texto.encode("utf-8"))
    print(f"Gravado {PAGINA.relative_to(RAIZ)}.")
    return 0


if __name__ == "__main__":
    sys.exit(principal())
