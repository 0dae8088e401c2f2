"""O site cabe num pendrive e num celular: nada que ninguém usa, e o total no limite."""

import pytest
from livro import load

tamanho = load("book/_ext/livro_tamanho.py")
relatorio = load("ferramentas/acessibilidade.py")

#: O que uma página de texto pode custar a quem a abre pela primeira vez, comprimida e com tudo o que ela pede.
BYTES_DE_UMA_PAGINA = 600_000


def test_apaga_o_que_ninguem_usa_e_so_isso(tmp_path):
    fica = {"scripts/bootstrap.js", "vendor/fontawesome/webfonts/fa.woff2", "estilo.css"}
    sai = {
        "scripts/bootstrap.js.map",
        "scripts/fontawesome.js",
        "scripts/fontawesome.js.LICENSE.txt",
        "vendor/fontawesome/webfonts/fa.ttf",
        "locales/pt/LC_MESSAGES/tema.mo",
        "mapa.map",
    }
    for nome in fica | sai:
        (tmp_path / nome).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / nome).write_text("x")
    tamanho.remove_unused(tmp_path)
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} == fica
    assert not (tmp_path / "locales").exists()


@pytest.mark.site
def test_o_site_inteiro_cabe_em_30_mb(html):
    assert sum(p.stat().st_size for p in html.rglob("*") if p.is_file()) <= 30_000_000
    for padrao in tamanho.UNUSED:
        assert not [p for p in (html / "_static").glob(padrao) if p.is_file()], padrao


@pytest.mark.site
def test_uma_pagina_de_texto_transfere_no_maximo_600_kb(html, browser):
    paginas = [nome for nome in relatorio.paginas_do_site(html) if nome.startswith("book/")]
    assert len(paginas) >= 10
    custo = {}
    with relatorio.servido(html) as endereco:
        for nome in paginas:
            contexto = browser.new_context(viewport={"width": 390, "height": 800})
            aba = contexto.new_page()
            respostas: list = []
            aba.on("requestfinished", lambda pedido, lista=respostas: lista.append(pedido))
            aba.goto(f"{endereco}/{nome}", wait_until="networkidle")
            custo[nome] = sum(p.sizes()["responseBodySize"] for p in respostas)
            contexto.close()
    assert min(custo.values()) > 50_000, f"a conta não viu o que a página pede: {custo}"
    assert {nome: n for nome, n in custo.items() if n > BYTES_DE_UMA_PAGINA} == {}
