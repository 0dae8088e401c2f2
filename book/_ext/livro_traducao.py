"""Português em toda a interface: os textos que Sphinx, tema e extensões deixam em inglês.

As traduções moram em `book/locale/pt_BR/*.po`, um catálogo por domínio do gettext; prevalecem sobre as de fábrica.
"""

from __future__ import annotations

import gettext
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from myst_nb.sphinx_ import HideCodeCellNode, depart_HideCellInput, visit_HideCellInput
from sphinx import locale
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.writers.html5 import HTML5Translator

LOCALE_DIR = Path(__file__).parents[1] / "locale" / "pt_BR"

# Sem catálogo nem opção: trocas exatas em scripts copiados para o site, que erram se o original mudar.
COPY_MESSAGES = """const messages = {
  'pt-BR': {
    'copy': 'Copiar',
    'copy_to_clipboard': 'Copiar para a área de transferência',
    'copy_success': 'Copiado!',
    'copy_failure': 'Não foi possível copiar',
  },
"""
SCRIPT_PATCHES = {
    "copybutton.js": ("const messages = {\n", COPY_MESSAGES),
    "togglebutton.js": ('aria-label="Toggle hidden content"', 'aria-label="Mostrar ou esconder o conteúdo"'),
}
# O MyST-NB dá a toda célula escondida este nome acessível; sem ele, vale o texto visível do botão.
HIDDEN_CELL_LABEL = ' aria-label="Toggle hidden content"'


def load_catalog(path: Path) -> gettext.GNUTranslations:
    """Compila um `.po` na memória."""
    compiled = BytesIO()
    with path.open("rb") as source:
        write_mo(compiled, read_po(source, locale="pt_BR"))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def install_catalogs(app: Sphinx) -> None:
    """Põe cada catálogo do livro na frente do que já foi carregado para o mesmo domínio."""
    for path in sorted(LOCALE_DIR.glob("*.po")):
        catalog = load_catalog(path)
        key = ("general", path.stem)
        if key in locale.translators:
            catalog.add_fallback(locale.translators[key])
        locale.translators[key] = catalog
        if path.stem == "sphinx":
            app.translator = catalog  # é o que os modelos Jinja consultam


def visit_hidden_cell(self: HTML5Translator, node: HideCodeCellNode) -> None:
    """Abre uma célula escondida como o MyST-NB, sem o nome acessível em inglês."""
    start = len(self.body)
    visit_HideCellInput(self, node)
    opened = "".join(self.body[start:])
    if HIDDEN_CELL_LABEL not in opened:
        raise ExtensionError("o MyST-NB mudou o HTML das células escondidas: reveja livro_traducao.py.")
    self.body[start:] = [opened.replace(HIDDEN_CELL_LABEL, "")]


def patch_scripts(app: Sphinx, exception: Exception | None) -> None:
    """Aplica `SCRIPT_PATCHES` aos scripts do site."""
    if exception is not None or app.builder.format != "html":
        return
    for name, (original, translated) in SCRIPT_PATCHES.items():
        path = Path(app.outdir) / "_static" / name
        script = path.read_text(encoding="utf-8")
        if translated in script:
            continue
        if original not in script:
            raise ExtensionError(f"{name} não tem mais {original!r}: reveja SCRIPT_PATCHES em livro_traducao.py.")
        path.write_text(script.replace(original, translated), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Instala os catálogos antes que o tema e as outras extensões traduzam alguma coisa."""
    install_catalogs(app)
    app.add_node(HideCodeCellNode, override=True, html=(visit_hidden_cell, depart_HideCellInput))
    app.connect("build-finished", patch_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
