"""Páginas do site: que scripts cada uma carrega, o botão de relatar problemas e a porta de entrada `index.html`."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinxcontrib import mermaid

# Os módulos que o html-manager traz dentro de si, e que procuram as fontes dos ícones ao lado do próprio endereço.
WIDGETS = "@jupyter-widgets"
WIDGET_MODULES = ("base", "base7", "controls", "controls7", "html-manager", "html-manager/dist/libembed-amd")

INDEX_PAGE = """<!doctype html>
<html lang="pt-BR">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={target}">
<link rel="canonical" href="{target}">
<title>{title}</title>
</head>
<body><h1>{title}</h1><p><a href="{target}">Abrir o livro</a></p></body>
</html>
"""


def disconnect(app: Sphinx, handler: Callable[..., None]) -> None:
    """Desliga de `html-page-context` uma função de outra extensão."""
    for listener in app.events.listeners["html-page-context"]:
        if listener.handler is handler:
            app.disconnect(listener.id)
            return
    raise ExtensionError(f"não achei {handler.__module__}.{handler.__name__} para desligar: a versão mudou?")


def add_mermaid(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Liga o Mermaid só nas páginas com diagramas; o script dele vem depois, se o leitor chegar perto de um."""
    if doctree is not None and any(doctree.findall(mermaid.mermaid)):
        app.add_js_file("diagramas.js", defer="defer")


def add_widgets(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Ajusta os controles só nas páginas que os têm, antes que o html-manager os desenhe.

    O RequireJS lê de `window.require`, ao nascer, onde moram os módulos: deste lugar o html-manager tira o das fontes.
    """
    if doctree is None or not NbMetadataCollector.get_js_files(app.env, pagename):
        return
    vendor = context["pathto"]("vendor/", 1)
    paths = {f"{WIDGETS}/{name}": f"{WIDGETS}/html-manager/dist/{Path(name).name}" for name in WIDGET_MODULES}
    settings = {"baseUrl": vendor, "paths": paths}
    app.add_js_file(None, body=f"window.require = {json.dumps(settings)};", priority=400)
    app.add_js_file("controles.js", priority=600, defer="defer")


def defer_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Nenhum script segura o desenho da página: rodam depois dela, na mesma ordem.

    Ficam de fora o das opções, de poucos bytes, em que os trechos escritos na própria página mexem ao ser lidos, e a
    página de busca, cujos scripts contam com os outros já lidos.
    """
    if templatename == "search.html":
        return
    write_tag = context["js_tag"]

    def deferred(script: Any) -> str:
        tag = write_tag(script)
        waits = "src=" not in tag or any(part in tag for part in ("documentation_options.js", "async=", "defer="))
        return tag if waits else tag.replace("<script ", '<script defer="defer" ', 1)

    context["js_tag"] = deferred


def invite_reports(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """O tema abre um relato já escrito em inglês: aqui ele nasce em português, e há um convite no rodapé da página."""
    title = quote(f"Problema na página {pagename}")
    body = quote("Conte o que está errado e o que você esperava encontrar.")
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("label") == "source-issues-button":
                address = button["url"].partition("?")[0]
                button["url"] = f"{address}?title={title}&body={body}"
                link = f'<a href="{html.escape(button["url"])}">Achou um erro nesta página? Conte para nós.</a>'
                context["theme_extra_footer"] = f"<p>{link}</p>{context.get('theme_extra_footer', '')}"


def write_index(app: Sphinx, exception: Exception | None) -> None:
    """Grava o `index.html`, que leva à primeira página do livro (o Jupyter Book gravaria um sem língua nem título)."""
    if exception is None and app.builder.format == "html":
        target = app.builder.get_target_uri(app.config.root_doc)
        page = INDEX_PAGE.format(target=target, title=html.escape(app.config.html_title))
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Liga a extensão aos eventos do Sphinx."""
    app.setup_extension("sphinxcontrib.mermaid")
    disconnect(app, mermaid.install_js)
    app.connect("html-page-context", add_mermaid)
    app.connect("html-page-context", add_widgets)
    app.connect("html-page-context", invite_reports, priority=900)
    app.connect("html-page-context", defer_scripts, priority=900)
    app.connect("build-finished", write_index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
