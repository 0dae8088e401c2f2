"""Troca o endereço do repositório onde ele aparece: `make configurar REPO=https://github.com/dono/nome`.

A fonte é `repository.url` e `repository.branch` em `_config.yml`. São trocadas as formas do endereço que o projeto usa
(GitHub, raw, Colab, Binder e Pages) nos arquivos de texto do repositório, cadernos inclusive, e nada mais.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ambiente import RAIZ, ErroDeUso, gravar_atomico

CONFIG = "_config.yml"
# Depois do nome do repositório: nada que ainda pudesse ser nome (ponto final de frase e ".git" podem).
FIM_DO_NOME = r"(?=\.git(?![\w-])|\.*(?![\w.-]))"


@dataclass(frozen=True)
class Endereco:
    """Dono, nome e ramo de um repositório no GitHub."""

    dono: str
    nome: str
    ramo: str

    @property
    def url(self) -> str:
        """Endereço da página do repositório."""
        return f"https://github.com/{self.dono}/{self.nome}"


def validar(url: str, ramo: str) -> Endereco:
    """Lê `https://github.com/dono/nome`. `ErroDeUso` diz o que veio e o que se esperava."""
    achado = re.fullmatch(r"https://github\.com/([^/\s]+)/([^/\s]+?)(?:\.git)?/?", url)
    if not achado:
        raise ErroDeUso(f"REPO={url!r} não é um endereço do GitHub: use a forma https://github.com/dono/nome.")
    dono, nome = achado.groups()
    if not re.fullmatch(r"(?=.{1,39}$)[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*", dono):
        raise ErroDeUso(f"REPO={url!r}: {dono!r} não é um dono possível (letras, números e hífens, até 39).")
    if not re.fullmatch(r"[\w.-]{1,100}", nome, re.ASCII) or set(nome) == {"."}:
        raise ErroDeUso(f"REPO={url!r}: {nome!r} não é um nome possível (letras, números, '.', '_' e '-', até 100).")
    if nome.lower() == f"{dono.lower()}.github.io":
        raise ErroDeUso(
            f"REPO={url!r} é o repositório da página pessoal de {dono}, que é publicada sem o nome no endereço; "
            "use um repositório só para o livro."
        )
    partes = ramo.split("/")
    if not re.fullmatch(r"[\w./-]+", ramo, re.ASCII) or ".." in ramo or not all(p.strip(".-") for p in partes):
        raise ErroDeUso(f"BRANCH={ramo!r} não é um nome de ramo aceito: letras, números, '.', '_', '-' e '/'.")
    return Endereco(dono, nome, ramo)


def _campo(texto: str, campo: str) -> re.Match[str]:
    achado = re.search(
        rf"^repository:.*(?:\n(?:[ \t].*)?)*?\n[ \t]+{campo}:[ \t]*[\"']?([^\"'\s]+)", texto, re.MULTILINE
    )
    if not achado:
        raise ErroDeUso(f"{CONFIG} não tem `{campo}` dentro de `repository`: acrescente-o.")
    return achado


def atual(raiz: Path = RAIZ) -> Endereco:
    """O endereço que está em `_config.yml`."""
    texto = (raiz / CONFIG).read_text(encoding="utf-8")
    return validar(_campo(texto, "url")[1], _campo(texto, "branch")[1])


def formas(endereco: Endereco) -> re.Pattern[str]:
    """Expressão que acha o endereço em qualquer das formas, com o ramo quando ele faz parte dela.

    Grupos: `casa` (o que vem antes de dono/nome), `meio` (o que separa o nome do ramo; ausente sem ramo)
    e `paginas` (presente só na forma `dono.github.io/nome`).
    """
    nome = re.escape(endereco.nome) + FIM_DO_NOME
    repo = f"{re.escape(endereco.dono)}/{nome}"
    ramo = re.escape(endereco.ramo) + r"(?![\w-])"
    return re.compile(
        rf"(?P<casa>(?:mybinder\.org/v2/gh|raw\.githubusercontent\.com)/){repo}(?:(?P<meio>/(?:refs/heads/)?){ramo})?"
        rf"|(?P<casa2>(?<![\w.-])github\.com[/:]|colab\.research\.google\.com/github/){repo}"
        rf"(?:(?P<meio2>(?:\.git)?@|/(?:blob|tree|raw|edit|blame|commits)/){ramo})?"
        rf"|(?<![\w.-])(?P<paginas>{re.escape(endereco.dono.lower())}\.github\.io)/{nome}"
    )


def trocar(texto: str, velho: Endereco, novo: Endereco) -> str:
    """O texto com cada forma do endereço velho trocada pela mesma forma do novo."""

    def nova_forma(achado: re.Match[str]) -> str:
        if achado["paginas"]:
            return f"{novo.dono.lower()}.github.io/{novo.nome}"
        meio = achado["meio"] or achado["meio2"]
        return f"{achado['casa'] or achado['casa2']}{novo.dono}/{novo.nome}" + (f"{meio}{novo.ramo}" if meio else "")

    return formas(velho).sub(nova_forma, texto)


def trocar_na_config(texto: str, novo: Endereco) -> str:
    """`_config.yml` com o endereço e o ramo novos."""
    for campo, valor in (("url", novo.url), ("branch", novo.ramo)):
        inicio, fim = _campo(texto, campo).span(1)
        texto = texto[:inicio] + valor + texto[fim:]
    return texto


def arquivos_do_repositorio(raiz: Path) -> list[Path]:
    """Arquivos que o git acompanha ou passaria a acompanhar, com `_config.yml` no fim.

    Por último, porque é a fonte: se a troca for interrompida, repeti-la ainda acha o endereço velho nos outros.
    """
    comando = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        saida = subprocess.run(comando, cwd=raiz, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as erro:
        raise ErroDeUso(f"Não consegui listar os arquivos com o git em {raiz} ({erro}): clone o repositório.") from erro
    caminhos = [raiz / os.fsdecode(nome) for nome in saida.split(b"\0") if nome]
    caminhos = [c for c in caminhos if c.is_file() and not c.is_symlink()]
    return sorted(set(caminhos), key=lambda c: (c == raiz / CONFIG, c))


def configurar(novo: Endereco, raiz: Path = RAIZ) -> dict[str, int]:
    """Troca o endereço em todo o repositório; devolve as linhas mudadas em cada arquivo que mudou."""
    velho = atual(raiz)
    mudancas = {}
    for caminho in arquivos_do_repositorio(raiz):
        try:
            antes = caminho.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # imagem ou outro binário
        depois = trocar(antes, velho, novo)
        if caminho == raiz / CONFIG:
            depois = trocar_na_config(depois, novo)
        if depois != antes:
            gravar_atomico(caminho, depois.encode())
            linhas = zip(antes.split("\n"), depois.split("\n"), strict=True)
            mudancas[caminho.relative_to(raiz).as_posix()] = sum(a != d for a, d in linhas)
    return mudancas


def principal(*argumentos: str) -> int:
    """Tarefa `configurar`, com os argumentos `REPO=…` e, se for o caso, `BRANCH=…`."""
    velho = atual()
    pedido = dict(argumento.partition("=")[::2] for argumento in argumentos)
    if not pedido.get("REPO") or set(pedido) - {"REPO", "BRANCH"}:
        raise ErroDeUso(
            f"Hoje o endereço é {velho.url}, ramo {velho.ramo}. Para trocá-lo, diga o novo: "
            "make configurar REPO=https://github.com/dono/nome [BRANCH=main]"
        )
    novo = validar(pedido["REPO"], pedido.get("BRANCH") or velho.ramo)
    mudancas = configurar(novo)
    for nome, linhas in mudancas.items():
        print(f"  {nome}: {linhas} linha(s)")
    if mudancas:
        print(f"{velho.url} ({velho.ramo}) virou {novo.url} ({novo.ramo}). Confira com git diff.")
    else:
        print(f"O endereço já era {novo.url} ({novo.ramo}): nada a trocar.")
    return 0
