"""Geração gulosa ao lado de `transformers.generate`, com os mesmos pesos e os mesmos tokens."""

from __future__ import annotations

from statistics import median

import torch
from bench_treino import MINI, gpt2_do_transformers
from medicao import Meta, Secao, intercalar, razao

from llmdefinitions import GPTConfig, GPTModel, generate, gpt2_config
from llmdefinitions.gpt2_format import to_gpt2_state

NOVOS, PROMPT = 128, 16
NOSSO, HF = "llmdefinitions", "transformers"


def _comparar(nome: str, cfg: GPTConfig, rodadas: int) -> tuple[list[dict[str, str]], float]:
    torch.manual_seed(0)
    nosso, hf = GPTModel(cfg).eval(), gpt2_do_transformers(cfg).eval()
    hf.load_state_dict(to_gpt2_state(nosso))
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
