"""O idioma pela frequência de trigramas: o erro é medido em frases e corpora que o treino não viu."""

import math
from collections import Counter

import pytest

from llmdefinitions.corpora import load_corpus
from llmdefinitions.language import LanguageIdentifier, default_identifier, language_samples

LINGUAS = {"pt", "en", "es", "fr", "it"}


def test_as_amostras_de_treino_e_teste_nao_se_misturam():
    treino, teste = language_samples("treino"), language_samples("teste")
    assert set(treino) == set(teste) == LINGUAS
    for lingua in LINGUAS:
        assert len(treino[lingua]) == 24
        assert len(teste[lingua]) == 10
        assert set(treino[lingua]).isdisjoint(teste[lingua])


def test_erro_em_frases_nunca_vistas():
    # Uma frase de ~80 caracteres já basta: medido em 22/11/2026, nenhum erro nas 50.
    erros = [
        (lingua, frase)
        for lingua, frases in language_samples("teste").items()
        for frase in frases
        if default_identifier().identify(frase) != lingua
    ]
    assert erros == []


def test_erro_nos_corpora_em_portugues():
    # Medido: 5 dos 1.821 enunciados do bncc (0,3%), curtos ou com palavras inglesas, e nenhuma de 300 histórias.
    # O teto é o dobro: mudar as amostras pode deslocar um ou outro enunciado curto.
    bncc = load_corpus("bncc").documents
    assert sum(default_identifier().identify(d) != "pt" for d in bncc) <= 10
    historias = load_corpus("historias", n_stories=300, seed=4).documents
    assert Counter(map(default_identifier().identify, historias)) == {"pt": 300}


def test_probabilidades_contadas_a_mao():
    # "ab" dá os trigramas " ab" e "ab "; "b" dá " b ". Três trigramas e o nunca visto: 4 valores, suavização 1.
    identificador = LanguageIdentifier.train({"x": ["ab", "ab"], "y": ["b"]}, smoothing=1)
    notas = identificador.scores("Ab 1!")
    assert notas["x"] == pytest.approx(math.log((2 + 1) / (4 + 4)))
    assert notas["y"] == pytest.approx(math.log((0 + 1) / (1 + 4)))
    assert identificador.scores("z")["x"] == pytest.approx(math.log(1 / 8))
    assert identificador.identify("ab") == "x"
    assert identificador.identify("b") == "y"


def test_as_probabilidades_de_cada_lingua_somam_um():
    identificador = LanguageIdentifier.train({"x": ["ab", "ac"], "y": ["b"]})
    for lingua in ("x", "y"):
        probabilidades = [math.exp(identificador.scores(t.strip())[lingua]) for t in ("b", "z")]
        # " b " e o nunca visto, mais os quatro de "ab" e "ac", que aparecem aos pares e com contagens iguais.
        pares = [math.exp(identificador.scores(palavra)[lingua]) for palavra in ("ab", "ac")]
        assert sum(probabilidades) + 2 * sum(pares) == pytest.approx(1)


def test_sem_letras_nao_ha_resposta():
    assert default_identifier().identify("123 — ?!") is None
    assert default_identifier().scores("") == {}


@pytest.mark.parametrize(
    ("chamada", "mensagem"),
    [
        (lambda: LanguageIdentifier.train({"pt": ["a"]}), "ao menos duas línguas"),
        (lambda: LanguageIdentifier.train({"pt": ["a"], "en": ["b"]}, smoothing=0), "smoothing=0"),
        (lambda: LanguageIdentifier.train({"pt": ["a"], "en": ["12"]}), "amostras de 'en' não têm letras"),
        (lambda: language_samples("validação"), "part='validação': esperado um de"),
    ],
)
def test_erros_dizem_o_valor_e_o_remedio(chamada, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        chamada()
