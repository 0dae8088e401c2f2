"""Geração de texto: do próximo token à sequência, com cache KV e amostragem controlada."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .decoding import TokenDecoder
from .lookup import LookupDraft, greedy_tokens
from .model import KVCache


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Põe o modelo em `eval()` e, ao sair, devolve cada submódulo ao modo em que estava."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def filter_logits(logits: Tensor, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """Elimina (−∞) os logits fora do top-k (Fan et al., 2018) e do núcleo top-p (Holtzman et al., 2020).

    Parâmetros:
        logits: `(B, V)`, já divididos pela temperatura se houver.
        top_k: mantém os k maiores (e os empatados com o k-ésimo); maior que V não filtra nada.
        top_p: mantém o menor conjunto de tokens cuja probabilidade soma pelo menos p.

    Devolve:
        `(B, V)`; o mais provável nunca é eliminado.

    Erros:
        ValueError: `top_k` < 1 ou `top_p` fora de (0, 1].
    """
    _check_sampling(top_k=top_k, top_p=top_p)
    if top_k is not None:
        kth = torch.topk(logits, min(top_k, logits.shape[-1])).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < kth, float("-inf"))
    if top_p is not None and top_p < 1.0:  # com p = 1 o núcleo é tudo, mas a soma em float32 cortaria a cauda
        ordered, order = torch.sort(logits, descending=True, stable=True)  # (B, V)
        probs = torch.softmax(ordered, dim=-1)
        # Um token fica se a massa *antes* dele ainda não chegou a p: o que completa p também entra.
        dropped = probs.cumsum(dim=-1) - probs >= top_p
        dropped[:, 0] = False
        logits = logits.masked_fill(dropped.scatter(1, order, dropped), float("-inf"))
    return logits


def next_token(
    logits: Tensor,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Escolhe o próximo token de cada linha: `(B, V)` → `(B, 1)`. Temperatura 0 é a escolha gulosa."""
    _check_sampling(temperature, top_k, top_p)
    # top-k não depende da temperatura, top-p sim: a ordem aqui é a das fontes para k, e a usual para p.
    logits = filter_logits(logits, top_k=top_k)
    if temperature == 0.0:
        return torch.argmax(logits, dim=-1, keepdim=True)
    logits = filter_logits(logits / temperature, top_p=top_p)
    return torch.multinomial(torch.softmax(logits, dim=-1), num_samples=1, generator=generator)


def generate(
    model: nn.Module,
    idx: Tensor,
    max_new_tokens: int,
    context_size: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    eos_id: int | None = None,
    *,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Tensor:
    """Continua cada linha de `idx` com até `max_new_tokens` tokens.

    O modelo passa a `eval()` durante a geração (senão o dropout mudaria a cada chamada) e volta ao modo em que
    estava. Enquanto a sequência cabe no contexto, o cache KV evita recalcular o passado; além dele a janela desliza
    e, como as posições são absolutas, cada passo recalcula a janela toda: o resultado é o mesmo sem cache. A escolha
    gulosa de uma linha só ainda adivinha trechos que se repetem e confere vários tokens de uma vez
    (:mod:`llmdefinitions.lookup`): também não muda o resultado.

    Parâmetros:
        model: um :class:`~llmdefinitions.GPTModel`, ou qualquer módulo `(B, T)` → `(B, T, V)` com `use_cache=False`.
        idx: ids iniciais `(B, T)`.
        max_new_tokens: quantos tokens gerar, no máximo.
        context_size: quantos tokens finais o modelo enxerga a cada passo.
        temperature: 0 é gulosa; acima disso, divide os logits antes do sorteio.
        top_k: sorteia só entre os k mais prováveis.
        eos_id: token que encerra a linha. Uma linha encerrada é completada com `eos_id`; quando todas encerram, a
            geração para sem acrescentá-lo, como nas fontes.
        top_p: sorteia só no menor núcleo de probabilidade p.
        generator: gerador próprio do sorteio; sem ele, o global do PyTorch.
        use_cache: desliga o cache KV (serve de oráculo nos testes).

    Devolve:
        `(B, T + n)`, com n ≤ `max_new_tokens`.

    Erros:
        ValueError: entrada que não é `(B, T)` com T ≥ 1, tamanhos negativos ou parâmetros de amostragem inválidos.
    """
    if idx.ndim != 2 or idx.shape[1] == 0:
        raise ValueError(f"idx de formato {tuple(idx.shape)}: esperado (B, T) com T ≥ 1.")
    if max_new_tokens < 0 or context_size < 1:
        raise ValueError(
            f"max_new_tokens={max_new_tokens}, context_size={context_size}: esperado ≥ 0 e ≥ 1, respectivamente."
        )
    if eos_id is not None and eos_id < 0:
        raise ValueError(f"eos_id={eos_id}: esperado um id de token ≥ 0, ou None.")
    _check_sampling(temperature, top_k, top_p)
    finished = torch.zeros(idx.shape[0], 1, dtype=torch.bool, device=idx.device)  # (B, 1)
    final_length = idx.shape[1] + max_new_tokens
    greedy_row = temperature == 0.0 and idx.shape[0] == 1
    with torch.inference_mode(), evaluating(model):
        step = _Stepper(model, context_size, use_cache)
        while idx.shape[1] < final_length:
            if greedy_row and step.can_draft(idx):
                new = step.draft(idx, final_length - idx.shape[1])  # (1, n)
            else:
                new = next_token(step(idx), temperature, top_k, top_p, generator)  # (B, 1)
            if eos_id is not None:
                new = new.masked_fill(finished, eos_id)
                ends = (new == eos_id).cumsum(dim=1) > 0  # (B, n): do fim de cada linha em diante
                finished = ends[:, -1:] | finished
                if finished.all():
                    # Uma linha só pode ter acabado no meio do que foi conferido; várias vêm de um em um.
                    idx = torch.cat((idx, new[:, : int((~ends[0]).sum())]), dim=1)
                    break
            idx = torch.cat((idx, new), dim=1)  # (B, T + n)
    return idx.clone()  # a cópia, já fora do modo de inferência, serve também de entrada de um treino


def generate_text_simple(model: nn.Module, idx: Tensor, max_new_tokens: int, context_size: int) -> Tensor:
    """Decodificação gulosa: `(B, T)` → `(B, T + max_new_tokens)`; ver :func:`generate`."""
    return generate(model, idx, max_new_tokens, context_size, use_cache=hasattr(model, "new_cache"))


def _check_sampling(temperature: float = 0.0, top_k: int | None = None, top_p: float | None = None) -> None:
    if not 0.0 <= temperature < float("inf"):
        raise ValueError(f"temperature={temperature}: esperado um número ≥ 0 (0 é a decodificação gulosa).")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k={top_k}: esperado um inteiro ≥ 1, ou None para não filtrar.")
    if top_p is not None and not 0.0 < top_p <= 1.0:
        raise ValueError(f"top_p={top_p}: esperado um número em (0, 1], ou None para não filtrar.")


class _Stepper:
    """Calcula os logits do próximo token, reaproveitando o que o cache já sabe."""

    def __init__(self, model: nn.Module, context_size: int, use_cache: bool) -> None:
        if use_cache and not hasattr(model, "new_cache"):
            raise ValueError(
                f"{type(model).__name__} não tem cache KV: chame generate(..., use_cache=False) para este modelo."
            )
        self.model, self.context_size = model, context_size
        self.use_cache = use_cache
        self.cache: KVCache | None = None
        self.decoder: TokenDecoder | None = None
        self.lookup: LookupDraft | None = None

    def can_draft(self, idx: Tensor) -> bool:
        """Se o próximo token pode vir por rascunho: há decodificador com o passado, e o contexto não acabou."""
        return self.decoder is not None and idx.shape[1] <= self.context_size

    def draft(self, idx: Tensor, limit: int) -> Tensor:
        """De 1 a `limit` tokens gulosos depois de `idx` `(1, T)`: `(1, n)`."""
        if self.lookup is None:
            self.lookup = LookupDraft(idx[0].tolist())
        fits = self.context_size - idx.shape[1] + 1
        return torch.tensor([greedy_tokens(self.decoder, self.lookup, min(limit, fits))], device=idx.device)

    def __call__(self, idx: Tensor) -> Tensor:
        length = idx.shape[1]
        if not self.use_cache or length > self.context_size:
            logits = self.model(idx[:, -self.context_size :])  # (B, T, V)
        elif self.cache is None:
            self.cache = self.model.new_cache(idx.shape[0])
            logits = self.model(idx, cache=self.cache, last_only=True)  # (B, 1, V)
            if TokenDecoder.supports(self.model):
                self.decoder = TokenDecoder(self.model, self.cache)
        elif self.decoder is not None:
            logits = self.decoder(idx[:, -1:])  # (B, 1, V)
        else:
            logits = self.model(idx[:, -1:], cache=self.cache, last_only=True)  # (B, 1, V)
        return logits[:, -1, :]
