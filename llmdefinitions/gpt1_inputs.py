"""O ajuste fino do GPT-1: tarefas viram sequências, e uma cabeça classifica o estado do último token.

Radford et al. (2018), seção 3 e figura 1. O modelo pré-treinado quase não muda: ganha três tokens (início, separador e
extração) e uma camada linear sobre o estado da extração. A perda de linguagem continua, como termo auxiliar.

Símbolos: B exemplos, N sequências por exemplo, T tokens, D largura, V vocabulário, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import IGNORE_INDEX
from .model import GPTModel


class SpecialTokens(NamedTuple):
    """Ids dos três tokens que o GPT-1 acrescenta ao vocabulário."""

    start: int
    delim: int
    extract: int

    @classmethod
    def after(cls, vocab_size: int) -> SpecialTokens:
        """Os três ids seguintes a um vocabulário de V tokens: V, V + 1 e V + 2."""
        return cls(vocab_size, vocab_size + 1, vocab_size + 2)


def classification_input(text: Sequence[int], special: SpecialTokens) -> list[int]:
    """Classificação: início, texto, extração."""
    return _join([text], special)


def entailment_input(premise: Sequence[int], hypothesis: Sequence[int], special: SpecialTokens) -> list[int]:
    """Inferência textual: início, premissa, separador, hipótese, extração."""
    return _join([premise, hypothesis], special)


def similarity_inputs(a: Sequence[int], b: Sequence[int], special: SpecialTokens) -> list[list[int]]:
    """Semelhança: as duas ordens, porque a semelhança não tem ordem e a atenção causal tem."""
    return [_join([a, b], special), _join([b, a], special)]


def multiple_choice_inputs(context: Sequence[int], answers: list[list[int]], special: SpecialTokens) -> list[list[int]]:
    """Múltipla escolha: uma sequência por resposta. O contexto já inclui a pergunta."""
    return [_join([context, answer], special) for answer in answers]


def pad_inputs(inputs: Sequence[Sequence[int]], special: SpecialTokens) -> Tensor:
    """Junta N sequências em ids `(N, T)`, completando as curtas, à direita, com o token de extração.

    O enchimento vem depois da primeira extração, e a atenção causal não deixa que ela o veja.

    Erros:
        ValueError: nenhuma sequência.
    """
    if not inputs:
        raise ValueError("nenhuma sequência: esperada uma lista com ao menos uma.")
    width = max(map(len, inputs))
    return torch.tensor([[*ids, *[special.extract] * (width - len(ids))] for ids in inputs])


def hidden_states(model: GPTModel, idx: Tensor) -> Tensor:
    """O que entra na cabeça de linguagem (`out_head`): `(B, T)` → `(B, T, D)`.

    Erros:
        ValueError: entrada que não é `(B, T)`, longa demais, ou com id fora do vocabulário.
    """
    if idx.ndim != 2:
        raise ValueError(f"idx de formato {tuple(idx.shape)}: esperado (B, T).")
    _check_ids(idx, model.cfg.vocab_size - 1)
    return _hidden_from_embeddings(model, model.tok_emb(idx))


class GPT1Losses(NamedTuple):
    """As perdas do ajuste fino, em nats; os L do artigo são estas com o sinal trocado, que ele maximiza.

    Atributos:
        l1: linguagem, média por token de texto.
        l2: classificação, média por exemplo.
        l3: l2 + λ·l1, a que se minimiza (equação 5).
    """

    l1: Tensor
    l2: Tensor
    l3: Tensor


class GPT1Classifier(nn.Module):
    """Um `GPTModel` com a cabeça de classificação do GPT-1.

    Os três tokens novos têm sua própria tabela, posta embaixo da do modelo na hora da consulta: a do modelo, que pode
    ser também a sua saída, continua com V linhas. Por isso a cabeça de linguagem não os conhece, e L1 só prevê tokens
    de texto (no código da OpenAI ela prevê também os especiais).

    Parâmetros:
        model: o modelo pré-treinado; é ajustado junto.
        n_classes: classes, C; 1 para múltipla escolha.
        drop_rate: dropout antes da cabeça (0,1 no artigo).

    Atributos:
        special: os ids com que montar as entradas.
    """

    def __init__(self, model: GPTModel, n_classes: int, drop_rate: float = 0.1) -> None:
        super().__init__()
        if n_classes < 1:
            raise ValueError(f"n_classes={n_classes}: esperado ≥ 2, ou 1 para múltipla escolha.")
        self.model = model
        self.special = SpecialTokens.after(model.cfg.vocab_size)
        self.special_emb = nn.Embedding(len(self.special), model.cfg.emb_dim)
        self.dropout = nn.Dropout(drop_rate)
        self.head = nn.Linear(model.cfg.emb_dim, n_classes)
        # Na mesma escala dos vizinhos: com desvio 1, o padrão, os tokens novos abafariam os de um modelo treinado.
        nn.init.normal_(self.special_emb.weight, std=model.tok_emb.weight.std().item())
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, idx: Tensor) -> Tensor:
        """Logits das classes.

        Parâmetros:
            idx: `(B, T)`; ou `(B, N, T)`, com as duas ordens de cada par ou as N respostas de cada pergunta.

        Devolve:
            `(B, C)`; com `n_classes=1`, `(B, N)`: uma nota por resposta.

        Erros:
            ValueError: sequência sem o token de extração, longa demais, ou com id desconhecido.
        """
        return self._classify(self._hidden(idx), idx)

    def losses(self, idx: Tensor, labels: Tensor, aux_weight: float = 0.5) -> GPT1Losses:
        """L1, L2 e L3 = L2 + λ·L1 de um lote.

        Parâmetros:
            idx: como em :meth:`forward`.
            labels: classe, ou número da resposta certa, `(B,)`.
            aux_weight: λ, o peso da perda de linguagem (0,5 no artigo).
        """
        hidden = self._hidden(idx)  # (B, [N,] T, D)
        l2 = F.cross_entropy(self._classify(hidden, idx), labels)
        logits = self.model.out_head(hidden[..., :-1, :])  # (B, [N,] T − 1, V)
        targets = idx[..., 1:].masked_fill(idx[..., 1:] >= self.special.start, IGNORE_INDEX)  # (B, [N,] T − 1)
        l1 = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORE_INDEX)
        return GPT1Losses(l1, l2, l2 + aux_weight * l1)

    def _hidden(self, idx: Tensor) -> Tensor:
        """`(B, [N,] T)` → `(B, [N,] T, D)`."""
        shapes = {3: "(B, N, T)"} if self.head.out_features == 1 else {2: "(B, T)", 3: "(B, N, T)"}
        if idx.ndim not in shapes or not (idx == self.special.extract).any(-1).all():
            raise ValueError(
                f"idx de formato {tuple(idx.shape)}: esperado {' ou '.join(shapes.values())}, com o token de extração "
                f"({self.special.extract}) em cada sequência; monte-as com as funções deste módulo."
            )
        _check_ids(idx, self.special.extract)
        table = torch.cat((self.model.tok_emb.weight, self.special_emb.weight))  # (V + 3, D)
        x = F.embedding(idx.flatten(0, -2), table)  # (B·N, T, D)
        return _hidden_from_embeddings(self.model, x).unflatten(0, idx.shape[:-1])

    def _classify(self, hidden: Tensor, idx: Tensor) -> Tensor:
        """`(B, [N,] T, D)` → `(B, C)`, ou `(B, N)` na múltipla escolha."""
        where = (idx == self.special.extract).int().argmax(-1, keepdim=True)  # (B, [N,] 1): a primeira extração
        state = hidden.take_along_dim(where[..., None], dim=-2).squeeze(-2)  # (B, [N,] D)
        if self.head.out_features > 1 and idx.ndim == 3:
            state = state.sum(dim=1)  # (B, D): as ordens de um par são somadas antes da cabeça
        scores = self.head(self.dropout(state))  # (B, [N,] C)
        return scores.squeeze(-1) if self.head.out_features == 1 else scores


def _join(parts: Sequence[Sequence[int]], special: SpecialTokens) -> list[int]:
    for part in parts:
        if not len(part) or not set(part).isdisjoint(special):
            raise ValueError(f"trecho {list(part)}: esperado ao menos um id, e nenhum dos especiais {tuple(special)}.")
    texts = [token for part in parts for token in (special.delim, *part)]
    return [special.start, *texts[1:], special.extract]  # sem o separador antes do primeiro trecho


def _check_ids(idx: Tensor, last: int) -> None:
    if idx.min() < 0 or idx.max() > last:
        raise ValueError(f"ids de {idx.min()} a {idx.max()}: esperados de 0 a {last}; confira o tokenizador.")


def _hidden_from_embeddings(model: GPTModel, x: Tensor) -> Tensor:
    """O `GPTModel` entre os embeddings de tokens e `out_head`: `(B, T, D)` → `(B, T, D)`."""
    n_tokens = x.shape[1]
    if n_tokens > model.cfg.context_length:
        raise ValueError(f"contexto de {n_tokens} tokens é maior que {model.cfg.context_length}: corte os textos.")
    x = model.drop_emb(x + model.pos_emb(torch.arange(n_tokens, device=x.device)))
    for block in model.trf_blocks:
        x = block(x)
    return model.final_norm(x)
