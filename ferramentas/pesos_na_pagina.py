"""O formato em que a página recebe os pesos: dois scripts que se abrem também por `file://`, um em 8 bits e o resto.

Um script é a única coisa que um navegador lê de outro arquivo do disco, e por isso os números viram texto:

- `codigos`: um caractere por peso em 8 bits, o de número `(q + 64) mod 256`; assim quase todos ocupam um byte em UTF-8.
- `bits`: uma fila de bits, sete por caractere, do menos significativo em diante; o caractere é o do número mais um,
  para que nenhum seja o nulo.

O segundo script traz o que falta para refazer cada peso em float16, bit por bit: quantos float16 há entre o peso e
o float16 mais próximo de `q·escala`, com tantos bits quantos pede o maior afastamento entre os pesos de mesmo `|q|`.
Quem lê o formato é `book/_static/experimente/pesos.js`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: O maior código em módulo: o −128 fica de fora, para que o intervalo seja simétrico.
LEVELS = 127
# O que não pode aparecer como está entre aspas; a barra primeiro, para não escapar os outros escapes.
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\0": "\\x00"}


def quantize_rows(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arredonda cada linha a múltiplos de uma escala só dela, o maior módulo da linha dividido por 127.

    Parâmetros:
        matrix: float16 `(linhas, colunas)`.

    Devolve:
        `(códigos, escalas)`: int8 `(linhas, colunas)` e float16 `(linhas,)`; uma linha de zeros tem escala 1.
    """
    values = matrix.astype(np.float32)
    scales = (np.abs(values).max(axis=1) / LEVELS).astype(np.float16)
    scales[scales == 0] = 1
    codes = np.rint(values / scales.astype(np.float32)[:, None]).clip(-LEVELS, LEVELS)
    return codes.astype(np.int8), scales


def dequantize_rows(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Os pesos de volta, em float32, sem arredondamento: o produto de 8 por 11 bits cabe em 24."""
    return codes.astype(np.float32) * scales.astype(np.float32)[:, None]


def float16_rank(values: np.ndarray) -> np.ndarray:
    """Posição de cada float16 na fila de todos eles, em ordem crescente; o zero é 0, e −0 conta como 0."""
    bits = np.ascontiguousarray(values, dtype=np.float16).view(np.int16).astype(np.int32)
    return np.where(bits < 0, -(bits & 0x7FFF), bits)


def refinement(matrix: np.ndarray, codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Quantos float16 separam cada peso do float16 mais próximo do valor em 8 bits: int32 `(linhas, colunas)`."""
    return float16_rank(matrix) - float16_rank(dequantize_rows(codes, scales).astype(np.float16))


def bit_widths(codes: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Bits, com sinal, que cada `|q|` de 0 a 127 pede: int `(128,)`."""
    widths = np.zeros(LEVELS + 1, dtype=np.int64)
    groups = np.abs(codes)  # sem −128, o módulo cabe em int8
    # Um afastamento d ≠ 0 cabe em n bits com sinal se −2ⁿ⁻¹ ≤ d < 2ⁿ⁻¹.
    needed = np.where(deltas == 0, 0, np.frexp(np.where(deltas < 0, -deltas - 1, deltas).astype(np.float32))[1] + 1)
    for width in range(int(needed.max()) + 1):
        widths[np.unique(groups[needed == width])] = width
    return widths


def code_text(codes: np.ndarray) -> str:
    """Um caractere por código int8."""
    return ((codes.ravel().astype(np.int16) + 64) & 255).astype(np.uint8).tobytes().decode("latin-1")


def bit_text(values: np.ndarray, widths: np.ndarray) -> str:
    """Os `widths[i]` bits baixos de cada `values[i]`, em fila, sete por caractere, somado de um."""
    starts = np.cumsum(widths) - widths
    bits = np.zeros(-(-int(widths.sum()) // 7) * 7, dtype=np.uint8)
    place = 0
    while len(values):
        present = np.flatnonzero(widths > place)
        starts, values, widths = starts[present], values[present], widths[present]
        bits[starts + place] = values >> place & 1
        place += 1
    return (np.packbits(bits.reshape(-1, 7), axis=1, bitorder="little") + np.uint8(1)).tobytes().decode("latin-1")


def float16_text(arrays: Sequence[np.ndarray]) -> str:
    """Os 16 bits de cada float16, em fila."""
    stored = np.concatenate([a.astype(np.float16).ravel() for a in arrays]).view(np.uint16).astype(np.int64)
    return bit_text(stored, np.full(len(stored), 16))


def script(name: str, fields: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """Um script que põe em `globalThis.MINI_PT[name]` os campos e os textos.

    Os textos não passam pelo JSON, que gastaria seis bytes em cada caractere de controle.
    """
    parts = [f'"{key}":{json.dumps(value, ensure_ascii=False, separators=(",", ":"))}' for key, value in fields.items()]
    parts += [f'"{key}":"{_escaped(text)}"' for key, text in texts.items()]
    header = "// Pesos do mini-pt, gerados por ferramentas/modelo_na_pagina.py quando o site é construído.\n"
    return f'{header}(globalThis.MINI_PT ??= {{}})["{name}"] = {{{",".join(parts)}}};\n'


def scripts(tensors: Mapping[str, np.ndarray], matrices: Sequence[str], fields: Mapping[str, Any]) -> tuple[str, str]:
    """Os dois scripts de um modelo.

    Parâmetros:
        tensors: float16, pelo nome; as matrizes, com uma linha por saída.
        matrices: os nomes das que vão em 8 bits; os demais tensores ficam em float16.
        fields: o resto do que o primeiro script leva (formato da rede, tokenizador).

    Devolve:
        `(base, resto)`: o que basta para usar o modelo em 8 bits, e o que o torna exato.

    Erros:
        ValueError: um tensor que não é float16, que a página refaria com outros valores.
    """
    if other := [f"{name} é {t.dtype}" for name, t in tensors.items() if t.dtype != np.float16]:
        raise ValueError(f"{other[0]}: a página guarda float16; exporte o modelo com dtype=torch.float16.")
    quantized = {name: quantize_rows(tensors[name]) for name in matrices}
    plain = [name for name in tensors if name not in quantized]
    codes = np.concatenate([q.ravel() for q, _ in quantized.values()])
    deltas = np.concatenate([refinement(tensors[name], *pair).ravel() for name, pair in quantized.items()])
    widths = bit_widths(codes, deltas)
    layout = {
        "matrizes": {name: list(tensors[name].shape) for name in quantized},
        "vetores": {name: int(tensors[name].size) for name in plain},
    }
    halves = [*(scales for _, scales in quantized.values()), *(tensors[name] for name in plain)]
    base = script("base", {**fields, **layout}, {"codigos": code_text(codes), "bits": float16_text(halves)})
    used = widths[np.abs(codes.astype(np.int64))]
    return base, script("resto", {"larguras": widths.tolist()}, {"bits": bit_text(deltas, used)})


def _escaped(text: str) -> str:
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text
