"""Relatórios dos testes: totais, pulados por falta do espelho, tempo dos cadernos e o fecho do CI."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

RAIZ = Path(__file__).resolve().parent.parent
# No fim da lista: ferramentas/site.py não pode passar à frente do `site` da biblioteca padrão.
sys.path.append(str(RAIZ / "ferramentas"))

import relatorios  # noqa: E402
from ambiente import ErroDeUso  # noqa: E402

JUNIT = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest">
<testcase classname="tests.a" name="passa" time="0.5" />
<testcase classname="tests.a" name="falha" time="0.1"><failure message="1 != 2">…</failure></testcase>
<testcase classname="tests.a" name="quebra" time="0.1"><error message="x">…</error></testcase>
<testcase classname="tests.a" name="pula" time="0"><skipped message="sem espelho dos dados">…</skipped></testcase>
<testcase classname="tests.a" name="pula2" time="0"><skipped message="só no Windows">…</skipped></testcase>
</testsuite></testsuites>"""


def test_totais_e_pulados_de_um_relatorio(tmp_path: Path) -> None:
    (tmp_path / "junit-unidade.xml").write_text(JUNIT, encoding="utf-8")
    casos = relatorios.ler(tmp_path)["unidade"]
    assert relatorios.totais(casos) == "1 passed, 2 failed, 2 skipped"
    assert [c.nome for c in relatorios.pulados_sem_espelho(casos)] == ["tests.a::pula"]
    relatorios.esquecer(tmp_path)
    with pytest.raises(ErroDeUso, match="Não há relatórios"):
        relatorios.ler(tmp_path)


def test_relatorio_cortado_no_meio_nao_vale(tmp_path: Path) -> None:
    (tmp_path / "junit-site.xml").write_text(JUNIT[:300], encoding="utf-8")
    with pytest.raises(ErroDeUso, match=r"junit-site\.xml não é um relatório completo"):
        relatorios.ler(tmp_path)


def test_caderno_lento_demais_e_queixa_e_o_tempo_fica_gravado(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    casos = [relatorios.Caso(f"notebooks.{n}::{n}", s, "passed") for n, s in (("a", 80.0), ("b", 100.0), ("c", 136.0))]
    destino = tmp_path / "tempos.json"
    queixas = relatorios.conferir_tempos(casos, 90.0, destino)
    assert len(queixas) == 1
    assert "c levou 136 s" in queixas[0]
    assert "b passou do limite" in capsys.readouterr().out
    assert yaml.safe_load(destino.read_text())["segundos"] == {"a": 80.0, "b": 100.0, "c": 136.0}


@pytest.mark.parametrize("valor", ["0", "-1", "noventa", "inf", "nan"])
def test_limite_por_caderno_tem_de_ser_numero_positivo(monkeypatch: pytest.MonkeyPatch, valor: str) -> None:
    monkeypatch.setenv("LIVRO_LIMITE_S", valor)
    with pytest.raises(ErroDeUso, match=re.escape(repr(valor))):
        relatorios.limite_por_caderno()


@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="sem bash nesta máquina")
@pytest.mark.parametrize(
    ("vizinho", "make", "codigo"),
    [(False, "true", 0), (True, "true", 1), (False, "exit 2", 2), (True, "exit 2", 2)],
)
def test_ci_exige_o_espelho_que_existe_e_fecha_com_os_totais(
    tmp_path: Path, vizinho: bool, make: str, codigo: int
) -> None:
    projeto = tmp_path / "main"
    (projeto / ".ci").mkdir(parents=True)
    shutil.copy(RAIZ / ".ci" / "run", projeto / ".ci")
    shutil.copytree(RAIZ / "ferramentas", projeto / "ferramentas")
    (projeto / "Makefile").write_text(f"testes:\n\t@{make}\n")
    (projeto / "_build" / "relatorios").mkdir(parents=True)
    (projeto / "_build" / "relatorios" / "junit-unidade.xml").write_text(JUNIT, encoding="utf-8")
    (projeto / ".venv" / "bin").mkdir(parents=True)
    (projeto / ".venv" / "bin" / "python").symlink_to(sys.executable)
    if vizinho:
        (tmp_path / "shared" / "dados").mkdir(parents=True)
    feito = subprocess.run(["bash", str(projeto / ".ci" / "run")], stdin=subprocess.DEVNULL, capture_output=True)
    assert feito.returncode == codigo, feito.stderr.decode()
    assert feito.stdout.decode().splitlines()[-1] == "1 passed, 2 failed, 2 skipped"
