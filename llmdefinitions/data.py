"""Janelas de treino: entrada e alvo deslocados em um token, sobre um único vetor de ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from .config import IGNORE_INDEX
from .tokenizer import encode, encode_corpus, eos_id, get_tokenizer


class GPTDatasetV1(Dataset):
    """Pares (entrada, alvo) de um texto, em janelas que andam de `stride` em `stride` tokens.

    O alvo é a entrada deslocada em um: na posição t, o modelo vê os tokens até t e prevê o t+1. As janelas são
    vistas do mesmo vetor de ids, sem cópia: 40 MB de texto custam a memória dos ids, não a das janelas.

    Parâmetros:
        txt: texto; `<|endoftext|>` vale como token especial.
        tokenizer: tiktoken ou Hugging Face.
        max_length: tokens por janela, T.
        stride: passo entre janelas; menor que T, elas se sobrepõem.

    Atributos:
        token_ids: todos os ids do texto, `(N,)`, int32.
        input_ids: entradas, `(janelas, T)`, vista de `token_ids`.
        target_ids: alvos, `(janelas, T)`, vista de `token_ids`.

    Erros:
        ValueError: `max_length` ou `stride` menor que 1, ou texto vazio ou curto demais para uma janela.
    """

    def __init__(self, txt: str, tokenizer: Any, max_length: int, stride: int) -> None:
        for name, value in (("max_length", max_length), ("stride", stride)):
            if value < 1:
                raise ValueError(f"{name}={value}: esperado um inteiro ≥ 1.")
        if not txt:
            raise ValueError("texto vazio: não há janela a formar; confira o arquivo lido ou a divisão do texto.")
        self.tokenizer = tokenizer
        self.token_ids = encode_corpus(txt, tokenizer)  # (N,)
        if len(self.token_ids) <= max_length:
            raise ValueError(
                f"texto curto demais: {len(self.token_ids)} tokens não enchem uma janela de max_length={max_length} "
                f"mais o alvo ({max_length + 1} tokens). Use um texto maior ou diminua max_length."
            )
        self.input_ids = self.token_ids[:-1].unfold(0, max_length, stride)  # (janelas, T)
        self.target_ids = self.token_ids[1:].unfold(0, max_length, stride)  # (janelas, T)

    def __len__(self) -> int:
        return len(self.input_ids)

    def __getitem__(self, idx: int) -> tuple[Tensor, Tensor]:
        """Entrada e alvo da janela `idx`, `(T,)` e `(T,)`, em int64 (o tipo que a entropia cruzada pede)."""
        return self.input_ids[idx].long(), self.target_ids[idx].long()


def create_dataloader_v1(
    txt: str,
    batch_size: int = 4,
    max_length: int = 256,
    stride: int = 128,
    shuffle: bool = True,
    drop_last: bool = True,
    num_workers: int = 0,
    *,
    tokenizer: Any = None,
    generator: torch.Generator | None = None,
) -> DataLoader:
    """Lotes de janelas de um texto, com o tokenizador do GPT-2 se nenhum for dado.

    Parâmetros:
        txt: texto.
        batch_size: janelas por lote, B.
        max_length: tokens por janela, T.
        stride: passo entre janelas (tokens).
        shuffle: embaralha a cada época, consumindo o gerador global do PyTorch (ou `generator`).
        drop_last: descarta o último lote se incompleto.
        num_workers: processos de leitura.
        tokenizer: outro tokenizador, tiktoken ou Hugging Face.
        generator: gerador próprio do embaralhamento.

    Devolve:
        `DataLoader` de pares `(B, T)`, `(B, T)`.

    Erros:
        ValueError: texto curto demais para uma janela, ou para um lote quando `drop_last`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: esperado um inteiro ≥ 1.")
    dataset = GPTDatasetV1(txt, get_tokenizer("gpt2") if tokenizer is None else tokenizer, max_length, stride)
    if drop_last and len(dataset) < batch_size:
        raise ValueError(
            f"texto curto demais: {len(dataset)} janelas não enchem um lote de batch_size={batch_size}, e "
            "drop_last=True o descartaria. Use drop_last=False, um lote menor ou um texto maior."
        )
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=drop_last,
        num_workers=num_workers,
        generator=generator,
    )


def create_document_loader(
    documents: Iterable[str],
    tokenizer: Any,
    batch_size: int,
    max_length: int,
    *,
    shuffle: bool = True,
    generator: torch.Generator | None = None,
) -> DataLoader:
    """Lotes em que cada linha é um documento inteiro, do token de fim que o abre ao token de fim que o encerra.

    Serve quando o contexto de um documento não deve vazar para outro, ou quando se quer a probabilidade exata de cada
    um: a soma das perdas da linha é −ln p do documento. As linhas curtas são completadas com o token de fim na entrada
    e −100 no alvo, que a perda ignora.

    Parâmetros:
        documents: textos.
        tokenizer: precisa de um token de fim de texto.
        batch_size: documentos por lote, B.
        max_length: tamanho máximo da linha, T: tokens do documento mais o de fim.
        shuffle: embaralha a cada época.
        generator: gerador próprio do embaralhamento.

    Devolve:
        `DataLoader` de pares `(B, T)`, `(B, T)`, com T o da maior linha do lote.

    Erros:
        ValueError: nenhum documento, documento maior que `max_length`, ou tokenizador sem token de fim.
    """
    eos = eos_id(tokenizer)
    if eos is None:
        raise ValueError("o tokenizador não tem token de fim de texto: use um que tenha, como o de train_bpe.")
    rows = [torch.tensor([eos, *encode(text, tokenizer), eos]) for text in documents]
    if not rows:
        raise ValueError("nenhum documento: não há lote a montar.")
    longest = max(range(len(rows)), key=lambda i: len(rows[i]))
    if len(rows[longest]) - 1 > max_length:
        raise ValueError(
            f"o documento {longest} precisa de {len(rows[longest]) - 1} tokens e max_length={max_length}: "
            "aumente max_length, ou corte os documentos em janelas com create_dataloader_v1."
        )

    def collate(batch: list[Tensor]) -> tuple[Tensor, Tensor]:
        inputs = pad_sequence([row[:-1] for row in batch], batch_first=True, padding_value=eos)  # (B, T)
        targets = pad_sequence([row[1:] for row in batch], batch_first=True, padding_value=IGNORE_INDEX)  # (B, T)
        return inputs, targets

    return DataLoader(rows, batch_size=batch_size, shuffle=shuffle, collate_fn=collate, generator=generator)


def group_texts(examples: Mapping[str, Sequence[Sequence[int]]], block_size: int) -> dict[str, list[list[int]]]:
    """Emenda os exemplos de um lote e os corta em blocos iguais, para `datasets.Dataset.map(..., batched=True)`.

    Os tokens que não completam o último bloco do lote se perdem: num corpus pequeno, passe a `map` um `batch_size` do
    tamanho dele. `labels` é uma cópia de `input_ids`, sem deslocar: quem desloca é o modelo do `transformers`.

    Parâmetros:
        examples: coluna → lista de sequências, como o `datasets` entrega; precisa de `input_ids`.
        block_size: tokens por bloco.

    Erros:
        ValueError: `block_size` menor que 1, coluna `input_ids` ausente, ou tokens que não enchem nenhum bloco.
    """
    if block_size < 1 or "input_ids" not in examples:
        raise ValueError(f"block_size={block_size} e colunas {list(examples)}: esperado um inteiro ≥ 1, e input_ids.")
    flat = {name: list(chain.from_iterable(rows)) for name, rows in examples.items()}
    size = len(flat["input_ids"]) // block_size * block_size
    if not size:
        raise ValueError(
            f"{len(flat['input_ids'])} tokens não enchem um bloco de {block_size}: diminua block_size ou junte textos."
        )
    blocks = {name: [ids[i : i + block_size] for i in range(0, size, block_size)] for name, ids in flat.items()}
    return {**blocks, "labels": [list(block) for block in blocks["input_ids"]]}


def split_text(txt: str, train_ratio: float = 0.9) -> tuple[str, str]:
    """Divide um texto em começo (treino) e fim (validação), na proporção pedida em caracteres.

    Erros:
        ValueError: proporção fora de (0, 1), ou texto tão curto que uma das partes ficaria vazia.
    """
    if not 0.0 < train_ratio < 1.0:
        raise ValueError(f"train_ratio={train_ratio}: esperado um número entre 0 e 1, exclusive.")
    cut = int(train_ratio * len(txt))
    if cut == 0 or cut == len(txt):
        raise ValueError(f"texto de {len(txt)} caracteres: curto demais para dividir com train_ratio={train_ratio}.")
    return txt[:cut], txt[cut:]
