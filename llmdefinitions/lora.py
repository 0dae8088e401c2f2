"""LoRA: ajustar um modelo somando a cada matriz uma correção de posto baixo, com a base congelada (Hu et al., 2022).

Uma camada y = x·Wᵀ vira y = x·Wᵀ + s·x·A·B, com A `(entrada, r)` e B `(r, saída)`. B começa em zero, e por isso o
modelo adaptado começa igual ao de antes. Só A e B treinam.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Camadas adaptadas por padrão: todas as lineares dos blocos de um `GPTModel`.
BLOCK_TARGETS = ("W_query", "W_key", "W_value", "out_proj", "ff.layers.0", "ff.layers.2")
#: De α e r à escala s: α no livro de origem, α/r no artigo, α/√r no posto estabilizado (Kalajdzievski, 2023).
SCALINGS = {
    "alpha": lambda alpha, rank: alpha,
    "alpha/r": lambda alpha, rank: alpha / rank,
    "alpha/sqrt(r)": lambda alpha, rank: alpha / math.sqrt(rank),
}


class LoRALayer(nn.Module):
    """A correção s·x·A·B: `(..., entrada)` → `(..., saída)`.

    Parâmetros:
        in_dim, out_dim: dimensões da camada corrigida.
        rank: posto r; A e B têm r·(entrada + saída) números.
        alpha: α, de que sai a escala.
        scaling: uma chave de :data:`SCALINGS`.
        dropout: fração da entrada da correção zerada no treino.

    Erros:
        ValueError: posto, α, escala ou dropout inválidos.
    """

    def __init__(
        self, in_dim: int, out_dim: int, rank: int, alpha: float, *, scaling: str = "alpha", dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not 1 <= rank <= min(in_dim, out_dim):
            raise ValueError(
                f"rank={rank}: esperado de 1 a {min(in_dim, out_dim)}, o maior posto de uma matriz {in_dim}×{out_dim}."
            )
        if not 0 < alpha < math.inf or not 0 <= dropout < 1:
            raise ValueError(f"alpha={alpha}, dropout={dropout}: esperado alpha > 0 e 0 ≤ dropout < 1.")
        if scaling not in SCALINGS:
            raise ValueError(f"scaling={scaling!r}: use um de {', '.join(SCALINGS)}.")
        self.A = nn.Parameter(torch.randn(in_dim, rank) / math.sqrt(rank))  # desvio 1/√r
        self.B = nn.Parameter(torch.zeros(rank, out_dim))
        self.rank, self.alpha, self.scaling = rank, alpha, scaling
        self.scale = SCALINGS[scaling](alpha, rank)
        self.dropout = nn.Dropout(dropout)

    def delta(self) -> Tensor:
        """A correção do peso de um `nn.Linear`, s·(A·B)ᵀ: `(saída, entrada)`."""
        return self.scale * (self.A @ self.B).T

    def forward(self, x: Tensor, base: Tensor | None = None) -> Tensor:
        """`(..., entrada)` → `(..., saída)`, já somada a `base` `(..., saída)` se ela vem."""
        low = self.scale * (self.dropout(x) @ self.A)  # (..., r): a escala entra onde há menos números
        if base is None:
            return low @ self.B
        # Produto e soma numa operação só, sem tensores `(..., saída)` de passagem.
        return torch.addmm(base.reshape(-1, base.shape[-1]), low.reshape(-1, self.rank), self.B).view_as(base)


class LinearWithLoRA(nn.Module):
    """Uma camada linear e a sua correção.

    Parâmetros:
        linear: a camada original, que fica em `self.linear`.
        Os outros, como em :class:`LoRALayer`.

    Erros:
        ValueError: `linear` já tem correção.
        TypeError: `linear` não é uma camada linear.
    """

    def __init__(
        self, linear: nn.Linear, rank: int, alpha: float, *, scaling: str = "alpha", dropout: float = 0.0
    ) -> None:
        super().__init__()
        if isinstance(linear, LinearWithLoRA):
            raise ValueError("a camada já tem LoRA: funda-a com merge_lora, ou comece do modelo original.")
        if not _is_linear(linear):
            raise TypeError(f"{type(linear).__name__} não é uma camada linear com in_features e out_features.")
        self.linear = linear
        self.lora = LoRALayer(linear.in_features, linear.out_features, rank, alpha, scaling=scaling, dropout=dropout)
        device = next((t.device for t in (*linear.parameters(), *linear.buffers())), None)
        self.lora.to(device)
        self._original: Tensor | None = None  # os pesos de antes da fusão

    @property
    def merged(self) -> bool:
        """Se a correção está somada aos pesos."""
        return self._original is not None

    def forward(self, x: Tensor) -> Tensor:
        """`(..., entrada)` → `(..., saída)`."""
        return self.linear(x) if self.merged else self.lora(x, self.linear(x))

    @torch.no_grad()
    def corrected_weight(self) -> Tensor:
        """O peso que uma camada comum precisaria ter para dar a mesma saída: `(saída, entrada)`."""
        return self.linear.weight + self.lora.delta().to(self.linear.weight.dtype)

    def merge(self) -> None:
        """Soma a correção aos pesos; repetir não muda nada."""
        if self.merged:
            return
        if not isinstance(self.linear, nn.Linear):
            raise ValueError(f"{type(self.linear).__name__} não guarda os pesos por extenso: não há onde somar o LoRA.")
        corrected, self._original = self.corrected_weight(), self.linear.weight.detach().clone()
        self.linear.weight.data = corrected

    def unmerge(self) -> None:
        """Devolve os pesos de antes da fusão, bit a bit; repetir não muda nada."""
        if self._original is not None:
            self.linear.weight.data, self._original = self._original, None


class LinearWithDoRA(LinearWithLoRA):
    """LoRA que corrige a direção de cada linha do peso e aprende o tamanho à parte (DoRA; Liu et al., 2024).

    O peso vira m · (W + ΔW) / ‖W + ΔW‖, com a norma de cada linha tratada como constante na derivada (seção 4.3).
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, **options: Any) -> None:
        super().__init__(linear, rank, alpha, **options)
        if not isinstance(linear, nn.Linear):
            raise ValueError(f"DoRA precisa dos pesos por extenso, e {type(linear).__name__} não os tem: use o LoRA.")
        self.magnitude = nn.Parameter(linear.weight.detach().norm(dim=1))  # (saída,)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., entrada)` → `(..., saída)`."""
        if self.merged:
            return self.linear(x)
        turned = self.lora(x, F.linear(x, self.linear.weight)) * (self.magnitude / self._norm())
        return turned if self.linear.bias is None else turned + self.linear.bias

    @torch.no_grad()
    def corrected_weight(self) -> Tensor:
        """Como em :class:`LinearWithLoRA`."""
        return (self.magnitude / self._norm()).unsqueeze(1) * super().corrected_weight()

    @torch.no_grad()
    def _norm(self) -> Tensor:
        return (self.linear.weight + self.lora.delta()).norm(dim=1)  # (saída,)


def apply_lora(
    model: nn.Module,
    rank: int,
    alpha: float,
    *,
    targets: Sequence[str] = BLOCK_TARGETS,
    scaling: str = "alpha",
    dropout: float = 0.0,
    dora: bool = False,
) -> nn.Module:
    """Congela o modelo e põe LoRA nas camadas pedidas, no próprio modelo.

    Parâmetros:
        model: qualquer módulo com camadas `nn.Linear`.
        rank, alpha, scaling, dropout: ver :class:`LoRALayer`.
        targets: finais dos nomes das camadas, como `"W_query"` ou `"out_head"`.
        dora: usa :class:`LinearWithDoRA`.

    Devolve:
        O mesmo `model`.

    Erros:
        ValueError: o modelo já tem LoRA, ou um alvo que não há (a mensagem lista os que há); o modelo fica como estava.
    """
    if next(lora_modules(model), None) is not None:
        raise ValueError("o modelo já tem LoRA: use unload_lora antes, ou comece do modelo original.")
    chosen = linear_layers(model, targets)
    kind = LinearWithDoRA if dora else LinearWithLoRA
    adapted = {name: kind(m, rank, alpha, scaling=scaling, dropout=dropout) for name, m in chosen.items()}
    model.requires_grad_(False)
    for name, module in adapted.items():
        module.train(chosen[name].training)
        replace_layer(model, name, module)
    return model


def linear_layers(model: nn.Module, targets: Sequence[str]) -> dict[str, nn.Module]:
    """Camadas lineares cujo nome acaba em um dos alvos.

    Erros:
        ValueError: um alvo que não há; a mensagem lista os que há.
    """
    linear = {name: module for name, module in model.named_modules() if _is_linear(module)}
    chosen = {name: m for name, m in linear.items() if any(_ends_with(name, target) for target in targets)}
    unused = [target for target in targets if not any(_ends_with(name, target) for name in chosen)]
    if unused or not targets:
        raise ValueError(f"targets={unused}: não há camada linear com esse nome; há {', '.join(sorted(linear))}.")
    return chosen


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Põe `layer` no lugar da camada de nome `name`."""
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, layer)


def lora_modules(model: nn.Module) -> Iterator[tuple[str, LinearWithLoRA]]:
    """Camadas com LoRA, com o nome de cada uma."""
    return ((name, m) for name, m in model.named_modules() if isinstance(m, LinearWithLoRA))


def merge_lora(model: nn.Module) -> nn.Module:
    """Soma as correções aos pesos, no próprio modelo: gera tão depressa quanto o original; :func:`unmerge_lora` desfaz.

    Erros:
        ValueError: modelo sem LoRA, ou camada cujo peso é também de outra (a saída amarrada aos embeddings).
    """
    found = _required(model)
    for name, module in found:
        weight = getattr(module.linear, "weight", None)
        owners = [n for n, p in model.named_parameters(remove_duplicate=False) if p is weight]
        if len(owners) > 1:
            raise ValueError(f"{name}: o peso é também {owners}; somar o LoRA nele mudaria as duas camadas.")
    for _, module in found:
        module.merge()
    return model


def unmerge_lora(model: nn.Module) -> nn.Module:
    """Desfaz :func:`merge_lora`; os pesos voltam bit a bit."""
    for _, module in _required(model):
        module.unmerge()
    return model


def unload_lora(model: nn.Module, *, merge: bool = True) -> nn.Module:
    """Tira as camadas LoRA e deixa o modelo comum, com as correções somadas, ou sem elas se `merge=False`."""
    found = _required(model)
    (merge_lora if merge else unmerge_lora)(model)
    for name, module in found:
        replace_layer(model, name, module.linear)
    return model


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Só o que o LoRA acrescentou: A, B e, no DoRA, as magnitudes."""
    return {
        f"{name}.{own}": tensor
        for name, module in _required(model)
        for own, tensor in module.state_dict().items()
        if not own.startswith("linear.")
    }


def load_lora_state_dict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Põe num modelo com LoRA o que :func:`lora_state_dict` tirou de outro igual.

    Erros:
        ValueError: nomes ou formatos que não são os deste modelo.
    """
    own = lora_state_dict(model)
    if different := sorted(own.keys() ^ state.keys()):
        raise ValueError(f"o adaptador não é deste modelo: {different[0]} só está num dos dois; confira os alvos.")
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise ValueError(f"{name}: o adaptador tem {tuple(state[name].shape)} e o modelo, {tuple(tensor.shape)}.")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def count_trainable(model: nn.Module) -> tuple[int, int]:
    """Parâmetros que treinam e o total; um tensor compartilhado conta uma vez."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)


def _is_linear(module: nn.Module) -> bool:
    """`nn.Linear`, ou uma camada que faz as vezes dela, como a quantizada."""
    return hasattr(module, "in_features") and hasattr(module, "out_features")


def _ends_with(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _required(model: nn.Module) -> list[tuple[str, LinearWithLoRA]]:
    found = [*lora_modules(model)]
    if not found:
        raise ValueError("o modelo não tem LoRA: chame apply_lora antes.")
    return found
