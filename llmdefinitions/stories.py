"""Corpus "historias": histórias curtas em português, sorteadas de uma gramática própria cuja entropia se conhece.

Cada história tem começo, problema e fim, com a mesma personagem e um objeto ou lugar que atravessa o texto, e vem com
a log-probabilidade exata sob a gramática. Como a gramática não é ambígua, a de um texto é a da sua única derivação, e a
entropia por história é a menor perda média que um modelo de linguagem pode alcançar neste corpus (em nats; dividida
pelo número médio de tokens, em nats por token). O léxico e os moldes estão em `assets/historias.json`; a sintaxe dos
moldes, em `template`.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import count, islice

from llmdefinitions.grammar import Grammar

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_CHOICE = re.compile(r"\[[^\]]*\]")
_WRITE = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True)
class Story:
    """Uma história e a sua log-probabilidade (natural, em nats) sob a gramática."""

    text: str
    log_prob: float


def _check_int(name: str, value: object, minimum: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r} é {type(value).__name__}: use um inteiro (int)")
    if minimum is not None and value < minimum:
        raise ValueError(f"{name}={value} é pequeno demais: use um inteiro a partir de {minimum}")
    return value


@cache
def story_spec() -> Mapping:
    """O léxico e os moldes, como lidos de `assets/historias.json` (não modifique: o objeto é compartilhado)."""
    return json.loads(files("llmdefinitions").joinpath("assets/historias.json").read_text(encoding="utf-8"))


@cache
def _grammar() -> Grammar:
    return Grammar(story_spec())


def iter_stories(seed: int = 123) -> Iterator[Story]:
    """Histórias sem fim; a mesma semente dá a mesma sequência em qualquer plataforma e versão do Python.

    Só usa `random.Random(seed).random()`, cujo gerador a linguagem garante. Erros: `TypeError` se `seed` não é `int`.
    """
    _check_int("seed", seed)
    uniform = random.Random(seed).random
    return (Story(*_grammar().sample(uniform)) for _ in count())


def sample_stories(n: int, *, seed: int = 123) -> list[Story]:
    """As `n` primeiras histórias de `iter_stories(seed)`: pedir mais só acrescenta ao fim.

    Erros: `TypeError` se `n` ou `seed` não são inteiros; `ValueError` se `n` é negativo.
    """
    return list(islice(iter_stories(seed), _check_int("n", n, 0)))


def log_prob(text: str) -> float:
    """Log-probabilidade (nats) de `text` sob a gramática, somada sobre as derivações; `-inf` se não é da linguagem.

    Vem de um reconhecedor que só vê o texto, independente do sorteio.
    """
    terms = list(_grammar().derivations(text))
    if not terms:
        return -math.inf
    top = max(terms)
    return top + math.log(math.fsum(math.exp(t - top) for t in terms))


def count_derivations(text: str) -> int:
    """De quantas maneiras a gramática gera `text`: 1 para toda história, 0 para qualquer outro texto."""
    return sum(1 for _ in _grammar().derivations(text))


@cache
def _measure() -> tuple[float, int]:
    return _grammar().measure()


def story_entropy() -> float:
    """Entropia exata de uma história, em nats."""
    return _measure()[0]


def count_stories() -> int:
    """Número exato de histórias distintas (o de derivações, pois a gramática não é ambígua)."""
    return _measure()[1]


def entropy_per_token(
    encode: Callable[[str], Sequence[int]], *, n: int = 2000, seed: int = 7, n_extra_tokens: int = 1
) -> tuple[float, float]:
    """Entropia em nats por token do tokenizador `encode`: `(estimativa, erro-padrão)`.

    A entropia por história é exata; só o número médio de tokens por história é estimado, com `n` histórias, e o
    erro-padrão propaga o dessa média (método delta). `n_extra_tokens` conta os que o treino acrescenta a cada história
    (1: o de fim de texto). O valor é o piso da perda média por token de quem prevê histórias inteiras, desde o início.

    Erros: `TypeError` se um número não é inteiro; `ValueError` se `n < 2`, se `n_extra_tokens < 0`, ou se `encode` não
    devolve nenhum token.
    """
    _check_int("n", n, 2)
    _check_int("n_extra_tokens", n_extra_tokens, 0)
    lengths = [len(encode(story.text)) + n_extra_tokens for story in sample_stories(n, seed=seed)]
    mean = sum(lengths) / n
    if mean == 0:
        raise ValueError("`encode` não devolveu nenhum token: passe uma função que codifica texto em ids")
    deviation = math.sqrt(sum((x - mean) ** 2 for x in lengths) / (n - 1))
    estimate = story_entropy() / mean
    return estimate, estimate * deviation / (mean * math.sqrt(n))


@cache
def content_words() -> frozenset[str]:
    """Palavras de conteúdo (minúsculas) que as histórias podem trazer, sem as da lista `funcionais` do léxico.

    De formas que variam em gênero ou número no mesmo lugar (`cansado/cansada`) conta só a primeira; flexões escritas em
    lugares diferentes (`abriu`, `abriram`) contam separadas.
    """
    spec = story_spec()
    texts = [a if isinstance(a, str) else a[1] for alts in spec["regras"].values() for a in alts]
    entries: list[Mapping] = []
    for raws in spec["classes"].values():
        entries += _flatten(raws)
    texts += [e[f] for e in entries for f in e if isinstance(e[f], str) and f in _written_fields(texts)]
    written = " ".join(_CHOICE.sub(" ", _WRITE.sub(_first_form, t.split("/")[0])) for t in texts)
    return frozenset(_WORD.findall(written.lower())) - frozenset(spec["funcionais"])


def _flatten(raws: Sequence) -> list[Mapping]:
    """Verbetes de uma classe e os aninhados nos campos deles; as inclusões (`"+outra"`) contam na outra classe."""
    entries = [{"t": raw} if isinstance(raw, str) else raw for raw in raws if not str(raw).startswith("+")]
    return entries + [e for entry in entries for v in entry.values() if isinstance(v, list) for e in _flatten(v)]


def _written_fields(templates: Sequence[str]) -> set[str]:
    return {"t"} | {m for t in templates for m in re.findall(r"[\[{]\w+\.(\w+)[\]}]", t)}


def _first_form(tag: re.Match) -> str:
    forms = re.split(r"[|#]", tag[1])
    return forms[1] if len(forms) > 1 else " "
