"""Gravar arquivos de texto sem risco: o nome definitivo só aparece com o conteúdo inteiro."""

from __future__ import annotations

import json
import os
from pathlib import Path


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
