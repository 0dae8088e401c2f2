"""Dispositivo e precisão: onde o modelo roda e com que tipo numérico."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

PRECISIONS = ("float32", "bfloat16", "auto")


def set_device(use_gpu: bool = True) -> torch.device:
    """Escolhe o dispositivo: CUDA, MPS (Mac) ou CPU; `set_device(False)` é sempre a CPU."""
    if use_gpu and torch.cuda.is_available():
        return torch.device("cuda")
    if use_gpu and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def has_fast_bfloat16(device: torch.device | str) -> bool:
    """Diz se o dispositivo multiplica bfloat16 em hardware (numa CPU sem isso, bfloat16 é mais lento)."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type == "cpu":
        # Nesta ordem: onde o torch vem sem oneDNN (Mac com ARM) a segunda pergunta nem existe.
        return _cpu_multiplies_bfloat16() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def _cpu_multiplies_bfloat16() -> bool:
    # oneDNN aceita bfloat16 já com AVX512 simples, convertendo por software; o ganho só existe com estas duas.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def autocast(precision: str, device: torch.device | str) -> AbstractContextManager:
    """Contexto de precisão mista (Micikevicius et al., 2018) para o passo de treino ou de avaliação.

    Parâmetros:
        precision: `"float32"` não muda nada; `"bfloat16"` usa autocast; `"auto"` usa autocast só onde
            o dispositivo tem bfloat16 em hardware. Os pesos e o otimizador ficam sempre em float32.
        device: dispositivo em que o modelo está.

    Erros:
        ValueError: precisão desconhecida.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: esperado um de {', '.join(PRECISIONS)}.")
    if precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(device)):
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
    return nullcontext()
