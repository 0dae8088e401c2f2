"""MinHash e LSH: medir a semelhança de milhares de textos sem comparar todos com todos.

Um texto vira o conjunto dos seus n-gramas de palavras (*shingles*), e a semelhança é a de Jaccard entre os conjuntos,
J(A, B) = |A ∩ B| / |A ∪ B| (Broder, 1997). As assinaturas resumem cada conjunto em poucos números, e a busca em faixas
aponta os pares que merecem a conta exata (Leskovec, Rajaraman e Ullman, 2020, cap. 3).
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from itertools import combinations

import numpy as np

_WORD = re.compile(r"[^\W_]+")


def normalize_for_comparison(text: str) -> str:
    """Só as palavras: minúsculas, sem acentos, com um espaço entre elas.

    Duas edições do mesmo texto diferem em ortografia, aspas e travessões; nada disso deve contar como diferença.
    """
    for _ in range(2):  # a caixa baixa de uns poucos caracteres só se decompõe na segunda volta
        text = unicodedata.normalize("NFKD", text).casefold()
    text = text.translate({ord(c): None for c in set(text) if unicodedata.combining(c)})
    return " ".join(_WORD.findall(text))


def shingles(text: str, n: int = 5) -> set[str]:
    """Conjunto dos n-gramas de palavras do texto normalizado; um texto de menos de n palavras é um só.

    Erros:
        ValueError: n < 1.
    """
    _check_n(n)
    words = normalize_for_comparison(text).split()
    return {" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} if words else set()


def jaccard(a: set[str], b: set[str]) -> float:
    """Semelhança de Jaccard |A ∩ B| / |A ∪ B|; dois conjuntos vazios valem 0, porque nada têm em comum."""
    return len(a & b) / max(1, len(a | b))


def minhash_signatures(documents: Sequence[str], *, num_perm: int = 128, n: int = 5, seed: int = 1) -> np.ndarray:
    """Assinatura MinHash de cada documento: uint64 (D, num_perm).

    Cada coluna é o menor valor que uma função h_k(x) = (a_k · x + b_k) mod 2⁶⁴, com a_k ímpar, dá aos n-gramas do
    documento. Uma permutação ao acaso põe qualquer n-grama de A ∪ B em primeiro com igual chance, e por isso dois
    documentos concordam numa coluna com probabilidade J(A, B). As mesmas entradas dão os mesmos bits em qualquer
    máquina.

    Parâmetros:
        num_perm: colunas; o desvio-padrão da estimativa é √(J(1−J)/num_perm).
        n: palavras por n-grama.
        seed: sorteia a_k e b_k.

    Erros:
        ValueError: documento sem palavra alguma, n < 1 ou num_perm < 1.
    """
    return hash_signatures(shingle_hashes(documents, n), num_perm=num_perm, seed=seed)


def estimate_jaccard(sig_a: np.ndarray, sig_b: np.ndarray) -> float:
    """Fração das colunas em que duas assinaturas concordam: estimativa sem viés de Jaccard.

    Erros:
        ValueError: assinaturas de formatos diferentes, ou que não são vetores.
    """
    if sig_a.ndim != 1 or sig_a.shape != sig_b.shape or sig_a.size == 0:
        raise ValueError(
            f"assinaturas de formatos {sig_a.shape} e {sig_b.shape}: esperado dois vetores do mesmo tamanho, "
            "feitos com o mesmo num_perm"
        )
    return float(np.mean(sig_a == sig_b))


def collision_probability(s: float, bands: int, rows: int) -> float:
    """Probabilidade 1 − (1 − sʳ)ᵇ de um par com Jaccard s virar candidato com b faixas de r linhas.

    Numa faixa as r linhas concordam com probabilidade sʳ; o par escapa se nenhuma das b faixas concordar.
    """
    if not 0 <= s <= 1 or bands < 1 or rows < 1:
        raise ValueError(f"s={s}, bands={bands}, rows={rows}: esperado 0 ≤ s ≤ 1 e dois inteiros ≥ 1")
    return 1 - (1 - s**rows) ** bands


def choose_bands(threshold: float, num_perm: int = 128, *, recall: float = 0.99) -> int:
    """Menor número de faixas que ainda torna candidato, com probabilidade `recall`, um par no limiar.

    Menos faixas são faixas mais longas e menos candidatos falsos. Se nem faixas de uma linha bastam, o limiar é baixo
    demais para `num_perm`.

    Erros:
        ValueError: limiar fora de (0, 1], `recall` fora de (0, 1), ou assinatura curta demais para o limiar.
    """
    if not 0 < threshold <= 1 or not 0 < recall < 1 or num_perm < 1:
        raise ValueError(
            f"threshold={threshold}, recall={recall}, num_perm={num_perm}: esperado 0 < threshold ≤ 1, "
            "0 < recall < 1 e num_perm ≥ 1"
        )
    for rows in range(num_perm, 0, -1):
        if collision_probability(threshold, num_perm // rows, rows) >= recall:
            return num_perm // rows
    raise ValueError(
        f"num_perm={num_perm} não acha pares com Jaccard {threshold} com probabilidade {recall}: "
        "aumente num_perm ou o limiar"
    )


def candidate_pairs(signatures: np.ndarray, bands: int) -> list[tuple[int, int]]:
    """Pares (i, j), i < j, de documentos que concordam em todas as linhas de ao menos uma faixa (LSH).

    Parâmetros:
        signatures: (D, num_perm), de `minhash_signatures`.
        bands: faixas de num_perm // bands linhas; as linhas que sobram não são usadas.

    Erros:
        ValueError: `signatures` não é matriz, ou `bands` fora de 1..num_perm.
    """
    if signatures.ndim != 2 or not 1 <= bands <= signatures.shape[1]:
        raise ValueError(
            f"signatures de formato {signatures.shape} e bands={bands}: esperado (D, num_perm) e 1 ≤ bands ≤ num_perm"
        )
    rows = signatures.shape[1] // bands
    pairs: set[tuple[int, int]] = set()
    for start in range(0, bands * rows, rows):
        buckets: dict[bytes, list[int]] = {}
        for i, band in enumerate(signatures[:, start : start + rows]):
            buckets.setdefault(band.tobytes(), []).append(i)
        for bucket in buckets.values():
            pairs.update(combinations(bucket, 2))
    return sorted(pairs)


def shingle_hashes(documents: Sequence[str], n: int = 5) -> list[np.ndarray]:
    """N-gramas de cada documento como números: vetores uint64 ordenados, sem repetição.

    Cada palavra vale 64 bits do seu BLAKE2b, e o n-grama, uma soma ponderada por ímpares sorteados uma vez: não é
    preciso montar milhões de textos. O embaralhamento final é o do SplitMix64 (Steele, Lea e Flood, 2014). Dois
    n-gramas diferentes têm o mesmo número com probabilidade perto de 2⁻⁶⁴.

    Erros:
        ValueError: documento sem palavra alguma, um texto só em vez de uma lista, ou n < 1.
    """
    _check_n(n)
    if isinstance(documents, str):
        raise ValueError("documents é um texto só: esperado uma lista de textos; passe [texto]")
    weights = np.random.PCG64(n).random_raw(n) | np.uint64(1)
    word_hash: dict[str, int] = {}
    sets = []
    for number, text in enumerate(documents):
        words = normalize_for_comparison(text).split()
        if not words:
            raise ValueError(f"documento {number} não tem palavra alguma: retire-o antes de comparar")
        for word in set(words).difference(word_hash):
            digest = hashlib.blake2b(word.encode("utf-8"), digest_size=8).digest()
            word_hash[word] = int.from_bytes(digest, "little")
        hashes = np.array([word_hash[word] for word in words], dtype=np.uint64)  # (palavras,)
        size = max(1, len(words) - n + 1)
        mixed = np.zeros(size, dtype=np.uint64)
        for k in range(min(n, len(words))):
            mixed += weights[k] * hashes[k : k + size]
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        sets.append(np.unique(mixed ^ (mixed >> np.uint64(31))))
    return sets


def hash_signatures(hashes: Sequence[np.ndarray], *, num_perm: int = 128, seed: int = 1) -> np.ndarray:
    """O mesmo que `minhash_signatures`, a partir do que `shingle_hashes` devolve: uint64 (D, num_perm).

    Erros:
        ValueError: num_perm < 1.
    """
    if num_perm < 1:
        raise ValueError(f"num_perm={num_perm}: esperado um inteiro ≥ 1")
    # A saída crua do PCG64, ao contrário da dos métodos de `Generator`, não muda entre versões do numpy.
    raw = np.random.PCG64(seed).random_raw(2 * num_perm)
    a, b = raw[:num_perm, None] | np.uint64(1), raw[num_perm:, None]  # (num_perm, 1)
    signatures = np.full((len(hashes), num_perm), np.iinfo(np.uint64).max, dtype=np.uint64)
    for signature, values in zip(signatures, hashes, strict=True):
        for start in range(0, len(values), 1024):  # pedaços que cabem no cache do processador
            np.minimum(signature, (a * values[start : start + 1024] + b).min(axis=1), out=signature)
    return signatures  # (D, num_perm)


def _check_n(n: int) -> None:
    if n < 1:
        raise ValueError(f"n={n}: esperado um número de palavras ≥ 1")
