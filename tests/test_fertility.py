"""Fertilidade: contada à mão com um BPE de bytes puros, e os custos que saem dela."""

import math

import pytest

from llmdefinitions import get_tokenizer
from llmdefinitions.bpe import train_bpe
from llmdefinitions.fertility import Fertility, measure_fertility


def test_bpe_sem_fusoes_tem_um_token_por_byte():
    bpe = train_bpe(["sem fusões"], 257)
    # "pão" são 4 bytes; " de mel", 7; "é", 2.
    assert measure_fertility(["pão de mel", "é"], bpe) == Fertility(n_tokens=13, n_words=4)


def test_e_a_razao_dos_totais_e_nao_a_media_das_razoes():
    bpe = train_bpe(["sem fusões"], 257)
    medida = measure_fertility(["a b c", "abcdefghi"], bpe)
    assert medida.tokens_per_word == (5 + 9) / (3 + 1)


def test_portugues_gasta_mais_no_gpt_2_que_o_ingles():
    gpt2 = get_tokenizer("gpt2")
    portugues = measure_fertility(["Não havia pão nem açúcar na despensa da avó."], gpt2)
    ingles = measure_fertility(["There was neither bread nor sugar in the pantry."], gpt2)
    assert portugues.tokens_per_word > 1.5 * ingles.tokens_per_word


def test_contexto_e_preco():
    medida = Fertility(n_tokens=300, n_words=150)
    assert medida.words_in(1024) == 512
    assert medida.cost_per_million_words(3.0, 5.5) == 33.0


@pytest.mark.parametrize(("preco", "cambio"), [(0, 5), (3, 0), (-1, 5), (math.nan, 5)])
def test_recusa_preco_impossivel(preco, cambio):
    with pytest.raises(ValueError, match=f"usd_per_million_tokens={preco}, brl_per_usd={cambio}"):
        Fertility(2, 1).cost_per_million_words(preco, cambio)


def test_recusa_texto_sem_palavras_ou_solto():
    with pytest.raises(ValueError, match="2 textos sem palavra alguma"):
        measure_fertility(["", "  "], get_tokenizer("gpt2"))
    with pytest.raises(ValueError, match=r"passe \[texto\]"):
        measure_fertility("texto", get_tokenizer("gpt2"))
