"""Código hostil de verdade, executado: nada sai do processo, nada passa do limite, a máquina fica como estava."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmdefinitions import sandbox
from llmdefinitions.sandbox import Limits, SandboxUnavailableError, isolation_available, run_code
from llmdefinitions.sandbox_child import seccomp_program

FOLGA = Limits(seconds=60)  # numa máquina ocupada o processo demora a começar; o que se testa aqui não é o tempo
so_com_isolamento = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="o isolamento é do Linux")


def test_no_linux_o_isolamento_existe():
    assert isolation_available() == sys.platform.startswith("linux")


@so_com_isolamento
def test_codigo_honesto_roda_e_a_saida_volta():
    feito = run_code("import math, re, json\nprint('ação', math.pi, re.sub('a', 'b', 'aa'))", limits=FOLGA)
    assert feito.passed
    assert feito.output.strip() == "ação 3.141592653589793 bb"
    assert feito.reason == ""
    assert feito.seconds > 0


@so_com_isolamento
@pytest.mark.parametrize(
    ("codigo", "motivo"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError|invalid syntax"),
        ("assert 1 == 2, 'um não é dois'", "AssertionError: um não é dois"),
        ("exit(0)", "NameError"),  # sem o módulo site não há `exit`
        ("raise SystemExit(0)", "saiu antes da última linha"),
        ("import os; os._exit(0)", "saiu antes da última linha"),
        ("raise SystemExit(3)", "código 3"),
        ("import ctypes; ctypes.string_at(0)", "o processo morreu"),
    ],
)
def test_o_que_nao_chega_ao_fim_nao_passa(codigo, motivo):
    feito = run_code(codigo, limits=FOLGA)
    assert not feito
    assert re.search(motivo, feito.reason)


@so_com_isolamento
@pytest.mark.parametrize("codigo", ["while True: pass", "import time; time.sleep(99)", "sum(range(10**12))"])
def test_o_tempo_acaba(codigo):
    comeco = time.monotonic()
    feito = run_code(codigo, limits=Limits(seconds=1.5))
    assert not feito
    assert feito.reason == "passou de 1.5 s"
    assert time.monotonic() - comeco < 15  # folga para uma máquina ocupada matar e recolher o processo


@so_com_isolamento
@pytest.mark.parametrize(
    "codigo",
    ["x = bytearray(10 * 2**30)", "x = []\nwhile True: x.append(bytearray(2**24))", "x = [0] * 10**11", "'a' * 10**11"],
)
def test_a_memoria_acaba(codigo):
    feito = run_code(codigo, limits=FOLGA)
    assert not feito
    assert "MemoryError" in feito.reason


@so_com_isolamento
def test_a_recursao_sem_fim_acaba_com_a_memoria():
    sem_fim = "import sys; sys.setrecursionlimit(10**9)\ndef f(): return f()\nf()"
    feito = run_code(sem_fim, limits=Limits(seconds=60, megabytes=64))  # mais memória só a faria demorar mais
    assert not feito
    assert "passou de" not in feito.reason


@so_com_isolamento
def test_bomba_de_processos_nao_cria_nenhum():
    def processos():
        return {p for p in os.listdir("/proc") if p.isdecimal() and "sandbox_child" in linha(p)}

    def linha(p):
        try:
            return Path("/proc", p, "cmdline").read_text()
        except OSError:  # morreu enquanto se olhava
            return ""

    bomba = "import os\nfor _ in range(1000):\n    try:\n        os.fork()\n    except PermissionError:\n        pass\n"
    antes = processos()
    feito = run_code(bomba + "os.fork()", limits=FOLGA)
    assert "PermissionError" in feito.reason
    assert processos() <= antes
    for outro in ("import subprocess; subprocess.run(['true'])", "import os; os.execv('/bin/true', ['true'])"):
        assert "PermissionError" in run_code(outro, limits=FOLGA).reason
    assert "start new thread" in run_code("import _thread; _thread.start_new_thread(print, ())", limits=FOLGA).reason


@so_com_isolamento
def test_arquivos_nao_sao_criados_mudados_nem_apagados(tmp_path):
    alvo = tmp_path / "alvo.txt"
    alvo.write_text("intacto")
    os.chmod(alvo, 0o666)
    caminho, outro = repr(str(alvo)), repr(str(tmp_path / "novo"))
    for codigo in (
        f"import os; os.remove({caminho})",
        f"import os; os.rename({caminho}, {outro})",
        f"import shutil; shutil.rmtree({str(tmp_path)!r})",
        f"open({caminho}, 'w')",
        f"open({caminho}, 'a')",
        f"open({caminho}, 'r+')",
        f"open({outro}, 'x')",
        f"import os; os.open({outro}, os.O_RDONLY | os.O_CREAT)",
        f"import os; os.open({str(tmp_path)!r}, os.O_RDWR | os.O_TMPFILE)",
        f"import os; os.truncate({caminho}, 0)",
        f"import os; os.chmod({caminho}, 0)",
        f"import os; os.mkdir({outro})",
        f"import os; os.symlink('/', {outro})",
        f"import os; os.utime({caminho})",
        "open('relativo', 'w')",
    ):
        feito = run_code(codigo, limits=FOLGA)
        assert "PermissionError" in feito.reason, (codigo, feito)
    assert [p.name for p in tmp_path.iterdir()] == ["alvo.txt"]
    assert alvo.read_text() == "intacto"
    assert alvo.stat().st_mode & 0o777 == 0o666
    assert run_code(f"assert open({caminho}).read() == 'intacto'", limits=FOLGA)  # ler pode, e a docstring diz


@so_com_isolamento
def test_nao_ha_rede_nem_a_da_propria_maquina():
    with socket.create_server(("127.0.0.1", 0)) as ouvinte:
        porta = ouvinte.getsockname()[1]
        for codigo in (
            f"import socket; socket.create_connection(('127.0.0.1', {porta}))",
            "import socket; socket.socket(socket.AF_UNIX)",
            "import socket; socket.socketpair()",
        ):
            assert "PermissionError" in run_code(codigo, limits=FOLGA).reason


@so_com_isolamento
def test_nao_manda_sinais_nem_afrouxa_os_limites():
    for codigo in (
        "import os; os.kill(os.getpid() - 1, 0)",
        f"import os; os.kill({os.getpid()}, 9)",
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        "import ctypes\nif ctypes.CDLL(None).unshare(0x10000000): raise PermissionError",
        "import ctypes\nif ctypes.CDLL(None).ptrace(16, 1, 0, 0): raise PermissionError",
    ):
        feito = run_code(codigo, limits=FOLGA)
        assert "PermissionError" in feito.reason or "not allowed" in feito.reason, (codigo, feito)


@so_com_isolamento
def test_saida_gigante_e_cortada_e_reprovada():
    for codigo in ("while True: print('x' * 10_000)", "import os\nwhile True: os.write(1, b'x' * 10_000)"):
        feito = run_code(codigo, limits=Limits(seconds=60, output_bytes=1000))
        assert not feito
        assert feito.reason == "escreveu mais de 1000 bytes"
        assert len(feito.output) <= 1000


@so_com_isolamento
def test_o_ambiente_e_a_pasta_nao_vazam(monkeypatch):
    monkeypatch.setenv("SEGREDO_DO_LEITOR", "abre-te")
    feito = run_code("import os; print(sorted(os.environ), os.listdir('.'), __name__)", limits=FOLGA)
    assert "SEGREDO" not in feito.output
    assert "[] __main__" in feito.output


def test_sem_isolamento_codigo_desconhecido_e_recusado_e_o_conhecido_roda(monkeypatch):
    monkeypatch.setattr(sandbox, "isolation_available", lambda: False)
    with pytest.raises(SandboxUnavailableError, match=r"não sabe isolar.*Rode no Linux.*trusted=True"):
        run_code("print(1)")
    assert run_code("print(1)", limits=FOLGA, trusted=True).output.strip() == "1"
    assert run_code("while True: pass", limits=Limits(seconds=1.5), trusted=True).reason == "passou de 1.5 s"


@pytest.mark.parametrize("ruim", [{"seconds": 0}, {"megabytes": 10}, {"output_bytes": 1}])
def test_limites_invalidos(ruim):
    with pytest.raises(ValueError, match="esperados segundos > 0"):
        Limits(**ruim)


@pytest.mark.parametrize("maquina", ["x86_64", "aarch64"])
def test_o_filtro_so_salta_para_a_frente_e_termina_em_resposta(maquina):
    programa = seccomp_program(maquina)
    passos = [programa[i : i + 8] for i in range(0, len(programa), 8)]
    assert len(passos) < 4096  # o máximo do núcleo
    assert passos[-1][0] == 0x06
    for i, passo in enumerate(passos):
        if passo[0] in (0x15, 0x45):  # comparação: os dois destinos existem
            assert i + 1 + max(passo[2], passo[3]) < len(passos)
    assert int.from_bytes(passos[-1][4:], "little") == 0x00050001  # o que não está na lista: EPERM


@pytest.mark.skipif(sys.platform == "win32", reason="sessões de processos são do POSIX")
def test_o_tempo_acaba_tambem_para_os_filhos_de_codigo_conhecido(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "isolation_available", lambda: False)
    marca = f"{tmp_path.name}-filho"
    # O limite de processos não vale para o administrador, e a outros impede o filho de nascer: serve dos dois jeitos.
    codigo = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', {marca!r}])"
    feito = run_code(codigo, limits=Limits(seconds=3), trusted=True)
    assert not feito
    time.sleep(0.2)
    vivos = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert marca not in vivos
