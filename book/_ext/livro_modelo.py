"""A página que executa o mini-pt no navegador: os pesos, postos no site, e as partes do painel na página que as pede.

A diretiva `{modelo-na-pagina}` recebe o nome de uma parte: `painel`, `distribuicao` e `atencao` são HTML, de
`book/_templates/experimente.html`; `medidas` é uma tabela. O que elas mostram é calculado por
`ferramentas/modelo_na_pagina.py`, em outro processo, e só é refeito quando o modelo ou o código mudam.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from jinja2 import Environment, FileSystemLoader
from livro_execucao import MODES, execution_key
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

TOOLS = ("modelo_na_pagina.py", "pesos_na_pagina.py")
HTML_PARTS, TABLE = ("painel", "distribuicao", "atencao"), "medidas"
FOLDER = "experimente"
# Cada um só usa os que vêm antes dele.
SCRIPTS = ("tokenizador.js", "pesos.js", "rede.js", "sorteio.js", "trabalhador.js", "cliente.js", "desenhos.js")
PAGE_SCRIPT, STYLE = "pagina.js", "experimente.css"
CORPORA = {"bncc": "BNCC, partes separadas", "historias": "histórias novas"}


def exported(root: Path) -> Path:
    """A pasta com os pesos e os dados da página, refeita se o modelo, o pacote ou as ferramentas mudaram."""
    # A chave das execuções de cadernos já resume o pacote, com o modelo, e as versões instaladas.
    digest = hashlib.sha256(execution_key(root, MODES[0]).encode())
    for name in TOOLS:
        digest.update((root / "ferramentas" / name).read_bytes())
    folder = root / "_build" / "modelo-na-pagina" / digest.hexdigest()[:16]
    if not (folder / "pagina.json").is_file():  # é o último a ser gravado
        shutil.rmtree(folder.parent, ignore_errors=True)
        command = [sys.executable, str(root / "ferramentas" / TOOLS[0]), str(folder)]
        result = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", errors="replace")
        if result.returncode:
            raise ExtensionError(f"ferramentas/{TOOLS[0]} falhou:\n{result.stderr}")
    return folder


def measures_table(page: dict[str, Any]) -> str:
    """A tabela, em Markdown, do que se perde ao guardar os pesos em 8 bits."""
    base, rest = page["bytes"]["base"], page["bytes"]["resto"]
    names = list(page["bits_por_byte"])
    rows = [
        ["Pesos", "Download", *(f"{CORPORA[name]} (bits por byte)" for name in names)],
        [":--", *["--:"] * (1 + len(names))],
        ["16 bits", _megabytes(base + rest), *(_decimal(page["bits_por_byte"][name]["16"], 4) for name in names)],
        ["8 bits", _megabytes(base), *(_decimal(page["bits_por_byte"][name]["8"], 4) for name in names)],
        ["Diferença", "", *(_loss(page["bits_por_byte"][name]) for name in names)],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _megabytes(size: int) -> str:
    return f"{_decimal(size / 1e6, 1)} MB"


def _loss(measured: dict[str, float]) -> str:
    return f"{_decimal(100 * (measured['8'] / measured['16'] - 1), 2, '+')}%"


def _decimal(value: float, places: int, sign: str = "") -> str:
    return f"{value:{sign}.{places}f}".replace(".", ",").replace("-", "−")


class ModelOnPage(SphinxDirective):
    """Uma parte da página do modelo."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Os nós da parte pedida."""
        part = directives.choice(self.arguments[0], (*HTML_PARTS, TABLE))
        folder = exported(Path(self.env.srcdir))
        self.env.metadata[self.env.docname]["modelo"] = str(folder)
        page = json.loads((folder / "pagina.json").read_text(encoding="utf-8"))
        if part == TABLE:
            return self.parse_text_to_nodes(measures_table(page))
        # Da página, que está um nível abaixo da raiz do site, ou na raiz.
        page["pasta"] = "../" * self.env.docname.count("/") + f"_static/{FOLDER}/"
        templates = Environment(
            loader=FileSystemLoader(Path(self.env.srcdir) / "book" / "_templates"), autoescape=True, trim_blocks=True
        )
        html = getattr(templates.get_template("experimente.html").module, part)(page)
        return [nodes.raw("", str(html), format="html")]


def add_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Carrega os scripts do modelo só na página que o usa; os pesos, só quando o leitor pede."""
    if doctree is not None and "modelo" in app.env.metadata.get(pagename, {}):
        for name in (*SCRIPTS, PAGE_SCRIPT):
            app.add_js_file(f"{FOLDER}/{name}", defer="defer")
        app.add_css_file(f"{FOLDER}/{STYLE}")


def copy_model(app: Sphinx, exception: Exception | None) -> None:
    """Põe os pesos no site, se alguma página os usa."""
    if exception is None and app.builder.format == "html":
        for folder in {found["modelo"] for found in app.env.metadata.values() if "modelo" in found}:
            target = Path(app.outdir) / "_static" / FOLDER
            shutil.copytree(folder, target, dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Registra a diretiva e liga a extensão aos eventos do Sphinx."""
    app.add_directive("modelo-na-pagina", ModelOnPage)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", copy_model)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
