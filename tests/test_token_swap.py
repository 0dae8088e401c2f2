"""As trocas de tokens: o que a resposta copia do texto muda nos dois, e o resto fica."""

import random

import pytest

from llmdefinitions.bpe import train_bpe
from llmdefinitions.instruction import encode_example
from llmdefinitions.token_swap import COPYING, TokenSwapper
from llmdefinitions.tokenizer import encode

PALAVRAS = ("gato", "pato", "rato", "Ana", "Eva", "Davi", "come", "bebe", "viu")
ITEM = {"instruction": "Repita viu.", "input": "Ana viu o gato.", "output": "Ana viu o gato.", "categoria": "cópia"}


@pytest.fixture(scope="module")
def tokenizador():
    frases = [
        f"Pedido: Repita {a}.\nTexto: {a} viu o {b}.\nResposta: {a} viu o {b}" for a in PALAVRAS for b in PALAVRAS
    ]
    return train_bpe(frases, 300)


def trocar(tokenizador, item, semente):
    exemplo = encode_example(item, tokenizador, template="curto")
    fixos = set(encode(f" {item['instruction']}", tokenizador))
    return exemplo, TokenSwapper(tokenizador)(item, exemplo, fixos, random.Random(semente))


def test_o_texto_e_a_resposta_mudam_juntos_e_a_instrucao_nao(tokenizador):
    mudou = 0
    for semente in range(30):
        exemplo, novo = trocar(tokenizador, ITEM, semente)
        assert len(novo) == len(exemplo)
        assert novo.prompt_length == exemplo.prompt_length
        pedido, texto, resposta = tokenizador.decode(list(novo)).split("\n")
        assert pedido == "Pedido: Repita viu."
        assert texto.removeprefix("Texto: ") == resposta.removeprefix("Resposta: ")
        # Está na instrução, ou é curto: fica.
        assert " viu o " in texto
        assert texto.endswith(".")
        nome = texto.removeprefix("Texto: ").split(" ")[0]
        assert nome[0].isupper()
        mudou += texto != "Texto: Ana viu o gato."
    # Cada um dos dois tokens muda em metade das vezes: ao menos um, em três quartos.
    assert 12 <= mudou <= 30


def test_um_numero_vira_outro_de_tantos_algarismos():
    tokenizador = train_bpe([f"Pedido: Copie.\nTexto: custa {n}\nResposta: {n}" for n in range(10)], 285)
    item = {"instruction": "Copie.", "input": "custa 4 e 73", "output": "4 e 73", "categoria": "extração"}
    vistos = set()
    for semente in range(40):
        texto, resposta = tokenizador.decode(list(trocar(tokenizador, item, semente)[1])).split("\n")[1:]
        assert texto.removeprefix("Texto: custa ") == resposta.removeprefix("Resposta: ")
        um, _, outro = resposta.removeprefix("Resposta: ").split(" ")
        assert (len(um), len(outro)) == (1, 2)
        vistos.add((um, outro))
    assert len(vistos) > 20


@pytest.mark.parametrize("mudanca", [{"categoria": "plural"}, {"input": ""}, {"output": "não sei"}])
def test_o_que_nao_se_troca(tokenizador, mudanca):
    for semente in range(5):
        exemplo, novo = trocar(tokenizador, {**ITEM, **mudanca}, semente)
        assert novo == exemplo


def test_a_mesma_semente_troca_do_mesmo_modo(tokenizador):
    assert trocar(tokenizador, ITEM, 3)[1] == trocar(tokenizador, ITEM, 3)[1]


def test_as_categorias_existem_no_conjunto():
    from llmdefinitions.instruction_data import load_instructions

    assert {e["categoria"] for e in load_instructions()} >= COPYING
