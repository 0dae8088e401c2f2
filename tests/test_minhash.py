"""MinHash e LSH contra conjuntos de Python: a estimativa é sem viés, e as faixas acham o que a fórmula promete."""

import math
import random
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdefinitions.minhash import (
    candidate_pairs,
    choose_bands,
    collision_probability,
    estimate_jaccard,
    jaccard,
    minhash_signatures,
    normalize_for_comparison,
    shingle_hashes,
    shingles,
)

QUALQUER = st.text(alphabet=st.characters(codec="utf-8"), max_size=60)
FRASES = st.lists(st.sampled_from(["a", "casa", "o", "gato", "viu", "de", "não", "São"]), min_size=1, max_size=25).map(
    " ".join
)


# --- normalização e n-gramas -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texto", "esperado"),
    [
        ("— Não!, disse o ALIENISTA;", "nao disse o alienista"),
        ("pão-de-ló\n\t2,5  kg", "pao de lo 2 5 kg"),
        ("a\u0303 e ã", "a e a"),  # til solto e til composto
        ("ﬁm STRASSE straße", "fim strasse strasse"),
        ("_x_ ...", "x"),
        ("…", ""),
    ],
)
def test_normalizacao_deixa_so_as_palavras(texto, esperado):
    assert normalize_for_comparison(texto) == esperado


@given(QUALQUER)
@settings(max_examples=300, deadline=None)
def test_normalizar_de_novo_nada_muda(texto):
    uma_vez = normalize_for_comparison(texto)
    assert normalize_for_comparison(uma_vez) == uma_vez
    assert uma_vez == " ".join(uma_vez.split())


@given(QUALQUER)
@settings(deadline=None)
def test_normalizacao_ignora_forma_unicode_e_caixa(texto):
    for forma in ("NFC", "NFD", "NFKD"):
        assert normalize_for_comparison(unicodedata.normalize(forma, texto)) == normalize_for_comparison(texto)


def test_shingles_contados_a_mao():
    assert shingles("Era uma vez, uma vez!", 2) == {"era uma", "uma vez", "vez uma"}
    assert shingles("era uma", 5) == {"era uma"}  # menos de n palavras: o texto todo
    assert shingles("...", 3) == set()


def test_jaccard_contado_a_mao():
    assert jaccard({"a", "b", "c"}, {"b", "c", "d"}) == 0.5
    assert jaccard({"a"}, {"b"}) == 0
    assert jaccard(set(), set()) == 0


@given(st.lists(FRASES, min_size=1, max_size=4), st.integers(1, 6))
@settings(deadline=None)
def test_os_hashes_representam_os_n_gramas(frases, n):
    conjuntos = [shingles(f, n) for f in frases]
    numeros = shingle_hashes(frases, n)
    for conjunto, vetor in zip(conjuntos, numeros, strict=True):
        assert vetor.dtype == np.uint64
        assert len(vetor) == len(conjunto)
        assert np.all(vetor[:-1] < vetor[1:])
    for a, x in zip(conjuntos, numeros, strict=True):
        for b, y in zip(conjuntos, numeros, strict=True):
            # Com estas poucas dezenas de n-gramas, uma coincidência de 64 bits tem chance menor que 1e-15.
            assert len(set(x.tolist()) & set(y.tolist())) == len(a & b)


# --- assinaturas -----------------------------------------------------------------------------------


def test_a_assinatura_e_o_minimo_de_cada_permutacao():
    # Aritmética de inteiros sem limite, um n-grama por vez, contra a conta vetorizada em 64 bits com seus pedaços.
    palavras = [f"p{i}" for i in range(2500)]
    numeros = shingle_hashes([" ".join(palavras)], 3)[0].tolist()
    cru = np.random.PCG64(9).random_raw(6).tolist()
    esperado = [min(((a | 1) * x + b) % 2**64 for x in numeros) for a, b in zip(cru[:3], cru[3:], strict=True)]
    assert minhash_signatures([" ".join(palavras)], num_perm=3, n=3, seed=9)[0].tolist() == esperado


def test_assinatura_de_ouro():
    # Igual em qualquer sistema e versão do numpy: BLAKE2b e a saída crua do PCG64 são especificados.
    # Valor do próprio módulo, numpy 2.4.6, Linux; se mudar, assinaturas gravadas antes deixam de servir.
    assinatura = minhash_signatures(["Marcela amou-me durante quinze meses e onze contos de réis"], num_perm=2)
    assert assinatura.tolist() == [[4403795693435237459, 5816261483683074999]]


def test_estimativa_sem_vies():
    gerador = random.Random(5)
    comuns = [f"c{i}" for i in range(300)]
    so_a, so_b = ([f"{lado}{i}" for i in range(200)] for lado in "ab")
    a, b = comuns + so_a, comuns + so_b
    gerador.shuffle(a)
    gerador.shuffle(b)
    textos = [" ".join(a), " ".join(b)]
    exato = jaccard(shingles(textos[0], 1), shingles(textos[1], 1))
    assert exato == 300 / 700
    estimativas = []
    for semente in range(200):
        assinaturas = minhash_signatures(textos, num_perm=128, n=1, seed=semente)
        estimativas.append(estimate_jaccard(*assinaturas))
    # Cada coluna é um sorteio de Bernoulli: desvio √(J(1−J)/128) = 0,0437 por estimativa, 0,0031 na média de 200.
    desvio = math.sqrt(exato * (1 - exato) / 128)
    assert np.mean(estimativas) == pytest.approx(exato, abs=4 * desvio / math.sqrt(200))
    # O desvio-padrão amostral de 200 valores tem erro relativo de 1/√400 = 5%: quatro deles.
    assert np.std(estimativas) == pytest.approx(desvio, rel=0.2)


@given(FRASES, FRASES, st.integers(0, 100))
@settings(deadline=None)
def test_extremos_da_estimativa(x, y, semente):
    a, b, de_novo = minhash_signatures([x, y, x.upper() + "!"], num_perm=16, n=2, seed=semente)
    assert estimate_jaccard(a, de_novo) == 1
    assert estimate_jaccard(a, b) == estimate_jaccard(b, a)
    if shingles(x, 2) == shingles(y, 2):
        assert estimate_jaccard(a, b) == 1
    elif not shingles(x, 2) & shingles(y, 2):
        assert estimate_jaccard(a, b) == 0  # as h_k são bijeções: n-gramas diferentes nunca empatam


@given(st.lists(FRASES, min_size=2, max_size=5))
@settings(deadline=None)
def test_a_assinatura_da_uniao_e_o_minimo_das_assinaturas(frases):
    # Propriedade do mínimo: com n=1, juntar os textos junta os conjuntos de palavras.
    partes = minhash_signatures(frases, num_perm=8, n=1)
    inteiro = minhash_signatures([" ".join(frases)], num_perm=8, n=1)[0]
    assert np.array_equal(partes.min(axis=0), inteiro)


# --- faixas ----------------------------------------------------------------------------------------


def test_probabilidade_de_colisao_contada_a_mao():
    assert collision_probability(0.5, 1, 1) == 0.5
    assert collision_probability(0.5, 2, 2) == 1 - 0.75**2
    assert (collision_probability(0, 20, 5), collision_probability(1, 20, 5)) == (0, 1)
    # O exemplo do livro-texto (cap. 3, 20 faixas de 5 linhas): 0,9996 em s = 0,8 e 0,470 em s = 0,5.
    assert collision_probability(0.8, 20, 5) == pytest.approx(0.9996, abs=5e-5)
    assert collision_probability(0.5, 20, 5) == pytest.approx(0.470, abs=5e-4)


def test_as_faixas_acham_pares_na_frequencia_da_formula():
    a = " ".join([f"c{i}" for i in range(60)] + [f"a{i}" for i in range(40)])
    b = " ".join([f"c{i}" for i in range(60)] + [f"b{i}" for i in range(40)])
    s, vezes = 60 / 140, 500
    achados = sum(
        candidate_pairs(minhash_signatures([a, b], num_perm=12, n=1, seed=k), bands=4) == [(0, 1)] for k in range(vezes)
    )
    p = collision_probability(s, bands=4, rows=3)
    assert achados / vezes == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / vezes))  # quatro desvios da binomial


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(0, 9))
@settings(deadline=None)
def test_candidatos_iguais_aos_da_forca_bruta(semente, faixas, documentos):
    # Dois valores por coluna: muitas coincidências por acaso.
    assinaturas = np.random.default_rng(semente).integers(0, 2, (documentos, 12)).astype(np.uint64)
    linhas = 12 // faixas
    esperado = [
        (i, j)
        for i in range(documentos)
        for j in range(i + 1, documentos)
        if any(
            all(assinaturas[i, k] == assinaturas[j, k] for k in range(f * linhas, (f + 1) * linhas))
            for f in range(faixas)
        )
    ]
    assert candidate_pairs(assinaturas, faixas) == esperado


@pytest.mark.parametrize(("limiar", "num_perm"), [(0.3, 128), (0.5, 128), (0.8, 128), (0.1, 128), (1.0, 5), (0.9, 64)])
def test_a_escolha_das_faixas_e_a_menor_que_basta(limiar, num_perm):
    faixas = choose_bands(limiar, num_perm)
    assert collision_probability(limiar, faixas, num_perm // faixas) >= 0.99
    mais_longas = num_perm // faixas + 1
    if mais_longas <= num_perm:
        assert collision_probability(limiar, num_perm // mais_longas, mais_longas) < 0.99


# --- erros -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chamada", "mensagem"),
    [
        (lambda: shingles("a", 0), "n=0: esperado um número de palavras ≥ 1"),
        (lambda: minhash_signatures(["a", "?!"]), "documento 1 não tem palavra alguma: retire-o"),
        (lambda: minhash_signatures("um texto"), r"esperado uma lista de textos; passe \[texto\]"),
        (lambda: minhash_signatures(["a"], num_perm=0), "num_perm=0"),
        (lambda: estimate_jaccard(np.zeros(3), np.zeros(4)), r"\(3,\) e \(4,\).*mesmo num_perm"),
        (lambda: collision_probability(1.5, 2, 2), "s=1.5.*0 ≤ s ≤ 1"),
        (lambda: candidate_pairs(np.zeros((2, 8)), 9), "bands=9.*1 ≤ bands ≤ num_perm"),
        (lambda: candidate_pairs(np.zeros(8), 2), r"formato \(8,\)"),
        (lambda: choose_bands(0, 128), "threshold=0.*0 < threshold ≤ 1"),
        (lambda: choose_bands(0.01, 16), "num_perm=16 não acha pares.*aumente num_perm ou o limiar"),
    ],
)
def test_erros_dizem_o_valor_e_o_remedio(chamada, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        chamada()


def test_texto_com_metade_de_par_substituto_nao_quebra():
    # Aparece em texto lido com errors="surrogatepass"; não é letra nem algarismo, e some com a pontuação.
    assert shingles("a\ud800 b", 1) == {"a", "b"}
    assert minhash_signatures(["a\ud800 b"]).shape == (1, 128)
