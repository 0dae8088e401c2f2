"""Treino do BPE: sem perda em qualquer Unicode, determinístico, e igual ao que o próprio tokenizers grava e relê."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdefinitions import get_tokenizer, text_to_token_ids, token_ids_to_text
from llmdefinitions.bpe import train_bpe
from llmdefinitions.stories import sample_stories
from llmdefinitions.tokenizer import encode, eos_id

TEXTOS = [historia.text for historia in sample_stories(300, seed=9)]
BPE = train_bpe(TEXTOS, vocab_size=600)


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_decodificar_desfaz_codificar(texto):
    assert token_ids_to_text(text_to_token_ids(texto, BPE), BPE) == texto


def test_tamanho_token_de_fim_e_compressao():
    assert BPE.get_vocab_size() == 600
    assert eos_id(BPE) == 0
    assert encode("<|endoftext|>", BPE) == [0]
    n_bytes = sum(len(t.encode("utf-8")) for t in TEXTOS)
    assert sum(len(encode(t, BPE)) for t in TEXTOS) < n_bytes / 2  # cada token vale mais de dois bytes


def test_o_mesmo_texto_da_o_mesmo_vocabulario():
    assert train_bpe(TEXTOS, vocab_size=600).to_str() == BPE.to_str()


def test_gravado_e_relido_codifica_igual(tmp_path):
    BPE.save(str(tmp_path / "tokenizer.json"))
    relido = get_tokenizer(tmp_path)
    assert [encode(t, relido) for t in TEXTOS[:20]] == [encode(t, BPE) for t in TEXTOS[:20]]


def test_vocabulario_pequeno_demais_ou_texto_de_menos():
    with pytest.raises(ValueError, match="vocab_size=256"):
        train_bpe(TEXTOS, vocab_size=256)
    with pytest.raises(ValueError, match="só rendem"):
        train_bpe(["um texto só"], vocab_size=1000)
