"""Uma só grafia por texto, e o mojibake desfeito só onde a ida e a volta conferem."""

import unicodedata

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from llmdefinitions.corpora import load_corpus
from llmdefinitions.normalization import CODECS, break_encoding, normalize_text, repair_mojibake

QUALQUER = st.text(alphabet=st.characters(codec="utf-8"), max_size=60)
PORTUGUES = st.text(alphabet="abcdeo ÁÀÃÇÉÊÍÓÔÕÚáàãçéêíóôõú.,—“”\u00a0", min_size=1, max_size=40)
BNCC = load_corpus("bncc").documents


# --- mojibake --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estragado", "consertado"),
    [
        ("aÃ§Ã£o", "ação"),
        ("â€œNÃ£oâ€\x9d, disse", "“Não”, disse"),  # cp1252, com o byte 9D que ela não tem
        ("Ã\x81gua", "Água"),  # Latin-1: o Á usa um controle
        ("Ã\x85ngstrÃ¶m", "Ångström"),  # o controle U+0085, que splitlines tomaria por fim de linha
        ("ÃƒÂ© duas vezes", "é duas vezes"),
        ("linha sã: ação\nlinha mÃ¡", "linha sã: ação\nlinha má"),
    ],
)
def test_conserta(estragado, consertado):
    assert repair_mojibake(estragado) == consertado


@pytest.mark.parametrize(
    "texto",
    [
        "ação",
        "só ASCII",
        "SÃO PAULO É",
        "«A MAÇû",
        "ação e tambÃ©m",  # parte sã na mesma linha: fica, para não estragar a sã
        "Ã era à, e perdeu o espaço inquebrável",
        "日本語 Ã©",
    ],
)
def test_o_que_nao_confere_fica_como_esta(texto):
    assert repair_mojibake(texto) == texto


def test_o_bncc_nao_muda_e_se_conserta_inteiro():
    assert [d for d in BNCC if repair_mojibake(d) != d] == []
    for codec in CODECS:
        assert [d for d in BNCC if repair_mojibake(break_encoding(d, codec)) != d] == []


@given(PORTUGUES, st.sampled_from(CODECS), st.integers(1, 2))
@example("Ã\u00a0", "cp1252", 1)
def test_estragar_e_consertar_devolve_o_texto(texto, codec, vezes):
    assume(repair_mojibake(texto) == texto)  # "Ã" seguido de espaço inquebrável já é um "à" estragado
    estragado = texto
    for _ in range(vezes):
        estragado = break_encoding(estragado, codec)
    assert repair_mojibake(estragado) == texto


@given(QUALQUER)
def test_todo_conserto_e_reversivel_linha_a_linha(texto):
    for antes, depois in zip(texto.split("\n"), repair_mojibake(texto).split("\n"), strict=True):
        alcancaveis, fila = {depois}, [depois]
        while fila and antes not in alcancaveis:
            atual = fila.pop()
            novos = {break_encoding(atual, codec) for codec in CODECS} - alcancaveis
            fila.extend(novo for novo in novos if len(novo) <= len(antes))
            alcancaveis |= novos
        assert antes in alcancaveis


def test_codec_desconhecido():
    with pytest.raises(ValueError, match="codec='utf-16': esperado um de"):
        break_encoding("a", "utf-16")


# --- normalização ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texto", "esperado"),
    [
        ("ac\u0327a\u0303o", "ação"),
        ("a\u200b\u0303", "ã"),  # o invisível entre a letra e o til sai antes de compor
        ("“um” ‘dois’ „três”", '"um" \'dois\' "três"'),
        ("guarda‐chuva 3−2…", "guarda-chuva 3-2..."),
        ("— Sim – disse ―", "— Sim – disse —"),
        ("a\u00a0\u2003 \tb  ", "a b"),
        ("um\r\ndois\rtrês\u2028quatro\n\n\n\n\ncinco", "um\ndois\ntrês\nquatro\n\ncinco"),
        ("\ufeffcon\u00adversa\x00\x1b\u202e", "conversa"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),  # o que junta emojis fica
        ("\n\n a \n\n", "a"),
        ("", ""),
    ],
)
def test_normaliza(texto, esperado):
    assert normalize_text(texto) == esperado


@given(QUALQUER)
@settings(max_examples=300)
def test_normalizar_de_novo_nada_muda_e_a_forma_e_nfc(texto):
    uma_vez = normalize_text(texto)
    assert normalize_text(uma_vez) == uma_vez
    assert unicodedata.is_normalized("NFC", uma_vez)
    assert not any(unicodedata.category(c) == "Cc" and c != "\n" for c in uma_vez)


@given(QUALQUER)
def test_a_forma_de_chegada_nao_importa(texto):
    assert normalize_text(unicodedata.normalize("NFD", texto)) == normalize_text(unicodedata.normalize("NFC", texto))


def test_metade_de_par_substituto_some():
    assert normalize_text("a\ud800b") == "ab"
