"""Treino de cópia: sequências sorteadas que se repetem, com que um modelo aprende a buscar no contexto o que dizer.

Quase toda resposta a um pedido curto copia dele alguma palavra, e um modelo pequeno pré-treinado em prosa pode não
saber copiar: na prosa, o que se sabe da língua basta quase sempre. Onde os tokens são sorteados, só a cópia acerta, e o
circuito que a faz (Olsson et al., 2022) aparece em poucos passos.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from .config import IGNORE_INDEX
from .finetuning import FineTuneLog, count_targets, fine_tune, next_token_loss

#: A menor sequência que se repete.
_SHORTEST = 3


class CopyBatches:
    """Lotes sem fim de sequências sorteadas que se repetem até encher a linha; só as repetições contam na perda.

    Parâmetros:
        vocab_size: os ids são sorteados de 0 a `vocab_size` − 1, com a mesma chance.
        batch_size: linhas por lote.
        row_length: tokens por linha.
        longest: o tamanho da sequência de cada linha é sorteado de 3 até este.
        seed: semente dos sorteios; percorrer de novo dá os mesmos lotes.

    Erros:
        ValueError: sequência que não cabe na linha ao menos uma vez e um pedaço, ou valor menor que 1.
    """

    def __init__(
        self, vocab_size: int, batch_size: int = 8, row_length: int = 64, longest: int = 16, seed: int = 123
    ) -> None:
        if batch_size < 1 or not _SHORTEST <= longest < row_length:
            raise ValueError(
                f"batch_size={batch_size}, row_length={row_length}, longest={longest}: esperado um lote ≥ 1 e "
                f"{_SHORTEST} ≤ longest < row_length."
            )
        self.vocab_size, self.batch_size, self.row_length = vocab_size, batch_size, row_length
        self.longest, self.seed = longest, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        place = torch.arange(self.row_length + 1)
        shape = (self.batch_size, 1)
        while True:
            period = torch.randint(_SHORTEST, self.longest + 1, shape, generator=generator)  # (B, 1)
            drawn = torch.randint(self.vocab_size, (self.batch_size, self.longest), generator=generator)
            rows = drawn.gather(1, place % period)  # (B, T + 1)
            targets = rows[:, 1:].clone()
            # O primeiro token da segunda vez ainda não se copia de lugar nenhum: nada diz que a sequência acabou.
            targets[place[1:] <= period] = IGNORE_INDEX
            yield rows[:, :-1], targets


def practice_copying(
    model: nn.Module,
    *,
    steps: int = 150,
    lr: float = 6e-3,
    optimizer: str = "muon",
    batch_size: int = 8,
    row_length: int = 64,
    longest: int = 16,
    precision: str = "auto",
    seed: int = 123,
    budget: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> FineTuneLog:
    """Treina `model`, nele mesmo, a copiar do contexto, e o deixa em `eval()`.

    Vem antes de um ajuste fino: sozinho, faz o modelo esquecer a língua.

    Parâmetros:
        model: um `GPTModel`.
        steps, lr, optimizer, precision, budget, clock: ver :func:`~llmdefinitions.finetuning.fine_tune`.
        batch_size, row_length, longest, seed: ver :class:`CopyBatches`.

    Devolve:
        O registro; `tokens` conta os que se podiam copiar.

    Erros:
        ValueError: opção inválida, ou linha maior que o contexto.
    """
    if row_length > model.cfg.context_length:
        raise ValueError(
            f"row_length={row_length} é maior que o contexto do modelo, {model.cfg.context_length}: diminua-o."
        )
    torch.manual_seed(seed)  # o dropout, se há
    return fine_tune(
        model,
        CopyBatches(model.cfg.vocab_size, batch_size, row_length, longest, seed),
        next_token_loss,
        steps=steps,
        lr=lr,
        warmup_steps=min(20, steps // 4),
        min_lr_ratio=1.0,
        optimizer=optimizer,
        precision=precision,
        budget=budget,
        clock=clock,
        count_tokens=count_targets,
    )
