"""De uma página HTML ao texto que se lê nela: sem scripts, estilos, menus, rodapés nem formulários.

Quem lê o HTML é o `html.parser` da biblioteca padrão. Uma expressão regular sobre etiquetas não sabe que `<` num script
não abre etiqueta, nem onde termina um comentário.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

_NOT_READ = "head script style noscript template nav footer aside form button select textarea svg canvas iframe object"
_BLOCK = (
    "address article blockquote body br caption dd details div dl dt fieldset figcaption figure h1 h2 h3 h4 h5 h6 "
    "header hr html legend li main ol p pre section summary table tbody tfoot thead title tr ul"
)
_INLINE = (
    "a abbr audio b cite code del em font i img input ins label link meta mark picture q s small source span strike "
    "strong sub sup td th time tt u video"
)
#: Elementos cujo conteúdo não é texto para ler, ou se repete em toda página do sítio.
SKIPPED = frozenset(_NOT_READ.split())
_BLOCKS = frozenset(_BLOCK.split())
_KNOWN = SKIPPED | _BLOCKS | frozenset(_INLINE.split())
_CONTAINERS = _BLOCKS - {"br", "hr", "p"}  # br e hr não se fecham, e fechar o parágrafo é opcional
_SPACES = re.compile(r"[ \t\r\n\f]+")  # o espaço em branco do HTML: o inquebrável não se junta aos outros
_REFERENCE = re.compile(r"&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")


def html_to_text(text: str) -> str:
    """O texto visível de uma página, um bloco por linha; texto sem etiqueta alguma de HTML fica como está.

    Somem os elementos de `SKIPPED` e os comentários; referências como `&ccedil;` viram o caractere. As quebras de linha
    do código-fonte não contam, nem dentro de `<pre>`. Num texto sem etiquetas, só as referências terminadas em ponto e
    vírgula são lidas: em "?a=1&copy=2" não há símbolo de direitos autorais.
    """
    reader = _Reader()
    reader.feed(text)
    reader.close()
    if not reader.found:
        return _REFERENCE.sub(lambda match: html.unescape(match[0]), text)
    return reader.text()


class _Reader(HTMLParser):
    """Junta o texto fora dos elementos pulados; `found` diz se apareceu alguma etiqueta de HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = False
        self._open: list[str] = []  # elementos abertos desde o primeiro pulado, inclusive
        self._pieces: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found = self.found or tag in _KNOWN
        if tag == "body":
            self._open.clear()  # um <head> que ninguém fechou não esconde a página
        if tag in SKIPPED or (self._open and tag in _CONTAINERS):
            self._open.append(tag)
        elif not self._open:
            self._break(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found = self.found or tag in _KNOWN
        if not self._open:
            self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self.found = self.found or tag in _KNOWN
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        elif tag in _CONTAINERS:
            self._open.clear()  # fecha um elemento de antes do pulado: o pulado ficou por fechar
        if not self._open:
            self._break(tag)

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        # O `html.parser` levanta AssertionError com "<![x]>"; a norma do HTML manda tratar como comentário.
        return self.parse_bogus_comment(i)

    def handle_data(self, data: str) -> None:
        if not self._open:
            self._pieces.append(_SPACES.sub(" ", data))

    def text(self) -> str:
        lines = (_SPACES.sub(" ", line).strip(" ") for line in "".join(self._pieces).split("\n"))
        return "\n".join(line for line in lines if line)

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._pieces.append("\n")
        elif tag in {"td", "th"}:
            self._pieces.append(" ")
