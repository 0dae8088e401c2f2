"""O Chromium dos testes de navegador: onde está e, num Debian em que somos root, como se instala."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NOMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FORA_DO_PATH = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
)


def encontrar() -> str | None:
    """Caminho do Chromium ou do Chrome desta máquina; `LIVRO_CHROMIUM` tem precedência."""
    pedido = os.environ.get("LIVRO_CHROMIUM")
    if pedido:
        return pedido
    no_path = next((caminho for nome in NOMES if (caminho := shutil.which(nome))), None)
    return no_path or next((caminho for caminho in FORA_DO_PATH if Path(caminho).is_file()), None)


def pode_instalar() -> bool:
    """Verdadeiro num sistema com apt em que somos root (contêineres e CI, tipicamente)."""
    return sys.platform == "linux" and bool(shutil.which("apt-get")) and os.geteuid() == 0


def obrigatorio() -> bool:
    """No CI, onde dá para instalar, teste de navegador pulado é falha."""
    return os.environ.get("CI") == "true" and pode_instalar()


def garantir() -> int:
    """Procura o Chromium e, se pode, instala. Só falha onde ele é obrigatório."""
    caminho = encontrar()
    if caminho is None and pode_instalar():
        print("Nenhum Chromium encontrado: instalando o pacote do sistema com apt-get (cerca de 1 min).", flush=True)
        silencioso = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for comando in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
            if subprocess.run(comando, env=silencioso, stdin=subprocess.DEVNULL).returncode:
                print(f"`{' '.join(comando)}` falhou.", flush=True)
                break
        caminho = encontrar()
    if caminho:
        print(f"Testes de navegador com {caminho}.")
        return 0
    print(
        "Sem Chromium nem Chrome: os testes de navegador serão pulados; os demais valem. Para rodá-los, instale um "
        "dos dois (Debian: `sudo apt install chromium`) ou aponte LIVRO_CHROMIUM para o programa."
    )
    return 1 if obrigatorio() else 0
