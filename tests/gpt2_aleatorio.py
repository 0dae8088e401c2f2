"""GPT-2 minúsculos de pesos sorteados, do `transformers` e nossos, para os testes de conversão."""

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from llmdefinitions import GPTConfig

transformers = pytest.importorskip("transformers")

# As mesmas contas em float32, somadas em outra ordem: erro relativo perto de 1e-6, em logits de ordem 1.
TOLERANCIA = {"rtol": 1e-5, "atol": 1e-5}
AMARRADO = {"qkv_bias": True, "tie_weights": True, "init_std": 0.2}


def sem_valores_iniciais(modelo: nn.Module) -> nn.Module:
    """Vieses e normalizações sorteados: com 0 e 1, trocá-los de lugar não mudaria nada."""
    with torch.no_grad():
        for nome, p in modelo.named_parameters():
            if p.ndim == 1:
                p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(sum(map(ord, nome)))))
    return modelo.eval()


def gpt2(semente: int = 0, **mudancas) -> nn.Module:
    """GPT-2 minúsculo do `transformers`, de pesos sorteados."""
    torch.manual_seed(semente)
    opcoes = {"vocab_size": 61, "n_positions": 12, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.2}
    config = transformers.GPT2Config(**{**opcoes, "bos_token_id": 0, "eos_token_id": 0, **mudancas})
    return sem_valores_iniciais(transformers.GPT2LMHeadModel(config))


CONFIGURACOES = st.builds(
    lambda v, t, k, h, n, qkv, amarra: GPTConfig(v, t, k * h, h, n, 0.0, qkv, amarra, 0.02),
    *(st.integers(1, m) for m in (9, 5, 3, 3, 3)),
    st.booleans(),
    st.booleans(),
)
