"""Perguntas rápidas: a diretiva `pergunta`, que vira um grupo de botões de opção com o comentário de cada escolha.

    :::{pergunta}
    :certa: 2

    Qual é…?

    - Uma resposta.

      O comentário que aparece para quem a escolhe.

    - A resposta certa.

      Por que é ela.
    :::

Não usa JavaScript: o comentário aparece por CSS quando o botão está marcado.
"""

from __future__ import annotations

import html
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RIGHT, WRONG = "Certo.", "Não é isso."


class Question(nodes.General, nodes.Element):
    """Uma pergunta: o enunciado e as opções."""


class Statement(nodes.General, nodes.Element):
    """O enunciado."""


class Choice(nodes.General, nodes.Element):
    """Uma opção; `number` conta a partir de 1 e `right` diz se é a certa."""


class Comment(nodes.General, nodes.Element):
    """O que se diz a quem escolhe a opção."""


class QuestionDirective(SphinxDirective):
    """Enunciado, e uma lista em que cada item é uma opção seguida do comentário dela."""

    has_content = True
    option_spec = {"certa": directives.positive_int}  # noqa: RUF012 — é assim que o docutils a lê

    def run(self) -> list[nodes.Node]:
        """Monta a pergunta ou, se ela está malfeita, um erro que derruba o build."""
        parsed = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        *statement, items = parsed.children or [None]
        right = self.options.get("certa")
        if not (statement and isinstance(items, nodes.bullet_list)):
            raise self.error("pergunta: esperado um enunciado e, por fim, uma lista de opções.")
        if any(len(item.children) != 2 for item in items):
            raise self.error("pergunta: cada opção é um parágrafo, seguido de outro com o comentário.")
        if right is None or not (len(items) >= 2 and right <= len(items)):
            raise self.error(f"pergunta: certa={right}, com {len(items)} opções; esperado o número da opção certa.")
        question = Question(ident=f"pergunta-{self.env.new_serialno('pergunta') + 1}")
        question += Statement("", *statement)
        for number, item in enumerate(items, 1):
            option, comment = item.children
            choice = Choice("", *option.children, number=number, right=number == right, ident=question["ident"])
            question += choice
            question += Comment("", *comment.children, right=number == right)
        return [question]


def visit_question(self: Any, node: Question) -> None:
    """Abre o grupo."""
    self.body.append('<fieldset class="pergunta">\n')


def depart_question(self: Any, node: Question) -> None:
    """Fecha o grupo."""
    self.body.append("</fieldset>\n")


def visit_statement(self: Any, node: Statement) -> None:
    """O enunciado nomeia o grupo para o leitor de tela."""
    self.body.append("<legend>")


def depart_statement(self: Any, node: Statement) -> None:
    """Fecha o enunciado."""
    self.body.append("</legend>\n")


def visit_choice(self: Any, node: Choice) -> None:
    """Botão e rótulo de uma opção."""
    ident = html.escape(f"{node['ident']}-{node['number']}", quote=True)
    group = html.escape(node["ident"], quote=True)
    self.body.append(f'<input type="radio" name="{group}" id="{ident}"> <label for="{ident}">')


def depart_choice(self: Any, node: Choice) -> None:
    """Fecha o rótulo."""
    self.body.append("</label>\n")


def visit_comment(self: Any, node: Comment) -> None:
    """O comentário, que o CSS mostra logo abaixo do botão marcado e o leitor de tela anuncia."""
    kind, word = ("certa", RIGHT) if node["right"] else ("errada", WRONG)
    self.body.append(f'<div class="comentario {kind}" role="alert"><strong>{word}</strong> ')


def depart_comment(self: Any, node: Comment) -> None:
    """Fecha o comentário."""
    self.body.append("</div>\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Registra a diretiva e como se escreve cada parte em HTML."""
    for node, visit, depart in (
        (Question, visit_question, depart_question),
        (Statement, visit_statement, depart_statement),
        (Choice, visit_choice, depart_choice),
        (Comment, visit_comment, depart_comment),
    ):
        app.add_node(node, html=(visit, depart))
    app.add_directive("pergunta", QuestionDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
