"""`make configurar`: troca o endereço do repositório onde ele aparece, e só ele."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

RAIZ = Path(__file__).resolve().parent.parent
# No fim da lista: ferramentas/site.py não pode passar à frente do `site` da biblioteca padrão.
sys.path.append(str(RAIZ / "ferramentas"))

from ambiente import ErroDeUso  # noqa: E402
from configurar import (  # noqa: E402
    CONFIG,
    Endereco,
    arquivos_do_repositorio,
    atual,
    configurar,
    formas,
    principal,
    trocar,
    validar,
)

VELHO = Endereco("dono-velho", "livro.velho", "main")
NOVO = Endereco("Outro", "curso", "aula/2026")


def trocado(texto: str) -> str:
    return trocar(texto, VELHO, NOVO)


@pytest.mark.parametrize(
    ("antes", "depois"),
    [
        ("https://github.com/dono-velho/livro.velho", "https://github.com/Outro/curso"),
        ("(https://github.com/dono-velho/livro.velho).", "(https://github.com/Outro/curso)."),
        ("veja https://github.com/dono-velho/livro.velho.", "veja https://github.com/Outro/curso."),
        ("git clone https://github.com/dono-velho/livro.velho.git", "git clone https://github.com/Outro/curso.git"),
        ("git@github.com:dono-velho/livro.velho.git", "git@github.com:Outro/curso.git"),
        ("github.com/dono-velho/livro.velho/issues", "github.com/Outro/curso/issues"),
        (
            '"!pip install git+https://github.com/dono-velho/livro.velho@main\\n"',
            '"!pip install git+https://github.com/Outro/curso@aula/2026\\n"',
        ),
        ("github.com/dono-velho/livro.velho/blob/main/a.py", "github.com/Outro/curso/blob/aula/2026/a.py"),
        ("github.com/dono-velho/livro.velho/tree/maint", "github.com/Outro/curso/tree/maint"),
        (
            "https://colab.research.google.com/github/dono-velho/livro.velho/blob/main/notebooks/x.ipynb",
            "https://colab.research.google.com/github/Outro/curso/blob/aula/2026/notebooks/x.ipynb",
        ),
        (
            "https://mybinder.org/v2/gh/dono-velho/livro.velho/main?labpath=x.ipynb",
            "https://mybinder.org/v2/gh/Outro/curso/aula/2026?labpath=x.ipynb",
        ),
        (
            "https://raw.githubusercontent.com/dono-velho/livro.velho/main/a.png",
            "https://raw.githubusercontent.com/Outro/curso/aula/2026/a.png",
        ),
        ("https://dono-velho.github.io/livro.velho/intro.html", "https://outro.github.io/curso/intro.html"),
    ],
)
def test_troca_cada_forma_do_endereco(antes: str, depois: str) -> None:
    assert trocado(antes) == depois


@pytest.mark.parametrize(
    "alheio",
    [
        "https://github.com/dono-velho/livro.velho2",
        "https://github.com/dono-velho/livro.velho-extra",
        "https://github.com/dono-velho/livro.velho.github",
        "https://github.com/dono-velho/livroXvelho",
        "https://github.com/dono-velho",
        "https://github.com/outra/dono-velho/livro.velho",
        "https://naogithub.com/dono-velho/livro.velho",
        "https://xdono-velho.github.io/livro.velho",
        "O dono-velho escreveu o livro.velho; o ramo é main.",
    ],
)
def test_nao_mexe_em_endereco_parecido(alheio: str) -> None:
    assert trocado(alheio) == alheio


nomes = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
donos = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
enderecos = st.builds(Endereco, donos, nomes, st.sampled_from(["main", "master", "aula/2026", "v1.0"]))
MOLDES = (
    "https://github.com/{0.dono}/{0.nome}",
    "[x](https://github.com/{0.dono}/{0.nome}/blob/{0.ramo}/a.md)",
    '"https://colab.research.google.com/github/{0.dono}/{0.nome}/blob/{0.ramo}/n.ipynb"',
    "https://mybinder.org/v2/gh/{0.dono}/{0.nome}/{0.ramo}?x",
    "https://{0.dono}.github.io/{0.nome}/",
    "git+https://github.com/{0.dono}/{0.nome}@{0.ramo} texto",
)


@given(velho=enderecos, novo=enderecos, moldes=st.lists(st.sampled_from(MOLDES)))
def test_trocar_da_o_que_se_escreveria_com_o_endereco_novo(velho: Endereco, novo: Endereco, moldes: list[str]) -> None:
    texto, esperado = ("\n".join(m.format(e) for m in moldes) for e in (velho, novo))
    assert trocar(texto, velho, novo) == esperado
    assert trocar(esperado, novo, velho) == texto


@pytest.mark.parametrize(
    ("url", "ramo", "trecho"),
    [
        ("github.com/dono/nome", "main", "https://github.com/dono/nome"),
        ("http://github.com/dono/nome", "main", "https://github.com/dono/nome"),
        ("https://gitlab.com/dono/nome", "main", "endereço do GitHub"),
        ("https://github.com/dono", "main", "endereço do GitHub"),
        ("https://github.com/dono/nome/tree/main", "main", "endereço do GitHub"),
        ("https://github.com/-dono/nome", "main", "dono possível"),
        ("https://github.com/do--no/nome", "main", "dono possível"),
        (f"https://github.com/{'a' * 40}/nome", "main", "dono possível"),
        ("https://github.com/dono/no$me", "main", "nome possível"),
        ("https://github.com/dono/..", "main", "nome possível"),
        ("https://github.com/Dono/dono.github.io", "main", "página pessoal"),
        ("https://github.com/dono/nome", "ma in", "ramo aceito"),
        ("https://github.com/dono/nome", "a..b", "ramo aceito"),
        ("https://github.com/dono/nome", "/a", "ramo aceito"),
    ],
)
def test_recusa_endereco_ou_ramo_errado(url: str, ramo: str, trecho: str) -> None:
    with pytest.raises(ErroDeUso, match=re.escape(trecho)) as erro:
        validar(url, ramo)
    assert repr(url) in str(erro.value) or repr(ramo) in str(erro.value)


@pytest.mark.parametrize("fim", ["", "/", ".git", ".git/"])
def test_aceita_as_formas_que_o_github_mostra(fim: str) -> None:
    assert validar("https://github.com/Dono/no.me" + fim, "main") == Endereco("Dono", "no.me", "main")


def repositorio(pasta: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=pasta, check=True)
    return pasta


@pytest.fixture
def pequeno(tmp_path: Path) -> Path:
    (tmp_path / CONFIG).write_bytes(
        b"title: x\nrepository:\n  # a fonte\n  url: https://github.com/dono/livro\n\n  branch: main\nhtml: {}\n"
    )
    (tmp_path / "LEIA.md").write_bytes("é https://github.com/dono/livro\r\nfim".encode())
    (tmp_path / "figura.png").write_bytes(b"\x89PNG\xff https://github.com/dono/livro")
    (tmp_path / ".gitignore").write_bytes(b"ignorado.txt\n")
    (tmp_path / "ignorado.txt").write_bytes(b"https://github.com/dono/livro")
    return repositorio(tmp_path)


def test_muda_so_os_arquivos_de_texto_do_repositorio(pequeno: Path) -> None:
    novo = Endereco("eu", "meu", "trunk")
    assert configurar(novo, pequeno) == {"LEIA.md": 1, CONFIG: 2}
    assert (pequeno / "LEIA.md").read_bytes() == "é https://github.com/eu/meu\r\nfim".encode()
    assert b"dono/livro" in (pequeno / "figura.png").read_bytes()
    assert b"dono/livro" in (pequeno / "ignorado.txt").read_bytes()
    assert atual(pequeno) == novo
    assert configurar(novo, pequeno) == {}


def test_interrompida_antes_do_fim_a_troca_pode_ser_repetida(pequeno: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import configurar as modulo

    gravar = modulo.gravar_atomico

    def cai_na_config(destino: Path, conteudo: bytes) -> None:
        if destino.name == CONFIG:
            raise KeyboardInterrupt
        gravar(destino, conteudo)

    novo = Endereco("eu", "meu", "main")
    monkeypatch.setattr(modulo, "gravar_atomico", cai_na_config)
    with pytest.raises(KeyboardInterrupt):
        configurar(novo, pequeno)
    monkeypatch.undo()
    (pequeno / "LEIA.md").write_bytes(b"https://github.com/dono/livro")  # como se faltasse este
    assert set(configurar(novo, pequeno)) == {"LEIA.md", CONFIG}


def test_sem_repo_diz_o_endereco_de_hoje() -> None:
    with pytest.raises(ErroDeUso, match=re.escape(atual().url)):
        principal()
    with pytest.raises(ErroDeUso, match="make configurar REPO="):
        principal("REPOS=https://github.com/a/b")


def test_sem_git_o_erro_diz_o_que_fazer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ErroDeUso, match="clone o repositório"):
        arquivos_do_repositorio(tmp_path)


@pytest.fixture(scope="module")
def copia(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Os arquivos de texto do projeto de verdade, num repositório à parte."""
    pasta = tmp_path_factory.mktemp("projeto")
    for origem in arquivos_do_repositorio(RAIZ):
        destino = pasta / origem.relative_to(RAIZ)
        destino.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(origem, destino)
    return repositorio(pasta)


def conteudos(pasta: Path) -> dict[str, bytes]:
    return {str(c.relative_to(pasta)): c.read_bytes() for c in arquivos_do_repositorio(pasta)}


def test_ida_e_volta_no_projeto_inteiro_devolve_os_mesmos_bytes(copia: Path) -> None:
    original, antes = atual(copia), conteudos(copia)
    novo = Endereco("Turma-2026", "llms_da_turma", "aulas")
    mudados = set(configurar(novo, copia))
    assert {CONFIG, "README.md", "CITATION.cff"} <= mudados
    sobras = [
        nome for nome, bruto in conteudos(copia).items() if formas(original).search(bruto.decode("utf-8", "ignore"))
    ]
    assert sobras == []
    assert set(configurar(original, copia)) == mudados
    assert conteudos(copia) == antes


def test_os_enderecos_do_livro_sao_os_da_config() -> None:
    """Quem lê um caderno ou o README tem de chegar a este repositório, não a outro."""
    meu = atual()
    alvo = re.compile(
        r"(?:colab\.research\.google\.com/github|mybinder\.org/v2/gh|git\+https://github\.com)/([\w.-]+/[\w-]+)"
    )
    citados = {}
    for caminho in [RAIZ / "README.md", *(RAIZ / "notebooks").glob("*.ipynb"), *(RAIZ / "book").glob("*.md")]:
        for achado in alvo.finditer(caminho.read_text(encoding="utf-8")):
            citados.setdefault(achado[1], caminho.name)
    assert set(citados) == {f"{meu.dono}/{meu.nome}"}, citados


@pytest.mark.skipif(os.name == "nt", reason="bits de permissão só existem fora do Windows")
def test_preserva_a_permissao_de_execucao(pequeno: Path) -> None:
    programa = pequeno / "rodar.sh"
    programa.write_text("# https://github.com/dono/livro\n")
    programa.chmod(0o755)
    configurar(Endereco("eu", "meu", "main"), pequeno)
    assert programa.stat().st_mode & 0o777 == 0o755
