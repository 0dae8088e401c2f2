"""Em que máquina e com que versões uma medida foi feita: sem isso um número de tempo não diz nada."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def processador() -> str:
    """Nome comercial da CPU, onde o sistema o diz; se não, o que `platform` souber."""
    if sys.platform.startswith("linux"):
        for linha in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if linha.startswith("model name"):
                return linha.split(":", 1)[1].strip()
    if sys.platform == "darwin":
        fim = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        if fim.returncode == 0 and fim.stdout.strip():
            return fim.stdout.strip()
    return platform.processor() or platform.machine()


def versoes(pacotes: Sequence[str]) -> dict[str, str]:
    """Versão instalada de cada pacote; `"ausente"` se não está."""
    achadas = {"python": platform.python_version()}
    for nome in pacotes:
        try:
            achadas[nome] = version(nome)
        except PackageNotFoundError:
            achadas[nome] = "ausente"
    return achadas


def descrever(pacotes: Sequence[str]) -> dict[str, object]:
    """Ficha de uma medição: CPU, núcleos, fios do PyTorch, bfloat16 em hardware, sistema, versões e data."""
    import torch

    from llmdefinitions.device import has_fast_bfloat16

    return {
        "cpu": processador(),
        "nucleos": os.cpu_count(),
        "fios_do_torch": torch.get_num_threads(),
        "bfloat16_em_hardware": has_fast_bfloat16("cpu"),
        "sistema": f"{platform.system()} {platform.machine()}",
        "versoes": versoes(pacotes),
        "data": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def em_palavras(ficha: dict[str, object]) -> str:
    """A ficha numa frase, para pôr embaixo de uma tabela."""
    versao = ", ".join(f"{nome} {v}" for nome, v in ficha["versoes"].items())
    fios = "1 fio" if ficha["fios_do_torch"] == 1 else f"{ficha['fios_do_torch']} fios"
    bf16 = "com" if ficha["bfloat16_em_hardware"] else "sem"
    return (
        f"{ficha['cpu']}, {ficha['nucleos']} núcleos ({fios} do PyTorch), {bf16} bfloat16 em "
        f"hardware, {ficha['sistema']}; {versao}; {ficha['data']}."
    )
