"""O passo de LoRA ao lado do `peft` sobre o `transformers`, do ajuste completo, e com as ativações refeitas na volta.

A memória vem de processos que só fazem isso: `python bench_lora.py QUEM` imprime o pico de um.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import torch.nn.functional as F
from bench_treino import GRANDE, gpt2_do_transformers
from medicao import Meta, Secao, intercalar, razao
from torch import Tensor, nn

from llmdefinitions import GPTModel, calc_loss_batch
from llmdefinitions.lora import apply_lora, count_trainable
from llmdefinitions.memory import checkpointing, process_memory, training_memory
from llmdefinitions.model_card import num

LOTE, TOKENS, POSTO = 4, 128, 16
RODADAS, PASSOS_NO_FILHO = 7, 3
NOSSO, PEFT, COMPLETO, REFEITO = "LoRA", "LoRA do peft", "completo", "LoRA, ativações refeitas"
COMPLETO_REFEITO = "completo, ativações refeitas"
TODOS = (NOSSO, PEFT, REFEITO, COMPLETO, COMPLETO_REFEITO)


def _lote() -> tuple[Tensor, Tensor]:
    gerador = torch.Generator().manual_seed(0)
    return tuple(torch.randint(GRANDE.vocab_size, (LOTE, TOKENS), generator=gerador) for _ in range(2))  # (B, T)


def _modelo(quem: str) -> nn.Module:
    """Os pesos são sorteados: não mudam nem o tempo nem a memória."""
    torch.manual_seed(0)
    if quem != PEFT:
        modelo = GPTModel(GRANDE)
        return apply_lora(modelo, POSTO, POSTO) if quem in (NOSSO, REFEITO) else modelo
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # As camadas dos blocos, como as nossas: a que junta q, k e v, a saída da atenção e as duas da rede.
        config = LoraConfig(r=POSTO, lora_alpha=POSTO, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)
        return get_peft_model(gpt2_do_transformers(GRANDE), config)


def _passo(quem: str, modelo: nn.Module) -> Callable[[], None]:
    """Ida, volta e AdamW do que treina, com o mesmo otimizador para todos."""
    modelo.train()
    x, y = _lote()
    otimizador = torch.optim.AdamW([p for p in modelo.parameters() if p.requires_grad], lr=1e-4)

    def passo() -> None:
        with checkpointing(modelo) if quem in (REFEITO, COMPLETO_REFEITO) else nullcontext():
            if quem == PEFT:
                perda = F.cross_entropy(modelo(x, use_cache=False).logits.flatten(0, 1), y.flatten())
            else:
                perda = calc_loss_batch(x, y, modelo, "cpu")
            perda.backward()
        otimizador.step()
        otimizador.zero_grad()

    return passo


def _filho(quem: str) -> None:
    """Pico de memória residente do processo, e o que o treino acrescentou ao modelo pronto."""
    passo = _passo(quem, _modelo(quem))
    antes = process_memory()[0]
    for _ in range(PASSOS_NO_FILHO):
        passo()
    print(json.dumps({"pico": process_memory()[1], "antes": antes}))


def _memoria(quem: str) -> dict[str, int]:
    feito = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), quem], capture_output=True, text=True, encoding="utf-8"
    )
    if feito.returncode:
        raise RuntimeError(f"o processo que media {quem!r} falhou:\n{feito.stderr.strip()[-2000:]}")
    return json.loads(feito.stdout.splitlines()[-1])


def _mb(n_bytes: float) -> str:
    return f"{num(n_bytes / 1e6, 0)} MB"


def medir() -> Secao:
    """Segundos por passo e pico de memória de cada um, e as metas contra o `peft`."""
    secao = Secao("Passo de LoRA, GPT-2 de 124M")
    memorias = {quem: _memoria(quem) for quem in TODOS}  # antes: os modelos daqui não podem lhes tirar memória
    modelos = {quem: _modelo(quem) for quem in TODOS}
    tempos = intercalar({quem: _passo(quem, modelo) for quem, modelo in modelos.items()}, RODADAS)
    for quem, ts in tempos.items():
        secao.linhas.append(
            {
                "passo": quem,
                "treináveis": num(count_trainable(modelos[quem])[0], 0),
                "segundos": num(median(ts), 2),
                "vezes o peft": num(razao(tempos, quem, PEFT), 2),
                "pico": _mb(memorias[quem]["pico"]),
                "acrescentado": _mb(memorias[quem]["pico"] - memorias[quem]["antes"]),
            }
        )
    secao.metas += [
        Meta("LoRA contra o peft, velocidade", 1.0, razao(tempos, NOSSO, PEFT)),
        Meta("LoRA contra o peft, pico", 1.0, memorias[NOSSO]["pico"] / memorias[PEFT]["pico"], no_maximo=True),
    ]
    for caso, sem, estrategia in ((REFEITO, NOSSO, "lora"), (COMPLETO_REFEITO, COMPLETO, "completo")):
        previsto = [
            training_memory(GRANDE, LOTE, TOKENS, strategy=estrategia, rank=POSTO, checkpointing=refaz).peak
            for refaz in (False, True)
        ]
        secao.notas.append(
            f"Refazer as ativações ({sem}): {_mb(memorias[sem]['pico'] - memorias[caso]['pico'])} a menos no pico "
            f"(a conta de `training_memory` dá {_mb(previsto[0] - previsto[1])}), e o passo leva "
            f"{num(1 / razao(tempos, caso, sem), 2)} vezes o tempo."
        )
    secao.notas.append(
        f"Lote de {LOTE}×{TOKENS}, posto {POSTO}, só as camadas dos blocos, AdamW do PyTorch em todos. No `peft`, q, k "
        "e v têm um só adaptador, na camada que os junta; aqui, um cada. Pico: memória residente de um processo que "
        f"cria o modelo e dá {PASSOS_NO_FILHO} passos."
    )
    return secao


if __name__ == "__main__":
    _filho(sys.argv[1])
