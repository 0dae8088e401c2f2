"""O navegador dos testes: o Chromium do sistema, o site servido nesta máquina, e abas que anotam o que dá errado."""

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from livro import load
from playwright.sync_api import sync_playwright


@dataclass
class Visit:
    """O que o navegador viu numa página, numa largura."""

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    facts: dict = field(default_factory=dict)


@contextmanager
def launched_browser() -> Iterator[Any]:
    executable = load("ferramentas/navegador.py").encontrar()
    if executable is None:
        message = "não há Chromium nem Chrome: instale um (`apt install chromium`) ou defina LIVRO_CHROMIUM"
        if os.environ.get("LIVRO_NAVEGADOR") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        # Fora daqui nenhum nome se resolve: um pedido externo falha, e é contado. Interceptar custaria o cache.
        rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        launched = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", rules])
        yield launched
        launched.close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Sem uma linha por pedido na saída dos testes."""


@contextmanager
def served_folder(folder: Path) -> Iterator[str]:
    """A pasta servida em 127.0.0.1; devolve o endereço."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def open_page(browser: Any, base: str, width: int, scheme: str = "light", **options: Any) -> tuple[Any, Visit]:
    """Uma aba na largura dada e um registro do que der errado nela."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, locale="pt-BR", **options
    )
    page = context.new_page()
    visit = Visit()

    def on_request(request) -> None:
        if not request.url.startswith((base, "data:", "blob:")):
            visit.outside.append(request.url)

    page.on("request", on_request)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("console", lambda message: visit.errors.append(message.text) if message.type == "error" else None)
    page.on("requestfailed", lambda request: visit.errors.append(f"{request.url}: {request.failure}"))
    return page, visit
