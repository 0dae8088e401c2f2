"""Os processos de um treino: a parte de cada um, o ambiente do torchrun, e dois processos de verdade pelo gloo."""

import os
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from modelos import um_fio  # noqa: F401
from torch import nn
from treino_distribuido import Grupo, prepara_servidor

from llmdefinitions.distributed import World, abandon, delayed_sync, join_world

CPU = torch.device("cpu")
VARIAVEIS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
so_linux = pytest.mark.skipif(sys.platform != "linux", reason="processos que conversam pelo gloo: conferidos no Linux")


@pytest.fixture(autouse=True)
def sem_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for nome in VARIAVEIS:
        monkeypatch.delenv(nome, raising=False)


# --- a conta


@given(st.integers(1, 9), st.integers(1, 40))
def test_as_partes_cobrem_o_total_sem_repetir_e_sao_iguais(tamanho, cada):
    partes = [World(rank, tamanho, CPU).share(tamanho * cada) for rank in range(tamanho)]
    assert [item for parte in partes for item in parte] == list(range(tamanho * cada))
    assert {len(parte) for parte in partes} == {cada}


def test_lote_que_nao_se_divide_diz_o_que_usar():
    with pytest.raises(ValueError, match=r"8 janelas por passo não se dividem por 3 processos.*múltiplo de 3"):
        World(0, 3, CPU).share(8)


def test_um_processo_so_e_a_identidade():
    with join_world(use_gpu=False) as mundo:
        assert mundo == World(0, 1, CPU)
        assert mundo.is_main
        modelo = nn.Linear(2, 2)
        assert mundo.wrap(modelo) is modelo
        assert mundo.mean(1.5) == 1.5
        objeto = object()
        assert mundo.from_main(objeto) is objeto
        mundo.barrier()
        with delayed_sync(modelo, delay=True):
            pass
    assert not dist.is_initialized()


# --- o ambiente


def test_ambiente_incompleto_lista_o_que_falta(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    falta = r"WORLD_SIZE=2 sem LOCAL_RANK, MASTER_ADDR, MASTER_PORT.*torchrun"
    with pytest.raises(ValueError, match=falta), join_world(use_gpu=False):
        pass


def ambiente_de_dois(monkeypatch: pytest.MonkeyPatch, local: int) -> None:
    for nome, valor in zip(VARIAVEIS, (local, local, 2, "127.0.0.1", 1), strict=True):
        monkeypatch.setenv(nome, str(valor))


def test_menos_gpus_que_processos(monkeypatch):
    ambiente_de_dois(monkeypatch, local=1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"processo local 1 e 1 GPU.*--nproc-per-node.*--cpu"), join_world():
        pass


@pytest.mark.parametrize(("gpu", "motor", "dispositivo"), [(True, "nccl", "cuda:1"), (False, "gloo", "cpu")])
def test_motor_e_dispositivo_e_saida_do_grupo_menos_depois_de_um_erro(monkeypatch, gpu, motor, dispositivo):
    ambiente_de_dois(monkeypatch, local=1)
    chamadas = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda d: chamadas.append(str(d)))
    monkeypatch.setattr(dist, "init_process_group", lambda backend, timeout: chamadas.append(backend))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: chamadas.append("saiu"))
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)

    def entra(divisor: int) -> float:
        with join_world() as mundo:
            assert (mundo.rank, mundo.size, str(mundo.device), mundo.is_main) == (1, 2, dispositivo, False)
            return 1 / divisor

    entra(1)
    esperadas = ["cuda:1", motor] if gpu else [motor]
    assert chamadas == [*esperadas, "saiu"]
    with pytest.raises(ZeroDivisionError):
        entra(0)
    assert chamadas == [*esperadas, "saiu", *esperadas]


@pytest.mark.parametrize(("em_grupo", "saidas"), [(False, []), (True, [3])])
def test_abandonar_so_encerra_quem_esta_num_grupo(monkeypatch, em_grupo, saidas):
    codigos = []
    monkeypatch.setattr(dist, "is_initialized", lambda: em_grupo)
    monkeypatch.setattr(os, "_exit", codigos.append)
    abandon(3)
    assert codigos == saidas


# --- dois processos de verdade


def conversa(mundo: World, pasta: Path) -> None:
    """Confere, em cada processo, o que se pede dele; uma afirmação falsa acaba com código diferente de zero."""
    assert mundo.mean(float(mundo.rank)) == (mundo.size - 1) / 2
    assert mundo.from_main({"passo": mundo.rank, "texto": "ação"}) == {"passo": 0, "texto": "ação"}
    if mundo.is_main:
        time.sleep(0.3)
        (pasta / "pronto").touch()
    mundo.barrier()
    assert (pasta / "pronto").exists()

    torch.manual_seed(mundo.rank)  # pesos diferentes: valem os do processo 0
    camada = nn.Linear(3, 1, bias=False)
    modelo = mundo.wrap(camada)
    torch.manual_seed(0)
    assert torch.equal(camada.weight, nn.Linear(3, 1, bias=False).weight)
    entradas = torch.arange(12.0).view(4, 3)  # o processo r fica com as linhas 2r e 2r + 1
    primeira, segunda = (entradas[[i]] for i in mundo.share(4))
    with delayed_sync(modelo, delay=True):
        modelo(primeira).sum().backward()
    assert torch.equal(camada.weight.grad, primeira)  # ainda não conversou
    with delayed_sync(modelo, delay=False):
        modelo(segunda).sum().backward()
    assert torch.equal(camada.weight.grad, entradas.sum(0, keepdim=True) / 2)
    (pasta / f"ok-{mundo.rank}").touch()


@so_linux
def test_dois_processos_conversam(tmp_path, monkeypatch):
    prepara_servidor(monkeypatch)
    Grupo(2, tmp_path, conversa, tmp_path).termina_bem()
    assert sorted(arquivo.name for arquivo in tmp_path.glob("ok-*")) == ["ok-0", "ok-1"]
