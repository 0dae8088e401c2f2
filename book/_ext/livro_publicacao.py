"""O que o site mostra fora das páginas: o cartão de quem compartilha um link e a página de endereço inexistente."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx

CARD = "_static/cartao.png"
#: Tamanho do cartão que as redes mostram inteiro, em pixels.
CARD_SIZE = (1200, 630)
DESCRIPTION_LENGTH = 200
NOT_FOUND = """<!doctype html>
<html lang="pt-BR">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Página não encontrada — {title}</title>
<style>
body {{ background: #fff; color: #14181e; font-family: system-ui, sans-serif; line-height: 1.6; }}
main {{ margin: 15vh auto; max-width: 34rem; padding: 0 1.25rem; }}
a {{ color: #0f5fa8; }}
@media (prefers-color-scheme: dark) {{
body {{ background: #14181e; color: #e8eaed; }}
a {{ color: #8ab8ff; }}
}}
</style>
</head>
<body>
<main>
<h1>Página não encontrada</h1>
<p>O endereço não existe, ou a página mudou de nome.</p>
<p><a href="{home}">Ir para o começo do livro</a>, ou <a href="{search}">buscar</a> o que você procurava.</p>
</main>
</body>
</html>
"""


def site_address(repository: str) -> str:
    """Endereço do site no GitHub Pages, a partir do endereço do repositório."""
    owner, _, name = urlsplit(repository).path.strip("/").partition("/")
    own = f"{owner.lower()}.github.io"
    return f"https://{own}/" if name.lower() == own else f"https://{own}/{name}/"


def description(doctree: nodes.document) -> str:
    """O primeiro parágrafo da página, cortado numa palavra."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            text = " ".join(paragraph.astext().split())
            if len(text) <= DESCRIPTION_LENGTH:
                return text
            return text[:DESCRIPTION_LENGTH].rsplit(" ", 1)[0] + "…"
    return ""


def add_card(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Põe no cabeçalho o que as redes leem: título, descrição, endereço e imagem."""
    if doctree is None:
        return
    address = site_address(app.config.html_theme_options["repository_url"])
    tags = {
        "og:type": "article",
        "og:site_name": app.config.html_title,
        "og:title": app.env.titles[pagename].astext(),
        "og:locale": "pt_BR",
        "og:url": f"{address}{app.builder.get_target_uri(pagename)}",
        "og:image": f"{address}{CARD}",
        "og:image:width": str(CARD_SIZE[0]),
        "og:image:height": str(CARD_SIZE[1]),
        "og:image:alt": f"{app.config.html_title}: um GPT em português, do texto bruto à avaliação",
    }
    if about := description(doctree):
        tags["og:description"] = about
    lines = [f'<meta property="{name}" content="{html.escape(text, quote=True)}">' for name, text in tags.items()]
    lines.append('<meta name="twitter:card" content="summary_large_image">')
    context["metatags"] = context.get("metatags", "") + "\n" + "\n".join(lines)


def draw_card(path: Path, title: str) -> None:
    """Desenha o cartão: o símbolo do livro, o título e do que ele trata."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    figure = Figure(figsize=(CARD_SIZE[0] / 100, CARD_SIZE[1] / 100), dpi=100, facecolor="#1f4e79")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, CARD_SIZE[0]), ylim=(CARD_SIZE[1], 0))
    axes.axis("off")
    # O mesmo desenho de _static/logo.svg: uma máscara causal, com o token previsto em destaque.
    cells = [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)]
    for column, row in cells:
        color = "#f2a33a" if (column, row) == cells[-1] else "white"
        corner = (90 + 78 * column, 200 + 78 * row)
        axes.add_patch(FancyBboxPatch(corner, 56, 56, boxstyle="round,pad=2,rounding_size=10", color=color))
    axes.text(400, 290, title, color="white", fontsize=54, fontweight="bold", va="center")
    axes.text(402, 370, "Um GPT em português, do texto bruto à avaliação,", color="white", fontsize=21, va="center")
    axes.text(402, 412, "em cadernos que rodam no seu computador", color="white", fontsize=21, va="center")
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """Grava o cartão e a página de endereço inexistente; o GitHub Pages a serve de qualquer pasta."""
    if exception is None and app.builder.format == "html":
        title, address = app.config.html_title, site_address(app.config.html_theme_options["repository_url"])
        base = urlsplit(address).path
        home, search = base + app.builder.get_target_uri(app.config.root_doc), f"{base}search.html"
        page = NOT_FOUND.format(title=html.escape(title), home=html.escape(home), search=html.escape(search))
        (Path(app.outdir) / "404.html").write_text(page, encoding="utf-8")
        draw_card(Path(app.outdir) / CARD, title)


def setup(app: Sphinx) -> dict[str, bool]:
    """Liga a extensão aos eventos do Sphinx."""
    app.connect("html-page-context", add_card)
    app.connect("build-finished", write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
