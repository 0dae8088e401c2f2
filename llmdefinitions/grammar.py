"""Gramática probabilística com variáveis: sorteia textos, dá a log-probabilidade exata, a entropia e a contagem.

Uma gramática é um dicionário com quatro chaves (a sintaxe dos moldes está em `template`):

- `determinantes`: nome → formas `[m, f, mp, fp]`, como `"do": ["do", "da", "dos", "das"]`;
- `classes`: nome → lista de verbetes; um verbete é um texto ou `{"t": texto, "g": "m|f|mp|fp", "p": peso, ...}`, e os
  outros campos são textos, moldes, nomes de classes ou listas de verbetes; `"+outra"` inclui os de outra classe;
- `regras`: nome → lista de alternativas: um molde (peso 1) ou `[peso, molde]`;
- `inicio`: o nome da regra inicial.

O texto se escreve da esquerda para a direita por uma cadeia de células; o sorteio, o reconhecedor e as medidas
percorrem as mesmas células, cada um a seu modo. A probabilidade de um texto é a soma das de suas derivações (Booth e
Thompson, "Applying probability measures to abstract languages", 1973); numa gramática sem ambiguidade há uma só.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from llmdefinitions.template import BIND, INLINE, LITERAL, RULE, WRITE, Entry, compile_template

Reads = frozenset[tuple[str, str]]


class Choice:
    """Ponto de escolha: opções, pesos inteiros acumulados, log-probabilidades e entropia em nats."""

    __slots__ = ("cumulative", "entropy", "log_probs", "options", "total")

    def __init__(self, options: Sequence, weights: Sequence[int]) -> None:
        if not options or any(not isinstance(w, int) or w < 1 for w in weights):
            raise ValueError(
                f"escolha com {len(options)} opções e pesos {list(weights)}: dê ao menos uma opção, "
                "e a cada uma um peso inteiro a partir de 1"
            )
        self.options = tuple(options)
        self.cumulative = list(accumulate(weights))
        self.total = self.cumulative[-1]
        self.log_probs = [math.log(w / self.total) for w in weights]
        self.entropy = -math.fsum(w / self.total * p for w, p in zip(weights, self.log_probs, strict=True))


class Cell:
    """Um passo da cadeia: tipo, argumento, célula seguinte e o que, daqui em diante, decide escolhas."""

    __slots__ = ("arg", "branches", "kind", "next", "reads")

    def __init__(self, kind: int, arg: object, following: Cell | None, reads: Reads) -> None:
        self.kind, self.arg, self.next = kind, arg, following
        self.reads = reads | (following.reads if following else frozenset())
        self.branches: dict[str, Cell | None] = {}


class Grammar:
    """Gramática compilada de `spec` (ver o topo do módulo).

    Erros: `ValueError` se um molde cita regra, classe ou determinante que não existe, se um peso não é inteiro
    positivo, ou se uma regra contém a si mesma.
    """

    def __init__(self, spec: Mapping) -> None:
        self._spec = spec
        self._ops: dict[str, list] = {}
        self._reads: dict[str, Reads | None] = {}
        self._texts_by_field: dict[str, set[str]] = {}
        self._without: dict[tuple, Choice] = {}
        self._measures: dict[tuple, tuple[float, int]] = {}
        self._classes: dict[str, Choice] = {}
        for name in spec["classes"]:
            self._class(name)
        self._rules: dict[str, Choice] = {}
        for name, alternatives in spec["regras"].items():
            pairs = [(1, a) if isinstance(a, str) else a for a in alternatives]
            self._rules[name] = Choice([text for _, text in pairs], [weight for weight, _ in pairs])
        self._start = self._link(f"[{spec['inicio']}]", None)

    # -- compilação ---------------------------------------------------------------------------------------------

    def _class(self, name: str) -> Choice:
        if name not in self._classes:
            if name not in self._spec["classes"]:
                raise ValueError(f"a classe {name!r} não existe: declare-a em `classes`")
            self._classes[name] = self._pool(self._spec["classes"][name])
        return self._classes[name]

    def _pool(self, raws: Sequence) -> Choice:
        entries: list[Entry] = []
        for raw in raws:
            if isinstance(raw, str) and raw.startswith("+"):
                entries += self._class(raw[1:]).options
                continue
            fields = {}
            for key, value in raw.items() if isinstance(raw, Mapping) else ():
                fields[key] = self._pool(value) if isinstance(value, list) else value
                if isinstance(value, str):
                    self._texts_by_field.setdefault(key, set()).add(value)
            entries.append(Entry(raw, fields))
        return Choice(entries, [e.weight for e in entries])

    def _template_reads(self, template: str) -> Reads:
        if template not in self._reads:
            self._reads[template] = None
            self._ops[template] = compile_template(template, self._spec["determinantes"])
            self._reads[template] = frozenset().union(*(self._op_reads(*op) for op in self._ops[template]))
        reads = self._reads[template]
        if reads is None:
            raise ValueError(f"o molde {template!r} contém a si mesmo: a gramática tem de ser sem recursão")
        return reads

    def _op_reads(self, kind: int, arg) -> Reads:
        """Pares (variável, campo) que decidem escolhas nesta operação; campo vazio é a identidade do verbete."""
        if kind == BIND:
            _, source, avoid = arg
            if len(source) == 1:
                self._class(source[0])
            return frozenset([(y, "") for y in avoid] + ([source] if len(source) == 2 else []))
        if kind == INLINE:
            texts = self._texts_by_field.get(arg[1], ())
            return frozenset([arg]).union(*(self._template_reads(t) for t in texts))
        if kind == RULE:
            if arg not in self._rules:
                raise ValueError(f"a regra {arg!r} não existe: declare-a em `regras`")
            return frozenset().union(*(self._template_reads(t) for t in self._rules[arg].options))
        return frozenset()

    def _link(self, template: str, following: Cell | None) -> Cell | None:
        """Põe as operações de `template` na frente de `following`."""
        self._template_reads(template)
        for kind, arg in reversed(self._ops[template]):
            following = Cell(kind, arg, following, self._op_reads(kind, arg))
        return following

    # -- passos comuns ------------------------------------------------------------------------------------------

    def _branch(self, cell: Cell, template: str) -> Cell | None:
        if template not in cell.branches:
            cell.branches[template] = self._link(template, cell.next)
        return cell.branches[template]

    def _choice(self, cell: Cell, env: Mapping[str, Entry]) -> Choice:
        """O ponto de escolha de uma célula `RULE` ou `BIND`, dadas as variáveis já sorteadas."""
        if cell.kind == RULE:
            return self._rules[cell.arg]
        _, source, avoid = cell.arg
        pool = source[0] if len(source) == 1 else env[source[0]].fields[source[1]]
        if isinstance(pool, str):
            pool = self._class(pool)
        if not avoid:
            return pool
        key = (pool, frozenset(env[y] for y in avoid))
        if key not in self._without:
            kept = [e for e in pool.options if e not in key[1]]
            self._without[key] = Choice(kept, [e.weight for e in kept])
        return self._without[key]

    # -- uso ----------------------------------------------------------------------------------------------------

    def sample(self, random: Callable[[], float]) -> tuple[str, float]:
        """Sorteia `(texto, log-probabilidade em nats)`; `random` devolve uniformes em [0, 1)."""
        cell, env, pieces, log_prob = self._start, {}, [], 0.0
        while cell is not None:
            kind, arg = cell.kind, cell.arg
            if kind == LITERAL:
                pieces.append(arg)
                cell = cell.next
            elif kind == WRITE:
                pieces.append(arg(env))
                cell = cell.next
            elif kind == INLINE:
                cell = self._branch(cell, env[arg[0]].fields[arg[1]])
            else:
                choice = self._choice(cell, env)
                i = bisect_right(choice.cumulative, random() * choice.total)
                log_prob += choice.log_probs[i]
                if kind == RULE:
                    cell = self._branch(cell, choice.options[i])
                else:
                    env[arg[0]] = choice.options[i]
                    cell = cell.next
        return "".join(pieces), log_prob

    def derivations(self, text: str) -> Iterator[float]:
        """Log-probabilidade de cada derivação de `text`, por retrocesso exaustivo; nenhuma se não é da linguagem."""
        stack: list[tuple[Cell | None, int, dict[str, Entry], float]] = [(self._start, 0, {}, 0.0)]
        while stack:
            cell, at, env, log_prob = stack.pop()
            while cell is not None:
                kind, arg = cell.kind, cell.arg
                if kind in (LITERAL, WRITE):
                    piece = arg if kind == LITERAL else arg(env)
                    if not text.startswith(piece, at):
                        break
                    at, cell = at + len(piece), cell.next
                elif kind == INLINE:
                    cell = self._branch(cell, env[arg[0]].fields[arg[1]])
                else:
                    stack += self._continuations(cell, text, at, env, log_prob)
                    break
            else:
                if at == len(text):
                    yield log_prob

    def _continuations(self, cell: Cell, text: str, at: int, env: dict[str, Entry], log_prob: float) -> Iterator[tuple]:
        """Um estado por opção da escolha, exceto as que o texto já desmente na primeira escrita."""
        choice = self._choice(cell, env)
        following, trial = cell.next, dict(env)
        for option, step in zip(choice.options, choice.log_probs, strict=True):
            if cell.kind == RULE:
                following = self._branch(cell, option)
            else:
                trial[cell.arg[0]] = option
            if following is not None and following.kind in (LITERAL, WRITE):
                piece = following.arg if following.kind == LITERAL else following.arg(trial)
                if not text.startswith(piece, at):
                    continue
            yield following, at, dict(trial), log_prob + step

    def measure(self) -> tuple[float, int]:
        """Entropia da derivação (nats) e número de derivações, exatos, por recursão sobre as células."""
        return self._measure(self._start, {})

    def _measure(self, cell: Cell | None, env: dict[str, Entry]) -> tuple[float, int]:
        while cell is not None and cell.kind in (LITERAL, WRITE):
            cell = cell.next
        if cell is None:
            return 0.0, 1
        # Dois estados com os mesmos valores lidos adiante têm a mesma entropia: é o que torna o cálculo curto.
        key = (cell, frozenset((v, f, env[v].fields.get(f) if f else env[v]) for v, f in cell.reads if v in env))
        if key not in self._measures:
            self._measures[key] = self._measure_step(cell, env)
        return self._measures[key]

    def _measure_step(self, cell: Cell, env: dict[str, Entry]) -> tuple[float, int]:
        if cell.kind == INLINE:
            return self._measure(self._branch(cell, env[cell.arg[0]].fields[cell.arg[1]]), env)
        choice = self._choice(cell, env)
        if cell.kind == RULE:
            parts = [self._measure(self._branch(cell, option), env) for option in choice.options]
        elif cell.next is not None and any(v == cell.arg[0] for v, _ in cell.next.reads):
            parts = [self._measure(cell.next, {**env, cell.arg[0]: option}) for option in choice.options]
        else:
            parts = [self._measure(cell.next, env)] * len(choice.options)
        weighted = (math.exp(p) * h for p, (h, _) in zip(choice.log_probs, parts, strict=True))
        return choice.entropy + math.fsum(weighted), sum(n for _, n in parts)
