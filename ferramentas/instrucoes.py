"""Monta o conjunto de instruções em português e a ficha dele: python ferramentas/instrucoes.py [--conferir]

Lê o que foi escrito à mão em `ferramentas/instrucoes_nucleo`, escolhe a redação de cada pedido, reparte em treino,
validação e teste sem que um item passe de uma parte a outra, reforça o treino, e grava `instrucoes-pt.json` e
`instrucoes-pt.md` em `llmdefinitions/assets`. O resultado é o mesmo, byte a byte, a cada vez; `--conferir` só diz
se está em dia.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from ambiente import RAIZ, ErroDeUso, gravar_atomico
from instrucoes_categorias import ESCRITAS
from instrucoes_geradas import GERADAS
from instrucoes_pedido import Nucleo, Pedido, embaralhar, resumo
from instrucoes_reforco import COTAS_DO_REFORCO, REFORCOS

sys.path.append(str(RAIZ))
from llmdefinitions.instruction_data import check_answer, nearest_answers, normalize_answer
from llmdefinitions.minhash import jaccard, shingles

NUCLEO = RAIZ / "ferramentas" / "instrucoes_nucleo"
DESTINO = RAIZ / "llmdefinitions" / "assets"
FRACOES = {"treino": 0.85, "validacao": 0.05, "teste": 0.10}
# A partir desta semelhança, em trigramas de palavras de `input` e `output`, dois pedidos ficam na mesma parte.
SEMELHANCA = 0.5
# Quantos pedidos de cada seção entram, no máximo: as que saem de listas dariam muito mais, e pesariam demais.
COTAS = {
    **{"plural": 100, "artigo": 75, "diminutivo": 80, "feminino": 75, "antônimo": 110, "sinônimo": 95},
    **{"ortografia": 95, "ortografia: corrigir": 25, "voz passiva: para a ativa": 15, "sim ou não": 112},
    **{"tempo verbal: passado": 40, "tempo verbal: futuro": 40, "tempo verbal: presente": 20},
    **{"negação": 75, "pronome": 75, "pontuação: pergunta": 16},
    **{"cópia: primeira": 20, "cópia: última": 25, "cópia: repetir": 15, "cópia: aspas": 35, "cópia: item": 30},
    **{"formato pedido: começar": 30, "formato pedido: terminar": 30},
    **{"conversão de unidades": 75, "ordenação: crescente": 40, "ordenação: decrescente": 25},
    **{"ordenação: alfabética": 40, "comparação: maior": 24, "comparação: menor": 24},
    **{"comparação: mais velho": 21, "comparação: mais novo": 21},
    **{"aritmética: soma": 35, "aritmética: diferença": 25, "aritmética: produto": 12},
    **{"aritmética: dobro": 9, "aritmética: metade": 9},
    **{"número por extenso": 42, "número por extenso: algarismos": 38},
    **{"contagem: itens": 40, "contagem: palavras": 15, "contagem: vezes": 20},
    **{"lista": 42, "lista: marcadores": 23, "JSON": 70, "maiúsculas": 30, "maiúsculas: minúsculas": 20},
    **{"intruso": 75, "grupo": 75, "extração: nome": 48, "extração: lugar": 34},
    **{"geografia: capital": 20, "geografia: estado": 8, "geografia: região": 14, "geografia: sigla": 8},
    **{"geografia: da sigla": 6},
}


def ler_nucleo(pasta: Path = NUCLEO) -> Nucleo:
    """As seções dos arquivos de dados, menos as redações. `ErroDeUso` se uma linha tem campos a mais ou a menos."""
    nucleo: Nucleo = {}
    for arquivo in sorted(pasta.glob("*.txt")):
        if arquivo.stem == "formulacoes":
            continue
        for secao, linhas in _secoes(arquivo).items():
            if secao in nucleo:
                raise ErroDeUso(f"{arquivo.name}: a seção [{secao}] já existe em outro arquivo; junte as duas.")
            nucleo[secao] = [tuple(campo.strip() for campo in linha.split(" | ")) for linha in linhas]
            for linha in nucleo[secao]:
                if len(linha) != len(nucleo[secao][0]) or not all(linha):
                    raise ErroDeUso(
                        f"{arquivo.name}, [{secao}]: {linha} não tem {len(nucleo[secao][0])} campos cheios."
                    )
            repetidas = [linha for linha, vezes in Counter(nucleo[secao]).items() if vezes > 1]
            if repetidas:
                raise ErroDeUso(f"{arquivo.name}, [{secao}]: linhas repetidas: {repetidas}.")
    return nucleo


def ler_formulacoes(pasta: Path = NUCLEO) -> dict[str, list[tuple[str, str]]]:
    """As redações de cada seção: pares (instrução, entrada)."""
    secoes = _secoes(pasta / "formulacoes.txt")
    return {secao: [_par(linha) for linha in linhas] for secao, linhas in secoes.items()}


def _secoes(arquivo: Path) -> dict[str, list[str]]:
    secoes: dict[str, list[str]] = {}
    for linha in arquivo.read_text(encoding="utf-8").splitlines():
        if linha.startswith("["):
            atual = secoes.setdefault(linha.strip("[] "), [])
        elif linha.strip() and not linha.startswith("#"):
            atual.append(linha.strip())
    return secoes


def _par(linha: str) -> tuple[str, str]:
    instrucao, _, entrada = linha.partition(" || ")
    return instrucao, entrada


def escolher(nucleo: Nucleo) -> dict[str, list[Pedido]]:
    """Os pedidos de cada seção, até a cota, em ordem que não depende da do núcleo."""
    por_secao: dict[str, list[Pedido]] = defaultdict(list)
    for categoria in (*ESCRITAS, *GERADAS):
        for pedido in categoria(nucleo):
            por_secao[pedido.secao].append(pedido)
    return {
        secao: embaralhar(pedidos, secao)[: COTAS.get(secao, len(pedidos))]
        for secao, pedidos in sorted(por_secao.items())
    }


def redigir(pedidos: dict[str, list[Pedido]], formulacoes: dict[str, list[tuple[str, str]]]) -> list[dict]:
    """Cada pedido com uma das redações da sua seção, que se revezam."""
    entradas = []
    for secao, lista in pedidos.items():
        for k, pedido in enumerate(lista):
            if "pronto" in pedido.campos:
                instrucao, entrada = pedido.campos["pronto"], ""
            else:
                opcoes = formulacoes[secao]
                instrucao, entrada = (t.format(**pedido.campos) for t in opcoes[k % len(opcoes)])
            entradas.append(
                {
                    "instruction": instrucao[0].upper() + instrucao[1:] if instrucao[0].islower() else instrucao,
                    "input": entrada,
                    "output": pedido.saida,
                    "categoria": secao.partition(":")[0],
                    "verificador": pedido.verificador,
                    "itens": list(pedido.itens),
                }
            )
    return entradas


def juntar(entradas: list[dict]) -> list[list[int]]:
    """Grupos de entradas ligadas por um item em comum ou por textos parecidos: cada grupo fica inteiro numa parte."""
    pai = list(range(len(entradas)))

    def raiz(i: int) -> int:
        while pai[i] != i:
            pai[i] = pai[pai[i]]
            i = pai[i]
        return i

    dono: dict[str, int] = {}
    for i, entrada in enumerate(entradas):
        for item in entrada["itens"]:
            pai[raiz(i)] = raiz(dono.setdefault(normalize_answer(item), i))
    for i, j in _parecidas(entradas):
        pai[raiz(i)] = raiz(j)
    grupos: dict[int, list[int]] = defaultdict(list)
    for i in range(len(entradas)):
        grupos[raiz(i)].append(i)
    return sorted(grupos.values(), key=lambda g: (-len(g), min(resumo("grupo", entradas[i]["itens"]) for i in g)))


def _parecidas(entradas: list[dict]) -> list[tuple[int, int]]:
    """Pares de entradas com `input` cuja semelhança, contada exatamente, chega ao limite."""
    conjuntos = {i: shingles(f"{e['input']} {e['output']}", 3) for i, e in enumerate(entradas) if e["input"]}
    donos: dict[str, list[int]] = defaultdict(list)
    pares = set()
    for i, conjunto in conjuntos.items():
        for trigrama in conjunto:
            pares.update((j, i) for j in donos[trigrama])
            donos[trigrama].append(i)
    return sorted((i, j) for i, j in pares if jaccard(conjuntos[i], conjuntos[j]) >= SEMELHANCA)


def repartir(entradas: list[dict]) -> None:
    """Preenche `parte`: cada grupo vai aonde mais falta, nas categorias que ele tem."""
    total = Counter(e["categoria"] for e in entradas)
    tem: Counter = Counter()
    for grupo in juntar(entradas):
        aqui = Counter(entradas[i]["categoria"] for i in grupo)

        def falta(parte: str, aqui: Counter = aqui) -> float:
            return sum(n * (1 - tem[parte, c] / (FRACOES[parte] * total[c])) for c, n in aqui.items())

        parte = max(FRACOES, key=falta)
        for i in grupo:
            entradas[i]["parte"] = parte
            tem[parte, entradas[i]["categoria"]] += 1


def reforcar(entradas: list[dict], nucleo: Nucleo) -> list[dict]:
    """Mais pedidos, todos de treino: os que a cota deixou de fora e os que se fazem por combinação.

    Não entra o que pergunta um item da validação ou do teste, o que tem `input` e `output` parecidos com os de lá, nem
    o que já se perguntou.
    """
    separadas = [e for e in entradas if e["parte"] != "treino"]
    guardados = {normalize_answer(item) for e in separadas for item in e["itens"]}
    feitos = {(e["categoria"], e["output"], *e["itens"]) for e in entradas}
    pedidos = {(e["instruction"], e["input"]) for e in entradas}
    donos: dict[str, list[set[str]]] = defaultdict(list)
    for entrada in separadas:
        conjunto = shingles(f"{entrada['input']} {entrada['output']}", 3) if entrada["input"] else set()
        for trigrama in conjunto:
            donos[trigrama].append(conjunto)
    candidatos: dict[str, list[Pedido]] = defaultdict(list)
    for categoria in (*ESCRITAS, *GERADAS, *REFORCOS):
        for pedido in categoria(nucleo):
            chave = (pedido.secao.partition(":")[0], pedido.saida, *pedido.itens)
            if chave in feitos or guardados & {normalize_answer(item) for item in pedido.itens}:
                continue
            if pedido.secao in COTAS_DO_REFORCO:
                feitos.add(chave)
                candidatos[pedido.secao].append(pedido)
    escolhidos = {
        s: embaralhar(lista, ("reforço", s))[: 2 * COTAS_DO_REFORCO[s]] for s, lista in sorted(candidatos.items())
    }
    novas, conta = [], Counter()
    for secao, lista in escolhidos.items():
        for entrada in redigir({secao: lista}, ler_formulacoes()):
            conjunto = shingles(f"{entrada['input']} {entrada['output']}", 3) if entrada["input"] else set()
            vizinhos = [outro for trigrama in conjunto for outro in donos[trigrama]]
            if conta[secao] == COTAS_DO_REFORCO[secao] or any(jaccard(conjunto, v) >= SEMELHANCA for v in vizinhos):
                continue
            if (entrada["instruction"], entrada["input"]) not in pedidos:
                pedidos.add((entrada["instruction"], entrada["input"]))
                conta[secao] += 1
                novas.append({**entrada, "parte": "treino"})
    return novas


def montar() -> list[dict]:
    """O conjunto inteiro, em ordem."""
    nucleo = ler_nucleo()
    entradas = redigir(escolher(nucleo), ler_formulacoes())
    repartir(entradas)
    entradas += reforcar(entradas, {**nucleo, **ler_nucleo(NUCLEO / "reforco")})
    return sorted(entradas, key=lambda e: (e["categoria"], resumo(e["instruction"], e["input"])))


def em_json(entradas: list[dict]) -> bytes:
    """Uma entrada por linha: o diff de uma mudança mostra só o que mudou."""
    linhas = ",\n".join(json.dumps(e, ensure_ascii=False) for e in entradas)
    return f"[\n{linhas}\n]\n".encode()


def consulta(entradas: list[dict]) -> dict[str, float]:
    """Quanto acerta no teste quem só copia a resposta da pergunta de treino mais parecida."""
    treino, teste = ([e for e in entradas if e["parte"] == parte] for parte in ("treino", "teste"))
    respostas = nearest_answers(treino, teste)
    iguais = [normalize_answer(e["output"]) == normalize_answer(r) for e, r in zip(teste, respostas, strict=True)]
    conferem = [check_answer(e, r) for e, r in zip(teste, respostas, strict=True) if e["verificador"]]
    return {"igual": sum(iguais) / len(iguais), "confere": sum(conferem) / len(conferem)}


def em_ficha(entradas: list[dict], nucleo: Nucleo) -> bytes:
    """A ficha dos dados, com as contagens preenchidas."""
    conta = Counter((e["categoria"], e["parte"]) for e in entradas)
    sem = Counter(e["categoria"] for e in entradas if e["verificador"] is None)
    linhas = []
    for categoria in sorted({e["categoria"] for e in entradas}):
        partes = [conta[categoria, parte] for parte in FRACOES]
        linhas.append(
            f"| {categoria} | {' | '.join(map(str, partes))} | {sum(partes)} | {sum(partes) - sem[categoria]} |"
        )
    totais = [sum(e["parte"] == parte for e in entradas) for parte in FRACOES]
    linhas.append(f"| **total** | {' | '.join(map(str, totais))} | {len(entradas)} | {len(entradas) - sem.total()} |")
    maior = max(Counter(e["categoria"] for e in entradas).values()) / len(entradas)
    acerto = consulta(entradas)
    palavras = sorted(len(e["output"].split()) for e in entradas)
    campos = {
        "total": len(entradas),
        "categorias": len({e["categoria"] for e in entradas}),
        "tabela": "\n".join(linhas),
        "maior": f"{100 * maior:.1f}".replace(".", ","),
        "nucleo": sum(map(len, nucleo.values())),
        "secoes": ", ".join(f"{secao} ({len(linhas)})" for secao, linhas in sorted(nucleo.items())),
        "redacoes": sum(map(len, ler_formulacoes().values())),
        "igual": f"{100 * acerto['igual']:.1f}".replace(".", ","),
        "confere": f"{100 * acerto['confere']:.1f}".replace(".", ","),
        "reforco": len(entradas) - sum(map(len, escolher(nucleo).values())),
        "mediana": palavras[len(palavras) // 2],
        "maxima": palavras[-1],
        "semelhanca": str(SEMELHANCA).replace(".", ","),
    }
    return (NUCLEO / "ficha.md").read_text(encoding="utf-8").format(**campos).encode("utf-8")


def principal(argumentos: list[str]) -> int:
    """Grava os dois arquivos, ou, com --conferir, diz quais mudariam (e sai com 1 se algum mudaria)."""
    if argumentos not in ([], ["--conferir"]):
        print(__doc__, file=sys.stderr)
        return 2
    entradas = montar()
    arquivos = {"instrucoes-pt.json": em_json(entradas), "instrucoes-pt.md": em_ficha(entradas, ler_nucleo())}
    atrasados = [n for n, b in arquivos.items() if not (DESTINO / n).is_file() or (DESTINO / n).read_bytes() != b]
    if argumentos:
        print("em dia" if not atrasados else f"fora de dia: {', '.join(atrasados)}; rode sem --conferir")
        return int(bool(atrasados))
    for nome, conteudo in arquivos.items():
        gravar_atomico(DESTINO / nome, conteudo)
    print(f"{len(entradas)} instruções em {DESTINO}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(principal(sys.argv[1:]))
    except ErroDeUso as erro:
        sys.exit(str(erro))
