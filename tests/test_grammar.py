"""A gramática genérica e seus moldes, contra contas feitas à mão e contra um segundo intérprete."""

import copy
import math
import random
from collections import Counter
from fractions import Fraction

import pytest
from oraculo_gramatica import enumera

from llmdefinitions.grammar import Grammar
from llmdefinitions.template import compile_template

# Exercita toda a sintaxe: pesos, concordância (também de grupo e de número), exclusão, inclusão, listas aninhadas,
# classe escolhida por um campo e molde guardado num verbete.
SPEC = {
    "inicio": "frase",
    "determinantes": {"o": ["o", "a", "os", "as"], "do": ["do", "da", "dos", "das"]},
    "classes": {
        "gente": [{"t": "Ana", "g": "f", "p": 2}, {"t": "Bia", "g": "f"}, {"t": "Caio", "g": "m"}],
        "todos": ["+gente", {"t": "Davi", "g": "m", "p": 3}],
        "cores": ["azul/azul/azuis/azuis", {"t": "roxo/roxa/roxos/roxas", "p": 4}],
        "lugares": [
            {"t": "praia", "g": "f", "p": 3, "coisas": "coisas_da_praia", "fala": "[v=vozes]{v} ao mar"},
            {"t": "sítio", "g": "m", "coisas": [{"t": "botas", "g": "fp"}, "chapéu"], "fala": "ouviu o vento"},
        ],
        "coisas_da_praia": [{"t": "concha", "g": "f"}, {"t": "chinelos", "g": "mp", "p": 2}],
        "vozes": ["cantou", "falou"],
    },
    "regras": {
        "frase": [[3, "[x=gente]{x} e [y=todos-x]{y} foram {x+y|juntos|juntas}[resto]"], "Ninguém veio[resto]"],
        "resto": [" [l=lugares]até {o l}. [coisa]", [2, "."]],
        "coisa": ["[c=l.coisas][k=cores]{O c} {do l} {c#era|eram} {k~c}; alguém [l.fala]."],
    },
}


def test_enumeracao_confere_com_probabilidades_entropia_e_contagem():
    gramatica = Grammar(SPEC)
    exatas = dict(enumera(SPEC))
    assert len(exatas) == len(list(enumera(SPEC)))  # nenhum texto tem duas derivações
    assert sum(exatas.values()) == 1
    entropia, contagem = gramatica.measure()
    assert contagem == len(exatas)
    # 1e-12: somas de centenas de termos em float64, com erro relativo perto de 1e-16 por termo.
    assert entropia == pytest.approx(-sum(p * math.log(p) for p in exatas.values()), abs=1e-12)
    for texto, p in exatas.items():
        (derivacao,) = gramatica.derivations(texto)
        assert derivacao == pytest.approx(math.log(p), abs=1e-12)


def test_valores_feitos_a_mao():
    """Conferidos no papel: 3/4 da alternativa, 2/4 de Ana, Davi 3/5 entre Bia, Caio e Davi, 2/3 de encerrar."""
    exatas = dict(enumera(SPEC))
    assert exatas["Ana e Davi foram juntos."] == Fraction(3, 4) * Fraction(2, 4) * Fraction(3, 5) * Fraction(2, 3)
    assert exatas["Ana e Bia foram juntas."] == Fraction(3, 4) * Fraction(2, 4) * Fraction(1, 5) * Fraction(2, 3)
    assert "Ana e Ana foram juntas." not in exatas
    frase = "Ninguém veio até a praia. Os chinelos da praia eram roxos; alguém cantou ao mar."
    p = Fraction(1, 4) * Fraction(1, 3) * Fraction(3, 4) * Fraction(2, 3) * Fraction(4, 5) * Fraction(1, 2)
    assert exatas[frase] == p
    (derivacao,) = Grammar(SPEC).derivations(frase)
    assert derivacao == pytest.approx(math.log(p), abs=1e-12)


def test_frequencias_do_sorteio_seguem_as_probabilidades():
    exatas = dict(enumera(SPEC))
    uniforme = random.Random(5).random
    gramatica, n = Grammar(SPEC), 20_000
    frequencias = Counter(gramatica.sample(uniforme)[0] for _ in range(n))
    assert set(frequencias) <= set(exatas)
    # Qui-quadrado dos textos com ao menos 5 esperados; a semente é fixa, e 5 desvios é folga larga.
    comuns = [t for t, p in exatas.items() if p * n >= 5]
    qui2 = sum((frequencias[t] - n * float(exatas[t])) ** 2 / (n * float(exatas[t])) for t in comuns)
    gl = len(comuns) - 1
    assert gl > 20
    assert abs(qui2 - gl) < 5 * math.sqrt(2 * gl)


def test_o_reconhecedor_enxerga_ambiguidade():
    """Um reconhecedor que parasse na primeira derivação esconderia a ambiguidade; este soma as duas."""
    ambigua = {
        "inicio": "s",
        "determinantes": {},
        "classes": {"a": ["x", {"t": "xx", "p": 3}]},
        "regras": {"s": ["[u=a]{u}[v=a]{v}"]},
    }
    derivacoes = list(Grammar(ambigua).derivations("xxx"))
    assert len(derivacoes) == 2
    assert sum(map(math.exp, derivacoes)) == pytest.approx(2 * 1 / 4 * 3 / 4, abs=1e-15)
    assert list(Grammar(ambigua).derivations("x")) == []


def _com(**mudancas):
    spec = copy.deepcopy(SPEC)
    for caminho, valor in mudancas.items():
        parte, nome = caminho.split("__")
        spec[parte][nome] = valor
    return spec


@pytest.mark.parametrize(
    ("spec", "mensagem"),
    [
        (_com(regras__resto=["[inexistente]"]), "a regra 'inexistente' não existe: declare-a em `regras`"),
        (_com(regras__resto=["[x=nada]{x}"]), "a classe 'nada' não existe: declare-a em `classes`"),
        (_com(regras__resto=["[l=lugares]{ao l}"]), "determinante 'ao' não existe .*declare-o em `determinantes`"),
        (_com(regras__resto=["a [coisa]"], regras__coisa=["b [resto]"]), "contém a si mesmo"),
        (_com(classes__vozes=[{"t": "cantou", "p": 0}]), "peso inteiro a partir de 1"),
        (_com(classes__vozes=[{"t": "cantou", "p": 0.5}]), "peso inteiro a partir de 1"),
        (_com(classes__vozes=[]), "escolha com 0 opções"),
    ],
)
def test_gramatica_malfeita_e_recusada_com_o_remedio(spec, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        Grammar(spec)


def test_excluir_todas_as_opcoes_e_erro_e_nao_texto():
    spec = _com(classes__gente=[{"t": "Ana", "g": "f"}], classes__todos=["+gente"])
    with pytest.raises(ValueError, match="escolha com 0 opções"):
        Grammar(spec).measure()


def test_molde_sem_marcas_e_um_literal_so():
    assert compile_template("Era uma vez.", {}) == [(0, "Era uma vez.")]
