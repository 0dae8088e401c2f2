"""Duplicados: os plantados e os do corpus real são achados, nenhum outro, e a escolha não depende da ordem."""

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdefinitions.corpora import load_corpus
from llmdefinitions.deduplication import (
    Deduplication,
    DroppedDocument,
    DuplicatePair,
    drop_duplicates,
    exact_duplicates,
    near_duplicates,
)
from llmdefinitions.minhash import jaccard, shingles

PALAVRAS = ["a", "casa", "o", "gato", "viu", "de", "não", "São"]
FRASES = st.lists(st.sampled_from(PALAVRAS), min_size=1, max_size=15).map(" ".join)
HISTORIAS = load_corpus("historias", n_stories=60, seed=4).documents


def _pares_por_conjuntos(documentos: list[str], limiar: float, contencao: float | None, n: int) -> list[DuplicatePair]:
    """Todos com todos, com conjuntos de textos em vez de números, e sem assinaturas."""
    conjuntos = [shingles(d, n) for d in documentos]
    pares = []
    for (i, a), (j, b) in combinations(enumerate(conjuntos), 2):
        par = DuplicatePair(i, j, jaccard(a, b), len(a & b) / min(len(a), len(b)))
        if par.jaccard >= limiar or (contencao is not None and par.containment >= contencao):
            pares.append(par)
    return sorted(pares, key=lambda p: (-p.jaccard, -p.containment, p.first, p.second))


def _estraga(texto: str, fracao: float, gerador: random.Random) -> str:
    """Troca uma fração das palavras, e mais caixa, acentos e pontuação, que não contam."""
    palavras = texto.upper().replace("Ã", "A").split()
    for i in gerador.sample(range(len(palavras)), round(fracao * len(palavras))):
        palavras[i] = f"troca{i}"
    return " ... ".join(palavras)


# --- exatos ----------------------------------------------------------------------------------------


def test_duplicados_exatos_a_menos_de_caixa_acento_e_pontuacao():
    documentos = ["Não sei.", "outra coisa", "nao SEI", "Outra: coisa!", "só esta", "não, sei"]
    assert exact_duplicates(documentos) == [(0, 2, 5), (1, 3)]
    assert exact_duplicates([]) == []


def test_o_bncc_ja_vem_sem_enunciados_iguais_a_menos_de_pontuacao():
    documentos = load_corpus("bncc").documents
    grupos = exact_duplicates(documentos)
    vistos: dict[str, list[int]] = {}
    for i, texto in enumerate(documentos):
        vistos.setdefault(" ".join(sorted(shingles(texto, 10**6))), []).append(i)  # o texto todo como um n-grama
    assert grupos == [tuple(g) for g in vistos.values() if len(g) > 1]


# --- quase iguais ----------------------------------------------------------------------------------


@given(
    st.lists(FRASES, max_size=8),
    st.sampled_from([0.3, 0.5, 0.7, 1.0]),
    st.sampled_from([0.1, 0.5, 0.7, 0.9, 1.0]),
    st.integers(1, 4),
)
@settings(max_examples=200)
def test_iguais_a_comparar_todos_com_todos(documentos, limiar, contencao, n):
    # Contenção ≥ Jaccard: com contenção ≤ limiar o índice exato vê todos os pares, e nada depende de sorteio.
    contencao = min(contencao, limiar)
    achados = near_duplicates(documentos, threshold=limiar, containment=contencao, n=n)
    assert achados == _pares_por_conjuntos(documentos, limiar, contencao, n)


def test_o_indice_nao_perde_pares_por_arredondamento():
    # 0,07 · 100 dá 7,000000000000001 em ponto flutuante, e o teto seria 8: o prefixo perderia justamente o 7º.
    menor = " ".join(f"a{i}" for i in range(100))
    for em_comum in range(1, 101):
        maior = " ".join([f"a{i}" for i in range(em_comum)] + [f"b{i}" for i in range(200)])
        [par] = near_duplicates([menor, maior], threshold=1, containment=em_comum / 100, n=1)
        assert par.containment == em_comum / 100


@pytest.mark.parametrize("fracao", [0.0, 0.02, 0.05])
def test_o_lsh_sozinho_acha_copias_plantadas(fracao):
    # Cada palavra trocada estraga até 5 n-gramas: com 5% de trocas sobram ≥ 3/4 deles, Jaccard ≥ 0,6, que escapa às
    # 64 faixas de 2 linhas com probabilidade 0,64**64 < 1e-12.
    gerador = random.Random(8)
    originais = [" ".join(HISTORIAS[i : i + 4]) for i in range(0, 60, 4)]
    copias = [_estraga(texto, fracao, gerador) for texto in originais]
    documentos = originais + copias
    achados = near_duplicates(documentos, threshold=0.3, containment=None)
    esperado = _pares_por_conjuntos(documentos, 0.3, None, 5)
    assert achados == esperado
    plantados = {(i, i + len(originais)) for i in range(len(originais))}
    assert plantados <= {(p.first, p.second) for p in achados}


def test_copias_plantadas_no_bncc():
    gerador = random.Random(3)
    documentos = list(load_corpus("bncc").documents[::6])
    alvos = gerador.sample([i for i, d in enumerate(documentos) if len(d.split()) > 30], 10)
    antes = {(p.first, p.second) for p in near_duplicates(documentos, threshold=0.5, containment=None)}
    copiados = documentos + [_estraga(documentos[i], 0.03, gerador) for i in alvos]
    depois = {(p.first, p.second) for p in near_duplicates(copiados, threshold=0.5, containment=None)}
    assert antes <= depois
    assert {(i, len(documentos) + k) for k, i in enumerate(alvos)} <= depois


def test_conto_dentro_de_coletanea_tem_jaccard_baixo_e_e_achado():
    coletanea = " ".join(HISTORIAS[:40])
    documentos = [HISTORIAS[7], coletanea]
    assert near_duplicates(documentos, containment=None) == []
    [par] = near_duplicates(documentos)
    assert par.containment == 1.0
    assert par.jaccard < 0.1


def test_semente_e_numero_de_permutacoes_nao_mudam_o_que_se_acha():
    documentos = [*HISTORIAS[:10], HISTORIAS[3] + " E foi assim."]
    primeiro = near_duplicates(documentos)
    assert any((p.first, p.second) == (3, 10) for p in primeiro)
    assert near_duplicates(documentos, seed=2, num_perm=256) == primeiro


# --- quem fica -------------------------------------------------------------------------------------


def test_fica_o_mais_longo_e_a_razao_e_dita():
    longo, curto, outro = " ".join(HISTORIAS[:3]), " ".join(HISTORIAS[:2]), " ".join(HISTORIAS[40:43])
    resultado = drop_duplicates([curto, outro, longo], ["curto", "outro", "longo"], threshold=0.5)
    [saiu] = resultado.dropped
    a, b = shingles(curto), shingles(longo)
    assert saiu == DroppedDocument("curto", "longo", jaccard(a, b), len(a & b) / len(a))
    assert resultado.kept == (1, 2)


def test_quem_so_se_parece_com_um_retirado_fica():
    # a ~ b e b ~ c, mas a e c nada têm em comum. Se o do meio é o mais curto, sai só ele; se o mais longo, fica só ele.
    a, c = [f"a{i}" for i in range(30)], [f"c{i}" for i in range(30)]
    meio_curto, meio_longo = a[:14] + c[:14], a[:25] + c[:25]
    opcoes = {"threshold": 0.3, "containment": 0.4, "n": 1}
    curto = drop_duplicates([" ".join(x) for x in (a, meio_curto, c)], ["a", "b", "c"], **opcoes)
    assert (curto.kept, [d.name for d in curto.dropped]) == ((0, 2), ["b"])
    longo = drop_duplicates([" ".join(x) for x in (a, meio_longo, c)], ["a", "b", "c"], **opcoes)
    assert (longo.kept, {(d.name, d.kept_name) for d in longo.dropped}) == ((1,), {("a", "b"), ("c", "b")})


@given(st.lists(FRASES, max_size=8), st.randoms(use_true_random=False))
def test_a_escolha_nao_depende_da_ordem_e_separa_os_parecidos(documentos, gerador):
    nomes = [f"d{i}" for i in range(len(documentos))]
    opcoes = {"threshold": 0.5, "containment": 0.5, "n": 1}
    resultado = drop_duplicates(documentos, nomes, **opcoes)
    ficam = {nomes[i] for i in resultado.kept}
    assert list(resultado.kept) == sorted(resultado.kept)
    assert {d.name for d in resultado.dropped} == set(nomes) - ficam
    assert {d.kept_name for d in resultado.dropped} <= ficam
    assert near_duplicates([documentos[i] for i in resultado.kept], **opcoes) == []
    ordem = list(range(len(documentos)))
    gerador.shuffle(ordem)
    outra = drop_duplicates([documentos[i] for i in ordem], [nomes[i] for i in ordem], **opcoes)
    assert {nomes[ordem[i]] for i in outra.kept} == ficam
    assert set(outra.dropped) == set(resultado.dropped)


def test_nada_a_retirar():
    assert drop_duplicates([], []) == Deduplication((), ())
    assert drop_duplicates(["um texto", "outra frase"], ["a", "b"]) == Deduplication((0, 1), ())


# --- corpus real -----------------------------------------------------------------------------------


@pytest.mark.lento
@pytest.mark.corpora_reais
def test_machado_tem_exatamente_dois_pares(espelho, tmp_path):
    corpus = load_corpus("machado", cache_dir=tmp_path)
    resultado = drop_duplicates(corpus.documents, corpus.names)
    assert len(resultado.kept) == 189
    achados = {d.name: d for d in resultado.dropped}
    # Medidas conferidas à parte, com conjuntos de tuplas de palavras e todos os 18.145 pares; a seguinte mais parecida
    # (A mão e a luva e Ressurreição, por causa da nota da edição) tem Jaccard 0,0048 e contenção 0,0098.
    livro, conto = achados["quincas-borba_39"], achados["o-pais-das-quimeras_2"]
    assert len(achados) == 2
    assert (livro.kept_name, conto.kept_name) == ("quincas-borba-a-estacao_52", "uma-excursao-milagrosa_2")
    # O oráculo foi impresso com cinco casas.
    assert (livro.jaccard, livro.containment) == (pytest.approx(0.40580, abs=5e-6), pytest.approx(0.69300, abs=5e-6))
    assert (conto.jaccard, conto.containment) == (pytest.approx(0.57521, abs=5e-6), pytest.approx(0.77978, abs=5e-6))
    # O limiar padrão está longe dos dois grupos: com um terço dele, e um quinto do de contenção, não se acha mais nada.
    pares = near_duplicates(corpus.documents, threshold=0.1, containment=0.1)
    assert [(corpus.names[p.first], corpus.names[p.second]) for p in pares] == [
        ("o-pais-das-quimeras_2", "uma-excursao-milagrosa_2"),
        ("quincas-borba-a-estacao_52", "quincas-borba_39"),
    ]


# --- erros -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chamada", "mensagem"),
    [
        (lambda: near_duplicates(["a", "b"], threshold=0), "threshold=0.*0 < threshold ≤ 1"),
        (lambda: near_duplicates(["a", "b"], containment=1.2), "containment=1.2.*ou None"),
        (lambda: near_duplicates(["a", " - "]), "documento 1 não tem palavra alguma"),
        (lambda: near_duplicates("abc"), r"passe \[texto\]"),
        (lambda: drop_duplicates(["a", "b"], ["x"]), r"1 nomes \(1 distintos\) para 2 documentos"),
        (lambda: drop_duplicates(["a", "b"], ["x", "x"]), r"2 nomes \(1 distintos\) para 2 documentos"),
    ],
)
def test_erros_dizem_o_valor_e_o_remedio(chamada, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        chamada()
