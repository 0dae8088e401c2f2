"""Treina alguns passos de um arquivo de tokens e escreve o pico de memória residente do processo, em KiB.

`treino_de_arquivo.py PASTA_DOS_DADOS PASTA_DO_TREINO PASSOS`. O pico vem de VmHWM: o `ru_maxrss` de um processo filho
começa, no Linux, com o do pai.
"""

import sys
from dataclasses import replace
from pathlib import Path

from treino_distribuido import RECEITA

from llmdefinitions.distributed import join_world
from llmdefinitions.mixture import Mixture
from llmdefinitions.pretrainer import Pretrainer
from llmdefinitions.token_store import TokenStore


def pico() -> int:
    linhas = Path("/proc/self/status").read_text().splitlines()
    return next(int(linha.split()[1]) for linha in linhas if linha.startswith("VmHWM"))


def main() -> None:
    dados, pasta, passos = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    receita = replace(
        RECEITA, mixture={"grande": 100}, context_length=64, batch_size=64, micro_batch_size=64, warmup_steps=1,
        steps=passos, checkpoint_every=passos,
    )  # fmt: skip
    mistura = Mixture({"grande": TokenStore(dados / "grande")}, receita.mixture, 64, receita.seed)
    with join_world(use_gpu=False) as mundo:
        Pretrainer(receita, mistura, pasta, mundo).run(progress=False)
    print(pico())


if __name__ == "__main__":
    main()
