"""O mini-pt ao lado do `transformers`: carregar, gerar os mesmos tokens, treinar contra o `Trainer` na mesma curva."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from bench_treino import gpt2_do_transformers
from medicao import Meta, Secao, intercalar, razao
from torch import Tensor
from transformers import GPT2LMHeadModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from llmdefinitions import build_adamw, generate, load_corpus, load_pretrained, warmup_cosine
from llmdefinitions.device import has_fast_bfloat16
from llmdefinitions.distributed import World
from llmdefinitions.gpt2_format import to_gpt2_state
from llmdefinitions.mixture import Mixture
from llmdefinitions.model import GPTModel
from llmdefinitions.pretrain_report import PROMPTS
from llmdefinitions.pretrainer import Pretrainer
from llmdefinitions.recipe import load_recipe
from llmdefinitions.token_store import write_tokens
from llmdefinitions.tokenizer import encode_corpus, text_to_token_ids

NOVOS = 128
PASSOS, RODADAS = 12, 3
NOSSO, TRAINER, TRAINER_BF16 = "llmdefinitions", "Trainer, como vem", "Trainer, bf16"


def medir() -> Secao:
    """Carregar, gerar e treinar, com as metas de cada um."""
    secao = Secao("mini-pt: carregar, gerar e treinar")
    _carregar(secao)
    _gerar(secao)
    _treinar(secao)
    return secao


def _linha(conta: str, implementacao: str, medida: str, vezes: str) -> dict[str, str]:
    return {"conta": conta, "implementação": implementacao, "medida": medida, "vezes o transformers": vezes}


def _carregar(secao: Secao) -> None:
    tempos = []
    for _ in range(5):
        inicio = time.perf_counter()
        load_pretrained("mini-pt")
        tempos.append(time.perf_counter() - inicio)
    secao.linhas.append(_linha("carregar", NOSSO, f"{median(tempos):.3f} s", ""))
    secao.metas.append(Meta("carregar o mini-pt, em segundos", 1.0, median(tempos), no_maximo=True, unidade="s"))


def _gerar(secao: Secao) -> None:
    nosso, tokenizador = load_pretrained("mini-pt")
    hf = gpt2_do_transformers(nosso.cfg).eval()
    hf.load_state_dict(to_gpt2_state(nosso))
    comecos = [text_to_token_ids(prompt, tokenizador) for prompt in PROMPTS]
    for prompt, ids in zip(PROMPTS, comecos, strict=True):  # os mesmos tokens, em todos os começos
        if not torch.equal(_gerar_nosso(nosso, ids), _gerar_hf(hf, ids)):
            raise RuntimeError(f"{prompt!r}: as duas implementações geraram tokens diferentes com os mesmos pesos.")
    # Todos os começos: uns se repetem muito, e neles o rascunho acerta mais; outros, nada.
    tempos = intercalar(
        {
            NOSSO: lambda: [_gerar_nosso(nosso, ids) for ids in comecos],
            "transformers": lambda: [_gerar_hf(hf, ids) for ids in comecos],
        },
        rodadas=5,
    )
    conta = f"gerar {NOVOS} tokens, gulosa, {len(comecos)} começos"
    for quem, ts in tempos.items():
        vezes = razao(tempos, quem, "transformers")
        velocidade = NOVOS * len(comecos) / median(ts)
        secao.linhas.append(_linha(conta, quem, f"{velocidade:.0f} tokens/s", f"{vezes:.2f}"))
    secao.metas.append(Meta("gerar contra transformers.generate", 3.0, razao(tempos, NOSSO, "transformers")))
    secao.notas.append(f"Os {len(PROMPTS)} começos da ficha do modelo geram os mesmos tokens nas duas implementações.")


def _gerar_nosso(modelo: GPTModel, ids: Tensor) -> Tensor:
    return generate(modelo, ids, NOVOS, modelo.cfg.context_length)


def _gerar_hf(modelo: GPT2LMHeadModel, ids: Tensor) -> Tensor:
    mascara = torch.ones_like(ids)
    return modelo.generate(
        ids, attention_mask=mascara, max_new_tokens=NOVOS, do_sample=False, use_cache=True, pad_token_id=0
    )


class _Cronometro(TrainerCallback):
    """Segundos e perda de cada passo do `Trainer`, do fim de um ao fim do outro."""

    def __init__(self) -> None:
        self.fim: list[float] = []
        self.perdas: list[float] = []

    def on_train_begin(self, args, state, control, **_) -> None:
        self.fim.append(time.perf_counter())

    def on_step_end(self, args, state, control, **_) -> None:
        self.fim.append(time.perf_counter())

    def on_log(self, args, state, control, logs=None, **_) -> None:
        if "loss" in logs:
            self.perdas.append(logs["loss"])


def _treinar(secao: Secao) -> None:
    """Os mesmos pesos, lotes, otimizador e agenda nas três; só muda quem treina."""
    _, tokenizador = load_pretrained("mini-pt")
    receita = replace(
        load_recipe("mini-pt"),
        optimizer="adamw",
        lr=1e-3,  # estável: num salto da perda, a menor diferença de arredondamento cresceria
        drop_rate=0.0,
        steps=PASSOS,
        warmup_steps=4,
        mixture={"historias": 100},
        eval_every=PASSOS,
        checkpoint_every=PASSOS,
    )
    textos = load_corpus("historias", n_stories=3000).documents
    with tempfile.TemporaryDirectory() as pasta:
        ids = encode_corpus(textos, tokenizador).numpy()
        arquivo = write_tokens(Path(pasta, "historias"), [ids], receita.vocab_size)
        mistura = Mixture.from_recipe({"historias": arquivo}, receita)
        corridas: dict[str, Callable[[Path], tuple[list[float], list[float]]]] = {
            NOSSO: lambda p: _nosso_treino(receita, mistura, p),
            TRAINER: lambda p: _treino_do_trainer(receita, mistura, p, bf16=False),
        }
        if has_fast_bfloat16("cpu"):
            corridas[TRAINER_BF16] = lambda p: _treino_do_trainer(receita, mistura, p, bf16=True)
        segundos: dict[str, list[float]] = {nome: [] for nome in corridas}
        perdas: dict[str, list[float]] = {}
        for rodada in range(RODADAS):
            for nome in corridas if rodada % 2 == 0 else reversed(corridas):
                passos, perdas[nome] = corridas[nome](Path(pasta, f"{rodada}-{len(segundos[nome])}-{nome}"))
                segundos[nome].append(median(passos[1:]))  # o primeiro passo paga a escolha dos kernels
    tokens = receita.batch_size * receita.context_length
    for nome, ts in segundos.items():
        secao.linhas.append(
            _linha("treinar", nome, f"{tokens / median(ts):.0f} tokens/s", f"{razao(segundos, nome, TRAINER):.2f}")
        )
    afastamento = max(
        abs(a / b - 1) for nome in perdas if nome != NOSSO for a, b in zip(perdas[NOSSO], perdas[nome], strict=True)
    )
    secao.metas += [
        Meta("treinar contra o Trainer como vem", 1.5, razao(segundos, NOSSO, TRAINER)),
        Meta("maior afastamento entre as curvas de perda, em %", 1.0, 100 * afastamento, no_maximo=True, unidade="%"),
    ]
    if TRAINER_BF16 in segundos:
        secao.metas.append(Meta("treinar contra o Trainer em bf16", 1.0, razao(segundos, NOSSO, TRAINER_BF16)))
    secao.notas.append(
        f"Treino: {PASSOS} passos de {receita.batch_size}×{receita.context_length} tokens a partir dos mesmos pesos, "
        "com os mesmos lotes, o mesmo AdamW e a mesma agenda; tempo mediano por passo em rodadas alternadas."
    )


def _nosso_treino(receita, mistura: Mixture, pasta: Path) -> tuple[list[float], list[float]]:
    treino = Pretrainer(receita, mistura, pasta, World(0, 1, torch.device("cpu")))
    registros = [treino.advance() for _ in range(receita.steps)]
    fins = [0.0, *(r["seconds"] for r in registros)]
    return [b - a for a, b in pairwise(fins)], [r["loss"] for r in registros]


def _treino_do_trainer(receita, mistura: Mixture, pasta: Path, *, bf16: bool) -> tuple[list[float], list[float]]:
    torch.manual_seed(receita.seed)
    pesos = to_gpt2_state(GPTModel(receita.model_config))  # antes do `hf`, que também sorteia os seus
    hf = gpt2_do_transformers(receita.model_config)
    hf.load_state_dict(pesos)
    cronometro = _Cronometro()
    otimizador = build_adamw(hf, receita.lr, receita.weight_decay)
    agenda = torch.optim.lr_scheduler.LambdaLR(
        otimizador,
        lambda p: warmup_cosine(min(p, receita.steps - 1), receita.steps, receita.warmup_steps, receita.min_lr_ratio),
    )
    argumentos = TrainingArguments(
        output_dir=str(pasta),
        max_steps=receita.steps,
        per_device_train_batch_size=receita.batch_size,
        bf16=bf16,
        max_grad_norm=receita.max_grad_norm,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        train_sampling_strategy="sequential",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            hf,
            argumentos,
            train_dataset=_Amostras(mistura, receita.steps * receita.batch_size),
            optimizers=(otimizador, agenda),
            callbacks=[cronometro],
            compute_loss_func=_entropia_cruzada,
        )
        trainer.remove_callback(PrinterCallback)  # um dicionário por passo, no meio da tabela
        trainer.train()
    return [b - a for a, b in pairwise(cronometro.fim)], cronometro.perdas


class _Amostras(torch.utils.data.Dataset):
    """As amostras da mistura no formato do `Trainer`, com os alvos já deslocados."""

    def __init__(self, mistura: Mixture, quantas: int) -> None:
        self.mistura, self.quantas = mistura, quantas

    def __len__(self) -> int:
        return self.quantas

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        x, y = self.mistura.batch(range(i, i + 1))
        return {"input_ids": x[0], "labels": y[0]}


def _entropia_cruzada(saidas, alvos: Tensor, num_items_in_batch: Tensor | None = None) -> Tensor:
    """A nossa perda: a do `transformers` deslocaria de novo e perderia um token por janela."""
    return F.cross_entropy(saidas.logits.flatten(0, 1).float(), alvos.flatten())
