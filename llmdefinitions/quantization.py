"""Quantização por blocos para ensinar: pesos em 8 ou 4 bits, e uma camada linear que os usa sem guardá-los por extenso.

Cada bloco de pesos é dividido pelo seu maior módulo, e cada resultado é trocado pelo nível mais próximo de uma tabela.
O NF4 (Dettmers et al., 2023) escolhe 16 níveis que dividem uma normal em partes iguais; a quantização dupla guarda os
maiores módulos também em 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from scipy.stats import norm
from torch import Tensor, nn

from .lora import BLOCK_TARGETS, linear_layers, replace_layer

#: Pesos por bloco e, na quantização dupla, maiores módulos por bloco: os do artigo.
BLOCK, SCALE_BLOCK = 64, 256
KINDS = ("nf4", "int8")
#: Margem da cauda da normal que o NF4 deixa de fora, a média entre meia parte de 1/15 e de 1/16 (apêndice E do artigo).
_TAIL = 1 - (1 / 30 + 1 / 32) / 2


@cache
def nf4_levels() -> Tensor:
    """Os 16 níveis do NF4, crescentes, de −1 a 1, com o zero exato: `(16,)`.

    São quantis da normal em probabilidades igualmente espaçadas, oito do lado negativo, contando o zero, e nove do
    positivo, divididos pelo maior.
    """
    positive = norm.ppf(torch.linspace(0.5, _TAIL, 9, dtype=torch.float64).numpy())
    negative = -norm.ppf(torch.linspace(0.5, _TAIL, 8, dtype=torch.float64).numpy())
    levels = torch.tensor(sorted({*negative.tolist(), *positive.tolist()}), dtype=torch.float64)
    return (levels / levels.max()).float()


@dataclass(frozen=True)
class Quantized:
    """Um tensor quantizado.

    Atributos:
        codes: uint8; um código por peso (int8, deslocado de 128) ou dois (NF4).
        scales: maior módulo de cada bloco: float32 `(blocos,)`, ou, na quantização dupla, uint8.
        scale_steps: na quantização dupla, o maior módulo de cada bloco de escalas e a média delas; senão, `None`.
        shape: formato original.
        kind: `"nf4"` ou `"int8"`.
    """

    codes: Tensor
    scales: Tensor
    scale_steps: tuple[Tensor, Tensor] | None
    shape: tuple[int, ...]
    kind: str

    @property
    def n_bytes(self) -> int:
        """Bytes que os tensores ocupam."""
        return sum(t.numel() * t.element_size() for t in (self.codes, self.scales, *(self.scale_steps or ())))


def quantize(weight: Tensor, kind: str = "nf4", *, double: bool = True) -> Quantized:
    """Quantiza um tensor em blocos de 64 valores, na ordem em que estão na memória.

    Parâmetros:
        weight: qualquer formato, em ponto flutuante.
        kind: `"nf4"` (4 bits) ou `"int8"`.
        double: quantiza também as escalas, a 8 bits.

    Erros:
        ValueError: tipo desconhecido, tensor vazio, ou valores que não são finitos.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: use um de {', '.join(KINDS)}.")
    flat = weight.detach().float().flatten()
    if flat.numel() == 0 or not torch.isfinite(flat).all():
        raise ValueError(
            f"tensor {tuple(weight.shape)} vazio ou com valores que não são finitos: não há como quantizar."
        )
    blocks = F.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scales = blocks.abs().amax(dim=1)  # (blocos,)
    stored, steps = _quantize_scales(scales) if double else (scales, None)
    # Divide pela escala que será usada na volta: assim o erro da segunda quantização não se soma ao da primeira.
    used = _restored_scales(stored, steps).clamp_min(torch.finfo(torch.float32).tiny)
    unit = (blocks / used.unsqueeze(1)).clamp(-1, 1)
    if kind == "int8":
        codes = ((unit * 127).round() + 128).to(torch.uint8).flatten()
    else:
        levels = nf4_levels().to(unit.device)
        nearest = torch.bucketize(unit, (levels[1:] + levels[:-1]) / 2).to(torch.uint8).flatten()
        codes = nearest[0::2] << 4 | nearest[1::2]
    return Quantized(codes, stored, steps, tuple(weight.shape), kind)


def dequantize(quantized: Quantized) -> Tensor:
    """O tensor de volta, em float32 e no formato original."""
    codes = quantized.codes
    if quantized.kind == "int8":
        unit = (codes.float() - 128) / 127
    else:
        unit = nf4_levels().to(codes.device)[torch.stack((codes >> 4, codes & 15), dim=1).flatten().int()]
    scales = _restored_scales(quantized.scales, quantized.scale_steps)
    blocks = unit.view(-1, BLOCK) * scales.unsqueeze(1)
    n = torch.Size(quantized.shape).numel()
    return blocks.flatten()[:n].view(quantized.shape)


class QuantizedLinear(nn.Module):
    """Camada linear de pesos quantizados e congelados: `(..., entrada)` → `(..., saída)`.

    Os pesos só existem por extenso durante a conta, na ida e, refeitos, na volta. O viés fica como estava.

    Parâmetros:
        linear: camada de que se tiram os pesos.
        kind, double: ver :func:`quantize`.
    """

    def __init__(self, linear: nn.Linear, kind: str = "nf4", *, double: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features, self.kind = linear.in_features, linear.out_features, kind
        quantized = quantize(linear.weight, kind, double=double)
        self.register_buffer("codes", quantized.codes)
        self.register_buffer("scales", quantized.scales)
        steps = quantized.scale_steps or (None, None)
        self.register_buffer("scale_steps", steps[0])
        self.register_buffer("scale_mean", steps[1])
        self.bias = linear.bias

    @property
    def quantized(self) -> Quantized:
        """Os pesos, como estão guardados."""
        steps = None if self.scale_steps is None else (self.scale_steps, self.scale_mean)
        return Quantized(self.codes, self.scales, steps, (self.out_features, self.in_features), self.kind)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., entrada)` → `(..., saída)`."""
        out = _QuantizedMatmul.apply(x, self.quantized)
        return out if self.bias is None else out + self.bias


class _QuantizedMatmul(torch.autograd.Function):
    """x·Wᵀ com W quantizado: guarda para a volta os códigos, e não W."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quantized: Quantized) -> Tensor:
        ctx.quantized = quantized
        return F.linear(x, dequantize(quantized).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad @ dequantize(ctx.quantized).to(grad.dtype), None


def quantize_model(
    model: nn.Module, kind: str = "nf4", *, targets: Sequence[str] = BLOCK_TARGETS, double: bool = True
) -> nn.Module:
    """Troca as camadas lineares pedidas por quantizadas, no próprio modelo; `apply_lora` vem depois.

    Erros:
        ValueError: um alvo que não há, ou camada que já não é `nn.Linear`.
    """
    chosen = linear_layers(model, targets)
    if done := [name for name, module in chosen.items() if not isinstance(module, nn.Linear)]:
        raise ValueError(
            f"{done[0]} é {type(chosen[done[0]]).__name__}: já foi quantizada ou adaptada; comece do original."
        )
    for name, module in chosen.items():
        replace_layer(model, name, QuantizedLinear(module, kind, double=double))
    return model


def model_bytes(model: nn.Module) -> int:
    """Bytes de parâmetros e buffers; um tensor compartilhado conta uma vez."""
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    return sum(t.numel() * t.element_size() for t in tensors.values())


def _quantize_scales(scales: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    mean = scales.mean()
    blocks = F.pad(scales - mean, (0, -len(scales) % SCALE_BLOCK)).view(-1, SCALE_BLOCK)
    steps = blocks.abs().amax(dim=1)
    unit = blocks / steps.clamp_min(torch.finfo(torch.float32).tiny).unsqueeze(1)
    codes = ((unit * 127).round() + 128).to(torch.uint8).flatten()[: len(scales)]
    return codes, (steps, mean)


def _restored_scales(scales: Tensor, steps: tuple[Tensor, Tensor] | None) -> Tensor:
    if steps is None:
        return scales
    step = steps[0].repeat_interleave(SCALE_BLOCK)[: len(scales)]
    return ((scales.float() - 128) / 127 * step + steps[1]).clamp_min(0)  # o arredondamento não pode trocar o sinal
