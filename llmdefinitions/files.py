"""Gravar textos, JSON e tensores sem risco: o nome definitivo só aparece com o conteúdo inteiro."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_json(path: Path, content: object) -> None:
    """Grava um JSON de forma atômica (ver :func:`write_text`)."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Grava um texto em UTF-8 de forma atômica: fica o arquivo inteiro, ou o que havia antes."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.parcial")
    try:
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Grava um safetensors de forma atômica, com as permissões de qualquer arquivo novo."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.parcial")
    try:
        partial.touch()
        mode = partial.stat().st_mode  # o safetensors deixaria o arquivo só para o dono
        save_file({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, partial, metadata=metadata)
        partial.chmod(mode)
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
