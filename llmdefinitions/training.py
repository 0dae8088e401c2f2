"""Laço de treino: perda, avaliação, agenda da taxa de aprendizado, interrupção e retomada exata.

A sequência de chamadas que consomem o gerador aleatório é a do livro de origem (Raschka, 2024): dropout, embaralhamento
da época e o embaralhamento de cada avaliação. Nada do que é opcional aqui o consome.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from .device import autocast
from .generation import evaluating, generate_text_simple
from .progress import progress_bar
from .run import TrainingRun
from .tokenizer import text_to_token_ids, token_ids_to_text


def calc_loss_batch(
    x: Tensor,
    y: Tensor,
    model: nn.Module,
    device: torch.device | str,
    *,
    precision: str = "float32",
) -> Tensor:
    """Entropia cruzada média do lote, em nats por token; alvos −100 não contam.

    Parâmetros:
        x: ids de entrada `(B, T)`.
        y: ids alvo `(B, T)`, a entrada deslocada em um.
        model: `(B, T)` → `(B, T, V)`.
        device: onde o modelo está; o lote é levado para lá.
        precision: ver :func:`~llmdefinitions.device.autocast`.

    Devolve:
        Escalar, com gradiente.
    """
    x, y = x.to(device), y.to(device)
    with autocast(precision, device):
        logits = model(x)  # (B, T, V)
        return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def calc_loss_loader(
    loader: Iterable,
    model: nn.Module,
    device: torch.device | str,
    num_batches: int | None = None,
    *,
    precision: str = "float32",
) -> float:
    """Média das perdas dos primeiros `num_batches` lotes (todos, se `None`), em nats por token.

    Erros:
        ValueError: o loader não tem lotes, ou `num_batches` é menor que 1.
    """
    if num_batches is not None and num_batches < 1:
        raise ValueError(f"num_batches={num_batches}: esperado um inteiro ≥ 1, ou None para usar todos os lotes.")
    losses = []
    for x, y in loader:
        losses.append(calc_loss_batch(x, y, model, device, precision=precision).item())
        if len(losses) == num_batches:
            break
    if not losses:
        raise ValueError(
            "o loader não tem nenhum lote, então não há perda a calcular: use um texto maior, um lote menor "
            "ou drop_last=False."
        )
    return sum(losses) / len(losses)


def evaluate_model(
    model: nn.Module,
    train_loader: Iterable,
    val_loader: Iterable,
    device: torch.device | str,
    eval_iter: int | None,
    *,
    precision: str = "float32",
) -> tuple[float, float]:
    """Perdas de treino e de validação (nats por token) em até `eval_iter` lotes, sem dropout nem gradiente."""
    with evaluating(model), torch.no_grad():
        train_loss = calc_loss_loader(train_loader, model, device, eval_iter, precision=precision)
        val_loss = calc_loss_loader(val_loader, model, device, eval_iter, precision=precision)
    return train_loss, val_loss


def generate_and_print_sample(
    model: nn.Module,
    tokenizer: Any,
    device: torch.device | str,
    start_context: str,
    *,
    max_new_tokens: int = 50,
) -> str:
    """Mostra, numa linha, a continuação gulosa de `start_context`, e a devolve."""
    context_size = model.pos_emb.weight.shape[0]
    idx = text_to_token_ids(start_context, tokenizer).to(device)
    ids = generate_text_simple(model, idx, max_new_tokens, context_size)
    sample = token_ids_to_text(ids, tokenizer).replace("\n", " ")
    tqdm.write(sample)
    return sample


def warmup_cosine(step: int, total_steps: int, warmup_steps: int = 0, min_ratio: float = 0.1) -> float:
    """Fator da taxa de aprendizado no passo `step` (a partir de 0): aquecimento linear e depois cosseno.

    Sobe em linha reta até 1 em `warmup_steps` passos (Goyal et al., 2017) e desce por meio cosseno até `min_ratio` no
    último passo (Loshchilov & Hutter, 2017).

    Erros:
        ValueError: passos negativos, aquecimento maior que o treino ou `min_ratio` fora de [0, 1].
    """
    if not 0 <= step < total_steps or not 0 <= warmup_steps < total_steps or not 0.0 <= min_ratio <= 1.0:
        raise ValueError(
            f"step={step}, warmup_steps={warmup_steps}, total_steps={total_steps}, min_ratio={min_ratio}: esperado "
            "0 ≤ step < total_steps, 0 ≤ warmup_steps < total_steps e min_ratio em [0, 1]."
        )
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps)
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


def build_adamw(
    model: nn.Module, lr: float = 4e-4, weight_decay: float = 0.1, *, betas: tuple[float, float] = (0.9, 0.95)
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, 2019) na versão fundida, que percorre os parâmetros uma vez só.

    O decaimento vale para as matrizes; vieses e normalizações ficam de fora, como é costume em pré-treino. É mais
    rápido que `torch.optim.AdamW(model.parameters())`, mas não dá os mesmos números: os do contrato usam este último.
    """
    params = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in params if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=betas, fused=True)


def train_model_simple(
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    device: torch.device | str,
    num_epochs: int,
    eval_freq: int,
    eval_iter: int,
    start_context: str,
    tokenizer: Any,
    *,
    precision: str = "float32",
    lr_factor: Callable[[int, int], float] | None = None,
    max_grad_norm: float | None = None,
    patience: int | None = None,
    checkpoint_dir: str | Path | None = None,
    checkpoint_every: int = 100,
    progress: bool | None = None,
) -> tuple[list[float], list[float], list[int]]:
    """Treina e devolve as perdas medidas a cada `eval_freq` passos.

    Parâmetros:
        model: modelo já no dispositivo.
        train_loader: lotes de treino, `(B, T)` e `(B, T)`.
        val_loader: lotes de validação.
        optimizer: otimizador dos parâmetros de `model`.
        device: dispositivo do modelo.
        num_epochs: épocas.
        eval_freq: passos entre avaliações.
        eval_iter: lotes de cada avaliação.
        start_context: começo do texto gerado ao fim de cada época; vazio, nenhum é gerado.
        tokenizer: tokenizador desse texto.
        precision: `"float32"` (os números de referência), `"bfloat16"` ou `"auto"`.
        lr_factor: `(passo, total)` → fator da taxa de aprendizado; por exemplo :func:`warmup_cosine`.
        max_grad_norm: corta a norma do gradiente neste valor (Pascanu et al., 2013).
        patience: para depois deste número de avaliações seguidas sem melhora na validação.
        checkpoint_dir: pasta dos checkpoints; se já há um, o treino continua dele como se nunca tivesse parado.
        checkpoint_every: passos entre checkpoints (há sempre um no último, também na parada antecipada).
        progress: barra de progresso; `None` mostra só em terminal ou caderno.

    Devolve:
        `(train_losses, val_losses, tokens_seen)`, uma entrada por avaliação; perdas em nats por token.

    Erros:
        ValueError: loader vazio ou argumento inválido.
        CheckpointError: os checkpoints da pasta são de outro treino ou estão todos danificados.
    """
    for name, value in (
        ("num_epochs", num_epochs),
        ("eval_freq", eval_freq),
        ("eval_iter", eval_iter),
        ("patience", patience),
        ("checkpoint_every", checkpoint_every),
    ):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: esperado um inteiro ≥ 1.")
    for name, loader in (("treino", train_loader), ("validação", val_loader)):
        if len(loader) == 0:
            raise ValueError(
                f"o loader de {name} não tem nenhum lote: use um texto maior, um lote menor ou drop_last=False."
            )
    run = TrainingRun(model, optimizer, train_loader, num_epochs, checkpoint_dir)
    bar = progress_bar(show=progress, total=run.total_steps, initial=run.step + 1, unit="passo", leave=False)
    with bar, _restoring_lrs(optimizer, run.base_lrs):
        for epoch in range(run.epoch, num_epochs):
            model.train()
            for input_batch, target_batch in run.batches(epoch):
                if run.stopped_early(patience):
                    break
                if lr_factor is not None:
                    factor = lr_factor(run.step + 1, run.total_steps)
                    for group, base in zip(optimizer.param_groups, run.base_lrs, strict=True):
                        group["lr"] = base * factor
                optimizer.zero_grad()
                loss = calc_loss_batch(input_batch, target_batch, model, device, precision=precision)
                loss.backward()
                if max_grad_norm is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
                optimizer.step()
                run.advance(input_batch.numel())
                bar.update()
                if run.step % eval_freq == 0:
                    losses = evaluate_model(model, train_loader, val_loader, device, eval_iter, precision=precision)
                    run.record(*losses)
                    tqdm.write(
                        f"Ep {epoch + 1} (Step {run.step:06d}): Train loss {losses[0]:.3f}, Val loss {losses[1]:.3f}"
                    )
                if (run.step + 1) % checkpoint_every == 0 or run.step + 1 == run.total_steps:
                    run.save()
            if run.stopped_early(patience):
                run.save()
                tqdm.write(f"Parada antecipada no passo {run.step}: {patience} avaliações sem melhora na validação.")
                break
            if start_context:
                generate_and_print_sample(model, tokenizer, device, start_context)
    return run.train_losses, run.val_losses, run.tokens_at


@contextmanager
def _restoring_lrs(optimizer: torch.optim.Optimizer, base_lrs: list[float]) -> Iterator[None]:
    # Sem isto um segundo treino com o mesmo otimizador partiria da taxa já reduzida pela agenda do primeiro.
    try:
        yield
    finally:
        for group, base in zip(optimizer.param_groups, base_lrs, strict=True):
            group["lr"] = base
