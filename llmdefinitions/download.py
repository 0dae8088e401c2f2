"""Baixar um arquivo sem perder nada: atômico, conferido, retomável, com novas tentativas e espelho local.

O nome final só existe quando o conteúdo está inteiro e conferido. Enquanto baixa, os bytes moram em
`<nome>.parcial`, na mesma pasta, e uma trava do sistema impede que dois processos escrevam nele.
"""

import contextlib
import email.utils
import hashlib
import http.client
import os
import random
import re
import secrets
import shutil
import ssl
import time
import urllib.error
import urllib.request as web
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from .progress import progress_bar

MIRROR_ENV = "LLMDEFINITIONS_ESPELHO"
_CHUNK = 1 << 16
_MAX_WAIT = 60.0  # teto da espera entre tentativas, em segundos, também para o que o servidor pedir
# Gerador próprio: o sorteio da espera não pode consumir o `random` em que o leitor pôs semente.
_JITTER = random.Random()
_TRANSIENT = (TimeoutError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
_TRANSIENT += (http.client.HTTPException, ssl.SSLError)


class DownloadError(RuntimeError):
    """Download que não deu certo; `url`, `reason` e `tries` guardam os detalhes da mensagem."""

    def __init__(self, url: str, reason: str, tries: int = 0) -> None:
        self.url, self.reason, self.tries = url, reason, tries
        made = f"{tries} tentativa{'s' * (tries > 1)}" if tries else "sem usar a rede"
        super().__init__(
            f"não foi possível obter {url} ({made}): {reason}. O que fazer: confira a rede e execute de novo; "
            f"ou aponte a variável {MIRROR_ENV} para uma pasta com cópia local dos dados; ou use os corpora "
            "embutidos, 'bncc' e 'historias', que não precisam de rede"
        )


class _Failure(Exception):
    """Tentativa que falhou: se vale repetir, se o parcial não presta, e a espera pedida pelo servidor (s)."""

    def __init__(self, reason: str, *, transient: bool, restart: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.transient, self.restart, self.wait = transient, restart, wait


def sha256_of(path: str | Path) -> str:
    """sha256 do arquivo `path`, em hexadecimal, lido aos pedaços."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def download_file(
    url: str,
    destination: str | Path,
    *,
    sha256: str | None = None,
    n_bytes: int | None = None,
    mirror_path: str | None = None,
    timeout: float = 30.0,
    retries: int = 4,
    backoff: float = 1.0,
    max_bytes: int = 2 << 30,
    progress: bool = True,
    offline: bool = False,
) -> Path:
    """Baixa `url` para `destination`, que só passa a existir inteiro e conferido.

    Um arquivo que já está lá e confere não gera pedido algum; se não confere, é apagado e baixado de novo.
    Quando `LLMDEFINITIONS_ESPELHO` aponta uma pasta que tem `mirror_path`, o arquivo vem dela, sem rede.

    Parâmetros:
        sha256: resumo esperado, 64 dígitos hexadecimais. Sem ele só o tamanho é conferido, e o download
            interrompido recomeça do zero na próxima execução.
        n_bytes: tamanho exato esperado, em bytes, se conhecido.
        mirror_path: caminho relativo dentro do espelho.
        timeout: segundos sem receber nada até desistir de uma tentativa.
        retries: novas tentativas depois da primeira, só para falhas passageiras (tempo esgotado, conexão
            cortada, corpo truncado, 408, 429 e 5xx).
        backoff: espera, em segundos, antes da segunda tentativa; dobra a cada uma, com sorteio de ±50%.
        max_bytes: tamanho máximo aceito, conferido enquanto os bytes chegam.
        progress: mostra a barra quando a saída é um terminal.
        offline: não usa a rede: serve só o que já está em `destination` ou no espelho.

    Erros:
        ValueError: argumento inválido (só `http` e `https` são aceitos).
        DownloadError: o arquivo não pôde ser obtido; a mensagem diz o que houve e o que fazer.
    """
    if not re.fullmatch(r"https?://[!-~]+", url, re.IGNORECASE):
        raise ValueError(f"url {url!r}: esperava um endereço http:// ou https:// em ASCII e sem espaços")
    if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"sha256 {sha256!r}: esperava 64 dígitos hexadecimais minúsculos")
    if retries < 0 or max_bytes <= 0 or timeout <= 0:
        raise ValueError(f"retries={retries}, max_bytes={max_bytes}, timeout={timeout}: use ≥ 0, > 0 e > 0")
    destination = Path(destination)
    transfer = _Transfer(url, sha256, n_bytes, max_bytes if n_bytes is None else n_bytes, timeout, progress)
    try:
        if transfer.accepts(destination):
            return destination
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _own_partial(destination, patience=timeout * (retries + 1)) as partial:
            if not transfer.accepts(destination):  # outro processo pode ter acabado de baixar
                destination.unlink(missing_ok=True)
                if not _copy_from_mirror(transfer, mirror_path, partial):
                    if offline:
                        raise DownloadError(url, "ainda não foi baixado, e a rede não foi usada porque offline=True")
                    _fetch(transfer, partial, retries, backoff)
                _publish(partial, destination)
    except OSError as error:
        reason = f"falha de disco ({error}); confira espaço e permissões em {destination.parent}"
        raise DownloadError(url, reason) from error
    return destination


@dataclass
class _Transfer:
    """O que se espera do arquivo, e como fazer uma tentativa de trazê-lo."""

    url: str
    sha256: str | None
    n_bytes: int | None
    limit: int
    timeout: float
    progress: bool
    etag: str | None = None

    def accepts(self, path: Path) -> bool:
        """Diz se `path` existe e é o arquivo esperado, até onde dá para conferir."""
        if not path.is_file() or self.n_bytes not in (None, path.stat().st_size):
            return False
        return self.sha256 is None or sha256_of(path) == self.sha256

    def attempt(self, partial: Path) -> None:
        """Faz um pedido só do que falta em `partial`; sem exceção, ele está completo e conferido."""
        start = partial.stat().st_size if partial.exists() else 0
        if start and self.sha256 is not None and self.accepts(partial):
            return
        headers = {"User-Agent": "llmdefinitions"}
        if start:
            headers |= {"Range": f"bytes={start}-"} | ({"If-Range": self.etag} if self.etag else {})
        with _open(web.Request(self.url, headers=headers), self.timeout) as response:
            start, total = self._plan(response, start)
            self._receive(response, partial, start, total)
        self._verify(partial, start, total)

    def _plan(self, response: http.client.HTTPResponse, start: int) -> tuple[int, int | None]:
        """Onde começar a gravar, e o tamanho total anunciado, conforme o que o servidor respondeu."""
        etag, previous = response.headers.get("ETag"), self.etag
        # ETag fraco (W/) não garante bytes iguais: não serve para emendar pedaços (RFC 9110, 8.8.1).
        self.etag = etag if etag and not etag.startswith("W/") else None
        if response.status == 206:
            span = re.match(r"bytes (\d+)-\d+/(\d+)?", response.headers.get("Content-Range", ""))
            if span is None or int(span[1]) != start or (previous and etag != previous):
                reason = "o servidor retomou do ponto errado, ou o arquivo mudou na origem"
                raise _Failure(reason, transient=True, restart=True)
            total = span[2]
        else:
            start, total = 0, response.headers.get("Content-Length")
        total = int(total) if total and total.isdecimal() else None
        if self.n_bytes is None and total is not None and total > self.limit:
            raise _Failure(f"o servidor anuncia {total} bytes; o limite é {self.limit}", transient=False)
        return start, total

    def _receive(self, response: http.client.HTTPResponse, partial: Path, start: int, total: int | None) -> None:
        """Grava o corpo em `partial` a partir de `start`, sem passar do limite nem do tamanho anunciado."""
        size = start
        bar = progress_bar(
            desc=self.url.rsplit("/", 1)[-1],
            initial=start,
            total=total,
            unit="B",
            unit_scale=True,
            show=None if self.progress else False,
        )
        with bar, open(partial, "ab" if start else "wb") as file:
            while total is None or size < total:
                try:
                    chunk = response.read1(_CHUNK if total is None else min(_CHUNK, total - size))
                except (OSError, http.client.HTTPException) as error:
                    raise _Failure(_describe(error), transient=True) from error
                if not chunk:
                    break
                size += len(chunk)
                if size > self.limit:
                    reason = f"o corpo passa do limite de {self.limit} bytes"
                    raise _Failure(reason, transient=False, restart=True)
                file.write(chunk)
                bar.update(len(chunk))

    def _verify(self, partial: Path, start: int, total: int | None) -> None:
        size = partial.stat().st_size
        expected = total if self.n_bytes is None else self.n_bytes
        if self.accepts(partial) and (self.sha256 is not None or expected in (None, size)):
            return
        if expected is not None and size < expected:
            raise _Failure(f"corpo truncado: vieram {size} de {expected} bytes", transient=True)
        reason = f"bytes errados: vieram {size}, de sha256 {sha256_of(partial)}; o esperado é {self.sha256}"
        # Emenda de versões diferentes, ou corpo cujo fim ninguém anunciou: do zero pode dar certo.
        raise _Failure(reason, transient=start > 0 or expected is None, restart=True)


def _open(request: web.Request, timeout: float) -> http.client.HTTPResponse:
    # Só http(s): o abridor padrão também seguiria um redirecionamento para ftp://.
    opener = web.OpenerDirector()
    for kind in ["Proxy", "Unknown", "HTTP", "HTTPS", "HTTPDefaultError", "HTTPRedirect"]:
        opener.add_handler(getattr(web, f"{kind}Handler")())
    opener.add_handler(web.HTTPErrorProcessor())
    try:
        return opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            restart = error.code == 416 and request.has_header("Range")  # o parcial é maior que o arquivo
            transient = restart or error.code in (408, 429) or error.code >= 500
            wait = _seconds(error.headers.get("Retry-After"))
            reason = f"o servidor respondeu {error.code} {error.reason}"
            raise _Failure(reason, transient=transient, restart=restart, wait=wait) from error
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        transient = isinstance(cause, _TRANSIENT) and not isinstance(cause, ssl.SSLCertVerificationError)
        raise _Failure(_describe(cause), transient=transient) from error


def _describe(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "o servidor parou de responder (tempo esgotado)"
    return f"a conexão falhou ({type(error).__name__}: {error})"


def _seconds(retry_after: str | None) -> float:
    """Espera pedida em `Retry-After`, em segundos; 0 quando ausente ou ilegível (RFC 9110, 10.2.3)."""
    if not retry_after or retry_after.isdecimal():
        return float(retry_after or 0)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0


def _fetch(transfer: _Transfer, partial: Path, retries: int, backoff: float) -> None:
    """Repete `attempt` até dar certo, até uma falha definitiva ou até acabarem as tentativas."""
    if transfer.sha256 is None:  # sem resumo não há como saber se um parcial antigo ainda é emendável
        partial.unlink(missing_ok=True)
    for tries in range(1, retries + 2):
        try:
            return transfer.attempt(partial)
        except _Failure as failure:
            final = not failure.transient or tries > retries
            if failure.restart or (transfer.sha256 is None and (final or transfer.etag is None)):
                partial.unlink(missing_ok=True)
            if final:
                raise DownloadError(transfer.url, str(failure), tries) from failure
            delay = backoff * 2 ** (tries - 1) * _JITTER.uniform(0.5, 1.5)
            time.sleep(min(_MAX_WAIT, max(delay, failure.wait)))


def _copy_from_mirror(transfer: _Transfer, mirror_path: str | None, partial: Path) -> bool:
    """Copia do espelho para `partial`, se o espelho tem o arquivo; o que não confere é erro, não silêncio."""
    root = os.environ.get(MIRROR_ENV)
    if not root or mirror_path is None:
        return False
    if not Path(root).is_dir():
        raise DownloadError(transfer.url, f"{MIRROR_ENV} aponta para {root!r}, que não é uma pasta")
    source = Path(root, mirror_path)
    if not source.is_file():
        return False
    shutil.copyfile(source, partial)
    if not transfer.accepts(partial):
        found = f"{partial.stat().st_size} bytes e sha256 {sha256_of(partial)}"
        partial.unlink()
        expected = f"{transfer.n_bytes or 'tamanho qualquer'} e {transfer.sha256}"
        reason = f"o arquivo do espelho {source} tem {found}, e o esperado é {expected}; corrija-o ou apague-o"
        raise DownloadError(transfer.url, reason)
    return True


def _publish(partial: Path, destination: Path) -> None:
    with open(partial, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(partial, destination)
    if os.name == "posix":  # sem isto, uma queda de energia pode desfazer o novo nome
        folder = os.open(destination.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


@contextlib.contextmanager
def _own_partial(destination: Path, *, patience: float) -> Iterator[Path]:
    """Caminho onde só quem o recebe escreve: o retomável, ou um avulso se outro processo não o soltar."""
    locks = destination.parent / ".travas"
    locks.mkdir(exist_ok=True)
    lock = FileLock(locks / f"{destination.name}.trava")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.acquire(timeout=patience))
            partial = destination.with_name(f"{destination.name}.parcial")
        except Timeout:
            partial = destination.with_name(f"{destination.name}.{secrets.token_hex(6)}.parcial")
            stack.callback(partial.unlink, missing_ok=True)
        yield partial
