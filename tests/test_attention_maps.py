"""Mapas de atenção: contra o transformers e contra o próprio bloco; e o vazamento do futuro sem a máscara."""

import copy
import math

import pytest
import torch
from modelos import CFG_PEQUENA, ids_sorteados, modelo_pequeno, pesos, um_fio  # noqa: F401
from torch import Tensor

from llmdefinitions import calc_loss_batch, generate
from llmdefinitions.attention_maps import attention_weights, without_causal_mask
from llmdefinitions.gpt2_format import config_to_gpt2, to_gpt2_state

# Mesmo cálculo, somas em outra ordem: em float32, somas de dezenas de parcelas de ordem 1 erram perto de 1e-6.
TOLERANCIA = {"rtol": 1e-5, "atol": 1e-5}
C, H, T, V = 2, 4, CFG_PEQUENA["context_length"], CFG_PEQUENA["vocab_size"]


def entradas_e_saidas_da_atencao(modelo, ids) -> list[tuple[Tensor, Tensor]]:
    vistas = []
    ganchos = [
        bloco.att.register_forward_hook(lambda _, entrada, saida: vistas.append((entrada[0], saida)))
        for bloco in modelo.trf_blocks
    ]
    modelo(ids)
    for gancho in ganchos:
        gancho.remove()
    return vistas


def muda_o_futuro(ids: Tensor, t: int) -> Tensor:
    trocado = ids.clone()
    trocado[:, t + 1 :] = (trocado[:, t + 1 :] + 7) % V
    return trocado


# --- os mapas


def test_linhas_somam_um_e_o_futuro_tem_peso_zero():
    mapas = attention_weights(modelo_pequeno(), ids_sorteados(3, T))
    assert mapas.shape == (C, 3, H, T, T)
    torch.testing.assert_close(mapas.sum(-1), torch.ones(C, 3, H, T), **TOLERANCIA)
    assert not mapas.triu(1).any()
    assert (mapas.tril() > 0).sum() == C * 3 * H * T * (T + 1) // 2  # e todo o passado tem algum


@pytest.mark.parametrize("qkv_bias", [False, True])
def test_pesos_vezes_valores_dao_a_saida_da_atencao(qkv_bias):
    modelo, ids = modelo_pequeno(qkv_bias=qkv_bias).eval(), ids_sorteados(3, T)
    mapas = attention_weights(modelo, ids)
    for bloco, mapa, (entrada, saida) in zip(
        modelo.trf_blocks, mapas, entradas_e_saidas_da_atencao(modelo, ids), strict=True
    ):
        cabecas = bloco.att.W_value(entrada).chunk(H, dim=-1)  # H × (B, T, K)
        contexto = torch.cat([mapa[:, h] @ valores for h, valores in enumerate(cabecas)], dim=-1)  # (B, T, D)
        torch.testing.assert_close(bloco.att.out_proj(contexto), saida, **TOLERANCIA)


def test_mapas_iguais_aos_do_gpt2_do_transformers():
    transformers = pytest.importorskip("transformers")
    modelo, ids = modelo_pequeno(qkv_bias=True).eval(), ids_sorteados(3, T)
    gpt2 = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**config_to_gpt2(modelo.cfg, eos_id=0), attn_implementation="eager")
    )
    gpt2.load_state_dict(to_gpt2_state(modelo))
    esperados = torch.stack(gpt2.eval()(ids, output_attentions=True).attentions)
    torch.testing.assert_close(attention_weights(modelo, ids), esperados, **TOLERANCIA)


def test_nada_muda_no_modelo():
    modelo, ids = modelo_pequeno().train(), ids_sorteados(2, T)
    modelo.trf_blocks[1].eval()
    modos, antes, sorte = [m.training for m in modelo.modules()], pesos(modelo), torch.get_rng_state()
    mapas = attention_weights(modelo, ids)
    assert torch.equal(sorte, torch.get_rng_state())
    assert torch.equal(mapas, attention_weights(modelo, ids))  # em train(): sem dropout nos mapas
    assert not mapas.requires_grad
    assert [m.training for m in modelo.modules()] == modos
    assert all(torch.equal(antes[nome], p) for nome, p in pesos(modelo).items())
    assert all(p.grad is None for p in modelo.parameters())


@pytest.mark.parametrize("ids", [torch.zeros(1, T + 1, dtype=torch.long), torch.tensor([[V]])])
def test_entrada_recusada_nao_deixa_ganchos(ids):
    modelo = modelo_pequeno()
    with pytest.raises(ValueError, match=r"contexto de 13 tokens|id de token 61"):
        attention_weights(modelo, ids)
    assert not any(m._forward_pre_hooks for m in modelo.modules())
    attention_weights(modelo, ids_sorteados(1, 3))
    assert not any(m._forward_pre_hooks for m in modelo.modules())


# --- sem a máscara


def test_sem_mascara_o_futuro_vaza():
    modelo, ids = modelo_pequeno().eval(), ids_sorteados(2, T)
    for t in range(T - 1):
        outro_futuro = muda_o_futuro(ids, t)
        torch.testing.assert_close(modelo(outro_futuro)[:, : t + 1], modelo(ids)[:, : t + 1], **TOLERANCIA)
        with without_causal_mask(modelo):
            assert (modelo(outro_futuro)[:, t] - modelo(ids)[:, t]).abs().max() > 0.01


def test_sem_mascara_e_a_atencao_bidirecional_do_pytorch():
    modelo, ids = modelo_pequeno().eval(), ids_sorteados(2, T)
    with without_causal_mask(modelo):
        vistas = entradas_e_saidas_da_atencao(modelo, ids)
    for bloco, (entrada, saida) in zip(modelo.trf_blocks, vistas, strict=True):
        q, k, v = (
            torch.stack(w(entrada).chunk(H, dim=-1), dim=1)
            for w in (bloco.att.W_query, bloco.att.W_key, bloco.att.W_value)
        )
        contexto = torch.nn.functional.scaled_dot_product_attention(q, k, v)  # (B, H, T, K), sem máscara
        esperada = bloco.att.out_proj(torch.cat(contexto.unbind(1), dim=-1))
        torch.testing.assert_close(saida, esperada, **TOLERANCIA)


def test_os_mapas_mostram_a_falta_da_mascara():
    modelo, ids = modelo_pequeno(), ids_sorteados(2, T)
    com_mascara = attention_weights(modelo, ids)
    with without_causal_mask(modelo):
        sem_mascara = attention_weights(modelo, ids)
    assert (sem_mascara > 0).all()
    torch.testing.assert_close(sem_mascara.sum(-1), torch.ones(C, 2, H, T), **TOLERANCIA)
    # Na primeira camada, a máscara só apaga o futuro: apagá-lo depois e normalizar de novo dá no mesmo.
    passado = sem_mascara[0].tril()
    torch.testing.assert_close(passado / passado.sum(-1, keepdim=True), com_mascara[0], **TOLERANCIA)
    assert torch.equal(attention_weights(modelo, ids), com_mascara)


def test_na_ultima_posicao_a_primeira_camada_nao_muda():
    modelo, ids = modelo_pequeno(n_layers=1).eval(), ids_sorteados(2, T)
    com_mascara = modelo(ids)
    with without_causal_mask(modelo):
        torch.testing.assert_close(modelo(ids)[:, -1], com_mascara[:, -1], **TOLERANCIA)


def test_a_mascara_volta_ao_sair_mesmo_com_erro_e_em_with_aninhado():
    modelo, ids = modelo_pequeno().eval(), ids_sorteados(2, T)
    outro = copy.deepcopy(modelo)
    com_mascara = modelo(ids)
    with without_causal_mask(modelo):
        sem_mascara = modelo(ids)
        with without_causal_mask(modelo):
            assert torch.equal(modelo(ids), sem_mascara)
        assert torch.equal(modelo(ids), sem_mascara)  # o de dentro não repõe a máscara do de fora
        assert torch.equal(outro(ids), com_mascara)  # nem o de fora mexe em outro modelo
    assert torch.equal(modelo(ids), com_mascara)
    with pytest.raises(ZeroDivisionError), without_causal_mask(modelo):
        _ = 1 / 0
    assert torch.equal(modelo(ids), com_mascara)
    assert not any("forward" in vars(m) for m in modelo.modules())


def test_gerar_sem_mascara_so_sem_cache():
    modelo, ids = modelo_pequeno().eval(), ids_sorteados(2, 4)
    esperados = generate(modelo, ids, 3, T)
    with without_causal_mask(modelo):
        with pytest.raises(ValueError, match=r"cache KV na camada 0 de um modelo sem máscara: .*use_cache=False"):
            generate(modelo, ids, 3, T)
        assert generate(modelo, ids, 3, T, use_cache=False).shape == (2, 7)
    assert torch.equal(generate(modelo, ids, 3, T), esperados)


def test_sem_mascara_o_dropout_e_do_modo_de_treino():
    modelo, ids = modelo_pequeno(drop_rate=0.5).train(), ids_sorteados(2, T)
    with without_causal_mask(modelo):
        atencao, x = modelo.trf_blocks[0].att, torch.ones(1, T, CFG_PEQUENA["emb_dim"])
        assert not torch.equal(atencao(x), atencao(x))  # só há dropout nos pesos da atenção aqui dentro
        modelo.eval()
        assert torch.equal(modelo(ids), modelo(ids))


def treina_com_ruido(sem_mascara: bool, passos: int = 150) -> float:
    """Perda em dados novos, média dos últimos 20 passos, de um modelo treinado em tokens sorteados ao acaso."""
    vocabulario, comprimento = 16, 8
    modelo = modelo_pequeno(vocab_size=vocabulario, context_length=comprimento, drop_rate=0.0, n_layers=1)
    modelo.train()
    otimizador = torch.optim.AdamW(modelo.parameters(), lr=1e-2)
    perdas = []
    for passo in range(passos):
        ids = ids_sorteados(32, comprimento + 1, semente=passo, vocab_size=vocabulario)  # nunca os mesmos
        if sem_mascara:
            with without_causal_mask(modelo):
                perda = calc_loss_batch(ids[:, :-1], ids[:, 1:], modelo, "cpu")
                perda.backward()
        else:
            perda = calc_loss_batch(ids[:, :-1], ids[:, 1:], modelo, "cpu")
            perda.backward()
        otimizador.step()
        otimizador.zero_grad()
        perdas.append(perda.item())
    return sum(perdas[-20:]) / 20


def test_sem_mascara_a_perda_cai_abaixo_do_possivel():
    # Tokens independentes e uniformes: nenhum modelo honesto tem, em dados novos, perda esperada menor que ln 16.
    # A média de 20 lotes de 256 alvos flutua menos que 0,05 em torno do valor esperado.
    assert treina_com_ruido(sem_mascara=False) > math.log(16) - 0.05
    # Sem máscara, 7 dos 8 alvos estão na própria entrada: o piso é ln(16)/8 ≈ 0,35.
    assert math.log(16) / 8 - 0.05 < treina_com_ruido(sem_mascara=True) < 0.5 * math.log(16)
