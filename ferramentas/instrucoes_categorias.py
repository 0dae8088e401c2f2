"""As categorias de instruções que saem do que foi escrito à mão: as palavras, frases e fatos de instrucoes_nucleo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from instrucoes_pedido import Nucleo, Pedido, embaralhar, exato, numero, opcoes, resumo


def de_palavra(secao: str, palavra: str, respostas: str, *mais_itens: str) -> Pedido:
    """Pergunta sobre uma palavra cuja resposta é outra."""
    aceitas = opcoes(respostas)
    return Pedido(secao, {"x": palavra}, aceitas[0], exato(*aceitas), (palavra, *mais_itens))


def substantivos(n: Nucleo) -> Iterator[Pedido]:
    """Plural, artigo e diminutivo."""
    for com_artigo, plural, diminutivo in n["substantivos"]:
        palavra = com_artigo.split(" ")[1]
        yield de_palavra("plural", palavra, plural)
        if palavra != "jovem":  # vale para os dois gêneros
            yield Pedido("artigo", {"x": palavra}, com_artigo, exato(com_artigo), (palavra,))
        if diminutivo != "-":
            yield de_palavra("diminutivo", palavra, diminutivo)


def pares_de_palavras(n: Nucleo) -> Iterator[Pedido]:
    """Feminino, antônimo (nos dois sentidos, quando não há dúvida) e sinônimo."""
    for masculino, femininos in n["femininos"]:
        yield de_palavra("feminino", masculino, femininos, *opcoes(femininos))
    vezes: dict[str, int] = {}
    for linha in n["antônimos"]:
        for palavra in (linha[0], *opcoes(linha[1])):
            vezes[palavra] = vezes.get(palavra, 0) + 1
    for palavra, contrarios in n["antônimos"]:
        yield de_palavra("antônimo", palavra, contrarios, *opcoes(contrarios))
        sem_duvida = vezes[palavra] == 1 and vezes.get(contrarios) == 1
        if sem_duvida and resumo("inverso", palavra) % 5 == 0:
            yield de_palavra("antônimo", contrarios, palavra, palavra)
    for palavra, sinonimos in n["sinônimos"]:
        yield de_palavra("sinônimo", palavra, sinonimos)


def ortografia(n: Nucleo) -> Iterator[Pedido]:
    """Escolher entre a grafia certa e a errada, ou corrigir a errada."""
    for certa, errada in n["ortografia"]:
        if resumo("ortografia", certa) % 4:
            x, y = embaralhar((certa, errada), certa)
            yield Pedido("ortografia", {"x": x, "y": y}, certa, exato(certa), (certa,))
        else:
            yield Pedido("ortografia: corrigir", {"x": errada}, certa, exato(certa), (certa,))


def grupos(n: Nucleo) -> Iterator[Pedido]:
    """A que grupo uma palavra pertence, e qual palavra destoa das outras."""
    tabela, donos = _grupos(n)
    for nome, itens in tabela.items():
        outros = _opostos(tabela, nome)
        for item in itens:
            if len(donos[item]) > 1:
                continue
            escolhas = embaralhar((nome, *embaralhar(outros, item)[:2]), ("grupo", item))
            lista = f"{escolhas[0]}, {escolhas[1]} ou {escolhas[2]}"
            yield Pedido("grupo", {"x": item, "y": lista}, nome, exato(nome), (item,))
    yield from intrusos(n, range(9))


def intrusos(n: Nucleo, vezes: Iterable[int]) -> Iterator[Pedido]:
    """De cada grupo, listas com uma palavra de outro: uma por número de `vezes`."""
    tabela, donos = _grupos(n)
    for nome, itens in tabela.items():
        outros = _opostos(tabela, nome)
        for k in vezes:
            iguais = embaralhar(itens, ("iguais", k))[: 3 + k % 2]
            outro = embaralhar(outros, ("intruso", nome, k))[0]
            destoa = embaralhar((i for i in tabela[outro] if len(donos[i]) == 1), ("destoa", nome, k))[0]
            todos = embaralhar((*iguais, destoa), ("ordem", nome, k))
            itens_do_pedido = ("intruso: " + ", ".join(sorted(todos)),)
            yield Pedido("intruso", {"x": ", ".join(todos)}, destoa, exato(destoa), itens_do_pedido)


def _grupos(n: Nucleo) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """Os itens de cada grupo, e os grupos de cada item."""
    tabela = {nome: itens.split("/") for nome, itens in n["grupos"]}
    donos: dict[str, set[str]] = {}
    for nome, itens in tabela.items():
        for item in itens:
            donos.setdefault(item, set()).add(nome)
    return tabela, donos


def _opostos(tabela: dict[str, list[str]], nome: str) -> list[str]:
    """Os grupos que podem aparecer ao lado de um sem dar duas respostas certas."""
    # "ave" e "inseto" também são "animal": as três nunca se opõem na mesma pergunta.
    animais = {"animal", "ave", "inseto"}
    comer = {"fruta", "hortaliça", "bebida"}
    usar = {"ferramenta", "utensílio de cozinha", "material escolar"}
    familia = next((f for f in (animais, comer, usar) if nome in f), {nome})
    return [outro for outro in tabela if outro not in familia]


def gramatica(n: Nucleo) -> Iterator[Pedido]:
    """Concordância, voz passiva, pontuação, reescrita formal e lacunas: frases escritas uma a uma."""
    for errada, certa in n["concordância"]:
        aceitas = opcoes(certa)
        yield Pedido("concordância", {"x": errada}, aceitas[0], exato(*aceitas), (certa,))
    for frase, certa, errada in n["concordância: escolher"]:
        y, z = embaralhar((certa, errada), frase)
        yield Pedido("concordância: escolher", {"x": frase, "y": y, "z": z}, certa, exato(certa), (frase,))
    for ativa, passiva in n["voz passiva"]:
        aceitas = opcoes(passiva)
        yield Pedido("voz passiva", {"x": ativa}, aceitas[0], exato(*aceitas), (ativa,))
        if resumo("ativa", ativa) % 4 == 0:
            yield Pedido("voz passiva: para a ativa", {"x": aceitas[0]}, ativa, exato(ativa), (ativa,))
    for (linha,) in n["pontuação"]:
        certa, *outras = opcoes(linha)
        if certa.endswith("!"):  # a exclamação é escolha de quem escreve
            outras.append(certa[:-1] + ".")
        crua = certa[0].lower() + certa[1:].rstrip(".!?").replace(",", "")
        yield Pedido("pontuação", {"x": crua}, certa, exato(certa, *outras, rigoroso=True), (certa,))
    informais = (
        "pra",
        "pro",
        "tá",
        "tô",
        "tava",
        "a gente",
        "cadê",
        "valeu",
        "bora",
        "cara",
        "grana",
        "troço",
        "galera",
    )
    for informal, formal, obrigatorias in n["formal"]:
        minuscula = f" {informal.lower().rstrip('.!?')} "
        proibidas = [p for p in informais if f" {p} " in minuscula]
        verificador = {"tipo": "contem", "todas": [obrigatorias], **({"nenhuma": proibidas} if proibidas else {})}
        # Sem marca informal que se possa procurar, só uma pessoa diz se a frase ficou formal.
        yield Pedido("reescrita formal", {"x": informal}, formal, verificador if proibidas else None, (informal,))
    for frase, certa, erradas in n["lacuna"]:
        tres = embaralhar((certa, *erradas.split(", ")), frase)
        lista = f"{tres[0]}, {tres[1]} ou {tres[2]}"
        yield Pedido("lacuna", {"x": frase, "y": lista}, certa, exato(certa), (frase,))


def frases(n: Nucleo) -> Iterator[Pedido]:
    """Tempo, negação, pronome, pergunta, cópia e formatos sobre as mesmas frases simples."""
    for sujeito, pronome, presente, passado, futuro, resto in n["frases"]:
        agora, antes, depois = (f"{sujeito} {verbo} {resto}." for verbo in (presente, passado, futuro))
        # "comprará" e "comprarão" trazem o infinitivo inteiro: "vai comprar" também é futuro.
        plural = futuro.endswith("ão")
        infinitivo = futuro[: -2 if plural else -1]
        composto = f"{sujeito} {'vão' if plural else 'vai'} {infinitivo} {resto}."
        item = (agora,)
        yield Pedido("tempo verbal: passado", {"x": agora}, antes, exato(antes), item)
        yield Pedido("tempo verbal: futuro", {"x": agora}, depois, exato(depois, composto), item)
        yield Pedido("tempo verbal: presente", {"x": antes}, agora, exato(agora), item)
        verbo = (presente, passado)[resumo("verbo", agora) % 2]
        frase = f"{sujeito} {verbo} {resto}."
        negada = f"{sujeito} não {verbo} {resto}."
        yield Pedido("negação", {"x": frase}, negada, exato(negada), item)
        com_pronome = f"{pronome.capitalize()} {verbo} {resto}."
        yield Pedido("pronome", {"x": frase}, com_pronome, exato(com_pronome), item)
        pergunta = frase[:-1] + "?"
        yield Pedido("pontuação: pergunta", {"x": frase}, pergunta, exato(pergunta, rigoroso=True), item)
        palavras = frase[:-1].split()
        yield Pedido("cópia: primeira", {"x": frase}, palavras[0], exato(palavras[0]), item)
        yield Pedido("cópia: última", {"x": frase}, palavras[-1], exato(palavras[-1]), item)
        yield Pedido("cópia: repetir", {"x": frase}, frase, exato(frase), item)
        total = str(len(palavras))
        yield Pedido("contagem: palavras", {"x": frase}, total, numero(len(palavras)), item)
        if not any(
            hora in f" {resto} " for hora in (" cedo ", " de manhã ", " à tarde ", " às seis ", " ao meio-dia ")
        ):
            yield from comecar_e_terminar(antes, item)


def comecar_e_terminar(frase: str, item: tuple[str, ...]) -> Iterator[Pedido]:
    """Uma frase com um advérbio de tempo no começo, e no fim."""
    artigo = frase.split(" ")[0] in {"O", "A", "Os", "As", "Meu", "Meus", "Minha", "Minhas"}
    inicio = ("Ontem", "No domingo", "Hoje", "Anteontem")[resumo("inicio", frase) % 4]
    miolo = frase[0].lower() + frase[1:] if artigo else frase
    comeca = f"{inicio} {miolo}"
    aceitas = exato(comeca, f"{inicio}, {miolo}")
    yield Pedido("formato pedido: começar", {"x": frase, "y": inicio}, comeca, aceitas, item)
    fim = ("ontem", "no domingo", "hoje", "anteontem")[resumo("fim", frase) % 4]
    termina = f"{frase[:-1]} {fim}."
    yield Pedido("formato pedido: terminar", {"x": frase, "y": fim}, termina, exato(termina), item)


def textos(n: Nucleo) -> Iterator[Pedido]:
    """Sentimento, tema, sim ou não, resumo e extração: textos escritos um a um."""
    for frase, sentimento in n["sentimento"]:
        yield Pedido("sentimento", {"x": frase}, sentimento, exato(sentimento), (frase,))
    temas = sorted({tema for _, tema in n["tema"]})
    for frase, tema in n["tema"]:
        outros = embaralhar((t for t in temas if t != tema), frase)[:2]
        tres = embaralhar((tema, *outros), ("tema", frase))
        yield Pedido("tema", {"x": frase, "y": f"{tres[0]}, {tres[1]} ou {tres[2]}"}, tema, exato(tema), (frase,))
    comuns = {"O", "A", "Os", "As", "Todos", "Alguém", "Choveu", "Fez", "Ainda"}
    for texto, sim, nao in n["sim ou não"]:
        for pergunta, resposta in ((sim, "sim"), (nao, "não")):
            baixa = pergunta[0].lower() + pergunta[1:] if pergunta.split(" ")[0] in comuns else pergunta
            campos = {"x": texto, "y": pergunta, "z": baixa}
            yield Pedido("sim ou não", campos, resposta, exato(resposta), (texto,))
    for texto, frase, obrigatorias in n["resumo"]:
        verificador = {"tipo": "contem", "todas": obrigatorias.split(", "), "max_palavras": 15}
        yield Pedido("resumo", {"x": texto}, frase, verificador, (texto,))
    for (marcado,) in n["extração"]:
        texto, achados = ler_marcas(marcado)
        for tipo, valor in achados:
            verificador = numero(int(valor)) if tipo == "número" else exato(valor)
            yield Pedido(f"extração: {tipo}", {"x": texto}, valor, verificador, (texto,))


def ler_marcas(marcado: str) -> tuple[str, list[tuple[str, str]]]:
    """De "{nome:Ana} saiu." a ("Ana saiu.", [("nome", "Ana")])."""
    texto, achados = "", []
    for pedaco in marcado.split("{"):
        marca, fecha, resto = pedaco.partition("}")
        if fecha:
            tipo, _, valor = marca.partition(":")
            achados.append((tipo, valor))
            texto += valor + resto
        else:
            texto += pedaco
    return texto, achados


def fatos(n: Nucleo) -> Iterator[Pedido]:
    """Geografia, cultura, provérbios e recusas."""
    for estado, com_preposicao, capital, regiao, sigla in n["estados"]:
        item = (estado, capital)
        yield Pedido("geografia: capital", {"y": com_preposicao}, capital, exato(capital), item)
        yield Pedido("geografia: estado", {"y": capital}, estado, exato(estado), item)
        yield Pedido("geografia: região", {"y": com_preposicao}, regiao, exato(regiao, f"região {regiao}"), item)
        yield Pedido("geografia: sigla", {"x": estado, "y": com_preposicao}, sigla, exato(sigla), item)
        yield Pedido("geografia: da sigla", {"x": sigla}, estado, exato(estado), item)
    for secao in ("geografia", "cultura"):
        for pergunta, resposta in n[secao]:
            aceitas = opcoes(resposta)
            yield Pedido(secao, {"pronto": pergunta}, aceitas[0], exato(*aceitas), (pergunta,))
    for comeco, fim in n["provérbios"]:
        reticencias = comeco.rstrip(",") + "..."
        inteiro = f"{comeco} {fim}"
        yield Pedido("provérbio", {"x": reticencias}, fim, exato(fim, inteiro), (comeco,))
    for pedido, resposta in n["recusas"]:
        verificador = {
            "tipo": "contem",
            "comeca": ["não posso", "não consigo", "desculpe", "infelizmente", "sinto muito"],
        }
        yield Pedido("recusa", {"pronto": pedido}, resposta, verificador, (pedido,))


ESCRITAS: tuple[Callable[[Nucleo], Iterator[Pedido]], ...] = (
    *(substantivos, pares_de_palavras, ortografia, grupos, gramatica, frases, textos, fatos),
)
