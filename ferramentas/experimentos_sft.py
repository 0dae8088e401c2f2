"""O ajuste por instruções com tempo de verdade: o mini-pt antes e depois, e o efeito da máscara e de empacotar.

Uso: python ferramentas/experimentos_sft.py [--segundos 600] [--curto 60] [--modelo mini-pt] [--destino PASTA]

O capítulo 4 treina por alguns segundos; aqui o mesmo código tem dez minutos, num fio só. O tempo é o de CPU: numa
máquina ocupada o comando demora mais, mas treina o mesmo tanto. Grava, na pasta de destino, `respostas-sft.json` (as
respostas ao teste, antes e depois, que o capítulo 6 avalia) e `sft.json` (as medidas, com a máquina, as versões e o
comando), cada um inteiro ou nada.
"""

from __future__ import annotations

import argparse
import copy
import functools
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import maquina
import torch
from ambiente import RAIZ
from torch import nn

from llmdefinitions.copy_practice import practice_copying
from llmdefinitions.download import sha256_of
from llmdefinitions.files import write_json
from llmdefinitions.finetuning import FineTuneLog
from llmdefinitions.instruction_data import load_instructions
from llmdefinitions.instruction_report import METRICS, gains, score_answer
from llmdefinitions.intervals import mean_interval
from llmdefinitions.pretrained import load_pretrained
from llmdefinitions.responses import respond_all
from llmdefinitions.sft import SFTOptions, instruction_batches, supervised_fine_tune

MODELO = RAIZ / "llmdefinitions" / "assets" / "mini-pt"
DESTINO = RAIZ / "llmdefinitions" / "assets" / "experimentos"
PACOTES = ("torch", "numpy", "scipy", "tokenizers", "sacrebleu", "llmdefinitions")
#: O treino principal, que vê cada exemplo quantas vezes o tempo deixar, até este limite.
OPCOES = SFTOptions(epochs=6)
#: Passos do treino de cópia que vem antes, e que conta no tempo.
PASSOS_DE_COPIA = 200
#: Os que comparam máscara com modelagem: as mesmas épocas para os dois.
EPOCAS_CURTAS = 0.4
SEMENTES = (1, 2, 3)
MAX_TOKENS = 48
VALIDACOES = 10
#: Os tempos são de CPU, e não do relógio da parede.
RELOGIO = time.process_time
METAS = {"exata": 0.30, "forma": 0.90, "empacotar": 1.5}

Itens = Sequence[Mapping[str, Any]]


def por_parte(dados: Itens) -> dict[str, list[Mapping[str, Any]]]:
    """Os itens de cada parte do conjunto."""
    return {parte: [e for e in dados if e["parte"] == parte] for parte in ("treino", "validacao", "teste")}


def responder(modelo: nn.Module, tokenizador: Any, itens: Itens, opcoes: SFTOptions) -> list[str]:
    """Respostas gulosas, no molde com que se treina."""
    return respond_all(modelo, tokenizador, itens, template=opcoes.template, max_new_tokens=MAX_TOKENS)


def principal(
    modelo: nn.Module, tokenizador: Any, partes: Mapping[str, Itens], segundos: float, opcoes: SFTOptions = OPCOES
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """O treino com todo o tempo, a cópia e depois os pedidos: as medidas de antes e de depois, e as respostas."""
    ajustado = copy.deepcopy(modelo)
    antes = responder(modelo, tokenizador, partes["teste"], opcoes)
    copia = practice_copying(ajustado, steps=PASSOS_DE_COPIA, seed=opcoes.seed, budget=segundos / 2, clock=RELOGIO)
    passos = round(opcoes.epochs * len(instruction_batches(modelo, tokenizador, partes["treino"], opcoes)))
    registro = supervised_fine_tune(
        ajustado,
        tokenizador,
        partes["treino"],
        opcoes,
        validation=partes["validacao"],
        validate_every=max(1, passos // VALIDACOES),
        budget=segundos - copia.seconds,
        clock=RELOGIO,
    )
    depois = responder(ajustado, tokenizador, partes["teste"], opcoes)
    medidas = {
        nome: [ganho.to_dict() for ganho in gains(partes["teste"], antes, depois, metric=nome)] for nome in METRICS
    }
    respostas = [
        {campo: item[campo] for campo in ("instruction", "input", "output", "categoria")}
        | {"resposta_base": a, "model_response": d}
        for item, a, d in zip(partes["teste"], antes, depois, strict=True)
    ]
    resultado = {
        "opcoes": opcoes.to_dict(),
        "segundos_pedidos": segundos,
        "copia": {
            "passos": copia.steps,
            "segundos_de_treino": round(copia.seconds, 1),
            "perdas": _em_medias(copia.losses),
        },
        **curva(registro),
        "medidas": medidas,
    }
    return resultado, respostas


def curva(registro: FineTuneLog) -> dict[str, Any]:
    """O que do registro vai ao arquivo."""
    return {
        "passos": registro.steps,
        "parou_por": registro.stopped,
        "segundos_de_treino": round(registro.seconds, 1),
        "alvos": sum(registro.tokens),
        "treino": _em_medias(registro.losses),
        "validacao": [[passo, round(perda, 4)] for passo, perda in registro.validation],
    }


def _em_medias(perdas: Sequence[float]) -> list[list[float]]:
    """A perda em médias de poucos passos: o arquivo fica pequeno, e a curva, legível."""
    largura = max(1, len(perdas) // 200)
    return [[i, round(statistics.fmean(perdas[i : i + largura]), 4)] for i in range(0, len(perdas), largura)]


def mascara(
    modelo: nn.Module, tokenizador: Any, partes: Mapping[str, Itens], segundos: float, opcoes: SFTOptions = OPCOES
) -> dict[str, Any]:
    """Só a resposta na perda, ou o prompt também: a mesma partida, que já copia, os mesmos passos e sementes."""
    partida = copy.deepcopy(modelo)
    practice_copying(partida, steps=PASSOS_DE_COPIA, seed=opcoes.seed, budget=segundos, clock=RELOGIO)
    acertos: dict[bool, list[list[float]]] = {True: [], False: []}
    perdas: dict[bool, list[float]] = {True: [], False: []}
    for semente in SEMENTES:
        for mascarar in (True, False):
            ajustado = copy.deepcopy(partida)
            registro = supervised_fine_tune(
                ajustado,
                tokenizador,
                partes["treino"],
                replace(opcoes, epochs=EPOCAS_CURTAS, mask_instruction=mascarar, seed=semente),
                validation=partes["validacao"],
                budget=segundos,
                clock=RELOGIO,
            )
            respostas = responder(ajustado, tokenizador, partes["teste"], opcoes)
            acertos[mascarar].append(
                [score_answer(e, r)["exata"] for e, r in zip(partes["teste"], respostas, strict=True)]
            )
            perdas[mascarar].append(registro.validation[-1][1])
    # Um valor por item: a média das sementes, para que o intervalo reamostre itens, e não treinos do mesmo item.
    medias = {m: [statistics.fmean(item) for item in zip(*linhas, strict=True)] for m, linhas in acertos.items()}
    return {
        "epocas": EPOCAS_CURTAS,
        "segundos_no_maximo": segundos,
        "sementes": list(SEMENTES),
        "perda_de_validacao": {"mascara": perdas[True], "modelagem": perdas[False]},
        "exata": {
            "mascara": vars(mean_interval(medias[True])),
            "modelagem": vars(mean_interval(medias[False])),
            "diferenca": vars(mean_interval([a - b for a, b in zip(medias[True], medias[False], strict=True)])),
        },
    }


def empacotar(
    modelo: nn.Module, tokenizador: Any, partes: Mapping[str, Itens], segundos: float, rodadas: int = 3
) -> dict[str, Any]:
    """Tokens de exemplos por segundo, em rodadas intercaladas; todos os alvos contam, para os dois fazerem o mesmo."""
    base = replace(OPCOES, mask_instruction=False, swap=0.0, batch_size=8)
    lotes = instruction_batches(modelo, tokenizador, partes["treino"], base)
    exemplos = round(len(lotes.dataset) / len(lotes))
    casos = {
        "empacotado, 8 linhas": base,
        "preenchido, 8 exemplos": replace(base, packing=False),
        f"preenchido, {exemplos} exemplos": replace(base, packing=False, batch_size=exemplos),
    }
    medidos: dict[str, list[float]] = {nome: [] for nome in casos}
    for _ in range(rodadas):
        for nome, opcoes in casos.items():
            registro = supervised_fine_tune(
                copy.deepcopy(modelo), tokenizador, partes["treino"], opcoes, budget=segundos, clock=RELOGIO
            )
            medidos[nome].append(registro.tokens_per_second)
    uteis = {
        nome: instruction_batches(modelo, tokenizador, partes["treino"], opcoes).useful_fraction()
        for nome, opcoes in casos.items()
    }
    linhas = [
        {
            "lote": nome,
            "tokens_por_segundo": round(statistics.median(medidos[nome]), 1),
            "rodadas": [round(v, 1) for v in medidos[nome]],
            "desperdicio": round(1 - uteis[nome], 4),
        }
        for nome in casos
    ]
    primeiro, segundo = (linhas[i]["tokens_por_segundo"] for i in range(2))
    return {"segundos_por_rodada": segundos, "linhas": linhas, "vezes": round(primeiro / segundo, 3)}


def experimentar(
    modelo: nn.Module, tokenizador: Any, segundos: float, curto: float, guardar: Callable[[list], None]
) -> dict[str, Any]:
    """Todas as medidas; `guardar` recebe as respostas assim que existem."""
    partes = por_parte(load_instructions())
    treino, respostas = principal(modelo, tokenizador, partes, segundos)
    guardar(respostas)
    print(f"treino principal: {treino['passos']} passos, {treino['segundos_de_treino']} s", flush=True)
    lotes = empacotar(modelo, tokenizador, partes, min(curto, 15.0))
    print(f"empacotar: {lotes['vezes']} vezes", flush=True)
    efeito = mascara(modelo, tokenizador, partes, curto)
    total = {nome: treino["medidas"][nome][0]["after"]["estimate"] for nome in METRICS}
    valores = {"exata": total["exata"], "forma": total["forma"], "empacotar": lotes["vezes"]}
    metas = {
        nome: {"valor": valores[nome], "minimo": minimo, "atingida": valores[nome] >= minimo}
        for nome, minimo in METAS.items()
    }
    return {"metas": metas, "principal": treino, "mascara": efeito, "empacotar": lotes}


def main(argumentos: Sequence[str] | None = None) -> int:
    """Mede e grava; devolve 0 mesmo se uma meta não foi atingida: o arquivo diz quais."""
    leitor = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    leitor.add_argument("--segundos", type=float, default=600.0, help="tempo do treino principal")
    leitor.add_argument("--curto", type=float, default=60.0, help="tempo de cada treino da comparação de máscaras")
    leitor.add_argument("--modelo", type=Path, default=MODELO, help="pasta do modelo")
    leitor.add_argument("--destino", type=Path, default=DESTINO)
    pedido = leitor.parse_args(argumentos)
    torch.set_num_threads(1)
    modelo, tokenizador = load_pretrained(str(pedido.modelo))
    pedido.destino.mkdir(parents=True, exist_ok=True)
    guardar = functools.partial(write_json, pedido.destino / "respostas-sft.json")
    resultado = experimentar(modelo, tokenizador, pedido.segundos, pedido.curto, guardar)
    ficha = {
        "comando": shlex.join(["python", "ferramentas/experimentos_sft.py", *(argumentos or sys.argv[1:])]),
        "modelo": {
            "nome": pedido.modelo.name,
            "sha256": sha256_of(pedido.modelo / "model.safetensors"),
            "parametros": modelo.count_parameters(),
        },
        "maquina": maquina.descrever(PACOTES),
    }
    write_json(pedido.destino / "sft.json", {**ficha, **resultado})
    for nome, meta in resultado["metas"].items():
        print(f"{nome}: {meta['valor']:.3f} (meta {meta['minimo']}; {'atingida' if meta['atingida'] else 'não'})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
