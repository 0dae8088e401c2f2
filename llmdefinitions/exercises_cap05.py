"""Exercícios do capítulo 5, LoRA e ajuste fino eficiente: cada verificação recalcula a resposta por outro caminho."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from .exercises import exercise

Matrix = list[list[float]]


@exercise("5.1", "Parâmetros de um adaptador", "fácil")
def _adapter_size(answer: Callable[[int, int, int], int]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(entrada, saida, posto)` que devolve quantos números o LoRA treina."
    if answer(10, 4, 2) == 10 * 4:
        return "esse é o tamanho da matriz congelada; o que treina são as duas matrizes estreitas."
    if answer(10, 4, 2) == 10 * 2:
        return "essa é só uma das duas matrizes; conte também a que volta do posto para a saída."
    for rows, columns, rank in ((10, 4, 2), (4096, 4096, 16), (768, 3072, 1)):
        if answer(rows, columns, rank) != sum(rank for _ in range(rows)) + rank * columns:
            return "uma matriz tem uma linha por entrada e a outra, uma coluna por saída; as duas têm o posto no meio."
    return None


@exercise("5.2", "Até que posto o LoRA economiza", "fácil")
def _break_even(answer: Callable[[int, int], int]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(entrada, saida)` que devolve o maior posto com menos parâmetros que a matriz."
    for rows, columns in ((8, 8), (10, 4), (4096, 4096), (768, 3072), (7, 5)):
        rank = answer(rows, columns)
        if rank == min(rows, columns):
            return "esse é o maior posto que a matriz pode ter; nele o LoRA já treina mais números do que ela tem."
        if not float(rank).is_integer():
            return "um posto é um número inteiro."
        if rank * (rows + columns) >= rows * columns:
            return f"com {rows}×{columns}, o posto {rank} não treina menos números que a matriz inteira."
        if (rank + 1) * (rows + columns) < rows * columns:
            return f"com {rows}×{columns}, dá para subir além do posto {rank} e ainda economizar."
    return None


@exercise("5.3", "Fundir à mão", "médio")
def _merge(answer: Callable[[Matrix, Matrix, Matrix, float], Matrix]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(W, A, B, s)` que devolve a matriz fundida, no formato de W: (saída, entrada)."
    original = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    w, a, b = [row.copy() for row in original], [[1.0], [0.0], [2.0]], [[10.0, 100.0]]
    found = [[float(x) for x in row] for row in answer(w, a, b, 0.5)]
    if len(found) != 2 or any(len(row) != 3 for row in found):
        return "W é (saída, entrada) e o produto das duas matrizes do LoRA é (entrada, saída): falta transpor."
    if found == [[11.0, 2.0, 23.0], [104.0, 5.0, 206.0]]:
        return "a correção entrou inteira: falta a escala."
    x = [1.0, -2.0, 0.5]
    hidden = sum(x[i] * a[i][0] for i in range(3))
    for row in range(2):
        straight = sum(found[row][i] * x[i] for i in range(3))
        branch = sum(original[row][i] * x[i] for i in range(3)) + 0.5 * hidden * b[0][row]
        if not math.isclose(straight, branch, rel_tol=1e-9):
            return (
                "a camada fundida não dá a mesma saída que a camada com o LoRA ao lado; refaça a conta num exemplo 2×3."
            )
    if w != original:
        return "a matriz original mudou: some numa cópia, ou não haverá como desfazer a fusão."
    return None


@exercise("5.4", "Um bloco em int8", "médio")
def _absmax(answer: Callable[[Sequence[float]], tuple[list[int], float]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função que recebe um bloco de pesos e devolve o par `(codigos, escala)`."
    for block in ([0.5, -1.0, 0.25, 0.0], [0.01, 0.02, -0.04], [3.0, 3.0, -1.5, 0.7, 2.2]):
        codes, scale = answer(block)
        if len(codes) != len(block) or any(c != int(c) for c in codes):
            return "os códigos são inteiros, um para cada peso."
        largest = max(map(abs, block))
        if not math.isclose(scale, largest, rel_tol=1e-9):
            return "a escala é o maior módulo do bloco, o que leva todos os pesos para o intervalo de −1 a 1."
        if any(abs(c) > 127 for c in codes):
            return "um código passou de 127: depois de dividir pela escala, o intervalo de −1 a 1 vira o de −127 a 127."
        if any(abs(c / 127 * scale - x) > scale / 254 + 1e-12 for c, x in zip(codes, block, strict=True)):
            return "um peso voltou mais longe do que meio degrau: arredonde para o inteiro mais próximo, sem truncar."
    return None


@exercise("5.5", "Bits por peso", "médio")
def _bits(answer: Callable[[int, int, bool], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(bloco, bloco_de_escalas, dupla)` que devolve os bits por peso do NF4."
    if math.isclose(answer(64, 256, False), 4.0, rel_tol=1e-9):
        return "faltam as escalas: cada bloco guarda também um número de 32 bits."
    for block, scales in ((64, 256), (128, 64)):
        group = block * scales  # os pesos que dividem um mesmo passo de escala
        single = Fraction(4 * group + 32 * scales, group)
        double = Fraction(4 * group + 8 * scales + 32, group)
        if not math.isclose(answer(block, scales, False), single, rel_tol=1e-9):
            return "sem a quantização dupla, os 32 bits da escala se repartem pelos pesos do bloco."
        if math.isclose(answer(block, scales, True), 4 + 8 / block, rel_tol=1e-9):
            return "quase: cada bloco de escalas guarda ainda um número de 32 bits, repartido por todos os pesos dele."
        if not math.isclose(answer(block, scales, True), double, rel_tol=1e-9):
            return "com a dupla, cada escala custa 8 bits, e cada bloco de escalas, mais 32."
    return None


@exercise("5.6", "O que a memória guarda", "médio")
def _states(answer: Callable[[float, float], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(total, treinaveis)` que devolve os bytes de pesos, gradientes e otimizador."
    if math.isclose(answer(1000, 0), 0):
        return "os parâmetros congelados também ocupam memória: só não têm gradiente nem estados."
    if math.isclose(answer(1000, 1000), 8000):
        return "faltam os estados do Adam: dois números por parâmetro que treina."
    if math.isclose(answer(1000, 10), 16 * 1000):
        return "isso é um ajuste completo: gradiente e estados são só dos que treinam."
    for total, trained in ((1000, 1000), (1000, 10), (124e6, 2.4e6), (7e9, 4e7)):
        expected = 4 * (total - trained) + 16 * trained
        if not math.isclose(answer(total, trained), expected, rel_tol=1e-9):
            return "em float32, um parâmetro congelado ocupa 4 bytes; um que treina guarda quatro números."
    return None


@exercise("5.7", "A penalidade do EWC", "difícil")
def _ewc(answer: Callable[[Sequence[float], Sequence[float], Sequence[float], float], float]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(theta, partida, importancia, lam)` que devolve a penalidade."
    if answer([1.0, 2.0], [1.0, 2.0], [3.0, 4.0], 5.0) != 0:
        return "quem não saiu do lugar não paga nada."
    if math.isclose(answer([3.0], [1.0], [2.0], 1.0), 8.0):
        return "falta o ½ da fórmula."
    if math.isclose(answer([3.0, 0.0], [1.0, 0.0], [0.0, 7.0], 1.0), 2.0):
        return "um parâmetro sem importância pode mudar à vontade: ela pesa o quadrado da distância de cada um."
    theta, start, weights = [0.5, -1.0, 2.0], [0.0, 1.0, 2.5], [2.0, 0.25, 8.0]
    if not math.isclose(answer(theta, start, weights, 3.0), 1.5 * (0.5 + 1.0 + 2.0), rel_tol=1e-9):
        return "some, sobre os parâmetros, a importância vezes o quadrado da distância; só depois multiplique por λ/2."
    return None


@exercise("5.8", "Quanto se esqueceu", "difícil")
def _forgetting(answer: Callable[[list[dict[str, float]], list[str]], dict[str, float]]) -> str | None:
    if not callable(answer):
        return "a resposta é uma função `(historia, ordem)` que devolve, por tarefa já aprendida, quanto a perda subiu."
    history = [{"A": 1.0, "B": 3.0, "C": 4.0}, {"A": 1.4, "B": 2.0, "C": 3.9}, {"A": 1.3, "B": 2.6, "C": 2.5}]
    found = answer(history, ["A", "B", "C"])
    if set(found) != {"A", "B"}:
        return "a última tarefa acabou de ser aprendida: dela ainda não há o que esquecer; das outras, há."
    if math.isclose(found["B"], -0.4, abs_tol=1e-9):
        return "o ponto de partida de uma tarefa é a perda logo depois de aprendê-la, e não a de antes de tudo."
    for name, expected in (("A", 0.3), ("B", 0.6)):
        if math.isclose(found[name], -expected, abs_tol=1e-9):
            return "o sinal está trocado: esquecer é a perda subir."
        if not math.isclose(found[name], expected, abs_tol=1e-9):
            return "compare a última medida da tarefa com a de logo depois de aprendê-la; a primeira já era sabida."
    if not math.isclose(answer(history[:2], ["A", "B"])["A"], 0.4, abs_tol=1e-9):
        return "com duas tarefas, a conta é a mesma: confira se a história não tem três posições fixas."
    return None
