"""Se uma resposta veio na forma que o pedido quer, certa ou errada: um número, uma das opções, uma lista, uma frase."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from .instruction_data import normalize_answer

_NUMBER = re.compile(r"\d[\d.,]*")
_CLOSED = ({"sim", "não"}, {"positivo", "negativo"})
#: Palavras a mais que a resposta de referência pode não ter: um artigo, um "é".
_SLACK = 1


def follows_format(entry: Mapping[str, Any], answer: str) -> bool:
    """Se a resposta tem a forma da de referência, ainda que o conteúdo esteja errado.

    O que se exige vem do verificador e da referência:

    - `json`: um objeto com os mesmos campos; `lista`: tantas linhas quantas, cada uma com a marca;
    - nas demais, uma linha só; e `numero`: um número, com a unidade se há, e mais nada; `sequencia`: tantos elementos
      quantos, sem ponto final; `contem`: o começo e o tamanho pedidos, se há;
    - se o pedido dá as opções ("a, b ou c", sim ou não), uma delas;
    - frase: inicial e pontuação final como as da referência; palavra ou nome: sem ponto final, e no máximo uma palavra
      a mais; tudo em maiúsculas se a referência está.

    Parâmetros:
        entry: com `instruction`, `output` e, se houver, `verificador`.
        answer: a resposta.
    """
    answer = unicodedata.normalize("NFC", answer).strip()
    verifier, reference = entry.get("verificador") or {}, entry["output"]
    kind = verifier.get("tipo")
    if not answer:
        return False
    if kind == "json":
        return _same_keys(answer, verifier["texto"])
    if kind == "lista":
        return _marked_lines(answer, len(verifier["elementos"]), verifier["marca"])
    if "\n" in answer:
        return False
    if kind == "sequencia":
        return len(_parts(answer)) == len(verifier["elementos"]) and not _ends_sentence(answer)
    if kind == "numero":
        words, wanted = answer.split(), reference.split()
        return len(_NUMBER.findall(answer)) == 1 and len(words) == len(wanted) and not _ends_sentence(answer)
    if kind == "contem":
        plain, limit = normalize_answer(answer), verifier.get("max_palavras")
        starts = verifier.get("comeca") or [""]
        return any(plain.startswith(start) for start in starts) and (limit is None or len(plain.split()) <= limit)
    if options := _options(entry):
        return normalize_answer(answer) in options
    if _ends_sentence(reference):
        return _ends_sentence(answer) and answer[0].isupper() == reference[0].isupper()
    longest = max(len(text.split()) for text in [reference, *verifier.get("aceitas", [])])
    return (
        len(answer.split()) <= longest + _SLACK
        and not _ends_sentence(answer)
        and (answer.isupper() or not (verifier.get("rigoroso") and reference.isupper()))
    )


def _options(entry: Mapping[str, Any]) -> set[str]:
    """Opções que o próprio pedido dá, entre as quais está a referência; nenhuma se ele não as dá."""
    right = normalize_answer(entry["output"])
    for closed in _CLOSED:
        if right in closed:
            return closed
    _, colon, after = entry["instruction"].rpartition(":")
    found = {normalize_answer(part) for part in re.split(r",\s+|\s+ou\s+", after)}
    return found if colon and len(found) > 1 and right in found else set()


def _same_keys(answer: str, reference: str) -> bool:
    try:
        found = json.loads(answer)
    except json.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.keys() == json.loads(reference).keys()


def _marked_lines(answer: str, n: int, mark: str) -> bool:
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    marks = [f"{k}." if mark == "1." else mark for k in range(1, n + 1)]
    return len(lines) == n and all(line.startswith(m) for line, m in zip(lines, marks, strict=True))


def _parts(answer: str) -> list[str]:
    return [part for part in re.split(r"[,;]|\s+e\s+", answer) if part.strip()]


def _ends_sentence(text: str) -> bool:
    return text.endswith((".", "!", "?", "…"))
