"""Instruções que se conferem por código, em português, à maneira do IFEval (Zhou et al., 2023).

"Responda em até 20 palavras", "sem vírgulas", "em JSON": se a resposta obedeceu, um programa diz, sem juiz nem dúvida.
Não diz se ela está certa. As que comparam com uma resposta conhecida (`exato`, `numero`, `sequencia`, `lista`, `json`,
`contem`) são as de :mod:`~llmdefinitions.instruction_data`, e também servem aqui.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .instruction_data import check_answer, normalize_answer
from .language import default_identifier
from .records import asset_or_path, load_distinct

_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)
_NUMBERED = re.compile(r"^\s*(\d+)[.)]\s+\S", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)")
_FIELDS = {"instrucao": str, "verificadores": list, "exemplo": str}


@dataclass(frozen=True)
class Constraint:
    """Um pedido verificável: o tipo, um de :data:`CHECKS`, e os parâmetros dele."""

    kind: str
    parameters: Mapping[str, Any]

    def satisfied(self, answer: str) -> bool:
        """Se a resposta obedece ao pedido."""
        return check(self.kind, answer, **self.parameters)


@dataclass(frozen=True)
class VerifiablePrompt:
    """Uma instrução com os pedidos que ela traz, e uma resposta que obedece a todos."""

    instruction: str
    constraints: tuple[Constraint, ...]
    example: str


def check(kind: str, answer: str, **parameters: Any) -> bool:
    """Se `answer` obedece ao pedido `kind`; os parâmetros de cada um estão em :data:`CHECKS`. Vazia, nunca obedece.

    Erros:
        ValueError: tipo desconhecido, ou parâmetros que não são os dele.
    """
    if kind not in CHECKS:
        raise ValueError(f"verificador {kind!r}: esperado um de {', '.join(sorted(CHECKS))}.")
    try:
        return bool(answer.strip()) and bool(CHECKS[kind](answer.strip(), **parameters))
    except TypeError as error:
        raise ValueError(f"verificador {kind!r} com {parameters}: {error}.") from error


def loose(answer: str) -> list[str]:
    """As leituras tolerantes de uma resposta, do IFEval: sem a primeira linha, sem a última, sem asteriscos."""
    lines = answer.strip().split("\n")
    cuts = ["\n".join(part).strip() for part in (lines, lines[1:], lines[:-1], lines[1:-1])]
    return [text for cut in cuts for text in (cut, cut.replace("*", ""))]


def follows(prompt: VerifiablePrompt, answer: str, *, strict: bool = True) -> list[bool]:
    """Para cada pedido do prompt, se a resposta obedece; `strict=False` aceita qualquer leitura de :func:`loose`."""
    readings = [answer] if strict else loose(answer)
    return [any(constraint.satisfied(text) for text in readings) for constraint in prompt.constraints]


@cache
def load_prompts(path: str | Path | None = None) -> tuple[VerifiablePrompt, ...]:
    """As instruções do livro (`assets/ifeval-pt.json`, CC BY 4.0), ou as de `path`.

    Erros:
        ValueError: registro malformado ou repetido, verificador que não se entende, ou exemplo que não obedece.
    """
    file = asset_or_path("ifeval-pt.json", path)
    return load_distinct(file, "instrucoes", _FIELDS, _build, _problem, lambda prompt: prompt.instruction)


def _build(instruction: str, constraints: list[dict[str, Any]], example: str) -> VerifiablePrompt:
    found = tuple(Constraint(c.get("tipo", ""), {k: v for k, v in c.items() if k != "tipo"}) for c in constraints)
    return VerifiablePrompt(instruction, found, example)


def _problem(prompt: VerifiablePrompt) -> str:
    try:
        obeyed = follows(prompt, prompt.example)
    except ValueError as error:
        return str(error)
    if not prompt.constraints or not all(obeyed):
        return f"o exemplo não obedece a {[c.kind for c, ok in zip(prompt.constraints, obeyed, strict=True) if not ok]}"
    return ""


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:-\w+)*", text)


def _has(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", text.casefold()) is not None


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n\s*\n", text) if part.strip()]


def _is_json(text: str, keys: Sequence[str] = ()) -> bool:
    fenced = re.fullmatch(r"```(?:json)?\s*\n(.*)\n```", text, re.DOTALL)
    try:
        value = json.loads(fenced[1] if fenced else text)
    except ValueError:
        return False
    return isinstance(value, dict | list) and (not keys or (isinstance(value, dict) and set(keys) <= set(value)))


def _numbered(text: str, n: int) -> bool:
    return [int(m[1]) for m in _NUMBERED.finditer(text)] == list(range(1, n + 1))


def _acrostic(text: str, word: str) -> bool:
    initials = [line.strip()[0] for line in text.splitlines() if line.strip()]
    return "".join(initials).casefold() == word.casefold()


def _known(kind: str) -> Callable[..., bool]:
    return lambda text, **parameters: check_answer({"verificador": {"tipo": kind, **parameters}}, text)


#: Cada pedido, pelo nome. O primeiro argumento é a resposta; os outros são os parâmetros do pedido.
CHECKS: dict[str, Callable[..., bool]] = {
    "min_palavras": lambda text, n: len(_words(text)) >= n,
    "max_palavras": lambda text, n: len(_words(text)) <= n,
    "n_palavras": lambda text, n: len(_words(text)) == n,
    "max_caracteres": lambda text, n: len(text) <= n,
    "n_frases": lambda text, n: len(_SENTENCE_END.findall(text)) == n,
    "n_paragrafos": lambda text, n: len(_paragraphs(text)) == n,
    "n_linhas": lambda text, n: len([line for line in text.splitlines() if line.strip()]) == n,
    "palavras_obrigatorias": lambda text, palavras: all(_has(text, word) for word in palavras),
    "palavras_proibidas": lambda text, palavras: not any(_has(text, word) for word in palavras),
    "repete_palavra": lambda text, palavra, n: sum(w.casefold() == palavra.casefold() for w in _words(text)) == n,
    "letra_proibida": lambda text, letra: letra.casefold() not in text.casefold(),
    "json_valido": _is_json,
    "n_itens": lambda text, n: len(_BULLET.findall(text)) == n,
    "lista_numerada": _numbered,
    "maiusculas": lambda text: text == text.upper() and any(c.isalpha() for c in text),
    "minusculas": lambda text: text == text.lower() and any(c.isalpha() for c in text),
    "lingua": lambda text, lingua: default_identifier().identify(text) == lingua,
    "comeca_com": lambda text, texto: text.casefold().startswith(texto.casefold()),
    "termina_com": lambda text, texto: text.casefold().endswith(texto.casefold()),
    "entre_aspas": lambda text: len(text) > 2 and (text[0], text[-1]) in {('"', '"'), ("“", "”"), ("«", "»")},
    "sem_virgulas": lambda text: "," not in text,
    "sem_algarismos": lambda text: not re.search(r"\d", text),
    "titulo": lambda text: re.search(r"<<[^<>\n]*\w[^<>\n]*>>", text) is not None,
    "lacunas": lambda text, n: len(re.findall(r"\[[^\[\]\n]*\w[^\[\]\n]*\]", text)) >= n,
    "pos_escrito": lambda text: re.search(r"^\s*P\.\s?S\.:?\s*\S", text, re.MULTILINE) is not None,
    "secoes": lambda text, nome, n: len(re.findall(rf"^\W*{re.escape(nome)}\s+\d+", text, re.MULTILINE)) == n,
    "opcao": lambda text, opcoes: normalize_answer(text) in [normalize_answer(option) for option in opcoes],
    "acrostico": _acrostic,
    "pergunta": lambda text: text.endswith("?"),
    **{kind: _known(kind) for kind in ("exato", "numero", "sequencia", "lista", "json", "contem")},
}
