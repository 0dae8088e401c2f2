"""O reforço do treino: pedidos feitos por combinação, das categorias em que o que falta a um modelo pequeno é exemplo.

As listas estão em `instrucoes_nucleo/reforco`. Nada daqui vai à validação ou ao teste, e o que se parece com o que está
lá fica de fora: ver `reforcar` em instrucoes.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from instrucoes_categorias import comecar_e_terminar, de_palavra, intrusos, ler_marcas
from instrucoes_geradas import pedido_json, por_extenso, sem_acento
from instrucoes_pedido import Nucleo, Pedido, embaralhar, exato, numero, opcoes, resumo, tirar

#: Quantos pedidos de cada seção o reforço dá, no máximo.
COTAS_DO_REFORCO = {
    **{"plural": 160, "artigo": 150, "diminutivo": 130, "feminino": 90, "ortografia": 120},
    **{"tempo verbal: passado": 110, "tempo verbal: futuro": 110, "tempo verbal: presente": 50},
    **{"negação": 130, "pronome": 150, "pontuação": 120, "pontuação: pergunta": 40},
    **{"voz passiva": 210, "voz passiva: para a ativa": 50, "concordância": 180, "concordância: escolher": 120},
    **{"cópia: primeira": 40, "cópia: última": 60, "cópia: repetir": 60, "cópia: aspas": 70, "cópia: item": 100},
    **{"formato pedido: começar": 70, "formato pedido: terminar": 70, "sim ou não": 150, "sentimento": 150},
    **{"extração: nome": 90, "extração: lugar": 90, "extração: data": 50, "extração: número": 60},
    **{"JSON": 130, "lista": 100, "lista: marcadores": 50, "intruso": 130, "contagem: itens": 60},
    **{"contagem: palavras": 40, "contagem: vezes": 40, "conversão de unidades": 200},
    **{"ordenação: crescente": 110, "ordenação: decrescente": 70, "ordenação: alfabética": 80},
    **{"comparação: maior": 60, "comparação: menor": 60, "comparação: mais velho": 60, "comparação: mais novo": 60},
    **{"aritmética: soma": 95, "aritmética: diferença": 95, "aritmética: produto": 40},
    **{"aritmética: dobro": 20, "aritmética: metade": 20, "maiúsculas": 40, "maiúsculas: minúsculas": 40},
    **{"número por extenso": 120, "número por extenso: algarismos": 110},
}
#: Particípios que, com "ser", a norma prefere aos regulares.
_PARTICIPIOS = {"acender": "aceso", "entregar": "entregue", "ganhar": "ganho", "salvar": "salvo"}
_TERMINACOES = {"a": ("a", "am", "ou", "aram", "ad"), "e": ("e", "em", "eu", "eram", "id")}
_TERMINACOES["i"] = ("e", "em", "iu", "iram", "id")
_MESES = ("janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro")


def palavras(n: Nucleo) -> Iterator[Pedido]:
    """Plural, artigo, diminutivo, feminino, grafia, caixa e cópia entre aspas."""
    for artigo, lista in n["substantivos regulares"]:
        for palavra in opcoes(lista):
            com_artigo = f"{artigo} {palavra}"
            yield de_palavra("plural", palavra, f"{palavra}s")
            yield Pedido("artigo", {"x": palavra}, com_artigo, exato(com_artigo), (palavra,))
            # Só onde a regra não deixa dúvida: sem acento, e com uma consoante antes da última vogal.
            if re.fullmatch(r"[a-zç]*[b-df-hj-np-tv-zç][ao]", palavra) and not re.search(r"nh[ao]$", palavra):
                yield de_palavra("diminutivo", palavra, diminutivo(palavra))
            if len(palavra) <= 7:
                alta = palavra.upper()
                yield Pedido("maiúsculas", {"x": palavra}, alta, exato(alta, rigoroso=True), (palavra,))
                yield Pedido("maiúsculas: minúsculas", {"x": alta}, palavra, exato(palavra, rigoroso=True), (palavra,))
            frase = (
                f'Escrevi "{palavra}" na primeira linha.'
                if len(palavra) % 2
                else f'Todos leram "{palavra}" em voz alta.'
            )
            yield Pedido("cópia: aspas", {"x": frase}, palavra, exato(palavra), (palavra,))
    for em_o, em_or in n["femininos regulares"]:
        for palavra in opcoes(em_o):
            yield de_palavra("feminino", palavra, f"{palavra[:-1]}a", f"{palavra[:-1]}a")
        for palavra in opcoes(em_or):
            yield de_palavra("feminino", palavra, f"{palavra}a", f"{palavra}a")
    for (linha,) in n["grafias"]:
        for par in opcoes(linha):
            certa, _, errada = par.partition(":")
            x, y = embaralhar((certa, errada), certa)
            yield Pedido("ortografia", {"x": x, "y": y}, certa, exato(certa), (certa,))


def diminutivo(palavra: str) -> str:
    """O diminutivo regular de uma palavra acabada em consoante e "a" ou "o"."""
    raiz = palavra[:-1]
    for de, para in (("c", "qu"), ("ç", "c"), ("g", "gu")):
        if raiz.endswith(de):
            raiz = raiz[:-1] + para
    return f"{raiz}inh{palavra[-1]}"


def conjugar(verbo: str) -> dict[str, str]:
    """As formas de um verbo regular na terceira pessoa, e o radical do particípio."""
    presente, presentes, passado, passados, participio = _TERMINACOES[verbo[-2]]
    raiz = verbo[:-2]
    return {
        **{"presente": raiz + presente, "presentes": raiz + presentes, "passado": raiz + passado},
        **{"passados": raiz + passados, "futuro": f"{verbo}á", "futuros": f"{verbo}ão"},
        "participio": _PARTICIPIOS.get(verbo, f"{raiz}{participio}o"),
    }


def flexionar(participio: str, artigo: str) -> str:
    """O particípio no gênero e no número do artigo."""
    if participio.endswith("e"):
        return participio + ("s" if artigo.endswith("s") else "")
    return participio[:-1] + artigo


def _sujeitos(n: Nucleo) -> list[tuple[str, str, str, bool]]:
    """Sujeito, o mesmo depois de "por", pronome e se é plural."""
    feitos = []
    for artigo, lista in n["pessoas"]:
        for pessoa in opcoes(lista):
            feitos.append(
                (f"{artigo.upper()} {pessoa}", f"pel{artigo} {pessoa}", {"o": "ele", "a": "ela"}[artigo], False)
            )
            feitos.append(
                (f"{artigo.upper()}s {pessoa}s", f"pel{artigo}s {pessoa}s", {"o": "eles", "a": "elas"}[artigo], True)
            )
    for pronome, lista in n["pessoas com nome"]:
        feitos += [(nome, f"por {nome}", pronome, False) for nome in opcoes(lista)]
    return feitos


def frases(n: Nucleo) -> Iterator[Pedido]:
    """Sujeito, verbo e objeto: tempo, negação, pronome, voz, concordância, pontuação, cópia e leitura."""
    sujeitos = _sujeitos(n)
    for verbo, objetos in n["ações"]:
        for objeto in opcoes(objetos):
            outros = [outro for outro in opcoes(objetos) if outro != objeto]
            for sujeito, por, pronome, plural in embaralhar(sujeitos, (verbo, objeto))[:4]:
                yield from _da_frase(conjugar(verbo), sujeito, por, pronome, plural, objeto, outros)


def _da_frase(
    formas: dict[str, str], sujeito: str, por: str, pronome: str, plural: bool, objeto: str, outros: list[str]
) -> Iterator[Pedido]:
    s = "s" if plural else ""
    presente, passado, futuro = (formas[tempo + s] for tempo in ("presente", "passado", "futuro"))
    agora, antes, depois = (f"{sujeito} {v} {objeto}." for v in (presente, passado, futuro))
    item = (agora,)
    composto = f"{sujeito} {'vão' if plural else 'vai'} {formas['futuro'][:-1]} {objeto}."
    frase, verbo = ((agora, presente), (antes, passado))[resumo("verbo", agora) % 2]
    minuscula = frase if por.startswith("por ") else frase[0].lower() + frase[1:]
    yield Pedido("tempo verbal: passado", {"x": agora}, antes, exato(antes), item)
    yield Pedido("tempo verbal: futuro", {"x": agora}, depois, exato(depois, composto), item)
    yield Pedido("tempo verbal: presente", {"x": antes}, agora, exato(agora), item)
    negada = f"{sujeito} não {verbo} {objeto}."
    yield Pedido("negação", {"x": frase}, negada, exato(negada), item)
    com_pronome = f"{pronome.capitalize()} {verbo} {objeto}."
    yield Pedido("pronome", {"x": frase}, com_pronome, exato(com_pronome), item)
    pergunta = f"{frase[:-1]}?"
    yield Pedido("pontuação: pergunta", {"x": frase}, pergunta, exato(pergunta, rigoroso=True), item)
    crua = frase[0].lower() + frase[1:-1]
    yield Pedido("pontuação", {"x": crua}, frase, exato(frase, rigoroso=True), item)
    artigo = objeto.split(" ")[0]
    foi = "foram" if artigo.endswith("s") else "foi"
    passiva = f"{objeto[0].upper()}{objeto[1:]} {foi} {flexionar(formas['participio'], artigo)} {por}."
    yield Pedido("voz passiva", {"x": antes}, passiva, exato(passiva), item)
    yield Pedido("voz passiva: para a ativa", {"x": passiva}, antes, exato(antes), item)
    soltas = frase[:-1].split()
    yield Pedido("cópia: primeira", {"x": frase}, soltas[0], exato(soltas[0]), item)
    yield Pedido("cópia: última", {"x": frase}, soltas[-1], exato(soltas[-1]), item)
    yield Pedido("cópia: repetir", {"x": frase}, frase, exato(frase), item)
    yield Pedido("contagem: palavras", {"x": frase}, str(len(soltas)), numero(len(soltas)), item)
    yield from comecar_e_terminar(antes, item)
    singular = "passado" if verbo == passado else "presente"
    if plural:
        errada = f"{sujeito[:-1]} {formas[singular]} {objeto}."
        yield Pedido("concordância", {"x": errada}, frase, exato(frase), item)
    y, z = embaralhar((formas[singular], formas[singular + "s"]), agora)
    lacuna = f"{sujeito} ___ {objeto}."
    yield Pedido("concordância: escolher", {"x": lacuna, "y": y, "z": z}, verbo, exato(verbo), item)
    outro = embaralhar(outros, ("outro", agora))[0]
    for coisa, resposta in ((objeto, "sim"), (outro, "não")):
        if (resumo("sim", agora) % 2 == 0) == (resposta == "sim"):
            y, z = (f"{texto.rpartition(objeto)[0]}{coisa}?" for texto in (frase, minuscula))
            yield Pedido("sim ou não", {"x": frase, "y": y, "z": z}, resposta, exato(resposta), item)


def textos(n: Nucleo) -> Iterator[Pedido]:
    """Sentimento e extração."""
    for artigo, lista in n["coisas julgadas"]:
        for coisa in opcoes(lista):
            for lado, variaveis, invariaveis in n["sentimentos"]:
                adjetivos = [flexionar(a, artigo) for a in opcoes(variaveis)] + opcoes(invariaveis)
                um, outro = embaralhar(adjetivos, (coisa, lado))[:2]
                maiuscula = f"{artigo.upper()} {coisa}"
                moldes = {
                    "positivo": (
                        f"Adorei {artigo} {coisa}.",
                        f"Gostei muito d{artigo} {coisa}.",
                        f"{maiuscula} me agradou muito.",
                    ),
                    "negativo": (
                        f"Detestei {artigo} {coisa}.",
                        f"Não gostei d{artigo} {coisa}.",
                        f"{maiuscula} me decepcionou.",
                    ),
                }[lado]
                for frase in (*moldes, f"{maiuscula} é {um}.", f"Que {coisa} {outro}!"):
                    yield Pedido("sentimento", {"x": frase}, lado, exato(lado), (frase,))
    nomes = [nome for _, lista in n["pessoas com nome"] for nome in opcoes(lista)]
    (lugares,), (coisas,) = n["lugares"][0], n["contáveis"][0]
    moldes = (
        "{nome:*} mora em {lugar:*} e tem {número:*} @.", "{nome:*} nasceu em {lugar:*} em {data:*}.",
        "Em {data:*}, {nome:*} comprou {número:*} @.", "{nome:*} levou {número:*} @ para {lugar:*}.",
        "A loja de {nome:*} em {lugar:*} abriu em {data:*}.", "{nome:*} vendeu {número:*} @ ontem.",
        "O carro de {nome:*} parou perto de {lugar:*}.", "Foi em {lugar:*} que {nome:*} achou {número:*} @.",
        "A prova de {nome:*} será em {data:*}.", "Chegaram {número:*} @ de {lugar:*} para {nome:*}.",
    )  # fmt: skip
    for k in range(260):
        valores = {
            "nome": embaralhar(nomes, ("nome", k))[0], "lugar": embaralhar(opcoes(lugares), ("lugar", k))[0],
            "número": str(2 + resumo("quantos", k) % 98),
            "data": f"{2 + resumo('dia', k) % 27} de {_MESES[resumo('mês', k) % len(_MESES)]}",
        }  # fmt: skip
        molde = moldes[k % len(moldes)].replace("@", embaralhar(opcoes(coisas), ("coisa", k))[0])
        marcado = re.sub(r"\{(\w+):\*\}", lambda m, v=valores: f"{{{m[1]}:{v[m[1]]}}}", molde)
        texto, achados = ler_marcas(marcado)
        for tipo, valor in achados:
            verificador = numero(int(valor)) if tipo == "número" else exato(valor)
            yield Pedido(f"extração: {tipo}", {"x": texto}, valor, verificador, (texto,))
    for k in range(160):
        (um, outro), (mais, menos) = (
            embaralhar(nomes, ("idades", k))[:2],
            sorted(tirar(2, 85, ("anos", k)), reverse=True),
        )
        quem = (um, outro) if k % 4 < 2 else (outro, um)
        texto = f"{quem[0]} tem {mais + 5} anos e {quem[1]} tem {menos + 5}."
        if k % 3 == 0:
            texto = f"{quem[1]} tem {menos + 5} anos e {quem[0]} tem {mais + 5}."
        secao, certo = ("comparação: mais velho", quem[0]) if k % 2 else ("comparação: mais novo", quem[1])
        yield Pedido(secao, {"x": texto}, certo, exato(certo), (texto,))
    for k, nome in enumerate(nomes):
        lugar = embaralhar(opcoes(lugares), ("json", nome))[0]
        yield pedido_json(
            [{"nome": nome, "idade": 5 + resumo("idade", nome) % 85}, {"nome": nome, "cidade": lugar}][k % 2]
        )
    for palavra in opcoes(n["à venda"][0][0]):
        yield pedido_json({"produto": palavra, "preço": 2 + resumo("preço", palavra) % 98})


def numeros(n: Nucleo) -> Iterator[Pedido]:
    """Contas, números por extenso, conversões, ordens e comparações de números que o núcleo não usa."""
    for k in range(330):
        lista = tirar(3 + k % 2, (20, 100, 100, 1000)[k % 4], ("reforço", k))
        certo = [str(x) for x in sorted(lista, reverse=k % 5 >= 3)]
        secao = "ordenação: crescente" if k % 5 < 3 else "ordenação: decrescente"
        chave = ("números: " + ", ".join(map(str, sorted(lista))),)
        yield Pedido(
            secao, {"x": ", ".join(map(str, lista))}, ", ".join(certo), {"tipo": "sequencia", "elementos": certo}, chave
        )
    for k in range(220):
        a, b = tirar(2, (50, 100, 1000)[k % 3], ("comparar mais", k))
        secao, certo = ("comparação: maior", max(a, b)) if k % 2 else ("comparação: menor", min(a, b))
        yield Pedido(
            secao, {"x": str(a), "y": str(b)}, str(certo), numero(certo), (f"comparar: {min(a, b)} e {max(a, b)}",)
        )
    for a in range(101, 1000):
        extenso = por_extenso(a)
        aceitas = exato(extenso, extenso.replace("catorze", "quatorze"))
        yield Pedido("número por extenso", {"x": str(a)}, extenso, aceitas, (f"número {a}",))
        yield Pedido("número por extenso: algarismos", {"x": extenso}, str(a), numero(a), (f"número {a}",))


def listas(n: Nucleo) -> Iterator[Pedido]:
    """Listas, contagens, ordem alfabética, itens e intrusos."""
    nomes = [palavra for _, lista in n["substantivos regulares"] for palavra in opcoes(lista)]
    for k in range(190):
        itens = embaralhar(nomes, ("lista", k))[: 2 + k % 3]
        marca, secao = ("1.", "lista") if k % 3 else ("-", "lista: marcadores")
        linhas = [f"{j}. {item}" if marca == "1." else f"- {item}" for j, item in enumerate(itens, 1)]
        verificador = {"tipo": "lista", "elementos": itens, "marca": marca}
        yield Pedido(
            secao, {"x": ", ".join(itens)}, "\n".join(linhas), verificador, (f"lista: {', '.join(sorted(itens))}",)
        )
    ordinais = {"primeiro": 0, "segundo": 1, "terceiro": 2, "último": -1}
    for k in range(130):
        itens = embaralhar(nomes, ("item", k))[: 3 + k % 2]
        ordinal = tuple(ordinais)[resumo("ordinal", k) % 4]
        certo, texto = itens[ordinais[ordinal]], ", ".join(itens)
        yield Pedido("cópia: item", {"x": texto, "y": ordinal}, certo, exato(certo), (f"item: {texto}",))
    for k in range(90):
        itens = embaralhar(nomes, ("contar", k))[: 2 + k % 7]
        texto = ", ".join(itens)
        yield Pedido("contagem: itens", {"x": texto}, str(len(itens)), numero(len(itens)), (f"contar: {texto}",))
        palavra, *outras = embaralhar(nomes, ("vezes", k))[:4]
        soltas = embaralhar([*(f"{palavra} {j}" for j in range(1 + k % 4)), *outras], k)
        texto = " ".join(solta.split(" ")[0] for solta in soltas)
        certo = numero(1 + k % 4)
        yield Pedido("contagem: vezes", {"x": texto, "y": palavra}, str(1 + k % 4), certo, (f"vezes: {texto}",))
        iniciais = embaralhar({sem_acento(p)[0] for p in nomes}, ("iniciais", k))[: 3 + k % 2]
        tres = [embaralhar((p for p in nomes if sem_acento(p)[0] == i), ("alfabética", k))[0] for i in iniciais]
        certos = sorted(tres, key=sem_acento)
        verificador = {"tipo": "sequencia", "elementos": certos}
        chave = ("palavras: " + ", ".join(certos),)
        yield Pedido("ordenação: alfabética", {"x": ", ".join(tres)}, ", ".join(certos), verificador, chave)
    yield from intrusos(n, range(9, 20))


REFORCOS: tuple[Callable[[Nucleo], Iterator[Pedido]], ...] = (palavras, frases, textos, numeros, listas)
