"""Mede a lei de escala do mini-pt: a mesma receita com menos passos, cada treino com a sua agenda inteira.

Uso: python ferramentas/escala.py [--pasta _build/escala] [--modelo llmdefinitions/assets/mini-pt]

Um treino interrompido no meio da agenda não serve de ponto: a taxa de aprendizado ainda estaria alta, e a perda também.
Por isso cada ponto é um treino do começo ao fim, e o último é o modelo já exportado. A lei é ajustada duas vezes: com
todos os pontos, e só com os treinos curtos, para ver se eles teriam previsto o longo. Grava `escala.json` na pasta do
modelo, e `escala.md` e `escala.svg` em `book/_gerado`; os treinos já feitos, em `escala.jsonl`, não se refazem.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import maquina
import matplotlib.pyplot as plt
import numpy as np
import torch
from ambiente import RAIZ, gravar_atomico
from matplotlib.ticker import FuncFormatter, NullFormatter

from llmdefinitions.distributed import World
from llmdefinitions.mixture import Mixture
from llmdefinitions.model_card import num
from llmdefinitions.plots import use_book_style
from llmdefinitions.pretrain_data import PretrainData, prepare
from llmdefinitions.pretrainer import Pretrainer
from llmdefinitions.recipe import Recipe
from llmdefinitions.scaling import fit_power_law
from llmdefinitions.scoring import score_documents, total_bits_per_byte

PASTA = RAIZ / "_build" / "escala"
MODELO = RAIZ / "llmdefinitions" / "assets" / "mini-pt"
PAGINA = RAIZ / "book" / "_gerado" / "escala.md"
PACOTES = ("torch", "tokenizers", "numpy", "scipy", "llmdefinitions")
#: Que parte dos passos da receita cada treino curto faz.
PARTES = (64, 32, 16, 8)
MEDIDAS = ("machado", "historias")


def _treinar(receita: Recipe, dados: PretrainData) -> dict[str, object]:
    mistura = Mixture.from_recipe(dados.stores, receita)
    with tempfile.TemporaryDirectory() as vazia:
        treino = Pretrainer(receita, mistura, vazia, World(0, 1, torch.device("cpu")))
        modelo = treino.run()
    bits = {
        nome: total_bits_per_byte(score_documents(modelo, dados.heldout[nome], dados.tokenizer)) for nome in MEDIDAS
    }
    return {"receita": receita.to_dict(), "tokens": receita.tokens, "segundos": treino.seconds, "bits_por_byte": bits}


def _pontos(receita: Recipe, pasta: Path) -> list[dict]:
    pasta.mkdir(parents=True, exist_ok=True)
    registro = pasta / "escala.jsonl"
    feitos = [json.loads(linha) for linha in registro.read_text("utf-8").splitlines()] if registro.is_file() else []
    dados = prepare(receita, pasta / f"dados-{receita.data_digest()}", print)
    pontos = []
    for parte in PARTES:
        passos = receita.steps // parte
        curta = replace(receita, steps=passos, warmup_steps=min(receita.warmup_steps, passos // 10), eval_every=passos)
        ponto = next((p for p in feitos if p["receita"] == curta.to_dict()), None)
        if ponto is None:
            ponto = _treinar(curta, dados)
            with open(registro, "a", encoding="utf-8") as arquivo:
                arquivo.write(json.dumps(ponto, ensure_ascii=False) + "\n")
                arquivo.flush()
                os.fsync(arquivo.fileno())
        print(f"{ponto['tokens']} tokens: {ponto['bits_por_byte']}", flush=True)
        pontos.append(ponto)
    return pontos


def _pagina(resultado: dict) -> str:
    linhas = ["| tokens de treino | " + " | ".join(f"`{nome}`, bits por byte" for nome in MEDIDAS) + " |"]
    linhas.append("|--:|" + "--:|" * len(MEDIDAS))
    for tokens, *bits in zip(resultado["tokens"], *(resultado[nome]["medidas"] for nome in MEDIDAS), strict=True):
        linhas.append(f"| {num(tokens / 1e6, 2)} milhões | " + " | ".join(num(b, 3) for b in bits) + " |")
    frases = []
    for nome in MEDIDAS:
        lei, previsto = resultado[nome]["lei"], resultado[nome]["previsto_pelos_curtos"]
        medido = resultado[nome]["medidas"][-1]
        # Numa fórmula, a vírgula solta ganharia um espaço depois.
        numeros = (lei["piso"], _por_milhao(lei), lei["expoente"])
        piso, escala, expoente = (num(valor, 3).replace(",", "{,}") for valor in numeros)
        frases.append(
            f"Em `{nome}`, a lei ajustada a todos os pontos é $L(D) = {piso} + {escala}\\,D^{{-{expoente}}}$, "
            f"com $D$ em milhões de tokens. Ajustada só aos treinos curtos, ela previa {num(previsto, 3)} para o "
            f"longo, que mediu {num(medido, 3)}: um erro de {num(100 * (previsto / medido - 1), 1)}%."
        )
    figura = (
        "```{image} _gerado/escala.svg\n:alt: Bits por byte em textos separados contra milhões de tokens de treino, em "
        "eixos logarítmicos. Nos dois textos a perda cai a cada treino maior, e a curva da lei passa perto dos "
        "pontos.\n```"
    )
    return "\n\n".join(["\n".join(linhas), figura, *frases, str(resultado["maquina"])]) + "\n"


def _por_milhao(lei: dict[str, float]) -> float:
    """A escala da lei quando os tokens se contam em milhões."""
    return lei["escala"] * 1e6 ** -lei["expoente"]


def _figura(resultado: dict) -> bytes:
    """Os treinos e as duas leis, a de todos os pontos e a dos curtos, como SVG; a mesma entrada dá os mesmos bytes."""
    use_book_style()
    plt.rcParams["svg.hashsalt"] = "escala"
    figura, eixos = plt.subplots(1, len(MEDIDAS), figsize=(6.4, 3.4), layout="constrained")
    tokens = np.array(resultado["tokens"]) / 1e6
    linha = np.geomspace(tokens[0], tokens[-1], 100)
    for eixo, nome in zip(eixos, MEDIDAS, strict=True):
        medidas, lei = resultado[nome]["medidas"], resultado[nome]["lei"]
        eixo.plot(linha, lei["piso"] + _por_milhao(lei) * linha ** -lei["expoente"], label="lei")
        eixo.plot(tokens, medidas, "o", label="treinos")
        eixo.plot(tokens[-1], resultado[nome]["previsto_pelos_curtos"], "x", label="previsto pelos curtos")
        eixo.set(xscale="log", yscale="log", title=nome, xlabel="milhões de tokens de treino")
        for lado in (eixo.xaxis, eixo.yaxis):
            lado.set_major_formatter(FuncFormatter(lambda v, _: num(v, 1 if v >= 1 else 2)))
            lado.set_minor_formatter(NullFormatter())
        eixo.set_yticks(medidas[:: len(medidas) - 1], minor=False)
        eixo.set_xticks([0.3, 1, 3, 10, 20], minor=False)
    eixos[0].set_ylabel("bits por byte")
    eixos[0].legend()
    saida = io.BytesIO()
    figura.savefig(saida, format="svg", metadata={"Date": None})
    plt.close(figura)
    return saida.getvalue()


def principal(argumentos: list[str]) -> int:
    """Treina o que falta, ajusta a lei e grava o resultado."""
    analisador = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    analisador.add_argument("--pasta", type=Path, default=PASTA)
    analisador.add_argument("--modelo", type=Path, default=MODELO)
    opcoes = analisador.parse_args(argumentos)
    medidas = json.loads((opcoes.modelo / "medidas.json").read_text("utf-8"))
    receita = Recipe(**medidas["receita"])
    pontos = _pontos(receita, opcoes.pasta)
    tokens = [*(p["tokens"] for p in pontos), receita.tokens]
    resultado: dict[str, object] = {
        "comando": "python ferramentas/escala.py",
        "maquina": maquina.em_palavras(maquina.descrever(PACOTES)),
        "tokens": tokens,
    }
    for nome in MEDIDAS:
        bits = [*(p["bits_por_byte"][nome] for p in pontos), medidas["bits_por_byte"][nome]]
        todas, curtas = fit_power_law(tokens, bits), fit_power_law(tokens[:-1], bits[:-1])
        resultado[nome] = {
            "medidas": bits,
            "lei": {"piso": todas.floor, "escala": todas.scale, "expoente": todas.exponent},
            "previsto_pelos_curtos": curtas(tokens[-1]),
        }
    gravar_atomico(opcoes.modelo / "escala.json", (json.dumps(resultado, ensure_ascii=False, indent=1) + "\n").encode())
    gravar_atomico(PAGINA, _pagina(resultado).encode())
    gravar_atomico(PAGINA.with_suffix(".svg"), _figura(resultado))
    return 0


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
