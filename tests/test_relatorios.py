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

import etapas  # noqa: E402
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
    casos = [relatorios.Caso(f"notebooks.{n}::{n}", s, "passed") for n, s in (("a", 80.0), ("b", 100.0), ("c", 181.0))]
    destino = tmp_path / "tempos.json"
    queixas = relatorios.conferir_tempos(casos, 90.0, destino)
    assert len(queixas) == 1
    assert "c levou 181 s" in queixas[0]
    assert "b passou do limite" in capsys.readouterr().out
    assert yaml.safe_load(destino.read_text())["segundos"] == {"a": 80.0, "b": 100.0, "c": 181.0}


@pytest.mark.parametrize(
    ("segundos", "aviso", "reprova"),
    [(90.0, False, False), (90.1, True, False), (180.0, True, False), (180.1, False, True)],
)
def test_entre_o_limite_e_a_folga_o_caderno_passa_com_aviso(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], segundos: float, aviso: bool, reprova: bool
) -> None:
    casos = [relatorios.Caso("notebooks.a::a", segundos, "passed")]
    limite = relatorios.LIMITE_PADRAO_S
    assert bool(relatorios.conferir_tempos(casos, limite, tmp_path / "tempos.json")) is reprova
    assert ("a passou do limite" in capsys.readouterr().out) is aviso


@pytest.mark.parametrize(
    ("modo", "limite", "segundos", "codigo"),
    [("rapido", "90", 180.0, 0), ("rapido", "90", 181.0, 1), ("rapido", "91", 181.0, 0), ("completo", "90", 5000.0, 0)],
)
def test_a_etapa_dos_cadernos_reprova_so_alem_da_folga(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, modo: str, limite: str, segundos: float, codigo: int
) -> None:
    monkeypatch.setenv("LIVRO_MODO", modo)
    monkeypatch.setenv("LIVRO_LIMITE_S", limite)
    monkeypatch.setattr(relatorios, "PASTA", tmp_path)
    monkeypatch.setattr(etapas, "EXECUTADOS", tmp_path / "cadernos")
    monkeypatch.setattr(etapas, "pytest", lambda *argumentos, **extra: 0)
    monkeypatch.setattr(etapas, "ferramenta", lambda *argumentos: 0)
    casos = {"cadernos": [relatorios.Caso("notebooks.a::a", segundos, "passed")]}
    monkeypatch.setattr(relatorios, "ler", lambda: casos)
    assert etapas.cadernos() == codigo
    assert sorted(p.name for p in (tmp_path / "cadernos").iterdir()) == sorted(
        p.name for p in (RAIZ / "notebooks").glob("*.ipynb")
    )


def test_o_guia_de_contribuicao_diz_o_limite_e_a_folga_de_verdade() -> None:
    guia = " ".join((RAIZ / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    limite, folga = relatorios.LIMITE_PADRAO_S, relatorios.FOLGA
    assert f"leva até {limite:g} s, medidos por `make recursos` numa máquina de 2 núcleos" in guia
    assert f"além de {folga:g} vezes isso ({limite * folga:g} s)".replace(".", ",") in guia


@pytest.mark.parametrize("nome", ["README.md", "book/como_usar.md", "book/intro.md", "book/recursos.md"])
def test_as_paginas_prometem_o_limite_de_verdade(nome: str) -> None:
    linhas = [linha for linha in (RAIZ / nome).read_text(encoding="utf-8").splitlines() if "por caderno" in linha]
    prometidos = [float(n) for linha in linhas for n in re.findall(r"(\d+) s(?:egundos)?\b", linha)]
    assert prometidos == [relatorios.LIMITE_PADRAO_S]


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
    (projeto / "Makefile").write_text(f"testes:\n\t@{make}\ntestes-juiz:\n\t@true\n")
    (projeto / "_build" / "relatorios").mkdir(parents=True)
    (projeto / "_build" / "relatorios" / "junit-unidade.xml").write_text(JUNIT, encoding="utf-8")
    (projeto / ".venv" / "bin").mkdir(parents=True)
    (projeto / ".venv" / "bin" / "python").symlink_to(sys.executable)
    if vizinho:
        (tmp_path / "shared" / "dados").mkdir(parents=True)
    feito = subprocess.run(["bash", str(projeto / ".ci" / "run")], stdin=subprocess.DEVNULL, capture_output=True)
    assert feito.returncode == codigo, feito.stderr.decode()
    assert feito.stdout.decode().splitlines()[-1] == "1 passed, 2 failed, 2 skipped"
