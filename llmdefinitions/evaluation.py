"""Métricas de texto e de modelos: perplexidade, bits por byte, diversidade e repetição."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence


def perplexity(loss: float) -> float:
    """Perplexidade (Jelinek et al., 1977): exponencial da perda em nats por token.

    Erros:
        ValueError: perda negativa ou não finita.
    """
    if not math.isfinite(loss) or loss < 0:
        raise ValueError(f"perda={loss}: esperado um número finito ≥ 0, em nats por token.")
    return math.exp(loss)


def bits_per_byte(loss: float, n_tokens: int, n_bytes: int) -> float:
    """Bits por byte: a perda total, em bits, dividida pelos bytes do texto em UTF-8.

    Ao contrário da perda por token, não muda com o tokenizador, e por isso compara modelos de vocabulários diferentes
    (Gao et al., 2020).

    Parâmetros:
        loss: perda média, nats por token.
        n_tokens: tokens em que a perda foi medida.
        n_bytes: bytes do mesmo texto em UTF-8.

    Erros:
        ValueError: contagens menores que 1 ou perda inválida.
    """
    if n_tokens < 1 or n_bytes < 1:
        raise ValueError(f"n_tokens={n_tokens}, n_bytes={n_bytes}: esperado dois inteiros ≥ 1.")
    if not math.isfinite(loss) or loss < 0:
        raise ValueError(f"perda={loss}: esperado um número finito ≥ 0, em nats por token.")
    return loss * n_tokens / (n_bytes * math.log(2))


def distinct_n(sequences: Sequence[Sequence[Hashable]], n: int = 2) -> float:
    """Fração de n-gramas distintos entre todos os das sequências (Li et al., 2016): 1 é diversidade máxima.

    Erros:
        ValueError: n < 1, ou nenhuma sequência com n itens.
    """
    grams = _ngrams(sequences, n)
    return len({gram for sequence in grams for gram in sequence}) / sum(map(len, grams))


def repetition_rate(sequences: Sequence[Sequence[Hashable]], n: int = 4) -> float:
    """Fração dos n-gramas que já apareceram antes na mesma sequência: 0 é nenhuma repetição.

    Erros:
        ValueError: n < 1, ou nenhuma sequência com n itens.
    """
    grams = _ngrams(sequences, n)
    repeated = sum(len(sequence) - len(set(sequence)) for sequence in grams)
    return repeated / sum(map(len, grams))


def _ngrams(sequences: Sequence[Sequence[Hashable]], n: int) -> list[list[tuple[Hashable, ...]]]:
    if n < 1:
        raise ValueError(f"n={n}: esperado um inteiro ≥ 1.")
    grams = [list(zip(*(sequence[k:] for k in range(n)), strict=False)) for sequence in sequences]
    grams = [g for g in grams if g]
    if not grams:
        raise ValueError(f"nenhuma das {len(sequences)} sequências tem {n} itens: não há n-gramas a contar.")
    return grams
