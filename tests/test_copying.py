"""Cópia do contexto: quem copia, quem não copia e quem não sabe nada dão as perdas que se calculam à mão."""

import math
from types import SimpleNamespace

import pytest
import torch
from modelos import modelo_pequeno

from llmdefinitions.copying import copy_losses

V = 50


class Copiador(torch.nn.Module):
    """Dá probabilidade quase 1 ao token que veio, da última vez, depois do atual; sem última vez, é uniforme."""

    def __init__(self) -> None:
        super().__init__()
        self.cfg = SimpleNamespace(vocab_size=V, context_length=64)
        self.peso = torch.nn.Parameter(torch.zeros(1))

    def forward(self, ids):
        logits = torch.zeros(*ids.shape, V)
        for b, linha in enumerate(ids.tolist()):
            for t, atual in enumerate(linha):
                antes = [s for s in range(t) if linha[s] == atual]
                if antes:
                    logits[b, t, linha[antes[-1] + 1]] = 60.0
        return logits


class Uniforme(Copiador):
    def forward(self, ids):
        return torch.zeros(*ids.shape, V)


def test_quem_nao_sabe_nada_perde_ln_v_nas_duas_vezes():
    assert copy_losses(Uniforme(), length=10, n=4) == pytest.approx((math.log(V), math.log(V)), abs=1e-6)


def test_quem_copia_so_perde_na_primeira():
    # Uma sequência em que nenhum token se repete por acaso: assim a conta é exata.
    gerador = torch.Generator().manual_seed(8)
    assert len(set(torch.randint(V, (1, 6), generator=gerador)[0].tolist())) == 6
    assert copy_losses(Copiador(), length=6, n=1, seed=8) == pytest.approx((math.log(V), 0), abs=1e-6)


def test_modelo_sorteado_nao_copia_e_volta_ao_modo_em_que_estava():
    modelo = modelo_pequeno().train()
    T = modelo.cfg.context_length
    primeira, segunda = copy_losses(modelo, length=T // 2, n=64)
    assert modelo.training
    # Perto de ln V nas duas vezes: os logits de um modelo novo quase não dependem da entrada.
    assert primeira == pytest.approx(math.log(modelo.cfg.vocab_size), rel=0.1)
    assert segunda == pytest.approx(primeira, rel=0.05)


@pytest.mark.parametrize("opcoes", [{"length": 1}, {"length": 33}, {"n": 0}])
def test_recusa(opcoes):
    with pytest.raises(ValueError, match="esperado 2 ≤ length ≤ 32 e n ≥ 1"):
        copy_losses(Copiador(), **opcoes)
