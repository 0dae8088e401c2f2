"""Treino pequeno, mas com tudo o que sorteia, para test_interrupcao.py rodar noutro processo, matar e retomar."""

import json
import os
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch._dynamo  # o otimizador o importa no primeiro uso; aqui, o servidor de processos importa uma vez por todos
from modelos import carregador, modelo_pequeno
from safetensors.torch import save_file
from tqdm.auto import tqdm

from llmdefinitions import train_model_simple, warmup_cosine

EPOCAS, PASSOS_POR_EPOCA = 4, 15


def treina(pasta: Path | None, saida: Path, checkpoint_every: int, aviso: Connection) -> None:
    """Treina (ou retoma o treino de `pasta`) e, só no fim, grava em `saida` os pesos e as listas de perdas."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # o padrão dele é um semáforo do sistema, que um processo morto não devolve
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 — fecha com o processo
    modelo = modelo_pequeno(31)
    otimizador = torch.optim.AdamW(modelo.parameters(), lr=5e-3, weight_decay=0.1)
    dados = carregador(2 * PASSOS_POR_EPOCA, embaralha=True)
    validacao = carregador(6, embaralha=True, semente=5)
    aviso.send("vou treinar")
    listas = train_model_simple(
        modelo, dados, validacao, otimizador, "cpu", EPOCAS, 7, 2, "", None,
        lr_factor=lambda passo, total: warmup_cosine(passo, total, warmup_steps=5),
        max_grad_norm=1.0, checkpoint_dir=pasta, checkpoint_every=checkpoint_every,
    )  # fmt: skip
    provisorio = saida.with_suffix(".provisorio")
    save_file(modelo.state_dict(), provisorio, metadata={"listas": json.dumps(listas)})
    os.replace(provisorio, saida)
