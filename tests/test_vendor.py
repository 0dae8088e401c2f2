"""O JavaScript de terceiros: só entra o que tem o sha512 esperado, inteiro, e só o que foi pedido."""

import io
import sys
import tarfile
from pathlib import Path

import pytest
from livro import load

vendor = load("ferramentas/vendor.py")


def make_tarball(path: Path, files: dict[str, bytes]) -> Path:
    """Um pacote como os do npm: tudo sob `package/`."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


FILES = {"dist/a.js": b"a()", "fontes/x.woff": b"x", "fontes/sub/y.woff": b"y", "outro.js": b"nao"}
WANTED = {"dist/a.js": "a.js", "fontes/": "letras/"}


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Um "npm" que copia um pacote local para a pasta pedida, e o pacote que o descreve."""
    tarball = make_tarball(tmp_path / "pacote-1.0.0.tgz", FILES)
    fake = tmp_path / "npm.py"
    fake.write_text(
        "import shutil, sys\n"
        "assert sys.argv[1:3] == ['pack', 'pacote@1.0.0'], sys.argv\n"
        "folder = sys.argv[sys.argv.index('--pack-destination') + 1]\n"
        f"shutil.copy({str(tarball)!r}, folder)\n"
    )
    package = vendor.Package("pacote", "1.0.0", vendor.integrity_of(tarball), WANTED)
    monkeypatch.setattr(vendor, "PACKAGES", (package,))
    monkeypatch.setattr(vendor, "npm_command", lambda: [sys.executable, str(fake)])
    return tarball


def test_instala_so_o_pedido_e_sabe_que_terminou(registry, tmp_path, capsys):
    folder = tmp_path / "projeto" / "_extra" / "vendor"
    folder.parents[1].mkdir()
    assert not vendor.is_complete(folder)
    vendor.install(folder)
    assert set(vendor.file_hashes(folder)) == {"a.js", "letras/x.woff", "letras/sub/y.woff"}
    assert vendor.is_complete(folder)
    # Nada temporário sobra.
    assert list((tmp_path / "projeto" / "_build").iterdir()) == []


def test_arquivo_mexido_ou_a_mais_refaz_a_pasta(registry, tmp_path):
    folder = tmp_path / "_extra" / "vendor"
    vendor.install(folder)
    (folder / "a.js").write_bytes(b"outro()")
    assert not vendor.is_complete(folder)
    vendor.install(folder)
    assert (folder / "a.js").read_bytes() == b"a()"
    (folder / "intruso.js").write_bytes(b"")
    assert not vendor.is_complete(folder)


def test_versao_nova_refaz_a_pasta(registry, tmp_path, monkeypatch):
    folder = tmp_path / "_extra" / "vendor"
    vendor.install(folder)
    newer = vendor.Package("pacote", "1.0.1", vendor.PACKAGES[0].integrity, WANTED)
    monkeypatch.setattr(vendor, "PACKAGES", (newer,))
    assert not vendor.is_complete(folder)


def test_bytes_errados_nao_entram(registry, tmp_path):
    folder = tmp_path / "_extra" / "vendor"
    vendor.install(folder)
    make_tarball(registry, {**FILES, "dist/a.js": b"mau()"})
    with pytest.raises(vendor.VendorError, match="o esperado é sha512-"):
        vendor.install(folder)
    # A pasta boa de antes continua inteira.
    assert vendor.is_complete(folder)


def test_arquivo_pedido_que_nao_existe(registry, tmp_path, monkeypatch):
    wrong = vendor.Package("pacote", "1.0.0", vendor.PACKAGES[0].integrity, {"dist/b.js": "b.js"})
    monkeypatch.setattr(vendor, "PACKAGES", (wrong,))
    with pytest.raises(vendor.VendorError, match=r"não tem dist/b\.js"):
        vendor.install(tmp_path / "_extra" / "vendor")
    assert not (tmp_path / "_extra" / "vendor").exists()


def test_sem_rede_diz_o_que_fazer(registry, tmp_path, monkeypatch, capsys):
    failing = [sys.executable, "-c", "import sys; sys.exit('npm error network ENOTFOUND')"]
    monkeypatch.setattr(vendor, "npm_command", lambda: failing)
    monkeypatch.setattr(vendor, "VENDOR", tmp_path / "_extra" / "vendor")
    monkeypatch.setattr(vendor, "is_complete", lambda: False)
    monkeypatch.setattr(vendor.install, "__defaults__", (tmp_path / "_extra" / "vendor",))
    assert vendor.main() == 1
    message = capsys.readouterr().err
    assert "ENOTFOUND" in message
    assert "Confira a conexão com a internet" in message
    assert not (tmp_path / "_extra" / "vendor").exists()
