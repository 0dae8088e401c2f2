"""Passo de treino ao lado do `transformers` e da implementação de origem, com os mesmos dados e o mesmo otimizador."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from medicao import Meta, Secao, intercalar, razao
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from llmdefinitions import GPTConfig, GPTModel, build_adamw, calc_loss_batch
from llmdefinitions.device import has_fast_bfloat16

# Sem dropout, com viés em QKV e a saída amarrada aos embeddings: tudo o que o GPT-2 do `transformers` tem.
MINI = GPTConfig(8192, 256, 256, 8, 6, 0.0, qkv_bias=True, tie_weights=True, init_std=0.02)
GRANDE = GPTConfig(50257, 256, 768, 12, 12, 0.0, qkv_bias=True, tie_weights=True, init_std=0.02)
NOSSO, NOSSO_AUTO, HF, ORIGEM = "llmdefinitions, float32", 'llmdefinitions, "auto"', "transformers", "llms-from-scratch"


def gpt2_do_transformers(cfg: GPTConfig) -> GPT2LMHeadModel:
    """O GPT-2 do `transformers` com as mesmas dimensões e a atenção mais rápida que ele tem na CPU."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=cfg.vocab_size,
            n_positions=cfg.context_length,
            n_embd=cfg.emb_dim,
            n_layer=cfg.n_layers,
            n_head=cfg.n_heads,
            resid_pdrop=cfg.drop_rate,
            embd_pdrop=cfg.drop_rate,
            attn_pdrop=cfg.drop_rate,
            bos_token_id=None,
            eos_token_id=None,
            attn_implementation="sdpa",
        )
    )


def _da_origem(cfg: GPTConfig) -> nn.Module:
    from llms_from_scratch.ch04 import GPTModel as GPTDaOrigem

    modelo = GPTDaOrigem({nome: v for nome, v in cfg.to_dict().items() if nome not in ("tie_weights", "init_std")})
    modelo.out_head.weight = modelo.tok_emb.weight
    nn.init.normal_(modelo.tok_emb.weight, std=0.02)
    return modelo


def _passo(
    modelo: nn.Module, otimizador: torch.optim.Optimizer, perda: Callable[[nn.Module], Tensor]
) -> Callable[[], None]:
    modelo.train()

    def passo() -> None:
        perda(modelo).backward()
        otimizador.step()
        otimizador.zero_grad()  # no fim: entre rodadas, ninguém guarda gradientes

    return passo


def _comparar(secao: Secao, cfg: GPTConfig, lote: int, rodadas: int) -> dict[str, list[float]]:
    """Acrescenta as linhas de um tamanho à seção e devolve os tempos."""
    torch.manual_seed(0)
    x = torch.randint(cfg.vocab_size, (lote, cfg.context_length))  # (B, T)
    y = torch.randint(cfg.vocab_size, (lote, cfg.context_length))  # (B, T)

    def adamw(modelo: nn.Module) -> torch.optim.AdamW:
        return torch.optim.AdamW(modelo.parameters(), lr=4e-4, weight_decay=0.1)

    def perda_hf(modelo: nn.Module) -> Tensor:
        return F.cross_entropy(modelo(x, use_cache=False).logits.flatten(0, 1), y.flatten())

    def perda(modelo: nn.Module) -> Tensor:
        return calc_loss_batch(x, y, modelo, "cpu")

    def perda_auto(modelo: nn.Module) -> Tensor:
        return calc_loss_batch(x, y, modelo, "cpu", precision="auto")

    nosso, automatico, hf = GPTModel(cfg), GPTModel(cfg), gpt2_do_transformers(cfg)
    acoes = {
        NOSSO: _passo(nosso, adamw(nosso), perda),
        HF: _passo(hf, adamw(hf), perda_hf),
        NOSSO_AUTO: _passo(automatico, build_adamw(automatico), perda_auto),
    }
    try:
        origem = _da_origem(cfg)
        acoes[ORIGEM] = _passo(origem, adamw(origem), perda)
    except ImportError as erro:
        secao.notas.append(f"llms-from-scratch não foi medido: {erro}. Instale com `pip install --no-deps`.")
    tempos = intercalar(acoes, rodadas)
    tokens = lote * cfg.context_length
    secao.linhas += [
        {
            "modelo": f"{nosso.count_parameters() / 1e6:.1f}M",
            "lote": f"{lote} × {cfg.context_length}",
            "implementação": nome,
            "tokens/s": f"{tokens / median(ts):,.0f}".replace(",", "."),
            "vezes o transformers": f"{razao(tempos, nome, HF):.2f}",
            "rodadas": str(rodadas),
        }
        for nome, ts in tempos.items()
    ]
    return tempos


def medir() -> Secao:
    """Tokens por segundo do passo de treino (ida, volta e AdamW) no tamanho mini e no de 124M."""
    secao = Secao("Passo de treino")
    tempos = _comparar(secao, MINI, lote=16, rodadas=7)
    secao.metas.append(Meta("float32 contra o transformers, mini", 1.0, razao(tempos, NOSSO, HF)))
    if has_fast_bfloat16("cpu"):
        secao.metas.append(Meta('precision="auto" contra o transformers, mini', 1.5, razao(tempos, NOSSO_AUTO, HF)))
    else:
        secao.notas.append('Esta CPU não multiplica bfloat16: precision="auto" é float32, e a meta dela não vale aqui.')
    _comparar(secao, GRANDE, lote=2, rodadas=5)
    secao.notas += [
        "Mini: vocabulário 8.192, largura 256, 6 camadas, 8 cabeças, contexto 256.",
        "Sem dropout, com viés em QKV e a saída amarrada aos embeddings; `transformers` com atenção sdpa e sem cache.",
        'AdamW padrão do PyTorch em todos, menos na linha "auto", que usa bfloat16 onde há e `build_adamw` (fundido).',
    ]
    return secao
