"""`layer_states`: os mesmos estados do `transformers`, camada a camada, no mini-pt e num GPT-2 de 124M sorteado."""

import pytest
import torch
from gpt2_aleatorio import AMARRADO, sem_valores_iniciais
from modelos import CFG_PEQUENA, ids_sorteados, iguais, modelo_pequeno, pesos, um_fio  # noqa: F401

from llmdefinitions import GPT_CONFIG_124M, GPTModel, load_pretrained
from llmdefinitions.gpt2_format import config_to_gpt2, to_gpt2_state
from llmdefinitions.layer_states import layer_states

transformers = pytest.importorskip("transformers")


def no_transformers(modelo: GPTModel) -> torch.nn.Module:
    oraculo = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config_to_gpt2(modelo.cfg, eos_id=0)))
    oraculo.load_state_dict(to_gpt2_state(modelo))
    return oraculo.eval()


@torch.no_grad()
def confere(modelo: GPTModel, ids: torch.Tensor, tolerancia: float) -> None:
    saida = no_transformers(modelo)(ids, output_hidden_states=True)
    estados = layer_states(modelo, ids)
    assert estados.shape == (modelo.cfg.n_layers + 1, *ids.shape, modelo.cfg.emb_dim)
    assert estados.abs().max() > 100 * tolerancia  # números pequenos demais concordariam à toa
    for estado, esperado in zip(estados, saida.hidden_states, strict=True):
        # Um modelo treinado tem valores de centenas no meio do caminho, e o float32 erra em proporção ao maior.
        torch.testing.assert_close(estado, esperado, rtol=0, atol=tolerancia * max(1.0, esperado.abs().max().item()))
    torch.testing.assert_close(modelo(ids), saida.logits, rtol=0, atol=tolerancia)


def test_modelo_minusculo_de_pesos_sorteados():
    # Somas de dezenas de parcelas de ordem 1 em float32: erro perto de 1e-6.
    confere(sem_valores_iniciais(modelo_pequeno(**AMARRADO)), ids_sorteados(3, 12), 1e-5)


@pytest.mark.lento
def test_mini_pt():
    modelo, tok = load_pretrained("mini-pt")
    ids = torch.tensor([tok.encode("A escola é o lugar em que o menino aprende a ler e a contar.").ids])
    confere(modelo, ids, 1e-4)


@pytest.mark.lento
def test_124m_de_pesos_sorteados():
    torch.manual_seed(123)
    modelo = GPTModel({**GPT_CONFIG_124M, "qkv_bias": True, "tie_weights": True, "init_std": 0.02, "drop_rate": 0.0})
    confere(sem_valores_iniciais(modelo), ids_sorteados(1, 16, vocab_size=50257), 1e-4)


def test_o_ultimo_estado_e_o_que_a_cabeca_recebe():
    modelo, ids = modelo_pequeno().eval(), ids_sorteados(2, 12)
    torch.testing.assert_close(modelo.out_head(layer_states(modelo, ids)[-1]), modelo(ids))


def test_nada_muda_no_modelo_e_nenhum_gancho_fica():
    modelo, ids = modelo_pequeno(drop_rate=0.5).train(), ids_sorteados(2, 12)
    antes = pesos(modelo)
    estados = layer_states(modelo, ids)
    assert modelo.training
    assert not estados.requires_grad
    assert torch.equal(estados, layer_states(modelo, ids))  # sem dropout
    with pytest.raises(ValueError, match="contexto de 13 tokens"):
        layer_states(modelo, ids_sorteados(1, 13))
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in modelo.modules())
    assert iguais(antes, pesos(modelo))
