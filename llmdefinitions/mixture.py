"""Mistura de corpora: qual janela de qual fonte é a k-ésima amostra do treino.

A resposta é uma conta, e não um estado: dada a semente, a amostra k é sempre a mesma, com qualquer número de
processos e em qualquer ordem. Retomar um treino, ou dividi-lo entre máquinas, é só continuar a contar.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from .recipe import Recipe
from .token_store import TokenStore

#: Amostras por bloco; em cada bloco, cada fonte aparece exatamente o seu percentual de vezes.
BLOCK = 100
_ROUNDS = 4


class Mixture:
    """Amostras de treino tiradas de várias fontes em proporções fixas.

    Cada fonte é percorrida em épocas: numa época, toda janela aparece uma vez, em ordem embaralhada; a cada época os
    cortes entre janelas mudam de lugar.

    Parâmetros:
        stores: arquivos de tokens, por nome.
        weights: percentual de amostras de cada fonte; inteiros que somam 100.
        context_length: tokens por janela, T.
        seed: semente de toda a ordem.
        repeat: percentual de amostras em que o começo da janela se repete até o fim dela. Ensina a copiar do próprio
            contexto (Olsson et al., 2022), que um corpus pequeno quase não exige; o período varia de T/16 a T/2.

    Atributos:
        names: fontes de peso maior que zero, na ordem dos pesos.
        windows: janelas por época de cada uma.

    Erros:
        ValueError: pesos que não somam 100, `repeat` fora de 0 a 100, fonte desconhecida, ou fonte menor que duas
            janelas.
    """

    def __init__(
        self,
        stores: Mapping[str, TokenStore],
        weights: Mapping[str, int],
        context_length: int,
        seed: int,
        *,
        repeat: int = 0,
    ) -> None:
        if not 0 <= repeat <= BLOCK:
            raise ValueError(f"repeat={repeat}: esperado um percentual inteiro, de 0 a {BLOCK}.")
        self.repeat = repeat
        if sum(weights.values()) != BLOCK or any(w != int(w) or w < 0 for w in weights.values()):
            raise ValueError(f"pesos {dict(weights)}: esperado inteiros ≥ 0 que somem {BLOCK} (percentuais).")
        self.names = [name for name, weight in weights.items() if weight]
        if missing := [name for name in self.names if name not in stores]:
            raise ValueError(f"fontes sem dados: {', '.join(missing)}; há {', '.join(stores)}.")
        self.stores = [stores[name] for name in self.names]
        self.counts = np.array([weights[name] for name in self.names])  # (fontes,)
        self.ends = self.counts.cumsum()  # (fontes,)
        self.context_length, self.seed = context_length, seed
        # Cabem T deslocamentos diferentes em toda época: o último pedaço, menor que duas janelas, fica de fora.
        self.windows = [(len(store) - context_length) // context_length for store in self.stores]
        for name, store, windows in zip(self.names, self.stores, self.windows, strict=True):
            if windows < 1:
                raise ValueError(
                    f"fonte {name!r} com {len(store)} tokens: precisa de ao menos {2 * context_length} para janelas "
                    f"de {context_length}; use mais texto ou um contexto menor."
                )

    @classmethod
    def from_recipe(cls, stores: Mapping[str, TokenStore], recipe: Recipe) -> Mixture:
        """As amostras que uma receita pede, tiradas dos arquivos dos seus corpora."""
        return cls(stores, recipe.mixture, recipe.context_length, recipe.seed, repeat=recipe.repeat_percent)

    def locate(self, sample: int) -> tuple[int, int]:
        """Fonte (posição em `names`) e posição inicial da amostra `sample`, que conta a partir de 0.

        Erros:
            ValueError: amostra negativa.
        """
        if sample < 0:
            raise ValueError(f"amostra {sample}: esperado um inteiro ≥ 0.")
        block, position = divmod(int(sample), BLOCK)
        slot = permute(position, BLOCK, self._key("bloco", block))
        source = int(np.searchsorted(self.ends, slot, side="right"))
        count = int(self.counts[source])
        nth = block * count + slot - (int(self.ends[source]) - count)  # quantas desta fonte vieram antes
        epoch, window = divmod(nth, self.windows[source])
        key = self._key(self.names[source], epoch)
        start = key % self.context_length + permute(window, self.windows[source], key) * self.context_length
        return source, start

    def period(self, sample: int) -> int:
        """De quantos em quantos tokens a amostra se repete; 0 se ela é um trecho comum."""
        block, position = divmod(int(sample), BLOCK)
        if permute(position, BLOCK, self._key("repetição", block)) >= self.repeat:
            return 0
        shortest, longest = max(1, self.context_length // 16), max(1, self.context_length // 2)
        return shortest + self._key("período", int(sample)) % (longest - shortest + 1)

    def batch(self, samples: range) -> tuple[Tensor, Tensor]:
        """Entradas e alvos das amostras pedidas: int64 `(B, T)` e `(B, T)`, na ordem.

        Erros:
            ValueError: amostra negativa.
        """
        places = [self.locate(sample) for sample in samples]
        rows = np.empty((len(places), self.context_length + 1), dtype=np.int64)  # (B, T + 1)
        for source, store in enumerate(self.stores):
            mine = [i for i, (found, _) in enumerate(places) if found == source]
            if mine:
                starts = np.array([places[i][1] for i in mine])
                rows[mine] = store.read(starts, self.context_length + 1)
        places_in_row = np.arange(self.context_length + 1)
        for row, sample in zip(rows, samples, strict=True):
            if self.repeat and (period := self.period(sample)):
                row[:] = row[places_in_row % period]
        both = torch.from_numpy(rows)
        return both[:, :-1].contiguous(), both[:, 1:].contiguous()

    def epochs(self, samples: int) -> dict[str, float]:
        """Quantas vezes `samples` amostras percorrem cada fonte."""
        return {
            name: float(samples * count / BLOCK / windows)
            for name, count, windows in zip(self.names, self.counts, self.windows, strict=True)
        }

    def _key(self, name: str, number: int) -> int:
        digest = hashlib.blake2b(f"{self.seed}|{name}|{number}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little")


def permute(i: int, n: int, key: int) -> int:
    """Posição de `i` numa permutação de `range(n)` escolhida por `key`, sem guardar a permutação.

    Uma rede de Feistel (Luby & Rackoff, 1988) embaralha os números de um quadrado 2^h × 2^h que contém `range(n)`, e
    quem cai fora dele é embaralhado de novo até voltar (Black & Rogaway, 2002).

    Erros:
        ValueError: `i` fora de `range(n)`.
    """
    if not 0 <= i < n:
        raise ValueError(f"i={i}: esperado um inteiro entre 0 e {n - 1}.")
    half = max(1, ((n - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = i >> half, i & mask
        for round_ in range(_ROUNDS):
            left, right = right, left ^ (_mix(right ^ key ^ (round_ << 56)) & mask)
        i = left << half | right
        if i < n:
            return i


def _mix(x: int) -> int:
    """Espalha os bits de um inteiro de 64 bits (o finalizador do SplitMix64; Steele et al., 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return x ^ x >> 31
