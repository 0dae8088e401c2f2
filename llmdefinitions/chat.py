"""Conversar com um servidor de modelos por HTTP: a API `/api/chat` do Ollama, ou `/v1/chat/completions`, a da OpenAI.

A resposta é lida à medida que chega. O que dá errado vira exceção com o motivo, o que já tinha chegado e o remédio:
:class:`ServerUnavailableError` quando não há servidor, :class:`ChatError` quando há, mas a resposta não presta.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import random
import time
import urllib.error
import urllib.request as web
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

OLLAMA_URL = "http://localhost:11434/api/chat"
_MAX_BYTES = 1 << 20  # um juiz responde poucas linhas; mais que isto é servidor desgovernado
_MAX_WAIT = 60.0
_END = object()  # o servidor disse que acabou
# Gerador próprio: o sorteio da espera não pode consumir o `random` em que o leitor pôs semente.
_JITTER = random.Random()


class ChatError(RuntimeError):
    """O servidor existe, mas a resposta não serviu; `partial` é o que dela já tinha chegado."""

    def __init__(self, reason: str, *, transient: bool = False, partial: str = "", wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.transient, self.partial, self.wait = reason, transient, partial, wait


class ServerUnavailableError(ConnectionError):
    """Nenhum servidor atende no endereço."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(
            f"nenhum servidor responde em {url} ({reason}). O que fazer: com o Ollama, rode `ollama serve` em outro "
            "terminal e `ollama pull` do modelo; ou suba qualquer servidor compatível com a OpenAI e passe "
            "url='http://endereço/v1/chat/completions'; ou use o pequeno juiz local, com "
            "llmdefinitions.judge_server.local_judge_server()."
        )


@dataclass(frozen=True)
class ChatOptions:
    """Como pedir e por quanto esperar.

    Atributos:
        timeout: segundos sem chegar nada até desistir de uma tentativa.
        deadline: segundos, ao todo, para uma tentativa.
        retries: novas tentativas depois de uma falha passageira (silêncio, conexão cortada, 408, 429, 5xx).
        backoff: espera antes da segunda tentativa, em segundos; dobra a cada uma, com sorteio de ±50%.
        temperature: 0 pede a resposta mais provável.
        seed: semente do sorteio no servidor.
        max_tokens: tamanho máximo da resposta; sem ele, o do servidor.
        context: janela pedida ao Ollama (`num_ctx`), em tokens.
        extra: campos a mais no pedido, como `logprobs`.
    """

    timeout: float = 60.0
    deadline: float = 300.0
    retries: int = 3
    backoff: float = 1.0
    temperature: float = 0.0
    seed: int = 123
    max_tokens: int | None = None
    context: int = 2048
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.timeout <= 0 or self.deadline <= 0 or self.retries < 0 or self.backoff < 0:
            raise ValueError(
                f"timeout={self.timeout}, deadline={self.deadline}, retries={self.retries}, backoff={self.backoff}: "
                "esperados > 0, > 0, ≥ 0 e ≥ 0."
            )


def query_model(
    prompt: str,
    model: str = "llama3",
    url: str = OLLAMA_URL,
    *,
    options: ChatOptions | None = None,
    on_text: Callable[[str], None] | None = None,
) -> str:
    """Pergunta a um modelo e devolve o texto da resposta.

    Parâmetros:
        prompt: a mensagem do usuário.
        model: nome do modelo no servidor.
        url: termina em `/api/chat` (Ollama) ou `/chat/completions` (OpenAI e compatíveis).
        options: esperas, tentativas e amostragem.
        on_text: chamada com cada pedaço de texto, à medida que chega.

    Erros:
        ValueError: prompt vazio, ou endereço que não é de nenhuma das duas APIs.
        ServerUnavailableError: ninguém atende no endereço; sem novas tentativas, para que se saiba logo.
        ChatError: a resposta não serviu, nem nas novas tentativas; a mensagem diz por quê.
    """
    if not prompt.strip():
        raise ValueError("o prompt está vazio: escreva o que perguntar ao modelo.")
    options = options or ChatOptions()
    payload, read = _protocol(url, prompt, model, options)
    for attempt in itertools.count():
        try:
            return _attempt(url, payload, read, options, on_text)
        except ChatError as error:
            if not error.transient or attempt == options.retries:
                raise
            delay = options.backoff * 2**attempt * _JITTER.uniform(0.5, 1.5)
            time.sleep(min(_MAX_WAIT, max(delay, error.wait)))


_Reader = Callable[[Any], "tuple[str, bool]"]


def _protocol(url: str, prompt: str, model: str, options: ChatOptions) -> tuple[dict[str, Any], _Reader]:
    """O corpo do pedido, e quem lê cada objeto da resposta: (texto, se é o fim)."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if parts.scheme not in ("http", "https") or not path.endswith(("/api/chat", "/chat/completions")):
        raise ValueError(
            f"url={url!r}: esperado um endereço http(s) que termine em /api/chat (Ollama) ou /v1/chat/completions."
        )
    payload: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": True}
    if path.endswith("/api/chat"):
        payload["options"] = {
            "seed": options.seed,
            "temperature": options.temperature,
            "num_ctx": options.context,
            **({} if options.max_tokens is None else {"num_predict": options.max_tokens}),
        }
        return payload | dict(options.extra), _read_ollama
    payload |= {"temperature": options.temperature, "seed": options.seed}
    if options.max_tokens is not None:
        payload["max_tokens"] = options.max_tokens
    return payload | dict(options.extra), _read_openai


def _read_ollama(item: Any) -> tuple[str, bool]:
    return item["message"]["content"] or "", bool(item.get("done"))


def _read_openai(item: Any) -> tuple[str, bool]:
    if not item["choices"]:  # alguns servidores mandam o uso de tokens num objeto sem escolhas
        return "", False
    choice = item["choices"][0]
    message = choice["message"] if "message" in choice else choice["delta"]
    return message.get("content") or "", choice.get("finish_reason") is not None


def _attempt(
    url: str, payload: Mapping[str, Any], read: _Reader, options: ChatOptions, on_text: Callable[[str], None] | None
) -> str:
    until = time.monotonic() + options.deadline
    body = json.dumps(payload).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "llmdefinitions"}
    pieces: list[str] = []
    try:
        with _open(url, web.Request(url, data=body, headers=headers), options.timeout) as response:
            charset = response.headers.get_content_charset() or "utf-8"
            for item in _objects(_lines(response, until, options), charset):
                if item is _END:
                    return "".join(pieces)
                text, done = _text(item, read)
                pieces.append(text)
                if text and on_text:
                    on_text(text)
                if done:
                    return "".join(pieces)
    except ChatError as error:
        error.partial = error.partial or "".join(pieces)
        raise
    except ServerUnavailableError:
        raise
    except (OSError, HTTPException) as error:
        raise ChatError(_describe(error, options), transient=True, partial="".join(pieces)) from error
    raise ChatError("a resposta foi cortada antes do fim", transient=True, partial="".join(pieces))


def _open(url: str, request: web.Request, timeout: float) -> HTTPResponse:
    # Sem redirecionamentos, que fariam do POST um GET; e sem proxy para a própria máquina.
    proxies = web.ProxyHandler({}) if _is_loopback(urlsplit(url).hostname) else web.ProxyHandler()
    opener = web.OpenerDirector()
    for handler in (proxies, web.HTTPHandler(), web.HTTPSHandler(), web.HTTPDefaultErrorHandler()):
        opener.add_handler(handler)
    opener.add_handler(web.HTTPErrorProcessor())
    try:
        return opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
            raise error.reason from error  # atendeu e desligou: há servidor
        raise ServerUnavailableError(url, str(error.reason)) from error


def _refusal(error: urllib.error.HTTPError) -> ChatError:
    try:
        said = " ".join(error.read(2000).decode("utf-8", "replace").split())[:200]
    except (OSError, HTTPException):
        said = ""
    reason = f"o servidor respondeu {error.code}" + (f": {said}" if said else "")
    if error.code == 404:
        reason += " (confira o nome do modelo, que o Ollama baixa com `ollama pull`, e o caminho do endereço)"
    after = error.headers.get("Retry-After") or ""
    wait = float(after) if after.isdecimal() else 0.0
    return ChatError(reason, transient=error.code in (408, 429) or error.code >= 500, partial=said, wait=wait)


def _lines(response: HTTPResponse, until: float, options: ChatOptions) -> Iterator[bytes]:
    """Linhas da resposta à medida que chegam, sem passar do prazo nem do tamanho máximo."""
    pending, size = b"", 0
    while chunk := response.read1(1 << 16):
        size += len(chunk)
        if size > _MAX_BYTES:
            raise ChatError(f"a resposta passa de {_MAX_BYTES} bytes")
        if time.monotonic() > until:
            raise ChatError(f"a resposta não acabou em {options.deadline:g} s", transient=True)
        *whole, pending = (pending + chunk).split(b"\n")
        yield from whole
    yield pending


def _objects(lines: Iterator[bytes], charset: str) -> Iterator[Any]:
    """Objetos JSON da resposta: um por linha, por evento `data:` (SSE), ou um só em várias linhas; `_END` é o fim."""
    pending = ""
    for raw in lines:
        try:
            line = raw.decode(charset).strip("\ufeff \t\r")
        except (UnicodeDecodeError, LookupError) as error:
            partial = raw.decode("utf-8", "backslashreplace")
            raise ChatError(f"a resposta não está em {charset}: {error}", partial=partial) from error
        if line.startswith("data:"):
            line = line[5:].strip()
            if line == "[DONE]":
                yield _END
        elif line.startswith((":", "event:", "id:", "retry:")):
            continue
        if not line or line == "[DONE]":
            continue
        if not pending and line.startswith("<"):
            raise ChatError(
                "veio uma página HTML no lugar de JSON; confira se o endereço é o da API, e não o de um site",
                partial=line[:500],
            )
        pending += line
        try:
            item = json.loads(pending)
        except json.JSONDecodeError:
            continue
        pending = ""
        yield item
    if pending:
        raise ChatError("veio JSON inválido ou cortado no meio", transient=True, partial=pending[:500])


def _text(item: Any, read: _Reader) -> tuple[str, bool]:
    if isinstance(item, dict) and item.get("error"):
        raise ChatError(f"o servidor relatou um erro: {item['error']}", transient=True)
    try:
        text, done = read(item)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        sample = json.dumps(item, ensure_ascii=False)[:300]
        raise ChatError(f"o JSON não tem a forma esperada ({error!r})", partial=sample) from error
    if not isinstance(text, str):
        raise ChatError(f"o conteúdo da resposta é {type(text).__name__}, e não texto", partial=str(text)[:300])
    return text, done


def _describe(error: Exception, options: ChatOptions) -> str:
    if isinstance(error, TimeoutError):
        return f"o servidor ficou mais de {options.timeout:g} s sem mandar nada"
    return f"a conexão caiu no meio ({type(error).__name__}: {error})"


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
