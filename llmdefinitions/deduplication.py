"""Documentos repetidos, iguais ou quase: achar os pares e decidir qual fica.

O mesmo texto no treino e na validação faz o modelo parecer melhor do que é, e um texto repetido pesa em dobro. O
MinHash propõe pares, a conta exata decide, e fica o documento mais longo.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .minhash import candidate_pairs, choose_bands, hash_signatures, normalize_for_comparison, shingle_hashes


@dataclass(frozen=True)
class DuplicatePair:
    """Dois documentos parecidos: suas posições (`first < second`) e as duas medidas exatas.

    `containment` = |A ∩ B| / min(|A|, |B|): quanto do menor está no maior. Um conto dentro de uma coletânea tem Jaccard
    perto de 0 e contenção perto de 1.
    """

    first: int
    second: int
    jaccard: float
    containment: float


@dataclass(frozen=True)
class DroppedDocument:
    """Um documento retirado e o que ficou no lugar dele, com a semelhança entre os dois."""

    name: str
    kept_name: str
    jaccard: float
    containment: float


@dataclass(frozen=True)
class Deduplication:
    """Posições dos documentos que ficam, na ordem original, e a razão de cada retirada."""

    kept: tuple[int, ...]
    dropped: tuple[DroppedDocument, ...]


def exact_duplicates(documents: Sequence[str]) -> list[tuple[int, ...]]:
    """Grupos de documentos iguais depois de `normalize_for_comparison`, pelas posições e na ordem em que surgem."""
    groups: dict[bytes, list[int]] = {}
    for i, text in enumerate(documents):
        normalized = normalize_for_comparison(text).encode("utf-8")
        groups.setdefault(hashlib.sha256(normalized).digest(), []).append(i)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def near_duplicates(
    documents: Sequence[str],
    *,
    threshold: float = 0.3,
    containment: float | None = 0.5,
    n: int = 5,
    num_perm: int = 128,
    seed: int = 1,
) -> list[DuplicatePair]:
    """Pares quase iguais, ou com um documento contido no outro, do mais ao menos parecido.

    As faixas do MinHash propõem pares e a conta exata decide (exata a menos de uma coincidência de 64 bits). A
    contenção não se vê nas assinaturas: os pares em que o menor pode estar no maior vêm de um índice dos n-gramas
    mais raros de cada documento, que não perde nenhum.

    Por que 0,3: entre obras diferentes de um autor, n-gramas de 5 palavras coincidem por acaso ou por expressões feitas
    (no `machado`, Jaccard até 0,005), e entre duas versões de uma obra passam de 0,4; o limiar fica no vazio entre os
    dois grupos.

    Parâmetros:
        threshold: Jaccard a partir do qual um par é devolvido.
        containment: contenção a partir da qual também é; `None` dispensa essa busca.
        n, num_perm, seed: como em `minhash_signatures`.

    Erros:
        ValueError: limiar fora de (0, 1], documento sem palavras, ou `num_perm` curto demais para o limiar.
    """
    if containment is not None and not 0 < containment <= 1:
        raise ValueError(f"containment={containment}: esperado 0 < containment ≤ 1, ou None para não procurá-la")
    bands = choose_bands(threshold, num_perm)
    hashes = shingle_hashes(documents, n)
    candidates = set(candidate_pairs(hash_signatures(hashes, num_perm=num_perm, seed=seed), bands))
    if containment is not None:
        candidates.update(_containment_candidates(hashes, containment))
    found = []
    for i, j in sorted(candidates):
        small, large = sorted((hashes[i], hashes[j]), key=len)
        shared = int(np.count_nonzero(large[np.searchsorted(large[:-1], small)] == small))
        pair = DuplicatePair(i, j, shared / (len(small) + len(large) - shared), shared / len(small))
        if pair.jaccard >= threshold or (containment is not None and pair.containment >= containment):
            found.append(pair)
    return sorted(found, key=lambda pair: (-pair.jaccard, -pair.containment, pair.first, pair.second))


def drop_duplicates(
    documents: Sequence[str],
    names: Sequence[str],
    *,
    threshold: float = 0.3,
    containment: float | None = 0.5,
    n: int = 5,
    num_perm: int = 128,
    seed: int = 1,
) -> Deduplication:
    """Escolhe os documentos que ficam: dos parecidos, o mais longo, que é o que menos texto perde.

    Do mais longo ao mais curto, cada um fica se não for parecido com nenhum que já ficou; assim, quem sai tem sempre um
    parecido presente, e os que ficam não se parecem. Empates se decidem pelo texto e pelo nome: a ordem de entrada não
    muda a escolha.

    Parâmetros:
        names: um nome por documento, sem repetição.
        Os outros, como em `near_duplicates`.

    Erros:
        ValueError: nomes repetidos ou em número diferente do de documentos, e os de `near_duplicates`.
    """
    if len(names) != len(documents) or len(set(names)) != len(names):
        raise ValueError(
            f"{len(names)} nomes ({len(set(names))} distintos) para {len(documents)} documentos: "
            "esperado um nome para cada um, sem repetição"
        )
    similar: dict[int, list[tuple[int, DuplicatePair]]] = {i: [] for i in range(len(documents))}
    pairs = near_duplicates(documents, threshold=threshold, containment=containment, n=n, num_perm=num_perm, seed=seed)
    for pair in pairs:
        similar[pair.first].append((pair.second, pair))
        similar[pair.second].append((pair.first, pair))
    kept: set[int] = set()
    dropped = []
    for i in sorted(range(len(documents)), key=lambda i: (-len(documents[i]), documents[i], names[i])):
        reasons = [(pair.jaccard, pair.containment, names[j]) for j, pair in similar[i] if j in kept]
        if reasons:
            best_jaccard, best_containment, kept_name = max(reasons)
            dropped.append(DroppedDocument(names[i], kept_name, best_jaccard, best_containment))
        else:
            kept.add(i)
    return Deduplication(tuple(sorted(kept)), tuple(dropped))


def _containment_candidates(hashes: list[np.ndarray], threshold: float) -> Iterator[tuple[int, int]]:
    """Pares que podem ter contenção ≥ limiar t, por um filtro de prefixo (Chaudhuri, Ganti e Kaushik, 2006).

    Se B tem ao menos ⌈t|A|⌉ dos elementos de A, faltam-lhe no máximo |A| − ⌈t|A|⌉: entre quaisquer
    |A| − ⌈t|A|⌉ + 1 elementos de A, ao menos um está em B. Os mais raros apontam para menos documentos.
    """
    if not hashes:
        return
    values = np.concatenate(hashes)
    owners = np.repeat(np.arange(len(hashes)), [len(h) for h in hashes])
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    for i, mine in enumerate(hashes):
        first = np.searchsorted(values, mine, side="left")
        frequency = np.searchsorted(values, mine, side="right") - first
        # A folga desconta o arredondamento de t·|A|, que poderia encurtar o prefixo em um elemento.
        prefix = len(mine) - math.ceil(threshold * len(mine) - 1e-9) + 1
        rarest = np.argsort(frequency, kind="stable")[:prefix]
        rarest = rarest[frequency[rarest] > 1]
        runs = [owners[first[k] : first[k] + frequency[k]] for k in rarest]
        for j in set(np.concatenate(runs).tolist()) - {i} if runs else ():
            if len(hashes[j]) >= len(mine):
                yield min(i, j), max(i, j)
