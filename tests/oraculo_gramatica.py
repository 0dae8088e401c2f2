"""Um segundo intérprete da gramática, lento e ingênuo: lê o dicionário cru e enumera os textos com frações exatas.

Não usa nada de `llmdefinitions`: é o oráculo contra o qual se medem o sorteio, o reconhecedor, a entropia e a contagem.
"""

import re
from collections.abc import Iterator
from fractions import Fraction

TAG = re.compile(r"(\[[^\]]*\]|\{[^}]*\})")
FORMAS = ["m", "f", "mp", "fp"]


def verbetes(spec: dict, lista: list) -> list[dict]:
    saida = []
    for bruto in lista:
        if isinstance(bruto, str) and bruto.startswith("+"):
            saida += verbetes(spec, spec["classes"][bruto[1:]])
        else:
            saida.append({"t": bruto} if isinstance(bruto, str) else bruto)
    return saida


def enumera(spec: dict) -> Iterator[tuple[str, Fraction]]:
    """Todas as derivações da regra inicial, como pares (texto, probabilidade)."""
    return _deriva(spec, TAG.split(f"[{spec['inicio']}]"), {}, "", Fraction(1))


def _deriva(spec, pedacos, env, texto, p) -> Iterator[tuple[str, Fraction]]:
    if not pedacos:
        yield texto, p
        return
    atual, *resto = pedacos
    if atual.startswith("{"):
        yield from _deriva(spec, resto, env, texto + _escreve(spec, atual[1:-1], env), p)
    elif not atual.startswith("["):
        yield from _deriva(spec, resto, env, texto + atual, p)
    elif "=" in atual:
        variavel, fonte = atual[1:-1].split("=")
        fonte, *evitadas = fonte.split("-")
        lista = fonte
        if "." in fonte:
            x, campo = fonte.split(".")
            lista = env[x][campo]
        opcoes = verbetes(spec, spec["classes"][lista] if isinstance(lista, str) else lista)
        opcoes = [v for v in opcoes if all(v is not env[y] and v != env[y] for y in evitadas)]
        total = sum(v.get("p", 1) for v in opcoes)
        for v in opcoes:
            yield from _deriva(spec, resto, {**env, variavel: v}, texto, p * Fraction(v.get("p", 1), total))
    elif "." in atual:
        x, campo = atual[1:-1].split(".")
        yield from _deriva(spec, TAG.split(env[x][campo]) + resto, env, texto, p)
    else:
        alternativas = [(1, a) if isinstance(a, str) else a for a in spec["regras"][atual[1:-1]]]
        total = sum(peso for peso, _ in alternativas)
        for peso, molde in alternativas:
            yield from _deriva(spec, TAG.split(molde) + resto, env, texto, p * Fraction(peso, total))


def _escreve(spec, marca, env) -> str:
    def forma(x):
        return FORMAS.index(env[x].get("g", "m"))

    if "#" in marca:
        x, formas = marca.split("#")
        return formas.split("|")[forma(x) // 2]
    if "|" in marca:
        nomes, *formas = marca.split("|")
        if "+" in nomes:
            return formas[min(forma(x) % 2 for x in nomes.split("+"))]
        return formas[forma(nomes)]
    if "~" in marca:
        adjetivo, x = marca.split("~")
        formas = env[adjetivo]["t"].split("/")
        return formas[0] if len(formas) == 1 else formas[forma(x)]
    if " " in marca:
        determinante, x = marca.split(" ")
        palavra = spec["determinantes"][determinante.lower()][forma(x)]
        return (palavra.capitalize() if determinante[0].isupper() else palavra) + " " + env[x]["t"]
    x, _, campo = marca.partition(".")
    return env[x][campo or "t"]
