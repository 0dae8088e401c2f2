"""Roda um comando demorado mostrando, em uma linha e em português, em que ponto ele está."""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

BATIMENTO_S = 20  # sem terminal, uma linha de progresso a cada tantos segundos


def duracao(segundos: float) -> str:
    """Segundos para leitura: `4,2 s` ou `2 min 03 s`."""
    if segundos < 60:
        return f"{segundos:.1f} s".replace(".", ",")
    return f"{int(segundos) // 60} min {int(segundos) % 60:02d} s"


def progresso_do_pip(linha: str) -> str | None:
    """Traduz uma linha do pip para o que interessa ao leitor; `None` se ela não diz nada de novo."""
    if achado := re.match(r"Progress (\d+) of (\d+)$", linha):
        feito, total = (int(n) / 1e6 for n in achado.groups())
        return f"{feito:.0f} de {total:.0f} MB" if total >= 5 else None
    if achado := re.match(r"\s*(?:Downloading|Using cached) (\S+?)-\d", linha):
        return f"baixando {achado[1].rsplit('/', 1)[-1]}"
    if achado := re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", linha):
        return f"conferindo {achado[1]}"
    if achado := re.match(r"Building wheels? for (?:collected packages: )?([\w.-]+)", linha):
        return f"compilando {achado[1]}"
    if linha.startswith("Installing collected packages:"):
        return f"gravando {linha.count(',') + 1} pacotes no disco"
    return None


class _Linha:
    """A linha de andamento: redesenhada no terminal, repetida de tempos em tempos fora dele."""

    def __init__(self) -> None:
        self.inicio = self.ultima = time.monotonic()
        self.terminal = sys.stdout.isatty()
        self.estado = ""
        self.largura = 0

    def anotar(self, novo: str | None) -> None:
        if novo and novo[0].isdigit():  # megabytes do arquivo que já está no estado
            self.estado = self.estado.split(": ")[0] + ": " + novo
        elif novo:
            self.estado = novo

    def mostrar(self) -> None:
        agora = time.monotonic()
        if agora - self.ultima < (0.2 if self.terminal else BATIMENTO_S):
            return
        self.ultima = agora
        texto = f"      {duracao(agora - self.inicio)}  {self.estado}"[:78]
        if self.terminal:
            self.largura = max(self.largura, len(texto))
            print("\r" + texto.ljust(self.largura), end="", flush=True)
        else:
            print(texto, flush=True)

    def apagar(self) -> None:
        if self.largura:
            print("\r" + " " * self.largura + "\r", end="", flush=True)


def executar(argv: list[str], registro: Path, *, pasta: Path, variaveis: dict[str, str]) -> int:
    """Roda `argv` em `pasta` até o fim e devolve o código de saída; a saída inteira vai para `registro`."""
    linhas: queue.Queue[str | None] = queue.Queue()
    andamento = _Linha()
    with (
        registro.open("a", encoding="utf-8") as saida,
        subprocess.Popen(
            argv,
            cwd=pasta,
            env=variaveis,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as filho,
    ):

        def ler() -> None:
            for linha in filho.stdout:
                linhas.put(linha.rstrip("\n"))
            linhas.put(None)

        # Uma thread lê, para o relógio andar também enquanto o pip cala (na gravação dos pacotes, por exemplo).
        leitor = threading.Thread(target=ler, daemon=True)
        leitor.start()
        try:
            while True:
                try:
                    linha = linhas.get(timeout=0.5)
                except queue.Empty:
                    andamento.mostrar()
                    continue
                if linha is None:
                    return filho.wait()
                if not linha.startswith("Progress "):
                    saida.write(linha + "\n")
                andamento.anotar(progresso_do_pip(linha))
                andamento.mostrar()
        finally:
            if filho.poll() is None:
                filho.kill()
            leitor.join()
            andamento.apagar()
