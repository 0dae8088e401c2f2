"""Perguntas rápidas: o HTML que a diretiva escreve, o que ela recusa, e as perguntas do livro no navegador."""

import re
import sys

import pytest
from bs4 import BeautifulSoup
from livro import ROOT, load
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

load("book/_ext/livro_perguntas.py")
sys.modules.setdefault("livro_perguntas", sys.modules["livro_teste_livro_perguntas"])

BOA = """:::{pergunta}
:certa: 2

Quanto é $1 + 1$?

- Um.

  Faltou *somar*.

- Dois.

  É isso.
:::
"""


def constroi(pasta, texto: str) -> tuple[BeautifulSoup, str]:
    """Página com o texto, e os avisos do Sphinx."""
    (pasta / "index.md").write_text(f"# Título\n\n{texto}", encoding="utf-8")
    avisos = pasta / "avisos.txt"
    opcoes = {
        "extensions": ["myst_parser", "livro_perguntas"],
        "myst_enable_extensions": ["colon_fence", "dollarmath"],
        "html_theme": "basic",
    }
    with docutils_namespace(), open(avisos, "w", encoding="utf-8") as destino:
        app = Sphinx(pasta, None, pasta / "html", pasta / "doctrees", "html", opcoes, status=None, warning=destino)
        app.build()
    pagina = (pasta / "html" / "index.html").read_text(encoding="utf-8")
    return BeautifulSoup(pagina, "html.parser"), avisos.read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:sphinx", "ignore::PendingDeprecationWarning")
def test_html_da_pergunta(tmp_path):
    pagina, avisos = constroi(tmp_path, BOA + "\n" + BOA)
    assert avisos == ""
    primeira, segunda = pagina.find_all("fieldset")
    assert "Quanto é" in primeira.legend.get_text()
    for botao, texto in zip(primeira.find_all("input"), ("Um.", "Dois."), strict=True):
        rotulo = primeira.find("label", attrs={"for": botao["id"]})
        assert (botao["type"], rotulo.get_text()) == ("radio", texto)
    errada, certa = primeira.find_all(class_="comentario")
    assert errada.get_text(" ", strip=True) == "Não é isso. Faltou somar ."
    assert errada.em.get_text() == "somar"
    assert certa.get_text(" ", strip=True) == "Certo. É isso."
    assert (errada["class"][1], certa["class"][1]) == ("errada", "certa")
    grupos = [{b["name"] for b in p.find_all("input")} for p in (primeira, segunda)]
    assert [len(g) for g in grupos] == [1, 1]
    assert grupos[0] != grupos[1]
    assert len({b["id"] for b in pagina.find_all("input", type="radio")}) == 4


@pytest.mark.parametrize(
    ("de", "para", "mensagem"),
    [
        (":certa: 2", ":certa: 3", "certa=3, com 2 opções"),
        (":certa: 2\n", "", "certa=None, com 2 opções"),
        ("  É isso.\n", "", "cada opção é um parágrafo"),
        ("Quanto é $1 + 1$?\n", "", "esperado um enunciado"),
        (BOA[BOA.index("- Um") : BOA.rindex(":::")], "Nada.\n", "esperado um enunciado"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:sphinx", "ignore::PendingDeprecationWarning")
def test_pergunta_malfeita_avisa(tmp_path, de, para, mensagem):
    assert de in BOA
    pagina, avisos = constroi(tmp_path, BOA.replace(de, para))
    assert mensagem in avisos  # no livro, um aviso derruba o build
    assert not pagina.find_all("fieldset")


def test_perguntas_do_livro_tem_uma_certa_e_comentarios_distintos():
    texto = (ROOT / "book" / "perguntas.md").read_text(encoding="utf-8")
    perguntas = re.findall(r"^:::\{pergunta\}\n:certa: (\d)\n\n(.+?)\n\n(.+?)^:::$", texto, re.MULTILINE | re.DOTALL)
    assert len(perguntas) == texto.count(":::{pergunta}") >= 15
    assert len({enunciado for _, enunciado, _ in perguntas}) == len(perguntas)
    # A certa não está sempre no mesmo lugar: nenhum deles acerta metade das perguntas.
    lugares = [certa for certa, *_ in perguntas]
    assert max(lugares.count(lugar) for lugar in set(lugares)) < len(lugares) / 2
    for _, enunciado, opcoes in perguntas:
        paragrafos = [p.strip() for p in opcoes.split("\n\n") if p.strip()]
        assert len(paragrafos) == len(set(paragrafos)), enunciado
