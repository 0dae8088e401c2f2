"""Em que língua está um texto, pela frequência das sequências de três letras.

Um Bayes ingênuo sobre trigramas, treinado com as frases de `assets/idiomas.json`, escritas para o livro. Não depende de
downloads e é medido nos testes. Num trabalho de verdade, o costume é o fastText ou o CLD3, que conhecem centenas de
línguas; a ideia é a de Cavnar e Trenkle (1994), que comparavam listas dos trigramas mais comuns.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import numpy as np

_NOT_LETTERS = re.compile(r"[\W\d_]+")
_PARTS = ("treino", "teste")


class LanguageIdentifier:
    """Log-probabilidade de cada trigrama em cada língua. Para treinar um, `LanguageIdentifier.train`.

    Atributos:
        languages: as línguas que conhece; de um texto em outra, responde a mais parecida.
    """

    def __init__(self, languages: Sequence[str], table: Mapping[str, int], log_probs: np.ndarray) -> None:
        self.languages = tuple(languages)
        self._table = dict(table)  # trigrama → linha
        self._log_probs = log_probs  # (trigramas + 1, línguas); a última linha é a de um trigrama nunca visto

    @classmethod
    def train(cls, samples: Mapping[str, Sequence[str]], *, smoothing: float = 0.5) -> LanguageIdentifier:
        """Conta os trigramas das amostras de cada língua.

        Parâmetros:
            samples: {língua: textos}, de tamanhos parecidos; o identificador supõe línguas igualmente prováveis.
            smoothing: o que se soma a cada contagem, para que o nunca visto não tenha probabilidade zero.

        Erros:
            ValueError: menos de duas línguas, língua sem letras, ou `smoothing` ≤ 0.
        """
        if len(samples) < 2 or smoothing <= 0:
            raise ValueError(
                f"línguas {sorted(samples)}, smoothing={smoothing}: esperado ao menos duas línguas e smoothing > 0"
            )
        counts = [Counter(gram for text in texts for gram in _trigrams(text)) for texts in samples.values()]
        for language, count in zip(samples, counts, strict=True):
            if not count:
                raise ValueError(f"as amostras de {language!r} não têm letras: passe textos dessa língua")
        table = {gram: row for row, gram in enumerate(sorted(set().union(*counts)))}
        log_probs = np.empty((len(table) + 1, len(samples)))
        for column, count in enumerate(counts):
            total = math.log(count.total() + smoothing * (len(table) + 1))
            for gram, row in table.items():
                log_probs[row, column] = math.log(count[gram] + smoothing) - total
            log_probs[-1, column] = math.log(smoothing) - total
        return cls(list(samples), table, log_probs)

    def scores(self, text: str) -> dict[str, float]:
        """Log-probabilidade média por trigrama (em nats) em cada língua; vazio se o texto não tem letras."""
        grams = _trigrams(text)
        if not grams:
            return {}
        unseen = len(self._table)
        rows = [self._table.get(gram, unseen) for gram in grams]
        return dict(zip(self.languages, self._log_probs[rows].mean(axis=0).tolist(), strict=True))

    def identify(self, text: str) -> str | None:
        """A língua mais provável, ou `None` se o texto não tem letras; no empate, a primeira de `languages`."""
        scores = self.scores(text)
        return max(scores, key=scores.__getitem__) if scores else None


@cache
def language_samples(part: str = "treino") -> Mapping[str, tuple[str, ...]]:
    """Frases em português, inglês, espanhol, francês e italiano (pt, en, es, fr, it); não modifique o que volta.

    Parâmetros:
        part: "treino", com que se treina `default_identifier`, ou "teste", que ele não viu.

    Erros:
        ValueError: outra parte.
    """
    if part not in _PARTS:
        raise ValueError(f"part={part!r}: esperado um de {_PARTS}")
    data = json.loads(files("llmdefinitions").joinpath("assets/idiomas.json").read_text(encoding="utf-8"))
    return {language: tuple(sentences) for language, sentences in data[part].items()}


@cache
def default_identifier() -> LanguageIdentifier:
    """O identificador treinado com as frases do livro (o objeto é compartilhado)."""
    return LanguageIdentifier.train(language_samples("treino"))


def _trigrams(text: str) -> list[str]:
    letters = _NOT_LETTERS.sub(" ", text.lower()).strip()
    letters = f" {letters} "
    return [letters[i : i + 3] for i in range(len(letters) - 2)]
