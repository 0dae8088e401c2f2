"""O rascunho por busca: propõe o que já se repetiu, e nunca muda o que a decodificação gulosa escolheria."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modelos import modelo_pequeno, um_fio  # noqa: F401

from llmdefinitions import generate, lookup
from llmdefinitions.decoding import TokenDecoder
from llmdefinitions.lookup import MATCH, MAX_DRAFT, LookupDraft


def test_propoe_o_que_veio_depois_da_ultima_vez():
    # 1 2 3 apareceu duas vezes: depois da primeira veio 7, depois da última, 8 9 1 2 3.
    rascunho = LookupDraft([1, 2, 3, 7, 0, 1, 2, 3, 8, 9, 1, 2, 3])
    assert rascunho.propose(3) == [8, 9, 1]
    assert rascunho.propose(0) == []


@pytest.mark.parametrize("ids", [[], [5], [1, 2, 3], [1, 2, 3, 4, 5, 6]])
def test_sem_repeticao_nao_ha_rascunho(ids):
    assert LookupDraft(ids).propose(10) == []


def test_periodo_curto_continua_alem_do_fim_do_texto():
    rascunho = LookupDraft([4, 5, 4, 5, 4, 5])
    rascunho.learn(proposed=3, accepted=3)
    rascunho.learn(proposed=7, accepted=7)
    assert rascunho.propose(6) == [4, 5, 4, 5, 4, 5]


def test_o_tamanho_cresce_com_acertos_e_encolhe_com_erros():
    rascunho = LookupDraft([1] * 10)
    tamanhos = [len(rascunho.propose(99))]
    for acertos in ("tudo", "tudo", "tudo", 0):
        propostos = len(rascunho.propose(99))
        rascunho.learn(propostos, propostos if acertos == "tudo" else acertos)
        tamanhos.append(len(rascunho.propose(99)))
    assert tamanhos == [3, 7, 15, 15, 3]
    assert max(tamanhos) == MAX_DRAFT


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 20))
def test_o_proposto_e_a_continuacao_de_uma_ocorrencia_do_trecho(ids, limite):
    proposto = LookupDraft(ids).propose(limite)
    assert len(proposto) <= min(limite, MAX_DRAFT)
    if proposto:
        # Oráculo: procura o trecho de trás para frente e lê o que vem depois, deixando o texto crescer.
        inicio = max(i for i in range(MATCH, len(ids)) if ids[i - MATCH : i] == ids[-MATCH:])
        texto = list(ids)
        for i in range(len(proposto)):
            texto.append(texto[inicio + i])
        assert proposto == texto[len(ids) :]


@settings(max_examples=60)
@given(
    st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 20), st.integers(1, 12), st.none() | st.integers(0, 60)
)
def test_gera_os_mesmos_tokens_que_sem_cache(semente, n_inicio, novos, contexto, fim):
    modelo = modelo_pequeno(semente, init_std=0.3)  # pesos grandes: repete muito, e logits não empatam
    ids = torch.randint(0, 61, (1, n_inicio), generator=torch.Generator().manual_seed(semente))
    argumentos = dict(max_new_tokens=novos, context_size=contexto, eos_id=fim)
    assert torch.equal(generate(modelo, ids, **argumentos), generate(modelo, ids, **argumentos, use_cache=False))


def test_texto_que_se_repete_custa_menos_passagens(monkeypatch):
    modelo = modelo_pequeno(1, context_length=64)
    with torch.no_grad():
        for bloco in modelo.trf_blocks:  # sem os blocos nem as posições, o próximo depende só do atual: entra em ciclo
            bloco.att.out_proj.weight.zero_(), bloco.att.out_proj.bias.zero_()
            bloco.ff.layers[2].weight.zero_(), bloco.ff.layers[2].bias.zero_()
        modelo.pos_emb.weight.zero_()
    passagens: list[int] = []
    original = TokenDecoder.__call__
    monkeypatch.setattr(TokenDecoder, "__call__", lambda s, x: passagens.append(x.shape[1]) or original(s, x))
    ids = torch.tensor([[7]])
    assert torch.equal(generate(modelo, ids, 63, 64), generate(modelo, ids, 63, 64, use_cache=False))
    assert len(passagens) < 40
    assert max(passagens) > 4
    passagens.clear()
    monkeypatch.setattr(lookup.LookupDraft, "propose", lambda self, limite: [])
    generate(modelo, ids, 63, 64)
    assert passagens == [1] * 62


@pytest.mark.parametrize("mudanca", [{"temperature": 1.0}, {"lote": 2}, {"use_cache": False}], ids=str)
def test_so_a_gulosa_de_uma_linha_com_cache_rascunha(monkeypatch, mudanca):
    def proibida(*_):
        raise AssertionError("rascunhou")

    monkeypatch.setattr(lookup.LookupDraft, "propose", proibida)
    lote = mudanca.pop("lote", 1)
    modelo = modelo_pequeno(1)
    assert generate(modelo, torch.ones(lote, 4, dtype=torch.long), 5, 12, **mudanca).shape == (lote, 9)
