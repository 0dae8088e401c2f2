"""O PDF do livro: a ordem das páginas, e o que o Chromium imprime de uma página de verdade."""

from pathlib import Path

import pytest
from livro import load
from pypdf import PdfReader

pdf = load("ferramentas/pdf.py")

PAGINA = """<!doctype html><html lang="pt-BR"><meta charset="utf-8"><body><article>
<h1>{titulo}<a class="headerlink">#</a></h1><p>Começo.</p>
<h2>Primeira parte<a class="headerlink">#</a></h2><p style="break-after: page">Texto.</p>
<h3>Um pormenor<a class="headerlink">#</a></h3><p>Mais.</p><h2>Segunda parte</h2>
<details><summary>Ver</summary><p>Estava fechado.</p></details>
<section><h3>Exercício 1 (fácil): somar<a class="headerlink">#</a></h3>
<div class="cell tag_solucao tag_hide-cell"><details><summary>Mostrar</summary><p>Segredo.</p></details></div></section>
<p>Depois do exercício.</p>
<h2 style="display: none">Escondido</h2></article></body></html>"""


def test_as_paginas_vem_na_ordem_do_sumario():
    sumario = {"root": "intro", "parts": [{"chapters": [{"file": "a"}, {"file": "b"}]}, {"chapters": [{"file": "c"}]}]}
    assert pdf.paginas_do_sumario(sumario) == ["intro", "a", "b", "c"]


def arvore(itens, leitor) -> list:
    """Os marcadores como listas aninhadas de (título, folha)."""
    return [
        arvore(i, leitor) if isinstance(i, list) else (i.title, leitor.get_destination_page_number(i)) for i in itens
    ]


@pytest.mark.navegador
def test_imprime_e_junta_com_marcadores(browser, tmp_path):
    pagina = browser.new_page()
    partes = []
    for numero, titulo in enumerate(("1. Um", "2. Dois")):
        (tmp_path / f"{numero}.html").write_text(PAGINA.format(titulo=titulo), encoding="utf-8")
        partes.append(pdf.imprimir(pagina, tmp_path / f"{numero}.html", tmp_path / f"{numero}.pdf"))
    pagina.close()
    assert pdf.juntar(partes, tmp_path / "livro.pdf") == 4
    leitor = PdfReader(tmp_path / "livro.pdf")
    assert arvore(leitor.outline, leitor) == [
        marcador
        for titulo, folha in (("1. Um", 0), ("2. Dois", 2))
        for marcador in (
            (titulo, folha),
            [
                *(("Primeira parte", folha), [("Um pormenor", folha + 1)]),
                *(("Segunda parte", folha + 1), [("Exercício 1 (fácil): somar", folha + 1)]),
                *(("Soluções", folha + 1), [("Exercício 1", folha + 1)]),
            ],
        )
    ]
    texto = " ".join(folha.extract_text() for folha in leitor.pages)
    assert "Estava fechado." in texto
    assert texto.index("Depois do exercício.") < texto.index("Soluções") < texto.index("Segredo.")
    assert texto.count("Segredo.") == 2  # uma em cada parte: a solução mudou de lugar, não foi copiada
    assert "Mostrar" not in texto
    assert "Details" not in texto  # o rótulo que o Chromium põe numa caixa sem rótulo
    assert "1. Um 1/2" in " ".join(leitor.pages[0].extract_text().split())  # o rodapé
    outra = pdf.Parte("Três", [], Path(partes[0].arquivo))
    with pytest.raises(RuntimeError, match="Três: 7 marcadores para 0 títulos"):
        pdf.juntar([outra], tmp_path / "outro.pdf")
    assert not (tmp_path / "outro.pdf").exists()
