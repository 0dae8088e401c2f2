"""Os corpora do livro: o que existe, de onde vem, sob que licença, e como chega conferido até o leitor."""

import os
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from .download import MIRROR_ENV, DownloadError, download_file
from .progress import progress_bar

VERDICT_URL = "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/ch02/01_main-chapter-code/the-verdict.txt"
VERDICT_SHA256 = "b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f"
# Commit por extenso: o GitHub responde 404 quando uma abreviação se torna ambígua.
MACHADO_URL = (
    "https://raw.githubusercontent.com/Henric234/MachadoScraper/446021d695f706d173ca988db0b988fc4ca6e05d/txts/"
)


class CorpusUnavailableError(RuntimeError):
    """O corpus existe, mas não pôde ser obtido agora; a mensagem diz por quê e o que usar no lugar."""


@dataclass(frozen=True)
class CorpusInfo:
    """Ficha de um corpus: origem, licença e tamanho.

    `n_bytes` é o tamanho do original em UTF-8, e `n_documents`, o número de documentos; ambos `None` quando
    dependem do que se pede. `embedded`: não precisa de rede.
    """

    name: str
    title: str
    language: str
    origin: str
    licence: str
    n_bytes: int | None
    n_documents: int | None
    embedded: bool


@dataclass(frozen=True)
class Corpus:
    """Documentos de um corpus, cada um com seu nome, na mesma ordem."""

    info: CorpusInfo
    documents: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def text(self) -> str:
        """Os documentos num texto só, separados por uma linha em branco."""
        return "\n\n".join(self.documents)


_CORPORA = {
    info.name: info
    for info in (
        CorpusInfo(
            name="bncc",
            title="Base Nacional Comum Curricular: aprendizagens e competências",
            language="pt",
            origin="pacote bncc 0.5.1 do PyPI, dados de https://github.com/bncc-dev/bncc-dados",
            licence='CC BY 4.0: "Dados da BNCC estruturados por bncc.dev"; textos dos documentos do MEC/CNE',
            n_bytes=377_853,
            n_documents=1_821,
            embedded=True,
        ),
        CorpusInfo(
            name="historias",
            title="Pequenas histórias sorteadas de uma gramática, com probabilidade conhecida",
            language="pt",
            origin="geradas por llmdefinitions.stories",
            licence="CC BY 4.0, como o texto deste livro",
            n_bytes=None,
            n_documents=None,
            embedded=True,
        ),
        CorpusInfo(
            name="the-verdict",
            title="The Verdict, conto de Edith Wharton (1908)",
            language="en",
            origin=VERDICT_URL,
            licence="domínio público",
            n_bytes=20_479,
            n_documents=1,
            embedded=False,
        ),
        CorpusInfo(
            name="machado",
            title="Obras de Machado de Assis: romances, contos e novelas",
            language="pt",
            origin=MACHADO_URL,
            licence="domínio público; notas e introduções das edições eletrônicas são de seus autores",
            n_bytes=8_635_337,
            n_documents=191,
            embedded=False,
        ),
    )
}


def available_corpora() -> tuple[CorpusInfo, ...]:
    """Fichas de todos os corpora, primeiro os embutidos."""
    return tuple(_CORPORA.values())


def load_corpus(
    name: str,
    *,
    cache_dir: str | Path | None = None,
    offline: bool = False,
    n_stories: int = 2000,
    seed: int = 123,
) -> Corpus:
    """Carrega um corpus: os embutidos na hora, os outros baixados uma vez e sempre conferidos por sha256.

    Parâmetros:
        name: um dos nomes de `available_corpora`.
        cache_dir: onde guardar o que se baixa; sem ele, a pasta da variável `LLMDEFINITIONS_CACHE`, ou a de
            cache do usuário no sistema.
        offline: não usa a rede: só o que já foi baixado ou está no espelho.
        n_stories, seed: quantas `historias`, e a semente delas.

    Erros:
        ValueError: nome desconhecido.
        CorpusUnavailableError: o corpus não pôde ser obtido; a mensagem aponta as alternativas embutidas.
    """
    if name not in _CORPORA:
        raise ValueError(f"corpus desconhecido: {name!r}. Os que existem: {', '.join(map(repr, _CORPORA))}")
    info = _CORPORA[name]
    if name == "historias":
        from .stories import sample_stories

        stories = tuple(story.text for story in sample_stories(n_stories, seed=seed))
        return Corpus(info, stories, tuple(f"historia-{i}" for i in range(1, len(stories) + 1)))
    try:
        if name == "bncc":
            documents = _bncc()
        else:
            folder = cache_folder() if cache_dir is None else Path(cache_dir)
            documents = (
                _the_verdict(folder, offline) if name == "the-verdict" else _machado(folder / "machado", offline)
            )
    except (DownloadError, ImportError) as error:
        others = (repr(other) for other, about in _CORPORA.items() if about.embedded and other != name)
        raise CorpusUnavailableError(
            f"o corpus {name!r} não está disponível: {error}. Sem rede nem espelho ({MIRROR_ENV}), use um "
            f"corpus embutido: load_corpus com {' ou '.join(others)}"
        ) from error
    return Corpus(info, tuple(documents.values()), tuple(documents))


def cache_folder() -> Path:
    """Pasta onde ficam os corpora baixados: `LLMDEFINITIONS_CACHE`, ou a de cache do usuário."""
    if chosen := os.environ.get("LLMDEFINITIONS_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "llmdefinitions"


def _bncc() -> dict[str, str]:
    """Código da aprendizagem ou competência -> enunciado, na ordem oficial, sem enunciados repetidos.

    Um enunciado que vale em vários anos (são 15) fica só com o primeiro código: repetido, ele poria o mesmo
    texto no treino e na validação.
    """
    import bncc

    entries = bncc.objetivos_ei() + bncc.habilidades_ef() + bncc.habilidades_em()
    entries += bncc.objetivos_ei("CO") + bncc.habilidades_ef("CO") + bncc.habilidades_em("CO")
    structure = bncc.estrutura()
    pairs = [(entry["codigo"], entry["texto"]) for entry in entries]
    for kind in ("competencias_gerais", "competencias_especificas"):
        pairs += [(entry["id"], entry["texto"]) for entry in structure[kind]]
    first: dict[str, str] = {}
    for code, text in pairs:
        # Ligaduras tipográficas (ﬁ, ﬂ) sobraram da extração do PDF oficial.
        text = text.replace("\ufb01", "fi").replace("\ufb02", "fl")
        first.setdefault(unicodedata.normalize("NFC", " ".join(text.split())), code)
    return {code: text for text, code in first.items()}


def _the_verdict(folder: Path, offline: bool) -> dict[str, str]:
    path = folder / "the-verdict.txt"
    download_file(VERDICT_URL, path, sha256=VERDICT_SHA256, mirror_path="the-verdict.txt", offline=offline)
    return {"the-verdict": path.read_bytes().decode("utf-8")}


def machado_files() -> dict[str, str]:
    """Arquivos das 191 obras e o sha256 de cada um, em ordem alfabética."""
    listing = resources.files(__package__) / "assets" / "machado-sha256.txt"
    lines = (line.split() for line in listing.read_text(encoding="utf-8").splitlines())
    return {name: sha256 for sha256, name in lines}


def _machado(folder: Path, offline: bool) -> dict[str, str]:
    """Obra -> texto. O original já é UTF-8; tabulações e espaços repetidos viram um, e o Unicode, NFC.

    Quincas Borba aparece duas vezes, no livro e no folhetim de A Estação: são textos parecidos de verdade.
    """

    def fetch(item: tuple[str, str]) -> Path:
        name, sha256 = item
        return download_file(
            MACHADO_URL + name,
            folder / name,
            sha256=sha256,
            mirror_path=f"machado/{name}",
            progress=False,
            offline=offline,
        )

    files = machado_files()
    with ThreadPoolExecutor(max_workers=8) as pool:
        # `map` cancela o que ainda está na fila quando um download falha.
        paths = list(progress_bar(pool.map(fetch, files.items()), total=len(files), desc="machado", leave=False))
    works = {}
    for path in paths:
        text = unicodedata.normalize("NFC", path.read_bytes().decode("utf-8"))
        lines = (" ".join(line.split()) for line in text.split("\n"))
        works[path.name.removeprefix("html_").removesuffix(".html.txt")] = "\n".join(lines).strip()
    return works
