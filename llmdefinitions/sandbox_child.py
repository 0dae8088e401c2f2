"""O processo que executa código desconhecido: prende-se primeiro, e só então o executa.

Roda sozinho (`python -I -S sandbox_child.py`), sem importar nada do pacote, e recebe pela entrada padrão um JSON com o
código e os limites. No Linux, além dos limites de recursos, instala um filtro seccomp: uma lista do que o processo
ainda pode pedir ao sistema (ler arquivos, pedir memória, escrever no que já está aberto, ver as horas); todo o resto
(criar processos, abrir conexões, criar, mudar ou apagar arquivos, mandar sinais) falha com "operação não permitida".
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import struct
import sys

#: Chamadas permitidas, com o número em x86-64 e em ARM de 64 bits (arch/*/entry/syscalls); `None`: não existe lá.
_ALLOWED = {
    **{"read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62), "mmap": (9, 222)},
    **{"mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "rt_sigaction": (13, 134)},
    **{"rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "pread64": (17, 67), "readv": (19, 65)},
    **{"writev": (20, 66), "stat": (4, None), "lstat": (6, None), "access": (21, None), "sched_yield": (24, 124)},
    **{"mremap": (25, 216), "madvise": (28, 233), "dup": (32, 23), "nanosleep": (35, 101), "getpid": (39, 172)},
    **{"exit": (60, 93), "uname": (63, 160), "fcntl": (72, 25), "getdents": (78, None), "getcwd": (79, 17)},
    **{"readlink": (89, None), "gettimeofday": (96, 169), "getrusage": (98, 165), "sysinfo": (99, 179)},
    **{"times": (100, 153), "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175), "getegid": (108, 177)},
    **{"sigaltstack": (131, 132), "arch_prctl": (158, None), "gettid": (186, 178), "futex": (202, 98)},
    **{"sched_getaffinity": (204, 123), "getdents64": (217, 61), "clock_gettime": (228, 113)},
    **{"clock_getres": (229, 114), "clock_nanosleep": (230, 115), "exit_group": (231, 94), "newfstatat": (262, 79)},
    **{"readlinkat": (267, 78), "faccessat": (269, 48), "set_robust_list": (273, 99), "getrandom": (318, 278)},
    **{"statx": (332, 291), "rseq": (334, 293), "faccessat2": (439, 439)},
}
#: Abrir arquivos só para ler: (números, qual argumento traz as opções).
_OPEN = (((2, None), 1), ((257, 56), 2))
_WRITE_FLAGS = 0o3 | 0o100 | 0o1000 | 0o2000 | 0o20000000  # escrita, criar, truncar, acrescentar, arquivo temporário
_IOCTL, _TCGETS = (16, 29), 0x5401  # `isatty`, e nenhum outro comando a um dispositivo
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_ALLOW, _EPERM, _KILL = 0x7FFF0000, 0x00050001, 0x80000000


def seccomp_program(machine: str) -> bytes:
    """O filtro, em BPF clássico, para a arquitetura dada: uma lista do que se permite; o resto dá EPERM.

    Erros:
        KeyError: arquitetura sem tabela.
    """
    column, audit = _MACHINES[machine]

    def step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, k)

    load, equal, any_bit, answer = 0x20, 0x15, 0x45, 0x06
    program = [step(load, 4), step(equal, audit, 1, 0), step(answer, _KILL), step(load, 0)]
    for numbers in _ALLOWED.values():
        if (number := numbers[column]) is not None:
            program += [step(equal, number, 0, 1), step(answer, _ALLOW)]
    for numbers, argument in _OPEN:
        if (number := numbers[column]) is not None:
            program += [step(equal, number, 0, 4), step(load, 16 + 8 * argument)]
            program += [step(any_bit, _WRITE_FLAGS, 1, 0), step(answer, _ALLOW), step(answer, _EPERM)]
    program += [step(equal, _IOCTL[column], 0, 4), step(load, 16 + 8), step(equal, _TCGETS, 0, 1)]
    program += [step(answer, _ALLOW), step(answer, _EPERM), step(answer, _EPERM)]
    return b"".join(program)


def _install_filter() -> None:
    program = seccomp_program(platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program, len(program))

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))

    described = Filter(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    zero = ctypes.c_ulong(0)
    for arguments in (
        (no_new_privileges, ctypes.c_ulong(1), zero, zero, zero),
        (set_seccomp, ctypes.c_ulong(filter_mode), ctypes.byref(described), zero, zero),
    ):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "o sistema recusou o filtro seccomp")


def _limit(job: dict) -> None:
    import resource

    megabyte = 1 << 20
    limits = {
        "RLIMIT_CPU": int(job["seconds"]) + 1,
        "RLIMIT_AS": job["megabytes"] * megabyte,
        "RLIMIT_FSIZE": job["output_bytes"],  # também o quanto se escreve na saída, que é um arquivo
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 32,
        "RLIMIT_NPROC": 0,
    }
    for name, value in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):
            if job["isolated"]:  # o macOS não limita a memória virtual: lá só se executa código conhecido
                raise


def main() -> None:
    """Lê o trabalho, prende o processo, executa o código e só no fim escreve a senha que prova que ele chegou lá."""
    job = json.loads(sys.stdin.buffer.read())
    sys.stdin = open(os.devnull)  # noqa: SIM115 — fica aberta enquanto o processo existir
    code = compile(job["code"], "<resposta>", "exec")
    if os.name == "posix":
        _limit(job)
    if job["isolated"]:
        _install_filter()
    exec(code, {"__name__": "__main__"})
    sys.stdout.flush()
    os.write(1, f"\n{job['token']}\n".encode())


if __name__ == "__main__":
    main()
