"""Correção automática dos exercícios: confere a resposta e dá uma dica em português, nunca a solução.

Cada capítulo tem o seu arquivo `exercises_cap*.py`, que registra as verificações com :func:`exercise`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Checker = Callable[[Any], "str | None"]
_REGISTRY: dict[str, Exercise] = {}


@dataclass(frozen=True)
class Exercise:
    """Um exercício: número, título, dificuldade e a verificação, que devolve `None` ou uma dica."""

    number: str
    title: str
    level: str
    checker: Checker


@dataclass(frozen=True)
class CheckResult:
    """Resultado de uma correção; num caderno, mostra só a mensagem."""

    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return self.message


def exercise(number: str, title: str, level: str) -> Callable[[Checker], Checker]:
    """Registra a verificação de um exercício.

    Parâmetros:
        number: por exemplo `"2.1"`.
        title: título mostrado no livro.
        level: `"fácil"`, `"médio"` ou `"difícil"`.
    """

    def register(checker: Checker) -> Checker:
        if number in _REGISTRY:
            raise ValueError(f"exercício {number} registrado duas vezes: escolha outro número.")
        _REGISTRY[number] = Exercise(number, title, level, checker)
        return checker

    return register


def available_exercises() -> dict[str, Exercise]:
    """Exercícios de todos os capítulos, por número."""
    from . import (  # noqa: F401 — importar é o que registra
        exercises_cap01,
        exercises_cap02,
        exercises_cap03,
        exercises_cap04,
        exercises_cap05,
        exercises_cap06,
    )

    return dict(sorted(_REGISTRY.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def check(number: str, answer: Any) -> CheckResult:
    """Confere a resposta de um exercício.

    Parâmetros:
        number: número do exercício, como `"2.1"`.
        answer: a resposta: um número, uma função, o que o enunciado pedir; `...` é "ainda em branco".

    Devolve:
        Resultado verdadeiro se a resposta passa; se não, com uma dica.

    Erros:
        ValueError: exercício desconhecido; a mensagem lista os que existem.
    """
    exercises = available_exercises()
    if number not in exercises:
        raise ValueError(f"exercício {number!r} desconhecido. Os que existem são: {', '.join(exercises)}.")
    if answer is ...:
        return CheckResult(False, f"Exercício {number}: ainda em branco. Troque os `...` pela sua resposta.")
    try:
        hint = exercises[number].checker(answer)
    except Exception as error:  # a resposta é código do leitor: o erro dele vira dica, não interrompe o caderno
        hint = f"sua resposta levantou {type(error).__name__}: {error}. Teste-a antes num exemplo pequeno."
    if hint is None:
        return CheckResult(True, f"Exercício {number}: certo!")
    return CheckResult(False, f"Exercício {number}: ainda não. Dica: {hint}")
