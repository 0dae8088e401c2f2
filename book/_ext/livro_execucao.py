"""Execução dos cadernos: o ambiente do kernel e um cache que conhece o módulo do livro.

O cache do MyST-NB só olha as células: mudar `llmdefinitions` deixaria no site as saídas do código antigo.
Aqui a pasta do cache leva no nome um resumo do módulo, das versões instaladas, do modo e de haver espelho dos dados.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

MODES = ("rapido", "completo")
FULL_TIMEOUT = 24 * 3600  # segundos por célula: os tamanhos de verdade, numa CPU, levam horas
VERSIONS = ("requirements.txt", "requirements-travas.txt")
# Para que a página publicada não dependa do terminal de quem a constrói.
KERNEL_ENV = {
    "LIVRO_CONSTRUCAO": "1",
    "TQDM_DISABLE": "1",
    "PYTHONHASHSEED": "0",
    # Com outro processo na máquina, a espera ativa do OpenMP deixa um treino pequeno várias vezes mais lento.
    "OMP_WAIT_POLICY": "PASSIVE",
}


def execution_key(root: Path, mode: str, has_mirror: bool = False) -> str:
    """Resumo (16 dígitos hexadecimais) do que muda a saída de um caderno sem mudar suas células.

    O espelho conta porque com ele há corpora que sem ele o caderno diz não ter.
    """
    digest = hashlib.sha256(f"{mode} {has_mirror}".encode())
    files = [*sorted((root / "llmdefinitions").rglob("*")), *(root / name for name in VERSIONS)]
    for path in files:
        if not path.is_file() or "__pycache__" in path.parts or path.suffix == ".pyc":
            continue
        content = path.read_bytes()
        # O tamanho separa nome de conteúdo: dois arquivos trocando bytes entre si não dão o mesmo resumo.
        digest.update(f"\0{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def cache_folder(root: Path, mode: str) -> Path:
    """Pasta do cache de execuções para o módulo, as versões, o modo e o espelho de agora."""
    key = execution_key(root, mode, bool(os.environ.get("LLMDEFINITIONS_ESPELHO")))
    return root / "_build" / ".jupyter_cache" / f"{mode}-{key}"


def set_cache(app: Sphinx, config: Config) -> None:
    """Prepara o ambiente dos kernels e aponta o cache para a pasta da chave atual."""
    mode = os.environ.get("LIVRO_MODO") or MODES[0]
    if mode not in MODES:
        raise ConfigError(f"LIVRO_MODO={mode!r} não existe: use um destes: {', '.join(MODES)}.")
    os.environ.update(KERNEL_ENV, LIVRO_MODO=mode)
    config["nb_execution_cache_path"] = str(cache_folder(Path(app.srcdir), mode))
    if mode == "completo":
        config["nb_execution_timeout"] = FULL_TIMEOUT


def announce(app: Sphinx, docname: str, source: list[str]) -> None:
    """Diz que caderno está sendo lido: executá-lo, quando mudou, é o que mais demora no build."""
    if str(app.env.doc2path(docname)).endswith(".ipynb"):
        print(f"  {docname}: executando, se mudou…", file=sys.stderr, flush=True)


def prune_caches(app: Sphinx, exception: Exception | None) -> None:
    """Depois de um build que terminou, apaga os caches de outras chaves do mesmo modo.

    Os do outro modo ficam: uma execução completa custa horas.
    """
    if exception is not None:
        return
    current = Path(app.config["nb_execution_cache_path"])
    mode = current.name.partition("-")[0]
    for folder in current.parent.glob(f"{mode}-*"):
        if folder != current:
            shutil.rmtree(folder)


def setup(app: Sphinx) -> dict[str, bool]:
    """Liga a extensão aos eventos do Sphinx."""
    app.connect("config-inited", set_cache)
    app.connect("source-read", announce)
    app.connect("build-finished", prune_caches)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
