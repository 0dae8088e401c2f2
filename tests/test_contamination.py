"""Contaminação por n-gramas: contra a busca ingênua, e com cópias plantadas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdefinitions.contamination import ngram_overlap

FRASE = "o rato roeu a roupa do rei de roma e a rainha com raiva resolveu remendar"
PALAVRAS = st.lists(st.sampled_from("abcde"), min_size=1, max_size=12).map(" ".join)


def ingenua(texto, treino, n):
    def gramas(t):
        p = t.split()
        return {tuple(p[i : i + n]) for i in range(max(1, len(p) - n + 1))}

    vistos = set().union(*map(gramas, treino)) if treino else set()
    return len(gramas(texto) & vistos) / len(gramas(texto))


@given(st.lists(PALAVRAS, min_size=1, max_size=4), st.lists(PALAVRAS, max_size=4), st.integers(1, 4))
def test_igual_a_busca_ingenua(teste, treino, n):
    achada = ngram_overlap(teste, treino, n, batch=2).fractions
    assert achada == pytest.approx([ingenua(t, treino, n) for t in teste])


def test_copia_plantada_aparece_e_a_parafrase_nao():
    treino = ["nada a ver com isto aqui, absolutamente nada mesmo", f"No meio: {FRASE.upper()}!", "…"]
    teste = [FRASE, "a roupa que o rato roeu era do rei de roma e a rainha quis remendar", "outra coisa bem diferente"]
    achada = ngram_overlap(teste, iter(treino), n=8)
    assert achada.fractions[0] == 1  # maiúsculas e pontuação não contam
    assert achada.fractions[1:] == (0, 0)
    assert achada.contaminated() == [0]
    assert achada.rate().estimate == pytest.approx(1 / 3)


def test_texto_curto_so_conta_se_o_treino_o_tem_como_documento():
    assert ngram_overlap(["bom dia"], ["bom dia", "x"], n=8).fractions == (1,)
    assert ngram_overlap(["bom dia"], ["bom dia a todos"], n=8).fractions == (0,)


def test_sem_texto_ou_sem_treino():
    assert ngram_overlap(["a b"], [], n=2).fractions == (0,)
    with pytest.raises(ValueError, match="nenhum texto de teste"):
        ngram_overlap([], ["a"])
    with pytest.raises(ValueError, match="não tem palavra alguma"):
        ngram_overlap(["..."], ["a"])
