"""Ler a nota, ou o veredito, no que um juiz escreveu, sem adivinhar: o que é ambíguo não vira número.

Um juiz a quem se pede "só o inteiro" responde também com "85/100", "Nota: 8,5 de 10", um parágrafo, uma recusa ou a
ordem que leu no texto julgado. Um número solto no meio de uma frase pode ser qualquer coisa; por isso só contam o que
ocupa a resposta, ou a primeira linha, inteira, o que vem depois de um rótulo ("nota:") e o que traz a escala ("/100").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = r"[+\-−]?(?:[0-9]{1,3}(?:\.[0-9]{3})+(?![0-9])|[0-9]+(?:[.,][0-9]+)?)"
_SCALE = r"(?:\s*(?:/|de|out of|em|sobre)\s*(?P<scale>5|10|20|100)(?![0-9,.]?[0-9]))?"
_UNIT = r"(?:\s*(?:%|pontos?|points?))?"
_LABEL = r"(?:nota|pontuação|pontuacao|avaliação|score|rating|grade)"
_DECORATION = " \t\r\n*_`\"'“”‘’.!()[]{}#"
_WHOLE = re.compile(rf"(?P<number>{_NUMBER}){_SCALE}{_UNIT}", re.IGNORECASE)
_LABELLED = re.compile(
    rf"\b{_LABEL}(?:\s+(?:final|geral))?[*_\s>\"']*(?:[:=]|é|is|de)?[*_\s>\"'(\[]*(?P<number>{_NUMBER}){_SCALE}(?![0-9])",
    re.IGNORECASE,
)
_SCALED = re.compile(
    rf"(?<![0-9.,/])(?P<number>{_NUMBER})\s*(?:/|out of)\s*(?P<scale>5|10|20|100)(?![0-9/]|[.,][0-9])", re.IGNORECASE
)
# "Nota (0 a 100): 70": a escala anunciada não é uma nota.
_RANGE = re.compile(r"\(?\b(?:de |from )?0\s*(?:a|to|até|-|–)\s*10{1,2}\b\)?", re.IGNORECASE)
_VERDICT = re.compile(
    r"\b(?i:resposta|response|melhor|vencedora|answer|opção)\b[\s:*\"'(\[]*(?:é\s+)?(?:a\s+)?[*\"'(\[]*([AB])\b"
)
_TIES = ("empate", "tie", "c", "iguais", "ambas", "as duas são iguais")


@dataclass(frozen=True)
class Reading:
    """O que se leu: `value`, ou `None` e o motivo em `reason`."""

    value: float | None
    reason: str = ""


def parse_score(text: str, *, low: float = 0, high: float = 100) -> Reading:
    """A nota escrita em `text`, levada à escala de 0 a 100; inteira, se for inteira.

    Aceita vírgula ou ponto decimal e as escalas de 5, 10, 20 e 100 ("8,5 de 10" é 85).

    Parâmetros:
        text: a resposta crua do juiz.
        low, high: os limites de uma nota válida, inclusive.

    Devolve:
        A nota, ou `None` com o motivo: vazia, sem número, número sem rótulo, mais de uma nota, fora dos limites.

    Erros:
        ValueError: `low` maior ou igual a `high`.
    """
    if low >= high:
        raise ValueError(f"low={low}, high={high}: esperado low < high.")
    stripped = text.strip().strip(_DECORATION)
    if not stripped.strip():
        return Reading(None, "resposta vazia")
    first_line = text.strip().splitlines()[0].strip(_DECORATION)
    found = [m for m in (_WHOLE.fullmatch(stripped.strip()),) if m]
    found = found or [*_LABELLED.finditer(_RANGE.sub(" ", text))] or [m for m in (_WHOLE.fullmatch(first_line),) if m]
    found = found or [*_SCALED.finditer(text)]
    if not found:
        numbers = re.search(r"[0-9]", text)
        return Reading(None, "número sem rótulo no meio do texto" if numbers else "nenhum número na resposta")
    values = sorted({_value(match) for match in found})
    if len(values) > 1:
        return Reading(None, "mais de uma nota: " + ", ".join(f"{v:g}" for v in values))
    value = values[0]
    if not low <= value <= high:
        return Reading(None, f"nota {value:g} fora de {low:g} a {high:g}")
    return Reading(int(value) if value == int(value) else value)


def parse_verdict(text: str) -> str | None:
    """Quem venceu um duelo, segundo o juiz: "a", "b" ou "empate"; `None` se não se lê uma só coisa.

    Aceita a letra sozinha, `[[A]]`, "Resposta B", "A melhor é a B"; uma frase qualquer com um "a" não serve.
    """
    stripped = text.strip(_DECORATION + ":-").casefold()
    if stripped in ("a", "b"):
        return stripped
    if stripped in _TIES:
        return "empate"
    marked = re.findall(r"\[\[([ABCabc])\]\]", text)
    marked = marked or [m[1] for m in _VERDICT.finditer(text)]
    marked = marked or re.findall(r"^\s*[*\"'(\[]*([AB])[*\"')\].:]*\s*$", text.splitlines()[0] if text.strip() else "")
    letters = {letter.casefold() for letter in marked}
    if len(letters) != 1:
        return None
    return {"c": "empate"}.get(letter := letters.pop(), letter)


def _value(match: re.Match[str]) -> float:
    number = match["number"].replace("−", "-")
    if re.fullmatch(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+", number):
        number = number.replace(".", "")  # ponto de milhar
    scale = float(match["scale"] or 100)
    return round(float(number.replace(",", ".")) * 100 / scale, 6)
