"""O primeiro uso de cada termo do glossário, em cada capítulo, leva à definição dele.

Só no texto corrido: títulos, código, tabelas, exercícios e o que já é ligação ficam como estão.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

PAGES = ("notebooks/", "book/mini_pt", "book/experimente")
# Palavras que a língua usa em outros sentidos: as páginas as ligam à mão, com {term}, onde é do termo que falam.
COMMON = {"contexto", "juiz", "passo", "posto", "recusa", "semente", "época"}
PREPOSITIONS = {"com", "como", "da", "de", "do", "em", "no", "por"}
RUNNING_TEXT = (nodes.section, nodes.bullet_list, nodes.enumerated_list, nodes.list_item, nodes.block_quote)
INLINE = (nodes.paragraph, nodes.strong, nodes.emphasis)


def plural(term: str) -> str:
    """O plural regular: flexiona as palavras até a primeira preposição."""
    words = term.split(" ")
    last = next((i for i, word in enumerate(words) if word in PREPOSITIONS), len(words))
    return " ".join([*(_plural_word(word) for word in words[:last]), *words[last:]])


def _plural_word(word: str) -> str:
    for ending, replacement in (("ão", "ões"), ("m", "ns"), ("el", "eis"), ("al", "ais"), ("r", "res"), ("s", "s")):
        if word.endswith(ending):
            return word.removesuffix(ending) + replacement
    return word + "s"


def pattern_for(terms: Iterable[str]) -> tuple[re.Pattern[str], dict[str, str]]:
    """A expressão que acha qualquer dos termos, o mais comprido primeiro, e de que termo é cada forma.

    Com maiúscula o termo é nome ou sigla, e só vale escrito igual; sem ela, vale também no começo de frase.
    """
    forms: dict[str, str] = {}
    for term in terms:
        for form in (term, plural(term)):
            forms.setdefault(form, term)
            if form == form.lower():
                forms.setdefault(form[0].upper() + form[1:], term)
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])"), forms


class LinkFirstUses(SphinxPostTransform):
    """Põe as ligações antes de o Sphinx as resolver, quando o glossário já foi lido."""

    default_priority = 5

    def run(self, **kwargs: object) -> None:
        """Percorre o texto da página, do começo ao fim."""
        if not self.env.docname.startswith(PAGES):
            return
        objects = self.env.get_domain("std").objects
        terms = {name for kind, name in objects if kind == "term" and name not in COMMON}
        done = {node["reftarget"] for node in self.document.findall(addnodes.pending_xref) if node["reftype"] == "term"}
        pattern, forms = pattern_for(terms)
        for text in list(self._running_text()):
            pieces, position = [], 0
            for match in pattern.finditer(text):
                term = forms[match.group()]
                if term not in done:
                    done.add(term)
                    pieces += [nodes.Text(text[position : match.start()]), self._link(term, match.group())]
                    position = match.end()
            if pieces:
                text.parent.replace(text, [*pieces, nodes.Text(text[position:])])

    def _running_text(self) -> Iterator[nodes.Text]:
        for paragraph in self.document.findall(nodes.paragraph):
            parent = paragraph.parent
            while isinstance(parent, RUNNING_TEXT):
                parent = parent.parent
            if parent is self.document:
                yield from (text for text in paragraph.findall(nodes.Text) if isinstance(text.parent, INLINE))

    def _link(self, term: str, shown: str) -> nodes.Node:
        options = {"refdomain": "std", "reftype": "term", "reftarget": term, "refexplicit": True, "refwarn": True}
        return addnodes.pending_xref(
            "", nodes.inline(shown, shown, classes=["termo"]), refdoc=self.env.docname, **options
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Liga a extensão ao Sphinx."""
    app.add_post_transform(LinkFirstUses)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
