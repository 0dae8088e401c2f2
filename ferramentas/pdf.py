"""O livro inteiro num PDF, impresso pelo Chromium do site construído: fórmulas, diagramas, sumário clicável.

Uso: python ferramentas/pdf.py [--destino _build/llms-na-pratica.pdf]

Cada página do sumário é impressa como o leitor a imprimiria, na ordem do livro, e as partes são juntadas com os
marcadores dos títulos. O rodapé traz o título da página do livro e o número dela na parte. As soluções dos exercícios,
que na tela ficam fechadas, vão para o fim do capítulo.
"""

from __future__ import annotations

import argparse
import html
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import navegador
import yaml
from ambiente import RAIZ, ErroDeUso
from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import Fit

SITE = RAIZ / "_build" / "html"
DESTINO = RAIZ / "_build" / "llms-na-pratica.pdf"
#: Tudo desenhado: as fórmulas, e os diagramas, que só se desenham quando se chega perto ou se imprime.
PRONTA = """() => document.readyState === 'complete'
  && document.querySelectorAll('article .math').length <= document.querySelectorAll('article mjx-container').length
  && [...document.querySelectorAll('pre.mermaid')].every((e) => e.querySelector('svg'))"""
#: As soluções, que na tela estão fechadas ao lado dos exercícios, vão juntas para o fim do capítulo; o resto se abre.
ABRIR = """() => { dispatchEvent(new Event('beforeprint'));
  const novo = (marca, texto) => Object.assign(document.createElement(marca), { textContent: texto });
  const solucoes = [...document.querySelectorAll('.tag_solucao')];
  if (solucoes.length) document.querySelector('article').append(novo('h2', 'Soluções'));
  solucoes.forEach((solucao) => {
    const exercicio = solucao.closest('section').querySelector('h2, h3, h4').firstChild.textContent;
    solucao.before(novo('p', 'A solução está no fim do capítulo.'));
    document.querySelector('article').append(novo('h3', exercicio.split(' (')[0]), solucao);
    solucao.querySelectorAll('summary').forEach((e) => e.remove());
    solucao.querySelectorAll('details').forEach((e) => e.replaceWith(...e.childNodes));
  });
  document.querySelectorAll('details').forEach((e) => (e.open = true)); }"""
#: Os títulos da página, menos o principal: nível e texto, na ordem. O PDF os traz, mas com letras repetidas.
TITULOS = """() => [...document.querySelectorAll('h2, h3, h4, h5, h6')].filter((e) => e.checkVisibility())
  .map((e) => [Number(e.tagName[1]), e.textContent.replace(/#$/, '').trim()])"""
RODAPE = (
    '<div style="font: 8px sans-serif; width: 100%; padding: 0 15mm; display: flex; justify-content: space-between">'
    '<span>{titulo}</span><span><span class="pageNumber"></span>/<span class="totalPages"></span></span></div>'
)


def paginas_do_sumario(sumario: dict) -> list[str]:
    """Os nomes das páginas, na ordem do livro, sem extensão."""
    return [sumario["root"], *(item["file"] for parte in sumario["parts"] for item in parte["chapters"])]


@dataclass(frozen=True)
class Parte:
    """Uma página do livro, impressa: o título dela, os internos (nível e texto) e o arquivo."""

    titulo: str
    internos: list[tuple[int, str]]
    arquivo: Path


def imprimir(pagina: Page, endereco: Path, destino: Path) -> Parte:
    """Imprime uma página do site em `destino`."""
    pagina.goto(endereco.as_uri(), wait_until="load")
    pagina.evaluate(ABRIR)
    pagina.wait_for_function(PRONTA, timeout=60_000)
    titulo = pagina.locator("article h1").first.evaluate("e => e.firstChild.textContent.trim()")
    pagina.pdf(
        path=destino,
        format="A4",
        scale=0.85,
        margin={"top": "16mm", "bottom": "18mm", "left": "15mm", "right": "15mm"},
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=RODAPE.format(titulo=html.escape(titulo)),
        outline=True,
        tagged=True,
    )
    return Parte(titulo, [(nivel, texto) for nivel, texto in pagina.evaluate(TITULOS)], destino)


def _destinos(marcadores: Sequence[Any]) -> Iterator[Any]:
    """Os destinos dos marcadores de um PDF, em ordem, sem os níveis."""
    for marcador in marcadores:
        if isinstance(marcador, list):
            yield from _destinos(marcador)
        else:
            yield marcador


def juntar(partes: Sequence[Parte], destino: Path) -> int:
    """Junta os PDFs, com um marcador por parte e os títulos dela abaixo; devolve quantas folhas há.

    Erros:
        RuntimeError: o Chromium marcou outros títulos que os da página.
    """
    saida = PdfWriter()
    saida.add_metadata({"/Title": "LLMs na Prática"})
    for parte in partes:
        leitor, primeira = PdfReader(parte.arquivo), len(saida.pages)
        saida.append(leitor, import_outline=False)
        acima = {1: saida.add_outline_item(title=parte.titulo, page_number=primeira)}
        marcados = list(_destinos(leitor.outline))
        if len(marcados) == len(parte.internos) + 1:  # conforme a página, o Chromium marca também o título principal
            del marcados[0]
        if len(marcados) != len(parte.internos):
            raise RuntimeError(f"{parte.titulo}: {len(marcados)} marcadores para {len(parte.internos)} títulos.")
        for (nivel, texto), marcado in zip(parte.internos, marcados, strict=True):
            folha = primeira + leitor.get_destination_page_number(marcado)
            mae = acima[max(n for n in acima if n < nivel)]
            lugar = Fit.xyz(marcado.left, marcado.top)
            acima = {n: item for n, item in acima.items() if n < nivel}
            acima[nivel] = saida.add_outline_item(title=texto, page_number=folha, parent=mae, fit=lugar)
    temporario = destino.with_suffix(".tmp")
    with temporario.open("wb") as arquivo:
        saida.write(arquivo)
        arquivo.flush()
        os.fsync(arquivo.fileno())
    os.replace(temporario, destino)
    return len(saida.pages)


def principal(argumentos: Sequence[str] | None = None) -> int:
    """Imprime todas as páginas e junta; 0 se o PDF foi gravado."""
    leitor = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    leitor.add_argument("--destino", type=Path, default=DESTINO)
    opcoes = leitor.parse_args(argumentos)
    if not (SITE / "index.html").is_file():
        raise ErroDeUso("O site ainda não foi construído: rode `make livro` antes.")
    chromium = navegador.encontrar()
    if chromium is None:
        raise ErroDeUso("Não achei o Chromium: rode `make navegador` antes.")
    nomes = paginas_do_sumario(yaml.safe_load((RAIZ / "_toc.yml").read_text("utf-8")))
    with tempfile.TemporaryDirectory() as pasta, sync_playwright() as playwright:
        janela = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        pagina = janela.new_page(color_scheme="light")
        partes = []
        for numero, nome in enumerate(nomes):
            partes.append(imprimir(pagina, SITE / f"{nome}.html", Path(pasta, f"{numero:02}.pdf")))
            print(f"  {partes[-1].titulo}", flush=True)
        janela.close()
        folhas = juntar(partes, opcoes.destino)
    print(f"{opcoes.destino}: {folhas} folhas, {opcoes.destino.stat().st_size / 1e6:.1f} MB.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(principal())
    except ErroDeUso as erro:
        sys.exit(str(erro))
