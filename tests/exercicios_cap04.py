"""Referências, enganos e segredos dos exercícios do capítulo 4, que test_exercises junta aos dos outros."""

import random
import re

import numpy as np

from llmdefinitions import exercises_cap04  # noqa: F401 — importar é o que registra


def _certa_4_1(item):
    linhas = [f"P: {item['instruction']}"]
    if item["input"]:
        linhas.append(f"C: {item['input']}")
    return "\n".join([*linhas, "R:"])


def _certa_4_2(ids, n_prompt, fim):
    return ids, [-100 if i + 1 < n_prompt else alvo for i, alvo in enumerate([*ids[1:], fim])]


def _certa_4_3(perdas, contagens):
    return sum(p * n for p, n in zip(perdas, contagens, strict=True)) / sum(contagens)


def _certa_4_4(tamanhos, linha):
    linhas = []
    for i in sorted(range(len(tamanhos)), key=lambda i: -tamanhos[i]):
        cabem = [r for r in linhas if sum(tamanhos[k] for k in r) + tamanhos[i] <= linha]
        if cabem:
            max(cabem, key=lambda r: sum(tamanhos[k] for k in r)).append(i)
        else:
            linhas.append([i])
    return linhas


def _certa_4_5(continuacao, cabecalhos):
    return re.split("|".join(map(re.escape, cabecalhos)), continuacao)[0].strip()


def _certa_4_6(pedidos, n_teste):
    grupos = []
    for i, pedido in enumerate(pedidos):
        palavras, juntos = set(pedido["itens"]), {i}
        for outro in [g for g in grupos if g[0] & palavras]:
            grupos.remove(outro)
            palavras, juntos = palavras | outro[0], juntos | outro[1]
        grupos.append((palavras, juntos))
    teste = set()
    for _, juntos in sorted(grupos, key=lambda g: len(g[1])):
        if len(teste) < n_teste:
            teste |= juntos
    return sorted(set(range(len(pedidos))) - teste), sorted(teste)


def _certa_4_7(antes, depois):
    ganhos = np.array(depois) - np.array(antes)
    sorteio = np.random.default_rng(1).integers(len(ganhos), size=(4000, len(ganhos)))
    baixo, alto = np.percentile(ganhos[sorteio].mean(axis=1), [2.5, 97.5])
    return ganhos.mean(), baixo, alto


def _certa_4_8(exemplos, D, V, N):
    tokens, alvos = sum(p + r for p, r in exemplos), sum(r for _, r in exemplos) + len(exemplos)
    return (N * tokens + D * V * alvos) / (N * tokens + D * V * tokens)


CERTAS = {
    "4.1": _certa_4_1,
    "4.2": _certa_4_2,
    "4.3": _certa_4_3,
    "4.4": _certa_4_4,
    "4.5": _certa_4_5,
    "4.6": _certa_4_6,
    "4.7": _certa_4_7,
    "4.8": _certa_4_8,
}


def _solto(antes, depois):
    gerador = random.Random(1)

    def media(valores):
        return sum(gerador.choices(valores, k=len(valores))) / len(valores)

    diferencas = sorted(media(depois) - media(antes) for _ in range(2000))
    return sum(depois) / len(depois) - sum(antes) / len(antes), diferencas[50], diferencas[-50]


def _poucos(antes, depois):
    ganho, baixo, alto = _certa_4_7(antes, depois)
    return ganho, ganho - (ganho - baixo) / 3, ganho + (alto - ganho) / 3


ERRADAS = [
    ("4.1", "P: {}", "recebe um item"),
    ("4.1", lambda item: _certa_4_1(item) + item["output"], "não pode estar nele"),
    ("4.1", lambda item: f"P: {item['instruction']}\nC: {item['input']}\nR:", "não aparece"),
    ("4.1", lambda item: _certa_4_1(item) + " ", "sem espaço"),
    ("4.1", lambda item: item["instruction"], "esperado"),
    ("4.2", [1], "função `(ids, n_prompt, fim)`"),
    ("4.2", lambda ids, n, fim: ([*ids, fim], _certa_4_2(ids, n, fim)[1]), "só é alvo"),
    ("4.2", lambda ids, n, fim: (ids, _certa_4_2(ids, n, fim)[1][:-1]), "mesmo tamanho"),
    ("4.2", lambda ids, n, fim: _certa_4_2(ids, n + 1, fim), "sobrou um −100"),
    ("4.2", lambda ids, n, fim: (ids, [*_certa_4_2(ids, n, fim)[1][:-1], -100]), "aprende a parar"),
    ("4.2", lambda ids, n, fim: (ids, [*ids[1:], fim]), "esperado o alvo"),
    ("4.3", 3.0, "função `(perdas, contagens)`"),
    ("4.3", lambda p, n: sum(p) / len(p), "média dos lotes"),
    ("4.3", lambda p, n: sum(p) / sum(n), "multiplique de volta"),
    ("4.4", [[0]], "função `(tamanhos, linha)`"),
    ("4.4", lambda t, n: [[0, 1]], "nenhum exemplo se perde"),
    ("4.4", lambda t, n: [list(range(len(t)))], "com mais de 10 tokens"),
    ("4.4", lambda t, n: [*_certa_4_4(t, n), []], "linha vazia"),
    ("4.4", lambda t, n: [[i] for i in range(len(t))], "comece pelos maiores"),
    ("4.5", "flores", "função `(continuacao, cabecalhos)`"),
    ("4.5", lambda c, h: c.strip().split("\n")[0].split("Resposta:")[0], "várias linhas"),
    ("4.5", lambda c, h: c.split(h[0])[0].strip(), "o primeiro dos cabeçalhos"),
    ("4.5", lambda c, h: c, "esperado 'flores'"),
    ("4.6", ([0], [1]), "função `(pedidos, n_teste)`"),
    ("4.6", lambda p, n: (list(range(n)), list(range(n))), "de um só"),
    ("4.6", lambda p, n: (list(range(len(p) - n)), list(range(len(p) - n, len(p)))), "andam juntos"),
    ("4.6", lambda p, n: (list(range(len(p))), []), "e ficaram 0"),
    ("4.7", (0.1, 0.0, 0.2), "função `(antes, depois)`"),
    ("4.7", lambda a, d: (sum(a) / len(a) - sum(d) / len(d), 0, 1), "depois menos antes"),
    ("4.7", lambda a, d: (_certa_4_7(a, d)[0], 0.9, 1.0), "não contém o ganho"),
    ("4.7", _solto, "largo demais"),
    ("4.7", _poucos, "estreito demais"),
    ("4.8", 0.5, "função `(exemplos, D, V, N)`"),
    ("4.8", lambda e, D, V, N: sum(r + 1 for _, r in e) / sum(p + r for p, r in e), "os blocos custam N"),
]

SEGREDOS = {
    "4.1": (r"if item", r"\.join"),
    "4.2": (r"\[-100\]", r"\* ?\(n_prompt"),
    "4.3": (r"sum\(", r"zip\("),
    "4.4": (r"sorted\(", r"key="),
    "4.5": (r"split\(", r"find\("),
    "4.6": (r"union", r"while"),
    "4.7": (r"percentile", r"quantile", r"choices", r"integers\("),
    "4.8": (r"N ?\* ?", r"D ?\* ?V"),
}
