"""O site sem o que o tema copia e nenhuma página usa: menos a baixar, num laboratório ou num pendrive."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

# Dentro de `_static`. Só o que serve a quem depura o tema, ou que o livro troca por outra coisa.
UNUSED = (
    "**/*.map",
    "scripts/fontawesome.js*",  # o layout do livro não o carrega: os ícones vêm da fonte
    "vendor/fontawesome/webfonts/*.ttf",  # a mesma fonte em woff2 está ao lado, e todo navegador de hoje a lê
    "locales/**/*.*",  # os textos do tema já foram traduzidos ao escrever as páginas
)


def remove_unused(static: Path) -> None:
    """Apaga de `static` os arquivos de `UNUSED` e as pastas que ficaram vazias."""
    for pattern in UNUSED:
        for path in static.glob(pattern):
            path.unlink()
    for folder in sorted((p for p in static.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def slim(app: Sphinx, exception: Exception | None) -> None:
    """Emagrece o site depois de escrito."""
    if exception is None and app.builder.format == "html":
        remove_unused(Path(app.outdir) / "_static")


def setup(app: Sphinx) -> dict[str, bool]:
    """Liga a extensão ao fim do build."""
    app.connect("build-finished", slim)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
