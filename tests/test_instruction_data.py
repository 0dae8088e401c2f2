"""O conjunto de instruções em português: o arquivo, a divisão, os verificadores, e o leitor que recusa o malformado."""

import copy
import hashlib
import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdefinitions.deduplication import near_duplicates
from llmdefinitions.instruction_data import check_answer, load_instructions, nearest_answers, normalize_answer

RAIZ = Path(__file__).resolve().parent.parent
ASSETS = RAIZ / "llmdefinitions" / "assets"
# No fim da lista: ferramentas/site.py não pode passar à frente do `site` da biblioteca padrão.
sys.path.append(str(RAIZ / "ferramentas"))

import instrucoes  # noqa: E402
from ambiente import ErroDeUso  # noqa: E402

COM_PONTO_FINAL = {
    *("concordância", "formato pedido", "negação", "pontuação", "pronome", "provérbio", "recusa", "reescrita formal"),
    *("resumo", "tempo verbal", "voz passiva"),
}


@pytest.fixture(scope="module")
def conjunto() -> list[dict]:
    return load_instructions()


@pytest.fixture(scope="module")
def partes(conjunto: list[dict]) -> dict[str, list[dict]]:
    separadas = defaultdict(list)
    for entrada in conjunto:
        separadas[entrada["parte"]].append(entrada)
    return dict(separadas)


# O arquivo


def test_o_gerador_refaz_os_dois_arquivos_byte_a_byte() -> None:
    entradas = instrucoes.montar()
    assert instrucoes.em_json(entradas) == (ASSETS / "instrucoes-pt.json").read_bytes()
    ficha = instrucoes.em_ficha(entradas, instrucoes.ler_nucleo())
    assert ficha == (ASSETS / "instrucoes-pt.md").read_bytes()


def test_tamanho_categorias_e_equilibrio(conjunto: list[dict]) -> None:
    conta = Counter(e["categoria"] for e in conjunto)
    assert 7500 <= len(conjunto) <= 8000
    assert len(conta) >= 18
    assert min(conta.values()) >= 30
    assert max(conta.values()) <= 0.10 * len(conjunto)
    assert all(e["verificador"] for e in conjunto if e["categoria"] != "reescrita formal")


def test_o_nucleo_e_escrito_e_as_redacoes_variam() -> None:
    nucleo, redacoes = instrucoes.ler_nucleo(), instrucoes.ler_formulacoes()
    listas = {"substantivos": 250, "antônimos": 150, "sinônimos": 100, "ortografia": 120}
    assert {secao: len(nucleo[secao]) >= minimo for secao, minimo in listas.items()} == dict.fromkeys(listas, True)
    frases = set(nucleo) - set(listas) - {"femininos", "grupos", "nomes", "cidades"}
    assert sum(len(nucleo[secao]) for secao in frases) >= 700
    por_categoria = Counter()
    for secao, lista in redacoes.items():
        assert len(set(lista)) == len(lista)
        por_categoria[secao.partition(":")[0]] += len(lista)
    assert min(por_categoria.values()) >= 6


def test_nenhum_pedido_se_repete(conjunto: list[dict]) -> None:
    pedidos = Counter((e["instruction"], e["input"]) for e in conjunto)
    assert [pedido for pedido, vezes in pedidos.items() if vezes > 1] == []
    # O mesmo item, na mesma categoria e com a mesma resposta, seria o mesmo pedido com outra redação.
    substancia = Counter((e["categoria"], e["input"], e["output"], tuple(e["itens"])) for e in conjunto if e["input"])
    repetidos = [s for s, vezes in substancia.items() if vezes > 1 and s[0] not in {"sim ou não", "extração"}]
    assert repetidos == []


def test_o_texto_e_limpo_e_curto(conjunto: list[dict]) -> None:
    for e in conjunto:
        for texto in (e["instruction"], e["input"], e["output"]):
            assert texto == texto.strip() == unicodedata.normalize("NFC", texto)
            assert "  " not in texto
            assert not [c for c in texto if unicodedata.category(c) in {"So", "Sk", "Cf", "Cs", "Co"}], texto  # emojis
            assert not re.search(r"[{}]", texto) or e["categoria"] == "JSON"
        assert len(e["instruction"].split()) <= 25
        assert len(f"{e['instruction']} {e['input']} {e['output']}".split()) <= 120
        assert e["instruction"][0].isupper() or not e["instruction"][0].isalpha()


def test_a_pontuacao_final_e_a_da_categoria(conjunto: list[dict]) -> None:
    for e in conjunto:
        pede = e["categoria"] in COM_PONTO_FINAL or (e["categoria"] == "cópia" and " " in e["output"])
        if e["categoria"] == "concordância" and "___" in e["input"]:
            pede = False
        assert (e["output"][-1] in ".?!") == pede, e
        if e["instruction"][-1] not in ".?!:)":
            # Só quando o item vem no fim da instrução, como num provérbio a completar.
            assert e["input"] == "", e


def test_ninguem_escreve_errado(conjunto: list[dict]) -> None:
    erradas = {errada for _, errada in instrucoes.ler_nucleo()["ortografia"]}
    grafias = instrucoes.ler_nucleo(instrucoes.NUCLEO / "reforco")["grafias"]
    erradas |= {par.partition(":")[2] for (linha,) in grafias for par in linha.split("/")}
    frequentes = {"mais bom", "menas", "seje", "esteje", "concerteza", "apartir", "derrepente", "a nível de", "haviam"}
    for e in conjunto:
        # O que se mostra errado de propósito fica de fora: a pergunta de ortografia e a frase a corrigir.
        de_proposito = e["categoria"] in {"ortografia", "concordância"}
        texto = e["output"] if de_proposito else f"{e['instruction']} {e['input']} {e['output']}"
        palavras = set(re.findall(r"\w+(?:-\w+)*", texto.casefold()))
        assert not palavras & erradas, e
        assert not [f for f in frequentes if re.search(rf"\b{f}\b", texto.casefold())], e


def test_cabe_no_contexto_do_mini_pt(conjunto: list[dict]) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    arquivo = ASSETS / "mini-pt" / "tokenizer.json"
    if not arquivo.is_file():
        pytest.skip("o mini-pt não está embutido")
    tokenizador = tokenizers.Tokenizer.from_file(str(arquivo))
    textos = [f"{e['instruction']}\n{e['input']}\n{e['output']}" for e in conjunto]
    # O modelo vê 256 tokens; 128 deixam metade para o cabeçalho do formato.
    assert max(len(t.ids) for t in tokenizador.encode_batch(textos)) <= 128


def test_abre_com_datasets(conjunto: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)  # sem isto ele avisa um servidor
    datasets.disable_progress_bars()
    lido = datasets.load_dataset(
        "json", data_files=str(ASSETS / "instrucoes-pt.json"), split="train", cache_dir=str(tmp_path)
    )
    assert lido["instruction"][:] == [e["instruction"] for e in conjunto]
    assert lido["output"][:] == [e["output"] for e in conjunto]
    # O Arrow dá a todo verificador os campos dos outros, vazios: a conferência não pode depender disso.
    for k in range(0, len(conjunto), 25):
        if conjunto[k]["verificador"]:
            assert check_answer(lido[k], conjunto[k]["output"])


# A divisão


def test_a_divisao_e_a_mesma_com_o_reforco_e_sem_ele(conjunto: list[dict], partes: dict[str, list[dict]]) -> None:
    sem_reforco = instrucoes.redigir(instrucoes.escolher(instrucoes.ler_nucleo()), instrucoes.ler_formulacoes())
    instrucoes.repartir(sem_reforco)
    conta = Counter(e["parte"] for e in sem_reforco)
    fracoes = {nome: n / len(sem_reforco) for nome, n in conta.items()}
    # Um ponto de folga: grupos indivisíveis e categorias pequenas não deixam acertar a fração exata.
    assert fracoes == pytest.approx({"treino": 0.85, "validacao": 0.05, "teste": 0.10}, abs=0.01)

    def em_texto(entradas: list[dict]) -> set[str]:
        return {json.dumps(e, ensure_ascii=False) for e in entradas}

    for nome in ("validacao", "teste"):
        assert em_texto(partes[nome]) == em_texto([e for e in sem_reforco if e["parte"] == nome])
    assert em_texto(sem_reforco) <= em_texto(conjunto)
    for lista in (partes["treino"], partes["teste"]):
        assert {e["categoria"] for e in lista} == {e["categoria"] for e in conjunto}


def test_o_teste_e_sempre_o_mesmo(partes: dict[str, list[dict]]) -> None:
    """As medidas publicadas são destes itens: quem mudar um tem de medir tudo de novo, e mudar o resumo aqui."""
    linhas = "\n".join(json.dumps(e, ensure_ascii=False, sort_keys=True) for e in partes["teste"])
    assert len(partes["teste"]) == 329
    assert (
        hashlib.sha256(linhas.encode()).hexdigest()
        == "a509a930ddd8f966369765f83481ee9ebeb93595ebcbfa32d84cc0af3b5addd2"
    )


def test_nenhum_item_passa_de_uma_parte_a_outra(partes: dict[str, list[dict]]) -> None:
    itens = {nome: {normalize_answer(i) for e in lista for i in e["itens"]} for nome, lista in partes.items()}
    for uma, outra in combinations(itens, 2):
        assert itens[uma] & itens[outra] == set()


def test_os_itens_sao_os_que_se_perguntam(conjunto: list[dict]) -> None:
    """Para a divisão valer, o item declarado tem de estar no pedido (ou ser a frase de que ele saiu)."""
    de_palavra = {"plural", "artigo", "diminutivo", "feminino", "antônimo", "sinônimo", "grupo"}
    for e in conjunto:
        pedido = f"{e['instruction']} {e['input']}"
        if e["categoria"] in de_palavra:
            palavra = re.search(r'"([^"]+)"', re.sub('"[oa]"', "", pedido))
            assert (palavra[1] if palavra else e["input"]) == e["itens"][0], e
        elif e["categoria"] in {"sentimento", "tema", "resumo", "extração"}:
            assert e["itens"] == [e["input"]]
        elif e["categoria"] == "sim ou não":
            # No reforço a frase pode estar no passado, e o item dela é a do presente: muda só o verbo.
            item, texto = (re.sub(r"\.$", "", t).split() for t in (e["itens"][0], e["input"]))
            assert len(item) == len(texto)
            assert sum(a != b for a, b in zip(item, texto, strict=True)) <= 1, e
        elif e["categoria"] in {"aritmética", "comparação", "conversão de unidades"}:
            numeros, do_item = (set(re.findall(r"\d+(?:\.\d{3})*", t)) for t in (pedido, e["itens"][0]))
            assert numeros <= do_item or "metade" in pedido, e  # a metade de 8 tem o item "2 × 4"


def test_nada_quase_igual_entre_partes(conjunto: list[dict]) -> None:
    com_entrada = [e for e in conjunto if e["input"]]
    pares = near_duplicates(
        [f"{e['input']} {e['output']}" for e in com_entrada],
        threshold=instrucoes.SEMELHANCA,
        containment=None,
        n=3,
    )
    assert pares  # as frases que mudam só de tempo ou de pronome se parecem: o teste vê o que deve ver
    assert [p for p in pares if com_entrada[p.first]["parte"] != com_entrada[p.second]["parte"]] == []


def test_consultar_o_treino_nao_responde_ao_teste(partes: dict[str, list[dict]]) -> None:
    respostas = nearest_answers(partes["treino"], partes["teste"])
    iguais = [
        normalize_answer(r) == normalize_answer(e["output"]) for r, e in zip(respostas, partes["teste"], strict=True)
    ]
    assert sum(iguais) / len(iguais) <= 0.10


def test_a_resposta_mais_comum_da_categoria_tambem_nao(partes: dict[str, list[dict]]) -> None:
    comuns = defaultdict(Counter)
    for e in partes["treino"]:
        comuns[e["categoria"]][e["output"]] += 1
    acertos = [comuns[e["categoria"]].most_common(1)[0][0] == e["output"] for e in partes["teste"]]
    assert sum(acertos) / len(acertos) <= 0.10


def test_a_consulta_acha_o_mais_parecido_e_desempata_pelo_primeiro() -> None:
    def pedido(instrucao: str, saida: str) -> dict:
        return {"instruction": instrucao, "input": "", "output": saida}

    treino = [pedido("conte os itens", "a"), pedido("qual é o plural", "b"), pedido("qual é o plural", "c")]
    assert nearest_answers(treino, [pedido("qual é o plural de casa", "x"), pedido("nada em comum", "x")]) == ["b", "a"]
    with pytest.raises(ValueError, match="treino vazio"):
        nearest_answers([], treino)


# Os verificadores


def test_cada_verificador_aceita_a_resposta_e_recusa_outra(conjunto: list[dict]) -> None:
    por_categoria = defaultdict(list)
    for e in conjunto:
        por_categoria[e["categoria"]].append(e)
    for e in conjunto:
        if e["verificador"] is None:
            continue
        assert check_answer(e, e["output"]), e
        assert not check_answer(e, ""), e
        if e["categoria"] == "recusa":
            assert not check_answer(e, "Claro, aqui está."), e
            continue
        outras = {x["output"] for x in por_categoria[e["categoria"]][:40]} - {e["output"]}
        assert any(not check_answer(e, resposta) for resposta in outras), e


def test_as_contas_refeitas_por_outro_caminho(conjunto: list[dict]) -> None:
    tabela = {
        **{("quilômetros", "metros"): 1000, ("quilos", "gramas"): 1000, ("litros", "mililitros"): 1000},
        **{("toneladas", "quilos"): 1000, ("metros", "centímetros"): 100, ("centímetros", "milímetros"): 10},
        **{("horas", "minutos"): 60, ("minutos", "segundos"): 60, ("dias", "horas"): 24, ("semanas", "dias"): 7},
        **{("anos", "meses"): 12, ("séculos", "anos"): 100, ("décadas", "anos"): 10, ("dúzias", "unidades"): 12},
        **{("reais", "centavos"): 100},
    }
    for e in conjunto:
        pedido = f"{e['instruction']} {e['input']}".strip()
        numeros = [int(n.replace(".", "")) for n in re.findall(r"\d+(?:\.\d{3})*", pedido)]
        if e["categoria"] == "aritmética":
            if "metade" in pedido or "dobro" in pedido:
                certo = numeros[0] * 2 if "dobro" in pedido else numeros[0] / 2
            elif "menos" in pedido or "Subtraia" in pedido:
                certo = max(numeros) - min(numeros)
            elif "vezes" in pedido or "Multiplique" in pedido:
                certo = numeros[0] * numeros[1]
            else:
                assert re.search(r"\+|[Ss]om", pedido), e
                certo = sum(numeros)
            assert e["output"] == str(int(certo)), e
        elif e["categoria"] == "conversão de unidades":
            resultado, para = e["output"].split(" ")
            (de,) = {p for par in tabela for p in par if re.search(rf"\d {p}\b", pedido)}
            fator = tabela.get((de, para)) or 1 / tabela[para, de]
            assert round(numeros[0] * fator) == int(resultado.replace(".", "")), e
        elif e["categoria"] == "ordenação":
            itens = [p.strip(" .") for p in (e["input"] or pedido.partition(":")[2]).split(",")]
            if numeros:
                itens = [
                    str(n) for n in sorted(map(int, itens), reverse="decrescente" in pedido or "aior para" in pedido)
                ]
            else:
                itens = sorted(itens, key=lambda p: unicodedata.normalize("NFD", p))
            assert e["output"].split(", ") == itens, e
        elif e["categoria"] == "contagem":
            palavra = re.search(r'"(.+)"', pedido)
            certo = e["input"].split().count(palavra[1]) if palavra else len(e["input"].split())
            assert e["output"] == str(certo), e
        elif e["categoria"] == "comparação":
            idades = dict((nome, int(anos)) for nome, anos in re.findall(r"(\w+) tem (\d+)", e["input"]))
            maior = re.search(r"maior|mais (idade|velha)|antes", pedido)
            escolhe = max if maior else min
            assert e["output"] == (escolhe(idades, key=idades.get) if idades else str(escolhe(numeros))), e


def test_os_numeros_por_extenso_se_leem_de_volta(conjunto: list[dict]) -> None:
    unidades = "zero um dois três quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis"
    valores = {p: k for k, p in enumerate([*unidades.split(), "dezessete", "dezoito", "dezenove"])}
    dezenas = ["vinte", "trinta", "quarenta", "cinquenta", "sessenta", "setenta", "oitenta", "noventa"]
    valores |= {p: 10 * k for k, p in enumerate(dezenas, 2)}
    centenas = [
        "cento",
        "duzentos",
        "trezentos",
        "quatrocentos",
        "quinhentos",
        "seiscentos",
        "setecentos",
        "oitocentos",
    ]
    valores |= {p: 100 * k for k, p in enumerate([*centenas, "novecentos"], 1)} | {"cem": 100}
    for e in conjunto:
        if e["categoria"] == "número por extenso":
            aspas = re.search(r'"(.+)"', e["instruction"])
            pedido = e["input"] or (aspas[1] if aspas else re.search(r"\d+", e["instruction"])[0])
            algarismos, palavras = (e["output"], pedido) if e["output"].isdigit() else (pedido, e["output"])
            assert sum(valores[p] for p in palavras.split(" e ")) == int(algarismos), e


def test_a_copia_e_copia(conjunto: list[dict]) -> None:
    """Onde a resposta está no pedido, está inteira: nomes, datas, intrusos, escolhas."""
    for e in conjunto:
        if e["categoria"] in {"cópia", "extração", "intruso", "lacuna", "grupo", "tema", "comparação", "JSON"}:
            fonte = f"{e['instruction']} {e['input']}"
            valores = json.loads(e["output"]).values() if e["categoria"] == "JSON" else [e["output"]]
            assert all(str(v) in fonte for v in valores), e


def entrada(verificador: dict | None) -> dict:
    return {"instruction": "?", "input": "", "output": "x", "verificador": verificador}


@pytest.mark.parametrize(
    ("verificador", "certas", "erradas"),
    [
        ({"tipo": "exato", "aceitas": ["avó"]}, ["avó", " Avó. ", '"AVÓ"', "avó"], ["avo", "avô", "a avó", ""]),
        ({"tipo": "exato", "aceitas": ["Oi?"], "rigoroso": True}, ["Oi?", " Oi? "], ["oi?", "Oi", "Oi!"]),
        (
            {"tipo": "numero", "valor": 3000},
            ["3000", "3.000", "São 3.000."],
            ["300", "3,000", "3 000", "três mil", "3 ou 3000"],
        ),
        (
            {"tipo": "numero", "valor": 12, "unidade": "quilômetros"},
            ["12 quilômetros", "12 km", "São 12 km.", "12,0 Quilômetros"],
            ["12", "12 metros", "12 m", "1,2 quilômetros", "2 km e 10 km"],
        ),
        ({"tipo": "numero", "valor": -2}, ["-2"], ["2"]),
        ({"tipo": "numero", "valor": 2}, ["2", "2.", "(2)", "2,0"], ["2.5", "2,5", "2.0000", "R2", "1.2"]),
        (
            {"tipo": "sequencia", "elementos": ["1", "5", "9"]},
            ["1, 5, 9", "1, 5 e 9.", "1\n5\n9"],
            ["9, 5, 1", "1, 5", "1 5 9", "1, 5, 9, 9"],
        ),
        (
            {"tipo": "lista", "elementos": ["sol", "lua"], "marca": "1."},
            ["1. sol\n2. lua", "1. Sol.\n\n2.  lua"],
            ["1. sol", "1. lua\n2. sol", "- sol\n- lua", "sol\nlua", "1. sol\n1. lua"],
        ),
        ({"tipo": "lista", "elementos": ["sol"], "marca": "-"}, ["- sol"], ["1. sol", "sol"]),
        (
            {"tipo": "json", "texto": '{"nome": "Ana", "idade": 3}'},
            ['{"idade": 3, "nome": "Ana"}'],
            ['{"nome": "Ana"}', "{nome: Ana}", '{"nome": "Ana", "idade": "3"}', ""],
        ),
        (
            {"tipo": "contem", "todas": ["chuva/rio", "casas"], "max_palavras": 5},
            ["O rio entrou nas casas.", "Chuva nas casas"],
            ["O rio subiu.", "A chuva forte entrou em todas as casas"],
        ),
        (
            {"tipo": "contem", "nenhuma": ["tá", "a gente"]},
            ["Está bem.", "O agente saiu."],
            ["Tá bem.", "Foi com a gente", "..."],
        ),
        ({"tipo": "contem", "comeca": ["não posso"]}, ["Não posso ajudar."], ["Posso", "Eu não posso"]),
    ],
)
def test_o_que_cada_verificador_aceita(verificador: dict, certas: list[str], erradas: list[str]) -> None:
    assert [r for r in certas if not check_answer(entrada(verificador), r)] == []
    assert [r for r in erradas if check_answer(entrada(verificador), r)] == []


def test_sem_verificador_nao_se_confere() -> None:
    with pytest.raises(ValueError, match="não tem verificador"):
        check_answer(entrada(None), "x")
    with pytest.raises(ValueError, match="'tipo' em"):
        check_answer(entrada({"tipo": "adivinha"}), "x")


@given(st.text(max_size=40))
def test_normalizar_duas_vezes_nao_muda(texto: str) -> None:
    uma = normalize_answer(texto)
    assert normalize_answer(f"  {uma} ") == uma


@given(st.integers(-10_000_000, 10_000_000))
def test_numero_com_ponto_de_milhar_vale_o_mesmo(valor: int) -> None:
    com_ponto = f"{valor:,}".replace(",", ".")
    assert check_answer(entrada({"tipo": "numero", "valor": valor}), f"São {com_ponto} ao todo.")


# O leitor


BOA = {"instruction": "Some 1 e 2.", "input": "", "output": "3"}


def escrever(pasta: Path, entradas: object) -> Path:
    arquivo = pasta / "dados.json"
    arquivo.write_text(json.dumps(entradas, ensure_ascii=False, indent=1), encoding="utf-8")
    return arquivo


def sem(campo: str) -> dict:
    return {k: v for k, v in BOA.items() if k != campo}


@pytest.mark.parametrize(
    ("ruim", "mensagem"),
    [
        (sem("instruction"), "falta o campo 'instruction'"),
        (sem("input"), "falta o campo 'input'.*vazio"),
        (sem("output"), "falta o campo 'output'"),
        ({**BOA, "output": "  "}, "'output' está vazio"),
        ({**BOA, "instruction": ""}, "'instruction' está vazio"),
        ({**BOA, "output": 3}, "'output' é o número 3"),
        ({**BOA, "input": None}, "'input' é null"),
        ({**BOA, "input": ["a"]}, "'input' é uma lista"),
        ("Some 1 e 2.", "recebi um texto"),
        ({**BOA, "categoria": ""}, "'categoria' está vazio"),
        ({**BOA, "parte": "train"}, "'parte' é 'train'"),
        ({**BOA, "itens": []}, "'itens' é"),
        ({**BOA, "itens": "casa"}, "'itens' é 'casa'"),
        ({**BOA, "verificador": {"tipo": "exata"}}, "'tipo' em"),
        ({**BOA, "verificador": {"tipo": "exato"}}, "'aceitas' é None"),
        ({**BOA, "verificador": {"tipo": "exato", "aceitas": [3]}}, "'aceitas' é"),
        ({**BOA, "verificador": {"tipo": "numero", "valor": True}}, "'valor' é True"),
        ({**BOA, "verificador": {"tipo": "numero", "valor": 3, "unidade": 5}}, "'unidade' é 5"),
        ({**BOA, "verificador": {"tipo": "contem", "max_palavras": "5"}}, "'max_palavras' é '5'"),
    ],
)
def test_entrada_malformada_e_recusada_com_o_lugar(tmp_path: Path, ruim: object, mensagem: str) -> None:
    arquivo = escrever(tmp_path, [BOA, BOA, ruim, BOA])
    with pytest.raises(ValueError, match=rf"dados\.json, entrada 2 .*{mensagem}"):
        load_instructions(arquivo)


def test_json_cortado_diz_a_linha(tmp_path: Path) -> None:
    arquivo = escrever(tmp_path, [BOA, BOA])
    texto = arquivo.read_text(encoding="utf-8")
    for fim in (len(texto) - 2, len(texto) // 2, 1):
        arquivo.write_text(texto[:fim], encoding="utf-8")
        with pytest.raises(ValueError, match=r"dados\.json, linha \d+, coluna \d+: JSON inválido ou cortado"):
            load_instructions(arquivo)


def test_outra_codificacao_diz_a_linha_e_o_byte(tmp_path: Path) -> None:
    arquivo = tmp_path / "dados.json"
    arquivo.write_bytes(json.dumps([{**BOA, "output": "três"}], ensure_ascii=False, indent=1).encode("latin-1"))
    with pytest.raises(ValueError, match=r"dados\.json, linha 5: o byte 0xea não é UTF-8"):
        load_instructions(arquivo)


@pytest.mark.parametrize("conteudo", [[], {}, {"data": [BOA]}, "texto", None])
def test_o_que_nao_e_lista_de_entradas(tmp_path: Path, conteudo: object) -> None:
    with pytest.raises(ValueError, match="esperado uma lista de entradas"):
        load_instructions(escrever(tmp_path, conteudo))


def test_campo_repetido_nao_passa_calado(tmp_path: Path) -> None:
    arquivo = tmp_path / "dados.json"
    arquivo.write_text('[{"instruction": "a", "input": "", "output": "b", "output": "c"}]', encoding="utf-8")
    with pytest.raises(ValueError, match="'output' aparece duas vezes"):
        load_instructions(arquivo)


def test_arquivo_que_nao_existe(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_instructions(tmp_path / "nada.json")


def test_le_o_formato_do_alpaca_com_marca_de_ordem(tmp_path: Path) -> None:
    arquivo = tmp_path / "dados.json"
    arquivo.write_bytes(b"\xef\xbb\xbf" + json.dumps([BOA, {**BOA, "fonte": "outra"}]).encode())
    assert load_instructions(arquivo) == [BOA, {**BOA, "fonte": "outra"}]


def test_le_o_conjunto_em_ingles(espelho: Path) -> None:
    pares = load_instructions(espelho / "instruction-data.json")
    assert len(pares) == 1100
    assert {tuple(par) for par in pares} == {("instruction", "input", "output")}


# O gerador


def test_linha_do_nucleo_com_campo_a_menos_e_recusada(tmp_path: Path) -> None:
    (tmp_path / "palavras.txt").write_text("[femininos]\ngato | gata\nrei\n", encoding="utf-8")
    with pytest.raises(ErroDeUso, match=r"femininos.*'rei'.*2 campos"):
        instrucoes.ler_nucleo(tmp_path)


def test_a_divisao_junta_quem_compartilha_item() -> None:
    entradas = [
        {"input": "", "output": str(k), "categoria": "c", "itens": [f"item {k // 3}"]} for k in range(300)
    ]  # fmt: skip
    outra_ordem = copy.deepcopy(entradas)[::-1]
    instrucoes.repartir(entradas)
    partes = {e["itens"][0]: e["parte"] for e in entradas}
    assert all(partes[e["itens"][0]] == e["parte"] for e in entradas)
    assert Counter(e["parte"] for e in entradas) == {"treino": 255, "teste": 30, "validacao": 15}
    instrucoes.repartir(outra_ordem)
    assert [e["parte"] for e in outra_ordem[::-1]] == [e["parte"] for e in entradas]
