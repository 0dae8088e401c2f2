"""Pré-treinos minúsculos em um ou mais processos, para os testes rodarem, matarem e retomarem.

Como programa, é o que o `torchrun` roda: `treino_distribuido.py PASTA_DOS_DADOS PASTA_DO_TREINO campo=valor…`.
"""

import faulthandler
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo  # o otimizador o importa no primeiro uso; aqui, o servidor de processos importa uma vez por todos
from safetensors.torch import save_file

from llmdefinitions.distributed import World, abandon, join_world
from llmdefinitions.mixture import Mixture
from llmdefinitions.pretrainer import Pretrainer, read_log
from llmdefinitions.recipe import Recipe
from llmdefinitions.token_store import TokenStore, write_tokens

RECEITA = Recipe(
    seed=11,
    mixture={"bncc": 60, "historias": 40},
    heldout_percent=5.0,
    n_stories=100,
    vocab_size=97,
    context_length=16,
    emb_dim=32,
    n_heads=2,
    n_layers=2,
    drop_rate=0.0,
    optimizer="adamw",
    lr=3e-3,
    min_lr_ratio=0.1,
    warmup_steps=5,
    weight_decay=0.1,
    max_grad_norm=1.0,
    batch_size=8,
    micro_batch_size=8,
    steps=50,
    precision="float32",
    compile=False,
    eval_every=10,
    checkpoint_every=3,
)
#: O que um passo calcula, sem os tempos.
CAMPOS = ("step", "tokens", "loss", "lr", "grad_norm")
# No Linux os processos nascem de um servidor com o torch já importado; fora dele, fork com o torch carregado não é
# seguro, e cada processo importa tudo de novo.
CONTEXTO = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
MORTO = -signal.SIGTERM if sys.platform == "win32" else -signal.SIGKILL


def prepara_servidor(monkeypatch: pytest.MonkeyPatch) -> None:
    """O servidor não herda o sys.path do pytest, e calaria o erro de um módulo que não achasse."""
    testes = Path(__file__).parent
    caminhos = [str(testes), str(testes.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(caminhos))
    if sys.platform == "linux":
        CONTEXTO.set_forkserver_preload(["pytest", "treino_distribuido"])


def grava_fontes(pasta: Path) -> Path:
    """Duas fontes de tokens que se aprendem: cada id quase sempre traz o mesmo id depois de si."""
    rng = np.random.default_rng(5)
    for nome, passo in (("bncc", 7), ("historias", 12)):
        ids = np.cumsum(rng.choice([passo, 1, 2], size=6000, p=[0.8, 0.1, 0.1])) % RECEITA.vocab_size
        write_tokens(pasta / nome, [ids], RECEITA.vocab_size)
    return pasta


def abre_mistura(dados: Path, receita: Recipe) -> Mixture:
    stores = {nome: TokenStore(dados / nome) for nome in receita.mixture}
    return Mixture.from_recipe(stores, receita)


def treina(
    dados: Path,
    pasta: Path,
    mundo: World,
    receita: Recipe = RECEITA,
    *,
    until: int | None = None,
    preparo: Callable[[Pretrainer], None] | None = None,
) -> Pretrainer:
    """Treina (ou retoma) e, no processo 0, grava os pesos em `pasta/fim.safetensors`; anota as amostras pedidas."""
    torch.set_num_threads(1)
    mistura = abre_mistura(dados, receita)
    pasta.mkdir(parents=True, exist_ok=True)
    pedidos, lote = pasta / f"amostras-{mundo.rank}-{os.getpid()}.txt", mistura.batch

    def anota(amostras: range) -> Any:
        with open(pedidos, "a") as arquivo:
            arquivo.write(f"{amostras.start} {amostras.stop}\n")
        return lote(amostras)

    mistura.batch = anota
    trainer = Pretrainer(receita, mistura, pasta, mundo)
    if preparo is not None:
        preparo(trainer)
    modelo = trainer.run(until=until, progress=False)
    if mundo.is_main:
        provisorio = pasta / "fim.provisorio"
        save_file({nome: t.clone() for nome, t in modelo.state_dict().items()}, provisorio)
        os.replace(provisorio, pasta / "fim.safetensors")
    return trainer


def registro(pasta: Path) -> list[tuple]:
    """Registro de um treino, sem os tempos."""
    return [tuple(linha[campo] for campo in CAMPOS) for linha in read_log(pasta / "registro.jsonl")]


def perdas(pasta: Path) -> list[float]:
    return [linha["loss"] for linha in read_log(pasta / "registro.jsonl")]


def passos(pasta: Path) -> int:
    """Passos registrados até agora."""
    caminho = pasta / "registro.jsonl"
    return caminho.read_bytes().count(b"\n") if caminho.exists() else 0


def porta_livre() -> int:
    with socket.socket() as tomada:
        tomada.bind(("127.0.0.1", 0))
        return tomada.getsockname()[1]


class Grupo:
    """Processos de um treino, com o ambiente que o `torchrun` lhes daria.

    Cada um chama `funcao(mundo, *argumentos)`; o que escrevem na saída de erros fica em `pasta/erros-RANK.txt`.
    """

    def __init__(self, tamanho: int, pasta: Path, funcao: Callable, *argumentos: Any) -> None:
        pasta.mkdir(parents=True, exist_ok=True)
        self.pasta, porta = pasta, porta_livre()
        self.processos = [
            CONTEXTO.Process(target=_processo, args=(rank, tamanho, porta, pasta, funcao, argumentos), daemon=True)
            for rank in range(tamanho)
        ]
        for processo in self.processos:
            processo.start()

    def vivo(self) -> bool:
        return all(processo.is_alive() for processo in self.processos)

    def mata(self, rank: int) -> None:
        self.processos[rank].kill()

    def termina(self) -> list[int]:
        """Códigos de saída, quando todos tiverem acabado."""
        fim = time.monotonic() + 120
        for processo in self.processos:
            processo.join(max(0.0, fim - time.monotonic()))
        codigos = [processo.exitcode for processo in self.processos]
        for processo in self.processos:
            if processo.is_alive():
                processo.kill()
        assert None not in codigos, f"códigos {codigos}: um processo não acabou em 120 s"
        return codigos

    def termina_bem(self) -> None:
        codigos = self.termina()
        assert not any(codigos), f"códigos {codigos}:\n{self.erros()}"

    def erros(self) -> str:
        return "\n".join(arquivo.read_text(encoding="utf-8") for arquivo in sorted(self.pasta.glob("erros-*.txt")))


def roda(tamanho: int, dados: Path, pasta: Path, receita: Recipe = RECEITA, until: int | None = None) -> Path:
    """Treina em `tamanho` processos até o fim (ou até o passo `until`) e devolve a pasta."""
    Grupo(tamanho, pasta, _treina_em_grupo, dados, pasta, receita, until).termina_bem()
    return pasta


def lanca(tamanho: int, dados: Path, pasta: Path, receita: Recipe = RECEITA) -> Grupo:
    """Começa a treinar em `tamanho` processos."""
    return Grupo(tamanho, pasta, _treina_em_grupo, dados, pasta, receita, None)


def _treina_em_grupo(mundo: World, dados: Path, pasta: Path, receita: Recipe, until: int | None) -> None:
    treina(dados, pasta, mundo, receita, until=until)


def _processo(rank: int, tamanho: int, porta: int, pasta: Path, funcao: Callable, argumentos: tuple) -> None:
    with open(pasta / f"erros-{rank}.txt", "a", encoding="utf-8") as erros:
        os.dup2(erros.fileno(), 2)  # também o que o gloo escreve, que não passa por sys.stderr
        faulthandler.dump_traceback_later(60, file=2)  # quem não acaba diz onde parou
        torch.set_num_threads(1)
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(tamanho),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(porta),
        )
        try:
            with join_world(use_gpu=False) as mundo:
                funcao(mundo, *argumentos)
        except Exception:
            traceback.print_exc()
            abandon(1)
            raise


def main() -> None:
    dados, pasta, *mudancas = sys.argv[1:]
    receita = RECEITA.changed(dict(mudanca.split("=", 1) for mudanca in mudancas))
    with join_world(use_gpu=False) as mundo:
        Path(pasta, f"processo-{mundo.rank}.json").write_text(json.dumps(os.getpid()))
        treina(Path(dados), Path(pasta), mundo, receita)


if __name__ == "__main__":
    main()
