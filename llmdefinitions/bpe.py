"""Treinar um BPE de bytes, do mesmo tipo do GPT-2, nos textos que o leitor tem."""

from __future__ import annotations

from collections.abc import Iterable

import tokenizers

from .tokenizer import EOS_TEXT


def train_bpe(documents: Iterable[str], vocab_size: int) -> tokenizers.Tokenizer:
    """Treina um BPE em nível de byte (Sennrich et al., 2016; Radford et al., 2019).

    Os 256 bytes estão sempre no vocabulário, então qualquer texto pode ser codificado e decodificado sem perda. O id 0
    é `<|endoftext|>`. O resultado só depende dos textos e do tamanho pedido.

    Parâmetros:
        documents: textos de treino.
        vocab_size: tamanho final do vocabulário, com os 256 bytes e o token de fim.

    Devolve:
        Um `tokenizers.Tokenizer`, que as funções de `tokenizer` aceitam.

    Erros:
        ValueError: vocabulário menor que 257, ou textos que não bastam para chegar ao tamanho pedido.
    """
    if vocab_size < 257:
        raise ValueError(f"vocab_size={vocab_size}: esperado ≥ 257, que são os 256 bytes e o token de fim de texto.")
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS_TEXT],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(documents, trainer)
    if bpe.get_vocab_size() < vocab_size:
        raise ValueError(
            f"os textos só rendem {bpe.get_vocab_size()} tokens, menos que vocab_size={vocab_size}: "
            "use mais texto ou um vocabulário menor."
        )
    return bpe
