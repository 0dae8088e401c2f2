"""Dispositivo e precisão, com o que cada máquina oferece simulado."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from llmdefinitions import autocast, set_device
from llmdefinitions.device import has_fast_bfloat16


@pytest.fixture
def maquina(monkeypatch):
    def simula(*, cuda: bool = False, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return simula


@pytest.fixture
def cpu(monkeypatch):
    def simula(*, avx512: bool = False, amx: bool = False, onednn: bool | None = True) -> None:
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
        operacoes = {} if onednn is None else {"_is_mkldnn_bf16_supported": lambda: onednn}
        monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(**operacoes))

    return simula


@pytest.mark.parametrize(
    ("cuda", "mps", "esperado"),
    [(False, False, "cpu"), (True, False, "cuda"), (False, True, "mps"), (True, True, "cuda")],
)
def test_escolha_do_dispositivo(maquina, cuda, mps, esperado):
    maquina(cuda=cuda, mps=mps)
    assert set_device() == torch.device(esperado)
    assert set_device(True) == torch.device(esperado)
    assert set_device(False) == torch.device("cpu")  # nas fontes, False é "não usar GPU"


def test_float32_nao_muda_nada():
    assert isinstance(autocast("float32", "cpu"), nullcontext)
    with autocast("float32", "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_bfloat16_multiplica_em_bfloat16():
    with autocast("bfloat16", "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("oferece", "rapida"),
    [
        ({"avx512": True}, True),
        ({"amx": True}, True),
        ({"onednn": True}, False),  # o oneDNN sozinho aceita bfloat16, mas o converte por software
        ({"avx512": True, "onednn": False}, False),
        ({"onednn": None}, False),  # como no Mac com ARM: o torch vem sem oneDNN, e a operação nem existe
    ],
)
def test_auto_so_usa_bfloat16_onde_ha_hardware(cpu, oferece, rapida):
    cpu(**oferece)
    assert has_fast_bfloat16("cpu") is rapida
    with autocast("auto", "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if rapida else torch.float32)


def test_bfloat16_na_gpu_e_o_que_o_torch_diz(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert has_fast_bfloat16("cuda") is True
    assert has_fast_bfloat16("mps") is False


@pytest.mark.parametrize("precisao", ["float16", "fp32", "", None])
def test_precisao_desconhecida_lista_as_validas(precisao):
    with pytest.raises(ValueError, match=rf"precision={precisao!r}: esperado um de float32, bfloat16, auto"):
        autocast(precisao, "cpu")
