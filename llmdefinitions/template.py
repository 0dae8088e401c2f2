"""Moldes de texto da gramática: de `"{O x} caiu [e1=l.cantos]{e1}."` à lista de operações que `grammar` percorre.

Colchetes escolhem e chaves escrevem:

- `[regra]` expande uma regra; `[x.campo]` expande o molde guardado no verbete de `x`;
- `[x=classe]` sorteia um verbete para `x`; `[x=y.campo]`, na classe de `y`; `[x=classe-y-z]`, sem os de `y` e `z`;
- `{x}` e `{x.campo}` escrevem; `{do x}` escreve o determinante e o nome; `{a~x}` concorda o adjetivo `a` com `x`;
- `{x|m|f}` concorda com `x`; `{x+y|m|f}` só usa o feminino se todos forem; `{x#singular|plural}` concorda em número.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

FORMS = {"m": 0, "f": 1, "mp": 2, "fp": 3}
LITERAL, WRITE, RULE, BIND, INLINE = range(5)
_TAG = re.compile(r"\[([^\]]*)\]|\{([^}]*)\}")


class Entry:
    """Verbete do léxico: campos, forma (índice em `m, f, mp, fp`), formas de adjetivo (`"bom/boa"`) e peso inteiro."""

    __slots__ = ("fields", "form", "forms", "weight")

    def __init__(self, raw: str | Mapping, fields: Mapping[str, object]) -> None:
        data = {"t": raw} if isinstance(raw, str) else raw
        self.fields = {**fields, "t": data["t"]}
        self.form = FORMS[data.get("g", "m")]
        parts = data["t"].split("/")
        self.forms = parts * 2 if len(parts) == 1 else parts
        self.weight = data.get("p", 1)


Env = Mapping[str, Entry]


def compile_template(template: str, determiners: Mapping[str, Sequence[str]]) -> list[tuple[int, object]]:
    """Molde → operações `(tipo, argumento)`.

    `LITERAL` traz o texto; `WRITE`, uma função `env → str`; `RULE`, o nome da regra; `BIND`, `(variável, fonte,
    evitadas)`; `INLINE`, `(variável, campo)`. Erros: `ValueError` se o determinante não existe.
    """
    ops: list[tuple[int, object]] = []
    end = 0
    for tag in _TAG.finditer(template):
        if tag.start() > end:
            ops.append((LITERAL, template[end : tag.start()]))
        ops.append(_choose(tag[1]) if tag[1] is not None else (WRITE, _write(tag[2], determiners)))
        end = tag.end()
    if end < len(template):
        ops.append((LITERAL, template[end:]))
    return ops


def _choose(tag: str) -> tuple[int, object]:
    if "=" in tag:
        var, _, source = tag.partition("=")
        name, *avoid = source.split("-")
        return BIND, (var, tuple(name.split(".")), tuple(avoid))
    return (INLINE, tuple(tag.split("."))) if "." in tag else (RULE, tag)


def _write(tag: str, determiners: Mapping[str, Sequence[str]]) -> Callable[[Env], str]:
    if "#" in tag:
        name, _, forms = tag.partition("#")
        singular, _, plural = forms.partition("|")
        by_form = (singular, singular, plural, plural)
        return lambda env: by_form[env[name].form]
    if "|" in tag:
        names, *gendered = tag.split("|")
        first, *others = names.split("+")
        if not others:
            return lambda env: gendered[env[first].form]
        # Em grupo misto o português usa o masculino: feminino só se todos os índices forem ímpares.
        return lambda env: gendered[env[first].form % 2 and all(env[n].form % 2 for n in others)]
    if "~" in tag:
        adjective, _, noun = tag.partition("~")
        return lambda env: env[adjective].forms[env[noun].form]
    if " " in tag:
        determiner, _, name = tag.partition(" ")
        if determiner.lower() not in determiners:
            raise ValueError(
                f"determinante {determiner!r} não existe em {{{tag}}}: declare-o em `determinantes` "
                f"(há {', '.join(determiners)})"
            )
        forms = determiners[determiner.lower()]
        spaced = [(f if determiner.islower() else f.capitalize()) + " " for f in forms]
        return lambda env: spaced[env[name].form] + env[name].fields["t"]
    name, _, field = tag.partition(".")
    field = field or "t"
    return lambda env: env[name].fields[field]
