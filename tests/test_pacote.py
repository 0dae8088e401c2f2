"""O livro num zip: tudo dentro, o mesmo a cada vez, e o módulo que se instala de verdade."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from livro import ROOT, load

pacote = load("ferramentas/pacote.py")


@pytest.fixture
def saida(tmp_path, monkeypatch) -> Path:
    """Uma pasta de saída com um site de mentira, e nenhum corpus baixado."""
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").write_text("<h1>Início</h1>", encoding="utf-8")
    monkeypatch.setattr(pacote, "SAIDA", tmp_path)
    monkeypatch.setenv("LLMDEFINITIONS_ESPELHO", "")  # para que, no fim, ela volte a ser o que era
    monkeypatch.delenv("LLMDEFINITIONS_ESPELHO")
    monkeypatch.setenv("LLMDEFINITIONS_CACHE", str(tmp_path / "vazia"))
    return tmp_path


def zip_de(saida: Path) -> Path:
    (achado,) = saida.glob("*.zip")
    return achado


@pytest.mark.lento
def test_tudo_dentro(saida, capsys):
    assert pacote.principal([]) == 0
    with zipfile.ZipFile(zip_de(saida)) as arquivo:
        assert arquivo.testzip() is None
        conteudo = {nome: arquivo.read(nome) for nome in arquivo.namelist()}
    raiz = f"llms-na-pratica-{pacote.versao()}"
    assert {n.split("/")[0] for n in conteudo} == {raiz}
    dentro = {n.removeprefix(f"{raiz}/") for n in conteudo}
    cadernos = {f"cadernos/{c.name}" for c in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    assert {"abrir.html", "LEIA-ME.txt", "LICENSE", "LICENSE-TEXTO.md", "site/index.html"} | cadernos <= dentro
    assert 'href="site/index.html"' in conteudo[f"{raiz}/abrir.html"].decode()
    assert "nenhum nesta cópia" in conteudo[f"{raiz}/LEIA-ME.txt"].decode()
    assert "Sem o corpus machado" in capsys.readouterr().out
    assert sorted(p.name for p in saida.iterdir()) == ["html", f"{raiz}.zip"]

    zipfile.ZipFile(zip_de(saida)).extractall(saida / "aula")
    (wheel,) = (saida / "aula" / raiz / "modulo").glob("*.whl")
    assert wheel.name in conteudo[f"{raiz}/LEIA-ME.txt"].decode()
    alvo = saida / "instalado"
    instalar = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(alvo)]
    subprocess.run([*instalar, str(wheel)], check=True)
    original, instalado = (p / "llmdefinitions" / "assets" / "mini-pt" for p in (ROOT, alvo))
    assert {p.name: p.read_bytes() for p in instalado.iterdir()} == {p.name: p.read_bytes() for p in original.iterdir()}


def test_corpora_do_espelho_entram_conferidos(espelho, saida, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_ESPELHO", str(espelho))
    assert pacote.copiar_corpora(saida / "dados", baixar=False) == ["the-verdict", "machado"]
    for nome in ("the-verdict.txt", "machado/html_a-cartomante_2.html.txt"):
        assert (saida / "dados" / nome).read_bytes() == (espelho / nome).read_bytes()
    # E a pasta serve de espelho a quem a recebe.
    monkeypatch.setenv("LLMDEFINITIONS_ESPELHO", str(saida / "dados"))
    assert pacote.copiar_corpora(saida / "outra", baixar=False) == ["the-verdict", "machado"]


def test_sem_site_nao_ha_o_que_juntar(saida, capsys):
    (saida / "html" / "index.html").unlink()
    assert pacote.principal([]) == 1
    assert "make livro" in capsys.readouterr().err
    assert not list(saida.glob("*.zip"))


def test_a_mesma_pasta_da_os_mesmos_bytes(tmp_path):
    zips = []
    for ordem in (("b.txt", "a.txt"), ("a.txt", "b.txt")):
        pasta = tmp_path / str(len(zips)) / "livro"
        (pasta / "sub").mkdir(parents=True)
        for nome in ordem:
            (pasta / "sub" / nome).write_text(nome)
        pacote.comprimir(pasta, pasta.with_suffix(".zip"))
        zips.append(pasta.with_suffix(".zip").read_bytes())
    assert zips[0] == zips[1]


def test_disco_cheio_nao_deixa_zip_pela_metade(tmp_path, monkeypatch):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.txt").write_text("a")

    def cheio(*_):
        raise OSError("disco cheio")

    monkeypatch.setattr(pacote.os, "replace", cheio)
    with pytest.raises(OSError, match="disco cheio"):
        pacote.comprimir(tmp_path / "p", tmp_path / "p.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["p"]
