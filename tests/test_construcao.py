"""A construção do site: o que faz um caderno ser executado de novo, e o que derruba o build."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat.v4 as nb
import pytest
from livro import ROOT, load

execution = load("book/_ext/livro_execucao.py")
search = load("book/_ext/livro_busca.py")
vendor = load("ferramentas/vendor.py")
site = load("ferramentas/site.py")


def test_radical_igual_com_e_sem_acento():
    language = search.AccentlessPortuguese({})
    for group in (["atenção", "atencao", "Atenções"], ["níveis", "nivel", "NÍVEL"], ["gerais", "geral"]):
        assert len({language.stem(word) for word in group}) == 1, group


def test_o_nbmake_executa_com_as_variaveis_do_site():
    etapas = load("ferramentas/etapas.py")
    assert etapas.COMO_O_SITE.items() <= execution.KERNEL_ENV.items()
    assert execution.KERNEL_ENV.keys() - etapas.COMO_O_SITE.keys() == {"PYTHONHASHSEED"}  # posta em todo comando


def test_as_saidas_guardadas_levam_o_estado_dos_controles_e_so_as_celulas_iguais(tmp_path):
    execucoes = load("ferramentas/execucoes.py")
    metadados = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    original = nb.new_notebook(cells=[nb.new_code_cell("1 + 1", id="a")], metadata=metadados)
    feito = nb.new_notebook(cells=[nb.new_code_cell("1 + 1", id="a", execution_count=1)], metadata=metadados)
    feito.cells[0].outputs = [nb.new_output("stream", text="2")]
    feito.cells[0].metadata["execution"] = {"iopub.execute_input": "agora"}
    feito.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    for nome, caderno in (("original", original), ("feito", feito)):
        (tmp_path / f"{nome}.ipynb").write_text(json.dumps(caderno), encoding="utf-8")
    junto = execucoes._com_saidas(tmp_path / "original.ipynb", tmp_path / "feito.ipynb")
    assert junto.metadata.widgets == feito.metadata.widgets
    assert junto.cells[0].outputs == feito.cells[0].outputs
    assert junto.cells[0].execution_count == 1
    assert junto.cells[0].metadata == {}
    original.cells[0].source = "1 + 2"
    (tmp_path / "original.ipynb").write_text(json.dumps(original), encoding="utf-8")
    with pytest.raises(ValueError, match=r"original\.ipynb mudou depois de executado"):
        execucoes._com_saidas(tmp_path / "original.ipynb", tmp_path / "feito.ipynb")


class TestChaveDeExecucao:
    @pytest.fixture
    def project(self, tmp_path) -> Path:
        (tmp_path / "llmdefinitions" / "assets").mkdir(parents=True)
        (tmp_path / "llmdefinitions" / "model.py").write_bytes(b"A = 1\n")
        (tmp_path / "llmdefinitions" / "assets" / "dados.bin").write_bytes(b"\0\1")
        (tmp_path / "requirements.txt").write_text("torch==2.13.0\n")
        return tmp_path

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("llmdefinitions/model.py", b"A = 2\n"),
            ("llmdefinitions/assets/dados.bin", b"\0\2"),
            ("llmdefinitions/novo.py", b""),
            ("requirements.txt", b"torch==2.13.1\n"),
            ("requirements-travas.txt", b"sympy==1\n"),
        ],
    )
    def test_um_byte_muda_a_chave(self, project, name, content):
        before = execution.execution_key(project, "rapido")
        (project / name).write_bytes(content)
        assert execution.execution_key(project, "rapido") != before

    def test_modo_e_espelho_mudam_a_chave(self, project):
        keys = {execution.execution_key(project, mode, mirror) for mode in execution.MODES for mirror in (False, True)}
        assert len(keys) == 4

    def test_conteudo_trocado_entre_arquivos_muda_a_chave(self, project):
        (project / "llmdefinitions" / "data.py").write_bytes(b"B = 1\n")
        before = execution.execution_key(project, "rapido")
        (project / "llmdefinitions" / "model.py").write_bytes(b"B = 1\n")
        (project / "llmdefinitions" / "data.py").write_bytes(b"A = 1\n")
        assert execution.execution_key(project, "rapido") != before

    def test_bytecode_nao_conta(self, project):
        before = execution.execution_key(project, "rapido")
        (project / "llmdefinitions" / "__pycache__").mkdir()
        (project / "llmdefinitions" / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"x")
        assert execution.execution_key(project, "rapido") == before


@pytest.mark.lento
class TestLivroMinimo:
    """Um livro de duas páginas com a configuração, as extensões e o construtor deste."""

    @pytest.fixture
    def book(self, tmp_path) -> Path:
        for name in ("_ext", "_static", "_templates", "locale"):
            shutil.copytree(
                ROOT / "book" / name, tmp_path / "book" / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        (tmp_path / "ferramentas").mkdir()
        for name in ("_config.yml", "ferramentas/site.py", "ferramentas/vendor.py", "ferramentas/execucoes.py"):
            shutil.copy(ROOT / name, tmp_path / name)
        # O construtor só quer saber se a pasta bate com o manifesto; esta não tem arquivo nenhum, e diz isso.
        manifest = {"pacotes": vendor.expected_packages(), "arquivos": {}}
        (tmp_path / "_extra" / "vendor").mkdir(parents=True)
        (tmp_path / "_extra" / "vendor" / vendor.MANIFEST).write_text(json.dumps(manifest))
        (tmp_path / "_toc.yml").write_text(
            "format: jb-book\nroot: book/intro\nparts:\n- caption: Capítulos\n  chapters:\n  - file: notebooks/01_um\n",
            encoding="utf-8",
        )
        (tmp_path / "book" / "intro.md").write_text("# Início\n\nTexto.\n", encoding="utf-8")
        (tmp_path / "book" / "references.bib").write_text("")
        (tmp_path / "requirements.txt").write_text("")
        (tmp_path / "llmdefinitions").mkdir()
        (tmp_path / "llmdefinitions" / "__init__.py").write_text("VALUE = 'primeiro'\n")
        self.write_notebook(tmp_path, "print('valor', VALUE, os.environ['LIVRO_MODO'], os.environ['PYTHONHASHSEED'])")
        return tmp_path

    @staticmethod
    def write_notebook(book: Path, code: str) -> None:
        setup = "import os, sys\nsys.path.insert(0, '..')\nfrom llmdefinitions import VALUE\n"
        cells = [nb.new_markdown_cell("# 1. Um", id="titulo"), nb.new_code_cell(setup + code, id="codigo")]
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        (book / "notebooks").mkdir(exist_ok=True)
        path = book / "notebooks" / "01_um.ipynb"
        path.write_text(json.dumps(nb.new_notebook(cells=cells, metadata=metadata)), encoding="utf-8")

    @staticmethod
    def build(book: Path) -> subprocess.CompletedProcess:
        environment = {k: v for k, v in os.environ.items() if k not in ("LIVRO_MODO", "LLMDEFINITIONS_ESPELHO")}
        command = [sys.executable, "ferramentas/site.py"]
        return subprocess.run(
            command, cwd=book, env=environment, capture_output=True, encoding="utf-8", errors="replace", timeout=300
        )

    @staticmethod
    def page(book: Path) -> str:
        return (book / "_build" / "html" / "notebooks" / "01_um.html").read_text(encoding="utf-8")

    def test_execucao_guardada_nao_se_repete_e_so_vale_para_as_mesmas_celulas_e_o_mesmo_modulo(self, book):
        self.write_notebook(book, "print('executado por', os.environ.get('QUEM', 'site'))")
        copies = book / "notebooks" / "saida" / "executados"
        copies.mkdir(parents=True)
        shutil.copy(book / "notebooks" / "01_um.ipynb", copies)
        environment = {k: v for k, v in os.environ.items() if k not in ("LIVRO_MODO", "LLMDEFINITIONS_ESPELHO")}
        run = {"cwd": book, "env": {**environment, "QUEM": "nbmake", "PYTHONPATH": str(book)}, "check": True}
        nbmake = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(book), str(copies)]
        subprocess.run([*nbmake, "--nbmake", "--overwrite"], **run)
        stored = subprocess.run([sys.executable, "ferramentas/execucoes.py", str(copies)], **run, capture_output=True)
        assert b"guardadas para o site: 1." in stored.stdout
        assert self.build(book).returncode == 0
        assert "executado por nbmake" in self.page(book)

        code = "print('valor', VALUE, os.environ.get('QUEM', 'site'), os.environ['LIVRO_MODO'])"
        self.write_notebook(book, f"{code}; print(os.environ['PYTHONHASHSEED'], 'de semente')")
        other = self.build(book)
        assert other.returncode == 0, other.stderr
        assert "valor primeiro site rapido\n0 de semente" in self.page(book)
        built = (book / "_build" / "html" / "index.html").stat().st_mtime_ns

        again = self.build(book)
        assert again.returncode == 0
        assert "nada mudou" in again.stdout
        assert (book / "_build" / "html" / "index.html").stat().st_mtime_ns == built

        (book / "llmdefinitions" / "__init__.py").write_text("VALUE = 'segundo'\n")
        changed = self.build(book)
        assert changed.returncode == 0, changed.stderr
        assert "valor segundo site rapido" in self.page(book)
        # Só o cache da chave atual fica.
        assert len(list((book / "_build" / ".jupyter_cache").iterdir())) == 1

    def test_caderno_quebrado_derruba_o_build_duas_vezes_seguidas(self, book):
        broken = [("1 / 0", "ZeroDivisionError")] * 2 + [("import warnings; warnings.warn('cuidado')", "stderr")]
        for attempt, (code, expected) in enumerate(broken, 1):
            self.write_notebook(book, code)
            result = self.build(book)
            assert result.returncode != 0, f"tentativa {attempt}: {result.stdout}"
            assert expected in result.stderr, result.stderr
            assert not (book / "_build" / "html").exists()
        # Consertado, passa: o que derrubou o build foi o caderno.
        self.write_notebook(book, "print('consertado')")
        assert self.build(book).returncode == 0


def test_um_site_mexido_a_mao_nao_passa_por_pronto(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "HTML", tmp_path / "html")
    monkeypatch.setattr(site, "STAMP", tmp_path / "carimbo.json")
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").write_text("<p>pronto</p>")
    assert not site.is_current("entradas")  # nunca construído
    site.STAMP.write_text(json.dumps({"entradas": "entradas", "saidas": site.output_digest(site.HTML)}))
    assert site.is_current("entradas")
    assert not site.is_current("outras")
    (tmp_path / "html" / "index.html").unlink()
    assert not site.is_current("entradas")
