"""Heurísticas de qualidade: o que faz um texto da web parecer menu, lista de palavras-chave ou código, e não prosa.

São regras do Gopher (Rae et al., 2021, apêndice A.1.1) e do C4 (Raffel et al., 2020, seção 2.2), com as palavras
funcionais do português no lugar das inglesas. Nenhuma delas lê o texto: cada uma retira também alguma coisa boa, e por
isso cada uma é medida.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FUNCTION = "a ao as com como da das de do dos e em entre mais na no não o os ou para por que se um uma"
#: Palavras que aparecem em quase toda frase em português, e não em listas de palavras-chave.
FUNCTION_WORDS = frozenset(_FUNCTION.split())
_FINAL_PUNCTUATION = (".", "!", "?", "…", ":", ";", '"', "'", "”", "’", "»", ")")
_BULLETS = ("•", "·", "*", "-", "‣", "▪", "●", "◦")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True)
class QualityRules:
    """Limites da triagem; os padrões são os dos artigos, exceto onde se diz.

    Atributos:
        min_words, max_words: palavras por documento (Gopher).
        min_mean_length, max_mean_length: média de caracteres por palavra (Gopher).
        max_symbol_ratio: `#` por palavra, ou reticências por palavra (Gopher).
        min_alphabetic: fração das palavras com ao menos uma letra (Gopher).
        max_bullet_lines, max_ellipsis_lines: fração das linhas que começam com marcador, ou terminam em reticências
            (Gopher). O travessão não é marcador: em português abre a fala.
        max_repeated_lines: fração das linhas iguais a uma anterior (Gopher, tabela A1).
        min_function_words: quantas palavras funcionais distintas, de `FUNCTION_WORDS` (Gopher, com a lista nossa).
        allow_code: aceita chaves e "lorem ipsum" (o C4 recusa).
        max_lost: fração de caracteres U+FFFD, postos no lugar de bytes ilegíveis (nosso).
    """

    min_words: int = 50
    max_words: int = 100_000
    min_mean_length: float = 3.0
    max_mean_length: float = 10.0
    max_symbol_ratio: float = 0.1
    min_alphabetic: float = 0.8
    max_bullet_lines: float = 0.9
    max_ellipsis_lines: float = 0.3
    max_repeated_lines: float = 0.3
    min_function_words: int = 2
    allow_code: bool = False
    max_lost: float = 0.001

    def problem(self, text: str) -> tuple[str, str] | None:
        """A primeira regra que o texto quebra, como (razão, medida), ou `None` se passa em todas."""
        words = text.split()
        if not self.min_words <= len(words) <= self.max_words:
            reason = "poucas palavras" if len(words) < self.min_words else "palavras demais"
            return reason, str(len(words))
        if not words:
            return None
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        length = sum(map(len, words)) / len(words)
        if not self.min_mean_length <= length <= self.max_mean_length:
            return "comprimento das palavras", f"{length:.2f}"
        ellipses = text.count("...") + text.count("…")
        too_high = [
            ("símbolos", max(text.count("#"), ellipses) / len(words), self.max_symbol_ratio),
            (
                "palavras sem letras",
                sum(not any(map(str.isalpha, w)) for w in words) / len(words),
                1 - self.min_alphabetic,
            ),
            ("listas", sum(line.startswith(_BULLETS) for line in lines) / len(lines), self.max_bullet_lines),
            ("reticências", sum(line.endswith(("...", "…")) for line in lines) / len(lines), self.max_ellipsis_lines),
            ("linhas repetidas", 1 - len(set(lines)) / len(lines), self.max_repeated_lines),
            ("caracteres perdidos", text.count("\ufffd") / len(text), self.max_lost),
        ]
        for reason, value, limit in too_high:
            if value > limit + 1e-9:  # 1 − 0,8 não é exatamente 0,2 em ponto flutuante
                return reason, f"{value:.3f}"
        found = FUNCTION_WORDS.intersection(_EDGES.sub("", word.lower()) for word in words)
        if len(found) < self.min_function_words:
            return "sem palavras funcionais", str(len(found))
        if not self.allow_code and ("{" in text or "lorem ipsum" in text.lower()):
            return "código ou enchimento", "{" if "{" in text else "lorem ipsum"
        return None


def drop_short_lines(text: str, min_words: int = 5) -> str:
    """Sem as linhas de menos de `min_words` palavras que não terminam em pontuação: restos de menu e botões.

    O C4 exige as duas coisas de toda linha, tamanho e pontuação; aqui basta uma, para que fiquem as falas curtas
    ("— Sim.") e os versos. O preço é perder títulos.

    Erros:
        ValueError: min_words < 1.
    """
    if min_words < 1:
        raise ValueError(f"min_words={min_words}: esperado um inteiro ≥ 1")
    kept = []
    for line in text.split("\n"):
        words = line.split()
        if not words or len(words) >= min_words or words[-1].endswith(_FINAL_PUNCTUATION):
            kept.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")
