"""Otimizadores do pré-treino: AdamW fundido, e Muon para as matrizes com AdamW para o resto."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .training import build_adamw

OPTIMIZERS = ("adamw", "muon")
#: O que cada um dos dois guarda de um parâmetro.
_STATE = (frozenset({"momentum_buffer"}), frozenset({"step", "exp_avg", "exp_avg_sq"}))


class MuonWithAdamW:
    """Dois otimizadores com a interface de um: Muon (Jordan et al., 2024) nas matrizes dos blocos, AdamW no resto.

    O Muon ortogonaliza cada atualização, o que só faz sentido em matrizes que transformam vetores; embeddings, vieses e
    normalizações ficam com o AdamW. A taxa é a mesma nos dois: a do Muon é ajustada para que o tamanho médio da
    atualização seja o do AdamW (Liu et al., 2025).

    Parâmetros:
        model: modelo, cujas matrizes internas são as de `trf_blocks`.
        lr: taxa de aprendizado.
        weight_decay: decaimento das matrizes dos blocos.

    Atributos:
        parts: o Muon e o AdamW.

    Erros:
        RuntimeError: o PyTorch instalado não tem Muon (existe desde o 2.9).
        ValueError: o modelo não tem matrizes em `trf_blocks`.
    """

    def __init__(self, model: nn.Module, lr: float, weight_decay: float) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise RuntimeError(
                f"o PyTorch {torch.__version__} não tem torch.optim.Muon: atualize para o 2.9 ou mais novo, ou use "
                'optimizer="adamw".'
            )
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in named if p.ndim == 2 and "trf_blocks" in name]
        others = [p for name, p in named if not (p.ndim == 2 and "trf_blocks" in name)]
        if not matrices:
            raise ValueError(f'{type(model).__name__} não tem matrizes em trf_blocks: use optimizer="adamw".')
        self.parts = (
            torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Grupos dos dois, na ordem: mudar o `lr` de um grupo vale para o otimizador."""
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        """Um passo dos dois."""
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        """Apaga os gradientes."""
        for part in self.parts:
            part.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Estado dos dois num só, com os parâmetros numerados em sequência."""
        state: dict[int, Any] = {}
        groups, offset = [], 0
        for part in self.parts:
            saved = part.state_dict()
            state |= {offset + i: values for i, values in saved["state"].items()}
            groups += [{**g, "params": [offset + i for i in g["params"]]} for g in saved["param_groups"]]
            offset += _size(part)
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Repõe o que :meth:`state_dict` devolveu.

        Erros:
            ValueError: o estado é de outros parâmetros ou de outro otimizador; nada muda.
        """
        expected = [len(group["params"]) for group in self.param_groups]
        found = [len(group["params"]) for group in saved["param_groups"]]
        if found != expected:
            raise ValueError(f"grupos com {found} parâmetros, esperado {expected}")
        parameters = [p for group in self.param_groups for p in group["params"]]
        for i, values in saved["state"].items():
            names = _STATE[i >= expected[0]]
            shapes = {tuple(v.shape) for name, v in values.items() if name in names - {"step"}}
            if values.keys() != names or shapes != {tuple(parameters[i].shape)}:
                raise ValueError(
                    f"parâmetro {i} com {', '.join(values)} de formato {shapes}, esperado {', '.join(sorted(names))} "
                    f"de formato {tuple(parameters[i].shape)}"
                )
        offset = 0
        for part, group in zip(self.parts, saved["param_groups"], strict=True):
            mine = range(offset, offset + _size(part))
            group = {k: tuple(v) if k == "ns_coefficients" else v for k, v in group.items()}  # o JSON a fez lista
            part.load_state_dict(
                {
                    "state": {i - offset: values for i, values in saved["state"].items() if i in mine},
                    "param_groups": [{**group, "params": [i - offset for i in group["params"]]}],
                }
            )
            offset += _size(part)


def build_optimizer(name: str, model: nn.Module, lr: float, weight_decay: float) -> Any:
    """Otimizador pelo nome: `"adamw"` (fundido) ou `"muon"` (Muon nas matrizes, AdamW no resto).

    Erros:
        ValueError: nome desconhecido, ou Muon sem matrizes.
        RuntimeError: o PyTorch instalado não tem Muon.
    """
    if name == "adamw":
        return build_adamw(model, lr, weight_decay)
    if name == "muon":
        return MuonWithAdamW(model, lr, weight_decay)
    raise ValueError(f"optimizer={name!r}: esperado um de {', '.join(OPTIMIZERS)}.")


def _size(optimizer: torch.optim.Optimizer) -> int:
    return sum(len(group["params"]) for group in optimizer.param_groups)
