"""Comparar implementações com justiça: rodadas alternadas, mediana das razões, metas com o número medido."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Meta:
    """O que se prometeu e o que se mediu; `no_maximo` para as que são um teto."""

    texto: str
    alvo: float
    medido: float
    no_maximo: bool = False
    unidade: str = "×"

    @property
    def cumprida(self) -> bool:
        """Se a medida alcança o alvo."""
        return self.medido <= self.alvo if self.no_maximo else self.medido >= self.alvo

    def __str__(self) -> str:
        sinal = "≤" if self.no_maximo else "≥"
        estado = "cumprida" if self.cumprida else "não cumprida"
        return f"{self.texto}: {self.medido:.2f}{self.unidade} (meta {sinal} {self.alvo:g}{self.unidade}): {estado}"


@dataclass
class Secao:
    """Tabela de uma seção: as linhas têm todas as mesmas colunas."""

    titulo: str
    linhas: list[dict[str, str]] = field(default_factory=list)
    metas: list[Meta] = field(default_factory=list)
    notas: list[str] = field(default_factory=list)

    def em_markdown(self) -> str:
        """Título, tabela, notas e metas."""
        colunas = list(self.linhas[0])
        tabela = [f"| {' | '.join(colunas)} |", f"|{'---|' * len(colunas)}"]
        tabela += [f"| {' | '.join(linha[c] for c in colunas)} |" for linha in self.linhas]
        partes = [f"## {self.titulo}", "\n".join(tabela)]
        if self.notas:
            partes.append("\n".join(f"- {nota}" for nota in self.notas))
        if self.metas:
            partes.append("Metas:\n\n" + "\n".join(f"- {meta}" for meta in self.metas))
        return "\n\n".join(partes)


def intercalar(acoes: dict[str, Callable[[], object]], rodadas: int) -> dict[str, list[float]]:
    """Segundos de cada ação em cada rodada; numa rodada todas correm uma vez, e a ordem inverte a cada rodada."""
    for acao in acoes.values():
        acao()  # a primeira vez paga alocações e a escolha de kernels
    tempos: dict[str, list[float]] = {nome: [] for nome in acoes}
    for rodada in range(rodadas):
        ordem = list(acoes) if rodada % 2 == 0 else list(reversed(acoes))
        for nome in ordem:
            gc.collect()
            inicio = time.perf_counter()
            acoes[nome]()
            tempos[nome].append(time.perf_counter() - inicio)
    return tempos


def razao(tempos: dict[str, list[float]], rapido: str, lento: str) -> float:
    """Quantas vezes `rapido` é mais veloz que `lento`: mediana, entre as rodadas, da razão dos tempos vizinhos."""
    return median(b / a for a, b in zip(tempos[rapido], tempos[lento], strict=True))
