"""Mede o módulo ao lado de outras implementações e diz se cada meta de velocidade e memória foi cumprida.

Uso: python ferramentas/bench.py [treino] [geracao] [janelas] [minipt] [pagina] [lora]   (sem nomes, todas)

As implementações se revezam rodada a rodada e o que vale é a mediana das razões: numa máquina compartilhada o tempo
absoluto varia muito, e a razão entre vizinhos, pouco. Grava `_build/relatorios/bench.json` e `bench.md`. Uma meta não
cumprida não é erro: aparece na tabela. Só falha o que não pôde ser medido.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from dataclasses import asdict

# Antes de importar o transformers: a comparação usa pesos sorteados, nada a buscar na rede.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import maquina
from ambiente import gravar_atomico
from andamento import duracao
from relatorios import PASTA

PACOTES = ("torch", "transformers", "peft", "tiktoken", "tokenizers", "numpy", "llms-from-scratch", "llmdefinitions")
SECOES = ("treino", "geracao", "janelas", "minipt", "pagina", "lora")


def principal(argumentos: list[str]) -> int:
    """Mede as seções pedidas, mostra as tabelas e as grava."""
    analisador = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    analisador.add_argument("secoes", nargs="*", metavar="secao", help=f"entre {', '.join(SECOES)}")
    nomes = analisador.parse_args(argumentos).secoes or list(SECOES)
    if desconhecidas := [nome for nome in nomes if nome not in SECOES]:
        analisador.error(f"seção desconhecida: {', '.join(desconhecidas)}. As que existem: {', '.join(SECOES)}")
    ficha = maquina.descrever(PACOTES)
    frase = "Medido em " + maquina.em_palavras(ficha)
    print(frase, flush=True)
    secoes = {}
    for nome in nomes:
        inicio = time.monotonic()
        print(f"\nMedindo: {nome}…", flush=True)
        secoes[nome] = importlib.import_module(f"bench_{nome}").medir()
        print(secoes[nome].em_markdown(), flush=True)
        print(f"\n({duracao(time.monotonic() - inicio)})", flush=True)
    PASTA.mkdir(parents=True, exist_ok=True)
    dados = {"maquina": ficha, "secoes": {nome: _em_dados(secao) for nome, secao in secoes.items()}}
    gravar_atomico(PASTA / "bench.json", (json.dumps(dados, indent=1, ensure_ascii=False) + "\n").encode())
    texto = "\n\n".join(["# Comparação com outras implementações", frase, *(s.em_markdown() for s in secoes.values())])
    gravar_atomico(PASTA / "bench.md", (texto + "\n").encode())
    metas = [meta for secao in secoes.values() for meta in secao.metas]
    print(f"\n{sum(m.cumprida for m in metas)} de {len(metas)} metas cumpridas. Tabelas em {PASTA / 'bench.md'}.")
    return 0


def _em_dados(secao: object) -> dict[str, object]:
    return {**asdict(secao), "metas": [{**asdict(meta), "cumprida": meta.cumprida} for meta in secao.metas]}


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
