"""Esquecimento catastrófico, medido: um modelo aprende uma tarefa depois da outra, e a cada vez se medem todas.

As tarefas são de linguagem, e a medida é a perda em textos guardados de cada uma. A primeira o modelo já sabe: o que se
acompanha é quanto ela piora, e o que cada remédio cobra em aprendizado novo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from .finetuning import fine_tune, next_token_loss
from .generation import evaluating
from .lora import apply_lora, unload_lora
from .tokenizer import encode, encode_corpus, eos_id

#: Sem remédio; LoRA; um pouco dos textos antigos em cada lote (Robins, 1995); e ficar perto dos pesos de partida, todos
#: por igual (Li et al., 2018) ou cada um conforme a importância para o que já se sabia (EWC; Kirkpatrick et al., 2017).
METHODS = ("nenhuma", "lora", "replay", "l2", "ewc")

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Task:
    """Uma tarefa de linguagem: janelas de treino e lotes guardados para medir, de ids e alvos `(B, T)`."""

    name: str
    train: TensorDataset
    held_out: tuple[Batch, ...]

    def loader(self, batch_size: int, seed: int) -> DataLoader:
        """Lotes de treino embaralhados a cada época, sempre do mesmo jeito com a mesma semente."""
        generator = torch.Generator().manual_seed(seed)
        return DataLoader(self.train, batch_size, shuffle=True, drop_last=True, generator=generator)


def language_task(
    name: str,
    documents: Sequence[str],
    tokenizer: Any,
    *,
    length: int = 64,
    held_out: int = 64,
    batch_size: int = 8,
) -> Task:
    """Uma tarefa a partir de textos; os últimos ficam para medir.

    Parâmetros:
        name: nome nas medidas.
        documents: textos, já na ordem que se quer.
        tokenizer: o do modelo.
        length: tokens por janela, T.
        held_out: janelas guardadas.
        batch_size: janelas por lote de medida.

    Erros:
        ValueError: textos que não dão para as duas partes.
    """
    sizes = [len(encode(document, tokenizer)) + 1 for document in documents]  # com o token de fim que abre cada um
    cut = len(documents)
    while cut and sum(sizes[cut:]) < held_out * length:
        cut -= 1
    if sum(sizes[:cut]) < length:
        raise ValueError(
            f"{name}: {len(documents)} textos não dão {held_out} janelas de {length} tokens e mais o treino; use mais "
            "textos ou diminua held_out."
        )
    train, measured = (_windows(part, tokenizer, length) for part in (documents[:cut], documents[cut:]))
    rows = Subset(measured, range(held_out))
    return Task(name, train, tuple((x, y) for x, y in DataLoader(rows, batch_size)))


def train_in_sequence(
    model: nn.Module,
    tasks: Sequence[Task],
    method: str,
    *,
    steps: int,
    lr: float,
    strength: float = 1.0,
    rank: int = 8,
    replay_share: float = 0.25,
    fisher_windows: int = 32,
    batch_size: int = 8,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Ensina `tasks[1:]`, uma depois da outra, ao próprio modelo, que já sabe `tasks[0]`; mede todas a cada vez.

    Parâmetros:
        model: um `GPTModel` sem LoRA.
        method: um de :data:`METHODS`.
        steps, lr: passos e taxa de aprendizado de cada tarefa.
        strength: λ da penalidade, em "l2" e "ewc".
        rank: posto de "lora" (α = 2r, escala α/r); a correção de uma tarefa é somada aos pesos antes da seguinte.
        replay_share: fração de cada lote que vem das tarefas anteriores, em "replay"; o lote não aumenta.
        fisher_windows: janelas de cada tarefa anterior em que "ewc" mede a importância.
        batch_size: janelas por lote.
        seed: semente do LoRA e da ordem das janelas.

    Devolve:
        Perdas em nats por token, de cada tarefa, antes de tudo e depois de cada uma: uma posição por tarefa.

    Erros:
        ValueError: método desconhecido, menos de duas tarefas, nomes repetidos, ou parâmetro fora do intervalo.
    """
    names = [task.name for task in tasks]
    if method not in METHODS or len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"method={method!r}, tarefas {names}: use um de {', '.join(METHODS)}, e ao menos duas, de nomes distintos."
        )
    recalled = round(replay_share * batch_size)
    if not 0 < recalled < batch_size or not strength > 0 or fisher_windows < 1:
        raise ValueError(
            f"replay_share={replay_share} de lotes de {batch_size}, strength={strength}, fisher_windows="
            f"{fisher_windows}: esperado ao menos uma janela velha e uma nova no lote, e números positivos."
        )
    torch.manual_seed(seed)
    history, importance = [held_out_losses(model, tasks)], None
    for i in range(1, len(tasks)):
        new = tasks[i].loader(batch_size, seed + i)
        loss_fn = next_token_loss
        if method == "replay":
            old = [task.loader(recalled, seed + i) for task in tasks[:i]]
            new = _Recalling(tasks[i].loader(batch_size - recalled, seed + i), old)
        elif method == "lora":
            apply_lora(model, rank, 2.0 * rank, scaling="alpha/r")
        elif method in ("l2", "ewc"):
            if method == "ewc":
                windows = Subset(tasks[i - 1].train, range(min(fisher_windows, len(tasks[i - 1].train))))
                importance = _added(importance, fisher_diagonal(model, DataLoader(windows, 1)))
            loss_fn = StayClose(model, strength, importance)
        fine_tune(model, new, loss_fn, steps=steps, lr=lr, warmup_steps=steps // 10)
        if method == "lora":
            unload_lora(model).requires_grad_(True)
        history.append(held_out_losses(model, tasks))
    return history


@torch.no_grad()
def held_out_losses(model: nn.Module, tasks: Sequence[Task]) -> dict[str, float]:
    """Perda média de cada tarefa nos lotes guardados, em nats por token."""
    with evaluating(model):
        return {
            task.name: sum(next_token_loss(model, batch).item() for batch in task.held_out) / len(task.held_out)
            for task in tasks
        }


def fisher_diagonal(model: nn.Module, rows: DataLoader) -> dict[str, Tensor]:
    """Importância de cada parâmetro: a média, sobre as janelas, do quadrado do gradiente da perda.

    É a diagonal da matriz de Fisher empírica, com a perda média da janela no papel da de um exemplo.

    Parâmetros:
        rows: lotes de uma janela, `(1, T)`.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in trained.items()}
    with evaluating(model):
        for batch in rows:
            gradients = torch.autograd.grad(next_token_loss(model, batch), list(trained.values()))
            for name, gradient in zip(trained, gradients, strict=True):
                total[name] += gradient.square() / len(rows)
    return total


class StayClose:
    """A perda de linguagem mais λ/2 · Σ w·(θ − θ*)², com θ* os pesos de agora.

    Parâmetros:
        model: de que se guardam os pesos.
        strength: λ.
        importance: w de cada parâmetro, dividido aqui pela média de todos, para que λ signifique o mesmo com qualquer
            importância; `None` é 1 em todos.
    """

    def __init__(self, model: nn.Module, strength: float, importance: Mapping[str, Tensor] | None = None) -> None:
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.strength = strength
        self.anchor = {name: p.detach().clone() for name, p in trained.items()}
        self.weights: dict[str, Tensor] | None = None
        if importance is not None:
            mean = sum(w.sum() for w in importance.values()) / sum(w.numel() for w in importance.values())
            self.weights = {name: w / mean for name, w in importance.items()}

    def penalty(self, model: nn.Module) -> Tensor:
        """λ/2 · Σ w·(θ − θ*)², um escalar."""
        named = dict(model.named_parameters())
        terms = []
        for name, start in self.anchor.items():
            square = (named[name] - start).square()
            terms.append((square if self.weights is None else self.weights[name] * square).sum())
        return self.strength / 2 * torch.stack(terms).sum()

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """A soma das duas, para `fine_tune`."""
        return next_token_loss(model, batch) + self.penalty(model)


class _Recalling:
    """Lotes de uma tarefa nova completados com janelas das antigas, que se revezam."""

    def __init__(self, new: DataLoader, old: Sequence[DataLoader]) -> None:
        self.new, self.old = new, old

    def __iter__(self) -> Iterator[Batch]:
        recalled = _taking_turns(self.old)
        for x, y in self.new:
            x_old, y_old = next(recalled)
            yield torch.cat((x, x_old)), torch.cat((y, y_old))


def _taking_turns(loaders: Sequence[DataLoader]) -> Iterator[Batch]:
    streams = [iter(()) for _ in loaders]
    while True:
        for i, loader in enumerate(loaders):
            batch = next(streams[i], None)
            if batch is None:
                streams[i] = iter(loader)
                batch = next(streams[i])
            yield batch


def _windows(documents: Sequence[str], tokenizer: Any, length: int) -> TensorDataset:
    """Janelas sem sobreposição dos textos emendados: entradas e alvos `(janelas, T)`."""
    end = torch.tensor([eos_id(tokenizer)])
    ids = torch.cat((end, encode_corpus(documents, tokenizer).long()))  # cada texto, entre dois tokens de fim
    return TensorDataset(ids[:-1].unfold(0, length, length), ids[1:].unfold(0, length, length))


def _added(total: dict[str, Tensor] | None, more: dict[str, Tensor]) -> dict[str, Tensor]:
    return more if total is None else {name: total[name] + more[name] for name in more}
