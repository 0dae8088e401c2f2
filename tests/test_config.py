"""Configuração: o que é aceito, o que é recusado e o que a mensagem de erro ensina."""

import ast
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import llmdefinitions.config
from llmdefinitions import GPT2_SIZES, GPT_CONFIG_124M, GPTConfig, GPTModel, gpt2_config

VALIDAS = "vocab_size, context_length, emb_dim, n_heads, n_layers, drop_rate, qkv_bias, tie_weights, init_std"


def com(**mudancas):
    return {**GPT_CONFIG_124M, **mudancas}


def test_o_dicionario_das_fontes_e_aceito_sem_mudar_nada():
    cfg = GPTConfig.from_dict(GPT_CONFIG_124M)
    assert {nome: getattr(cfg, nome) for nome in GPT_CONFIG_124M} == GPT_CONFIG_124M
    assert (cfg.tie_weights, cfg.init_std) == (False, None)
    assert cfg.head_dim == 64


def test_um_gptconfig_passa_intacto():
    cfg = GPTConfig.from_dict(GPT_CONFIG_124M)
    assert GPTConfig.from_dict(cfg) is cfg


@given(
    st.builds(
        lambda h, k, **resto: {"n_heads": h, "emb_dim": h * k, **resto},
        h=st.integers(1, 8),
        k=st.integers(1, 8),
        vocab_size=st.integers(1, 10**6),
        context_length=st.integers(1, 10**5),
        n_layers=st.integers(1, 100),
        drop_rate=st.floats(0, 1, exclude_max=True),
        qkv_bias=st.booleans(),
        init_std=st.none() | st.floats(1e-6, 10),
    )
)
def test_ida_e_volta_por_json(cfg):
    lida = GPTConfig.from_dict(json.loads(json.dumps(GPTConfig.from_dict(cfg).to_dict())))
    assert lida == GPTConfig(**cfg)


def test_chave_errada_lista_as_validas():
    with pytest.raises(ValueError, match=rf"chave desconhecida: ctx_len\. As válidas são: {VALIDAS}\."):
        GPTConfig.from_dict(com(ctx_len=256))


def test_chave_ausente_lista_as_validas():
    sem = {nome: valor for nome, valor in GPT_CONFIG_124M.items() if nome not in ("emb_dim", "n_layers")}
    with pytest.raises(ValueError, match=rf"chave ausente: emb_dim, n_layers\. As válidas são: {VALIDAS}\."):
        GPTConfig.from_dict(sem)


def test_o_modelo_repassa_o_erro_da_chave():
    with pytest.raises(ValueError, match="chave desconhecida: n_head"):
        GPTModel({**GPT_CONFIG_124M, "n_head": 12})


def test_tipo_que_nao_e_dicionario():
    with pytest.raises(TypeError, match="do tipo list: esperado um dicionário ou um GPTConfig"):
        GPTConfig.from_dict([50257, 256])


@pytest.mark.parametrize("nome", ["vocab_size", "context_length", "emb_dim", "n_heads", "n_layers"])
@pytest.mark.parametrize("valor", [0, -1, 2.0, "8", True, None])
def test_tamanhos_sao_inteiros_positivos(nome, valor):
    with pytest.raises(ValueError, match=rf"{nome}={valor!r}: esperado um inteiro maior que zero"):
        GPTConfig.from_dict(com(**{nome: valor}))


def test_largura_indivisivel_pelas_cabecas_cita_as_duas():
    with pytest.raises(ValueError, match=r"emb_dim=768 não é múltiplo de n_heads=10"):
        GPTConfig.from_dict(com(n_heads=10))


@pytest.mark.parametrize("valor", [-0.1, 1.0, 2, float("nan"), True, "0.1", None])
def test_dropout_fora_do_intervalo(valor):
    with pytest.raises(ValueError, match=rf"drop_rate={valor!r}: esperado um número em \[0, 1\)"):
        GPTConfig.from_dict(com(drop_rate=valor))


@pytest.mark.parametrize("nome", ["qkv_bias", "tie_weights"])
@pytest.mark.parametrize("valor", [1, 0, "sim", None])
def test_chaves_logicas(nome, valor):
    with pytest.raises(ValueError, match=rf"{nome}={valor!r}: esperado True ou False"):
        GPTConfig.from_dict(com(**{nome: valor}))


@pytest.mark.parametrize("valor", [0.0, -0.02, float("nan"), "0.02", True])
def test_desvio_inicial_invalido(valor):
    with pytest.raises(ValueError, match=rf"init_std={valor!r}: esperado um número maior que zero, ou None"):
        GPTConfig.from_dict(com(init_std=valor))


def test_pesos_compartilhados_pedem_desvio_inicial():
    with pytest.raises(ValueError, match=r"use init_std=0\.02"):
        GPTConfig.from_dict(com(tie_weights=True))


def test_a_configuracao_nao_muda_depois_de_criada():
    cfg = GPTConfig.from_dict(GPT_CONFIG_124M)
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.emb_dim = 1024


@pytest.mark.parametrize(
    ("tamanho", "parametros"),
    # Contados no `transformers` 5.23.0: GPT2LMHeadModel(GPT2Config(...)) com as dimensões de cada modelo publicado.
    [("124M", 124_439_808), ("355M", 354_823_168), ("774M", 774_030_080), ("1558M", 1_557_611_200)],
)
def test_tamanhos_publicados_do_gpt2(tamanho, parametros):
    with torch.device("meta"):  # só os formatos: nenhum peso é alocado
        modelo = GPTModel(gpt2_config(tamanho, tie_weights=True, init_std=0.02))
    assert modelo.count_parameters() == parametros


def test_gpt2_config_aceita_mudancas():
    cfg = gpt2_config("124M", context_length=256, drop_rate=0.1)
    assert (cfg.context_length, cfg.drop_rate, cfg.qkv_bias, cfg.vocab_size) == (256, 0.1, True, 50257)


def test_tamanho_desconhecido_lista_os_validos():
    with pytest.raises(ValueError, match=f"tamanho '345M' desconhecido. Os válidos são: {', '.join(GPT2_SIZES)}"):
        gpt2_config("345M")


def test_config_nao_importa_torch():
    arvore = ast.parse(Path(llmdefinitions.config.__file__).read_text(encoding="utf-8"))
    importados = {a.name.split(".")[0] for no in ast.walk(arvore) if isinstance(no, ast.Import) for a in no.names}
    importados |= {(no.module or "").split(".")[0] for no in ast.walk(arvore) if isinstance(no, ast.ImportFrom)}
    assert importados == {"__future__", "collections", "dataclasses", "typing"}
