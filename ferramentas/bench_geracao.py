"""Geração gulosa ao lado de `transformers.generate`, com os mesmos pesos e os mesmos tokens."""

from __future__ import annotations

from statistics import median

import torch
from bench_treino import MINI, gpt2_do_transformers
from medicao import Meta, Secao, intercalar, razao
from transformers import GPT2LMHeadModel

from llmdefinitions import GPTConfig, GPTModel, generate, gpt2_config

NOVOS, PROMPT = 128, 16
NOSSO, HF = "llmdefinitions", "transformers"


def copiar_para_gpt2(nosso: GPTModel, hf: GPT2LMHeadModel) -> None:
    """Põe os pesos de `nosso` no GPT-2 do `transformers`, cujas camadas lineares são transpostas (Conv1D)."""
    destino = hf.transformer
    with torch.no_grad():
        destino.wte.weight.copy_(nosso.tok_emb.weight)
        destino.wpe.weight.copy_(nosso.pos_emb.weight)
        destino.ln_f.weight.copy_(nosso.final_norm.scale)
        destino.ln_f.bias.copy_(nosso.final_norm.shift)
        for bloco, camada in zip(nosso.trf_blocks, destino.h, strict=True):
            projecoes = (bloco.att.W_query, bloco.att.W_key, bloco.att.W_value)
            camada.attn.c_attn.weight.copy_(torch.cat([p.weight for p in projecoes]).T)
            camada.attn.c_attn.bias.copy_(torch.cat([p.bias for p in projecoes]))
            subida, _, descida = bloco.ff.layers
            for conv, linear in (
                (camada.attn.c_proj, bloco.att.out_proj),
                (camada.mlp.c_fc, subida),
                (camada.mlp.c_proj, descida),
            ):
                conv.weight.copy_(linear.weight.T)
                conv.bias.copy_(linear.bias)
            for alvo, norma in ((camada.ln_1, bloco.norm1), (camada.ln_2, bloco.norm2)):
                alvo.weight.copy_(norma.scale)
                alvo.bias.copy_(norma.shift)


def _comparar(nome: str, cfg: GPTConfig, rodadas: int) -> tuple[list[dict[str, str]], float]:
    torch.manual_seed(0)
    nosso, hf = GPTModel(cfg).eval(), gpt2_do_transformers(cfg).eval()
    copiar_para_gpt2(nosso, hf)
    ids = torch.randint(cfg.vocab_size, (1, PROMPT))
    saidas: dict[str, torch.Tensor] = {}

    def gerar_nosso() -> None:
        saidas[NOSSO] = generate(nosso, ids, NOVOS, cfg.context_length)

    def gerar_hf() -> None:
        saidas[HF] = hf.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NOVOS,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
        )

    tempos = intercalar({NOSSO: gerar_nosso, HF: gerar_hf}, rodadas)
    if not torch.equal(saidas[NOSSO], saidas[HF]):
        raise RuntimeError(f"{nome}: as duas implementações geraram tokens diferentes com os mesmos pesos.")
    linhas = [
        {
            "modelo": nome,
            "implementação": quem,
            "segundos": f"{median(ts):.2f}",
            "tokens/s": f"{NOVOS / median(ts):.0f}",
            "vezes o transformers": f"{razao(tempos, quem, HF):.2f}",
            "rodadas": str(rodadas),
        }
        for quem, ts in tempos.items()
    ]
    return linhas, razao(tempos, NOSSO, HF)


def medir() -> Secao:
    """Segundos para gerar 128 tokens a partir de 16, lote 1, com cache KV."""
    secao = Secao(f"Geração gulosa de {NOVOS} tokens a partir de {PROMPT}, lote 1, com cache KV")
    for nome, cfg, rodadas, alvo in (
        ("mini (6,9M)", MINI, 11, 2.0),
        ("124M", gpt2_config("124M", tie_weights=True, init_std=0.02), 5, 1.0),
    ):
        linhas, medido = _comparar(nome, cfg, rodadas)
        secao.linhas += linhas
        secao.metas.append(Meta(f"contra transformers.generate, {nome}", alvo, medido))
    secao.notas.append("Pesos sorteados, copiados de um modelo para o outro; os tokens gerados são iguais, um a um.")
    return secao
