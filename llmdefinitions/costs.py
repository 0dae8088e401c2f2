"""Custo de treinar: operações, tempo de máquina e dinheiro, com as contas à vista."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .device import autocast


def training_flops(n_params: float, n_tokens: float) -> float:
    """Operações de ponto flutuante de um treino, C ≈ 6·N·D (Kaplan et al., 2020, seção 2.1).

    Cada token custa 2 operações por parâmetro na ida (multiplicar e somar) e o dobro disso na volta. A atenção fica de
    fora da conta, que por isso subestima contextos longos.

    Parâmetros:
        n_params: parâmetros que entram em multiplicações, N.
        n_tokens: tokens de treino, D.

    Erros:
        ValueError: contagem não positiva.
    """
    if not n_params > 0 or not n_tokens > 0:
        raise ValueError(f"n_params={n_params}, n_tokens={n_tokens}: esperado dois números maiores que zero.")
    return 6.0 * n_params * n_tokens


@dataclass(frozen=True)
class CloudCost:
    """Custo de um treino alugado por hora, em servidores de várias GPUs.

    Atributos:
        gpu_hours: horas de GPU somadas.
        gpus_per_server: GPUs de cada servidor.
        usd_per_server_hour: preço de uma hora de servidor, em dólares.
        brl_per_usd: câmbio, reais por dólar.
    """

    gpu_hours: float
    gpus_per_server: int
    usd_per_server_hour: float
    brl_per_usd: float

    def __post_init__(self) -> None:
        for name in ("gpu_hours", "gpus_per_server", "usd_per_server_hour", "brl_per_usd"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r}: esperado um número maior que zero.")

    @property
    def server_hours(self) -> float:
        """Horas de servidor."""
        return self.gpu_hours / self.gpus_per_server

    @property
    def usd(self) -> float:
        """Custo em dólares."""
        return self.server_hours * self.usd_per_server_hour

    @property
    def brl(self) -> float:
        """Custo em reais."""
        return self.usd * self.brl_per_usd


def measure_matmul_flops(
    size: int = 1024, seconds: float = 0.5, *, precision: str = "float32", device: torch.device | str = "cpu"
) -> float:
    """Operações por segundo que esta máquina alcança multiplicando matrizes quadradas: o teto prático do treino.

    Parâmetros:
        size: lado das matrizes.
        seconds: tempo aproximado da medição.
        precision: `"float32"`, `"bfloat16"` ou `"auto"`.
        device: dispositivo medido.

    Devolve:
        FLOP/s, na melhor de várias rajadas curtas (as mais lentas medem a concorrência por CPU, não o teto).
    """
    generator = torch.Generator(device).manual_seed(0)  # próprio: medir não desloca os sorteios de quem chama
    a, b = (torch.randn(size, size, device=device, generator=generator) for _ in range(2))

    def multiply() -> None:
        a @ b

    with torch.no_grad(), autocast(precision, device):
        best = min(_burst_times(multiply, seconds, device))
    return 2.0 * size**3 / best


def _burst_times(work: Callable[[], None], seconds: float, device: torch.device | str) -> list[float]:
    work()  # a primeira chamada paga alocações e escolha de kernel
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times
