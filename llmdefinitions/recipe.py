"""Receita de pré-treino: tudo o que decide o modelo que vai sair, num arquivo JSON que se lê e se repete."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from .config import GPTConfig
from .device import PRECISIONS
from .optimizers import OPTIMIZERS


@dataclass(frozen=True)
class Recipe:
    """Dados, modelo e treino de um pré-treino.

    Atributos:
        seed: semente dos pesos, da divisão dos dados, das histórias e da ordem das amostras.
        mixture: percentual de amostras de cada corpus; inteiros que somam 100.
        heldout_percent: parte dos bytes do corpus principal, em obras inteiras, que fica fora do treino.
        n_stories: histórias sorteadas da gramática para o treino.
        vocab_size: tokens do vocabulário, treinado nos textos de treino.
        context_length, emb_dim, n_heads, n_layers, drop_rate: ver :class:`~llmdefinitions.GPTConfig`.
        optimizer: `"adamw"` ou `"muon"`.
        lr: taxa de aprendizado no alto da agenda.
        min_lr_ratio: fração da taxa no último passo.
        warmup_steps: passos de aquecimento.
        weight_decay: decaimento das matrizes.
        max_grad_norm: corte da norma do gradiente.
        batch_size: janelas por passo, somadas em todos os processos.
        micro_batch_size: janelas por ida e volta; as que faltam são acumuladas.
        steps: passos de treino.
        precision: `"auto"`, `"float32"` ou `"bfloat16"`.
        compile: se usa `torch.compile`.
        eval_every, checkpoint_every: passos entre medições e entre checkpoints.
        repeat_percent: percentual de amostras em que o começo da janela se repete; ver `mixture.Mixture`.

    Erros:
        ValueError: valor fora do que se espera, com o nome do campo.
    """

    seed: int
    mixture: dict[str, int]
    heldout_percent: float
    n_stories: int
    vocab_size: int
    context_length: int
    emb_dim: int
    n_heads: int
    n_layers: int
    drop_rate: float
    optimizer: str
    lr: float
    min_lr_ratio: float
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    batch_size: int
    micro_batch_size: int
    steps: int
    precision: str
    compile: bool
    eval_every: int
    checkpoint_every: int
    repeat_percent: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not _has_type(value, field.type):
                raise ValueError(f"{field.name}={value!r}: esperado um valor do tipo {field.type}.")
        for name in ("n_stories", "batch_size", "micro_batch_size", "steps", "eval_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: esperado um inteiro ≥ 1.")
        for name, choices in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r}: esperado um de {', '.join(choices)}.")
        for name in ("lr", "max_grad_norm"):
            if not getattr(self, name) > 0:  # escrito assim, recusa também o NaN
                raise ValueError(f"{name}={getattr(self, name)}: esperado um número maior que zero.")
        if not self.weight_decay >= 0 or not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(
                f"weight_decay={self.weight_decay} e min_lr_ratio={self.min_lr_ratio}: esperado um número ≥ 0 e um "
                "entre 0 e 1."
            )
        if sum(self.mixture.values()) != 100 or min(self.mixture.values()) < 0:
            raise ValueError(f"mixture={self.mixture}: esperado percentuais inteiros ≥ 0 que somem 100.")
        if not 0 <= self.repeat_percent <= 100:
            raise ValueError(f"repeat_percent={self.repeat_percent}: esperado um inteiro de 0 a 100.")
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size={self.batch_size} não é múltiplo de micro_batch_size={self.micro_batch_size}: ajuste um "
                "dos dois para que o acúmulo de gradientes seja de partes iguais."
            )
        if not 0 < self.heldout_percent < 100:
            raise ValueError(f"heldout_percent={self.heldout_percent}: esperado um número entre 0 e 100.")
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(f"warmup_steps={self.warmup_steps} e steps={self.steps}: o aquecimento é só o começo.")
        _ = self.model_config  # as dimensões do modelo têm as suas próprias regras

    @property
    def model_config(self) -> GPTConfig:
        """Configuração do modelo: a do GPT-2, com a saída amarrada aos embeddings."""
        return GPTConfig(
            vocab_size=self.vocab_size,
            context_length=self.context_length,
            emb_dim=self.emb_dim,
            n_heads=self.n_heads,
            n_layers=self.n_layers,
            drop_rate=self.drop_rate,
            qkv_bias=True,
            tie_weights=True,
            init_std=0.02,
        )

    @property
    def tokens(self) -> int:
        """Tokens vistos no treino inteiro."""
        return self.steps * self.batch_size * self.context_length

    def to_dict(self) -> dict[str, Any]:
        """A receita como dicionário, na ordem dos campos."""
        return asdict(self)

    def data_digest(self) -> str:
        """Resumo dos campos que decidem os dados preparados, em 16 dígitos hexadecimais."""
        decisive = {
            "seed": self.seed,
            "mixture": self.mixture,
            "heldout_percent": float(self.heldout_percent),  # num JSON, 5 e 5.0 são o mesmo número
            "n_stories": self.n_stories,
            "vocab_size": self.vocab_size,
        }
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]

    def changed(self, changes: dict[str, str]) -> Recipe:
        """Cópia com campos trocados, dados como texto (`{"steps": "200", "mixture": "bncc=30,historias=70"}`).

        Erros:
            ValueError: campo que não existe, valor de outro tipo ou que a receita não aceita.
        """
        types = {field.name: field.type for field in fields(self)}
        values: dict[str, Any] = {}
        for name, text in changes.items():
            if name not in types:
                raise ValueError(f"{name!r} não é um campo da receita; os campos são {', '.join(types)}.")
            try:
                values[name] = _PARSERS[types[name]](text)
            except (ValueError, KeyError):
                raise ValueError(f"{name}={text!r}: esperado um valor do tipo {types[name]}.") from None
        return replace(self, **values)


def load_recipe(source: str | Path = "mini-pt") -> Recipe:
    """Lê a receita de um arquivo JSON, ou a embutida `"mini-pt"`.

    Erros:
        ValueError: arquivo ausente, ilegível, com campos a mais ou a menos, ou com um valor que não serve.
    """
    path = Path(source)
    if str(source) == "mini-pt":
        path = Path(str(resources.files("llmdefinitions").joinpath("assets/mini-pt.json")))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"receita {str(source)!r} ilegível ({error}): use 'mini-pt' ou um arquivo JSON.") from error
    names = [field.name for field in fields(Recipe)]
    if not isinstance(content, dict) or set(content) != set(names):
        differ = sorted(set(names) ^ set(content)) if isinstance(content, dict) else ["não é um objeto"]
        raise ValueError(f"receita {str(source)!r} com campos errados ({', '.join(differ)}); os campos são {names}.")
    return Recipe(**content)


def parse_duration(text: str) -> float:
    """Segundos em uma duração como `"90s"`, `"5min"` ou `"2.5h"`.

    Erros:
        ValueError: não é um número seguido de s, min ou h, ou é zero.
    """
    found = re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*(s|min|h)", text.strip())
    seconds = float(found[1].replace(",", ".")) * {"s": 1, "min": 60, "h": 3600}[found[2]] if found else 0.0
    if seconds <= 0:
        raise ValueError(f"duração {text!r}: esperado um número positivo com unidade, como 90s, 5min ou 2.5h.")
    return seconds


def _has_type(value: object, kind: str) -> bool:
    if kind == "dict[str, int]":
        return isinstance(value, dict) and bool(value) and all(_has_type(n, "int") for n in value.values())
    if isinstance(value, bool) or kind == "bool":  # em Python, True também é um int
        return isinstance(value, bool) and kind == "bool"
    return isinstance(value, {"int": int, "float": (int, float), "str": str}[kind])


def _parse_bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _parse_mixture(text: str) -> dict[str, int]:
    pairs = [part.split("=") for part in text.split(",")]
    weights = {name.strip(): int(weight) for name, weight in pairs}
    if len(weights) < len(pairs):
        raise ValueError("corpus repetido")
    return weights


_PARSERS = {"int": int, "float": float, "str": str, "bool": _parse_bool, "dict[str, int]": _parse_mixture}
