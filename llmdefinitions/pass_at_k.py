"""pass@k: a chance de ao menos um de k programas passar nos testes (Chen et al., 2021).

Os problemas, no formato do HumanEval e em português, foram escritos para o livro: `assets/humaneval-pt.json`
(CC BY 4.0), cada um com uma solução que passa e variantes erradas que falham.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .records import asset_or_path, load_distinct
from .sandbox import Limits, Outcome, run_code

_FIELDS = {**dict.fromkeys(("nome", "enunciado", "solucao"), str), "erradas": list, "testes": list}


@dataclass(frozen=True)
class CodeProblem:
    """Um problema de programação.

    Atributos:
        name: o nome da função pedida.
        prompt: cabeçalho e docstring da função, que o modelo continua.
        solution: o corpo de uma solução certa.
        wrong: corpos errados, de erros comuns.
        tests: expressões que têm de ser verdadeiras.
    """

    name: str
    prompt: str
    solution: str
    wrong: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def load_problems(path: str | Path | None = None) -> tuple[CodeProblem, ...]:
    """Os problemas do livro, ou os de `path`, na ordem do arquivo.

    Erros:
        ValueError: registro malformado ou repetido, ou enunciado que não define a função.
    """
    file = asset_or_path("humaneval-pt.json", path)
    return load_distinct(file, "problemas", _FIELDS, _build, _problem, lambda problem: problem.name)


def check_completion(
    problem: CodeProblem, completion: str, *, limits: Limits | None = None, trusted: bool = False
) -> Outcome:
    """Executa o enunciado, continuado por `completion`, com os testes do problema, num processo isolado.

    Parâmetros:
        completion: o corpo da função, com o recuo dele; o que vem depois da função é cortado.
        limits, trusted: ver :func:`~llmdefinitions.sandbox.run_code`.

    Erros:
        SandboxUnavailableError: o sistema não isola, e `trusted` é falso.
    """
    tests = "\n".join(f"assert {test}, {test!r}" for test in problem.tests)
    return run_code(f"{problem.prompt}{function_body(completion)}\n\n{tests}\n", limits=limits, trusted=trusted)


def function_body(completion: str) -> str:
    """Só o corpo da função: até a primeira linha sem recuo, em que um modelo começa a inventar outra coisa."""
    lines = []
    for line in completion.split("\n"):
        if line.strip() and not line[0].isspace():
            break
        lines.append(line)
    return "\n".join(lines).rstrip()


def pass_at_k(n: int, c: int, k: int) -> float:
    """Estimador sem viés de pass@k: 1 − C(n−c, k)/C(n, k).

    É a chance de k programas tirados, sem reposição, dos n gerados terem ao menos um dos c certos. Elevar a taxa de
    erro à potência k, 1 − (1 − c/n)ᵏ, parece o mesmo e erra para baixo.

    Parâmetros:
        n: programas gerados.
        c: os que passaram.
        k: quantos se poderia tentar.

    Erros:
        ValueError: fora de 0 ≤ c ≤ n e 1 ≤ k ≤ n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"n={n}, c={c}, k={k}: esperados 0 ≤ c ≤ n e 1 ≤ k ≤ n.")
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def mean_pass_at_k(counts: Sequence[tuple[int, int]], k: int) -> float:
    """Média de pass@k sobre os problemas.

    Parâmetros:
        counts: (programas gerados, programas que passaram) de cada problema.
        k: ver :func:`pass_at_k`.

    Erros:
        ValueError: nenhum problema, ou os de :func:`pass_at_k`.
    """
    if not counts:
        raise ValueError("nenhum problema: passe ao menos um par (gerados, certos).")
    return sum(pass_at_k(n, c, k) for n, c in counts) / len(counts)


def _build(name: str, prompt: str, solution: str, wrong: list[str], tests: list[str]) -> CodeProblem:
    # No arquivo, o corpo vem sem o recuo da primeira linha.
    return CodeProblem(name, f"{prompt}\n", f"    {solution}", tuple(f"    {body}" for body in wrong), tuple(tests))


def _problem(problem: CodeProblem) -> str:
    if not problem.prompt.startswith(f"def {problem.name}("):
        return f"o enunciado tem de começar por 'def {problem.name}('"
    if not problem.tests or not all(
        isinstance(text, str) and text.strip() for text in (*problem.tests, *problem.wrong)
    ):
        return "testes e erradas são listas de textos, e a de testes não pode ser vazia"
    return ""
