"""Compara treinos inteiros do mini-pt, lado a lado, e grava `book/_gerado/treinos.md`.

Uso: `python ferramentas/treinos.py PASTA PASTA…`, em que cada pasta é a de um modelo exportado, como
`_build/mini-pt/modelo`. A tabela mostra os campos da receita em que eles diferem e o que cada um deu, lidos de
`medidas.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ambiente import RAIZ, gravar_atomico

PAGINA = RAIZ / "book" / "_gerado" / "treinos.md"


def tabela(medidas: Sequence[Mapping[str, Any]]) -> str:
    """Uma linha por campo que difere e por medida, uma coluna por treino.

    Erros:
        ValueError: menos de dois treinos, ou duas vezes a mesma receita.
    """
    from llmdefinitions.model_card import num

    receitas = [m["receita"] for m in medidas]
    # Um campo que a receita antiga não tinha vale o que o programa fazia então: nada.
    campos = [c for c in receitas[-1] if len({json.dumps(r.get(c, 0), sort_keys=True) for r in receitas}) > 1]
    if len(medidas) < 2 or not campos:
        raise ValueError("esperados dois ou mais treinos, de receitas diferentes.")

    def valor(campo: str, achado: Any) -> str:
        if campo == "mixture":
            return ", ".join(f"{nome} {parte}" for nome, parte in achado.items())
        return str(achado).replace(".", ",")

    linhas = [(f"`{c}`", *(valor(c, r.get(c, 0)) for r in receitas)) for c in campos]
    linhas += [
        ("tokens (milhões)", *(num(m["treino"]["tokens"] / 1e6, 1) for m in medidas)),
        ("minutos", *(num(m["treino"]["segundos"] / 60, 0) for m in medidas)),
        ("Machado, bits por byte", *(num(m["bits_por_byte"]["machado"], 3) for m in medidas)),
        ("BNCC, bits por byte", *(num(m["bits_por_byte"]["bncc"], 3) for m in medidas)),
        ("histórias, excesso sobre a entropia", *(f"{num(100 * m['historias']['excesso'], 1)}%" for m in medidas)),
    ]
    cabeca = ("campo ou medida", *(f"treino {n}" for n in range(1, len(medidas) + 1)))
    return "\n".join("| " + " | ".join(linha) + " |" for linha in (cabeca, ("---",) * len(cabeca), *linhas)) + "\n"


def principal(argumentos: list[str]) -> int:
    """Lê as medidas e grava a tabela."""
    analisador = argparse.ArgumentParser(description="Compara treinos inteiros do mini-pt.")
    analisador.add_argument("pastas", nargs="+", type=Path, metavar="PASTA")
    pastas = analisador.parse_args(argumentos).pastas
    medidas = [json.loads((pasta / "medidas.json").read_text("utf-8")) for pasta in pastas]
    gravar_atomico(PAGINA, tabela(medidas).encode())
    return 0


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
