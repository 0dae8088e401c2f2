"""`in_context`: o prompt, letra por letra, e a probabilidade dos rótulos contra uma passagem por prompt."""

import pytest
import torch
from modelos import CFG_PEQUENA, modelo_pequeno, um_fio  # noqa: F401

from llmdefinitions.bpe import train_bpe
from llmdefinitions.in_context import few_shot_prompt, label_log_probs
from llmdefinitions.tokenizer import encode

TOK = train_bpe(["um bom texto, um mal texto, um sim texto, de bom a mal, de mal a sim, nota bem"] * 3, vocab_size=275)


def modelo(contexto: int = 40):
    return modelo_pequeno(vocab_size=275, context_length=contexto, init_std=0.2)


def test_zero_um_e_dois_exemplos():
    assert few_shot_prompt("oi") == "Texto: oi\nResposta:"
    assert few_shot_prompt("oi", [("tchau", "mal")]) == "Texto: tchau\nResposta: mal\n\nTexto: oi\nResposta:"
    esperado = "Classifique.\n\nFrase: a\nNota: x\n\nFrase: b\nNota: y\n\nFrase: c\nNota:"
    dois = [("a", "x"), ("b", "y")]
    assert few_shot_prompt("c", dois, instruction="Classifique.", text_name="Frase", label_name="Nota") == esperado


def test_iguais_a_uma_passagem_por_prompt_sem_preenchimento():
    prompts, rotulos = ["um texto bom nota", "a", "texto mal de um texto bem mal"], ["bom", "sim", "mal"]
    rede = modelo().train()
    obtidas = label_log_probs(rede, TOK, prompts, rotulos, batch_size=2)
    assert rede.training
    rede.eval()
    primeiros = [encode(f" {r}", TOK)[0] for r in rotulos]
    for prompt, linha in zip(prompts, obtidas, strict=True):
        logits = rede(torch.tensor([encode(prompt, TOK)]))[0, -1, primeiros]
        # A mesma conta, com outro formato de lote: só a ordem das somas muda.
        torch.testing.assert_close(linha, logits.log_softmax(-1).detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(obtidas.exp().sum(-1), torch.ones(3))


def test_prompt_maior_que_o_contexto_perde_o_comeco():
    rede, longo = modelo(8), "texto bom nota mal " * 6
    curto = encode(longo, TOK)[-8:]
    esperada = rede.eval()(torch.tensor([curto]))[0, -1]
    rotulos = [encode(" bom", TOK)[0], encode(" sim", TOK)[0]]
    obtida = label_log_probs(rede, TOK, [longo], ["bom", "sim"])
    torch.testing.assert_close(obtida[0], esperada[rotulos].log_softmax(-1).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("prompts", "rotulos", "trecho"),
    [
        ([], ["bom", "mal"], "0 prompts e 2 rótulos"),
        (["a"], ["bom"], "1 prompts e 1 rótulos"),
        (["a"], ["bom", "bom"], r"começam pelos tokens .* dois são iguais: troque um"),
    ],
)
def test_recusa(prompts, rotulos, trecho):
    with pytest.raises(ValueError, match=trecho):
        label_log_probs(modelo(), TOK, prompts, rotulos)
