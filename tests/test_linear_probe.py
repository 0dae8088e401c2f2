"""Sonda linear: o mínimo conferido pelo gradiente e pelo scipy, classes separáveis, e o que ela recusa."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from llmdefinitions.linear_probe import LinearProbe


def _dados(n=40, d=3, c=3):
    gerador = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=gerador)
    y = (x @ torch.randn(d, c, generator=gerador) + torch.randn(n, c, generator=gerador)).argmax(1)
    return x, y


def test_chega_ao_mesmo_minimo_que_o_scipy():
    x, y = _dados()
    x64, y64 = x.double().numpy(), y.numpy()

    def perda(parametros):
        w, b = parametros[:9].reshape(3, 3), parametros[9:]
        logits = x64 @ w + b
        return np.mean(logsumexp(logits, axis=1) - logits[np.arange(40), y64]) + 0.05 * np.square(w).sum()

    exato = minimize(perda, np.zeros(12), method="BFGS", options={"gtol": 1e-8})
    sonda = LinearProbe(weight_decay=0.1).fit(x, y)
    # L-BFGS em float32: uns três algarismos além da vírgula nos pesos.
    np.testing.assert_allclose(sonda.weight.numpy(), exato.x[:9].reshape(3, 3), atol=2e-3)


def test_classes_separaveis_sao_aprendidas_e_o_resultado_se_repete():
    centros = torch.tensor([[0.0, 3.0], [3.0, 0.0], [-3.0, -3.0]]).repeat_interleave(20, dim=0)
    x = centros + 0.1 * torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    y = torch.arange(3).repeat_interleave(20)
    sonda = LinearProbe().fit(x, y)
    assert sonda.accuracy(x, y) == 1.0
    assert torch.equal(sonda.weight, LinearProbe().fit(x, y).weight)


def test_acuracia_e_a_fracao_de_acertos():
    x, y = _dados()
    sonda = LinearProbe().fit(x, y)
    assert sonda.accuracy(x, y) == pytest.approx(float(np.mean(sonda.predict(x).numpy() == y.numpy())))
    assert sonda.predict(x).shape == (40,)


def test_recusas():
    x, y = _dados()
    with pytest.raises(ValueError, match="40 exemplos e 3 rótulos"):
        LinearProbe().fit(x, y[:3])
    with pytest.raises(ValueError, match="0 exemplos e 0 rótulos"):
        LinearProbe().fit(x[:0], y[:0])
    with pytest.raises(ValueError, match="ainda não foi ajustada"):
        LinearProbe().predict(x)
    with pytest.raises(ValueError, match="weight_decay=0"):
        LinearProbe(weight_decay=0)
