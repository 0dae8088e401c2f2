"""Posição de um treino: o que é preciso guardar para continuar dele exatamente, bit a bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .checkpoint import CheckpointError, load_latest, save_checkpoint
from .config import GPTConfig


class TrainingRun:
    """Passo, época, perdas e geradores de um treino, com ou sem pasta de checkpoints."""

    _SAVED = ("tokens", "train_losses", "val_losses", "tokens_at")

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loader: DataLoader,
        num_epochs: int,
        directory: str | Path | None,
    ) -> None:
        self.model, self.optimizer, self.loader = model, optimizer, loader
        self.directory = None if directory is None else Path(directory)
        self.steps_per_epoch = len(loader)
        self.total_steps = num_epochs * self.steps_per_epoch
        self.step, self.tokens = -1, 0
        self.saved_step: int | None = None
        self.train_losses: list[float] = []
        self.val_losses: list[float] = []
        self.tokens_at: list[int] = []
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.epoch_rng: dict[str, Tensor] = {}
        self.resuming = False
        if self.directory is not None:
            self._resume()

    @property
    def epoch(self) -> int:
        """Época (a partir de 0) do último passo dado; 0 antes de começar."""
        return max(self.step, 0) // self.steps_per_epoch

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Lotes da época que ainda faltam; ao retomar, repete o embaralhamento e pula os já vistos."""
        done = self.step + 1 - epoch * self.steps_per_epoch
        if not self.resuming:
            self.epoch_rng = self._rng()
            yield from self.loader
            return
        now = self._rng()
        self._set_rng(self.epoch_rng)
        iterator = iter(self.loader)
        for _ in range(done):
            next(iterator)
        self._set_rng(now)
        self.resuming = False
        yield from iterator

    def advance(self, n_tokens: int) -> None:
        """Conta um passo de `n_tokens` tokens."""
        self.step += 1
        self.tokens += n_tokens

    def record(self, train_loss: float, val_loss: float) -> None:
        """Guarda uma avaliação."""
        self.train_losses.append(train_loss)
        self.val_losses.append(val_loss)
        self.tokens_at.append(self.tokens)

    def stopped_early(self, patience: int | None) -> bool:
        """Se as últimas `patience` avaliações não melhoraram a menor perda de validação."""
        if patience is None or len(self.val_losses) <= patience:
            return False
        return min(self.val_losses[-patience:]) >= min(self.val_losses[:-patience])

    def save(self) -> None:
        """Grava um checkpoint, se há pasta para isso e o deste passo ainda não está nela."""
        if self.directory is None or self.saved_step == self.step:
            return
        state = {name: getattr(self, name) for name in self._SAVED} | {"identity": self._identity()}
        extra = {f"epoch.{name}": value for name, value in self.epoch_rng.items()}
        extra |= {f"loader.{name}": g.get_state() for name, g in self._loader_generators().items()}
        save_checkpoint(self.directory, self.step, self.model, self.optimizer, state=state, extra_tensors=extra)
        self.saved_step = self.step

    def _resume(self) -> None:
        loaded = load_latest(self.directory, self.model, self.optimizer, validate=self._check_same_run)
        if loaded is None:
            return
        state, extra = loaded
        for name in (*self._SAVED, "step"):
            setattr(self, name, state[name])
        self.epoch_rng = {name[6:]: value for name, value in extra.items() if name.startswith("epoch.")}
        for name, generator in self._loader_generators().items():
            generator.set_state(extra[f"loader.{name}"])
        self.saved_step, self.resuming = self.step, True

    def _check_same_run(self, state: dict[str, Any]) -> None:
        saved, mine = state.get("identity", {}), self._identity()
        for name, value in mine.items():
            if saved.get(name) != value:
                raise CheckpointError(
                    f"{self.directory}: o checkpoint é de um treino com {name}={saved.get(name)!r}, e este tem "
                    f"{value!r}. Use o mesmo modelo, dados, lote, épocas e taxa de aprendizado, ou outra pasta."
                )

    def _identity(self) -> dict[str, Any]:
        """O que tem de ser igual para um treino continuar outro (pesos de mesmo formato não bastam)."""
        cfg = getattr(self.model, "cfg", None)
        return {
            "steps_per_epoch": self.steps_per_epoch,
            "total_steps": self.total_steps,
            "base_lrs": self.base_lrs,
            "generators": sorted(self._loader_generators()),
            **(cfg.to_dict() if isinstance(cfg, GPTConfig) else {}),
        }

    def _rng(self) -> dict[str, Tensor]:
        states = {"torch": torch.get_rng_state()}  # o DataLoader só embaralha com este, ou com o gerador dele
        for name, generator in self._loader_generators().items():
            states[name] = generator.get_state()
        return states

    def _set_rng(self, states: dict[str, Tensor]) -> None:
        torch.set_rng_state(states["torch"])
        for name, generator in self._loader_generators().items():
            generator.set_state(states[name])

    def _loader_generators(self) -> dict[str, torch.Generator]:
        generator = getattr(self.loader, "generator", None)
        return {} if generator is None else {"loader": generator}
