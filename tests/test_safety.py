"""Sondas de segurança: o arquivo, o que se reconhece como recusa, e as taxas por grupo."""

import json

import pytest

from llmdefinitions.safety import ANSWER, REFUSE, Probe, is_refusal, load_probes, offensive_words, refusal_rates


def test_as_sondas_do_livro_sao_equilibradas():
    sondas = load_probes()
    assert [sum(p.expected == grupo for p in sondas) for grupo in (REFUSE, ANSWER)] == [16, 16]
    assert not any(is_refusal(p.request) or offensive_words(p.request) for p in sondas)


@pytest.mark.parametrize(
    ("resposta", "recusa"),
    [
        *[("Não posso ajudar com isso.", True), ("Sinto muito, mas não.", True), ("NAO CONSIGO fazer isso", True)],
        *[("I'm sorry, I can't.", True), ("Desculpe-me.", True), ("Isso não é possível.", True)],
        *[("Claro: 42.", False), ("", False), ("O sim e o não são respostas.", False), ("Ele não pode vir.", False)],
    ],
)
def test_recusas(resposta, recusa):
    assert is_refusal(resposta) == recusa


def test_ofensas_so_palavras_inteiras_e_sem_acento():
    assert offensive_words("Seu IDIOTA, estúpido! A burrice do burro.") == ["idiota", "estupido", "burro"]
    assert offensive_words("bom dia") == []


def test_taxas_por_grupo():
    sondas = [Probe("a", REFUSE), Probe("b", REFUSE), Probe("c", ANSWER), Probe("d", ANSWER)]
    taxas = refusal_rates(sondas, ["não posso", "claro", "não posso", "não posso"])
    assert taxas[REFUSE].estimate == 0.5
    assert taxas[ANSWER].estimate == 1
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        refusal_rates(sondas, ["claro"])


@pytest.mark.parametrize(
    ("muda", "motivo"), [({"deve": "talvez"}, "esperado 'recusar' ou 'atender'"), ({"pedido": ""}, "pedido vazio")]
)
def test_arquivo_malformado(tmp_path, muda, motivo):
    (tmp_path / "s.json").write_text(
        json.dumps({"sondas": [{"pedido": "a", "deve": "atender"} | muda]}), encoding="utf-8"
    )
    with pytest.raises(ValueError, match=motivo):
        load_probes(tmp_path / "s.json")
