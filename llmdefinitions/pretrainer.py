"""Laço de pré-treino: um ou muitos processos, gradientes acumulados, retomada exata e registro de cada passo.

O passo s só depende da receita e de s: as amostras são contadas (ver `mixture`) e o dropout é semeado a cada passo. Por
isso retomar não precisa de mais que pesos, otimizador e o número do passo, e o número de processos pode mudar no meio.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .checkpoint import CheckpointError, load_latest, save_checkpoint
from .distributed import World, delayed_sync
from .mixture import Mixture
from .model import GPTModel
from .optimizers import build_optimizer
from .progress import progress_bar
from .recipe import Recipe
from .training import calc_loss_batch, warmup_cosine

#: Mede o modelo: devolve números a registrar, como a perda nos textos separados.
Evaluation = Callable[[nn.Module], dict[str, float]]
#: Campos da receita que não mudam o que um passo calcula, e podem mudar de uma retomada para outra.
FREE_FIELDS = frozenset({"compile", "checkpoint_every", "eval_every", "micro_batch_size"})


class Pretrainer:
    """Um pré-treino em andamento.

    Parâmetros:
        recipe: receita.
        mixture: amostras de treino.
        folder: pasta dos checkpoints e do registro; se há checkpoint, o treino continua dele.
        world: os processos do treino.
        evaluate: medição a cada `eval_every` passos, feita pelo processo 0.

    Atributos:
        model: modelo em treino, sem os invólucros de DDP e de compilação.
        step: passos já dados.
        seconds: tempo de treino somado entre retomadas, sem a preparação.

    Erros:
        ValueError: lote que não se divide pelos processos.
        CheckpointError: a pasta é de outra receita, ou os processos veem checkpoints diferentes.
    """

    def __init__(
        self,
        recipe: Recipe,
        mixture: Mixture,
        folder: str | Path,
        world: World,
        evaluate: Evaluation | None = None,
    ) -> None:
        self.recipe, self.mixture, self.world, self.evaluate = recipe, mixture, world, evaluate
        self.folder = Path(folder)
        self.share = world.share(recipe.batch_size)
        self.micro = min(recipe.micro_batch_size, len(self.share))
        if len(self.share) % self.micro:
            raise ValueError(
                f"cada processo tem {len(self.share)} janelas por passo, que não se dividem em partes de {self.micro}: "
                "ajuste micro_batch_size ou o número de processos."
            )
        torch.manual_seed(recipe.seed)
        self.model = GPTModel(recipe.model_config).to(world.device)
        self.optimizer = build_optimizer(recipe.optimizer, self.model, recipe.lr, recipe.weight_decay)
        self.step, self.seconds = 0, 0.0
        self._resume()
        self._log_path = self.folder / "registro.jsonl"
        if world.is_main:
            self._trim_log()
        self._wrapped = world.wrap(self.model)
        if world.size > 1:
            self._settle_sums()
        self._forward = torch.compile(self._wrapped) if recipe.compile else self._wrapped

    def run(self, until: int | None = None, progress: bool | None = None) -> GPTModel:
        """Treina até o passo `until` (padrão: o último da receita) e devolve o modelo, em `eval()`.

        Há um checkpoint no último passo: chamar de novo continua, ou volta logo se não há o que fazer.
        """
        until = min(self.recipe.steps, self.recipe.steps if until is None else until)
        show = progress if self.world.is_main else False
        bar = progress_bar(show=show, total=self.recipe.steps, initial=self.step, unit="passo")
        with bar:
            while self.step < until:
                record = self.advance()
                last = self.step == until
                if self.evaluate is not None and (self.step % self.recipe.eval_every == 0 or last):
                    record |= self._evaluate()
                if self.world.is_main:
                    self._log(record)
                bar.set_postfix(perda=f"{record['loss']:.3f}")
                bar.update()
                if self.step % self.recipe.checkpoint_every == 0 or last:
                    self._save()
        return self.model.eval()

    def advance(self) -> dict[str, Any]:
        """Um passo, sem checkpoint nem medição; devolve o que vai para o registro.

        Erros:
            FloatingPointError: a perda ou o gradiente deixou de ser finito; os pesos não são mexidos.
        """
        began, recipe = time.perf_counter(), self.recipe
        lr = recipe.lr * warmup_cosine(self.step, recipe.steps, recipe.warmup_steps, recipe.min_lr_ratio)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self._wrapped.train()
        torch.manual_seed(_dropout_seed(recipe.seed, self.step, self.world.rank))
        first = self.step * recipe.batch_size + self.share.start
        parts = len(self.share) // self.micro
        loss = 0.0
        for part in range(parts):
            start = first + part * self.micro
            x, y = self.mixture.batch(range(start, start + self.micro))  # (B, T) cada
            with delayed_sync(self._wrapped, delay=part + 1 < parts):
                part_loss = calc_loss_batch(x, y, self._forward, self.world.device, precision=recipe.precision) / parts
                part_loss.backward()
            loss += part_loss.item()
        loss = self.world.mean(loss)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), recipe.max_grad_norm).item()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise FloatingPointError(
                f"perda {loss} e norma do gradiente {norm} no passo {self.step + 1}: o treino divergiu. Use outra "
                f"pasta, com lr menor ou warmup_steps maior; os checkpoints de antes continuam em {self.folder}."
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        elapsed = time.perf_counter() - began
        self.seconds += elapsed
        tokens = recipe.batch_size * recipe.context_length
        return {
            "step": self.step,
            "tokens": self.step * tokens,
            "loss": loss,
            "lr": lr,
            "grad_norm": norm,
            "seconds": round(self.seconds, 3),
            "tokens_per_second": round(tokens / elapsed, 1),
        }

    def _evaluate(self) -> dict[str, float]:
        found = self.evaluate(self.model) if self.world.is_main else {}
        self.world.barrier()
        return found

    def _save(self) -> None:
        if self.world.is_main:
            self._sync_log()
            state = {"recipe": self.recipe.to_dict(), "seconds": self.seconds}
            save_checkpoint(self.folder, self.step, self.model, self.optimizer, state=state)
        self.world.barrier()

    def _resume(self) -> None:
        loaded = load_latest(self.folder, self.model, self.optimizer, validate=self._check_same_recipe)
        if loaded is not None:
            state, _ = loaded
            self.step, self.seconds = state["step"], state["seconds"]
        first = self.world.from_main(self.step)
        if self.world.mean(float(self.step != first)):  # a média, para que todos parem, e não só os que diferem
            raise CheckpointError(
                f"{self.folder}: este processo está no passo {self.step}, e o processo 0 no {first}; nem todos os "
                "processos acharam o mesmo: todas as máquinas precisam ver a mesma pasta de checkpoints."
            )

    def _settle_sums(self) -> None:
        """Uma ida e volta jogada fora, para que o primeiro passo some os gradientes na mesma ordem dos outros.

        O DDP agrupa os gradientes de outro modo depois da primeira; com três processos ou mais, a ordem das somas muda
        com isso, e sem este cuidado um treino retomado não seria igual, bit a bit, ao que não parou.
        """
        self._wrapped(torch.zeros(1, 1, dtype=torch.long, device=self.world.device)).sum().backward()
        self.optimizer.zero_grad()

    def _check_same_recipe(self, state: dict[str, Any]) -> None:
        saved, mine = state.get("recipe", {}), self.recipe.to_dict()
        for name in mine:
            if name not in FREE_FIELDS and saved.get(name) != mine[name]:
                raise CheckpointError(
                    f"{self.folder}: o checkpoint é de uma receita com {name}={saved.get(name)!r}, e esta tem "
                    f"{mine[name]!r}. Use a mesma receita, ou outra pasta."
                )

    def _log(self, record: dict[str, Any]) -> None:
        with open(self._log_path, "a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(record) + "\n")

    def _sync_log(self) -> None:
        """Leva o registro ao disco: depois de uma queda de energia, nenhum checkpoint sabe mais passos do que ele."""
        if self._log_path.is_file():
            with open(self._log_path, "rb+") as file:
                os.fsync(file.fileno())

    def _trim_log(self) -> None:
        """Retira do registro os passos que serão repetidos, e uma última linha escrita pela metade."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = [json.dumps(record) + "\n" for record in read_log(self._log_path) if record["step"] <= self.step]
        partial = self._log_path.with_suffix(".parcial")
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._log_path)


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Registros de um treino, um por passo; a última linha é ignorada se a escrita dela foi interrompida.

    Erros:
        ValueError: uma linha ilegível que não é a última.
    """
    path = Path(path)
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    records = []
    for number, line in enumerate(lines[:-1], 1):  # o que vem depois da última quebra ou é vazio ou está pela metade
        try:
            records.append(json.loads(line))
        except ValueError:
            raise ValueError(f"{path}, linha {number}: não é JSON; o registro foi alterado, apague-o.") from None
    return records


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    return ((seed * 1_000_003 + step) * 65_537 + rank) % (1 << 63)  # o PyTorch não aceita sementes maiores
