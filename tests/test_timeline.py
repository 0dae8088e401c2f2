"""A linha do tempo: todo número com fonte que existe, tabelas sem número solto e números que batem entre si."""

import json
import re
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from llmdefinitions.timeline import (
    Cell,
    Model,
    Source,
    chinchilla_line,
    decimal_year,
    load_timeline,
    parameters_by_year,
    tokens_by_parameters,
)
from llmdefinitions.timeline_tables import (
    CORRECTION_HEADER,
    FACT_HEADER,
    MODEL_HEADER,
    correction_rows,
    fact_rows,
    format_cell,
    format_number,
    format_quantity,
    markdown_table,
    model_rows,
    plain_citations,
    uncited_cells,
)

ROOT = Path(__file__).resolve().parents[1]
ASSET = ROOT / "llmdefinitions" / "assets" / "linha-do-tempo.json"
RAW = json.loads(ASSET.read_text(encoding="utf-8"))
BIB_KEYS = re.findall(
    r"^@\w+\{([^,\s]+),", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.MULTILINE
)
LINE = load_timeline()
UNITS = {
    *("", "%", "vezes", "tokens", "palavras", "sequências", "documentos", "links", "livros", "artigos", "páginas"),
    *("conjuntos", "tarefas", "modelos", "métricas", "parâmetros", "tokens por parâmetro", "anos"),
    *("blocos", "dimensões", "cabeças", "fusões", "épocas", "bytes", "GB", "GiB", "TB"),
    *("W", "kWh", "MWh", "horas de GPU", "kgCO2eq", "tCO2eq", "lb CO2eq", "gCO2eq/kWh", "tCO2/MWh", "US$", "US$/h"),
}


def raw_sources(node: object) -> list[dict]:
    """Todas as fontes do arquivo, em qualquer profundidade."""
    if isinstance(node, dict):
        return [node] if "chave" in node else [s for value in node.values() for s in raw_sources(value)]
    return [s for item in node for s in raw_sources(item)] if isinstance(node, list) else []


def missing_sources(node: object, path: str = "") -> list[str]:
    """Caminho de cada objeto com "valor" (ou dimensões, correção…) sem lista de fontes não vazia."""
    if isinstance(node, list):
        return [p for i, item in enumerate(node) for p in missing_sources(item, f"{path}[{i}]")]
    if not isinstance(node, dict) or "chave" in node:
        return []
    wants = {"valor", "camadas", "certo", "tokens"} & set(node) and "nome" not in node
    own = [path] if wants and not node.get("fontes") else []
    return own + [p for name, value in node.items() for p in missing_sources(value, f"{path}/{name}")]


def cells(model: Model) -> dict[str, Cell]:
    """As células preenchidas de um modelo, por nome do campo."""
    values = {field.name: getattr(model, field.name) for field in fields(model)}
    return {name: value for name, value in values.items() if isinstance(value, Cell)}


class TestFontes:
    def test_toda_chave_existe_na_bibliografia(self):
        assert sorted({s["chave"] for s in raw_sources(RAW)} - set(BIB_KEYS)) == []

    def test_a_bibliografia_nao_repete_chaves(self):
        assert [key for key, times in Counter(BIB_KEYS).items() if times > 1] == []

    def test_todo_numero_tem_fonte(self):
        assert missing_sources(RAW) == []

    def test_acha_um_numero_sem_fonte(self):
        broken = json.loads(json.dumps(RAW))
        broken["modelos"][3]["parametros"]["fontes"] = []
        del broken["fatos"][5]["fontes"]
        assert missing_sources(broken) == ["/modelos[3]/parametros", "/fatos[5]"]

    def test_cada_fonte_diz_onde_e_como_foi_conferida(self):
        for source in raw_sources(RAW):
            reason = "como" if source["conferido"] else "motivo"
            assert set(source) == {"chave", "onde", "conferido", reason}, source
            assert source["onde"].strip(), source
            assert source[reason].strip(), source


class TestTabelas:
    @pytest.mark.parametrize(
        ("header", "rows"),
        [
            (MODEL_HEADER, model_rows(LINE.models)),
            (FACT_HEADER, fact_rows(LINE.facts)),
            (CORRECTION_HEADER, correction_rows(LINE.corrections)),
        ],
        ids=["modelos", "fatos", "correções"],
    )
    def test_nenhum_numero_sem_citacao(self, header, rows):
        assert uncited_cells(rows) == []
        table = markdown_table(header, rows).splitlines()
        assert len(table) == len(rows) + 2
        # Barras que separam colunas: uma a mais que as colunas, em toda linha.
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(header) + 1}

    def test_acha_a_celula_que_perdeu_a_citacao(self):
        model = LINE.model("GPT-3")
        bare = replace(model, parameters=replace(model.parameters, sources=()))
        rows = model_rows([bare, LINE.model("GPT-1")])
        assert len(uncited_cells(rows)) == 1
        assert uncited_cells(rows)[0].startswith("GPT-3: 175 bilhões")

    @pytest.mark.parametrize(
        ("cell", "cited"),
        [
            ("175 bilhões {cite:p}`brown2020`", True),
            ("Tabela 3, em {cite:t}`brown2020`", True),
            ("175 bilhões", False),
            ("47 bilhões {cite:p}`jiang2024`; ativos: 13 bilhões", False),
            ("175 bilhões {cite:p}``", False),
            ("não divulgado", True),
        ],
    )
    def test_o_que_conta_como_citado(self, cell, cited):
        assert (uncited_cells([["GPT-9", cell]]) == []) is cited

    def test_o_que_ninguem_publicou(self):
        row = dict(zip(MODEL_HEADER, model_rows([LINE.model("Claude 3")])[0], strict=True))
        assert row["Parâmetros"] == "não divulgado {cite:p}`anthropic2024`"
        for name in ("GPT-4", "ChatGPT", "Claude 3"):
            assert LINE.model(name).parameters.value is None
        assert format_cell(LINE.model("SAM").tokens).startswith("não se aplica {cite:p}")

    def test_marca_o_que_nao_foi_conferido(self):
        seen = Source("a2020", "Tabela 1", True, "texto do artigo")
        unseen = replace(seen, checked=False)
        assert format_cell(Cell(7, (unseen,))) == r"7\* {cite:p}`a2020`"
        assert format_cell(Cell(7, (seen, unseen))) == "7 {cite:p}`a2020`"

    def test_especialistas_mostram_os_parametros_ativos(self):
        assert model_rows([LINE.model("Mixtral 8x7B")])[0][3] == (
            "47 bilhões {cite:p}`jiang2024`; ativos por token: 13 bilhões {cite:p}`jiang2024`"
        )

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (124e6, "124 milhões"),
            (1558e6, "1,56 bilhão"),
            (2e9, "2 bilhões"),
            (1e12, "1 trilhão"),
            (15.6e12, "15,6 trilhões"),
            (999_999_999, "1 bilhão"),
            (2048, "2.048"),
            (8.63, "8,63"),
            (6.25e-5, "0,0000625"),
            (0, "0"),
        ],
    )
    def test_numeros_em_portugues(self, value, text):
        assert format_number(value) == text

    @pytest.mark.parametrize(
        ("value", "unit", "text"),
        [
            (4.6e6, "US$", "US$ 4,6 milhões"),
            (30, "US$/h", "US$ 30/h"),
            (92, "%", "92%"),
            (1.3e9, "parâmetros", "1,3 bilhão de parâmetros"),
            (40, "GB", "40 GB"),
            (8.63, "", "8,63"),
            (1e6, "", "1 milhão"),
        ],
    )
    def test_quantidades_com_unidade(self, value, unit, text):
        assert format_quantity(value, unit) == text

    def test_linha_com_celulas_a_menos(self):
        with pytest.raises(ValueError, match="'GPT-1' tem 2 células: esperado 3"):
            markdown_table(("a", "b", "c"), [["GPT-1", "x"]])

    def test_barra_nao_abre_coluna_nem_cifrao_formula(self):
        assert markdown_table(("a", "b"), [["US$ 1", "y|z"]]).splitlines()[2] == r"| US\$ 1 | y\|z |"


class TestDados:
    def test_em_ordem_de_data_e_sem_repeticao(self):
        dates = [m.date.value for m in LINE.models]
        assert dates == sorted(dates)
        for names in ([m.name for m in LINE.models], [f.id for f in LINE.facts], [f.description for f in LINE.facts]):
            assert [name for name, times in Counter(names).items() if times > 1] == []

    def test_ordens_de_grandeza(self):
        limits = {"parameters": (1e8, 1e12), "active": (1e9, 1e12), "tokens": (1e9, 1e14), "context": (64, 2e6)}
        for model in LINE.models:
            assert re.fullmatch(r"20(1[7-9]|2[0-6])-(0[1-9]|1[0-2])", model.date.value), model.name
            for name, (low, high) in limits.items():
                number = getattr(getattr(model, name), "number", None)
                assert number is None or low <= number <= high, (model.name, name, number)

    def test_vocabulario_fechado(self):
        kinds = {"decodificador", "codificador", "codificador-decodificador", "visão", "visão e linguagem"}
        assert {m.kind for m in LINE.models} == kinds
        assert {m.training for m in LINE.models} == {"do zero", "continuado", "ajustado"}
        assert {f.unit for f in LINE.facts} <= UNITS

    def test_textos_das_tabelas_sem_numero_fora_das_colunas_citadas(self):
        for model in LINE.models:
            assert re.search(r"\d", model.organization + model.language) is None, model.name

    @pytest.mark.parametrize("model", [m for m in LINE.models if m.shape], ids=lambda m: m.name)
    def test_as_dimensoes_dao_os_parametros(self, model):
        # 12·L·d² nos blocos (4d² na atenção, 8d² na rede), mais embeddings de tokens e posições; vieses,
        # normalizações, segmentos do BERT e a saída própria da LLaMA somam menos de 3%.
        shape = model.shape
        total = 12 * shape.layers * shape.width**2 + (shape.vocab_size + model.context.number) * shape.width
        assert total == pytest.approx(model.parameters.number, rel=0.03)
        assert shape.width % shape.heads == 0

    def test_fronteira_do_chinchilla_bem_copiada(self):
        # As três colunas da tabela original obedecem a C = 6·N·D, a menos do arredondamento de N e D.
        table = RAW["chinchilla"]
        flops = 6 * np.array(table["parametros"], float) * np.array(table["tokens"], float)
        np.testing.assert_allclose(flops, np.array(table["operacoes"], float), rtol=0.06)

    def test_misturas_e_partes(self):
        # Os pesos do GPT-3 somam 101 no artigo, por arredondamento.
        weights = [f.value for f in LINE.facts if re.fullmatch(r"gpt3_\w+_peso", f.id)]
        assert len(weights) == 5
        assert 99 <= sum(weights) <= 101
        pile = {f.id: f.value for f in LINE.facts if f.id.startswith("pile_") and f.unit == "GiB"}
        assert sum(pile.values()) - pile["pile_total"] < pile["pile_total"]
        assert LINE.fact("bookscorpus_unicos").value < LINE.fact("bookscorpus_livros").value

    @pytest.mark.parametrize("name", ["gpt3", "gopher", "opt", "bloom"])
    def test_energia_vezes_intensidade_da_as_emissoes(self, name):
        # A fonte mistura linhas com e sem o PUE (até 1,2): MWh × g/kWh = kg.
        tonnes = LINE.fact(f"energia_{name}").value * LINE.fact(f"rede_{name}").value / 1000
        assert tonnes == pytest.approx(LINE.fact(f"co2_{name}").value, rel=0.12)

    def test_emissoes_da_llama2_pela_potencia(self):
        # Horas × 400 W dá a energia; a intensidade implícita tem de ser a mesma nos dois tamanhos.
        grams = [
            LINE.fact(f"co2_llama2_{size}").value * 1e6 / (LINE.fact(f"horas_llama2_{size}").value * 0.4)
            for size in ("7b", "70b")
        ]
        assert grams[0] == pytest.approx(grams[1], rel=1e-3)
        assert 300 < grams[0] < 600

    def test_fator_da_rede_brasileira(self):
        factors = {f.id: f.value for f in LINE.facts_in("rede")}
        assert factors["sin_2023"] == 0.0385
        # Rede sobretudo hidrelétrica: nunca perto da média mundial, acima de 0,4.
        assert all(0.02 < value < 0.2 for value in factors.values())
        assert all(f.unit == "tCO2/MWh" for f in LINE.facts_in("rede"))

    def test_correcoes_das_fontes_do_curso(self):
        said = " ".join(fix.said for fix in LINE.corrections)
        for subject in ("LLaMA", "Claude 3", "Gopher", "Gemma", "GPT-2", "LAMBADA", "GPT-4"):
            assert subject in said


class TestSeries:
    def test_ano_decimal(self):
        assert decimal_year("2020-07") == 2020.5
        assert decimal_year("2019-01") == 2019

    def test_parametros_por_ano_pula_os_nao_divulgados(self):
        names, years, parameters = parameters_by_year(LINE.models)
        assert len(names) == len(years) == len(parameters)
        assert "GPT-4" not in names
        at = names.index("GPT-3")
        assert (years[at], parameters[at]) == (pytest.approx(2020 + 4 / 12), 175e9)

    def test_tokens_por_parametros_so_do_zero_e_com_os_dois(self):
        names, parameters, tokens = tokens_by_parameters(LINE.models)
        assert not {"Sabiá-7B", "GPT-2 XL", "SAM", "GPT-4"} & set(names)
        assert tokens[names.index("Chinchilla")] / parameters[names.index("Chinchilla")] == 20

    def test_reta_do_chinchilla(self):
        # Oráculo: a solução fechada dos mínimos quadrados.
        x, y = np.log(np.array(LINE.chinchilla, float)).T
        slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
        expected = np.exp(y.mean() + slope * (np.log(70e9) - x.mean()))
        assert chinchilla_line(LINE, np.array([70e9])) == pytest.approx([expected])
        assert 1.3e12 < expected < 1.6e12
        # Aqui está a "regra dos 20": de 1 a 500 bilhões de parâmetros, entre 20 e 22 tokens por parâmetro.
        sizes = np.geomspace(1e9, 5e11, 20)
        assert np.all(np.abs(chinchilla_line(LINE, sizes) / sizes - 21) < 1)

    def test_um_conjunto_vazio_da_series_vazias(self):
        names, *arrays = tokens_by_parameters([])
        assert names == []
        assert [a.shape for a in arrays] == [(0,), (0,)]


class TestLeitura:
    def test_campo_que_falta(self, tmp_path):
        broken = json.loads(json.dumps(RAW))
        del broken["modelos"][0]["tokens"]
        path = tmp_path / "linha.json"
        path.write_text(json.dumps(broken), encoding="utf-8")
        with pytest.raises(ValueError, match=r"linha\.json: falta o campo 'tokens'"):
            load_timeline(path)

    @pytest.mark.parametrize(
        ("find", "message"),
        [
            (lambda: LINE.model("GPT-9"), "modelo 'GPT-9' não está na linha do tempo; há: GPT-1,"),
            (lambda: LINE.fact("nada"), "fato 'nada' não está na linha do tempo"),
            (lambda: LINE.facts_in("nada"), "grupo 'nada' não está na linha do tempo; há: gpt1"),
        ],
    )
    def test_nome_que_nao_existe(self, find, message):
        with pytest.raises(KeyError, match=message):
            find()

    def test_toda_celula_chega_ao_objeto(self):
        for raw, model in zip(RAW["modelos"], LINE.models, strict=True):
            loaded = [s.key for cell in cells(model).values() for s in cell.sources]
            loaded += [s.key for s in model.shape.sources] if model.shape else []
            assert Counter(loaded) == Counter(s["chave"] for s in raw_sources(raw)), model.name


def test_fora_do_livro_as_citacoes_viram_chaves():
    rows = model_rows([LINE.model("GPT-3")])
    plain = plain_citations(markdown_table(MODEL_HEADER, rows))
    assert "{cite" not in plain
    assert "175 bilhões [brown2020]" in plain
    assert plain_citations("{cite:t}`a2020,b2021` diz") == "[a2020, b2021] diz"
