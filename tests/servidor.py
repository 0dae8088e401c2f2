"""Servidor HTTP real, na própria máquina, que se comporta mal de propósito.

Cada rota recebe um comportamento: uma função que responde ao pedido como quiser. O servidor anota cada
pedido (caminho, cabeçalho Range, código e bytes de corpo enviados), para que o teste confira o que
realmente passou pela rede.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Comportamento = Callable[["Atendente"], None]


@dataclass
class Pedido:
    caminho: str
    faixa: str | None
    codigo: int = 0
    enviados: int = 0
    recebido: bytes = b""


class Atendente(BaseHTTPRequestHandler):
    """Um pedido: os comportamentos usam `responder` e `corpo` para falar com o cliente."""

    server: "ServidorRuim"

    def do_GET(self) -> None:
        self.pedido = Pedido(self.path, self.headers.get("Range"))
        with self.server.tranca:
            self.server.pedidos.append(self.pedido)
        self.server.rotas.get(self.path, codigo(404))(self)

    def do_POST(self) -> None:
        self.pedido = Pedido(self.path, None, recebido=self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.tranca:
            self.server.pedidos.append(self.pedido)
        self.server.rotas.get(self.path, codigo(404))(self)

    def responder(self, status: int, **cabecalhos: object) -> None:
        self.pedido.codigo = status
        self.send_response(status)
        for nome, valor in cabecalhos.items():
            self.send_header(nome.replace("_", "-"), str(valor))
        self.end_headers()

    def corpo(self, dados: bytes) -> None:
        self.wfile.write(dados)
        self.wfile.flush()
        self.pedido.enviados += len(dados)

    @property
    def inicio(self) -> int:
        """Primeiro byte pedido em `Range: bytes=N-`."""
        return int(self.pedido.faixa.removeprefix("bytes=").removesuffix("-")) if self.pedido.faixa else 0

    def log_message(self, *_: object) -> None:
        """Silêncio: o que interessa está em `pedidos`."""


@dataclass
class ServidorRuim(ThreadingHTTPServer):
    """Gerenciador de contexto: sobe numa porta livre de 127.0.0.1 e derruba tudo ao sair."""

    rotas: dict[str, Comportamento] = field(default_factory=dict)
    pedidos: list[Pedido] = field(default_factory=list)

    daemon_threads = True

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Atendente)
        self.tranca = threading.Lock()
        self.fim = threading.Event()
        self.linha = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> "ServidorRuim":
        self.linha.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.fim.set()
        self.shutdown()
        self.linha.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """O cliente que desiste no meio é parte do teste, não um erro a imprimir."""

    def url(self, caminho: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{caminho}"

    @property
    def total_enviado(self) -> int:
        return sum(pedido.enviados for pedido in self.pedidos)


def certo(dados: bytes, **cabecalhos: object) -> Comportamento:
    """Atende `Range` como manda a RFC 9110."""

    def responde(a: Atendente) -> None:
        if a.inicio >= len(dados) > 0:
            return a.responder(416, Content_Range=f"bytes */{len(dados)}", Content_Length=0)
        parte = dados[a.inicio :]
        if a.pedido.faixa:
            faixa = f"bytes {a.inicio}-{len(dados) - 1}/{len(dados)}"
            a.responder(206, Content_Length=len(parte), Content_Range=faixa, **cabecalhos)
        else:
            a.responder(200, Content_Length=len(parte), **cabecalhos)
        return a.corpo(parte)

    return responde


def sem_faixa(dados: bytes, **cabecalhos: object) -> Comportamento:
    """Ignora `Range`: sempre 200 com o corpo inteiro."""

    def responde(a: Atendente) -> None:
        a.responder(200, Content_Length=len(dados), **cabecalhos)
        a.corpo(dados)

    return responde


def faixa_errada(dados: bytes, desvio: int) -> Comportamento:
    """Responde 206, mas a partir de outro byte."""

    def responde(a: Atendente) -> None:
        if not a.pedido.faixa:
            return sem_faixa(dados)(a)
        inicio = a.inicio + desvio
        faixa = f"bytes {inicio}-{len(dados) - 1}/{len(dados)}"
        a.responder(206, Content_Length=len(dados) - inicio, Content_Range=faixa)
        return a.corpo(dados[inicio:])

    return responde


def trunca(dados: bytes, depois: int, **cabecalhos: object) -> Comportamento:
    """Anuncia tudo, manda os primeiros `depois` bytes e corta a conexão."""

    def responde(a: Atendente) -> None:
        a.responder(200, Content_Length=len(dados), **cabecalhos)
        a.corpo(dados[:depois])

    return responde


def trava(dados: bytes, depois: int) -> Comportamento:
    """Manda `depois` bytes e fica mudo, com a conexão aberta, até o servidor cair."""

    def responde(a: Atendente) -> None:
        a.responder(200, Content_Length=len(dados))
        a.corpo(dados[:depois])
        a.server.fim.wait(10)

    return responde


def mudo(a: Atendente) -> None:
    """Aceita o pedido e não responde nem o cabeçalho."""
    a.server.fim.wait(10)


def codigo(status: int, **cabecalhos: object) -> Comportamento:
    """Um código de erro, com corpo que não pode acabar no arquivo."""

    def responde(a: Atendente) -> None:
        a.responder(status, Content_Length=4, **cabecalhos)
        a.corpo(b"erro")

    return responde


def anuncia(dados: bytes, tamanho: int | None) -> Comportamento:
    """Anuncia `tamanho` (None: não anuncia) e manda `dados` inteiros; atende `Range` sem mentir."""

    def responde(a: Atendente) -> None:
        if a.pedido.faixa:
            return certo(dados)(a)
        a.responder(200, **({} if tamanho is None else {"Content_Length": tamanho}))
        return a.corpo(dados)

    return responde


def em_pedacos(pedacos: list[bytes], *, termina: bool = True) -> Comportamento:
    """`Transfer-Encoding: chunked`; com `termina=False`, corta antes do pedaço final."""

    def responde(a: Atendente) -> None:
        a.protocol_version = "HTTP/1.1"
        a.responder(200, Transfer_Encoding="chunked", Connection="close")
        for pedaco in pedacos:
            a.wfile.write(b"%x\r\n%s\r\n" % (len(pedaco), pedaco))
        a.wfile.write(b"0\r\n\r\n" if termina else b"")
        a.close_connection = True

    return responde


def goteja(dados: bytes, pausa: float) -> Comportamento:
    """Um byte por vez, com uma pausa entre eles."""

    def responde(a: Atendente) -> None:
        a.responder(200, Content_Length=len(dados))
        for i in range(len(dados)):
            a.corpo(dados[i : i + 1])
            a.server.fim.wait(pausa)

    return responde


def infinito(a: Atendente) -> None:
    """Não anuncia tamanho e não para de mandar (até 50 MB, para o teste nunca encher o disco)."""
    a.responder(200)
    while a.pedido.enviados < 50_000_000 and not a.server.fim.is_set():
        a.corpo(b"x" * 65_536)


def redireciona(destino: str) -> Comportamento:
    def responde(a: Atendente) -> None:
        a.responder(302, Location=destino, Content_Length=0)

    return responde


def em_ordem(*comportamentos: Comportamento) -> Comportamento:
    """Um comportamento por pedido; o último se repete."""
    fila = list(comportamentos)

    def responde(a: Atendente) -> None:
        with a.server.tranca:
            atual = fila.pop(0) if len(fila) > 1 else fila[0]
        atual(a)

    return responde
