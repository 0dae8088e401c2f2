"""O que todos os testes compartilham: nenhuma conexão para fora, espelho dos dados, servidor local, site, navegador."""

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from servidor import ServidorRuim

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

# Nenhum teste tem prazo: numa máquina ocupada, uma propriedade lenta não é uma propriedade falsa.
hypothesis.settings.register_profile("livro", deadline=None)
hypothesis.settings.load_profile("livro")

# Um arquivo de cada parte da árvore, para reconhecer uma pasta errada antes de qualquer teste.
ARVORE_DO_ESPELHO = ("the-verdict.txt", "instruction-data.json", "machado/html_a-cartomante_2.html.txt")


def _e_local(host: object) -> bool:
    nome = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if nome in ("localhost", socket.gethostname()):
        return True
    try:
        endereco = ipaddress.ip_address(nome.partition("%")[0])
    except ValueError:
        return False
    return endereco.is_loopback or endereco.is_unspecified


@pytest.fixture(scope="session", autouse=True)
def sem_rede() -> Iterator[None]:
    """Todo teste roda sem internet: quem tentar sair da própria máquina falha, com o endereço no erro.

    `pytest.fail` não deriva de `Exception`: um `except OSError` no código testado não o esconde.
    """
    conectar, conectar_ex, resolver = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def confere(host: object) -> None:
        if not _e_local(host):
            pytest.fail(f"o teste tentou usar a rede: {host!r}")

    def connect(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            confere(address[0])
        return conectar(self, address)

    def connect_ex(self: socket.socket, address: object) -> int:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            confere(address[0])
        return conectar_ex(self, address)

    def getaddrinfo(host: object, *args: object, **kwargs: object) -> list:
        confere(host)
        return resolver(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket.socket, "connect_ex", connect_ex)
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        for nome in ("http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(nome, raising=False)
            patch.delenv(nome.upper(), raising=False)
        yield


@pytest.fixture
def espelho() -> Path:
    """Pasta com os dados reais; sem a variável o teste é pulado, com a variável errada ele falha."""
    raiz = os.environ.get("LLMDEFINITIONS_ESPELHO")
    if not raiz:
        pytest.skip("sem espelho dos dados: defina LLMDEFINITIONS_ESPELHO com a pasta que os contém")
    faltam = [nome for nome in ARVORE_DO_ESPELHO if not Path(raiz, nome).is_file()]
    if faltam:
        pytest.fail(f"LLMDEFINITIONS_ESPELHO={raiz!r} não tem {faltam}")
    return Path(raiz)


@pytest.fixture
def sem_espelho(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMDEFINITIONS_ESPELHO", raising=False)


@pytest.fixture
def servidor() -> Iterator[ServidorRuim]:
    with ServidorRuim() as ligado:
        yield ligado


@pytest.fixture(scope="session")
def html() -> Path:
    """A pasta do site construído."""
    from livro import require_site  # aqui, e não no alto: os testes do pacote rodam também sem bs4

    return require_site()


@pytest.fixture(scope="session")
def pages(html: Path) -> "dict[str, BeautifulSoup]":
    """Cada página do site, pelo caminho relativo."""
    from livro import read_pages

    return read_pages()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Um Chromium do sistema, sem janela: um só para todos os testes, porque o Playwright não abre dois."""
    from abas import launched_browser

    with launched_browser() as launched:
        yield launched


@pytest.fixture(scope="session")
def origin(html: Path) -> Iterator[str]:
    """O endereço do site servido em 127.0.0.1."""
    from abas import served_folder

    with served_folder(html) as address:
        yield address
