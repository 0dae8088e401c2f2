"""Fertilidade de um tokenizador: tokens por palavra, e o que isso custa em contexto e em dinheiro."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .tokenizer import encode


@dataclass(frozen=True)
class Fertility:
    """Contagem de um tokenizador sobre um conjunto de textos."""

    n_tokens: int
    n_words: int

    @property
    def tokens_per_word(self) -> float:
        """Tokens por palavra, sobre o conjunto todo (Rust et al., 2021)."""
        return self.n_tokens / self.n_words

    def words_in(self, context_length: int) -> float:
        """Palavras que cabem em `context_length` tokens."""
        return context_length / self.tokens_per_word

    def cost_per_million_words(self, usd_per_million_tokens: float, brl_per_usd: float) -> float:
        """Reais para processar um milhão de palavras, com o preço em dólares por milhão de tokens.

        Erros:
            ValueError: preço ou câmbio não positivo.
        """
        if not usd_per_million_tokens > 0 or not brl_per_usd > 0:
            raise ValueError(
                f"usd_per_million_tokens={usd_per_million_tokens}, brl_per_usd={brl_per_usd}: esperados dois números "
                "maiores que zero."
            )
        return self.tokens_per_word * usd_per_million_tokens * brl_per_usd


def measure_fertility(texts: Sequence[str], tokenizer: Any) -> Fertility:
    """Conta tokens e palavras (separadas por espaços) dos textos.

    Erros:
        ValueError: nenhuma palavra, ou um texto só no lugar de uma lista.
    """
    if isinstance(texts, str):
        raise ValueError("texts é um texto só, que seria lido letra por letra: passe [texto].")
    n_words = sum(len(text.split()) for text in texts)
    if not n_words:
        raise ValueError(f"{len(texts)} textos sem palavra alguma: não há pelo que dividir.")
    return Fertility(sum(len(encode(text, tokenizer)) for text in texts), n_words)
