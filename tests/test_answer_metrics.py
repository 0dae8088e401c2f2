"""Métricas de respostas: casos contados à mão, e o que cada uma deixa ou não passar."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdefinitions.answer_metrics import bleu, chrf, exact_match, sentence_chrf, signatures, token_f1

PALAVRAS = st.lists(st.sampled_from(["o", "gato", "preto", "Dorme", "não", "é"]), max_size=6).map(" ".join)


@pytest.mark.parametrize(
    ("resposta", "certa"),
    [("Flores", True), (" flores. ", True), ('"FLORES!"', True), ("flôres", False), ("as flores", False), ("", False)],
)
def test_correspondencia_exata(resposta, certa):
    assert exact_match(resposta, "flores") is certa


@pytest.mark.parametrize(
    ("resposta", "referencia", "f1"),
    [
        ("O gato dorme.", "o gato dorme", 1.0),
        ("gato", "o gato dorme", 2 * 1 * (1 / 3) / (1 + 1 / 3)),  # precisão 1, cobertura 1/3
        ("dorme o gato", "o gato dorme", 1.0),  # a ordem não conta
        ("gato gato gato", "gato gato", 2 * (2 / 3) * 1 / (2 / 3 + 1)),
        ("sim", "não", 0.0),
        ("", "não", 0.0),
        ("...", "!", 1.0),
    ],
)
def test_f1_de_palavras(resposta, referencia, f1):
    assert token_f1(resposta, referencia) == pytest.approx(f1)


@given(PALAVRAS, PALAVRAS)
def test_f1_e_simetrico_vai_de_0_a_1_e_so_e_1_com_as_mesmas_palavras(a, b):
    f1 = token_f1(a, b)
    assert 0 <= f1 <= 1
    assert f1 == token_f1(b, a)
    assert (f1 == 1) == (Counter(a.casefold().split()) == Counter(b.casefold().split()))


def chrf_a_mao(resposta: str, referencia: str) -> float:
    """Popović (2015): média, sobre as ordens de 1 a 6, de precisão e cobertura; F com β = 2. Sem espaços."""
    precisoes, coberturas = [], []
    a, b = (texto.replace(" ", "") for texto in (resposta, referencia))
    for n in range(1, 7):
        x, y = (Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in (a, b))
        if not x or not y:
            continue  # o sacrebleu só faz a média das ordens que existem nas duas
        iguais = sum((x & y).values())
        precisoes.append(iguais / sum(x.values()))
        coberturas.append(iguais / sum(y.values()))
    p, c = sum(precisoes) / len(precisoes), sum(coberturas) / len(coberturas)
    return 100 * 5 * p * c / (4 * p + c) if p + c else 0.0


@pytest.mark.parametrize(
    ("resposta", "referencia"),
    [("o gato dorme", "o gato dormiu"), ("casinha", "casinhas"), ("abacaxi maduro", "um abacaxi"), ("xyz", "abc")],
)
def test_chrf_igual_ao_do_artigo(resposta, referencia):
    assert sentence_chrf(resposta, referencia) == pytest.approx(chrf_a_mao(resposta, referencia), abs=1e-6)


def test_chrf_e_bleu_do_conjunto():
    certas = ["O gato preto dorme na cama.", "A chuva caiu de manhã."]
    assert chrf(certas, certas) == pytest.approx(100)
    assert bleu(certas, certas) == pytest.approx(100)
    trocada = ["O gato preto dorme no sofá.", certas[1]]
    assert 0 < bleu(trocada, certas) < 100
    assert 0 < chrf(trocada, certas) < 100


def test_bleu_contado_a_mao():
    # Referência de 5 palavras, resposta de 5 com a última trocada: 4/5, 3/4, 2/3 e 1/2; tamanhos iguais, sem desconto.
    esperado = 100 * math.exp(sum(math.log(p) for p in (4 / 5, 3 / 4, 2 / 3, 1 / 2)) / 4)
    assert bleu(["o gato preto dorme hoje"], ["o gato preto dorme sempre"]) == pytest.approx(esperado)


def test_bleu_nao_serve_a_respostas_de_uma_palavra():
    assert bleu(["sim", "flores"], ["sim", "flores"]) == 0
    assert chrf(["sim", "flores"], ["sim", "flores"]) == pytest.approx(100)


def test_assinaturas_dizem_a_versao_e_o_metodo():
    achadas = signatures()
    assert "version:" in achadas["chrf"]
    assert "nc:6" in achadas["chrf"]
    assert "tok:13a" in achadas["bleu"]


@pytest.mark.parametrize("metrica", [chrf, bleu])
@pytest.mark.parametrize(
    ("respostas", "referencias", "mensagem"),
    [([], [], "0 respostas"), (["a"], ["a", "b"], "1 respostas e 2"), ("sim", ["sim"], "um texto só")],
)
def test_o_que_nao_se_compara(metrica, respostas, referencias, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        metrica(respostas, referencias)
