"""Verificadores de instruções: para cada um, respostas que obedecem e respostas que não; e as instruções do livro."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdefinitions.verifiers import CHECKS, check, follows, load_prompts, loose

# (tipo, parâmetros, as que obedecem, as que não obedecem)
CASOS = [
    ("min_palavras", {"n": 3}, ["um dois três", "guarda-chuva é uma só"], ["um dois", "guarda-chuva novo"]),
    ("max_palavras", {"n": 3}, ["um dois três", "um"], ["um dois três quatro"]),
    ("n_palavras", {"n": 2}, ["bom dia", "Bom dia!"], ["bom", "bom dia Ana"]),
    ("max_caracteres", {"n": 5}, ["abcde", "ação"], ["abcdef"]),
    (
        "n_frases",
        {"n": 2},
        ["Vim. Vi.", "Quem? Eu!", "Espere... Já vou."],
        ["Vim.", "Vi. Vim. Fui."],
    ),
    ("n_paragrafos", {"n": 2}, ["a\n\nb", "a\nc\n \nb"], ["a\nb", "a\n\nb\n\nc"]),
    ("n_linhas", {"n": 2}, ["a\nb", "a\n\nb"], ["a", "a\nb\nc"]),
    ("palavras_obrigatorias", {"palavras": ["mar", "céu"]}, ["O Mar e o céu."], ["amar o céu", "o mar"]),
    ("palavras_proibidas", {"palavras": ["mar"]}, ["amar é bom"], ["o MAR", "mar"]),
    ("repete_palavra", {"palavra": "mar", "n": 2}, ["Mar, mar."], ["mar", "mar mar mar", "amar amar"]),
    ("letra_proibida", {"letra": "a"}, ["o sol", "céu"], ["a", "A"]),
    (
        "json_valido",
        {},
        ['{"a": 1}', "[1]", '```json\n{"a": 1}\n```'],
        ["{a: 1}", "1", "oi", '{"a": 1'],
    ),
    ("json_valido", {"keys": ["a"]}, ['{"a": 1, "b": 2}'], ['{"b": 2}', '["a"]']),
    ("n_itens", {"n": 2}, ["- a\n- b", "* a\n* b", "1. a\n2) b", "veja:\n- a\n- b"], ["- a", "a\nb", "-a\n-b"]),
    (
        "lista_numerada",
        {"n": 2},
        ["1. a\n2. b", "Veja:\n1) a\n2) b"],
        ["1. a", "2. a\n1. b", "- a\n- b"],
    ),
    ("maiusculas", {}, ["AÇÃO 10!"], ["Ação", "10"]),
    ("minusculas", {}, ["ação 10!"], ["Ação", "10"]),
    ("lingua", {"lingua": "pt"}, ["O gato não quis sair de casa com a chuva."], ["The cat would not go out."]),
    ("comeca_com", {"texto": "Claro"}, ["Claro, vou.", "claro"], ["É claro"]),
    ("termina_com", {"texto": "até logo."}, ["Fui, até logo.", "ATÉ LOGO."], ["até logo. Fui"]),
    ("entre_aspas", {}, ['"oi"', "“oi”", "«oi»"], ["oi", '"oi', '"oi” ']),
    ("sem_virgulas", {}, ["oi; tchau"], ["oi, tchau"]),
    ("sem_algarismos", {}, ["dez"], ["10", "são 3"]),
    ("titulo", {}, ["<<Oi>>", "Título: <<A casa>>\ntexto"], ["<Oi>", "<< >>", "<<a\nb>>"]),
    ("lacunas", {"n": 2}, ["[nome] e [data]", "[a] [b] [c]"], ["[nome]", "[] []"]),
    ("pos_escrito", {}, ["Oi.\nP.S. Tchau", "Oi\nP. S.: tchau"], ["Oi", "Oi P.S. no meio", "P.S."]),
    (
        "secoes",
        {"nome": "Parte", "n": 2},
        ["Parte 1\na\nParte 2\nb", "**Parte 1** a\n# Parte 2"],
        ["Parte 1", "a Parte 1\nParte 2"],
    ),
    ("opcao", {"opcoes": ["sim", "não"]}, ["Sim.", "não"], ["talvez", "sim e não"]),
    ("acrostico", {"word": "paz"}, ["Para\nAmar\nZelar", "p\n\na\nz"], ["Para\nAmar", "a\np\nz"]),
    ("pergunta", {}, ["Quem?"], ["Quem.", "Quem? Eu"]),
    ("exato", {"aceitas": ["Belém"]}, ["belém."], ["Belem"]),
    ("numero", {"valor": 3000, "unidade": "metros"}, ["3.000 metros", "3000 m"], ["3 metros", "3000"]),
    ("sequencia", {"elementos": ["a", "b"]}, ["a, b", "a e b"], ["b, a"]),
    ("lista", {"elementos": ["a", "b"], "marca": "-"}, ["- a\n- b"], ["a\nb"]),
    ("json", {"texto": '{"a": 1}'}, ['{ "a":1 }'], ['{"a": 2}']),
    ("contem", {"todas": ["sol"]}, ["o sol"], ["a lua"]),
]


@pytest.mark.parametrize(("tipo", "parametros", "sim", "nao"), CASOS)
def test_positivos_e_negativos(tipo, parametros, sim, nao):
    assert [texto for texto in sim if not check(tipo, texto, **parametros)] == []
    assert [texto for texto in nao if check(tipo, texto, **parametros)] == []


def test_todos_os_verificadores_foram_provados_e_sao_mais_de_vinte():
    assert {tipo for tipo, *_ in CASOS} == set(CHECKS)
    assert len(CHECKS) >= 20


@pytest.mark.parametrize(("tipo", "parametros", "sim", "nao"), CASOS)
def test_resposta_vazia_nunca_obedece_e_espacos_nas_pontas_nao_contam(tipo, parametros, sim, nao):
    assert not check(tipo, " \n", **parametros)
    assert check(tipo, f"\n {sim[0]}\n", **parametros)


@given(st.text(max_size=60))
def test_qualquer_resposta_tem_veredito(texto):
    for tipo, parametros, *_ in CASOS:
        assert check(tipo, texto, **parametros) in (True, False)


def test_estrito_e_tolerante():
    instrucao = next(p for p in load_prompts() if p.constraints[0].kind == "maiusculas")
    enfeitada = "Claro, aqui está:\n**O RIO É LONGO.**"
    assert follows(instrucao, enfeitada) == [False]
    assert follows(instrucao, enfeitada, strict=False) == [True]
    assert follows(instrucao, "o rio é longo", strict=False) == [False]
    assert loose("a\n*b*\nc") == ["a\n*b*\nc", "a\nb\nc", "*b*\nc", "b\nc", "a\n*b*", "a\nb", "*b*", "b"]


def test_as_instrucoes_do_livro_sao_obedecidas_pelos_exemplos_e_nao_por_qualquer_texto():
    instrucoes = load_prompts()
    assert len(instrucoes) >= 25
    assert all(all(follows(p, p.example)) for p in instrucoes)
    # Toda instrução é descumprida por algum exemplo de outra, ou por um palavrório: nenhum verificador diz sempre sim.
    palavrorio = "Nos dias de frio, com 10 graus, " + "a gente fica em casa, toma café, lê e conversa, " * 6
    for p in instrucoes:
        assert not all(all(follows(p, texto)) for texto in (palavrorio, *(i.example for i in instrucoes))), (
            p.instruction
        )
    assert len({c.kind for p in instrucoes for c in p.constraints}) >= 20


def test_tipo_desconhecido_e_parametro_errado():
    with pytest.raises(ValueError, match="verificador 'rima': esperado um de acrostico"):
        check("rima", "oi")
    with pytest.raises(ValueError, match="verificador 'max_palavras'"):
        check("max_palavras", "oi", palavras=3)


@pytest.mark.parametrize(
    ("muda", "motivo"),
    [
        ({"verificadores": [{"tipo": "maiusculas"}]}, r"o exemplo não obedece a \['maiusculas'\]"),
        ({"verificadores": [{"tipo": "rima"}]}, "verificador 'rima'"),
        ({"verificadores": []}, "não obedece"),
        ({"exemplo": " oi"}, "espaços nas pontas"),
    ],
)
def test_arquivo_malformado(tmp_path, muda, motivo):
    bom = {"instrucao": "Diga oi.", "verificadores": [{"tipo": "minusculas"}], "exemplo": "oi"}
    (tmp_path / "i.json").write_text(json.dumps({"instrucoes": [bom | muda]}), encoding="utf-8")
    with pytest.raises(ValueError, match=motivo):
        load_prompts(tmp_path / "i.json")
