"""Um Hugging Face Hub de mentira, por HTTP de verdade: a parte da API que `huggingface_hub` usa para baixar arquivos.

Como no Hub, os arquivos grandes têm por identidade o sha256 e são redirecionados para outro endereço, e os pequenos
têm o sha1 do git. Um repositório pode mentir: `adultera` troca os bytes que saem, sem trocar o que se anuncia.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

GRANDES = (".safetensors", ".bin")


@dataclass
class Repositorio:
    """Versões de um modelo, por commit; `commit` é a atual, a do ramo principal."""

    versoes: dict[str, dict[str, bytes]]
    commit: str = "a" * 40
    adultera: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    sem_resumo: bool = False
    restrito: bool = False

    @classmethod
    def da_pasta(cls, pasta: Path) -> "Repositorio":
        repo = cls({})
        repo.publica(pasta, repo.commit)
        return repo

    def publica(self, pasta: Path, commit: str) -> None:
        self.versoes[commit] = {p.name: p.read_bytes() for p in pasta.iterdir() if p.is_file()}
        self.commit = commit

    @property
    def arquivos(self) -> dict[str, bytes]:
        return self.versoes[self.commit]

    def resumo(self, nome: str, dados: bytes) -> str:
        if self.sem_resumo:
            return f"versao-1-{nome}"
        if nome.endswith(GRANDES):
            return hashlib.sha256(dados).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(dados) + dados).hexdigest()


class Atendente(BaseHTTPRequestHandler):
    server: "HubFalso"

    def do_HEAD(self) -> None:
        self._atende()

    def do_GET(self) -> None:
        self._atende()

    def log_message(self, *_: object) -> None:
        """Silêncio: o que interessa está em `pedidos`."""

    def _atende(self) -> None:
        self.server.pedidos.append((self.command, self.path))
        if self.server.quebrado:
            return self._erro(503, "ServiceUnavailable")
        partes = self.path.strip("/").split("/")
        grande = partes[0] == "cdn"
        dono, nome, _, revisao, *caminho = partes[1:] if grande else partes
        repo = self.server.repos.get(f"{dono}/{nome}")
        arquivo = "/".join(caminho)
        if repo is None:
            return self._erro(404, "RepoNotFound")
        if repo.restrito:
            return self._erro(403, "GatedRepo")
        commit = repo.commit if revisao == "main" else revisao
        if commit not in repo.versoes:
            return self._erro(404, "RevisionNotFound")
        comum = {"X_Repo_Commit": commit}
        if arquivo not in repo.versoes[commit]:
            return self._erro(404, "EntryNotFound", **comum)
        certo = repo.versoes[commit][arquivo]
        resumo = f'"{repo.resumo(arquivo, certo)}"'
        if arquivo.endswith(GRANDES) and not grande:
            destino = f"/cdn/{dono}/{nome}/resolve/{revisao}/{arquivo}"
            # Outro nome de máquina, como no Hub: dentro da mesma, a biblioteca já seguiria no HEAD.
            destino = f"http://localhost:{self.server.server_address[1]}{destino}"
            return self._responde(302, b"", Location=destino, X_Linked_Etag=resumo, X_Linked_Size=len(certo), **comum)
        dados = repo.adultera.get(arquivo, bytes)(certo) if self.command == "GET" else b""
        etag = '"outro-no-cdn"' if grande else resumo
        return self._responde(200, dados, tamanho=len(certo), ETag=etag, **comum)

    def _erro(self, codigo: int, nome: str, **cabecalhos: object) -> None:
        self._responde(codigo, b"", X_Error_Code=nome, X_Error_Message=nome, **cabecalhos)

    def _responde(self, codigo: int, dados: bytes, *, tamanho: int | None = None, **cabecalhos: object) -> None:
        self.send_response(codigo)
        for nome, valor in cabecalhos.items():
            self.send_header(nome.replace("_", "-"), str(valor))
        self.send_header("Content-Length", str(len(dados) if tamanho is None else tamanho))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(dados)


class HubFalso(ThreadingHTTPServer):
    """Gerenciador de contexto: sobe numa porta livre de 127.0.0.1 e derruba tudo ao sair."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Atendente)
        self.repos: dict[str, Repositorio] = {}
        self.pedidos: list[tuple[str, str]] = []
        self.quebrado = False
        self.linha = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> "HubFalso":
        self.linha.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.desliga()

    def desliga(self) -> None:
        """Daqui em diante a conexão é recusada."""
        if self.linha.is_alive():
            self.shutdown()
            self.linha.join()
            self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """O cliente que desiste no meio é parte do teste, não um erro a imprimir."""

    @property
    def endereco(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def baixados(self) -> list[str]:
        """Nomes dos arquivos de modelos pedidos com GET, fora os redirecionamentos."""
        arquivos = [c for metodo, c in self.pedidos if metodo == "GET" and "/resolve/" in c]
        return [c.rsplit("/", 1)[1] for c in arquivos if not self._redireciona(c)]

    @staticmethod
    def _redireciona(caminho: str) -> bool:
        return caminho.endswith(GRANDES) and not caminho.startswith("/cdn/")
