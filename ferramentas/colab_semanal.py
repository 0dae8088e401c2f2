"""Executa os cadernos dentro da imagem pública do Colab e escreve um relatório em Markdown.

Uso, dentro da imagem, com o pacote já instalado: python3 ferramentas/colab_semanal.py relatorio.md [caderno.ipynb ...]
"""

from __future__ import annotations

import platform
import re
import sys
import time
from importlib import metadata
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

CADERNOS = Path(__file__).resolve().parent.parent / "notebooks"
LIMITE_POR_CELULA_S = 600  # a imagem roda em máquina emprestada; o limite fino é o de `make cadernos`
PACOTES = ("llmdefinitions", "torch", "numpy", "transformers", "tiktoken", "tokenizers", "matplotlib", "ipywidgets")


def versoes() -> str:
    """Uma linha com o Python e os pacotes que mais importam: o que muda de uma semana para outra."""
    partes = [f"Python {platform.python_version()}"]
    for pacote in PACOTES:
        try:
            partes.append(f"{pacote} {metadata.version(pacote)}")
        except metadata.PackageNotFoundError:
            partes.append(f"{pacote} ausente")
    return ", ".join(partes)


def executar(caderno: Path) -> tuple[float, str]:
    """Segundos gastos e o erro da célula que falhou, sem cores de terminal (vazio se todas passaram)."""
    conteudo = nbformat.read(caderno, as_version=4)
    cliente = NotebookClient(
        conteudo, timeout=LIMITE_POR_CELULA_S, resources={"metadata": {"path": str(caderno.parent)}}
    )
    comeco = time.monotonic()
    try:
        cliente.execute()
    except (CellExecutionError, DeadKernelError, TimeoutError) as erro:
        return time.monotonic() - comeco, re.sub(r"\x1b\[[0-9;]*m", "", str(erro))
    return time.monotonic() - comeco, ""


def principal(argumentos: list[str]) -> int:
    """Executa os cadernos pedidos (todos, se nenhum foi) e devolve 1 se algum falhou."""
    if not argumentos:
        print(__doc__, file=sys.stderr)
        return 2
    destino, *pedidos = map(Path, argumentos)
    cadernos = pedidos or sorted(CADERNOS.glob("*.ipynb"))
    if not cadernos:
        print(f"Não há cadernos em {CADERNOS}.", file=sys.stderr)
        return 2
    linhas = [versoes(), ""]
    falhas = 0
    for caderno in cadernos:
        segundos, erro = executar(caderno)
        linhas.append(f"- `{caderno.name}`: {'falhou' if erro else 'passou'} em {segundos:.0f} s")
        print(linhas[-1], flush=True)
        if erro:
            falhas += 1
            # O fim diz o erro; o começo, a célula.
            trecho = erro if len(erro) < 6000 else f"{erro[:3000]}\n[…]\n{erro[-3000:]}"
            linhas += ["", "```text", trecho.replace("```", "'''"), "```", ""]
        destino.write_text("\n".join(linhas) + "\n", encoding="utf-8")
    return 1 if falhas else 0


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
