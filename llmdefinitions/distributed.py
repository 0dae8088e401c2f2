"""Vários processos, um só treino: quem sou eu, o que me cabe, e esperar pelos outros (torch.distributed).

Com `torchrun`, cada processo recebe pelo ambiente o seu número e o endereço do primeiro; sem ele, há um processo só e
tudo aqui vira a identidade. O modelo é replicado e os gradientes são somados entre os processos (DDP; Li et al., 2020).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

#: O processo 0 prepara os dados enquanto os outros esperam; com corpora grandes isso leva tempo.
_TIMEOUT = timedelta(hours=2)


@dataclass(frozen=True)
class World:
    """Os processos de um treino, vistos de um deles.

    Atributos:
        rank: número deste processo, de 0 a `size` − 1.
        size: quantos processos há.
        device: dispositivo deste processo.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Se é o processo que escreve: log, checkpoints e modelo."""
        return self.rank == 0

    def share(self, total: int) -> range:
        """Parte deste processo em `total` itens: pedaços contíguos e iguais, na ordem dos processos.

        Erros:
            ValueError: `total` não se divide igualmente.
        """
        if total % self.size:
            raise ValueError(
                f"{total} janelas por passo não se dividem por {self.size} processos: use um batch_size múltiplo de "
                f"{self.size}."
            )
        each = total // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Modelo cujos gradientes são a média dos de todos os processos; com um só, o próprio modelo."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, device_ids=[self.device] if self.device.type == "cuda" else None)

    def barrier(self) -> None:
        """Espera até que todos os processos cheguem aqui."""
        if self.size > 1:
            dist.barrier()

    def mean(self, value: float) -> float:
        """Média de um número entre os processos."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device if self.device.type == "cuda" else "cpu")
        dist.all_reduce(total)
        return total.item() / self.size

    def from_main(self, value: object) -> object:
        """O valor que o processo 0 tem, em todos eles."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def join_world(use_gpu: bool = True) -> Iterator[World]:
    """Entra no grupo de processos que o `torchrun` descreve no ambiente, e sai dele no fim.

    NCCL quando cada processo tem uma GPU, gloo na CPU. Sem `torchrun`, é um mundo de um processo. Depois de um erro o
    grupo não é desfeito: ver :func:`abandon`.

    Erros:
        ValueError: ambiente incompleto, ou menos GPUs que processos nesta máquina.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    on_gpu = use_gpu and torch.cuda.is_available()
    if size == 1:
        yield World(0, 1, torch.device("cuda" if on_gpu else "cpu"))
        return
    if missing := [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise ValueError(f"WORLD_SIZE={size} sem {', '.join(missing)}: inicie o treino com torchrun, que define todas.")
    local, device = int(os.environ["LOCAL_RANK"]), torch.device("cpu")
    if on_gpu:
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"processo local {local} e {torch.cuda.device_count()} GPU(s): use --nproc-per-node igual ao número "
                "de GPUs, ou --cpu."
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_TIMEOUT)
    yield World(dist.get_rank(), dist.get_world_size(), device)
    dist.destroy_process_group()


def abandon(code: int) -> None:
    """Encerra o processo já, sem destrutores, se ele está num grupo; sozinho, não faz nada.

    É como sair depois de um erro: quando outro processo morre no meio de uma soma, o destrutor do DDP pode esperar para
    sempre (PyTorch 2.13: com o GIL, por um fio do gloo que espera o GIL), e a máquina em que isso acontece não acaba.
    """
    if dist.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def delayed_sync(model: nn.Module, delay: bool) -> AbstractContextManager:
    """Ao acumular gradientes, só a última parte precisa conversar com os outros processos."""
    return model.no_sync() if delay and isinstance(model, DistributedDataParallel) else nullcontext()
