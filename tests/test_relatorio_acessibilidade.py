"""O relatório de acessibilidade: as páginas que entram, o servidor comprimido e o que conta como falta."""

import gzip
import urllib.request

import pytest
from livro import load

relatorio = load("ferramentas/acessibilidade.py")


def test_entram_todas_as_paginas_menos_a_que_redireciona(tmp_path):
    for nome in ("index.html", "book/intro.html", "notebooks/01.html", "_static/webpack-macros.html"):
        (tmp_path / nome).parent.mkdir(exist_ok=True)
        (tmp_path / nome).write_text("<p>oi</p>")
    assert relatorio.paginas_do_site(tmp_path) == ["book/intro.html", "notebooks/01.html"]


def test_serve_comprimido_a_quem_aceita(tmp_path):
    texto = "<p>" + "repetido " * 500
    (tmp_path / "a.html").write_text(texto)
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    with relatorio.servido(tmp_path) as endereco:
        pedido = urllib.request.Request(f"{endereco}/a.html", headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(pedido) as resposta:
            corpo = resposta.read()
            assert resposta.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(corpo).decode() == texto
        assert len(corpo) < len(texto) / 10
        with urllib.request.urlopen(f"{endereco}/a.html") as resposta:
            assert resposta.read().decode() == texto
        with urllib.request.urlopen(f"{endereco}/b.png") as resposta:
            assert resposta.read() == b"\x89PNG"


def test_falta_o_que_nao_atinge_a_meta():
    axe = [
        {"pagina": "a.html", "largura": 390, "esquema": "dark", "violacoes": {"image-alt": 2}},
        {"pagina": "b.html", "largura": 390, "esquema": "dark", "violacoes": {}},
    ]
    lighthouse = [
        {"pagina": "a.html", "accessibility": 100, "performance": 90, "vezes": 1},
        {"pagina": "b.html", "accessibility": 99, "performance": 89, "vezes": 1},
    ]
    assert relatorio.queixas(axe, lighthouse) == [
        "axe: a.html (390 px, dark): {'image-alt': 2}",
        "lighthouse: b.html: accessibility 99, e a meta é 100",
        "lighthouse: b.html: performance 89, e a meta é 90",
    ]


def test_sem_node_diz_o_que_instalar(monkeypatch):
    monkeypatch.setattr(relatorio.shutil, "which", lambda nome: None)
    with pytest.raises(relatorio.ErroDeUso, match=r"precisa do Node\.js"):
        relatorio.instalar_lighthouse()
