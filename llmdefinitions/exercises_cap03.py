"""Exercícios do capítulo 3, A família GPT: cada verificação experimenta a resposta em casos que ela não viu."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .evaluation import repetition_rate
from .exercises import exercise


@exercise("3.1", "Temperatura e top-p", "médio")
def _sampling(answer: Sequence[tuple[float, float, str]]) -> str | None:
    shape = "a resposta é uma lista de três trincas `(temperatura, top_p, texto)`, com o prompt dentro do texto."
    if callable(answer) or len(answer) != 3 or any(len(item) != 3 for item in answer):
        return shape
    if any(not isinstance(text, str) or not t > 0 or not 0 < p <= 1 for t, p, text in answer):
        return shape + " A temperatura é maior que zero, e top-p vai de 0 a 1."
    if len({(t, p) for t, p, _ in answer}) < 3:
        return "duas variações usam a mesma temperatura e o mesmo top-p: para comparar, mude ao menos um."
    words = [text.split() for *_, text in answer]
    if len({tuple(row[:2]) for row in words}) > 1:
        return "os três textos têm de continuar o mesmo prompt: as duas primeiras palavras não são iguais."
    if min(map(len, words)) < 12:
        return "há um texto de menos de 12 palavras: gere mais tokens, ou a comparação será de palavras soltas."
    if len({tuple(row) for row in words}) < 3:
        return "há textos iguais: use sementes diferentes ou uma temperatura maior."
    rates = [repetition_rate([row], 2) for row in words]
    if rates != sorted(rates):
        return (
            "a ordem pedida é do menos para o mais repetitivo, contando os pares de palavras que já apareceram no "
            "mesmo texto: meça-a com `repetition_rate`."
        )
    return None


@exercise("3.2", "Prefixos e estilo", "médio")
def _prefixes(answer: Callable[..., Sequence[str]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(prefixos, gera, mede)` que devolve os prefixos em ordem."
    endings = {"Resuma: ": ["oi", "olá"], "Instruções: ": ["um texto bem comprido", "sim"], "": ["médio aqui"]}
    calls: list[str] = []

    def generate(prefix: str) -> list[str]:
        calls.append(prefix)
        return [prefix + end for end in endings[prefix]]

    measured: list[str] = []

    def measure(text: str) -> float:
        measured.append(text)
        return len(text)

    got = list(answer(list(endings), generate, measure))
    if set(got) != set(endings) or len(got) != len(endings):
        return "devolva os mesmos prefixos, cada um uma vez, só que em ordem."
    if set(calls) != set(endings) or len(measured) < 5:
        return "chame `gera` para cada prefixo e `mede` para cada texto gerado: um texto só pode enganar."
    if any(prefix and text.startswith(prefix) for text in measured for prefix in endings):
        return "`gera` devolve o prefixo junto com a continuação; medi-lo também mediria o que você escreveu."
    if got != ["Resuma: ", "", "Instruções: "]:
        return "a ordem é a da média das medidas das continuações, da menor para a maior."
    return None


@exercise("3.3", "Um domínio próprio", "médio")
def _split(answer: Callable[[list[str], float], tuple[Sequence[str], Sequence[str]]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(textos, fracao)` que devolve o par `(treino, validacao)`."
    different = [f"texto {i}" for i in range(40)]
    for texts, fraction in ((different, 0.25), (["a", "b", "c", "d", "e"] * 50, 0.2)):
        train, validation = (list(part) for part in answer(list(texts), fraction))
        if set(train) | set(validation) != set(texts):
            return "nenhum texto pode se perder, nem ser inventado: cada um vai para um dos lados."
        if set(train) & set(validation):
            return (
                "o mesmo texto está no treino e na validação: como na fonte, em que cinco frases se repetem 50 vezes, "
                "a validação mediria memória. Separe textos distintos."
            )
        share = len(set(validation)) / len(set(texts))
        if not math.isclose(share, fraction, abs_tol=1e-9):
            return f"com fracao={fraction}, a validação ficou com {share:.2f} dos textos distintos."
    return None


@exercise("3.4", "Perplexidade de validação a cada N passos", "médio")
def _history(answer: Callable[[list[dict[str, Any]]], tuple[Sequence[tuple[int, float]], int]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função que recebe `trainer.state.log_history` e devolve `(pares, melhor_passo)`."
    history = [
        {"eval_loss": math.log(90), "step": 0},
        {"loss": 0.1, "step": 10},
        {"eval_loss": math.log(30), "step": 10},
        {"loss": 0.05, "step": 20},
        {"eval_loss": math.log(45), "step": 20},
        {"train_loss": 0.07, "step": 20},
    ]
    pairs, best = answer(history)
    pairs = list(pairs)
    if [step for step, _ in pairs] != [0, 10, 20]:
        return "só as entradas com `eval_loss` são medidas de validação; as outras são do treino."
    if not all(math.isclose(got, wanted, rel_tol=1e-9) for (_, got), wanted in zip(pairs, (90, 30, 45), strict=True)):
        return "`eval_loss` está em nats por token; falta transformá-la em perplexidade."
    if best != 10:
        return "o melhor passo é o de menor perplexidade de validação, que não é sempre o último."
    return None


@exercise("3.5", "Desenhar a máscara", "fácil")
def _mask(answer: Callable[[int], Sequence[Sequence[bool]]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função que recebe T e devolve T linhas de T valores, verdadeiros onde se pode olhar."
    for length in (1, 4, 7):
        rows = [[bool(value) for value in row] for row in answer(length)]
        if len(rows) != length or any(len(row) != length for row in rows):
            return f"com T={length}, esperadas {length} linhas de {length} valores."
        if any(rows[t][s] for t in range(length) for s in range(t + 1, length)):
            return "há uma posição que olha para o futuro: na linha t, as colunas depois de t são falsas."
        if not all(rows[t][t] for t in range(length)):
            return "cada posição também olha para si mesma: o próprio token já é conhecido quando se prevê o seguinte."
        if not all(rows[t][s] for t in range(length) for s in range(t)):
            return "cada posição olha para todo o passado, e não só para o vizinho."
    return None


@exercise("3.6", "O teste que acha o vazamento", "difícil")
def _leak(answer: Callable[[Callable[[list[int]], list[float]], list[int]], bool]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(modelo, ids)` que devolve se o modelo espia o futuro."
    ids = [3, 1, 4, 1, 5, 9, 2, 6]

    def causal(x: list[int]) -> list[float]:
        return [float(sum((i + 1) * v for i, v in enumerate(x[: t + 1]))) for t in range(len(x))]

    def peeks_at_next(x: list[int]) -> list[float]:
        return [float(x[t] + (x[t + 1] if t + 1 < len(x) else 0)) for t in range(len(x))]

    def peeks_at_last(x: list[int]) -> list[float]:
        return [float(x[t] + (x[-1] if t == 2 else 0)) for t in range(len(x))]

    def peeks_from_the_start(x: list[int]) -> list[float]:
        return [float(x[t] + (x[1] if t == 0 and len(x) > 1 else 0)) for t in range(len(x))]

    if answer(causal, list(ids)):
        return "este modelo só olha para o passado, e foi acusado: compare só as saídas anteriores à troca."
    for spy, who in (
        (peeks_at_next, "espia só o token seguinte"),
        (peeks_at_last, "espia o último token, e só de uma posição do meio"),
        (peeks_from_the_start, "espia só na primeira posição"),
    ):
        if not answer(spy, list(ids)):
            return f"passou despercebido um modelo que {who}: troque um token de cada vez, em todas as posições."
    return None


@exercise("3.7", "Múltipla escolha no GPT-1", "fácil")
def _choices(answer: Callable[..., Sequence[Sequence[int]]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(contexto, respostas, inicio, separador, extracao)`."
    context, options = [5, 6, 7], [[8], [9, 10]]
    rows = [list(row) for row in answer(context, options, 100, 101, 102)]
    if len(rows) != len(options):
        return f"há {len(options)} respostas, e saíram {len(rows)} sequências: é uma para cada resposta."
    if any(row.count(101) != 1 for row in rows):
        return "o separador aparece uma vez em cada sequência, entre o contexto e a resposta."
    if any(row[0] != 100 or row[-1] != 102 for row in rows):
        return "a sequência abre com o token de início e fecha com o de extração, em que o classificador lê."
    if [row[1:-1] for row in rows] != [[*context, 101, *option] for option in options]:
        return "entre o início e a extração vêm o contexto inteiro, o separador e a resposta, nesta ordem."
    return None


@exercise("3.8", "Quantos parâmetros tem um GPT-2", "difícil")
def _parameters(answer: Callable[[int, int, int, int], int]) -> str | None:
    # Os quatro tamanhos publicados: (V, T, D, L) e a contagem, com a saída amarrada aos embeddings.
    sizes = {
        (50257, 1024, 768, 12): 124_439_808,
        (50257, 1024, 1024, 24): 354_823_168,
        (50257, 1024, 1280, 36): 774_030_080,
        (50257, 1024, 1600, 48): 1_557_611_200,
    }
    if not callable(answer):
        return "a resposta é uma função `(V, T, D, L)`: vocabulário, contexto, largura e blocos."
    for (vocab, length, width, layers), right in sizes.items():
        got = answer(vocab, length, width, layers)
        if got == right:
            continue
        off, where = got - right, f"com D={width} e L={layers}, saíram {got:,} parâmetros"
        if off == vocab * width:
            return f"{where}: a matriz de saída foi contada de novo, e no GPT-2 ela é a dos embeddings de tokens."
        if off == -length * width:
            return f"{where}: faltam os embeddings de posição."
        if off == -2 * width:
            return f"{where}: falta a última normalização, depois de todos os blocos."
        if off % layers == 0 and abs(off) // layers < 20 * width:
            return f"{where}: em cada bloco, confira os vieses (os de QKV, da projeção e da rede) e as normalizações."
        return f"{where}, e a conta publicada é outra: no bloco há quatro matrizes D×D na atenção e duas D×4D na rede."
    return None
