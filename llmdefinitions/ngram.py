"""Modelo de n-gramas com suavização de Kneser-Ney: o adversário que uma rede neural precisa vencer.

Vale para qualquer alfabeto de ids: bytes, tokens de um BPE, palavras. Referências: Kneser e Ney (1995); Chen e Goodman
(1999), de onde vêm a forma interpolada e os três descontos por ordem.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# Os de reserva do KenLM (Heafield et al., 2013), para quando as contagens de contagens não permitem estimá-los.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class _Order:
    """Os n-gramas de uma ordem. O id de um n-grama é sua posição em `keys`; o contexto é um id da ordem de baixo.

    `total` e `reserve` são por contexto: a soma das contagens, e a massa que os descontos tiram delas.
    """

    keys: np.ndarray  # int64 (N,), em ordem crescente: id do contexto · (V + 1) + último id
    counts: np.ndarray  # int32 (N,)
    discounts: np.ndarray  # float64 (4,): o que se desconta de contagens 0, 1, 2 e ≥ 3
    total: np.ndarray  # int64 (C,)
    reserve: np.ndarray  # float64 (C,)


class KneserNeyModel:
    """Modelo de n-gramas com Kneser-Ney modificado e interpolado.

    A probabilidade de w depois do contexto h (os n − 1 ids anteriores) é

        p(w | h) = [c(hw) − D(c(hw))] / c(h) + γ(h) · p(w | h′),    γ(h) = Σ_w D(c(hw)) / c(h),

    em que h′ é h sem seu id mais antigo e, num contexto nunca visto, p(w | h) = p(w | h′). Na ordem mais alta, c conta
    ocorrências; nas outras, quantos ids diferentes já vieram antes do n-grama (a contagem de continuação: "Francisco"
    é frequente, mas quase só depois de "São"). Abaixo de todas está a distribuição uniforme 1/V, que dá a todo id do
    vocabulário uma probabilidade positiva. Cada documento é precedido de n − 1 marcas de início, que servem de contexto
    e nunca são previstas.

    Atributos:
        order: quantos ids tem o maior n-grama.
        vocab_size: V; os ids vão de 0 a V − 1.
    """

    def __init__(self, order: int, vocab_size: int) -> None:
        if order < 1 or not 1 <= vocab_size < 2**31 - 1:
            raise ValueError(f"order={order}, vocab_size={vocab_size}: esperado order ≥ 1 e 1 ≤ vocab_size < 2³¹ − 1")
        self.order = order
        self.vocab_size = vocab_size
        self._tables: list[_Order] = []

    def fit(self, documents: Iterable[Sequence[int] | bytes | np.ndarray]) -> KneserNeyModel:
        """Conta os n-gramas dos documentos e estima os descontos; o que foi aprendido antes é esquecido.

        Parâmetros:
            documents: sequências de ids, ou `bytes`, com `vocab_size=256`; nenhum n-grama atravessa de uma para outra.

        Devolve:
            O próprio modelo.

        Erros:
            ValueError: nenhum id, ou ids que não são inteiros de 0 a vocab_size − 1.
        """
        start = np.full(max(1, self.order - 1), self.vocab_size, dtype=np.int32)
        pieces = [part for document in documents for part in (start, self._checked(document))]
        if not any(map(len, pieces[1::2])):
            raise ValueError("nenhum id de treino: passe ao menos um documento que não seja vazio")
        stream = np.concatenate(pieces)  # (T,)
        self._tables = _count(stream, self.order, self.vocab_size)
        return self

    def log_probs(self, ids: Sequence[int] | bytes | np.ndarray) -> np.ndarray:
        """Logaritmo natural da probabilidade de cada id de um documento, dados os anteriores: float64 (T,), nats.

        Erros:
            ValueError: ids que não são inteiros de 0 a vocab_size − 1.
            RuntimeError: o modelo ainda não foi treinado.
        """
        self._check_fitted()
        ids = self._checked(ids)
        start = np.full(self.order, self.vocab_size, dtype=np.int32)
        stream = np.concatenate([start, ids])  # (order + T,)
        probs = np.full(len(ids), 1 / self.vocab_size)  # (T,)
        context = np.zeros(len(stream), dtype=np.int64)  # id do contexto que precede cada posição, −1 se não há
        for table in self._tables:
            position, found = self._lookup(table, context, stream)
            here, known = context[self.order :], found[self.order :]
            total = np.where(here >= 0, table.total[here], 0)
            seen = total > 0
            count = np.where(known, table.counts[position[self.order :]], 0)
            gain = count - table.discounts[np.minimum(count, 3)]
            mixed = (gain + table.reserve[here] * probs) / np.maximum(total, 1)
            probs = np.where(seen, mixed, probs)
            # O n-grama que termina numa posição é o contexto da seguinte, na próxima ordem.
            context = np.concatenate([[-1], np.where(found, position, -1)[:-1]])
        return np.log(probs)

    def log_prob(self, ids: Sequence[int] | bytes | np.ndarray) -> float:
        """Logaritmo natural da probabilidade do documento inteiro, em nats; os erros são os de `log_probs`."""
        return float(self.log_probs(ids).sum())

    def next_probs(self, context: Sequence[int] | bytes | np.ndarray = ()) -> np.ndarray:
        """Distribuição do próximo id depois dos primeiros ids de um documento: float64 (V,), que soma 1.

        Erros:
            ValueError: ids que não são inteiros de 0 a vocab_size − 1.
            RuntimeError: o modelo ainda não foi treinado.
        """
        self._check_fitted()
        base = self.vocab_size + 1
        start = np.full(self.order, self.vocab_size, dtype=np.int32)
        past = np.concatenate([start, self._checked(context)])
        probs = np.full(self.vocab_size, 1 / self.vocab_size)  # (V,)
        for n, table in enumerate(self._tables):
            node = 0  # o contexto de n ids, achado id por id a partir do vazio
            for lower, token in zip(self._tables, past[len(past) - n :], strict=False):
                key = node * base + int(token)
                node = int(np.searchsorted(lower.keys, key))
                if node == len(lower.keys) or lower.keys[node] != key:
                    return probs
            if table.total[node] == 0:
                return probs
            first, last = np.searchsorted(table.keys, [node * base, node * base + self.vocab_size])
            count = table.counts[first:last]
            probs = probs * table.reserve[node]
            probs[table.keys[first:last] % base] += count - table.discounts[np.minimum(count, 3)]
            probs /= table.total[node]
        return probs

    @property
    def sizes(self) -> tuple[int, ...]:
        """Quantos n-gramas diferentes foram vistos, da ordem 1 à mais alta."""
        self._check_fitted()
        return tuple(int(np.count_nonzero(table.counts)) for table in self._tables)

    @property
    def discounts(self) -> tuple[tuple[float, float, float], ...]:
        """Os descontos de contagens 1, 2 e ≥ 3, da ordem 1 à mais alta."""
        self._check_fitted()
        return tuple(tuple(map(float, table.discounts[1:])) for table in self._tables)

    def _lookup(self, table: _Order, context: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = context * (self.vocab_size + 1) + last
        position = np.minimum(np.searchsorted(table.keys, key), len(table.keys) - 1)
        return position, table.keys[position] == key  # contexto −1 dá chave negativa, que não está na tabela

    def _checked(self, ids: Sequence[int] | bytes | np.ndarray) -> np.ndarray:
        ids = np.frombuffer(ids, dtype=np.uint8) if isinstance(ids, bytes) else np.asarray(ids)
        if ids.size == 0:
            return np.empty(0, dtype=np.int32)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ValueError(f"ids de formato {ids.shape} e tipo {ids.dtype}: esperado uma sequência de inteiros (T,)")
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= self.vocab_size:
            raise ValueError(
                f"ids vão de {low} a {high}, fora do vocabulário (0 a {self.vocab_size - 1}): confira o tokenizador ou "
                "crie o modelo com o vocab_size dele"
            )
        return ids.astype(np.int32)

    def _check_fitted(self) -> None:
        if not self._tables:
            raise RuntimeError("o modelo ainda não foi treinado: chame fit(documentos) antes")


def _count(stream: np.ndarray, order: int, vocab_size: int) -> list[_Order]:
    """Conta os n-gramas de todas as ordens por ordenação: cada um é (id do contexto, último id) num só inteiro.

    Ordenar inteiros de 64 bits custa segundos e poucas vezes a memória dos ids; um dicionário de tuplas, dezenas.
    """
    counted = (stream < vocab_size).astype(np.int32)  # a marca de início é contexto, mas não se prevê
    context = np.zeros(len(stream), dtype=np.int64)  # id do contexto de n − 1 ids antes de cada posição
    levels: list[tuple[np.ndarray, np.ndarray]] = []  # (chaves, contagens) de cada ordem
    n_contexts = [1]
    ids = np.empty(0, dtype=np.int64)
    for n in range(1, order + 1):
        below = ids
        keys, first, ids = np.unique(
            context * (vocab_size + 1) + stream, return_index=True, return_inverse=True
        )  # (N,), (N,), (T,)
        predicted = counted[first]
        if n > 1:
            # Cada n-grama diferente é uma continuação do (n−1)-grama que fica sem o seu primeiro id.
            suffix = below[first]
            lower = np.bincount(suffix, weights=predicted, minlength=n_contexts[-1]).astype(np.int32)
            levels[-1] = (levels[-1][0], lower)
        raw = np.bincount(ids, weights=counted, minlength=len(keys)).astype(np.int32)
        levels.append((keys, raw))
        n_contexts.append(len(keys))
        # O que a volta põe na primeira posição não importa: até order − 1 só há marcas, que não se contam.
        context = np.roll(ids, 1)
    return [_order(keys, counts, size, vocab_size) for (keys, counts), size in zip(levels, n_contexts, strict=False)]


def _order(keys: np.ndarray, counts: np.ndarray, n_contexts: int, vocab_size: int) -> _Order:
    discounts = np.array([0.0, *estimate_discounts(counts)])
    context = keys // (vocab_size + 1)
    total = np.bincount(context, weights=counts, minlength=n_contexts).astype(np.int64)
    reserve = np.bincount(context, weights=discounts[np.minimum(counts, 3)], minlength=n_contexts)
    return _Order(keys, counts, discounts, total, reserve)


def estimate_discounts(counts: np.ndarray) -> tuple[float, float, float]:
    """Descontos D₁, D₂ e D₃₊ a partir das contagens dos n-gramas de uma ordem (Chen e Goodman, 1999).

    Com n_k n-gramas de contagem k e Y = n₁ / (n₁ + 2n₂): D_k = k − (k + 1) · Y · n_{k+1} / n_k. Se algum n_k é zero,
    ou algum D_k sai de (0, k], valem os três de `FALLBACK_DISCOUNTS`.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6)
    if not n[1:5].all():
        return FALLBACK_DISCOUNTS
    y = n[1] / (n[1] + 2 * n[2])
    found = tuple(float(k - (k + 1) * y * n[k + 1] / n[k]) for k in (1, 2, 3))
    return found if all(0 < d <= k for k, d in enumerate(found, start=1)) else FALLBACK_DISCOUNTS
