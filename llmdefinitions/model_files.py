"""Os arquivos que formam um modelo: achar os pesos entre os nomes possíveis e lê-los, sem confiar no que está lá."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

WEIGHTS, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"


class ModelFiles(Protocol):
    """De onde vêm os arquivos de um modelo: uma pasta ou um repositório; `label` os nomeia nos erros."""

    label: str

    def find(self, filename: str) -> Path | None:
        """Caminho do arquivo, obtido se preciso, ou `None` se não há."""

    def has(self, filename: str) -> bool:
        """Diz se há o arquivo, sem obtê-lo."""

    def missing(self, names: Sequence[str]) -> Exception:
        """Erro que lista o que falta."""


class ModelFolder:
    """Arquivos de um modelo numa pasta local."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.label = str(folder)
        self._folder = Path(folder)

    def find(self, filename: str) -> Path | None:
        """Caminho do arquivo, ou `None` se a pasta não o tem."""
        path = self._folder / filename
        return path if path.is_file() else None

    def has(self, filename: str) -> bool:
        """Diz se a pasta tem o arquivo."""
        return self.find(filename) is not None

    def missing(self, names: Sequence[str]) -> Exception:
        """Erro que lista o que falta."""
        return ValueError(f"a pasta não tem {'; nem '.join(names)}. Baixe ou exporte o modelo de novo.")


def find_weights(source: ModelFiles, allow_pickle: bool) -> list[Path]:
    """Arquivos com os pesos: um safetensors, as partes de um dividido ou, só se permitido, um pickle; vazio sem eles.

    Erros:
        ValueError: o índice das partes não serve, ou falta uma parte.
    """
    if path := source.find(WEIGHTS):
        return [path]
    if index := source.find(INDEX):
        names = read_json(index).get("weight_map")
        parts = sorted(set(names.values())) if isinstance(names, dict) else []
        if not parts or any(os.path.basename(part) != part for part in parts):
            raise ValueError(f"{index} não lista as partes do modelo em 'weight_map'; apague-o e obtenha-o de novo.")
        found = {part: source.find(part) for part in parts}
        if absent := [part for part, path in found.items() if path is None]:
            raise source.missing(absent)
        return [path for path in found.values() if path]
    path = source.find(PICKLE) if allow_pickle else None
    return [path] if path else []


def read_json(path: Path) -> dict[str, Any]:
    """Objeto JSON do arquivo; `ValueError` se não é um."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} não é JSON ({error}); apague-o e obtenha-o de novo.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} tem {type(content).__name__}: esperado um objeto JSON; obtenha-o de novo.")
    return content


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensores do arquivo, que podem estar mapeados nele; `ValueError` se está danificado. Nunca executa código."""
    try:
        if path.name == PICKLE:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()):
                return dict(content)
            raise ValueError("não é um dicionário de tensores")
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 — não é iterável
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path} está truncado, danificado ou não é um arquivo de pesos ({error}); apague-o e obtenha-o de novo."
        ) from error
