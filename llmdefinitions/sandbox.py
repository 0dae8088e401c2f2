"""Executar código que um modelo escreveu, num processo à parte, com limites, sem risco para a máquina.

O que protege, e de quê:

- **Linux** (x86-64 e ARM de 64 bits): limites de tempo, memória, tamanho da saída e número de arquivos, e um filtro
  seccomp que só deixa ler arquivos, usar memória e escrever na própria saída. O código não cria processos, não abre
  conexões, não cria, muda ou apaga arquivos e não manda sinais, mesmo que quem execute seja o administrador. Ele ainda
  pode **ler** o que o usuário pode ler; sem rede, o que leu só pode sair na saída devolvida a quem chamou.
- **macOS e Windows**: não há filtro equivalente sem programas de fora. Código desconhecido é recusado com um erro; com
  `trusted=True`, código que o leitor conhece roda só com o limite de tempo (e, no macOS, alguns de recursos).

Protege a máquina, e não a nota: o processo prova que chegou ao fim com uma senha sorteada, e assim um `exit()` não
conta como acerto; mas um programa escrito para trapacear poderia achá-la na própria memória. Também não há defesa
contra falhas do núcleo do sistema: para código hostil de verdade, use uma máquina virtual.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CHILD = Path(__file__).with_name("sandbox_child.py")


class SandboxUnavailableError(RuntimeError):
    """Este sistema não sabe isolar código desconhecido."""


@dataclass(frozen=True)
class Limits:
    """Até onde o código pode ir.

    Atributos:
        seconds: segundos de relógio.
        megabytes: memória virtual.
        output_bytes: o que ele pode escrever.
    """

    seconds: float = 5.0
    megabytes: int = 512
    output_bytes: int = 1 << 16

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.megabytes < 64 or self.output_bytes < 256:
            raise ValueError(f"{self}: esperados segundos > 0, ao menos 64 MB e ao menos 256 bytes de saída.")


@dataclass(frozen=True)
class Outcome:
    """O que houve com uma execução.

    Atributos:
        passed: se o código rodou até a última linha sem erro.
        reason: por que não; vazio se sim.
        output: o que ele escreveu, com os erros, até o limite.
        seconds: quanto levou, com a partida do processo.
    """

    passed: bool
    reason: str
    output: str
    seconds: float

    def __bool__(self) -> bool:
        return self.passed


def run_code(code: str, *, limits: Limits | None = None, trusted: bool = False) -> Outcome:
    """Executa `code` num processo novo, isolado, e diz se ele chegou ao fim.

    O processo é outro Python, sem os pacotes instalados: só a biblioteca padrão.

    Parâmetros:
        code: o programa, com os testes dele no fim.
        limits: tempo, memória e saída.
        trusted: o código é conhecido: roda também onde não há isolamento, com menos limites.

    Erros:
        SandboxUnavailableError: o sistema não isola, e `trusted` é falso.
    """
    isolated = isolation_available()
    if not isolated and not trusted:
        raise SandboxUnavailableError(
            f"em {platform.system()} ({platform.machine()}) o livro não sabe isolar código desconhecido. Rode no Linux "
            "(o Colab serve, e o WSL também); ou, se você leu o código e confia nele, passe trusted=True."
        )
    return _run(code, limits or Limits(), isolated)


@cache
def isolation_available() -> bool:
    """Se este sistema isola de fato: um programa que tenta criar um arquivo, e outro processo, tem de falhar."""
    if not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "aarch64"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "sonda")
        attempts = (f"open({str(probe)!r}, 'w')", "import os; os.fork()")
        code = "\n".join(
            f"try:\n {attempt}\nexcept PermissionError:\n pass\nelse:\n raise SystemExit('passou')"
            for attempt in attempts
        )
        return _run(code, Limits(seconds=60), True).passed and not probe.exists()


def _run(code: str, limits: Limits, isolated: bool) -> Outcome:
    token = secrets.token_hex(16)
    job = {
        **{"code": code, "token": token, "isolated": isolated, "seconds": limits.seconds},
        **{"megabytes": limits.megabytes, "output_bytes": limits.output_bytes},
    }
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
    if "SYSTEMROOT" in os.environ:  # sem ela, o Python do Windows não começa
        environment["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(job).encode(), timeout=limits.seconds)
            timed_out = False
        except subprocess.TimeoutExpired:
            timed_out = True
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)  # com os filhos que um código conhecido tenha criado
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        text = output.read(limits.output_bytes).decode("utf-8", "replace")
    seconds = time.perf_counter() - start
    proof = f"\n{token}\n"
    passed = not timed_out and process.returncode == 0 and text.endswith(proof)
    reason = "" if passed else _reason(timed_out, process.returncode, text, limits)
    return Outcome(passed, reason, text.removesuffix(proof), seconds)


def _reason(timed_out: bool, code: int, text: str, limits: Limits) -> str:
    if timed_out or code == -24:  # SIGXCPU
        return f"passou de {limits.seconds:g} s"
    if len(text.encode("utf-8", "replace")) >= limits.output_bytes:
        return f"escreveu mais de {limits.output_bytes} bytes"
    if code == 0:
        return "saiu antes da última linha"
    lines = text.strip().splitlines()
    if code < 0 or not lines:
        return f"o processo morreu (código {code})"
    return lines[-1][:200]
