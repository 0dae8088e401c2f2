"""Mede tempo, memória, download e energia de cada caderno e grava `book/_gerado/recursos.md`, que a página inclui.

Uso: `python ferramentas/recursos.py` (é o que `make recursos` chama). Cada caderno roda num kernel novo, com a pasta de
dados vazia e sem espelho, como na primeira vez de um leitor. A memória é o pico de memória residente do kernel e dos
processos que ele abre, amostrado a cada décimo de segundo; o download, o que o caderno deixa na pasta de dados; a
energia, o contador do processador, onde o sistema o deixa ler, ou o tempo vezes uma potência suposta.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path

import nbformat
import psutil
from ambiente import gravar_atomico
from maquina import descrever, em_palavras
from nbclient import NotebookClient

from llmdefinitions.energy import EnergyMeter, EnergyUse

RAIZ = Path(__file__).resolve().parents[1]
PAGINA = RAIZ / "book" / "_gerado" / "recursos.md"
INTERVALO = 0.1  # segundos entre amostras de memória
WATTS = 30.0  # a mesma suposição do capítulo 1
PACOTES = ("torch", "transformers", "tokenizers", "numpy", "llmdefinitions")


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


def medir(caderno: Path) -> tuple[EnergyUse, int, int]:
    """Tempo e energia, pico de bytes de memória e bytes baixados de uma execução."""
    livro = nbformat.read(caderno, as_version=4)
    os.environ.pop("LLMDEFINITIONS_ESPELHO", None)
    with tempfile.TemporaryDirectory() as dados:
        os.environ["LLMDEFINITIONS_CACHE"] = dados
        medidor, energia = Medidor(), EnergyMeter(WATTS)
        medidor.start()
        try:
            NotebookClient(livro, timeout=None, resources={"metadata": {"path": str(caderno.parent)}}).execute()
        finally:
            uso = energia.read()
            medidor.parar.set()
            medidor.join()
        baixados = sum(arquivo.stat().st_size for arquivo in Path(dados).rglob("*") if arquivo.is_file())
    return uso, medidor.pico, baixados


def principal() -> int:
    """Mede todos os cadernos e grava a tabela."""
    linhas, medida = [], True
    for caderno in sorted((RAIZ / "notebooks").glob("*.ipynb")):
        uso, pico, baixados = medir(caderno)
        medida = medida and uso.measured
        gb, mb = pico / 1e9, baixados / 1e6
        medidas = (f"{uso.seconds:.0f} s", f"{gb:.1f} GB", f"{mb:.1f} MB", f"{uso.watt_hours:.1f} Wh")
        celulas = [m.replace(".", ",") for m in medidas]
        print(f"{caderno.name}: {', '.join(celulas)}", flush=True)
        titulo = next(c.source for c in nbformat.read(caderno, as_version=4).cells if c.cell_type == "markdown")
        linhas.append(" | ".join([titulo.splitlines()[0].lstrip("# "), *celulas]))
    modo = os.environ.get("LIVRO_MODO") or "rapido"
    como = "do contador do processador" if medida else f"estimada: o tempo vezes {WATTS:g} W, potência suposta"
    texto = (
        "| Caderno | Tempo | RAM | Download | Energia |\n|:--|--:|--:|--:|--:|\n"
        + "".join(f"| {linha} |\n" for linha in linhas)
        + f"\nEnergia {como}. Modo `{modo}`. Comando: `make recursos`. "
        f"Máquina: {em_palavras(descrever(PACOTES))}\n"
    )
    PAGINA.parent.mkdir(parents=True, exist_ok=True)
    gravar_atomico(PAGINA, texto.encode("utf-8"))
    print(f"Gravado {PAGINA.relative_to(RAIZ)}.")
    return 0


if __name__ == "__main__":
    sys.exit(principal())
