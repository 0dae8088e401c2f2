"""Lê os relatórios JUnit de `_build/relatorios`: totais, testes pulados e o tempo de cada caderno.

Uso, depois de `make testes`: python ferramentas/relatorios.py [--exigir-espelho]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from ambiente import RAIZ, ErroDeUso, gravar_atomico

PASTA = RAIZ / "_build" / "relatorios"
# Numa máquina de 2 núcleos sem outro trabalho; CONTRIBUTING.md diz este número, a folga e o produto (um teste confere).
LIMITE_PADRAO_S = 90.0
# Dois cadernos rodam ao mesmo tempo, com metade dos núcleos cada, e uma máquina de CI compartilhada varia: até este
# múltiplo do limite, inclusive, o caderno passa, com um aviso.
FOLGA = 2.0


@dataclass(frozen=True)
class Caso:
    """Um teste de um relatório: nome, segundos, e `passed`, `failed` ou `skipped` (com o motivo)."""

    nome: str
    segundos: float
    resultado: str
    motivo: str = ""


def ler(pasta: Path = PASTA) -> dict[str, list[Caso]]:
    """Casos de cada `junit-*.xml` da pasta. `ErroDeUso` se não há nenhum ou se algum está incompleto."""
    relatorios = {}
    for arquivo in sorted(pasta.glob("junit-*.xml")):
        try:
            raiz = ET.parse(arquivo).getroot()
        except ET.ParseError as erro:
            raise ErroDeUso(f"{arquivo} não é um relatório completo ({erro}): rode `make testes` de novo.") from erro
        casos = []
        for teste in raiz.iter("testcase"):
            nome = f"{teste.get('classname')}::{teste.get('name')}"
            filhos = {filho.tag: filho for filho in teste}
            marca = next((m for m in ("failure", "error", "skipped") if m in filhos), None)
            resultado = {None: "passed", "skipped": "skipped"}.get(marca, "failed")
            motivo = filhos[marca].get("message", "") if marca else ""
            casos.append(Caso(nome, float(teste.get("time", "0")), resultado, motivo))
        relatorios[arquivo.stem.removeprefix("junit-")] = casos
    if not relatorios:
        raise ErroDeUso(f"Não há relatórios em {pasta}: rode `make testes` antes.")
    return relatorios


def esquecer(pasta: Path = PASTA) -> None:
    """Apaga os relatórios de rodadas anteriores, para que os totais sejam só os da próxima."""
    for arquivo in pasta.glob("junit-*.xml"):
        arquivo.unlink()


def totais(casos: list[Caso]) -> str:
    """A linha de fechamento, no formato que os programas de CI leem."""
    conta = {r: sum(c.resultado == r for c in casos) for r in ("passed", "failed", "skipped")}
    return ", ".join(f"{n} {r}" for r, n in conta.items())


def pulados_sem_espelho(casos: list[Caso]) -> list[Caso]:
    """Testes pulados porque os dados do espelho (`LLMDEFINITIONS_ESPELHO`) não estavam à mão."""
    return [c for c in casos if c.resultado == "skipped" and "espelho" in c.motivo.lower()]


def limite_por_caderno() -> float:
    """Segundos que um caderno pode levar no modo rápido, sem a folga (`LIVRO_LIMITE_S`)."""
    texto = os.environ.get("LIVRO_LIMITE_S", str(LIMITE_PADRAO_S))
    try:
        limite = float(texto)
    except ValueError:
        limite = 0.0
    if not 0 < limite < float("inf"):
        raise ErroDeUso(f"LIVRO_LIMITE_S={texto!r} não é um número de segundos maior que zero, como 90.")
    return limite


def conferir_tempos(casos: list[Caso], limite: float, destino: Path) -> list[str]:
    """Grava o tempo de cada caderno em `destino` e devolve as queixas dos que passam do limite com folga."""
    tempos = {c.nome.split("::")[-1]: c.segundos for c in casos}
    dados = {"limite_s": limite, "folga": FOLGA, "segundos": tempos}
    gravar_atomico(destino, (json.dumps(dados, indent=1, ensure_ascii=False) + "\n").encode())
    queixas = []
    for nome, segundos in tempos.items():
        print(f"  {nome}: {segundos:.0f} s (limite de {limite:g} s)")
        if segundos > limite * FOLGA:
            queixas.append(
                f"{nome} levou {segundos:.0f} s; o limite é {limite:g} s, com folga de {FOLGA}×. Diminua o que ele "
                "treina no modo rápido ou, numa máquina mais lenta, aumente LIVRO_LIMITE_S."
            )
        elif segundos > limite:
            print(f"  aviso: {nome} passou do limite, dentro da folga de {FOLGA}× para máquinas lentas.")
    return queixas


def principal(argumentos: list[str]) -> int:
    """Mostra o que foi pulado e os totais; com `--exigir-espelho`, falha se algo foi pulado por falta dele."""
    analisador = argparse.ArgumentParser(description=__doc__)
    analisador.add_argument("--exigir-espelho", action="store_true")
    opcoes = analisador.parse_args(argumentos)
    try:
        casos = [caso for lista in ler().values() for caso in lista]
    except ErroDeUso as erro:
        print(erro, file=sys.stderr)
        return 1
    for caso in casos:
        if caso.resultado == "skipped":
            print(f"pulado: {caso.nome}: {caso.motivo}")
    faltas = pulados_sem_espelho(casos) if opcoes.exigir_espelho else []
    if faltas:
        print(f"O espelho dos dados está aqui, mas {len(faltas)} teste(s) não o usaram:", file=sys.stderr)
        print("\n".join(f"  {caso.nome}" for caso in faltas), file=sys.stderr)
    print(totais(casos))
    return 1 if faltas else 0


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
