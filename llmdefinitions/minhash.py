"""MinHash e LSH: medir a semelhança de milhares de textos sem comparar todos com todos.

Um texto vira o conjunto dos seus n-gramas de palavras (*shingles*), e a semelhança é a de Jaccard entre os conjuntos,
J(A, B) = |A ∩ B| / |A ∪ B| (Broder, 1997). As assinaturas resumem cada conjunto em poucos números, e a busca em faixas
aponta os pares que merecem a conta exata (Leskovec, Rajaraman e Ullman, 2020, cap. 3). Assinaturas e busca são do
`datasketch`; aqui ficam os n-gramas, a conta exata e a escolha das faixas.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from datasketch import MinHash, MinHashLSH

_WORD = re.compile(r"[^\W_]+")
_CHUNK = 4096  # n-gramas por chamada: a matriz (n-gramas, num_perm) que o datasketch monta fica em poucos MB


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


def minhash_signatures(documents: Sequence[str], *, num_perm: int = 128, n: int = 5, seed: int = 1) -> list[MinHash]:
    """Assinatura MinHash de cada documento, como objeto do `datasketch`.

    Uma permutação ao acaso põe qualquer n-grama de A ∪ B em primeiro com igual chance, e por isso dois documentos
    concordam numa coluna com probabilidade J(A, B): `a.jaccard(b)` é a fração das colunas em que concordam. As mesmas
    entradas dão os mesmos valores em qualquer máquina, com a mesma série do `datasketch` (a 2.0 trocou as permutações).

    Parâmetros:
        num_perm: colunas; o desvio-padrão da estimativa é √(J(1−J)/num_perm).
        n: palavras por n-grama.
        seed: sorteia as permutações.

    Erros:
        ValueError: documento sem palavra alguma, n < 1 ou num_perm < 1.
    """
    return hash_signatures(shingle_hashes(documents, n), num_perm=num_perm, seed=seed)


def collision_probability(s: float, bands: int, rows: int) -> float:
    """Probabilidade 1 − (1 − sʳ)ᵇ de um par com Jaccard s virar candidato com b faixas de r linhas.

    Numa faixa as r linhas concordam com probabilidade sʳ; o par escapa se nenhuma das b faixas concordar.
    """
    if not 0 <= s <= 1 or bands < 1 or rows < 1:
        raise ValueError(f"s={s}, bands={bands}, rows={rows}: esperado 0 ≤ s ≤ 1 e dois inteiros ≥ 1")
    return 1 - (1 - s**rows) ** bands


def choose_bands(threshold: float, num_perm: int = 128, *, recall: float = 0.99) -> int:
    """Menor número de faixas que ainda torna candidato, com probabilidade `recall`, um par no limiar.

    Menos faixas são faixas mais longas e menos candidatos falsos; o `datasketch` pede ao menos duas. Se nem faixas de
    uma linha bastam, o limiar é baixo demais para `num_perm`.

    Erros:
        ValueError: limiar fora de (0, 1], `recall` fora de (0, 1), ou assinatura curta demais para o limiar.
    """
    if not 0 < threshold <= 1 or not 0 < recall < 1 or num_perm < 2:
        raise ValueError(
            f"threshold={threshold}, recall={recall}, num_perm={num_perm}: esperado 0 < threshold ≤ 1, "
            "0 < recall < 1 e num_perm ≥ 2"
        )
    for rows in range(num_perm // 2, 0, -1):
        if collision_probability(threshold, num_perm // rows, rows) >= recall:
            return num_perm // rows
    raise ValueError(
        f"num_perm={num_perm} não acha pares com Jaccard {threshold} com probabilidade {recall}: "
        "aumente num_perm ou o limiar"
    )


def candidate_pairs(signatures: Sequence[MinHash], bands: int) -> list[tuple[int, int]]:
    """Pares (i, j), i < j, de documentos que concordam em todas as linhas de ao menos uma faixa (LSH).

    Parâmetros:
        signatures: de `minhash_signatures`, todas com o mesmo num_perm e a mesma semente.
        bands: faixas de num_perm // bands linhas; as linhas que sobram não são usadas.

    Erros:
        ValueError: assinaturas de tamanhos ou sementes diferentes, ou `bands` fora de 2..num_perm.
    """
    if not signatures:
        return []
    kinds = {(len(signature), signature.seed) for signature in signatures}
    if len(kinds) > 1:
        raise ValueError(f"assinaturas com (num_perm, semente) {sorted(kinds)}: esperado o mesmo par em todas")
    num_perm = len(signatures[0])
    if not 2 <= bands <= num_perm:
        raise ValueError(f"bands={bands} com assinaturas de {num_perm} colunas: esperado 2 ≤ bands ≤ num_perm")
    index = MinHashLSH(num_perm=num_perm, params=(bands, num_perm // bands))
    pairs = []
    for j, signature in enumerate(signatures):
        pairs.extend((i, j) for i in index.query(signature))
        index.insert(j, signature)
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


def hash_signatures(hashes: Sequence[np.ndarray], *, num_perm: int = 128, seed: int = 1) -> list[MinHash]:
    """O mesmo que `minhash_signatures`, a partir do que `shingle_hashes` devolve.

    Erros:
        ValueError: num_perm < 1.
    """
    if num_perm < 1:
        raise ValueError(f"num_perm={num_perm}: esperado um inteiro ≥ 1")
    # A função de hash é dita, e é a identidade: os n-gramas já chegam como números, dos quais vão os 32 bits altos.
    empty = MinHash(num_perm=num_perm, seed=seed, hashfunc=int)
    signatures = []
    for values in hashes:
        signature = empty.copy()
        for start in range(0, len(values), _CHUNK):
            signature.update_batch((values[start : start + _CHUNK] >> np.uint64(32)).tolist())
        signatures.append(signature)
    return signatures


def _check_n(n: int) -> None:
    if n < 1:
        raise ValueError(f"n={n}: esperado um número de palavras ≥ 1")
