"""Quatro jeitos de ensinar uma tarefa a um GPT, medidos: do zero, ajuste completo, atributos congelados e LoRA.

Os quatro usam as mesmas frases e a mesma cabeça, uma camada linear sobre a média dos estados finais; muda o que treina.
Cada medida roda num processo seu, com um fio, para que a memória e o tempo de um não se misturem aos dos outros:
`python -m llmdefinitions.strategies '{"strategy": "lora", "seed": 1}'`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .finetuning import fine_tune
from .generation import evaluating
from .gpt1_inputs import hidden_states
from .intervals import Interval, student_interval
from .lora import apply_lora, count_trainable
from .memory import process_memory
from .model import GPTModel
from .pretrained import load_pretrained
from .sentiment import CLASSES, load_sentiment
from .tokenizer import encode, eos_id

STRATEGIES = ("zero", "completo", "atributos", "lora")
BATCH_SIZE, WEIGHT_DECAY = 16, 0.01
RANK, ALPHA, SCALING = 8, 16.0, "alpha/r"


@dataclass(frozen=True)
class Recipe:
    """Taxa de aprendizado e épocas de uma estratégia, fixadas antes de medir no teste."""

    lr: float
    epochs: int


RECIPES = {
    "zero": Recipe(5e-4, 4),
    "completo": Recipe(5e-4, 4),
    "atributos": Recipe(1e-2, 60),  # os vetores se calculam uma vez: uma época é quase de graça
    "lora": Recipe(1e-3, 4),
}


@dataclass(frozen=True)
class StrategyRun:
    """Uma estratégia, uma semente, e o que custou.

    Atributos:
        trainable, parameters: parâmetros que treinam, e todos.
        seconds: do modelo carregado ao modelo treinado.
        memory_bytes: o que o treino acrescentou, no pico, à memória residente do processo com o modelo carregado.
        peak_bytes: pico de memória residente do processo inteiro.
        accuracy, macro_f1: no teste.
    """

    strategy: str
    seed: int
    trainable: int
    parameters: int
    steps: int
    seconds: float
    memory_bytes: int
    peak_bytes: int
    accuracy: float
    macro_f1: float


class SentenceClassifier(nn.Module):
    """Um GPT e uma camada linear sobre a média dos estados finais.

    Parâmetros:
        model: treina junto, menos o que estiver congelado.
        n_classes: C.
    """

    def __init__(self, model: GPTModel, n_classes: int) -> None:
        super().__init__()
        self.model = model
        self.head = nn.Linear(model.cfg.emb_dim, n_classes)

    def features(self, idx: Tensor, lengths: Tensor) -> Tensor:
        """Média dos estados das posições de texto, da segunda à última: `(B, T)` e `(B,)` → `(B, D)`.

        A primeira é o token de fim que abre cada frase; o preenchimento vem depois, e a atenção causal não o deixa
        mudar o texto.
        """
        states = hidden_states(self.model, idx)  # (B, T, D)
        places = torch.arange(idx.shape[1], device=idx.device)
        inside = ((places >= 1) & (places < lengths.unsqueeze(1))).to(states.dtype)  # (B, T)
        return (states * inside.unsqueeze(2)).sum(dim=1) / inside.sum(dim=1, keepdim=True)

    def forward(self, idx: Tensor, lengths: Tensor) -> Tensor:
        """`(B, T)` e `(B,)` → logits `(B, C)`."""
        return self.head(self.features(idx, lengths))


def run_strategy(
    strategy: str, seed: int, *, model: str = "mini-pt", n_train: int | None = None, epochs: int | None = None
) -> StrategyRun:
    """Treina e mede uma estratégia neste processo.

    Parâmetros:
        strategy: uma de :data:`STRATEGIES`.
        seed: semente dos pesos novos e da ordem das frases.
        model: nome ou pasta, como em `load_pretrained`; "zero" usa só as dimensões e o tokenizador dele.
        n_train: usa só essas frases do treino, sorteadas com a semente.
        epochs: épocas, no lugar das da receita.

    Erros:
        ValueError: estratégia desconhecida, ou frases ou épocas menores que 1.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy={strategy!r}: use uma de {', '.join(STRATEGIES)}.")
    if min(1 if n_train is None else n_train, 1 if epochs is None else epochs) < 1:
        raise ValueError(f"n_train={n_train}, epochs={epochs}: esperado inteiros ≥ 1, ou None.")
    gpt, tokenizer = load_pretrained(model)
    train, test = (_encoded(part, tokenizer, gpt.cfg.context_length) for part in ("treino", "teste"))
    recipe, generator = RECIPES[strategy], torch.Generator().manual_seed(seed)
    train = [train[i] for i in torch.randperm(len(train), generator=generator)[:n_train].tolist()]
    torch.manual_seed(seed)
    if strategy == "zero":
        gpt = GPTModel(gpt.cfg)
    before, began = process_memory()[0], time.perf_counter()
    if strategy == "lora":
        apply_lora(gpt, RANK, ALPHA, scaling=SCALING)
    elif strategy == "atributos":
        gpt.requires_grad_(False)
    classifier = SentenceClassifier(gpt, len(CLASSES))
    end = eos_id(tokenizer) or 0
    trained, data, collate = classifier, train, partial(_padded, end=end)
    if strategy == "atributos":
        trained, data, collate = classifier.head, _features(classifier, train, end), None
    loader = DataLoader(data, BATCH_SIZE, shuffle=True, collate_fn=collate, generator=generator)
    steps = len(loader) * (epochs or recipe.epochs)
    fine_tune(trained, loader, _loss, steps=steps, lr=recipe.lr, warmup_steps=steps // 10, weight_decay=WEIGHT_DECAY)
    seconds, memory = time.perf_counter() - began, process_memory()[1]
    truth, guess = [label for _, label in test], _predict(classifier, test, end)
    return StrategyRun(
        strategy,
        seed,
        *count_trainable(classifier),
        steps,
        seconds,
        max(0, memory - before),
        memory,
        float(accuracy_score(truth, guess)),
        float(f1_score(truth, guess, average="macro", labels=range(len(CLASSES)), zero_division=0.0)),
    )


def measure_strategy(strategy: str, seed: int, **options: Any) -> StrategyRun:
    """O mesmo que :func:`run_strategy`, num processo novo e com um só fio.

    Erros:
        RuntimeError: o processo falhou; a mensagem traz o que ele disse.
    """
    order = json.dumps({"strategy": strategy, "seed": seed, **options})
    command = [sys.executable, "-m", "llmdefinitions.strategies", order]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"{order} terminou com o código {done.returncode}:\n{done.stderr.strip()[-2000:]}")
    return StrategyRun(**json.loads(done.stdout.splitlines()[-1]))


def summarize(runs: Sequence[StrategyRun]) -> dict[str, dict[str, Interval]]:
    """Média e intervalo t, entre as sementes, de cada medida de cada estratégia.

    Erros:
        ValueError: uma estratégia com menos de duas sementes.
    """
    names = ("trainable", "seconds", "memory_bytes", "peak_bytes", "accuracy", "macro_f1")
    grouped = {name: [run for run in runs if run.strategy == name] for name in dict.fromkeys(r.strategy for r in runs)}
    return {
        strategy: {name: student_interval([getattr(run, name) for run in own]) for name in names}
        for strategy, own in grouped.items()
    }


def _encoded(part: str, tokenizer: Any, context_length: int) -> list[tuple[list[int], int]]:
    """Ids de cada frase, abertos pelo token de fim, e a classe."""
    start = [eos_id(tokenizer) or 0]
    examples = load_sentiment(part)
    return [((start + encode(e.text, tokenizer))[:context_length], e.label_id) for e in examples]


def _padded(items: Sequence[tuple[list[int], int]], end: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids `(B, T)`, comprimentos `(B,)` e classes `(B,)`."""
    lengths = torch.tensor([len(ids) for ids, _ in items])
    width = int(lengths.max())
    idx = torch.tensor([ids + [end] * (width - len(ids)) for ids, _ in items])
    return idx, lengths, torch.tensor([label for _, label in items])


def _loss(module: nn.Module, batch: Sequence[Tensor]) -> Tensor:
    *inputs, labels = batch
    return F.cross_entropy(module(*inputs), labels)


@torch.no_grad()
def _features(classifier: SentenceClassifier, items: Sequence, end: int) -> list[tuple[Tensor, int]]:
    with evaluating(classifier):
        parts = [classifier.features(*_padded(chunk, end)[:2]) for chunk in _chunks(items)]
    return list(zip(torch.cat(parts), [label for _, label in items], strict=True))


@torch.no_grad()
def _predict(classifier: SentenceClassifier, items: Sequence, end: int) -> list[int]:
    with evaluating(classifier):
        parts = [classifier(*_padded(chunk, end)[:2]).argmax(dim=1) for chunk in _chunks(items)]
    return torch.cat(parts).tolist()


def _chunks(items: Sequence) -> list[Sequence]:
    return [items[i : i + BATCH_SIZE] for i in range(0, len(items), BATCH_SIZE)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(asdict(run_strategy(**json.loads(sys.argv[1])))))
