"""O que as categorias do conjunto de instruções compartilham: o pedido, os verificadores e uma ordem sem sorteio.

Nada é sorteado: as ordens vêm de um resumo criptográfico do próprio conteúdo, iguais em qualquer máquina e versão do
Python, e acrescentar uma linha ao núcleo não embaralha as outras.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

# Uma seção do núcleo é uma lista de linhas; cada linha, uma tupla de campos.
Nucleo = dict[str, list[tuple[str, ...]]]


@dataclass(frozen=True)
class Pedido:
    """Um pedido ainda sem redação.

    Atributos:
        secao: seção de formulacoes.txt; até os dois-pontos, é a categoria.
        campos: o que entra no lugar de {x}, {y}, {z}; `pronto` traz a instrução já escrita.
        itens: o que se pergunta; pedidos que compartilham um item ficam na mesma parte.
    """

    secao: str
    campos: dict[str, str]
    saida: str
    verificador: dict | None
    itens: tuple[str, ...] = field(default=())


def resumo(*partes: object) -> int:
    """Número de 64 bits que depende só do conteúdo."""
    texto = "\x1f".join(map(str, partes))
    return int.from_bytes(hashlib.blake2b(texto.encode("utf-8"), digest_size=8).digest(), "big")


def embaralhar(itens: Iterable, semente: object) -> list:
    """Os itens numa ordem que parece ao acaso e é sempre a mesma."""
    return sorted(itens, key=lambda item: (resumo(semente, item), str(item)))


def opcoes(texto: str) -> list[str]:
    """As respostas aceitas de um campo, a preferida primeiro."""
    return texto.split("/")


def exato(*aceitas: str, rigoroso: bool = False) -> dict:
    """Verificador de resposta igual a uma das aceitas."""
    return {"tipo": "exato", "aceitas": list(dict.fromkeys(aceitas)), **({"rigoroso": True} if rigoroso else {})}


def numero(valor: int, unidade: str | None = None) -> dict:
    """Verificador de um número, com ou sem unidade."""
    return {"tipo": "numero", "valor": valor, **({"unidade": unidade} if unidade else {})}


def tirar(quantos: int, limite: int, semente: object) -> list[int]:
    """Números diferentes de 1 a limite - 1, que parecem tirados ao acaso e são sempre os mesmos."""
    tirados: dict[int, None] = {}
    vez = 0
    while len(tirados) < quantos:
        tirados[1 + resumo("tirar", semente, vez) % (limite - 1)] = None
        vez += 1
    return list(tirados)
