"""Tokenizadores nos arquivos do Hugging Face: ler os de um modelo, novo ou antigo, e exportar."""

from __future__ import annotations

import json
from typing import Any

import tiktoken
import tokenizers

from .model_files import ModelFiles
from .tokenizer import EOS_TEXT, eos_id, get_tokenizer
from .vocabulary import gpt2_data


def read_tokenizer(source: ModelFiles) -> tokenizers.Tokenizer | None:
    """Tokenizador de um modelo: `tokenizer.json` ou o par `vocab.json` e `merges.txt`; `None` se não há nenhum.

    Erros:
        ValueError: arquivo ilegível ou vocabulário vazio.
    """
    if path := source.find("tokenizer.json"):
        return get_tokenizer(path)
    vocab, merges = source.find("vocab.json"), source.find("merges.txt")
    if vocab is None or merges is None:
        return None
    options = source.find("tokenizer_config.json")
    try:
        prefix = options is not None and json.loads(options.read_text(encoding="utf-8")).get("add_prefix_space", False)
        return byte_level_bpe(vocab.read_bytes(), merges.read_bytes(), add_prefix_space=bool(prefix))
    except Exception as error:  # a biblioteca levanta Exception pura para regras que não combinam
        raise ValueError(f"{vocab} e {merges} não formam um BPE legível ({error}); obtenha-os de novo.") from error


def byte_level_bpe(vocab: bytes, merges: bytes, *, add_prefix_space: bool = False) -> tokenizers.Tokenizer:
    """BPE em nível de byte, do tipo do GPT-2, a partir do conteúdo de `vocab.json` e `merges.txt`."""
    ids = json.loads(vocab)
    if len(ids) < 2:
        raise ValueError(f"o vocabulário tem {len(ids)} token(s)")
    lines = (line for line in merges.decode("utf-8").split("\n") if line.strip() and not line.startswith("#version"))
    rules = [tuple(line.split()) for line in lines]
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=ids, merges=rules))
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    if EOS_TEXT in ids:
        bpe.add_special_tokens([EOS_TEXT])
    return bpe


def tokenizer_files(tokenizer: Any, context_length: int) -> dict[str, str]:
    """Conteúdo de `tokenizer.json` e `tokenizer_config.json`.

    Erros:
        TypeError: o tokenizador não é o GPT-2 do tiktoken nem um do `tokenizers`.
    """
    if isinstance(tokenizer, tiktoken.Encoding) and tokenizer.name == "gpt2":
        backend = byte_level_bpe(gpt2_data("encoder.json"), gpt2_data("vocab.bpe"))
    else:
        backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(backend, tokenizers.Tokenizer):
        raise TypeError(
            f"tokenizador {type(tokenizer).__name__}: só se exporta o 'gpt2' de get_tokenizer ou um do `tokenizers`."
        )
    exported = tokenizers.Tokenizer.from_str(backend.to_str())
    exported.no_truncation()
    exported.no_padding()
    end = eos_id(tokenizer)
    names = () if end is None else ("bos_token", "eos_token", "pad_token")
    options = {
        # O tokenizador genérico usa o tokenizer.json como está; o do GPT-2 o refaria com as regras do GPT-2.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        **dict.fromkeys(names, None if end is None else backend.id_to_token(end)),
    }
    return {
        "tokenizer.json": exported.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(options, ensure_ascii=False, indent=2) + "\n",
    }
