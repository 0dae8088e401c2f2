"""MinHash e LSH contra conjuntos de Python: a estimativa é sem viés, e as faixas acham o que a fórmula promete."""

import math
import random
import unicodedata
from importlib.metadata import version

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdefinitions.minhash import (
    candidate_pairs,
    choose_bands,
    collision_probability,
    hash_signatures,
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
@settings(max_examples=300)
def test_normalizar_de_novo_nada_muda(texto):
    uma_vez = normalize_for_comparison(texto)
    assert normalize_for_comparison(uma_vez) == uma_vez
    assert uma_vez == " ".join(uma_vez.split())


@given(QUALQUER)
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


def test_a_assinatura_e_a_do_datasketch_sobre_os_hashes_de_32_bits():
    # Um n-grama por vez, contra os pedaços de milhares; a função de hash é a identidade.
    numeros = shingle_hashes([" ".join(f"p{i}" for i in range(5000))], 3)[0]
    uma_a_uma = MinHash(num_perm=3, seed=9, hashfunc=lambda x: x)
    for numero in numeros.tolist():
        uma_a_uma.update(numero >> 32)
    [assinatura] = hash_signatures([numeros], num_perm=3, seed=9)
    assert assinatura.seed == 9
    assert assinatura.digest().tolist() == uma_a_uma.digest().tolist()


@pytest.mark.skipif(not version("datasketch").startswith("2."), reason="os valores são os da série 2 do datasketch")
def test_assinatura_de_ouro():
    # Igual em qualquer sistema: BLAKE2b e as permutações do datasketch 2 são especificados.
    # Valor do próprio módulo, datasketch 2.0.0 e numpy 2.4.6, Linux; se mudar, assinaturas gravadas deixam de servir.
    [assinatura] = minhash_signatures(["Marcela amou-me durante quinze meses e onze contos de réis"], num_perm=2)
    assert assinatura.digest().tolist() == [843753749, 603749134]


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
        x, y = minhash_signatures(textos, num_perm=128, n=1, seed=semente)
        estimativas.append(x.jaccard(y))
    # Cada coluna é um sorteio de Bernoulli: desvio √(J(1−J)/128) = 0,0437 por estimativa, 0,0031 na média de 200.
    desvio = math.sqrt(exato * (1 - exato) / 128)
    assert np.mean(estimativas) == pytest.approx(exato, abs=4 * desvio / math.sqrt(200))
    # O desvio-padrão amostral de 200 valores tem erro relativo de 1/√400 = 5%: quatro deles.
    assert np.std(estimativas) == pytest.approx(desvio, rel=0.2)


@given(FRASES, FRASES, st.integers(0, 100))
def test_extremos_da_estimativa(x, y, semente):
    a, b, de_novo = minhash_signatures([x, y, x.upper() + "!"], num_perm=16, n=2, seed=semente)
    assert a.jaccard(de_novo) == 1
    assert a.jaccard(b) == b.jaccard(a)
    if shingles(x, 2) == shingles(y, 2):
        assert a.jaccard(b) == 1
    elif not shingles(x, 2) & shingles(y, 2):
        # Com no máximo 50 n-gramas, dois empatam nos 32 bits com chance menor que 1e-6 por exemplo.
        assert a.jaccard(b) == 0


@given(st.lists(FRASES, min_size=2, max_size=5))
def test_a_assinatura_da_uniao_e_o_minimo_das_assinaturas(frases):
    # Propriedade do mínimo: com n=1, juntar os textos junta os conjuntos de palavras.
    partes = minhash_signatures(frases, num_perm=8, n=1)
    [inteiro] = minhash_signatures([" ".join(frases)], num_perm=8, n=1)
    assert np.min([parte.digest() for parte in partes], axis=0).tolist() == inteiro.digest().tolist()


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


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(0, 9))
def test_candidatos_iguais_aos_da_forca_bruta(semente, faixas, documentos):
    # Poucas palavras por documento, de poucas possíveis: muitas coincidências.
    gerador = random.Random(semente)
    textos = [" ".join(gerador.choices("abcde", k=gerador.randint(1, 4))) for _ in range(documentos)]
    assinaturas = minhash_signatures(textos, num_perm=12, n=1, seed=semente)
    colunas = [assinatura.digest() for assinatura in assinaturas]
    linhas = 12 // faixas
    esperado = [
        (i, j)
        for i in range(documentos)
        for j in range(i + 1, documentos)
        if any(all(colunas[i][k] == colunas[j][k] for k in range(f * linhas, (f + 1) * linhas)) for f in range(faixas))
    ]
    assert candidate_pairs(assinaturas, faixas) == esperado


@pytest.mark.parametrize(("limiar", "num_perm"), [(0.3, 128), (0.5, 128), (0.8, 128), (0.1, 128), (1.0, 5), (0.9, 64)])
def test_a_escolha_das_faixas_e_a_menor_que_basta(limiar, num_perm):
    faixas = choose_bands(limiar, num_perm)
    assert collision_probability(limiar, faixas, num_perm // faixas) >= 0.99
    mais_longas = num_perm // faixas + 1
    if mais_longas <= num_perm // 2:  # o datasketch pede ao menos duas faixas
        assert collision_probability(limiar, num_perm // mais_longas, mais_longas) < 0.99


# --- erros -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chamada", "mensagem"),
    [
        (lambda: shingles("a", 0), "n=0: esperado um número de palavras ≥ 1"),
        (lambda: minhash_signatures(["a", "?!"]), "documento 1 não tem palavra alguma: retire-o"),
        (lambda: minhash_signatures("um texto"), r"esperado uma lista de textos; passe \[texto\]"),
        (lambda: minhash_signatures(["a"], num_perm=0), "num_perm=0"),
        (lambda: collision_probability(1.5, 2, 2), "s=1.5.*0 ≤ s ≤ 1"),
        (lambda: candidate_pairs(minhash_signatures(["a"], num_perm=8), 9), "bands=9 com.*8 colunas: .*2 ≤ bands"),
        (lambda: candidate_pairs(minhash_signatures(["a"], num_perm=8), 1), "bands=1 com.*2 ≤ bands ≤ num_perm"),
        (
            lambda: candidate_pairs([*minhash_signatures(["a"], seed=1), *minhash_signatures(["b"], seed=2)], 8),
            r"\(128, 1\), \(128, 2\).*o mesmo par em todas",
        ),
        (lambda: choose_bands(0, 128), "threshold=0.*0 < threshold ≤ 1"),
        (lambda: choose_bands(0.5, 1), "num_perm=1: .*num_perm ≥ 2"),
        (lambda: choose_bands(0.01, 16), "num_perm=16 não acha pares.*aumente num_perm ou o limiar"),
    ],
)
def test_erros_dizem_o_valor_e_o_remedio(chamada, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        chamada()


def test_texto_com_metade_de_par_substituto_nao_quebra():
    # Aparece em texto lido com errors="surrogatepass"; não é letra nem algarismo, e some com a pontuação.
    assert shingles("a\ud800 b", 1) == {"a", "b"}
    a, b = minhash_signatures(["a\ud800 b", "a b"])
    assert a.jaccard(b) == 1
