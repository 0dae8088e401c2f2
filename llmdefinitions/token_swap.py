"""Trocas de tokens nos exemplos de treino: o que a resposta copia do texto dado passa a ser outra coisa a cada volta.

Quem vê poucas vezes os mesmos exemplos decora a resposta de cada um, e não aprende a procurá-la no pedido. Sortear
outro token no lugar do copiado, no texto e na resposta, deixa a procura como única saída.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from .instruction import EncodedExample

#: Categorias em que a resposta continua certa com outra coisa no lugar do que copia. Nas demais ela depende da palavra
#: (o plural, o artigo, a ordem alfabética, a grafia), e trocar ensinaria um erro.
COPYING = frozenset(
    {
        *("JSON", "cópia", "extração", "formato pedido", "lista", "negação", "pontuação", "pronome", "tempo verbal"),
        "voz passiva",
    }
)
_SHORT = 3  # tokens menores são pontuação, artigos e terminações


class TokenSwapper:
    """Troca por outros, sorteados, tokens que estão no texto dado e na resposta.

    Só se trocam algarismos e tokens de três letras ou mais, fora os que estão também na instrução, e cada um em metade
    das vezes: o que sobra da frase ainda mostra o que é sujeito, verbo e objeto. O que entra no lugar tem o mesmo
    começo, com espaço antes ou sem, com maiúscula ou não; e um número, outro de tantos algarismos.

    Parâmetros:
        tokenizer: o tokenizador dos exemplos, Hugging Face.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.pools: dict[tuple, list[int]] = {}
        self.kinds: dict[int, tuple] = {}
        for i in range(tokenizer.get_vocab_size()):
            text = tokenizer.decode([i])
            word = text.strip()
            if word.isdecimal():
                self.kinds[i] = (text[0] == " ", len(word))
            elif len(word) >= _SHORT and word.isalpha():
                self.kinds[i] = (text[0] == " ", "maiúscula" if word[0].isupper() else "minúscula")
            if i in self.kinds:
                self.pools.setdefault(self.kinds[i], []).append(i)

    def __call__(
        self, entry: Mapping[str, Any], example: EncodedExample, fixed: set[int], rng: random.Random
    ) -> EncodedExample:
        """O exemplo com outros tokens, ou o mesmo se não há o que trocar.

        Parâmetros:
            entry: o item, de que importam a categoria e se há texto dado.
            example: os ids dele.
            fixed: ids da instrução, que ficam como estão.
            rng: de onde vêm os sorteios.
        """
        if entry.get("categoria") not in COPYING or not entry.get("input"):
            return example
        copied = set(example[: example.prompt_length]) & set(example[example.prompt_length :]) - fixed
        swaps = {
            token: rng.choice(self.pools[self.kinds[token]])
            for token in sorted(copied)
            if token in self.kinds and rng.random() < 0.5
        }
        return EncodedExample([swaps.get(token, token) for token in example], example.prompt_length)
