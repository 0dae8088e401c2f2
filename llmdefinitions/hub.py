"""Arquivos de modelos do Hugging Face Hub: baixados uma vez, todos do mesmo commit, e conferidos a cada uso."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from .download import sha256_of

_COMMIT = re.compile("[0-9a-f]{40}")


class ModelUnavailableError(RuntimeError):
    """O modelo pode existir, mas não pôde ser obtido agora; a mensagem diz por quê e o que usar no lugar."""

    def __init__(self, repo: str, reason: object) -> None:
        self.repo, self.reason = repo, str(reason)
        super().__init__(
            f"não foi possível obter o modelo {repo!r} do Hugging Face Hub: {reason}. O que fazer: confira a rede e "
            "execute de novo; ou dê o caminho de uma pasta que já tenha o modelo; ou use o modelo embutido, "
            "load_pretrained('mini-pt'), que não precisa de rede"
        )


class HubSnapshot:
    """Arquivos de um repositório do Hub, todos do mesmo commit, no cache da biblioteca `huggingface_hub`.

    O Hub identifica cada arquivo pelo conteúdo: os grandes pelo sha256, os pequenos pelo sha1 que o git calcula. O
    arquivo é conferido a cada uso contra essa identidade (cerca de um segundo por gigabyte), e um que não confere é
    apagado e baixado mais uma vez. Só ficam sem resumo, confiados ao tamanho e ao commit, os de um servidor que não
    informa nenhum dos dois e, sem rede, os de um sistema sem ligações simbólicas, onde o cache não o guarda.

    Parâmetros:
        repo: `"dono/nome"`.
        revision: ramo, etiqueta ou commit; sem ele, o ramo principal.
        cache_dir: pasta do cache; sem ela, a da biblioteca, compartilhada com o `transformers`.
    """

    def __init__(
        self, repo: str, *, revision: str | None = None, cache_dir: str | os.PathLike[str] | None = None
    ) -> None:
        self.label = repo
        self._revision, self._cache = revision, cache_dir
        self._pinned = False
        self._no_network: Exception | None = None

    def find(self, filename: str) -> Path | None:
        """Caminho do arquivo no cache, baixado se preciso, ou `None` se não existe (sem rede, se não está lá).

        Erros:
            ValueError: repositório ou revisão que não existem.
            ModelUnavailableError: o download falhou, ou os bytes não são os anunciados.
        """
        self._pin()
        for _ in range(2):
            path = self._fetch(filename)
            if path is None or self._is_intact(path, filename):
                return path
            _forget(path)
        reason = f"{filename} veio duas vezes com bytes que não são os que o servidor anuncia"
        raise ModelUnavailableError(self.label, reason)

    def has(self, filename: str) -> bool:
        """Diz se o repositório tem o arquivo, sem baixá-lo; sem rede, se ele está no cache."""
        return self.find(filename) is not None if self._no_network else self._etag(filename) is not None

    def missing(self, names: Sequence[str]) -> Exception:
        """Erro que lista o que falta: no repositório ou, sem rede, no cache."""
        if self._no_network:
            reason = f"sem acesso ao Hub ({_describe(self._no_network)}), e o cache não tem {'; nem '.join(names)}"
            return ModelUnavailableError(self.label, reason)
        return ValueError(f"o repositório não tem {'; nem '.join(names)}. Use outro modelo.")

    def _pin(self) -> None:
        """Descobre, com um pedido sem insistência, se há rede; e fixa o commit de todos os arquivos."""
        import huggingface_hub as hub
        from huggingface_hub.utils import (
            EntryNotFoundError,
            GatedRepoError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        if self._pinned:
            return
        self._pinned = True
        try:
            hub.get_hf_file_metadata(hub.hf_hub_url(self.label, "config.json", revision=self._revision))
        except GatedRepoError as error:
            raise ValueError("o repositório é restrito: aceite os termos dele e entre com `hf auth login`.") from error
        except RepositoryNotFoundError as error:
            raise ValueError("o repositório não existe no Hub, ou é privado: confira o nome.") from error
        except RevisionNotFoundError as error:
            raise ValueError(f"o repositório não tem a revisão {self._revision!r}: confira o nome dela.") from error
        except EntryNotFoundError:
            return
        except ValueError as error:
            raise ValueError(f"o nome do repositório é inválido ({error}); use 'dono/nome'.") from error
        except Exception as error:  # o tipo muda com a versão da biblioteca: requests, httpx, httpx2
            self._no_network = error
        if (path := self._fetch("config.json")) and _COMMIT.fullmatch(path.parent.name):
            self._revision = path.parent.name

    def _fetch(self, filename: str) -> Path | None:
        import huggingface_hub as hub
        from huggingface_hub.utils import EntryNotFoundError, LocalEntryNotFoundError

        offline = self._no_network is not None
        try:
            path = hub.hf_hub_download(
                self.label, filename, revision=self._revision, cache_dir=self._cache, local_files_only=offline
            )
        except LocalEntryNotFoundError as error:  # também é EntryNotFoundError, mas pode ser queda da rede
            if offline:
                return None
            raise ModelUnavailableError(self.label, _describe(error)) from error
        except EntryNotFoundError:
            return None
        except Exception as error:  # conexão, corpo truncado, disco cheio: cada versão levanta um tipo
            raise ModelUnavailableError(self.label, f"{filename}: {_describe(error)}") from error
        return Path(path)

    def _is_intact(self, path: Path, filename: str) -> bool:
        # No cache com ligações simbólicas o nome do arquivo apontado é a identidade que o servidor informou.
        etag = Path(os.readlink(path)).name if path.is_symlink() else self._etag(filename)
        if etag and re.fullmatch("[0-9a-f]{64}", etag):
            return sha256_of(path) == etag
        if etag and re.fullmatch("[0-9a-f]{40}", etag):
            data = path.read_bytes()
            return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == etag
        return True

    def _etag(self, filename: str) -> str | None:
        import huggingface_hub as hub

        try:
            url = hub.hf_hub_url(self.label, filename, revision=self._revision)
            return hub.get_hf_file_metadata(url).etag
        except Exception:  # sem rede ou sem o arquivo: não há identidade a comparar
            return None


def _forget(path: Path) -> None:
    target = path.parent / os.readlink(path) if path.is_symlink() else path
    path.unlink(missing_ok=True)
    target.unlink(missing_ok=True)


def _describe(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"
