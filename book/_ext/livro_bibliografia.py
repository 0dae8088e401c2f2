"""Citações e bibliografia em português: "Silva e Souza", "p. 12–20", "Relatório técnico".

O estilo padrão do pybtex escreve em inglês e passa os títulos para minúsculas ("gpt-2"); este os deixa como estão.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from docutils import nodes
from pybtex.database import Entry, Person
from pybtex.plugin import register_plugin
from pybtex.style.formatting import toplevel
from pybtex.style.formatting.unsrt import Style as EnglishStyle
from pybtex.style.formatting.unsrt import pages
from pybtex.style.names.plain import NameStyle as PlainNames
from pybtex.style.template import Node, first_of, join, names, optional, optional_field, sentence, tag
from pybtex.style.template import field as entry_field
from sphinx.application import Sphinx
from sphinxcontrib.bibtex.plugin import register_plugin as register_sphinx_plugin
from sphinxcontrib.bibtex.style.referencing import PersonStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

ENTRY_TYPES = (
    *("article", "book", "booklet", "dataset", "inbook", "incollection", "inproceedings", "manual"),
    *("mastersthesis", "misc", "online", "phdthesis", "proceedings", "software", "techreport", "unpublished"),
)
KINDS = {
    "techreport": "Relatório técnico",
    "phdthesis": "Tese de doutorado",
    "mastersthesis": "Dissertação de mestrado",
}


class PortugueseNames(PlainNames):
    """Nomes por extenso; o "and others" do BibTeX vira "outros"."""

    def format(self, person: Person, abbr: bool = False) -> Node:
        """Modelo de uma pessoa."""
        if person.last_names == ["others"]:
            return join["outros"]
        return super().format(person, abbr)


class PortugueseStyle(EnglishStyle):
    """Uma entrada da bibliografia: quem, título, onde saiu, nota e endereço; o mesmo modelo para todos os tipos."""

    default_name_style = PortugueseNames
    default_sorting_style = "author_year_title"

    def format_names(self, role: str, as_sentence: bool = True) -> Node:
        """Nomes separados por vírgula, o último por "e"."""
        formatted = names(role, sep=", ", sep2=" e ", last_sep=" e ")
        return sentence[formatted] if as_sentence else formatted

    def format_portuguese(self, entry: Entry) -> Node:
        """Modelo da entrada inteira."""
        organizers = join[self.format_names("editor", as_sentence=False), " (org.)"]
        title = entry_field("title")
        container = first_of[optional_field("journal"), optional_field("booktitle")]
        number = join["v. ", entry_field("volume"), optional[" (", entry_field("number"), ")"]]
        publisher = [optional_field(name) for name in ("publisher", "institution", "school", "howpublished")]
        where = sentence[
            KINDS.get(entry.type, ""),
            tag("em")[container],
            optional[join[entry_field("edition"), " ed."]],
            optional[number],
            optional[join["p. ", pages]],
            first_of[publisher],
            optional_field("year"),
        ]
        return toplevel[
            first_of[optional[self.format_names("author")], optional[sentence[organizers]], ""],
            sentence[title] if "journal" in entry.fields or "booktitle" in entry.fields else sentence[tag("em")[title]],
            where,
            sentence[optional_field("note")],
            self.format_web_refs(entry),
        ]


for kind in ENTRY_TYPES:
    setattr(PortugueseStyle, f"get_{kind}_template", PortugueseStyle.format_portuguese)


def portuguese_person() -> PersonStyle:
    """Nomes dentro do texto: "Silva e Souza", "Silva et al."."""
    return PersonStyle(sep2=" e ", last_sep=" e ")


@dataclass
class PortugueseReferences(AuthorYearReferenceStyle):
    """Citações no texto, por autor e ano."""

    person: PersonStyle = field(default_factory=portuguese_person)


def visit_citation(self: Any, node: nodes.citation) -> None:
    """Abre uma entrada como item de lista: o papel que o docutils lhe dá saiu do ARIA, e a lista ficaria sem itens."""
    if not isinstance(node.previous_sibling(), nodes.citation):
        self.body.append('<div role="list" class="citation-list">\n')
    self.body.append(self.starttag(node, "div", classes=[node.tagname], role="listitem"))


def depart_citation(self: Any, node: nodes.citation) -> None:
    """Fecha a entrada e, na última, a lista."""
    self.body.append("</div>\n")
    if not isinstance(node.next_node(descend=False, siblings=True), nodes.citation):
        self.body.append("</div>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Registra os dois estilos com o nome `livro`, usado em `_config.yml`, e as entradas como itens de lista."""
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    register_plugin("pybtex.style.formatting", "livro", PortugueseStyle, force=True)
    register_sphinx_plugin("sphinxcontrib.bibtex.style.referencing", "livro", PortugueseReferences, force=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
