"""Adaptadores LoRA em disco: o formato do livro, e a ida e a volta ao da biblioteca `peft`.

O `peft` adapta o GPT-2 do `transformers`, em que consulta, chave e valor são uma camada só, `c_attn`. As nossas três
correções de posto r são lá uma de posto 3r, com B em blocos; uma de lá se reparte aqui em três com o mesmo A.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .files import write_json, write_tensors
from .lora import (
    SCALINGS,
    LinearWithDoRA,
    LinearWithLoRA,
    apply_lora,
    load_lora_state_dict,
    lora_modules,
    lora_state_dict,
    unload_lora,
)
from .model import GPTModel

_FORMAT = "llmdefinitions-lora-1"
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_QKV = ("att.W_query", "att.W_key", "att.W_value")
_OTHERS = {"att.out_proj": "attn.c_proj", "ff.layers.0": "mlp.c_fc", "ff.layers.2": "mlp.c_proj"}
_PREFIX = "base_model.model.transformer.h"


def save_lora(model: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Grava o adaptador num safetensors, de forma atômica, com o que é preciso para reaplicá-lo."""
    state, (first, names) = lora_state_dict(model), _first_and_names(model)
    options = {
        "rank": first.lora.rank,
        "alpha": first.lora.alpha,
        "scaling": first.lora.scaling,
        "dropout": first.lora.dropout.p,
        "dora": isinstance(first, LinearWithDoRA),
        "targets": names,
    }
    path = Path(path)
    write_tensors(path, state, {"format": _FORMAT, "options": json.dumps(options)})
    return path


def load_lora(model: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Aplica a um modelo comum o adaptador gravado por :func:`save_lora`; devolve o mesmo modelo.

    Erros:
        ValueError: arquivo que não é um adaptador, ou é de um modelo com outras camadas.
    """
    metadata, state = _read_tensors(Path(path))
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{path}: não é um adaptador gravado por save_lora (format={metadata.get('format')!r}).")
    return _applied(model, json.loads(metadata["options"]), state)


def save_peft(model: GPTModel, folder: str | os.PathLike[str], *, base: str = "mini-pt") -> Path:
    """Grava o adaptador de um `GPTModel` como o `peft` o lê, para o GPT-2 de mesmos pesos do `transformers`.

    Parâmetros:
        base: nome ou pasta do modelo de base, que o `peft` guarda e não confere.

    Erros:
        ValueError: DoRA (a junção em `c_attn` não o preserva), ou camada fora dos blocos.
    """
    first, names = _first_and_names(model)
    if isinstance(first, LinearWithDoRA):
        raise ValueError("DoRA não se exporta: as três projeções viram uma em c_attn. Exporte um LoRA comum.")
    inside = {name.split(".", 2)[2] for name in names if name.startswith("trf_blocks.")}
    if outside := [name for name in names if not name.startswith("trf_blocks.")]:
        raise ValueError(f"{outside[0]} não se exporta: só as camadas dos blocos; aplique o LoRA só a elas.")
    rank, modules = first.lora.rank, dict(lora_modules(model))
    tensors: dict[str, Tensor] = {}
    for i in range(model.cfg.n_layers):
        ours, theirs = f"trf_blocks.{i}.", f"{_PREFIX}.{i}."
        if parts := [modules.get(ours + name) for name in _QKV if inside & set(_QKV)]:
            tensors |= _pair(f"{theirs}attn.c_attn", *_joined(parts, rank, model.cfg.emb_dim))
        for mine, other in _OTHERS.items():
            if mine in inside:
                lora = modules[ours + mine].lora
                tensors |= _pair(f"{theirs}{other}", lora.A, lora.B)
    fused = {"c_attn": 3 * rank} if inside & set(_QKV) else {}
    alpha = first.lora.scale * rank  # no peft a escala é alpha / r
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": fused,
        "alpha_pattern": {name: first.lora.scale * fused_rank for name, fused_rank in fused.items()},
        "lora_dropout": first.lora.dropout.p,
        # O nome com o pai: `c_proj` sozinho pegaria a da atenção e a da rede.
        "target_modules": sorted([*fused, *(other for mine, other in _OTHERS.items() if mine in inside)]),
        "fan_in_fan_out": True,  # o GPT-2 publicado guarda os pesos transpostos
        "bias": "none",
        "inference_mode": True,
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _WEIGHTS).unlink(missing_ok=True)  # os pesos vão por último: sem eles ninguém carrega a pasta
    write_json(folder / _CONFIG, config)
    write_tensors(folder / _WEIGHTS, tensors, {"format": "pt"})
    return folder


def load_peft(model: GPTModel, folder: str | os.PathLike[str]) -> GPTModel:
    """Aplica a um `GPTModel` o adaptador LoRA que o `peft` gravou para o GPT-2 de mesmos pesos.

    Erros:
        ValueError: outro tipo de adaptador, opções que não são as do LoRA comum, ou camadas e formatos de outro modelo.
    """
    folder = Path(folder)
    config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    for name, expected in (("peft_type", "LORA"), ("bias", "none"), ("use_dora", False), ("modules_to_save", None)):
        if config.get(name, expected) != expected:
            raise ValueError(f"{folder}: {name}={config[name]!r}: só se lê o LoRA comum, com {name}={expected!r}.")
    _, tensors = _read_tensors(folder / _WEIGHTS)
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    for name, a in tensors.items():
        if not name.endswith(".lora_A.weight"):
            continue
        layer, _, theirs = name.removeprefix(f"{_PREFIX}.").removesuffix(".lora_A.weight").partition(".")
        b = _peft_scale(config, theirs, a.shape[0]) * tensors[name.replace(".lora_A.", ".lora_B.")]
        if theirs == "attn.c_attn":
            pieces = dict(zip(_QKV, b.chunk(3), strict=True))
        else:
            pieces = {mine: b for mine, other in _OTHERS.items() if other == theirs}
        if not pieces:
            raise ValueError(f"{folder}: camada {name!r}, que um GPTModel não tem nos blocos.")
        pairs |= {f"trf_blocks.{layer}.{mine}": _without_zeros(a.T, part.T) for mine, part in pieces.items()}
    if not pairs:
        raise ValueError(f"{folder}: nenhum par lora_A e lora_B nos pesos: não é um adaptador LoRA.")
    rank = max(a.shape[1] for a, _ in pairs.values())
    state = {}
    for name, (a, b) in pairs.items():  # o posto é um só: o que falta é zero, e não muda a correção
        missing = rank - a.shape[1]
        state[f"{name}.lora.A"] = torch.nn.functional.pad(a, (0, missing))
        state[f"{name}.lora.B"] = torch.nn.functional.pad(b, (0, 0, 0, missing))
    # A escala já está em B: assim cada camada pode ter a sua.
    options = {"rank": rank, "alpha": 1.0, "scaling": "alpha", "targets": sorted(pairs)}
    return _applied(model, {**options, "dropout": config.get("lora_dropout", 0.0)}, state)


def _first_and_names(model: nn.Module) -> tuple[LinearWithLoRA, list[str]]:
    lora_state_dict(model)  # recusa, com a sua mensagem, um modelo sem LoRA
    found = list(lora_modules(model))
    return found[0][1], [name for name, _ in found]


def _applied(model: nn.Module, options: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    trains = [(p, p.requires_grad) for p in model.parameters()]
    apply_lora(model, **options)
    try:
        load_lora_state_dict(model, state)
    except ValueError:
        unload_lora(model, merge=False)  # o modelo volta a ser o que era
        for parameter, required in trains:
            parameter.requires_grad_(required)
        raise
    return model


def _joined(parts: list[LinearWithLoRA | None], rank: int, width: int) -> tuple[Tensor, Tensor]:
    """A `(D, 3r)` e B `(3r, 3D)` da camada que junta as três; a que não tem LoRA entra com zeros."""
    a = torch.cat([torch.zeros(width, rank) if p is None else p.lora.A.detach().cpu() for p in parts], dim=1)
    b = torch.block_diag(*[torch.zeros(rank, width) if p is None else p.lora.B.detach().cpu() for p in parts])
    return a, b


def _without_zeros(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Sem as direções que B zera: de um B em blocos sobra o bloco desta camada. Se tudo é zero, fica como está."""
    used = b.any(dim=1)  # (r,)
    return (a[:, used], b[used]) if used.any() else (a, b)


def _pair(name: str, a: Tensor, b: Tensor) -> dict[str, Tensor]:
    return {f"{name}.lora_A.weight": a.detach().T, f"{name}.lora_B.weight": b.detach().T}


def _peft_scale(config: Mapping[str, Any], name: str, rank: int) -> float:
    alphas = config.get("alpha_pattern") or {}
    # A chave é uma expressão regular do fim do nome, como no peft.
    own = next((v for key, v in alphas.items() if re.fullmatch(rf"(.*\.)?({key})", name)), config["lora_alpha"])
    return SCALINGS["alpha/sqrt(r)" if config.get("use_rslora") else "alpha/r"](own, rank)


def _read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: arquivo danificado ou que não é safetensors ({error}).") from error
