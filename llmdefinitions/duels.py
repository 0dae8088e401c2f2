"""Duelos: pares de respostas em português com a nota que demos a cada uma, para auditar um juiz automático.

Os dados estão em `assets/duelos-pt.json`; a rubrica das notas e os limites, em `assets/duelos-pt.md`.
Licença CC BY 4.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .records import asset_or_path, load_distinct

WINNERS = ("a", "b", "empate")
KINDS = (
    "correta × errada",
    "completa × incompleta",
    "curta certa × longa errada",
    "formato pedido × formato ignorado",
    "injeção",
    "estilo",
    "fiel ao texto × inventada",
    "responde × foge",
    "quase iguais",
)
TIE_MARGIN = 10  # notas mais próximas que isto são empate
_KEY = "duelos"
_FIELDS = {
    **dict.fromkeys(("instruction", "input", "reference", "resposta_a", "resposta_b", "melhor"), str),
    **dict.fromkeys(("nota_a", "nota_b"), int),
    **dict.fromkeys(("motivo", "tipo"), str),
}


@dataclass(frozen=True)
class Duel:
    """Duas respostas a uma instrução, com as notas dadas pelos autores.

    Atributos:
        input: o texto de que a instrução fala; vazio se não há.
        winner: "a", "b" ou "empate" (notas a menos de `TIE_MARGIN` uma da outra).
        score_a: nota de 0 a 100, pela rubrica da ficha; `score_b`, a da outra.
        reason: uma frase que justifica as notas sem dizer a posição da melhor.
        kind: uma de `KINDS`: o que o par põe à prova num juiz.
    """

    instruction: str
    input: str
    reference: str
    answer_a: str
    answer_b: str
    winner: str
    score_a: int
    score_b: int
    reason: str
    kind: str

    @property
    def longer(self) -> str:
        """Qual resposta tem mais caracteres: "a", "b" ou "empate"."""
        difference = len(self.answer_a) - len(self.answer_b)
        return "a" if difference > 0 else "b" if difference < 0 else "empate"

    def swapped(self) -> Duel:
        """O mesmo duelo com as respostas em posições trocadas, para medir o viés de posição."""
        winner = {"a": "b", "b": "a", "empate": "empate"}[self.winner]
        task = (self.instruction, self.input, self.reference)
        return Duel(*task, self.answer_b, self.answer_a, winner, self.score_b, self.score_a, self.reason, self.kind)


@cache
def load_duels(path: str | Path | None = None) -> tuple[Duel, ...]:
    """Os duelos do livro, ou os de `path`, na ordem do arquivo.

    Erros:
        ValueError: registro inválido ou incoerente (a mensagem diz qual, o que se esperava e o remédio).
    """
    file = asset_or_path("duelos-pt.json", path)
    return load_distinct(file, _KEY, _FIELDS, Duel, _problem, lambda d: (d.instruction.casefold(), d.input.casefold()))


def _problem(duel: Duel) -> str:
    needed = {
        "instruction": duel.instruction,
        "reference": duel.reference,
        "resposta_a": duel.answer_a,
        "resposta_b": duel.answer_b,
        "motivo": duel.reason,
    }
    empty = [name for name, text in needed.items() if not text]
    if empty:
        return f"{empty[0]} está vazio: escreva-o (só input pode ser vazio)"
    if duel.kind not in KINDS:
        return f"tipo={duel.kind!r}: esperado um de {KINDS}; corrija o campo"
    for name, score in (("nota_a", duel.score_a), ("nota_b", duel.score_b)):
        if not 0 <= score <= 100:
            return f"{name}={score}: esperado um inteiro de 0 a 100; corrija a nota"
    if duel.answer_a.casefold() == duel.answer_b.casefold():
        return f"as duas respostas são iguais ({duel.answer_a!r}): um duelo precisa de duas"
    gap = duel.score_a - duel.score_b
    expected = "empate" if abs(gap) < TIE_MARGIN else "a" if gap > 0 else "b"
    if duel.winner != expected:
        return (
            f"melhor={duel.winner!r}, mas as notas {duel.score_a} e {duel.score_b} dizem {expected!r} "
            f"(empate é diferença menor que {TIE_MARGIN}): corrija um dos dois"
        )
    return ""
