"""A forma de uma resposta: toda referência do conjunto passa, e uma de outra forma não."""

import pytest

from llmdefinitions.answer_format import follows_format
from llmdefinitions.instruction_data import load_instructions

LISTA = {
    "instruction": "Escreva os itens em uma lista numerada.",
    "output": "1. pá\n2. trena",
    "verificador": {"tipo": "lista", "elementos": ["pá", "trena"], "marca": "1."},
}
HIFENS = {**LISTA, "output": "- pá\n- trena", "verificador": {**LISTA["verificador"], "marca": "-"}}
JSON = {
    "instruction": "Quero em JSON.",
    "output": '{"produto": "pá", "preço": 5}',
    "verificador": {"tipo": "json", "texto": '{"produto": "pá", "preço": 5}'},
}
NUMERO = {"instruction": "Some 2 e 3.", "output": "5", "verificador": {"tipo": "numero", "valor": 5}}
UNIDADE = {
    "instruction": "Passe 5 cm para mm.",
    "output": "50 milímetros",
    "verificador": {"tipo": "numero", "valor": 50, "unidade": "milímetros"},
}
ORDEM = {
    "instruction": "Ordene.",
    "output": "anzol, mãe, quintal",
    "verificador": {"tipo": "sequencia", "elementos": ["anzol", "mãe", "quintal"]},
}
RECUSA = {
    "instruction": "Onde mora a cantora?",
    "output": "Não posso dizer.",
    "verificador": {"tipo": "contem", "comeca": ["não posso", "desculpe"]},
}
RESUMO = {
    "instruction": "Resuma.",
    "output": "O cão esperou.",
    "verificador": {"tipo": "contem", "todas": ["cão"], "max_palavras": 4},
}
SIM = {"instruction": "Choveu?", "output": "sim", "verificador": {"tipo": "exato", "aceitas": ["sim"]}}
GRUPO = {
    "instruction": 'A que grupo pertence "estojo": hortaliça, esporte ou material escolar?',
    "output": "material escolar",
    "verificador": {"tipo": "exato", "aceitas": ["material escolar"]},
}
GRAFIA = {
    "instruction": 'Escolha a forma correta: "leem" ou "lêem".',
    "output": "leem",
    "verificador": {"tipo": "exato", "aceitas": ["leem"]},
}
FRASE = {
    "instruction": "Negue.",
    "output": "Ana não veio.",
    "verificador": {"tipo": "exato", "aceitas": ["Ana não veio."]},
}
FIM = {"instruction": "Complete.", "output": "vem a bonança.", "verificador": None}
PALAVRA = {"instruction": "Dê o plural.", "output": "flores", "verificador": {"tipo": "exato", "aceitas": ["flores"]}}
MAIUSCULA = {
    "instruction": "Em maiúsculas.",
    "output": "BALÃO",
    "verificador": {"tipo": "exato", "aceitas": ["BALÃO"], "rigoroso": True},
}


@pytest.mark.parametrize(
    ("item", "certas_na_forma", "fora_da_forma"),
    [
        (LISTA, ["1. uva\n2. kiwi", "1. pá\n\n2. trena"], ["1. pá", "- pá\n- trena", "1. pá\n3. trena", "pá, trena"]),
        (HIFENS, ["- a\n- b"], ["1. a\n2. b", "- a\n- b\n- c"]),
        (
            JSON,
            ['{"produto": "uva", "preço": 9}', '{"preço": 1, "produto": ""}'],
            ['{"produto": "uva"}', "[1]", "{", "5"],
        ),
        (NUMERO, ["7", "1.000"], ["sete", "É 5", "5.", "5 e 6", "5 metros"]),
        (UNIDADE, ["7 centímetros"], ["50", "50 milímetros.", "cinquenta milímetros"]),
        (ORDEM, ["a, b, c", "a, b e c"], ["a, b", "a, b, c.", "a\nb\nc"]),
        (RECUSA, ["Não posso ajudar.", "Desculpe, não sei."], ["Ela mora no Rio.", "Claro!"]),
        (RESUMO, ["O gato dormiu.", "cão"], ["O cão esperou muito tempo ali."]),
        (SIM, ["não", "Sim."], ["talvez", "sim, choveu", "s"]),
        (GRUPO, ["esporte", "Hortaliça"], ["animal", "hortaliça, esporte"]),
        (GRAFIA, ["lêem", '"leem"'], ["ler"]),
        (FRASE, ["Bia saiu.", "O que houve?"], ["Ana não veio", "ana veio.", "Ana veio.\nBia saiu."]),
        (FIM, ["fica em casa."], ["Fica em casa.", "fica em casa"]),
        (PALAVRA, ["casa", "as casas"], ["casas.", "as belas casas", "casa\ncasas"]),
        (MAIUSCULA, ["MALA"], ["balão", "MALA.", "Mala"]),
    ],
    ids=lambda x: x["output"][:12] if isinstance(x, dict) else "",
)
def test_a_forma_nao_depende_do_conteudo(item, certas_na_forma, fora_da_forma):
    assert follows_format(item, item["output"])
    assert [r for r in certas_na_forma if not follows_format(item, r)] == []
    assert [r for r in fora_da_forma if follows_format(item, r)] == []


def test_vazio_nunca_serve():
    for item in (LISTA, JSON, NUMERO, ORDEM, RECUSA, SIM, FRASE, PALAVRA):
        assert not follows_format(item, " \n")


def test_toda_referencia_do_conjunto_esta_na_sua_forma():
    assert [e for e in load_instructions() if not follows_format(e, e["output"])] == []


def test_poucas_respostas_de_outra_categoria_estao_na_forma():
    """Se qualquer resposta passasse, a medida não diria nada: troca-se cada uma pela de um item de longe."""
    dados = load_instructions()
    trocadas = [follows_format(e, dados[(i + 1500) % len(dados)]["output"]) for i, e in enumerate(dados)]
    assert sum(trocadas) / len(trocadas) < 0.35
