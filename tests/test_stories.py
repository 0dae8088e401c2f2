"""O corpus `historias`: gramática não ambígua, probabilidades e entropia exatas, e português que concorda."""

import ast
import hashlib
import math
import random
import re
import time
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oraculo_gramatica import TAG, enumera, verbetes

from llmdefinitions import stories
from llmdefinitions.grammar import Grammar
from llmdefinitions.stories import (
    Story,
    content_words,
    count_derivations,
    count_stories,
    entropy_per_token,
    iter_stories,
    log_prob,
    sample_stories,
    story_entropy,
    story_spec,
)

SPEC = story_spec()
ENREDOS = [molde[1:-1] for _, molde in SPEC["regras"]["historia"]]
AMOSTRA = sample_stories(3000, seed=2025)
PALAVRA = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


# --- probabilidade, ambiguidade, entropia e contagem ------------------------------------------------------------------


def reduz(spec: dict, enredo: str, sorteio: random.Random) -> dict:
    """A gramática de um enredo, com quase todas as escolhas cortadas a uma ou duas opções."""
    minimos = {"criancas": 2, "cidades": 2, "buscas": 2, "cantos": 3}  # classes de onde se excluem verbetes

    def corta(lista, minimo=1):
        n = min(len(lista), max(minimo, 2 if sorteio.random() < 0.25 else 1))
        return [lista[i] for i in sorted(sorteio.sample(range(len(lista)), n))]

    def verbete(bruto):
        if isinstance(bruto, str):
            return bruto
        return {k: classe(k, v) if isinstance(v, list) else v for k, v in bruto.items()}

    def classe(nome, lista):
        return [verbete(v) for v in corta(lista, minimos.get(nome, 1))]

    classes = {nome: classe(nome, lista) for nome, lista in spec["classes"].items()}
    regras = {nome: corta(alternativas) for nome, alternativas in spec["regras"].items()}
    return {**spec, "inicio": enredo, "classes": classes, "regras": regras}


@pytest.mark.parametrize("enredo", ENREDOS)
def test_gramatica_reduzida_enumerada_nao_e_ambigua(enredo):
    sorteio = random.Random(f"reduz {enredo}")
    for _ in range(200):
        spec = reduz(SPEC, enredo, sorteio)
        gramatica = Grammar(spec)
        entropia, contagem = gramatica.measure()
        if 60 <= contagem <= 400:
            break
    else:
        pytest.fail(f"nenhuma redução de {enredo} caiu entre 60 e 400 textos")
    derivacoes = list(enumera(spec))
    exatas = dict(derivacoes)
    assert len(exatas) == len(derivacoes) == contagem  # todos os textos distintos
    assert sum(exatas.values()) == 1  # frações exatas
    # 1e-12: arredondamento de float64 somado sobre no máximo 400 textos.
    assert entropia == pytest.approx(-sum(p * math.log(p) for p in exatas.values()), abs=1e-12)
    reconhecidas = []
    for texto, p in exatas.items():
        (logp,) = gramatica.derivations(texto)  # exatamente uma derivação
        assert logp == pytest.approx(math.log(p), abs=1e-12)
        reconhecidas.append(math.exp(logp))
    assert math.fsum(reconhecidas) == pytest.approx(1, abs=1e-12)


def test_enredos_distintos_nunca_geram_o_mesmo_texto():
    """O que a redução por enredo não mostra: um texto de um enredo não é derivável de outro."""
    gramaticas = {enredo: Grammar({**SPEC, "inicio": enredo}) for enredo in ENREDOS}
    for enredo, gramatica in gramaticas.items():
        texto, _ = gramatica.sample(random.Random(8).random)
        assert [e for e in ENREDOS if list(gramaticas[e].derivations(texto))] == [enredo]


@settings(max_examples=60, derandomize=True)
@given(st.integers(min_value=0, max_value=2**64))
def test_sorteio_e_reconhecedor_concordam_na_gramatica_inteira(seed):
    (historia,) = sample_stories(1, seed=seed)
    assert count_derivations(historia.text) == 1
    # A soma é feita na mesma ordem; sobra só o logaritmo da soma de uma parcela.
    assert log_prob(historia.text) == pytest.approx(historia.log_prob, abs=1e-12)


def test_texto_fora_da_linguagem_tem_probabilidade_zero():
    texto = AMOSTRA[0].text
    palavras = texto.split(" ")
    foras = ["", "Era uma vez.", texto + " ", texto + " Fim.", texto[:-1], texto.lower(), texto.replace(" ", "  ", 1)]
    foras += [" ".join(palavras[:i] + palavras[i + 1 :]) for i in range(0, len(palavras), 9)]
    for fora in foras:
        assert log_prob(fora) == -math.inf, fora
        assert count_derivations(fora) == 0


def test_entropia_exata_confere_com_monte_carlo():
    perdas = [-h.log_prob for h in AMOSTRA]
    media = sum(perdas) / len(perdas)
    desvio = math.sqrt(sum((p - media) ** 2 for p in perdas) / (len(perdas) - 1))
    assert desvio > 1  # se todas fossem iguais, a entropia seria só o logaritmo da contagem
    assert abs(media - story_entropy()) < 4 * desvio / math.sqrt(len(perdas))
    assert story_entropy() < math.log(count_stories()) - 1


def test_ha_mais_de_um_bilhao_de_historias_distintas():
    assert isinstance(count_stories(), int)
    assert count_stories() == sum(Grammar({**SPEC, "inicio": enredo}).measure()[1] for enredo in ENREDOS)
    assert count_stories() >= 10**9
    assert len({h.text for h in AMOSTRA}) == len(AMOSTRA)


def test_entropia_e_a_do_enredo_mais_a_media_dos_enredos():
    """Regra da cadeia: H(história) = H(enredo) + Σ p(enredo) H(história | enredo)."""
    pesos = [peso for peso, _ in SPEC["regras"]["historia"]]
    ps = [peso / sum(pesos) for peso in pesos]
    condicionais = [Grammar({**SPEC, "inicio": enredo}).measure()[0] for enredo in ENREDOS]
    esperada = sum(p * (h - math.log(p)) for p, h in zip(ps, condicionais, strict=True))
    assert story_entropy() == pytest.approx(esperada, abs=1e-10)


# --- sorteio determinístico e erros -----------------------------------------------------------------------------------

PRIMEIRA = (
    "Certo dia, Gael ganhou um boné verde do avô. Num dia de folga, Gael se divertia no pomar com o boné. Na hora"
    " de ir embora, porém, o boné tinha sumido. Gael ficou desanimado e procurou atrás da cerca e dentro de um "
    "balde, mas em vão. Foi então que uma cadela começou a latir: o boné estava debaixo da goiabeira. “Da próxima"
    " vez, vou prestar mais atenção”, prometeu Gael, feliz."
)
# Procedência: os textos de sample_stories(100, seed=123) separados por "\n", em UTF-8.
SHA256_CEM = "0ea430b1345ebdac0fc7624a792f32de8f742ebd14ec2401d04a485267e57d53"


def test_numeros_de_ouro_da_semente_123():
    cem = sample_stories(100)
    assert cem[0].text == PRIMEIRA
    assert hashlib.sha256("\n".join(h.text for h in cem).encode()).hexdigest() == SHA256_CEM


@given(st.integers(min_value=-(2**40), max_value=2**40), st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=25, derandomize=True)
def test_pedir_mais_so_acrescenta_ao_fim(seed, m, n):
    menor, maior = sorted([m, n])
    fluxo = list(islice(iter_stories(seed), maior))
    assert sample_stories(maior, seed=seed) == fluxo
    assert sample_stories(menor, seed=seed) == fluxo[:menor]


def test_sementes_diferentes_dao_historias_diferentes():
    assert sample_stories(5, seed=1) != sample_stories(5, seed=2)
    assert all(isinstance(h, Story) and h.log_prob < 0 for h in AMOSTRA)


@pytest.mark.parametrize("n", ["3", 2.0, None, True])
def test_n_que_nao_e_inteiro(n):
    with pytest.raises(TypeError, match=f"n={n!r} é .*use um inteiro"):
        sample_stories(n)


def test_n_negativo():
    with pytest.raises(ValueError, match="n=-1 é pequeno demais: use um inteiro a partir de 0"):
        sample_stories(-1)


@pytest.mark.parametrize("seed", ["a", 1.5, None, False])
def test_semente_que_nao_e_inteira(seed):
    with pytest.raises(TypeError, match=f"seed={seed!r} é .*use um inteiro"):
        iter_stories(seed)  # já na chamada, e não só no primeiro next()


def test_so_usa_o_gerador_uniforme_da_biblioteca_padrao():
    """`random()` é a única função de `random` cuja sequência o Python garante entre versões; e nada de torch aqui."""
    pasta = Path(stories.__file__).parent
    for nome in ("stories", "grammar", "template"):
        arvore = ast.parse((pasta / f"{nome}.py").read_text(encoding="utf-8"))
        modulos = {no.module for no in ast.walk(arvore) if isinstance(no, ast.ImportFrom)}
        modulos |= {a.name for no in ast.walk(arvore) if isinstance(no, ast.Import) for a in no.names}
        assert not any(m.split(".")[0] in {"torch", "numpy"} for m in modulos)
        usos = {no.attr for no in ast.walk(arvore) if isinstance(no, ast.Attribute) and _e_nome(no.value, "random")}
        assert usos <= {"Random"}


def _e_nome(no, nome):
    return isinstance(no, ast.Name) and no.id == nome


# --- entropia por token -----------------------------------------------------------------------------------------------


def test_entropia_por_token_com_caracteres_confere_com_a_conta_direta():
    n = 300
    tamanhos = [len(h.text) + 1 for h in sample_stories(n, seed=7)]
    media = sum(tamanhos) / n
    variancia = sum((t - media) ** 2 for t in tamanhos) / (n - 1)
    estimativa, erro = entropy_per_token(list, n=n)
    assert estimativa == pytest.approx(story_entropy() / media, rel=1e-12)
    # Oráculo do erro-padrão: o jackknife, que não supõe nada da derivada (difere do método delta em O(1/n)).
    jack = [story_entropy() * (n - 1) / (n * media - t) for t in tamanhos]
    meio = sum(jack) / n
    assert erro == pytest.approx(math.sqrt((n - 1) / n * sum((j - meio) ** 2 for j in jack)), rel=0.02)
    assert erro > 0
    assert variancia > 0


def test_entropia_por_token_conta_os_tokens_a_mais():
    """Com um token por história, mais um de fim de texto, são dois: metade da entropia, sem erro amostral."""
    assert entropy_per_token(lambda texto: [0], n=10) == (pytest.approx(story_entropy() / 2, rel=1e-12), 0)
    assert entropy_per_token(lambda texto: [0], n=10, n_extra_tokens=0) == (pytest.approx(story_entropy()), 0)


def test_entropia_por_token_recusa_entradas_ruins():
    with pytest.raises(ValueError, match="n=1 é pequeno demais: use um inteiro a partir de 2"):
        entropy_per_token(list, n=1)
    with pytest.raises(ValueError, match="n_extra_tokens=-1 é pequeno demais"):
        entropy_per_token(list, n_extra_tokens=-1)
    with pytest.raises(ValueError, match="não devolveu nenhum token"):
        entropy_per_token(lambda texto: [], n=2, n_extra_tokens=0)


# --- tamanho, léxico e velocidade -------------------------------------------------------------------------------------


def limite_de_palavras(enredo: str, escolhe) -> int:
    """Limite (`min` ou `max`) do número de palavras, sem correlação entre escolhas: é folgado, mas vale para todas."""

    def espacos(texto):
        return texto.count(" ")

    def molde(texto, env):
        total = 0
        for pedaco in TAG.split(texto):
            corpo = pedaco[1:-1]
            if pedaco.startswith("{"):
                total += escrita(corpo, env)
            elif not pedaco.startswith("["):
                total += espacos(pedaco)
            elif "=" in corpo:
                variavel, fonte = corpo.split("=")
                fonte = fonte.split("-")[0]
                x, _, campo = fonte.partition(".")
                listas = [v[campo] for v in env[x]] if campo else [fonte]
                listas = [SPEC["classes"][lista] if isinstance(lista, str) else lista for lista in listas]
                env[variavel] = env.get(variavel, []) + [v for lista in listas for v in verbetes(SPEC, lista)]
            elif "." in corpo:
                x, campo = corpo.split(".")
                total += escolhe(molde(v[campo], env) for v in env[x])
            else:
                total += escolhe(molde(a if isinstance(a, str) else a[1], env) for a in SPEC["regras"][corpo])
        return total

    def escrita(corpo, env):
        if "|" in corpo:
            return escolhe(espacos(forma) for forma in re.split(r"[|#]", corpo)[1:])
        if "~" in corpo:
            return escolhe(espacos(f) for v in env[corpo.split("~")[0]] for f in v["t"].split("/"))
        if " " in corpo:
            return 1 + escolhe(espacos(v["t"]) for v in env[corpo.split(" ")[1]])
        x, _, campo = corpo.partition(".")
        return escolhe(espacos(v[campo or "t"]) for v in env[x])

    return 1 + molde(f"[{enredo}]", {})


@pytest.mark.parametrize("enredo", ENREDOS)
def test_toda_historia_tem_de_45_a_90_palavras(enredo):
    assert limite_de_palavras(enredo, min) >= 45
    assert limite_de_palavras(enredo, max) <= 90


def test_tamanho_das_historias_sorteadas():
    tamanhos = [len(h.text.split()) for h in AMOSTRA]
    assert 45 <= min(tamanhos) <= max(tamanhos) <= 90
    assert 60 <= sum(tamanhos) / len(tamanhos) <= 80


def test_ao_menos_400_palavras_de_conteudo():
    assert len(content_words()) >= 400
    vistas = {p for h in AMOSTRA for p in PALAVRA.findall(h.text.lower())}
    assert len(vistas & content_words()) >= 400  # não só declaradas: aparecem
    for palavra in ("capivara", "tapioca", "iara", "empinar", "curioso"):
        assert palavra in content_words()
    for palavra in ("de", "uma", "não", "curiosa", "casos"):
        assert palavra not in content_words()  # funcional, flexão da mesma vaga, ou nome de campo do léxico


def test_a_contagem_de_palavras_de_conteudo_cobre_o_que_se_le():
    """O que aparece e não é contado só pode ser palavra funcional ou a flexão feminina ou plural de uma contada."""
    vistas = {p for h in AMOSTRA for p in PALAVRA.findall(h.text.lower())}
    flexoes = vistas - content_words() - set(SPEC["funcionais"])
    assert all(p.endswith(("a", "as", "os", "is", "es", "am")) for p in flexoes)
    assert len(flexoes) < 150


def test_velocidade():
    """Pisos do projeto: 5.000 sorteios e 200 reconhecimentos por segundo de CPU; o melhor de 3 tira o ruído."""

    def melhor(funcao, quantas):
        tempos = []
        for _ in range(3):
            inicio = time.process_time()
            funcao()
            tempos.append(time.process_time() - inicio)
        return quantas / min(tempos)

    assert melhor(lambda: sample_stories(1000, seed=3), 1000) >= 5000
    assert melhor(lambda: [log_prob(h.text) for h in AMOSTRA[:100]], 100) >= 200


# --- o português ------------------------------------------------------------------------------------------------------

DETERMINANTES = {
    "m": "o um do no ao pelo num daquele esse",
    "f": "a uma da na à pela numa daquela essa esta",
    "mp": "os uns dos nos aos pelos",
    "fp": "as umas das nas às pelas",
}
# Gênero e número dos substantivos que só aparecem em moldes e frases, conferidos à mão, um a um; o gerador não lê isto.
SUBSTANTIVOS = {
    "m": """
    abraço abrigo acampamento alicate almoço alto anel animal aniversário ano anoitecer ar arame arbusto armário
    aro assento bagageiro bairro banco bando barbante barqueiro barracão barranco barulho baú bebedouro berro
    bicho bico bosque boto braço brejo broto buraco cacarejo cais caju calor caminho cano canto capim capinzal
    capô carinho caroço carro casco castelo caule cavalete celular cerrado chafariz cheiro chifre choro chão
    ciclista coaxar cofrinho colchão colo começo conselho coração cordel coreto corredor curral céu dedo
    depósito descuido dia dinheiro diário domingo dono eixo embrulho engarrafamento errinho escorregador
    espantalho espelho espinho estouro farol fecho feriado festival filhote fim fio forno frio fundo furo galho
    galinheiro galpão garoto gol grampo grasnado graveto grito grupo grão guarda-sol guidão instante inverno
    jantar jardim jeito lado lanche largo latido lugar mar martelo mato medo meio menino mercado miado milharal
    momento motor motorista mugido murmúrio muro museu mês ninho novelo nó olho outono ouvido palco pampa pano
    pantanal papelão parafuso passeio pedal pedaço peixinho pequizeiro piado pio pneu poema porto portão poste
    posto pote pouco poço presente problema pulso quarto rabo ralador recreio remendo resto retalho rio rolo
    ronco rumo ruído samba segredo sol sorriso sábado teatro telefone telhado temporal terminal terreiro tesouro
    toco trator trinco tripé tronco trovão tubo túnel urutau vento verão vizinho vulto zurro
    """,
    "f": """
    , . agulha ajudinha areia argila asa assadeira atenção ave aventura bacia bagagem banca barraca barriga
    beira biblioteca bisavó boca borda buzina caatinga cabeça cadeira caixa cama canoa cantiga cantina capela
    casa castanha cerca chuva cidade clareira coleira colheita comida corrente correnteza cozinha cuscuzeira
    diversão embaúba escada escola escuridão estaca estação estrada estátua falta família fieira flor floresta
    fogueira fome forma foto frente fresta frigideira gangorra garota gaveta goiabada goiabeira grama gruta hora
    horta ideia igreja jabuticabeira janela jangada jaqueira lagarta lagoa lama lata lenda lente linha lua luz
    lâmpada madrugada mala mangueira manhã margem mata memória menina mesa modinha muda multidão mão neblina
    noite nota novidade nuvem oficina padaria palha panela parede pata pedalada pedra pele pena peneira placa
    planta plantinha plateia poeira ponta ponte porta primavera quadra quarta-feira quinta-feira rabiola
    rachadura rampa receita região resposta rodinha rodoviária régua sacada saudade saída sede semana semente
    serra sirene sombra subida tarde terra terça-feira tesoura tesourinha testa tigela toca turma tábua vala
    vela venda ventania vergonha vez viagem visita vista vitrine vizinha vizinhança vontade véspera água árvore
    """,
    "mp": """
    amigos biólogos bombeiros brotos buritis campos carros colegas dedos espinhos fios fogos galhos guardas nós
    olhos parentes passarinhos pratos pulos pés quatis queijos ramos retalhos veterinários viajantes vizinhos
    """,
    "fp": """
    asas cadeiras costas crianças farinhas festas folhas formigas forminhas fotografias frutas férias
    laranjeiras lembranças marcas margaridas melancias mesas noites nuvens palavras palmas paredes patas pedras
    pegadas penas risadas rãs sementes tigelas toalhas
    """,
}
# Depois de "a" preposição, ou de determinante em expressão fixa: não são substantivos determinados.
NAO_NOMES = """
    a abrir andar antigos bater belo brincar cacarejar cantar chegar contar dançar das de declamar desenhar dois
    duas empinar encher grande gritar inventar jogar latir melhor mesma mesmo miar molhar montar nado navegar
    olhar passo perceber poucos primeira primeiro primeiros própria próxima pular que recitar resolver rodar seu
    tocar um uma último
"""
ARTIGO = {d: forma for forma, lista in DETERMINANTES.items() for d in lista.split()}


def _verbetes_com_genero(listas):
    for lista in listas:
        for v in lista:
            if isinstance(v, dict):
                if "g" in v:
                    yield v["t"].lower().split()[0], v["g"]
                yield from _verbetes_com_genero(x for x in v.values() if isinstance(x, list))


def _dicionario():
    nomes = {p: {f} for f, lista in SUBSTANTIVOS.items() for p in lista.split()}
    # "seu" e "dona" tratam vizinhos; "seu" também é possessivo.
    classes = [lista for nome, lista in SPEC["classes"].items() if nome != "vizinhos"]
    for palavra, forma in _verbetes_com_genero(classes):
        nomes.setdefault(palavra, set()).add(forma)
    adjetivos = {}
    for lista in SPEC["classes"].values():
        for v in lista:
            formas = (v if isinstance(v, str) else v["t"]).split("/")
            for forma, palavra in zip(("m", "f", "mp", "fp"), formas if len(formas) > 1 else [], strict=False):
                adjetivos.setdefault(palavra, set()).add(forma)
    return nomes, adjetivos


NOMES, ADJETIVOS = _dicionario()
CRIANCAS = {v["t"]: v["g"] for v in SPEC["classes"]["criancas"]}
CIDADE = re.compile("|".join(v["t"] for v in verbetes(SPEC, SPEC["classes"]["cidades"])))
FAMILIA = {v["t"]: v["g"] for v in verbetes(SPEC, SPEC["classes"]["familia"])}


def discordancias(texto: str) -> list[str]:
    """Erros de concordância, contração, crase e pontuação que este verificador, alheio à gramática, encontra."""
    erros = []
    tokens = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*|[^\w\s]", texto.lower())
    for det, nome, depois in zip(tokens, tokens[1:], [*tokens[2:], ""], strict=False):
        if det not in ARTIGO or not PALAVRA.fullmatch(nome) or nome in NAO_NOMES.split():
            continue
        if nome not in NOMES:
            erros.append(f"palavra sem gênero conhecido: {det} {nome}")
        elif ARTIGO[det] not in NOMES[nome]:
            erros.append(f"artigo: {det} {nome}")
        elif depois in ADJETIVOS and ARTIGO[det] not in ADJETIVOS[depois]:
            erros.append(f"adjetivo: {det} {nome} {depois}")
    for padrao, regra in [
        (r"\b(de|em|por) (o|a|os|as)\b|\b(de|em) (ele|ela|eles|elas|esse|essa|este|esta)\b|\bem uma?\b", "contração"),
        (r"\ba (o|a|os|as)\b", "contração ou crase"),
        (r"\b(os|as) \S+ (tinha|estava|faltava|coloriu|era)\b", "verbo no singular"),
        (r"\b(o|a) \S+ (tinham|estavam|faltavam|coloriram)\b", "verbo no plural"),
        (r"  |^\s|\s$|\s[.,;:!?”]|“\s|[\[\]{}|#~/=]|[.,;:!?]{2}", "espaço ou pontuação"),
        (r"[.!?]”? [a-zà-ú]", "minúscula depois de ponto"),
        (r"\b(\w+) \1\b", "palavra repetida"),
    ]:
        erros += [f"{regra}: {m[0]!r}" for m in re.finditer(padrao, re.sub(r"(\w+), \1, (\w+ vezes)", r"\2", texto))]
    if not texto[0].isupper() or not re.search(r"[.!?]”?$", texto) or texto.count("“") != texto.count("”"):
        erros.append("começo, fim ou aspas")
    return erros + _erros_da_personagem(texto)


def _erros_da_personagem(texto: str) -> list[str]:
    texto = CIDADE.sub("", texto)  # João Pessoa não é personagem
    nomes = [p for p in PALAVRA.findall(texto) if p in CRIANCAS]
    if not nomes:
        return []  # fábula: a personagem é um bicho, e as duplas já concordam pelo artigo
    erros = []
    genero = CRIANCAS[nomes[0]]
    trocadas = "menina garota sozinha convidada" if genero == "m" else "menino garoto sozinho convidado"
    erros += [f"personagem {nomes[0]}: {p}" for p in PALAVRA.findall(texto.lower()) if p in trocadas.split()]
    sujeito = re.escape(nomes[0]) + "|O menino|A menina"
    for m in re.finditer(rf"\b(?:{sujeito})(?: ficou| foi dormir| voltou para casa|,) (\w+)\b", texto):
        if m[1] in ADJETIVOS and genero not in ADJETIVOS[m[1]]:
            erros.append(f"predicativo: {m[0]}")
    parceiros = [FAMILIA[p] for p in PALAVRA.findall(texto) if p in FAMILIA]
    parceiros = parceiros or [CRIANCAS[p] for p in nomes if p != nomes[0]]
    so_feminino = genero == "f" and parceiros[:1] == ["f"]
    for m in re.finditer(r"\b([Oo]s dois|[Aa]s duas|[Jj]unt[oa]s)\b", texto):
        if m[0].endswith("as") != so_feminino:
            erros.append(f"dupla: {m[0]}")
    return erros


def test_concordancia_contracoes_e_pontuacao():
    erros = [(erro, h.text) for h in AMOSTRA for erro in discordancias(h.text)]
    assert not erros, erros[:5]


@pytest.mark.parametrize(
    ("certo", "errado"),
    [
        ("A menina", "O menina"),
        ("o cachorro", "a cachorro"),
        ("um menino", "uma menino"),
        ("a avó", "à avó do"),
        (" da ", " de a "),
        (" na ", " em a "),
        (" ao ", " a o "),
        (". ", " . "),
        (". A ", ". a "),
        ("Os dois", "As duas"),
        ("os dois", "as duas"),
        ("as duas", "os dois"),
        ("ficou preocupado", "ficou preocupada"),
        ("foi dormir orgulhosa", "foi dormir orgulhoso"),
        ("os chinelos tinham", "os chinelos tinha"),
    ],
)
def test_o_verificador_pega_erros_plantados(certo, errado):
    """Um verificador que aprova tudo não verifica nada: cada erro plantado numa história correta tem de aparecer."""
    if certo == "a avó":
        certo, errado = " com a avó", " com ao avó"
    historia = next(h.text for h in iter_stories(4) if certo in h.text and not discordancias(h.text))
    assert discordancias(historia.replace(certo, errado, 1))


def test_a_mesma_personagem_do_comeco_ao_fim_e_o_objeto_volta():
    """Coerência mínima: nas histórias de criança, o nome abre e reaparece; nas de viagem, o objeto levado resolve."""
    for historia in AMOSTRA[:1000]:
        nomes = [p for p in PALAVRA.findall(historia.text) if p in CRIANCAS]
        if nomes:
            assert len(re.findall(rf"\b{nomes[0]}\b|\b[OoAa] menin[oa]\b|\b[Ee]l[ea]\b", historia.text)) >= 2
    for i in range(100):
        texto, _ = Grammar({**SPEC, "inicio": "viagem"}).sample(random.Random(i).random)
        objetos = {v["t"] for p in SPEC["classes"]["passeios"] for v in p["kit"]}
        assert any(len(re.findall(rf"\b{o}\b", texto)) >= 2 for o in objetos)
