"""Memória de treinar um GPT: pesos, gradientes, otimizador e ativações, por conta e por medida.

A conta das ativações é a dos tensores que o PyTorch guarda para a volta, com atenção fundida e sem dropout (com ele,
cada máscara ocupa mais). Com pesos congelados a volta continua a atravessar as camadas: o LoRA poupa gradientes e
otimizador, e quase nada de ativações. Quem as poupa é refazê-las na volta (Chen et al., 2016).

Símbolos: B lote, T tokens, n = B·T, D largura, H cabeças, L blocos, V vocabulário, r posto.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch.utils.checkpoint import checkpoint

from .config import GPTConfig
from .lora import BLOCK_TARGETS, apply_lora, count_trainable, linear_layers
from .model import GPTModel
from .quantization import BLOCK, SCALE_BLOCK

STRATEGIES = ("completo", "lora", "qlora")


@dataclass(frozen=True)
class Precision:
    """Bytes de cada número: por peso, gradiente e ativação, e do otimizador por parâmetro que treina."""

    weights: int
    gradients: int
    optimizer: int
    activations: int


#: "mista": pesos em 16 bits, com cópia e dois momentos do Adam em 32 (Rajbhandari et al., 2020, seção 3.1).
PRECISIONS = {"float32": Precision(4, 4, 8, 4), "mista": Precision(2, 2, 12, 2)}


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes de um passo de treino.

    Atributos:
        weights: todos os pesos, congelados ou não.
        gradients: gradientes dos que treinam.
        optimizer: estados do otimizador.
        activations: o que a ida guarda para a volta.
        workspace: o que só existe no começo da volta: os gradientes da perda e, com ativações refeitas, um bloco.
        trainable: parâmetros que treinam (uma contagem, e não bytes).
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    workspace: int
    trainable: int

    @property
    def peak(self) -> int:
        """Maior ocupação ao mesmo tempo: na volta as ativações saem à medida que os gradientes entram."""
        return self.weights + self.optimizer + max(self.activations + self.workspace, self.gradients)

    @property
    def total(self) -> int:
        """A soma de tudo: o pico de quem acumula gradientes de vários lotes."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.workspace


def training_memory(
    cfg: GPTConfig,
    batch_size: int,
    length: int,
    *,
    strategy: str = "completo",
    rank: int = 16,
    precision: str = "float32",
    checkpointing: bool = False,
) -> TrainingMemory:
    """Memória de um passo de treino de um GPT, sem o que a biblioteca e o sistema usam.

    Parâmetros:
        cfg: dimensões do modelo; o dropout é tido como zero.
        batch_size, length: lote, B × T.
        strategy: `"completo"`; `"lora"`, nas camadas dos blocos; ou `"qlora"`, o mesmo com elas em NF4.
        rank: posto do LoRA.
        precision: uma chave de :data:`PRECISIONS`.
        checkpointing: só guarda a entrada de cada bloco, e o refaz na volta (ver a função de mesmo nome).

    Erros:
        ValueError: estratégia ou precisão desconhecida, lote não positivo, ou mais tokens que o contexto.
    """
    if strategy not in STRATEGIES or precision not in PRECISIONS:
        raise ValueError(
            f"strategy={strategy!r}, precision={precision!r}: use uma de {', '.join(STRATEGIES)} e uma de "
            f"{', '.join(PRECISIONS)}."
        )
    if batch_size < 1 or not 1 <= length <= cfg.context_length:
        raise ValueError(
            f"batch_size={batch_size}, length={length}: esperado um lote ≥ 1 e de 1 a {cfg.context_length} tokens, o "
            "contexto do modelo."
        )
    size, n, adapted = PRECISIONS[precision], batch_size * length, strategy != "completo"
    one, two = (_counts(replace(cfg, n_layers=k), strategy, rank) for k in (1, 2))
    # Um bloco é igual ao outro: com um e com dois se sabe qualquer número deles.
    trainable, total, quantized = (a + (cfg.n_layers - 1) * (b - a) for a, b in zip(one[:3], two[:3], strict=True))
    nf4_bytes, largest = one[3] * cfg.n_layers, one[4]
    block = _saved_by_block(cfg, batch_size, length, size, rank if adapted else 0)
    # Com a base congelada, a primeira normalização não guarda nada; se os embeddings treinam, guardam ids e posições.
    start = -_norm(cfg, n, size) if adapted else 8 * (n + length)
    kept = block
    if checkpointing:  # só a entrada de cada bloco, e a do primeiro também
        kept, start = n * cfg.emb_dim * size.activations, max(0, start)
    activations = start + cfg.n_layers * kept + _saved_at_the_end(cfg, n, size, adapted)
    loss_gradients = 2 * 4 * n * cfg.vocab_size  # o das log-probabilidades e o dos logits
    rebuilt = block - n * cfg.emb_dim * size.activations if checkpointing else 0
    return TrainingMemory(
        weights=(total - quantized) * size.weights + nf4_bytes,
        gradients=trainable * size.gradients,
        optimizer=trainable * size.optimizer,
        activations=activations,
        workspace=max(loss_gradients, rebuilt) + largest * size.activations,
        trainable=trainable,
    )


@contextmanager
def checkpointing(model: torch.nn.Module) -> Iterator[None]:
    """Dentro do bloco `with`, cada bloco de `model.trf_blocks` guarda só a sua entrada e é refeito na volta.

    Os gradientes são os mesmos, com dropout também; o preço é uma ida a mais.

    Parâmetros:
        model: um `GPTModel`, ou um módulo que tenha um (como em `modelo.model`), com ou sem LoRA.

    Erros:
        ValueError: não há `trf_blocks`, ou ele já está neste modo.
    """
    blocks = [block for name, m in model.named_modules() if name.endswith("trf_blocks") for block in m]
    if not blocks or any("forward" in vars(block) for block in blocks):
        raise ValueError(f"{type(model).__name__} sem trf_blocks, ou já dentro de checkpointing: passe um GPTModel.")
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def process_memory() -> tuple[int, int]:
    """Bytes residentes deste processo: agora, e o máximo até agora.

    No Linux, os de /proc: a `ru_maxrss` atravessa o `exec`, e um filho pequeno de um pai grande diria ter chegado ao
    pico do pai. No macOS não há, na biblioteca padrão, quanto se usa agora: os dois são o máximo.
    """
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return tuple(int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))  # em kB
    if sys.platform == "win32":
        import psutil  # o pacote só precisa dele aqui, e o ipykernel o traz

        usage = psutil.Process().memory_info()
        return usage.rss, usage.peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # no macOS, em bytes
    return peak, peak


@cache
def _counts(cfg: GPTConfig, strategy: str, rank: int) -> tuple[int, int, int, int, int]:
    """Parâmetros que treinam, todos, os quantizados, os bytes destes, e a maior matriz quantizada."""
    with torch.device("meta"):  # só os formatos: nem o maior modelo ocupa memória
        model = GPTModel(cfg)
    quantized = [m.weight.numel() for m in linear_layers(model, BLOCK_TARGETS).values()] if strategy == "qlora" else []
    if strategy != "completo":
        apply_lora(model, rank, 1.0)
    return *count_trainable(model), sum(quantized), sum(map(_nf4_bytes, quantized)), max(quantized, default=0)


def _norm(cfg: GPTConfig, n: int, size: Precision) -> int:
    """O que uma normalização guarda: a entrada, e a média e o desvio de cada posição."""
    return n * cfg.emb_dim * size.activations + 2 * 4 * n


def _saved_by_block(cfg: GPTConfig, batch_size: int, length: int, size: Precision, rank: int) -> int:
    """O que a ida de um bloco guarda.

    As entradas das seis camadas lineares e da GELU, q, k, v e a saída da atenção: 14·n·D; as duas normalizações, mais
    2·n·D; por cabeça e posição, o logaritmo da soma do softmax. O LoRA acrescenta x·A em cada camada.
    """
    n = batch_size * length
    adapters = len(BLOCK_TARGETS) * n * rank * size.activations
    return 14 * n * cfg.emb_dim * size.activations + 2 * _norm(cfg, n, size) + 4 * n * cfg.n_heads + adapters


def _saved_at_the_end(cfg: GPTConfig, n: int, size: Precision, frozen: bool) -> int:
    """A última normalização, a entrada da saída, se esta treina, as log-probabilidades, os alvos e a contagem deles."""
    head_input = 0 if frozen else n * cfg.emb_dim * size.activations
    return _norm(cfg, n, size) + head_input + 4 * n * cfg.vocab_size + 8 * n + 4


def _nf4_bytes(n_weights: int) -> int:
    """Bytes de uma matriz em NF4 com quantização dupla: meio por peso, um por bloco, e os passos das escalas."""
    blocks = -(-n_weights // BLOCK)
    return blocks * BLOCK // 2 + blocks + 4 * -(-blocks // SCALE_BLOCK) + 4
