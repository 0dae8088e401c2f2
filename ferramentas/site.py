"""Constrói o site em `_build/html`: build estrito, do zero, com as execuções de cadernos vindas do cache.

Uso: `python ferramentas/site.py [--forcar]`. Sai com código diferente de zero a qualquer aviso.
Se nada mudou desde o último build que deu certo, diz isso e termina.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import vendor

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
HTML = BUILD / "html"
# Um build com avisos fica aqui, para ser examinado, e nunca em `html`.
FAILED = BUILD / "html-com-avisos"
STAMP = BUILD / "carimbo-do-site.json"
# O que não entra no site: o que é gerado, e os testes. O resto do projeto pode ser incluído por alguma página.
OUTSIDE = {"_build", "__pycache__", "build", "dist", "saida", "tests"}
# O kernel só ouve esta máquina; o aviso, em inglês a cada caderno, assustaria à toa.
KERNEL_NOTICE = "Kernel is running over TCP without encryption"


def input_files(root: Path) -> Iterator[Path]:
    """Os arquivos do projeto, em ordem, sem os de `OUTSIDE` nem os escondidos."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(
            name
            for name in subfolders
            if name not in OUTSIDE and not name.startswith(".") and not name.endswith(".egg-info")
        )
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(folder, name)


def inputs_digest(root: Path) -> str:
    """Resumo de tudo de que o site depende: arquivos, modo, haver espelho dos dados e versão do Python."""
    mode = os.environ.get("LIVRO_MODO") or "rapido"
    context = [mode, bool(os.environ.get("LLMDEFINITIONS_ESPELHO")), sys.version]
    digest = hashlib.sha256(json.dumps(context).encode())
    for path in input_files(root):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def output_digest(html: Path) -> str:
    """Resumo dos nomes e tamanhos do que foi publicado: um site mexido ou apagado não passa por pronto."""
    listing = [f"{p.relative_to(html).as_posix()} {p.stat().st_size}" for p in sorted(html.rglob("*")) if p.is_file()]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()


def is_current(inputs: str) -> bool:
    """Verdadeiro se o último build que deu certo tinha estas entradas e sua saída está intacta."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return stamp == {"entradas": inputs, "saidas": output_digest(HTML)}


def build() -> int:
    """Constrói do zero (a leitura de uma página guardada esconderia seus avisos) e devolve o código de saída."""
    STAMP.unlink(missing_ok=True)
    for leftover in (HTML, FAILED, BUILD / ".doctrees", BUILD / "jupyter_execute"):
        if leftover.exists():
            shutil.rmtree(leftover)
    code = "from jupyter_book.cli.main import main; main()"
    options = ["build", str(ROOT), "--all", "--warningiserror", "--keep-going", "--nitpick", "--quiet"]
    # Da saída padrão só viriam as mensagens do Jupyter Book em inglês; avisos e progresso vêm pela de erros.
    with subprocess.Popen(
        [sys.executable, "-c", code, *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stderr is not None  # pedido acima
        for line in process.stderr:
            if KERNEL_NOTICE not in line:
                print(line, end="", file=sys.stderr, flush=True)
    if process.returncode and HTML.exists():
        os.replace(HTML, FAILED)
    return process.returncode


def main() -> int:
    """Constrói se preciso; 0 se `_build/html` corresponde às entradas de agora."""
    parser = argparse.ArgumentParser(description="Constrói o site em _build/html, com avisos como erros.")
    parser.add_argument("--forcar", action="store_true", help="reconstrói mesmo que nada tenha mudado")
    arguments = parser.parse_args()
    if not vendor.is_complete():
        print("ERRO: falta o JavaScript de terceiros: rode `python ferramentas/vendor.py`.", file=sys.stderr)
        return 1
    start = time.monotonic()
    inputs = inputs_digest(ROOT)
    if not arguments.forcar and is_current(inputs):
        print("Site: nada mudou desde o último build; está em _build/html.")
        return 0
    print("Site: construindo (os cadernos que mudaram serão executados)…", flush=True)
    status = build()
    elapsed = time.monotonic() - start
    if status:
        print(
            f"ERRO: o site não foi publicado: veja os avisos acima ({elapsed:.0f} s). "
            f"O que chegou a ser gerado está em {FAILED.relative_to(ROOT)}.",
            file=sys.stderr,
        )
        return status
    # Se algo mudou durante o build, o resumo de antes não vale para o que foi lido: fica sem carimbo.
    if inputs_digest(ROOT) == inputs:
        stamp = {"entradas": inputs, "saidas": output_digest(HTML)}
        temporary = STAMP.with_suffix(".tmp")
        temporary.write_text(json.dumps(stamp), encoding="utf-8")
        os.replace(temporary, STAMP)
    print(f"Site: pronto em _build/html ({elapsed:.0f} s). Abra _build/html/index.html no navegador.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
