"""Tokens de um corpus num arquivo mapeado em memória: treinar com mais texto do que cabe na RAM."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .download import sha256_of
from .files import write_json

_SUFFIX = ".tokens"
_DTYPES = ("<u2", "<u4")
#: Janelas lidas até as páginas mapeadas serem devolvidas ao sistema, que é o que limita a memória num arquivo grande.
#: São poucas porque o Linux mapeia, com a página pedida, as vizinhas que já tem: até mais de 1 MB por janela (medido).
_RELEASE_EVERY = 8


class TokenStore:
    """Sequência de ids em disco, da qual se leem janelas em qualquer posição.

    Dois arquivos: `nome.tokens`, só os ids (uint16 se o vocabulário couber, senão uint32, em little-endian), e
    `nome.json`, a ficha com contagens e sha256.

    Parâmetros:
        path: caminho sem extensão, como dado a :func:`write_tokens`.
        verify: relê o arquivo inteiro e confere o sha256.

    Atributos:
        info: a ficha.

    Erros:
        ValueError: ficha ausente ou ilegível, arquivo com outro tamanho ou, com `verify`, outro conteúdo.
    """

    def __init__(self, path: str | Path, *, verify: bool = False) -> None:
        self.path = Path(f"{path}{_SUFFIX}")
        try:
            self.info = _read_info(Path(f"{path}.json"))
            size = self.path.stat().st_size
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{path}: não é um arquivo de tokens legível ({error}); apague-o e prepare os dados de novo."
            ) from error
        dtype, n_tokens = np.dtype(self.info["dtype"]), self.info["n_tokens"]
        if size != n_tokens * dtype.itemsize:
            raise ValueError(
                f"{self.path}: {size} bytes, esperado {n_tokens * dtype.itemsize} ({n_tokens} tokens de "
                f"{dtype.itemsize} bytes): o arquivo está truncado ou é de outra ficha; apague-o e prepare de novo."
            )
        if verify and (found := sha256_of(self.path)) != self.info["sha256"]:
            raise ValueError(
                f"{self.path}: sha256 {found}, esperado {self.info['sha256']}: o conteúdo mudou; apague-o e prepare "
                "os dados de novo."
            )
        with open(self.path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._ids = np.frombuffer(self._map, dtype=dtype)  # (N,)

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Janelas de `length` ids que começam em `starts` `(B,)`: int64 `(B, length)`, uma cópia.

        Erros:
            ValueError: janela vazia, que começa antes do primeiro token ou que acaba depois do último.
        """
        starts = np.asarray(starts, dtype=np.int64)  # sem isto, somar `length` a um int32 poderia dar a volta
        if length < 1:
            raise ValueError(f"length={length}: esperado um inteiro ≥ 1.")
        if len(starts) and (starts.min() < 0 or starts.max() + length > len(self)):
            raise ValueError(
                f"janelas de {int(starts.min())} a {int(starts.max()) + length} num arquivo de {len(self)} tokens: "
                "diminua o contexto ou use mais texto."
            )
        rows = np.empty((len(starts), length), dtype=np.int64)  # (B, length)
        for first in range(0, len(starts), _RELEASE_EVERY):
            for row, start in enumerate(starts[first : first + _RELEASE_EVERY], first):
                rows[row] = self._ids[start : start + length]
            if hasattr(self._map, "madvise"):  # o Windows não tem
                self._map.madvise(mmap.MADV_DONTNEED)
        return rows


def write_tokens(path: str | Path, chunks: Iterable[np.ndarray], vocab_size: int, **facts: object) -> TokenStore:
    """Grava os ids, um pedaço por vez; nada fica pela metade com o nome definitivo.

    Parâmetros:
        path: caminho sem extensão.
        chunks: vetores de ids `(n,)`; só um está na memória de cada vez.
        vocab_size: tamanho do vocabulário; decide quantos bytes cada id ocupa.
        facts: o que mais guardar na ficha (documentos, bytes de texto…).

    Devolve:
        O arquivo, aberto.

    Erros:
        ValueError: ids que não são inteiros `(n,)`, id fora do vocabulário, ou nenhum id.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype = np.dtype(_DTYPES[vocab_size > 1 << 16])
    partial = Path(f"{path}.{os.getpid()}.parcial")
    digest, n_tokens = hashlib.sha256(), 0
    try:
        with open(partial, "wb") as file:
            for chunk in chunks:
                chunk = np.asarray(chunk)
                if chunk.ndim != 1 or (chunk.size and chunk.dtype.kind not in "iu"):
                    raise ValueError(f"pedaço {chunk.shape} de {chunk.dtype}: esperado um vetor (n,) de ids inteiros.")
                if chunk.size and (chunk.min() < 0 or chunk.max() >= vocab_size):
                    raise ValueError(
                        f"ids de {chunk.min()} a {chunk.max()} e vocab_size={vocab_size}: use o vocabulário do "
                        "tokenizador que fez os ids."
                    )
                data = chunk.astype(dtype).tobytes()
                digest.update(data)
                file.write(data)
                n_tokens += chunk.size
            file.flush()
            os.fsync(file.fileno())
        if n_tokens == 0:
            raise ValueError(f"{path}: nenhum token a gravar; confira os textos.")
        # Sem ficha o arquivo não abre. A antiga sai antes e a nova entra depois: uma queda no meio deixa os tokens sem
        # ficha, e nunca com a de outros tokens.
        info_path = Path(f"{path}.json")
        info_path.unlink(missing_ok=True)
        os.replace(partial, f"{path}{_SUFFIX}")
    finally:
        partial.unlink(missing_ok=True)
    own = {"dtype": dtype.str, "n_tokens": n_tokens, "vocab_size": vocab_size, "sha256": digest.hexdigest()}
    write_json(info_path, {**facts, **own})
    for orphan in path.parent.glob(f"{path.name}.*.parcial"):  # de um processo que morreu no meio da escrita
        orphan.unlink()
    return TokenStore(path)


def _read_info(path: Path) -> dict[str, Any]:
    info = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(info, dict) or info.get("dtype") not in _DTYPES:
        raise ValueError(f"{path.name} não é a ficha de um arquivo de tokens")
    kinds = {"n_tokens": int, "vocab_size": int, "sha256": str}
    if bad := [name for name, kind in kinds.items() if not (isinstance(info.get(name), kind) and info[name])]:
        raise ValueError(f"falta {', '.join(bad)} em {path.name}, ou o valor não serve")
    return info
