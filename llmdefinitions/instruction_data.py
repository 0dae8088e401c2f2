"""Conjuntos de instruções: ler um arquivo JSON sem aceitar nada malformado, e conferir uma resposta por código.

O conjunto em português do livro está em `assets/instrucoes-pt.json`, com a ficha ao lado. O formato é o do Alpaca
(Taori et al., 2023): `instruction`, `input` e `output`, mais os campos opcionais `categoria`, `parte`, `itens` (o que
se pergunta: a palavra, os números, a frase) e `verificador` (como conferir a resposta).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("treino", "validacao", "teste")
_NUMBER = re.compile(r"(?<![\w.,])-?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?(?!\d|[.,]\d)")
_EDGES = " \t\n\"'“”‘’«».,;:!?…"
# Abreviaturas aceitas no lugar do nome da unidade, depois do número.
_ABBREVIATIONS = {
    "metros": "m",
    "quilômetros": "km",
    "centímetros": "cm",
    "milímetros": "mm",
    "gramas": "g",
    "quilos": "kg",
    "litros": "l",
    "mililitros": "ml",
    "toneladas": "t",
    "horas": "h",
    "minutos": "min",
    "segundos": "s",
}


def load_instructions(path: str | Path | None = None) -> list[dict[str, Any]]:
    """As entradas de um conjunto de instruções, na ordem do arquivo, todas válidas.

    Serve a qualquer JSON no formato do Alpaca (uma lista de objetos), também sem os campos do livro. Tudo é conferido
    antes de devolver: ou o arquivo inteiro serve, ou nenhuma entrada sai daqui.

    Parâmetros:
        path: arquivo JSON em UTF-8; `None` é o conjunto em português do livro.

    Devolve:
        Dicionários com ao menos `instruction`, `input` (pode ser vazio) e `output`.

    Erros:
        FileNotFoundError: o arquivo não existe.
        ValueError: JSON cortado ou inválido, texto que não é UTF-8, lista vazia, campo que falta, repetido ou de outro
            tipo, resposta vazia ou verificador que não se entende; a mensagem diz o arquivo e a linha ou a entrada.
    """
    if path is None:
        name, raw = "instrucoes-pt.json", files("llmdefinitions").joinpath("assets/instrucoes-pt.json").read_bytes()
    else:
        name, raw = str(path), Path(path).read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{name}, linha {line}: o byte {raw[error.start]:#04x} não é UTF-8; salve o arquivo como UTF-8"
        ) from error
    try:
        entries = json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{name}, linha {error.lineno}, coluna {error.colno}: JSON inválido ou cortado ({error.msg}); "
            "corrija a linha ou copie o arquivo de novo"
        ) from error
    except _RepeatedField as error:
        raise ValueError(f"{name}: o campo {error} aparece duas vezes numa entrada; deixe só um") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(
            f"{name}: esperado uma lista de entradas não vazia, como [{{...}}, ...]; recebi {_kind(entries)}"
        )
    for index, entry in enumerate(entries):
        problem = _problem(entry)
        if problem:
            raise ValueError(f"{name}, entrada {index} (a primeira é 0){_hint(entry)}: {problem}")
    return entries


def check_answer(entry: Mapping[str, Any], answer: str) -> bool:
    """Se `answer` satisfaz o verificador da entrada.

    Salvo o que o verificador pede, não contam: maiúsculas, espaços repetidos, aspas e pontuação nas pontas. Acentos
    contam, porque são ortografia. Os tipos:

    - `exato`: igual a uma das `aceitas`; com `"rigoroso": true`, maiúsculas e pontuação também contam;
    - `numero`: o único número da resposta é `valor`, seguido de `unidade`, se há ("3.000 metros", "3000 m");
    - `sequencia`: os `elementos`, nessa ordem, separados por vírgula, ponto e vírgula, "e" ou linha;
    - `lista`: uma linha por elemento, cada uma com `marca` ("1." ou "-") e, na ordem, os `elementos`;
    - `json`: um objeto JSON igual a `texto`, em qualquer ordem de campos;
    - `contem`: traz todas as `todas` (em cada uma, "/" separa alternativas) e nenhuma das `nenhuma`, começa com um de
      `comeca` e não passa de `max_palavras`; cada campo é opcional.

    Erros:
        ValueError: a entrada não tem verificador (`None`): só pessoas ou outra métrica podem julgá-la.
    """
    verifier = entry.get("verificador")
    if verifier is None:
        raise ValueError(
            f"a entrada {entry.get('instruction')!r} não tem verificador: use outra métrica ou deixe-a fora da conta"
        )
    problem = _verifier_problem(verifier)
    if problem:
        raise ValueError(problem)
    check, _ = _VERIFIERS[verifier["tipo"]]
    return check(verifier, unicodedata.normalize("NFC", answer).strip())


def nearest_answers(train: Sequence[Mapping[str, Any]], test: Sequence[Mapping[str, Any]]) -> list[str]:
    """Para cada entrada de teste, a resposta da entrada de treino mais parecida: quanto se acerta só consultando.

    A semelhança é a de Jaccard entre as palavras de `instruction` e `input`; no empate, vale a primeira do treino.

    Erros:
        ValueError: treino vazio.
    """
    if not train:
        raise ValueError("treino vazio: não há resposta para copiar; passe ao menos uma entrada")
    sizes = np.array([len(_words(entry)) for entry in train])
    postings: dict[str, list[int]] = {}
    for index, entry in enumerate(train):
        for word in _words(entry):
            postings.setdefault(word, []).append(index)
    answers = []
    for entry in test:
        mine = _words(entry)
        shared = np.zeros(len(train), dtype=np.int64)
        for word in mine:
            shared[postings.get(word, [])] += 1
        similarity = shared / np.maximum(1, sizes + len(mine) - shared)
        answers.append(train[int(similarity.argmax())]["output"])
    return answers


def normalize_answer(text: str) -> str:
    """Minúsculas, um espaço entre palavras, sem aspas nem pontuação nas pontas; os acentos ficam."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split()).strip(_EDGES)


def _words(entry: Mapping[str, Any]) -> set[str]:
    return set(re.findall(r"\w+", f"{entry['instruction']} {entry['input']}".casefold()))


def _exact(verifier: Mapping[str, Any], answer: str) -> bool:
    if verifier.get("rigoroso"):
        return " ".join(answer.split()) in verifier["aceitas"]
    return normalize_answer(answer) in map(normalize_answer, verifier["aceitas"])


def _number(verifier: Mapping[str, Any], answer: str) -> bool:
    found = list(_NUMBER.finditer(answer))
    if len(found) != 1 or float(found[0][0].replace(".", "").replace(",", ".")) != verifier["valor"]:
        return False
    unit = verifier.get("unidade")
    after = normalize_answer(answer[found[0].end() :]).split(" ")[0].strip(_EDGES)
    return unit is None or after in (unit, _ABBREVIATIONS.get(unit))


def _sequence(verifier: Mapping[str, Any], answer: str) -> bool:
    parts = re.split(r"[,;\n]|\s+e\s+", answer)
    return [normalize_answer(p) for p in parts if p.strip()] == [normalize_answer(e) for e in verifier["elementos"]]


def _list(verifier: Mapping[str, Any], answer: str) -> bool:
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    items = verifier["elementos"]
    if len(lines) != len(items):
        return False
    marks = [f"{k}." if verifier["marca"] == "1." else verifier["marca"] for k in range(1, len(items) + 1)]
    return all(
        line.startswith(mark) and normalize_answer(line[len(mark) :]) == normalize_answer(item)
        for line, mark, item in zip(lines, marks, items, strict=True)
    )


def _json(verifier: Mapping[str, Any], answer: str) -> bool:
    try:
        return json.loads(answer) == json.loads(verifier["texto"])
    except json.JSONDecodeError:
        return False


def _contains(verifier: Mapping[str, Any], answer: str) -> bool:
    plain = normalize_answer(answer)
    words = re.findall(r"\w+", plain)
    starts = verifier.get("comeca") or [""]
    return (
        bool(words)
        and all(any(normalize_answer(a) in plain for a in term.split("/")) for term in verifier.get("todas") or [])
        and not any(f" {normalize_answer(t)} " in f" {' '.join(words)} " for t in verifier.get("nenhuma") or [])
        and any(plain.startswith(normalize_answer(start)) for start in starts)
        and len(words) <= (verifier.get("max_palavras") or len(words))
    )


_Check = Callable[[Mapping[str, Any], str], bool]
# Para cada tipo, quem confere e os campos que não podem faltar, com o tipo de cada um.
_VERIFIERS: dict[str, tuple[_Check, dict[str, type | tuple[type, ...]]]] = {
    "exato": (_exact, {"aceitas": list}),
    "numero": (_number, {"valor": (int, float)}),
    "sequencia": (_sequence, {"elementos": list}),
    "lista": (_list, {"elementos": list, "marca": str}),
    "json": (_json, {"texto": str}),
    "contem": (_contains, {}),
}
_OPTIONAL: dict[str, type] = {
    **{"rigoroso": bool, "unidade": str, "max_palavras": int},
    **{"todas": list, "nenhuma": list, "comeca": list},
}


class _RepeatedField(Exception):
    """Um objeto JSON com o mesmo nome duas vezes: o módulo `json` ficaria com o último, calado."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise _RepeatedField(repr(name))
    return dict(pairs)


def _problem(entry: object) -> str | None:
    """O que há de errado numa entrada, com o remédio; `None` se está boa."""
    if not isinstance(entry, dict):
        return f"esperado um objeto {{...}}; recebi {_kind(entry)}"
    for field in ("instruction", "input", "output"):
        if field not in entry:
            return f"falta o campo {field!r}; acrescente-o" + (', vazio ("") se não há' if field == "input" else "")
    for field in ("instruction", "input", "output", "categoria", "parte"):
        if field in entry and not isinstance(entry[field], str):
            return f"{field!r} é {_kind(entry[field])}: esperado um texto entre aspas"
    for field in ("instruction", "output", "categoria"):
        if field in entry and not entry[field].strip():
            return f"{field!r} está vazio: escreva-o ou retire a entrada"
    if entry.get("parte", PARTS[0]) not in PARTS:
        return f"'parte' é {entry['parte']!r}: esperado um de {PARTS}"
    if "itens" in entry and not _is_texts(entry["itens"]):
        return f"'itens' é {entry['itens']!r}: esperado uma lista não vazia de textos"
    return _verifier_problem(entry["verificador"]) if entry.get("verificador") is not None else None


def _verifier_problem(verifier: object) -> str | None:
    if not isinstance(verifier, Mapping) or verifier.get("tipo") not in _VERIFIERS:
        return f"verificador {verifier!r}: esperado null ou um objeto com 'tipo' em {sorted(_VERIFIERS)}"
    required = _VERIFIERS[verifier["tipo"]][1]
    for field, kind in {**_OPTIONAL, **required}.items():
        value = verifier.get(field)
        if value is None and field not in required:
            continue
        wrong_bool = isinstance(value, bool) and kind is not bool
        if wrong_bool or not isinstance(value, kind) or (kind is list and not _is_texts(value)):
            return f"verificador {verifier['tipo']!r}: o campo {field!r} é {value!r}, que falta ou é de outro tipo"
    return None


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) and v.strip() for v in value)


def _kind(value: object) -> str:
    names = {dict: "um objeto", list: "uma lista", str: "um texto", bool: "um booleano", type(None): "null"}
    if isinstance(value, list) and not value:
        return "uma lista vazia"
    return names.get(type(value), f"o número {value!r}")


def _hint(entry: object) -> str:
    text = entry.get("instruction") if isinstance(entry, dict) else None
    return f", {text[:40]!r}" if isinstance(text, str) and text.strip() else ""
