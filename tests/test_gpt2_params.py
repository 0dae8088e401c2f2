"""`gpt2_params`: o dicionário aninhado do livro de origem, conferido contra o GPT-2 do `transformers`."""

import numpy as np
import pytest
import torch
from gpt2_aleatorio import AMARRADO, CONFIGURACOES, TOLERANCIA, gpt2, sem_valores_iniciais
from hypothesis import given, settings
from modelos import ids_sorteados, iguais, modelo_pequeno, pesos, um_fio  # noqa: F401
from torch import nn

from llmdefinitions import GPTModel
from llmdefinitions.gpt2_format import to_gpt2_state
from llmdefinitions.gpt2_params import load_weights_into_gpt, params_from_state, state_from_params


def params_a_mao(deles: nn.Module) -> dict:
    """O arranjo do livro, montado módulo a módulo: `w` é (entrada, saída), como no TensorFlow e no Conv1D."""

    def linear(camada) -> dict:
        return {"w": camada.weight.detach().numpy().copy(), "b": camada.bias.detach().numpy().copy()}

    def norma(camada) -> dict:
        return {"g": camada.weight.detach().numpy().copy(), "b": camada.bias.detach().numpy().copy()}

    t = deles.transformer
    blocos = [
        {
            "attn": {"c_attn": linear(b.attn.c_attn), "c_proj": linear(b.attn.c_proj)},
            "mlp": {"c_fc": linear(b.mlp.c_fc), "c_proj": linear(b.mlp.c_proj)},
            "ln_1": norma(b.ln_1),
            "ln_2": norma(b.ln_2),
        }
        for b in t.h
    ]
    embeddings = {"wte": t.wte.weight.detach().numpy().copy(), "wpe": t.wpe.weight.detach().numpy().copy()}
    return {"blocks": blocos, **embeddings, **norma(t.ln_f)}


@pytest.mark.parametrize("mudancas", [{}, {"qkv_bias": True}, AMARRADO, {**AMARRADO, "qkv_bias": False}])
def test_defeito_qualquer_qkv_bias_da_os_logits_do_gpt2(mudancas):
    deles, ids, modelo = gpt2(), ids_sorteados(3, 12), modelo_pequeno(semente=5, **mudancas).eval()
    assert load_weights_into_gpt(modelo, params_a_mao(deles)) is None
    torch.testing.assert_close(modelo(ids), deles(ids).logits, **TOLERANCIA)
    assert modelo.cfg.qkv_bias
    assert modelo.cfg == GPTModel(modelo.cfg).cfg
    assert pesos(modelo).keys() == pesos(GPTModel(modelo.cfg)).keys()  # o que se grava agora se recria pela cfg
    assert all(p.requires_grad for p in modelo.parameters())
    assert (modelo.out_head.weight is modelo.tok_emb.weight) == modelo.cfg.tie_weights


def test_vieses_nulos_nao_mudam_a_configuracao():
    deles, modelo = gpt2(), modelo_pequeno()
    for bloco in deles.transformer.h:
        nn.init.zeros_(bloco.attn.c_attn.bias)
    antes = {id(p) for p in modelo.parameters()}
    load_weights_into_gpt(modelo, params_a_mao(deles))
    assert not modelo.cfg.qkv_bias
    assert {id(p) for p in modelo.parameters()} == antes  # um otimizador já criado continua valendo
    torch.testing.assert_close(modelo.eval()(ids_sorteados(1, 5)), deles(ids_sorteados(1, 5)).logits, **TOLERANCIA)


def test_tensores_valem_como_vetores_e_o_modelo_nao_fica_preso_a_eles():
    params = params_a_mao(gpt2())
    a, b = modelo_pequeno(1, qkv_bias=True), modelo_pequeno(2, qkv_bias=True)
    load_weights_into_gpt(a, params)
    params["wte"] = torch.from_numpy(params["wte"]).double()
    load_weights_into_gpt(b, params)
    assert iguais(pesos(a), pesos(b))
    params["wpe"][:] = 7
    assert iguais(pesos(a), pesos(b))


@pytest.mark.parametrize(
    ("estraga", "mensagem"),
    [
        (lambda p: p["blocks"][1]["attn"]["c_attn"].pop("b"), r"falta blocks\.1\.attn\.c_attn\.b \(96,\)"),
        (lambda p: p.pop("g"), r"falta g \(32,\)"),
        (lambda p: p["blocks"].pop(), r"falta blocks\.1\.attn\.c_attn\.w \(32, 96\)"),
        (lambda p: p["blocks"].append(p["blocks"][0]), r"sobra blocks\.2\.attn\.c_attn\.w \(32, 96\)"),
        (lambda p: p.update(wpe=np.ones((1024, 32))), r"wpe tem formato \(1024, 32\), esperado \(12, 32\)"),
        (
            lambda p: p["blocks"][0]["mlp"]["c_proj"].update(w=np.ones((32, 128))),
            r"blocks\.0\.mlp\.c_proj\.w tem formato \(32, 128\), esperado \(128, 32\)",
        ),
        (lambda p: p["blocks"][0]["ln_1"].update(g=np.ones(32, dtype=int)), r"blocks\.0\.ln_1\.g é torch\.int64"),
        (lambda p: p["blocks"][0]["ln_1"].update(g="abc"), r"params\['blocks\.0\.ln_1\.g'\] é str: esperado um vetor"),
        (lambda p: p["blocks"][0].update(ln_2=None), r"params\['blocks\.0\.ln_2'\] é NoneType"),
    ],
)
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_formato_errado_diz_nome_e_formatos_e_nao_muda_nada(estraga, mensagem, qkv_bias):
    params, modelo = params_a_mao(gpt2()), modelo_pequeno(qkv_bias=qkv_bias)
    estraga(params)
    antes, cfg = pesos(modelo), modelo.cfg
    with pytest.raises(ValueError, match=mensagem):
        load_weights_into_gpt(modelo, params)
    assert iguais(pesos(modelo), antes)
    assert modelo.cfg == cfg


def test_params_que_nem_dicionario_e():
    with pytest.raises(ValueError, match="params é str: esperado"):
        load_weights_into_gpt(modelo_pequeno(), "gpt2")


def test_modelo_modificado_e_recusado_sem_mudar():
    modelo = modelo_pequeno()
    modelo.trf_blocks[0].att.extra = nn.Linear(2, 2)
    antes = pesos(modelo)
    with pytest.raises(ValueError, match=r"trf_blocks\.0\.att\.extra\.bias: `gpt` não é um GPTModel puro"):
        load_weights_into_gpt(modelo, params_a_mao(gpt2()))
    assert iguais(pesos(modelo), antes)


@settings(max_examples=20)
@given(CONFIGURACOES)
def test_ida_e_volta(cfg):
    estado = to_gpt2_state(sem_valores_iniciais(GPTModel(cfg)))
    params = params_from_state(estado, cfg)
    sem_prefixo = {n.removeprefix("transformer."): t for n, t in estado.items() if n != "lm_head.weight"}
    assert iguais(state_from_params(params, cfg), sem_prefixo)


def test_params_do_estado_iguais_aos_montados_a_mao():
    deles = gpt2()
    esperado, vindo = params_a_mao(deles), params_from_state(deles.state_dict(), modelo_pequeno().cfg)

    def compara(a, b):
        assert type(a) is type(b)
        if isinstance(a, dict):
            assert a.keys() == b.keys()
            return [compara(a[chave], b[chave]) for chave in a]
        if isinstance(a, list):
            return [compara(x, y) for x, y in zip(a, b, strict=True)]
        assert a.dtype == np.float32
        return np.testing.assert_array_equal(a, b)

    compara(vindo, esperado)
    with pytest.raises(ValueError, match=r"falta wpe\.weight"):
        params_from_state({k: v for k, v in deles.state_dict().items() if "wpe" not in k}, modelo_pequeno().cfg)
