"""Refaz o treino de referência (GPT-2 de 124M, 10 épocas) e confere cada linha e cada texto com o ouro dos testes.

Uso: `python ferramentas/reproducao.py [--epocas N]` (é o que `make reproducao` chama). Com as dez épocas, grava
`book/_gerado/reproducao.md`, que a página de reprodução inclui; com menos, só confere e mostra. Sai com erro a
qualquer diferença.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
import time
from pathlib import Path

import torch
from ambiente import gravar_atomico
from maquina import descrever, em_palavras

from llmdefinitions import (
    GPT_CONFIG_124M,
    GPTModel,
    create_dataloader_v1,
    generate,
    get_tokenizer,
    load_corpus,
    split_text,
    text_to_token_ids,
    token_ids_to_text,
    train_model_simple,
)

RAIZ = Path(__file__).resolve().parents[1]
OURO = RAIZ / "tests" / "ouro" / "reproducao-124M.json"
PAGINA = RAIZ / "book" / "_gerado" / "reproducao.md"
INICIO = "Every effort moves you"
LINHA = re.compile(r"Ep \d+ \(Step (\d+)\): Train loss ([\d.]+), Val loss ([\d.]+)")


class _Eco(io.StringIO):
    """Guarda o diário do treino e o mostra enquanto ele acontece."""

    def write(self, texto: str) -> int:
        """Grava nos dois lugares."""
        sys.__stdout__.write(texto)
        sys.__stdout__.flush()
        return super().write(texto)


def ler_diario(diario: str) -> tuple[list[list[float]], list[str]]:
    """Linhas `[passo, treino, validação]` e textos de amostra, com os espaços repetidos juntados."""
    linhas, amostras = [], []
    for linha in diario.splitlines():
        if achado := LINHA.fullmatch(linha.strip()):
            linhas.append([int(achado[1]), float(achado[2]), float(achado[3])])
        elif linha.strip():
            amostras.append(" ".join(linha.split()))
    return linhas, amostras


def treinar(epocas: int) -> tuple[str, str]:
    """Diário do treino e a amostra final, com a receita do contrato."""
    tokenizer = get_tokenizer("gpt2")
    treino, validacao = split_text(load_corpus("the-verdict").text)
    torch.manual_seed(123)
    janelas = {"batch_size": 2, "max_length": 256, "stride": 256}
    train_loader = create_dataloader_v1(treino, drop_last=True, shuffle=True, **janelas)
    val_loader = create_dataloader_v1(validacao, drop_last=False, shuffle=False, **janelas)
    torch.manual_seed(123)
    model = GPTModel(GPT_CONFIG_124M)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4, weight_decay=0.1)
    eco = _Eco()
    with contextlib.redirect_stdout(eco):
        train_model_simple(
            model, train_loader, val_loader, optimizer, "cpu", epocas, 5, 5, INICIO, tokenizer, progress=False
        )
    torch.manual_seed(123)
    ids = generate(model, text_to_token_ids(INICIO, tokenizer), 15, 256, top_k=25, temperature=1.4)
    return eco.getvalue(), token_ids_to_text(ids, tokenizer)


def diferencas(ouro: dict, linhas: list[list[float]], amostras: list[str], final: str | None) -> list[str]:
    """O que não bate com o ouro, em frases; `final` é `None` quando o treino não foi até o fim."""
    achadas = [
        f"passo {certa[0]}: medido {medida[1:]}, esperado {certa[1:]}"
        for medida, certa in zip(linhas, ouro["linhas"], strict=False)
        if medida != certa
    ]
    achadas += [
        f"texto da época {epoca}: {medida!r}, esperado {certa!r}"
        for epoca, (medida, certa) in enumerate(zip(amostras, ouro["amostras"], strict=False), start=1)
        if medida != certa
    ]
    if final is not None:
        if (len(linhas), len(amostras)) != (len(ouro["linhas"]), len(ouro["amostras"])):
            achadas.append(f"{len(linhas)} linhas e {len(amostras)} textos; esperados 18 e 10")
        if final != ouro["amostra_final"]:
            achadas.append(f"amostra final: {final!r}, esperada {ouro['amostra_final']!r}")
    return achadas


def pagina(ouro: dict, linhas: list[list[float]], segundos: float) -> str:
    """Tabela em MyST com o medido ao lado do esperado, e onde foi medido."""
    corpo = "\n".join(
        f"| {passo} | {treino:.3f} | {val:.3f} | {certa[1]:.3f} | {certa[2]:.3f} |"
        for (passo, treino, val), certa in zip(linhas, ouro["linhas"], strict=True)
    )
    ficha = em_palavras(descrever(["torch", "tiktoken", "numpy"]))
    return (
        f"As {len(linhas)} linhas coincidem nas três casas; os {len(ouro['amostras'])} textos de amostra e o final, "
        f"caractere por caractere (espaços repetidos contam como um). O treino levou {segundos / 60:.1f} minutos.\n\n"
        "| Passo | Treino | Validação | Treino (ref.) | Validação (ref.) |\n|--:|--:|--:|--:|--:|\n"
        f"{corpo}\n\nComando: `make reproducao`, semente 123. Máquina: {ficha}\n"
    )


def principal() -> int:
    """Treina, confere e, se o treino foi inteiro e tudo bate, grava a página."""
    argumentos = argparse.ArgumentParser(description="Refaz e confere o treino de referência de 124M.")
    argumentos.add_argument("--epocas", type=int, default=10, help="menos que 10 só confere, sem gravar")
    epocas = argumentos.parse_args().epocas
    ouro = json.loads(OURO.read_text(encoding="utf-8"))
    comeco = time.monotonic()
    diario, final = treinar(epocas)
    segundos = time.monotonic() - comeco
    linhas, amostras = ler_diario(diario)
    completo = epocas == 10
    achadas = diferencas(ouro, linhas, amostras, final if completo else None)
    if achadas:
        print("\n".join(["NÃO reproduziu:", *achadas]), file=sys.stderr)
        return 1
    print(f"Reproduziu: {len(linhas)} linhas e {len(amostras)} textos conferidos em {segundos / 60:.1f} min.")
    if completo:
        PAGINA.parent.mkdir(parents=True, exist_ok=True)
        gravar_atomico(PAGINA, pagina(ouro, linhas, segundos).encode("utf-8"))
        print(f"Gravado {PAGINA.relative_to(RAIZ)}.")
    return 0


if __name__ == "__main__":
    sys.exit(principal())
