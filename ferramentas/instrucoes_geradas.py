"""As categorias de instruções geradas: unidades, ordens, contas, contagens e formatos pedidos."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from itertools import combinations

from instrucoes_pedido import Nucleo, Pedido, embaralhar, exato, numero, resumo, tirar

UNIDADES = (
    ("quilômetros", "metros", 1000), ("quilos", "gramas", 1000), ("litros", "mililitros", 1000),
    ("toneladas", "quilos", 1000), ("metros", "centímetros", 100), ("centímetros", "milímetros", 10),
    ("horas", "minutos", 60), ("minutos", "segundos", 60), ("dias", "horas", 24), ("semanas", "dias", 7),
    ("anos", "meses", 12), ("séculos", "anos", 100), ("décadas", "anos", 10), ("dúzias", "unidades", 12),
    ("reais", "centavos", 100),
)  # fmt: skip


def milhar(valor: int) -> str:
    """O número com ponto de milhar."""
    return f"{valor:,}".replace(",", ".")


def conversoes(n: Nucleo) -> Iterator[Pedido]:
    """Unidades, nos dois sentidos."""
    for maior, menor, fator in UNIDADES:
        for k in range(2, 13 if fator < 1000 else 31):
            if maior == "horas" and k > 10:
                continue
            for de, para, valor, resultado in ((maior, menor, k, k * fator), (menor, maior, k * fator, k)):
                if de == menor and resumo("volta", maior, k) % 3:
                    continue
                genero = "a" if para in {"horas", "unidades", "semanas", "toneladas", "dúzias", "décadas"} else "o"
                campos = {"x": f"{milhar(valor)} {de}", "y": para, "q": genero}
                item = (f"{k} {maior} = {milhar(k * fator)} {menor}",)
                yield Pedido(
                    "conversão de unidades", campos, f"{milhar(resultado)} {para}", numero(resultado, para), item
                )


def sem_acento(palavra: str) -> str:
    """A palavra sem acentos nem cedilha."""
    return unicodedata.normalize("NFKD", palavra).encode("ascii", "ignore").decode()


def ordens(n: Nucleo) -> Iterator[Pedido]:
    """Ordenar números e palavras, e comparar."""
    for k in range(140):
        limite = (20, 100, 100, 1000)[k % 4]
        numeros = tirar(3 + (k // 4) % 2, limite, ("ordenar", k))
        chave = ("números: " + ", ".join(map(str, sorted(numeros))),)
        crescente = k % 5 < 3
        certo = [str(x) for x in sorted(numeros, reverse=not crescente)]
        secao = "ordenação: crescente" if crescente else "ordenação: decrescente"
        verificador = {"tipo": "sequencia", "elementos": certo}
        yield Pedido(secao, {"x": ", ".join(map(str, numeros))}, ", ".join(certo), verificador, chave)
    palavras = [linha[0].split(" ")[1] for linha in n["substantivos"]]
    por_inicial = {sem_acento(p)[0] for p in palavras}
    for k in range(90):
        iniciais = embaralhar(sorted(por_inicial), ("iniciais", k))[: 3 + k % 2]
        tres = [embaralhar((p for p in palavras if sem_acento(p)[0] == i), ("alfabética", k))[0] for i in iniciais]
        certo = sorted(tres, key=sem_acento)
        chave = ("palavras: " + ", ".join(certo),)
        verificador = {"tipo": "sequencia", "elementos": certo}
        yield Pedido("ordenação: alfabética", {"x": ", ".join(tres)}, ", ".join(certo), verificador, chave)
    for k in range(120):
        a, b = tirar(2, (50, 100, 1000)[k % 3], ("comparar", k))
        secao, certo = ("comparação: maior", max(a, b)) if k % 2 else ("comparação: menor", min(a, b))
        chave = (f"comparar: {min(a, b)} e {max(a, b)}",)
        yield Pedido(secao, {"x": str(a), "y": str(b)}, str(certo), numero(certo), chave)
    for k in range(80):
        (um,), (outro,) = embaralhar(n["nomes"], ("idades", k))[:2]
        idade, outra = (5 + anos for anos in tirar(2, 75, ("anos", k)))
        texto = f"{um} tem {idade} anos e {outro} tem {outra}."
        velho, novo = (um, outro) if idade > outra else (outro, um)
        secao, certo = ("comparação: mais velho", velho) if k % 2 else ("comparação: mais novo", novo)
        yield Pedido(secao, {"x": texto}, certo, exato(certo), (texto,))


def contas(n: Nucleo) -> Iterator[Pedido]:
    """Aritmética, números por extenso e contagem."""
    for a, b in combinations(range(1, 21), 2):
        x, y = embaralhar((a, b), ("soma", a, b))
        yield Pedido("aritmética: soma", {"x": str(x), "y": str(y)}, str(a + b), numero(a + b), (f"{a} + {b}",))
        yield Pedido("aritmética: diferença", {"x": str(b), "y": str(a)}, str(b - a), numero(b - a), (f"{b} - {a}",))
        if a >= 2 and b <= 10:
            yield Pedido("aritmética: produto", {"x": str(x), "y": str(y)}, str(a * b), numero(a * b), (f"{a} × {b}",))
    for a in (*range(2, 31), *range(40, 101, 10)):
        yield Pedido("aritmética: dobro", {"x": str(a)}, str(2 * a), numero(2 * a), (f"2 × {a}",))
        yield Pedido("aritmética: metade", {"x": str(2 * a)}, str(a), numero(a), (f"2 × {a}",))
    for a in (*range(11, 100), *range(100, 1000, 100), *range(101, 1000, 37)):
        extenso = por_extenso(a)
        aceitas = exato(extenso, extenso.replace("catorze", "quatorze"))
        yield Pedido("número por extenso", {"x": str(a)}, extenso, aceitas, (f"número {a}",))
        yield Pedido("número por extenso: algarismos", {"x": extenso}, str(a), numero(a), (f"número {a}",))
    nomes = [item for _, itens in n["grupos"] for item in itens.split("/") if " " not in item]
    for k in range(90):
        quantos = 2 + k % 7
        lista = embaralhar(nomes, ("contar", k))[:quantos]
        texto = ", ".join(lista)
        yield Pedido("contagem: itens", {"x": texto}, str(quantos), numero(quantos), (f"contar: {texto}",))
    for k in range(60):
        palavra, *outras = embaralhar(nomes, ("vezes", k))[:4]
        quantas = 1 + k % 4
        soltas = [(palavra, j) for j in range(quantas)] + [(outra, 0) for outra in outras]
        texto = " ".join(solta for solta, _ in embaralhar(soltas, k))
        yield Pedido("contagem: vezes", {"x": texto, "y": palavra}, str(quantas), numero(quantas), (f"vezes: {texto}",))


_ATE_19 = [
    *("zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove", "dez", "onze", "doze", "treze"),
    *("catorze", "quinze", "dezesseis", "dezessete", "dezoito", "dezenove"),
]
# As posições sem nome próprio ficam vazias.
_DEZENAS = ["", "", "vinte", "trinta", "quarenta", "cinquenta", "sessenta", "setenta", "oitenta", "noventa"]
_CENTENAS = [
    *("", "cento", "duzentos", "trezentos", "quatrocentos"),
    *("quinhentos", "seiscentos", "setecentos", "oitocentos", "novecentos"),
]


def por_extenso(valor: int) -> str:
    """Um número de 0 a 999 em palavras."""
    if valor == 100:
        return "cem"
    if valor < 20:
        return _ATE_19[valor]
    nomes, base = (_CENTENAS, 100) if valor >= 100 else (_DEZENAS, 10)
    resto = valor % base
    return nomes[valor // base] + (f" e {por_extenso(resto)}" if resto else "")


def formatos(n: Nucleo) -> Iterator[Pedido]:
    """Listas, JSON, maiúsculas e cópia de um item."""
    grupos_de_itens = [[i for i in itens.split("/") if " " not in i] for _, itens in n["grupos"]]
    for k in range(100):
        itens = embaralhar(grupos_de_itens[k % len(grupos_de_itens)], ("lista", k))[: 2 + k % 3]
        marca, secao = ("1.", "lista") if k % 3 else ("-", "lista: marcadores")
        linhas = [f"{j}. {item}" if marca == "1." else f"- {item}" for j, item in enumerate(itens, 1)]
        verificador = {"tipo": "lista", "elementos": itens, "marca": marca}
        texto = ", ".join(itens)
        yield Pedido(secao, {"x": texto}, "\n".join(linhas), verificador, (f"lista: {', '.join(sorted(itens))}",))
    for k, (nome,) in enumerate(embaralhar(n["nomes"], "json")):
        idade, (cidade,) = 5 + resumo("idade", nome) % 70, embaralhar(n["cidades"], ("json", nome))[0]
        dados = [{"nome": nome, "idade": idade}, {"nome": nome, "cidade": cidade}][k % 2]
        yield pedido_json(dados)
    vendidos = {"fruta", "roupa", "móvel", "ferramenta", "utensílio de cozinha", "material escolar", "bebida"}
    for palavra in embaralhar(
        (i for nome, itens in n["grupos"] if nome in vendidos for i in itens.split("/")), "preço"
    )[:45]:
        yield pedido_json({"produto": palavra, "preço": 2 + resumo("preço", palavra) % 98})
    for com_artigo, *_ in n["substantivos"]:
        palavra = com_artigo.split(" ")[1]
        if len(palavra) <= 7:
            alta = palavra.upper()
            yield Pedido("maiúsculas", {"x": palavra}, alta, exato(alta, rigoroso=True), (palavra,))
            yield Pedido("maiúsculas: minúsculas", {"x": alta}, palavra, exato(palavra, rigoroso=True), (palavra,))
        aspas = MOLDES_DE_ASPAS[resumo("aspas", palavra) % len(MOLDES_DE_ASPAS)].replace("*", palavra)
        yield Pedido("cópia: aspas", {"x": aspas}, palavra, exato(palavra), (palavra,))
    for k in range(60):
        itens = embaralhar(grupos_de_itens[k % len(grupos_de_itens)], ("item", k))[: 3 + k % 2]
        ordinal = ("primeiro", "segundo", "terceiro", "último")[resumo("ordinal", k) % 4]
        certo = itens[{"primeiro": 0, "segundo": 1, "terceiro": 2, "último": -1}[ordinal]]
        texto = ", ".join(itens)
        yield Pedido("cópia: item", {"x": texto, "y": ordinal}, certo, exato(certo), (f"item: {texto}",))


MOLDES_DE_ASPAS = (
    'A palavra "*" está escrita na parede.', 'Ele disse "*" e foi embora.', 'Li "*" na capa do livro.',
    'A placa diz "*" em letras grandes.', 'Escreva "*" no caderno, pediu a mãe.', 'O bebê já fala "*".',
    'Ouvi alguém gritar "*" na rua.', 'No fim da carta havia "*".', 'Ela repetiu "*" três vezes.',
)  # fmt: skip


def pedido_json(dados: dict[str, str | int]) -> Pedido:
    """Dados a escrever em JSON."""
    texto = json.dumps(dados, ensure_ascii=False)
    entrada = "; ".join(f"{campo}: {valor}" for campo, valor in dados.items())
    return Pedido("JSON", {"x": entrada}, texto, {"tipo": "json", "texto": texto}, (f"json: {entrada}",))


GERADAS: tuple[Callable[[Nucleo], Iterator[Pedido]], ...] = (conversoes, ordens, contas, formatos)
