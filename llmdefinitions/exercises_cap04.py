"""Exercícios do capítulo 4, Ajuste fino por instruções: cada verificação experimenta a resposta em casos novos."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .config import IGNORE_INDEX
from .exercises import exercise
from .instruction import PromptTemplate
from .intervals import mean_interval
from .packing import pack_lengths


@exercise("4.1", "Um molde próprio", "fácil")
def _template(answer: Callable[[Mapping[str, str]], str]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função que recebe um item e devolve o texto do prompt."
    ours = PromptTemplate("", "P: ", "\nC: ", "\nR:")
    for entry in (
        {"instruction": "Dê o plural.", "input": "flor", "output": "flores"},
        {"instruction": "Some 2 e 3.", "input": "", "output": "5"},
    ):
        got, right = answer(entry), ours.prompt(entry) + ours.response
        if got == right:
            continue
        if entry["output"] in got:
            return "o prompt é o que o modelo recebe: a resposta não pode estar nele."
        if not entry["input"] and "C:" in got:
            return "sem contexto, a linha `C:` não aparece: um cabeçalho vazio ensinaria outra coisa."
        if got == right + " " or got.endswith(" "):
            return "o prompt acaba em dois-pontos, sem espaço: num BPE o espaço pertence à palavra seguinte."
        return f"para {entry}, esperado {right!r}, e saiu {got!r}."
    return None


@exercise("4.2", "O alvo com a instrução mascarada", "médio")
def _masked_targets(answer: Callable[[list[int], int, int], tuple[Sequence[int], Sequence[int]]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(ids, n_prompt, fim)` que devolve `(entrada, alvo)`."
    for ids, n_prompt in (([5, 6, 7, 8, 9], 3), ([4, 3], 1), ([1, 2, 99, 3], 2)):
        inputs, targets = (list(part) for part in answer(list(ids), n_prompt, 99))
        wanted = [IGNORE_INDEX] * (n_prompt - 1) + [*ids, 99][n_prompt:]
        if inputs != ids:
            return "a entrada é o exemplo inteiro; o token de fim só é alvo, porque depois dele não há o que prever."
        if len(targets) != len(inputs):
            return (
                "entrada e alvo têm o mesmo tamanho: o alvo é a entrada deslocada em um, com o fim no lugar que sobra."
            )
        if targets == [IGNORE_INDEX] * n_prompt + [*ids, 99][n_prompt + 1 :]:
            return "sobrou um −100: o último token do prompt é a posição em que se prevê o primeiro da resposta."
        if targets[-1] != 99:
            return "o último alvo é o token de fim: sem ele, o modelo nunca aprende a parar."
        if targets != wanted:
            return f"para ids={ids} e n_prompt={n_prompt}, esperado o alvo {wanted}."
    return None


@exercise("4.3", "Média por token", "fácil")
def _weighted(answer: Callable[[Sequence[float], Sequence[int]], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(perdas, contagens)` que devolve um número."
    for losses, counts in (([2.0, 4.0], [30, 10]), ([1.0, 1.0, 7.0], [5, 5, 1])):
        got = answer(losses, counts)
        if math.isclose(got, sum(losses) / len(losses)):
            return "essa é a média dos lotes: um lote de poucos tokens pesa nela tanto quanto um de muitos."
        right = sum(loss * n for loss, n in zip(losses, counts, strict=True)) / sum(counts)
        if not math.isclose(got, right):
            return "cada perda é a média dos tokens do lote: multiplique de volta pela contagem antes de somar."
    return None


@exercise("4.4", "Encher as linhas", "médio")
def _packing(answer: Callable[[Sequence[int], int], Sequence[Sequence[int]]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(tamanhos, linha)` que devolve listas de posições, uma para cada linha."
    for lengths, size in (([7, 3, 6, 4, 5, 5], 10), ([9, 1, 8, 2, 7, 3, 6, 4], 10), ([5] * 7, 16), ([3], 8)):
        rows = [list(row) for row in answer(list(lengths), size)]
        if sorted(i for row in rows for i in row) != list(range(len(lengths))):
            return "cada posição da lista vai para uma linha, e só uma: nenhum exemplo se perde nem se repete."
        if any(sum(lengths[i] for i in row) > size for row in rows):
            return f"há uma linha com mais de {size} tokens: um exemplo que não cabe vai para outra, inteiro."
        if any(not row for row in rows):
            return "há uma linha vazia."
        if len(rows) > len(pack_lengths(lengths, size)):
            return (
                f"com tamanhos {lengths} e linhas de {size}, dá para usar menos que {len(rows)}: comece pelos maiores, "
                "e ponha cada um numa linha em que ainda caiba."
            )
    return None


@exercise("4.5", "Separar a resposta", "médio")
def _extract(answer: Callable[[str, Sequence[str]], str]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(continuacao, cabecalhos)` que devolve só a resposta."
    headers = ("Pedido:", "Resposta:")
    cases = {
        " flores": "flores",
        " flores\nPedido: outra coisa\nResposta: outra": "flores",
        " flores\nResposta: flor": "flores",
        "Resposta: flores": "",
        " duas\nlinhas\n": "duas\nlinhas",
        " 3: três": "3: três",
    }
    for text, right in cases.items():
        got = answer(text, headers)
        if got == right:
            continue
        if got == right.split("\n")[0]:
            return "uma resposta pode ter várias linhas: corte no cabeçalho, e não na primeira quebra."
        if any(header in got for header in headers):
            return "sobrou uma pergunta inventada: corte no primeiro dos cabeçalhos que aparecer, seja qual for."
        return f"de {text!r}, esperado {right!r}, e saiu {got!r}."
    return None


@exercise("4.6", "Dividir sem vazar", "difícil")
def _split(answer: Callable[[list[dict[str, Any]], int], tuple[Sequence[int], Sequence[int]]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(pedidos, n_teste)` que devolve as posições de treino e as de teste."
    chain = [{"itens": ["flor"]}, {"itens": ["flor", "mel"]}, {"itens": ["mel"]}]
    loose = [{"itens": [f"palavra {i}"]} for i in range(9)]
    for requests, n_test in ((chain + loose, 3), (loose + chain, 2), (loose[:4] + chain + loose[4:], 5)):
        train, test = (list(part) for part in answer([dict(r) for r in requests], n_test))
        if sorted(train + test) != list(range(len(requests))):
            return "cada pedido fica de um lado, e de um só: treino e teste, juntos, têm todas as posições."
        words = [{w for i in side for w in requests[i]["itens"]} for side in (train, test)]
        if words[0] & words[1]:
            return (
                f"{sorted(words[0] & words[1])[0]!r} está dos dois lados. Dois pedidos que têm um item em comum andam "
                "juntos, e também os ligados por um terceiro."
            )
        if not n_test <= len(test) <= n_test + 2:
            return f"pedidos {n_test} para o teste, e ficaram {len(test)}: pare de acrescentar grupos ao chegar lá."
    return None


@exercise("4.7", "O intervalo do ganho", "difícil")
def _paired(answer: Callable[[Sequence[float], Sequence[float]], tuple[float, float, float]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(antes, depois)` que devolve `(ganho, baixo, alto)`."
    before = [float(i % 2) for i in range(60)]
    after = [1.0 if i < 12 else v for i, v in enumerate(before)]
    gain, low, high = answer(before, after)
    right = mean_interval([b - a for a, b in zip(before, after, strict=True)])
    if not math.isclose(gain, right.estimate, abs_tol=1e-6):
        return f"o ganho é a média de depois menos antes: nesse caso {right.estimate:.3f}, e saiu {gain:.3f}."
    if not low <= gain <= high:
        return "o intervalo não contém o ganho: são os percentis 2,5 e 97,5 das médias reamostradas."
    width = right.high - right.low
    if high - low > 1.5 * width:
        return (
            "intervalo largo demais: sorteie itens, e leve juntos o antes e o depois de cada um; separados, entra nele "
            "também a diferença entre os itens."
        )
    if high - low < 0.6 * width:
        return "intervalo estreito demais: cada reamostra tem tantos itens quantos o original, sorteados com reposição."
    return None


@exercise("4.8", "O que a máscara economiza", "médio")
def _saving(answer: Callable[[Sequence[tuple[int, int]], int, int, int], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(exemplos, D, V, N)` que devolve a razão entre os dois custos."
    for examples, width, vocab, body in (([(30, 5), (20, 3)], 192, 8192, 3_600_000), ([(10, 10)], 64, 1000, 50_000)):
        tokens = sum(p + r for p, r in examples)
        targets = sum(r + 1 for _, r in examples)
        right = (body * tokens + width * vocab * targets) / ((body + width * vocab) * tokens)
        got = answer(examples, width, vocab, body)
        if not math.isclose(got, right, rel_tol=1e-6):
            return (
                f"com {examples}, D={width}, V={vocab} e N={body}, esperado {right:.4f}, e saiu {got:.4f}: os blocos "
                "custam N por token do exemplo, e a saída, D·V por alvo; cada exemplo tem r + 1 alvos, com o de fim."
            )
    return None
