"""`gpt2_format`: os mesmos logits do GPT-2 do `transformers`, nos dois sentidos, e recusa do que não é GPT-2."""

import dataclasses
import re

import pytest
import torch
from gpt2_aleatorio import AMARRADO, CONFIGURACOES, TOLERANCIA, gpt2, sem_valores_iniciais
from hypothesis import given, settings
from modelos import ids_sorteados, iguais, modelo_pequeno, pesos, um_fio  # noqa: F401
from torch import nn

from llmdefinitions import GPTConfig, GPTModel
from llmdefinitions.gpt2_format import config_from_gpt2, config_to_gpt2, from_gpt2_state, gpt2_shapes, to_gpt2_state

transformers = pytest.importorskip("transformers")

VARIANTES = [{}, {"qkv_bias": True}, AMARRADO]


def converte(estado, **mudancas) -> GPTModel:
    modelo = modelo_pequeno(semente=9, **mudancas)
    modelo.load_state_dict(from_gpt2_state(estado, modelo.cfg))
    return modelo.eval()


# --- oráculo: o transformers


@pytest.mark.parametrize("mudancas", VARIANTES)
def test_do_nosso_para_o_transformers(mudancas):
    modelo, ids = sem_valores_iniciais(modelo_pequeno(**mudancas)), ids_sorteados(3, 12)
    deles = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config_to_gpt2(modelo.cfg, eos_id=0))).eval()
    deles.load_state_dict(to_gpt2_state(modelo))  # strict: nem falta nem sobra nome
    torch.testing.assert_close(deles(ids).logits, modelo(ids), **TOLERANCIA)


@pytest.mark.parametrize(("amarra", "mudancas"), [(True, AMARRADO), (False, {"qkv_bias": True})])
def test_do_transformers_para_o_nosso(amarra, mudancas):
    deles, ids = gpt2(tie_word_embeddings=amarra), ids_sorteados(3, 12)
    nosso = converte(deles.state_dict(), **mudancas)
    torch.testing.assert_close(nosso(ids), deles(ids).logits, **TOLERANCIA)


def test_sem_prefixo_com_mascaras_antigas_e_sem_lm_head():
    deles, ids = gpt2(), ids_sorteados(2, 12)
    estado = {nome.removeprefix("transformer."): t for nome, t in deles.state_dict().items()}
    del estado["lm_head.weight"]
    for i in range(2):
        estado |= {f"h.{i}.attn.bias": torch.ones(1, 1, 12, 12), f"h.{i}.attn.masked_bias": torch.tensor(-1e4)}
    for mudancas in (AMARRADO, {"qkv_bias": True}):  # sem amarrar, a saída é uma cópia dos embeddings
        nosso = converte(estado, **mudancas)
        torch.testing.assert_close(nosso(ids), deles(ids).logits, **TOLERANCIA)


@pytest.mark.parametrize("tipo", [torch.float16, torch.bfloat16, torch.float64])
def test_qualquer_ponto_flutuante_vira_float32_em_copias(tipo):
    estado = {nome: t.to(tipo) for nome, t in gpt2().state_dict().items()}
    cfg = modelo_pequeno(**AMARRADO).cfg
    convertido = from_gpt2_state(estado, cfg)
    assert {t.dtype for t in convertido.values()} == {torch.float32}
    assert all(t.is_contiguous() for t in convertido.values())
    antes = {nome: t.clone() for nome, t in convertido.items()}
    for t in estado.values():
        t.zero_()
    assert iguais(convertido, antes)


def test_float32_tambem_e_copiado():
    estado = to_gpt2_state(modelo_pequeno(**AMARRADO))
    convertido = from_gpt2_state(estado, modelo_pequeno(**AMARRADO).cfg)
    memoria = {t.data_ptr() for t in estado.values()}
    assert not memoria & {t.data_ptr() for t in convertido.values()}
    assert convertido["out_head.weight"] is convertido["tok_emb.weight"]


@settings(max_examples=30)
@given(CONFIGURACOES)
def test_ida_e_volta_bit_a_bit(cfg):
    modelo = sem_valores_iniciais(GPTModel(cfg))
    estado = to_gpt2_state(modelo)
    assert iguais(from_gpt2_state(estado, cfg), pesos(modelo))
    formatos = {nome: tuple(t.shape) for nome, t in estado.items()}
    esperados = {f"transformer.{nome}": formato for nome, formato in gpt2_shapes(cfg).items()}
    assert formatos == {**esperados, "lm_head.weight": (cfg.vocab_size, cfg.emb_dim)}


@given(CONFIGURACOES)
def test_ida_e_volta_da_configuracao(cfg):
    volta = config_from_gpt2(config_to_gpt2(cfg, eos_id=0), tie_weights=cfg.tie_weights)
    assert volta == dataclasses.replace(cfg, qkv_bias=True)


# --- recusas


def estado_bom() -> dict[str, torch.Tensor]:
    return to_gpt2_state(modelo_pequeno(**AMARRADO))


@pytest.mark.parametrize(
    ("estraga", "mensagem"),
    [
        (lambda e: e.pop("transformer.h.1.mlp.c_fc.bias"), r"falta h\.1\.mlp\.c_fc\.bias \(128,\)"),
        (lambda e: e.update({"h.2.ln_1.weight": torch.ones(32)}), r"sobra h\.2\.ln_1\.weight \(32,\)"),
        (
            lambda e: e.update({"transformer.h.0.mlp.c_fc.weight": torch.ones(128, 32)}),
            r"h\.0\.mlp\.c_fc\.weight tem formato \(128, 32\), esperado \(32, 128\)",
        ),
        (
            lambda e: e.update({"lm_head.weight": torch.ones(60, 32)}),
            r"lm_head\.weight tem formato \(60, 32\), esperado \(61, 32\)",
        ),
        (
            lambda e: e.update({"transformer.wpe.weight": torch.ones(12, 32, dtype=torch.int8)}),
            r"wpe\.weight é torch\.int8, esperado ponto flutuante",
        ),
        (lambda e: e.update({"lm_head.weight": e["lm_head.weight"] + 1}), "crie o modelo com tie_weights=False"),
        (lambda e: e.update({"h.0.attn.bias.x": torch.ones(1)}), "sobra h.0.attn.bias.x"),
    ],
)
def test_estado_recusado(estraga, mensagem):
    estado = estado_bom()
    estraga(estado)
    with pytest.raises(ValueError, match=mensagem):
        from_gpt2_state(estado, modelo_pequeno(**AMARRADO).cfg)


def test_erro_com_muitos_problemas_mostra_alguns_e_conta_os_outros():
    with pytest.raises(ValueError, match=r"falta wte\.weight .*; e mais 22\. Confira") as erro:
        from_gpt2_state({}, modelo_pequeno().cfg)
    assert len(re.findall("falta", str(erro.value))) == 6


def test_vies_de_qkv_so_se_perde_se_e_zero():
    modelo = modelo_pequeno()
    estado = to_gpt2_state(modelo)
    assert iguais(from_gpt2_state(estado, modelo.cfg), pesos(modelo))
    estado["transformer.h.1.attn.c_attn.bias"][40] = 0.5
    with pytest.raises(ValueError, match=r"attn\.c_attn\.bias tem valores diferentes de zero: .*qkv_bias=True"):
        from_gpt2_state(estado, modelo.cfg)


def test_modelo_com_camadas_a_mais_nao_se_exporta():
    modelo = modelo_pequeno()
    modelo.trf_blocks[0].att.extra = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"trf_blocks\.0\.att\.extra\.bias.*não é um GPTModel puro"):
        to_gpt2_state(modelo)


@pytest.mark.parametrize(
    ("mudanca", "mensagem"),
    [
        ({"model_type": "llama"}, "model_type='llama': esperado 'gpt2'"),
        ({"model_type": None}, "model_type=None: esperado 'gpt2'"),
        ({"activation_function": "relu"}, "activation_function='relu': .*'gelu_new' ou 'gelu_pytorch_tanh'"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon=1e-06: .*1e-05"),
        ({"scale_attn_weights": False}, "scale_attn_weights=False: .*True"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True: .*False"),
        ({"add_cross_attention": True}, "add_cross_attention=True: .*False"),
        ({"n_inner": 100}, "n_inner=100: .*None ou 128"),
        ({"n_head": 5}, "emb_dim=32 não é múltiplo de n_heads=5"),
        ({"vocab_size": "61"}, "vocab_size='61'"),
    ],
)
def test_configuracao_recusada(mudanca, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        config_from_gpt2({**gpt2().config.to_dict(), **mudanca})


def test_configuracao_do_transformers_e_aceita_com_os_padroes_dele():
    esperado = GPTConfig(61, 12, 32, 4, 2, 0.0, True, True, 0.2)
    completa = gpt2().config.to_dict()
    assert config_from_gpt2({**completa, "n_inner": 128, "activation_function": "gelu_pytorch_tanh"}) == esperado
    assert config_from_gpt2(completa, drop_rate=0.1) == dataclasses.replace(esperado, drop_rate=0.1)
    antiga = {("n_ctx" if nome == "n_positions" else nome): valor for nome, valor in completa.items()}
    assert config_from_gpt2(antiga) == esperado
    assert config_from_gpt2({"model_type": "gpt2"}) == config_from_gpt2(transformers.GPT2Config().to_dict())
