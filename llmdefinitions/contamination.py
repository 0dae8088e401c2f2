"""Contaminação: quanto de um conjunto de teste já estava no texto de treino, por n-gramas de palavras.

É a conferência de Brown et al. (2020, apêndice C), que usaram n-gramas de 13 palavras, e de quase todo relatório desde
então. Acha cópias; não acha paráfrases nem traduções.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import Interval, rate_interval
from .minhash import shingle_hashes


@dataclass(frozen=True)
class Overlap:
    """Quanto de cada texto de teste aparece no treino.

    Atributos:
        n: palavras por n-grama.
        fractions: por texto, a fração dos n-gramas distintos que o treino tem.
    """

    n: int
    fractions: tuple[float, ...]

    def contaminated(self, threshold: float = 0.5) -> list[int]:
        """Posições dos textos com fração maior ou igual a `threshold`."""
        return [i for i, fraction in enumerate(self.fractions) if fraction >= threshold]

    def rate(self, threshold: float = 0.5) -> Interval:
        """Fração dos textos contaminados, com intervalo."""
        return rate_interval([fraction >= threshold for fraction in self.fractions])


def ngram_overlap(test: Sequence[str], train: Iterable[str], n: int = 8, *, batch: int = 2000) -> Overlap:
    """Procura no treino os n-gramas de cada texto de teste; maiúsculas, acentos e pontuação não contam.

    Um texto com menos de n palavras é um n-grama só, o texto inteiro, que o treino só tem se o tiver inteiro.

    Parâmetros:
        test: textos de teste, cada um com ao menos uma palavra.
        train: textos de treino; pode ser um gerador.
        n: palavras por n-grama.
        batch: textos de treino por vez.

    Erros:
        ValueError: nenhum texto de teste, texto sem palavras, ou n < 1.
    """
    if not test:
        raise ValueError("nenhum texto de teste: não há o que procurar no treino.")
    wanted = shingle_hashes(test, n)
    all_wanted = np.unique(np.concatenate(wanted))
    found = np.zeros(len(all_wanted), dtype=bool)
    group: list[str] = []
    for text in train:
        if any(c.isalnum() for c in text):
            group.append(text)
        if len(group) == batch:
            found |= _present(all_wanted, group, n)
            group = []
    if group:
        found |= _present(all_wanted, group, n)
    return Overlap(n, tuple(float(found[np.searchsorted(all_wanted, own)].mean()) for own in wanted))


def _present(wanted: np.ndarray, texts: list[str], n: int) -> np.ndarray:
    return np.isin(wanted, np.concatenate(shingle_hashes(texts, n)))
