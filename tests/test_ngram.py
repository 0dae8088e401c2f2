"""Kneser-Ney contra um oráculo em frações exatas escrito das fórmulas, e contra uma cadeia de entropia conhecida."""

import math
from collections import Counter
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdefinitions.ngram import FALLBACK_DISCOUNTS, KneserNeyModel, estimate_discounts
from llmdefinitions.stories import sample_stories

V = 4
DOCUMENTOS = st.lists(st.lists(st.integers(0, V - 1), max_size=30), min_size=1, max_size=6).filter(any)
# Poucos documentos curtos têm contagens 1, 2, 3 e 4 numa mesma ordem. Este tem, e exercita os descontos estimados.
LONGO = np.random.default_rng(8).choice(V, p=[0.6, 0.25, 0.1, 0.05], size=120).tolist()


class Oraculo:
    """Kneser-Ney modificado com dicionários, tuplas e frações: nenhuma estrutura em comum com o módulo."""

    def __init__(self, ordem: int, v: int, documentos: list[list[int]]) -> None:
        self.ordem, self.v = ordem, v
        textos = [["<s>"] * (ordem - 1) + list(d) for d in documentos]
        fins = [(t, i) for t in textos for i in range(ordem - 1, len(t))]
        self.c = {ordem: Counter(tuple(t[i - ordem + 1 : i + 1]) for t, i in fins)}
        for n in range(ordem - 1, 0, -1):
            vistos = {tuple(t[i - n : i + 1]) for t, i in fins}  # os (n+1)-gramas diferentes
            self.c[n] = Counter(g[1:] for g in vistos)
        self.d = {n: self._descontos(list(c.values())) for n, c in self.c.items()}
        self.p = cache(self._p)

    def _descontos(self, contagens: list[int]) -> list[Fraction]:
        n1, n2, n3, n4 = (sum(1 for c in contagens if c == k) for k in (1, 2, 3, 4))
        reserva = [Fraction(1, 2), Fraction(1), Fraction(3, 2)]
        if 0 in (n1, n2, n3, n4):
            return reserva
        y = Fraction(n1, n1 + 2 * n2)
        estimados = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        return estimados if all(0 < d <= k for k, d in zip((1, 2, 3), estimados, strict=True)) else reserva

    def _p(self, w: int, h: tuple) -> Fraction:
        """p(w | h) na ordem len(h) + 1; `None` é o contexto que fica abaixo do vazio."""
        if h is None:
            return Fraction(1, self.v)
        n = len(h) + 1
        abaixo = self.p(w, h[1:] if h else None)
        seguem = [c for g, c in self.c[n].items() if g[:-1] == h]
        if not seguem:
            return abaixo
        desconto = lambda c: self.d[n][min(c, 3) - 1] if c else 0  # noqa: E731
        aqui = self.c[n][(*h, w)]
        gama = sum(desconto(c) for c in seguem) / Fraction(sum(seguem))
        return (aqui - desconto(aqui)) / Fraction(sum(seguem)) + gama * abaixo

    def depois_de(self, passado: list[int]) -> list[Fraction]:
        h = tuple((["<s>"] * (self.ordem - 1) + list(passado))[len(passado) :])
        return [self.p(w, h) for w in range(self.v)]


# --- igual às fórmulas -----------------------------------------------------------------------------


@given(DOCUMENTOS, st.integers(1, 4), st.lists(st.integers(0, V - 1), max_size=8), st.booleans())
@settings(max_examples=150)
def test_igual_ao_oraculo_em_fracoes(documentos, ordem, teste, com_longo):
    documentos = documentos + [LONGO] * com_longo
    modelo, oraculo = KneserNeyModel(ordem, V).fit(documentos), Oraculo(ordem, V, documentos)
    for i in range(len(teste) + 1):
        exatas = oraculo.depois_de(teste[:i])
        assert sum(exatas) == 1  # o próprio oráculo, sem arredondamento
        # Poucas dezenas de operações em float64, cada uma com erro relativo de 1e-16.
        np.testing.assert_allclose(modelo.next_probs(teste[:i]), [float(p) for p in exatas], rtol=1e-13)
    esperado = [math.log(oraculo.depois_de(teste[:i])[w]) for i, w in enumerate(teste)]
    np.testing.assert_allclose(modelo.log_probs(teste), esperado, rtol=1e-12, atol=1e-14)
    assert modelo.log_prob(teste) == pytest.approx(sum(esperado), rel=1e-12, abs=1e-14)
    assert modelo.sizes == tuple(len(oraculo.c[n]) for n in range(1, ordem + 1))


def test_o_longo_estima_descontos_e_outros_usam_a_reserva():
    # O que torna o teste anterior significativo: os dois caminhos acontecem nele.
    assert FALLBACK_DISCOUNTS not in KneserNeyModel(4, V).fit([LONGO]).discounts[1:]
    assert FALLBACK_DISCOUNTS not in KneserNeyModel(3, V).fit([LONGO]).discounts[1:]
    assert KneserNeyModel(3, V).fit([[0, 1]]).discounts == (FALLBACK_DISCOUNTS,) * 3


def test_descontos_contados_a_mao():
    # n1=8, n2=4, n3=2, n4=1: Y = 8/16 = 0,5; D1 = 1 − 2·0,5·4/8; D2 = 2 − 3·0,5·2/4; D3 = 3 − 4·0,5·1/2.
    contagens = np.array([1] * 8 + [2] * 4 + [3] * 2 + [4] + [9] * 5 + [0] * 7)
    assert estimate_discounts(contagens) == (0.5, 1.25, 2.0)


@pytest.mark.parametrize(
    "contagens",
    [[], [1, 1, 1], [2, 3, 4], [1] * 8 + [2] * 4 + [3] * 2, [1] * 90 + [2] + [3] * 9 + [4]],
    ids=["nada", "só uns", "sem uns", "sem quatros", "D2 negativo"],
)
def test_contagens_que_nao_servem_dao_os_descontos_de_reserva(contagens):
    assert estimate_discounts(np.array(contagens, dtype=np.int32)) == (0.5, 1.0, 1.5)


# --- o que define o método -------------------------------------------------------------------------


@given(DOCUMENTOS, st.integers(1, 6), st.lists(st.integers(0, V), max_size=8))
def test_distribuicao_soma_um_e_nada_tem_probabilidade_zero(documentos, ordem, contexto):
    modelo = KneserNeyModel(ordem, V + 1).fit(documentos)  # o id V nunca aparece no treino
    probs = modelo.next_probs(contexto)
    assert probs.sum() == pytest.approx(1, abs=1e-14)  # arredondamento de cinco parcelas
    assert probs.min() > 0
    assert np.all(np.isfinite(modelo.log_probs([*contexto, V])))


@given(DOCUMENTOS, st.integers(1, 5), st.lists(st.integers(0, V - 1), min_size=1, max_size=20))
def test_log_probs_e_next_probs_concordam(documentos, ordem, teste):
    # Dois caminhos de busca: um id de cada vez pela árvore de contextos, e todos de uma vez.
    modelo = KneserNeyModel(ordem, V).fit(documentos)
    um_a_um = [math.log(modelo.next_probs(teste[:i])[w]) for i, w in enumerate(teste)]
    np.testing.assert_allclose(modelo.log_probs(teste), um_a_um, rtol=1e-12, atol=1e-15)


def test_sao_francisco():
    # 2 é mais frequente que 3, mas só vem depois de 1; 3 vem depois de quatro ids: num contexto novo, é mais provável.
    documentos = [[1, 2]] * 10 + [[w, 3] for w in (0, 4, 5, 6)] + [[7]]
    bigramas, frequencia = KneserNeyModel(2, 8).fit(documentos), KneserNeyModel(1, 8).fit(documentos)
    depois_de_7, soltos = bigramas.next_probs([7]), frequencia.next_probs()
    assert soltos[2] > 2 * soltos[3]
    assert depois_de_7[3] > 2 * depois_de_7[2]


def test_nenhum_n_grama_atravessa_documentos():
    separados = KneserNeyModel(2, 4).fit([[0, 1], [2, 3]])
    assert separados.sizes == (4, 4)  # <s>0 01 <s>2 23
    assert KneserNeyModel(2, 4).fit([[0, 1, 2, 3]]).sizes == (4, 4)  # <s>0 01 12 23
    assert separados.next_probs([1]).tolist() == KneserNeyModel(2, 4).fit([[2, 3], [0, 1]]).next_probs([1]).tolist()
    # Nada se viu depois de 1: vale a distribuição de ordem 1, igual para os quatro.
    assert separados.next_probs([1]) == pytest.approx([0.25] * 4, rel=1e-15)


@given(DOCUMENTOS, st.randoms(use_true_random=False))
def test_a_ordem_dos_documentos_nao_importa(documentos, gerador):
    trocados = list(documentos)
    gerador.shuffle(trocados)
    a, b = KneserNeyModel(3, V).fit(documentos), KneserNeyModel(3, V).fit(trocados)
    assert np.array_equal(a.log_probs(LONGO), b.log_probs(LONGO))


def test_treinar_de_novo_esquece_o_anterior():
    modelo = KneserNeyModel(3, V).fit([LONGO])
    assert np.array_equal(modelo.fit([[0, 1]]).next_probs([0]), KneserNeyModel(3, V).fit([[0, 1]]).next_probs([0]))


def test_qualquer_forma_de_passar_os_ids():
    texto = b"Capitu, olhos de ressaca"
    formas = [texto, list(texto), np.frombuffer(texto, dtype=np.uint8), np.array(list(texto), dtype=np.int64)]
    primeiro, *outros = [KneserNeyModel(4, 256).fit(iter([f, b""])).log_probs(f) for f in formas]
    for outro in outros:
        assert np.array_equal(outro, primeiro)
    assert primeiro.shape == (len(texto),)
    assert primeiro.dtype == np.float64
    assert KneserNeyModel(4, 256).fit([texto]).log_probs([]).shape == (0,)


# --- aprende ---------------------------------------------------------------------------------------


def test_chega_a_entropia_de_uma_cadeia_de_markov():
    gerador = np.random.default_rng(7)
    transicao = np.array([[0.7, 0.1, 0.1, 0.1], [0.05, 0.05, 0.6, 0.3], [0.25, 0.25, 0.25, 0.25], [0.5, 0.0, 0.0, 0.5]])
    sorteios, cadeia = gerador.random(60_000), [0]
    acumulada = transicao.cumsum(axis=1)
    for u in sorteios:
        cadeia.append(int(np.searchsorted(acumulada[cadeia[-1]], u, side="right")))
    treino, teste = cadeia[:40_000], cadeia[40_000:]
    otima = -np.mean([math.log(transicao[a, b]) for a, b in pairwise(teste)])
    perdas = {n: -KneserNeyModel(n, 4).fit([treino]).log_probs(teste)[1:].mean() for n in (1, 2, 3)}
    # 12 parâmetros livres estimados de 40.000 ids: o excesso esperado é 12 / (2 · 40.000) = 0,00015 nats; com as 36
    # da ordem 3 e a massa dos descontos, menos de 0,002. A ordem 1 não pode chegar perto.
    assert otima - 0.0005 < perdas[2] < otima + 0.002
    assert otima - 0.0005 < perdas[3] < otima + 0.002
    assert perdas[1] > otima + 0.1


def test_mais_contexto_preve_melhor_historias_novas():
    historias = [h.text.encode() for h in sample_stories(400, seed=21)]
    treino, teste = historias[:350], historias[350:]
    n_bytes = sum(map(len, teste))
    perdas = []
    for ordem in (1, 2, 3, 5, 7):
        modelo = KneserNeyModel(ordem, 256).fit(treino)
        perdas.append(-sum(modelo.log_prob(t) for t in teste) / n_bytes / math.log(2))
    assert perdas == sorted(perdas, reverse=True)
    assert perdas[0] < 8  # bits por byte; 8 é não saber nada
    assert perdas[-1] < perdas[0] / 3


# --- erros -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chamada", "mensagem"),
    [
        (lambda: KneserNeyModel(0, 5), "order=0, vocab_size=5: esperado order ≥ 1"),
        (lambda: KneserNeyModel(2, 0), "vocab_size=0"),
        (lambda: KneserNeyModel(2, 2**31), "vocab_size < 2³¹"),
        (lambda: KneserNeyModel(2, 5).fit([]), "nenhum id de treino"),
        (lambda: KneserNeyModel(2, 5).fit([[], []]), "nenhum id de treino"),
        (lambda: KneserNeyModel(2, 5).fit([[1, 5]]), r"vão de 1 a 5, fora do vocabulário \(0 a 4\)"),
        (lambda: KneserNeyModel(2, 5).fit([[-1, 2]]), "vão de -1 a 2"),
        (lambda: KneserNeyModel(2, 5).fit([[0.5]]), "tipo float64: esperado uma sequência de inteiros"),
        (lambda: KneserNeyModel(2, 5).fit([[[1, 2]]]), r"formato \(1, 2\)"),
        (lambda: KneserNeyModel(2, 5).fit([[1]]).log_probs([7]), "vão de 7 a 7"),
        (lambda: KneserNeyModel(2, 5).fit([[1]]).next_probs([7]), "vão de 7 a 7"),
    ],
)
def test_erros_dizem_o_valor_e_o_esperado(chamada, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        chamada()


@pytest.mark.parametrize("uso", ["log_probs", "log_prob", "next_probs"])
def test_sem_treino_diz_o_que_chamar(uso):
    with pytest.raises(RuntimeError, match=r"chame fit\(documentos\)"):
        getattr(KneserNeyModel(2, 5), uso)([1])


def test_um_treino_que_falha_nao_estraga_o_anterior():
    modelo = KneserNeyModel(2, 5).fit([[1, 2, 3]])
    antes = modelo.next_probs([1])
    with pytest.raises(ValueError, match="vão de 9 a 9"):
        modelo.fit([[1], [9]])
    assert np.array_equal(modelo.next_probs([1]), antes)
