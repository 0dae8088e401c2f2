"""Mede as quatro estratégias e o esquecimento, com várias sementes, e guarda as medidas que o capítulo 5 desenha.

Uso: python ferramentas/experimentos_lora.py [estrategias] [esquecimento] [--sementes 5] [--pasta P]

Sem nomes, os dois. Grava `estrategias.json` e `esquecimento.json` em `llmdefinitions/assets/experimentos/`, cada um com
as sementes, a receita, as versões, a máquina, a data e o comando. Cada treino das estratégias roda num processo seu, um
de cada vez e com um fio: dois ao mesmo tempo disputariam a memória e o tempo que se medem.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import maquina
from ambiente import RAIZ
from andamento import duracao

from llmdefinitions import load_corpus, load_pretrained
from llmdefinitions.docstrings import package_docstrings
from llmdefinitions.download import sha256_of
from llmdefinitions.files import write_json
from llmdefinitions.forgetting import METHODS, Task, language_task, train_in_sequence
from llmdefinitions.instruction import format_example
from llmdefinitions.instruction_data import load_instructions
from llmdefinitions.pretrained import pretrained_folder
from llmdefinitions.strategies import ALPHA, BATCH_SIZE, RANK, RECIPES, SCALING, STRATEGIES, measure_strategy

NOMES = ("estrategias", "esquecimento")
PASTA = RAIZ / "llmdefinitions" / "assets" / "experimentos"
PACOTES = ("torch", "scikit-learn", "tokenizers", "numpy", "llmdefinitions")
#: O que o esquecimento usa. A taxa do LoRA e λ são as de menor média das três perdas finais, entre poucas candidatas,
#: numa semente e num sorteio de textos que não se medem.
ESQUECIMENTO = {"steps": 30, "rank": 8, "batch_size": 8}
TAXAS = {"nenhuma": 1e-3, "lora": 5e-4, "replay": 1e-3, "l2": 1e-3, "ewc": 1e-3}
FORCAS = {"l2": 0.1, "ewc": 0.1}


def tarefas_do_esquecimento(tokenizador: object) -> list[Task]:
    """Histórias, que o mini-pt sabe; instruções em português; e a documentação do próprio pacote."""
    textos = {
        "histórias": load_corpus("historias", n_stories=600, seed=2027).documents,
        "instruções": [format_example(item, template="portugues") for item in load_instructions()],
        "documentação": [texto for _, texto in package_docstrings()],
    }
    # Embaralhados: os últimos, que ficam para medir, têm de ser como os outros.
    return [
        language_task(nome, random.Random(1).sample(docs, min(600, len(docs))), tokenizador, held_out=32)
        for nome, docs in textos.items()
    ]


def estrategias(sementes: Sequence[int]) -> dict[str, object]:
    """Uma corrida por estratégia e semente; as estratégias se revezam, para que a máquina seja a mesma para todas."""
    corridas = []
    for semente in sementes:
        for estrategia in STRATEGIES:
            corrida = measure_strategy(estrategia, semente)
            corridas.append(asdict(corrida))
            notas = f"acurácia {corrida.accuracy:.3f}, F1 {corrida.macro_f1:.3f}"
            custo = f"{corrida.seconds:.0f} s, {corrida.memory_bytes / 1e6:.0f} MB a mais"
            print(f"semente {semente}, {estrategia:10} {notas}, {custo}", flush=True)
    return {
        "receita": {nome: asdict(r) for nome, r in RECIPES.items()},
        "lora": {"rank": RANK, "alpha": ALPHA, "scaling": SCALING},
        "lote": BATCH_SIZE,
        "corridas": corridas,
    }


def esquecimento(sementes: Sequence[int]) -> dict[str, object]:
    """Perdas das três tarefas depois de cada uma, por método e semente; um treino por vez."""
    modelo, tokenizador = load_pretrained("mini-pt")
    tarefas = tarefas_do_esquecimento(tokenizador)
    corridas = []
    for semente in sementes:
        for metodo in METHODS:
            comeco = time.perf_counter()
            opcoes = {**ESQUECIMENTO, "lr": TAXAS[metodo], "strength": FORCAS.get(metodo, 1.0), "seed": semente}
            perdas = train_in_sequence(deepcopy(modelo), tarefas, metodo, **opcoes)
            segundos = time.perf_counter() - comeco
            corridas.append({"metodo": metodo, "semente": semente, "segundos": segundos, "perdas": perdas})
            depois = ", ".join(f"{nome} {perdas[0][nome]:.2f} → {valor:.2f}" for nome, valor in perdas[-1].items())
            print(f"semente {semente}, {metodo:8} {depois} ({segundos:.0f} s)", flush=True)
    return {
        "receita": {**ESQUECIMENTO, "taxas": TAXAS, "forcas": FORCAS},
        "tarefas": {t.name: {"janelas": len(t.train), "tokens_por_janela": 64} for t in tarefas},
        "corridas": corridas,
    }


def principal(argumentos: list[str]) -> int:
    """Roda os experimentos pedidos e os grava."""
    analisador = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    analisador.add_argument("nomes", nargs="*", metavar="nome", help=f"entre {', '.join(NOMES)}")
    analisador.add_argument("--sementes", type=int, default=5, help="quantas sementes (padrão: 5)")
    analisador.add_argument("--pasta", type=Path, default=PASTA, help="onde gravar")
    pedido = analisador.parse_args(argumentos)
    nomes = pedido.nomes or list(NOMES)
    if desconhecidos := [nome for nome in nomes if nome not in NOMES]:
        analisador.error(f"{', '.join(desconhecidos)} não existe; há {', '.join(NOMES)}")
    if pedido.sementes < 2:
        analisador.error(f"--sementes {pedido.sementes}: são precisas ao menos duas para um intervalo")
    sementes = list(range(1, pedido.sementes + 1))
    pedido.pasta.mkdir(parents=True, exist_ok=True)
    for nome in nomes:
        comeco = time.monotonic()
        medidas = estrategias(sementes) if nome == "estrategias" else esquecimento(sementes)
        ficha = {
            "comando": f"python ferramentas/experimentos_lora.py {nome} --sementes {pedido.sementes}",
            "sementes": sementes,
            "modelo": {"nome": "mini-pt", "sha256": sha256_of(pretrained_folder("mini-pt") / "model.safetensors")},
            "maquina": maquina.descrever(PACOTES),
        }
        destino = pedido.pasta / f"{nome}.json"
        write_json(destino, {**ficha, **medidas})
        print(f"{destino} ({duracao(time.monotonic() - comeco)})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
