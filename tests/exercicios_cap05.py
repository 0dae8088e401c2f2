"""Referências, enganos e segredos dos exercícios do capítulo 5, que test_exercises junta aos dos outros."""

import numpy as np


def _certa_5_1(entrada, saida, posto):
    return np.zeros((entrada, posto)).size + np.zeros((posto, saida)).size


def _certa_5_2(entrada, saida):
    return max(r for r in range(min(entrada, saida)) if r * (entrada + saida) < entrada * saida)


def _certa_5_3(W, A, B, s):
    return (np.array(W) + s * np.einsum("ir,ro->oi", np.array(A), np.array(B))).tolist()


def _certa_5_4(bloco):
    escala = float(np.abs(bloco).max())
    return np.rint(np.array(bloco) / escala * 127).astype(int).tolist(), escala


def _certa_5_5(bloco, bloco_de_escalas, dupla):
    pesos = bloco * bloco_de_escalas
    bits = 4 * pesos + (8 * bloco_de_escalas + 32 if dupla else 32 * bloco_de_escalas)
    return bits / pesos


def _certa_5_6(total, treinaveis):
    pesos, gradientes, momentos = 4 * total, 4 * treinaveis, 2 * 4 * treinaveis
    return pesos + gradientes + momentos


def _certa_5_7(theta, partida, importancia, lam):
    distancia = np.subtract(theta, partida)
    return float(lam / 2 * np.dot(importancia, distancia**2))


def _certa_5_8(historia, ordem):
    aprendida = {tarefa: historia[i][tarefa] for i, tarefa in enumerate(ordem)}
    return {tarefa: historia[-1][tarefa] - aprendida[tarefa] for tarefa in ordem[:-1]}


CERTAS = {
    "5.1": _certa_5_1,
    "5.2": _certa_5_2,
    "5.3": _certa_5_3,
    "5.4": _certa_5_4,
    "5.5": _certa_5_5,
    "5.6": _certa_5_6,
    "5.7": _certa_5_7,
    "5.8": _certa_5_8,
}

_NA_MARRA = [[11.0, 2.0, 23.0], [104.0, 5.0, 206.0]]


def _soma_no_lugar(W, A, B, s):
    fundida = _certa_5_3(W, A, B, s)
    for linha, nova in zip(W, fundida, strict=True):
        linha[:] = nova
    return W


ERRADAS = [
    ("5.1", 56, "função `(entrada, saida, posto)`"),
    ("5.1", lambda e, s, r: e * s, "o tamanho da matriz congelada"),
    ("5.1", lambda e, s, r: e * r, "só uma das duas matrizes"),
    ("5.1", lambda e, s, r: r * r, "o posto no meio"),
    ("5.2", 4, "função `(entrada, saida)`"),
    ("5.2", lambda e, s: min(e, s), "o maior posto que a matriz pode ter"),
    ("5.2", lambda e, s: 3.5, "um número inteiro"),
    ("5.2", lambda e, s: e * s // (e + s), "não treina menos números"),
    ("5.2", lambda e, s: 1, "dá para subir além do posto 1"),
    ("5.3", [[1.0]], "função `(W, A, B, s)`"),
    ("5.3", lambda W, A, B, s: (np.array(A) @ np.array(B)).tolist(), "falta transpor"),
    ("5.3", lambda W, A, B, s: _certa_5_3(W, A, B, 1.0), "falta a escala"),
    ("5.3", lambda W, A, B, s: _certa_5_3(W, A, B, s * s), "não dá a mesma saída"),
    ("5.3", _soma_no_lugar, "a matriz original mudou"),
    ("5.4", [127], "o par `(codigos, escala)`"),
    ("5.4", lambda b: ([x / max(map(abs, b)) for x in b], max(map(abs, b))), "são inteiros, um para cada peso"),
    ("5.4", lambda b: ([0] * len(b), max(b) / 2), "a escala é o maior módulo"),
    ("5.4", lambda b: ([round(x / max(map(abs, b)) * 128) for x in b], max(map(abs, b))), "um código passou de 127"),
    ("5.4", lambda b: ([int(x / max(map(abs, b)) * 127) for x in b], max(map(abs, b))), "sem truncar"),
    ("5.5", 4.5, "função `(bloco, bloco_de_escalas, dupla)`"),
    ("5.5", lambda b, e, d: 4.0, "faltam as escalas"),
    ("5.5", lambda b, e, d: 4 + 16 / b, "os 32 bits da escala se repartem"),
    ("5.5", lambda b, e, d: 4 + (8 if d else 32) / b, "quase:"),
    ("5.5", lambda b, e, d: 4 + 32 / b, "cada escala custa 8 bits"),
    ("5.6", 16, "função `(total, treinaveis)`"),
    ("5.6", lambda n, t: 16 * t, "os parâmetros congelados também"),
    ("5.6", lambda n, t: 4 * n + 4 * t, "faltam os estados do Adam"),
    ("5.6", lambda n, t: 16 * n, "isso é um ajuste completo"),
    ("5.6", lambda n, t: 4 * n + 8 * t, "guarda quatro números"),
    ("5.7", 0.0, "função `(theta, partida, importancia, lam)`"),
    ("5.7", lambda t, p, f, lam: 1.0, "não paga nada"),
    ("5.7", lambda t, p, f, lam: 2 * _certa_5_7(t, p, f, lam), "falta o ½"),
    ("5.7", lambda t, p, f, lam: _certa_5_7(t, p, [1] * len(t), lam), "pode mudar à vontade"),
    (
        "5.7",
        lambda t, p, f, lam: lam / 2 * sum(w * abs(a - b) for a, b, w in zip(t, p, f, strict=True)),
        "só depois multiplique",
    ),
    ("5.8", 0.3, "função `(historia, ordem)`"),
    ("5.8", lambda h, o: {n: h[-1][n] - h[0][n] for n in o}, "ainda não há o que esquecer"),
    ("5.8", lambda h, o: {n: h[-1][n] - h[0][n] for n in o[:-1]}, "e não a de antes de tudo"),
    ("5.8", lambda h, o: {n: -v for n, v in _certa_5_8(h, o).items()}, "o sinal está trocado"),
    ("5.8", lambda h, o: dict.fromkeys(o[:-1], 0.1), "compare a última medida"),
    ("5.8", lambda h, o: {"A": 0.3, "B": 0.6}, "a conta é a mesma"),
]

SEGREDOS = {
    "5.1": (r"posto ?\*", r"entrada ?\+ ?saida"),
    "5.2": (r"//", r"- ?1"),
    "5.3": (r"@", r"\.T\b"),
    "5.4": (r"max\(", r"round\("),
    "5.5": (r"/ ?bloco", r"127"),
    "5.6": (r"4 ?\*", r"12 ?\*"),
    "5.7": (r"sum\(", r"\*\* ?2"),
    "5.8": (r"historia\[", r"enumerate"),
}
