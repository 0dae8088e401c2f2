"""O cartão de quem compartilha um link e a página de endereço inexistente, no site construído."""

import struct
from urllib.parse import urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from livro import ROOT, load

publicacao = load("book/_ext/livro_publicacao.py")


def repositorio() -> str:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]


@pytest.mark.parametrize(
    ("origem", "endereco"),
    [
        ("https://github.com/Dono/livro", "https://dono.github.io/livro/"),
        ("https://github.com/Dono/livro/", "https://dono.github.io/livro/"),
        ("https://github.com/Dono/dono.github.io", "https://dono.github.io/"),
    ],
)
def test_endereco_do_site(origem, endereco):
    assert publicacao.site_address(origem) == endereco


@pytest.mark.site
def test_toda_pagina_tem_cartao(pages, html):
    endereco = publicacao.site_address(repositorio())
    for nome, pagina in pages.items():
        if nome in ("index.html", "search.html"):
            continue
        cartao = {m["property"]: m["content"] for m in pagina.find_all("meta", property=True)}
        assert cartao["og:url"] == f"{endereco}{nome}", nome
        assert cartao["og:title"] in pagina.h1.get_text() or nome.endswith("intro.html"), nome
        assert 20 <= len(cartao["og:description"]) <= publicacao.DESCRIPTION_LENGTH + 1, nome
        assert cartao["og:image"] == f"{endereco}{publicacao.CARD}"
    desenho = (html / publicacao.CARD).read_bytes()
    assert struct.unpack(">II", desenho[16:24]) == publicacao.CARD_SIZE
    assert len(desenho) < 100_000


@pytest.mark.site
def test_endereco_que_nao_existe(html):
    pagina = BeautifulSoup((html / "404.html").read_text(encoding="utf-8"), "html.parser")
    assert pagina.html["lang"] == "pt-BR"
    assert "Página não encontrada" in pagina.h1.get_text()
    base = urlsplit(publicacao.site_address(repositorio())).path
    for link in pagina.find_all("a"):
        # Servida de qualquer pasta: só um caminho desde a raiz funciona.
        assert link["href"].startswith(base)
        assert (html / link["href"].removeprefix(base)).is_file()
    assert not pagina.find_all(["script", "link", "img"])
