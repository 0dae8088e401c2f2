"""Barra de progresso: visível num terminal ou num caderno, calada num arquivo ou na construção do livro."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm


def progress_bar(iterable: Iterable | None = None, *, show: bool | None = None, **options: Any) -> tqdm:
    """Barra do tqdm; `show=None` decide sozinha, e a variável `TQDM_DISABLE=1` a esconde."""
    if show is None:
        # No caderno o tqdm desenha um widget, e nem `disable=None` nem a variável de ambiente o alcançam.
        allowed = os.environ.get("TQDM_DISABLE", "0") in ("", "0")
        show = allowed and ("ipykernel" in sys.modules or sys.stderr.isatty())
    return tqdm(iterable, disable=not show, **options)


def say(text: str) -> None:
    """Escreve uma linha na saída de erros, na hora, sem estragar uma barra que esteja na tela."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()
