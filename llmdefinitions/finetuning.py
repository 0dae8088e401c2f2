"""O laço de ajuste fino: qualquer modelo, quaisquer lotes e qualquer perda, por um número de passos ou por um tempo.

Ao contrário do pré-treino, um ajuste dura minutos: não há checkpoints, e o que se guarda é o registro do que aconteceu.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import IGNORE_INDEX
from .device import autocast
from .generation import evaluating
from .optimizers import build_optimizer
from .progress import progress_bar
from .training import warmup_cosine

#: Passos cuja mediana diz quanto leva o próximo, quando há um tempo a respeitar.
_RECENT = 20


@dataclass
class FineTuneLog:
    """O que aconteceu num ajuste, um valor por passo em cada lista.

    Atributos:
        losses: perda de cada passo, antes da atualização.
        tokens: tokens que contaram em cada passo; vazia se ninguém disse como contá-los.
        step_seconds: tempo de cada passo, sem as validações.
        lr: taxa de aprendizado de cada passo.
        validation: `(passos dados, o que validate devolveu)`; o primeiro é o modelo de antes.
        stopped: `"passos"` se deu todos, `"tempo"` se o tempo acabou ou encurtou a agenda.
    """

    losses: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    validation: list[tuple[int, Any]] = field(default_factory=list)
    stopped: str = "passos"

    @property
    def steps(self) -> int:
        """Passos dados."""
        return len(self.losses)

    @property
    def seconds(self) -> float:
        """Segundos de treino, sem as validações."""
        return sum(self.step_seconds)

    @property
    def tokens_per_second(self) -> float:
        """Tokens que contaram por segundo de treino.

        Erros:
            ValueError: ninguém contou os tokens.
        """
        if not self.tokens:
            raise ValueError("os tokens não foram contados: passe count_tokens a fine_tune.")
        return sum(self.tokens) / self.seconds


def fine_tune(
    model: nn.Module,
    batches: Iterable[Any],
    loss_fn: Callable[[nn.Module, Any], Tensor],
    *,
    steps: int,
    lr: float,
    warmup_steps: int = 0,
    min_lr_ratio: float = 0.0,
    weight_decay: float = 0.0,
    optimizer: str = "adamw",
    max_grad_norm: float | None = 1.0,
    precision: str = "float32",
    validate: Callable[[nn.Module], Any] | None = None,
    validate_every: int | None = None,
    budget: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    count_tokens: Callable[[Any], int] | None = None,
    progress: bool | None = False,
) -> FineTuneLog:
    """Ajusta, no próprio `model`, os parâmetros com `requires_grad`, e o deixa em `eval()`.

    Dois ajustes com a mesma semente (`torch.manual_seed`, antes) e os mesmos lotes dão os mesmos pesos, desde que o
    tempo não os encurte.

    Parâmetros:
        model: qualquer módulo.
        batches: lotes; percorrido de novo, do começo, quantas vezes for preciso (um `DataLoader` reembaralha).
        loss_fn: `(model, lote)` → escalar com gradiente; somar-lhe uma penalidade é aqui. Ver :func:`next_token_loss`.
        steps: passos, no máximo.
        lr: taxa de aprendizado no alto da agenda (aquecimento linear e cosseno).
        warmup_steps: passos de aquecimento.
        min_lr_ratio: fração de `lr` no último passo.
        weight_decay: decaimento das matrizes.
        optimizer: `"adamw"`, ou `"muon"` para um `GPTModel`.
        max_grad_norm: corta a norma do gradiente neste valor; `None` não corta.
        precision: ver :func:`~llmdefinitions.device.autocast`.
        validate: `model` → qualquer medida; chamado em `eval()` e sem gradientes, antes do primeiro passo, a cada
            `validate_every` e no fim.
        validate_every: passos entre validações; `None` só mede antes e no fim.
        budget: segundos, com as validações. Se os passos não couberem, cada um avança mais na agenda, de modo que a
            taxa de aprendizado chega ao fim dela junto com o tempo.
        clock: com que se conta o tempo, em segundos; `time.process_time` conta o de CPU, que não depende do que mais a
            máquina faz.
        count_tokens: lote → quantos tokens contam, para medir a velocidade.
        progress: barra de progresso; `None` mostra só em terminal ou caderno.

    Devolve:
        O registro.

    Erros:
        ValueError: nada a treinar, lotes que acabaram e não recomeçam, ou argumento inválido.
        FloatingPointError: a perda ou o gradiente deixou de ser finito; os pesos ficam como no passo anterior.
    """
    _check(steps, lr, budget, validate_every)
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ValueError("nenhum parâmetro com requires_grad: não há o que ajustar; descongele alguma camada.")
    updates = build_optimizer(optimizer, model, lr, weight_decay)  # o primeiro de um processo importa meio PyTorch
    began, log = clock(), FineTuneLog()
    device = trained[0].device
    place = 0.0  # lugar na agenda de `steps` passos; só deixa de ser o número do passo se o tempo aperta

    def measure() -> None:
        if validate is not None and (not log.validation or log.validation[-1][0] != log.steps):
            with evaluating(model), torch.no_grad():
                log.validation.append((log.steps, validate(model)))

    measure()
    stream = _repeating(batches)
    with progress_bar(show=progress, total=steps, unit="passo", leave=False) as bar:
        while place < steps:
            step_began = clock()
            factor = warmup_cosine(int(place), steps, warmup_steps, min_lr_ratio)
            for group in updates.param_groups:
                group["lr"] = lr * factor
            batch = next(stream)
            model.train()
            with autocast(precision, device):
                loss = loss_fn(model, batch)
            loss.backward()
            limit = math.inf if max_grad_norm is None else max_grad_norm
            norm = nn.utils.clip_grad_norm_(trained, limit).item()
            if not (math.isfinite(loss.item()) and math.isfinite(norm)):
                raise FloatingPointError(
                    f"perda {loss.item()} e norma do gradiente {norm} no passo {log.steps + 1}: o ajuste divergiu; "
                    f"recomece do modelo original com lr menor que {lr} ou warmup_steps maior que {warmup_steps}."
                )
            updates.step()
            updates.zero_grad()
            log.losses.append(loss.item())
            log.lr.append(lr * factor)
            if count_tokens is not None:
                log.tokens.append(count_tokens(batch))
            log.step_seconds.append(clock() - step_began)
            bar.set_postfix(perda=f"{log.losses[-1]:.3f}")
            bar.update()
            if validate_every is not None and log.steps % validate_every == 0:
                measure()
            if budget is None:
                place += 1
                continue
            left = budget - (clock() - began)
            stride = _stride(steps - place, left, log.step_seconds)
            if stride > 1:
                log.stopped = "tempo"
            place += stride
    measure()
    model.eval()
    return log


def next_token_loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Entropia cruzada média dos alvos que contam, em nats por token; não calcula logits dos outros.

    Num ajuste por instruções com o prompt mascarado a maioria das posições não conta, e a saída, do tamanho do
    vocabulário, é a conta mais cara de um modelo pequeno.

    Parâmetros:
        model: um `GPTModel`, com `out_head`.
        batch: entradas `(B, T)`, alvos `(B, T)` com −100 onde não conta e, se empacotado, segmentos `(B, T)`.

    Erros:
        ValueError: nenhum alvo conta.
    """
    device = next(model.parameters()).device
    x, y, *segments = (tensor.to(device) for tensor in batch)
    kept = y != IGNORE_INDEX  # (B, T)
    if not kept.any():
        raise ValueError("nenhum alvo do lote conta na perda: todos são −100; confira a máscara.")
    with _only(model.out_head, kept):
        logits = model(x, segments=segments[0]) if segments else model(x)  # (N, V)
    return F.cross_entropy(logits, y[kept])


def count_targets(batch: tuple[Tensor, ...]) -> int:
    """Quantos alvos de um lote de :func:`next_token_loss` contam na perda."""
    return int((batch[1] != IGNORE_INDEX).sum())


@contextmanager
def _only(layer: nn.Module, kept: Tensor) -> Iterator[None]:
    """Dentro do bloco, `layer` só recebe as posições de `kept`: `(B, T, D)` → `(N, D)`."""
    hook = layer.register_forward_pre_hook(lambda _, args: (args[0][kept],))
    try:
        yield
    finally:
        hook.remove()


def _repeating(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        found = False
        for batch in batches:
            found = True
            yield batch
        if not found:
            raise ValueError(
                "os lotes acabaram e não recomeçam: passe uma lista ou um DataLoader com algum lote, e não um gerador, "
                "que só se percorre uma vez."
            )


def _stride(left_steps: float, left_seconds: float, step_seconds: list[float]) -> float:
    """Quanto avançar na agenda para que ela acabe com o tempo: 1 se ele sobra, e tudo se acabou."""
    if left_seconds <= 0:
        return left_steps
    if len(step_seconds) == 1:
        return 1.0  # o primeiro passo aloca a memória, e não diz quanto levam os outros
    fitting = left_seconds / statistics.median(step_seconds[1:][-_RECENT:])
    # Este passo já foi dado: restam left_steps − 1, que cabem nos que o tempo deixa, ou então se avança mais.
    return max(1.0, left_steps / (fitting + 1))


def _check(steps: int, lr: float, budget: float | None, validate_every: int | None) -> None:
    if steps < 1 or not 0 < lr < math.inf:
        raise ValueError(f"steps={steps}, lr={lr}: esperado um inteiro ≥ 1 e uma taxa positiva.")
    if budget is not None and not budget > 0:
        raise ValueError(f"budget={budget}: esperado um tempo positivo, em segundos, ou None para dar todos os passos.")
    if validate_every is not None and validate_every < 1:
        raise ValueError(f"validate_every={validate_every}: esperado um inteiro ≥ 1, ou None.")
