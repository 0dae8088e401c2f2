"""Estado dos geradores: o da GPU dos Macs é guardado e reposto só onde ela existe."""

import pytest
import torch

from llmdefinitions.randomness import restore_rng, rng_numbers, rng_tensors


class MpsFalso:
    """O que o pacote usa de `torch.mps`: um gerador global, que aqui vive na CPU."""

    def __init__(self):
        self.gerador = torch.Generator().manual_seed(7)

    def get_rng_state(self):
        return self.gerador.get_state()

    def set_rng_state(self, estado):
        self.gerador.set_state(estado)


@pytest.fixture
def mac(monkeypatch):
    falso = MpsFalso()
    monkeypatch.setattr(torch, "mps", falso)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    return falso


@pytest.fixture
def sem_mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch, "mps", None)  # qualquer uso falharia


def test_gerador_do_mac_volta(mac):
    torch.rand(3, generator=mac.gerador)
    vetores, numeros = rng_tensors(), rng_numbers()
    esperado = torch.rand(5, generator=mac.gerador), torch.rand(5)
    restore_rng(vetores, numeros)
    assert torch.equal(torch.rand(5, generator=mac.gerador), esperado[0])
    assert torch.equal(torch.rand(5), esperado[1])


def test_sem_mps_nada_muda(sem_mps):
    vetores = rng_tensors()
    assert {nome for nome in vetores if not nome.startswith("cuda.")} == {"torch", "numpy"}
    restore_rng(vetores, rng_numbers())


def test_checkpoint_de_um_mac_abre_onde_nao_ha_mps(sem_mps):
    vetores = rng_tensors() | {"mps": torch.Generator().get_state()}
    esperado = torch.rand(5)
    restore_rng(vetores, rng_numbers())
    assert torch.equal(torch.rand(5), esperado)


def test_checkpoint_de_antes_de_guardar_o_mps_ainda_abre_num_mac(mac):
    vetores = {nome: estado for nome, estado in rng_tensors().items() if nome != "mps"}
    antes = mac.get_rng_state()
    restore_rng(vetores, rng_numbers())
    assert torch.equal(mac.get_rng_state(), antes)
