"""O livro inteiro numa pasta, para levar a uma sala sem internet: site, cadernos, módulo e corpora distribuíveis.

Uso: `python ferramentas/pacote.py` (é o que `make zip` chama, depois de construir o site). Grava
`_build/llms-na-pratica-VERSÃO.zip`. Entram os corpora de domínio público que já estiverem no espelho ou na pasta de
dados do leitor, conferidos; com `--baixar`, os que faltam vêm da origem.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

RAIZ = Path(__file__).resolve().parents[1]
SAIDA = RAIZ / "_build"
CORPORA = ("the-verdict", "machado")  # os que não vêm no módulo; os dois são de domínio público
ABRIR = """<!doctype html>
<html lang="pt-BR">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url=site/index.html">
<title>LLMs na Prática</title>
</head>
<body><h1>LLMs na Prática</h1><p><a href="site/index.html">Abrir o livro</a></p></body>
</html>
"""
LEIA_ME = """LLMs na Prática, versão {versao}

Abra o arquivo abrir.html com dois cliques: o livro funciona sem internet.

  site/      as páginas
  cadernos/  os capítulos, para o Jupyter
  modulo/    o pacote llmdefinitions, com o modelo embutido: pip install modulo/{wheel}
  dados/     corpora de domínio público ({corpora});
             para os cadernos os acharem, a variável LLMDEFINITIONS_ESPELHO tem o caminho desta pasta

O módulo usa bibliotecas (torch, numpy e outras) que não estão aqui: instale-as na véspera, com rede.
Texto sob CC BY 4.0 (LICENSE-TEXTO.md); código sob a licença MIT (LICENSE).
"""


def versao() -> str:
    """A versão do projeto, de `pyproject.toml`."""
    texto = (RAIZ / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "(.*)"', texto, re.MULTILINE)[1]


def construir_wheel(destino: Path) -> Path:
    """Constrói o pacote em `destino`, a partir de uma cópia: construir deixaria pastas na raiz do projeto."""
    with tempfile.TemporaryDirectory() as provisoria:
        fonte = Path(provisoria) / "fonte"
        ignorar = shutil.ignore_patterns("__pycache__")
        shutil.copytree(RAIZ / "llmdefinitions", fonte / "llmdefinitions", ignore=ignorar)
        for nome in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(RAIZ / nome, fonte)
        opcoes = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(destino)]
        subprocess.run([sys.executable, "-m", "pip", "wheel", *opcoes, str(fonte)], check=True)
    (wheel,) = destino.glob("*.whl")
    return wheel


def copiar_corpora(destino: Path, *, baixar: bool) -> list[str]:
    """Põe em `destino` os corpora que se podem obter, na forma de um espelho, e devolve os nomes deles."""
    from llmdefinitions.corpora import CorpusUnavailableError, cache_folder, load_corpus
    from llmdefinitions.download import MIRROR_ENV

    # Sem espelho, o que o leitor já baixou serve de espelho: a pasta tem a mesma forma.
    os.environ.setdefault(MIRROR_ENV, str(cache_folder()))
    postos = []
    for nome in CORPORA:
        try:
            load_corpus(nome, cache_dir=destino, offline=not baixar)
            postos.append(nome)
        except CorpusUnavailableError as erro:
            print(f"Sem o corpus {nome}: {erro}")
    return postos


def montar(site: Path, pasta: Path, *, baixar: bool) -> None:
    """Monta a pasta, com o site já construído em `site`."""
    shutil.copytree(site, pasta / "site", ignore=shutil.ignore_patterns(".buildinfo", ".nojekyll"))
    (pasta / "cadernos").mkdir()
    for caderno in sorted((RAIZ / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        shutil.copy(caderno, pasta / "cadernos")
    (pasta / "modulo").mkdir()
    wheel = construir_wheel(pasta / "modulo")
    (pasta / "dados").mkdir()
    corpora = copiar_corpora(pasta / "dados", baixar=baixar)
    for parcial in (pasta / "dados").rglob("*.lock"):
        parcial.unlink()
    for nome in ("LICENSE", "LICENSE-TEXTO.md"):
        shutil.copy(RAIZ / nome, pasta)
    (pasta / "abrir.html").write_text(ABRIR, encoding="utf-8")
    leia = LEIA_ME.format(versao=versao(), wheel=wheel.name, corpora=", ".join(corpora) or "nenhum nesta cópia")
    (pasta / "LEIA-ME.txt").write_text(leia, encoding="utf-8", newline="\r\n")  # o Bloco de Notas antigo os exige


def comprimir(pasta: Path, destino: Path) -> None:
    """Comprime a pasta; a mesma pasta dá sempre os mesmos bytes, e o destino só aparece inteiro."""
    parcial = destino.with_name(destino.name + ".parcial")
    try:
        with zipfile.ZipFile(parcial, "w", zipfile.ZIP_DEFLATED) as arquivo:
            for caminho in sorted(p for p in pasta.rglob("*") if p.is_file()):
                item = zipfile.ZipInfo(
                    (Path(pasta.name) / caminho.relative_to(pasta)).as_posix(), (2026, 1, 1, 0, 0, 0)
                )
                item.compress_type, item.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                arquivo.writestr(item, caminho.read_bytes())
        os.replace(parcial, destino)
    finally:
        parcial.unlink(missing_ok=True)


def principal(argumentos: list[str]) -> int:
    """Grava o zip e diz onde está e quanto ocupa."""
    analisador = argparse.ArgumentParser(description="Junta o livro inteiro num zip, para usar sem internet.")
    analisador.add_argument("--baixar", action="store_true", help="baixa os corpora que faltam")
    baixar = analisador.parse_args(argumentos).baixar
    site = SAIDA / "html"
    if not (site / "index.html").is_file():
        print("ERRO: o site não foi construído: rode `make livro` antes.", file=sys.stderr)
        return 1
    nome = f"llms-na-pratica-{versao()}"
    with tempfile.TemporaryDirectory(dir=SAIDA) as provisoria:
        montar(site, Path(provisoria) / nome, baixar=baixar)
        comprimir(Path(provisoria) / nome, SAIDA / f"{nome}.zip")
    tamanho = (SAIDA / f"{nome}.zip").stat().st_size / 1e6
    print(f"{SAIDA / nome}.zip: {tamanho:.1f} MB. Descomprima e abra abrir.html.")
    return 0


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
