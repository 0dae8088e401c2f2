"""Ficha do modelo: tabelas que não se desmancham, números à brasileira, tudo o que foi medido, e notas guardadas."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from preparo import receita_minuscula

from llmdefinitions import model_card
from llmdefinitions.model_card import card_text, write_card

PIORES = [
    "a|b",
    "a\nb",
    "\\|",
    "fim\\",
    "`|`",
    "<b>x</b>",
    "*a* _b_ [c](d) ~~e~~ $f$",
    "a\r\nb\rc",
    "\x85x\u2028y",
    "&amp;",
    "",
]


def resultados(**mudancas: Any) -> dict[str, Any]:
    return {
        "receita": receita_minuscula().to_dict(),
        "parametros": 7_123_456,
        "corpora": {
            "machado": {
                "dropped": [{"name": "obra_39", "kept": "obra_52", "jaccard": 0.4058}],
                "heldout": ["um-conto_1", "dom|casmurro"],
                "heldout_bytes": 412_345,
                "train": 180,
            },
            "bncc": {"dropped": [{"name": f"d{i}", "kept": "k", "jaccard": 1.0} for i in range(11)],
                     "heldout": ["x"], "heldout_bytes": 999, "train": 1700},
            "historias": {"train": 60_000, "heldout": 300},
        },
        "tokens_de_treino": {"machado": 2_345_678, "bncc": 90_001, "historias": 3_000_000},
        "bits_por_byte": {"machado": 1.69949, "bncc": 2.0, "historias": 0.25},
        "principal": "machado",
        "copia": {"first": 13.487, "second": 12.974, "tokens": 32, "ln_v": 9.011},
        "historias": {"nats": 26.5, "entropia": 25.743, "excesso": 0.0294, "tokens": 50.0, "n": 300},
        "treino": {
            "tokens": 20_480_000,
            "segundos": 9000.0,
            "tokens_por_segundo": 2275.6,
            "energia_wh": 75.0,
            "watts_supostos": 30.0,
            "curva": [
                {"tokens": 1_024_000, "loss": 4.5, "machado_bits_per_byte": 2.5},
                {"tokens": 20_480_000, "loss": 3.25, "machado_bits_per_byte": 1.75, "bncc_bits_per_byte": 2.1},
            ],
        },
        "sorteio": {"temperature": 0.8, "top_k": 50},
        "amostras": [
            {"prompt": f"{t} começo", "gulosa": t, "sorteada": f"x {t} y", "repeticao": 0.126} for t in PIORES
        ],
        "fertilidade": {"modelo": 1.4567, "gpt2": 2.3},
        "linhas_de_base": {"xz": 2.08, "kneser_ney": 1.9512, "kneser_ney_ordem": 4, "kneser_ney_segundos": 3.0},
        "medido_em": "2026-11-22",
        "versoes": {"python": "3.11.2", "maquina": "Linux x86_64 | 2 núcleos"},
        **mudancas,
    }  # fmt: skip


def celulas(linha: str) -> list[str]:
    """Separa uma linha de tabela como o GFM: uma barra invertida protege o caractere seguinte."""
    partes, atual, i = [], "", 0
    while i < len(linha):
        if linha[i] == "\\":
            atual += linha[i : i + 2]
            i += 2
            continue
        if linha[i] == "|":
            partes.append(atual)
            atual = ""
        else:
            atual += linha[i]
        i += 1
    assert atual == ""
    assert partes[0] == ""  # antes da primeira barra
    return [parte.strip() for parte in partes[1:]]


def tabelas(texto: str) -> list[list[list[str]]]:
    achadas: list[list[list[str]]] = []
    anterior = ""
    for linha in re.split(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", texto):  # toda quebra que alguém respeita
        if linha.startswith("|"):
            if not anterior.startswith("|"):
                achadas.append([])
            achadas[-1].append(celulas(linha))
        anterior = linha
    return achadas


def uma_linha(texto: str) -> str:
    return " ⏎ ".join(" ".join(p.split()) for p in texto.splitlines() if p.split())


# --- tabelas ---------------------------------------------------------------------------------------


def test_toda_linha_tem_as_colunas_do_cabecalho():
    achadas = tabelas(card_text(resultados()))
    assert [len(t) for t in achadas] == [2 + len(resultados()["receita"]), 2 + 2, 2 + 5, 2 + 2, 2 + len(PIORES)]
    for tabela in achadas:
        assert {len(linha) for linha in tabela} == {len(tabela[0])}
        assert set(tabela[1]) == {"---"}


@given(st.lists(st.text(max_size=30), min_size=3, max_size=3))
def test_nenhum_texto_desmancha_a_tabela_de_amostras(textos):
    comeco, gulosa, sorteada = textos
    amostra = {"prompt": comeco, "gulosa": gulosa, "sorteada": sorteada, "repeticao": 0.5}
    tabela = tabelas(card_text(resultados(amostras=[amostra])))[-1]
    assert len(tabela) == 3
    assert len(tabela[2]) == 4
    # Tiradas as barras invertidas de proteção, é o texto, numa linha.
    assert [re.sub(r"\\(.)", r"\1", c) for c in tabela[2]] == [*map(uma_linha, textos), "50%"]


def test_um_leitor_de_markdown_ve_o_texto_das_amostras():
    leitor = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable(["table", "strikethrough"])
    pagina = leitor.render(card_text(resultados()).split("---\n", 2)[2])
    linhas = re.findall(r"<tr>(.*?)</tr>", pagina.split("<h2>Amostras</h2>")[1], flags=re.S)[1:]
    vistos = [[html.unescape(c) for c in re.findall(r"<td>(.*?)</td>", linha, flags=re.S)] for linha in linhas]
    assert vistos == [
        [uma_linha(f"{t} começo"), uma_linha(t), uma_linha(f"x {t} y"), "13%"] for t in PIORES
    ]  # fmt: skip


# --- números e conteúdo ----------------------------------------------------------------------------


@given(st.floats(-1e9, 1e9), st.integers(0, 4))
def test_numeros_a_brasileira(valor, casas):
    escrito = model_card.num(valor, casas)
    inteiro, _, decimais = escrito.partition(",")
    grupos = inteiro.lstrip("-").split(".")
    assert len(decimais) == casas
    assert 1 <= len(grupos[0]) <= 3
    assert all(len(g) == 3 for g in grupos[1:])
    assert escrito.replace(".", "").replace(",", ".") == f"{valor:.{casas}f}"


@pytest.mark.parametrize(
    "trecho",
    [
        "language: pt\nlicense: cc-by-4.0",
        "7,1 milhões de parâmetros",
        "- `machado`: 180 documentos de treino, 2.345.678 tokens; separados inteiros, 2 (412.345 bytes); repetidos e ",
        "  - `obra_39` é quase igual a `obra_52` (Jaccard 0,41).",
        "  - Separadas: `um-conto_1`, `dom|casmurro`.",
        "- `bncc`: 1.700 documentos de treino, 90.001 tokens; separados inteiros, 1 (999 bytes); repetidos e ",
        "repetidos e retirados, 11.",
        "- `historias`: 60.000 histórias sorteadas, 3.000.000 tokens; 300 novas, que só medem.",
        "| `seed` | `2026` |",
        "| `mixture` | `machado=60, bncc=20, historias=20` |",
        "| `compile` | `false` |",
        "`python -m llmdefinitions.pretrain`",
        "20,5 milhões de tokens em 150,0 minutos (2.276 tokens/s), medido em 2026-11-22.",
        "Energia estimada: 75,0 Wh, supondo 30 W; não foi medida.",
        "| modelo, `machado` separado | 1,699 |",
        "| n-gramas de Kneser-Ney, ordem 4, `machado` | 1,951 |",
        "| xz preparado com o treino, `machado` | 2,080 |",
        "26,50 nats por história; a entropia exata é 25,74 (excesso de 2,9%)",
        "a perda por token é de 13,49 nats na primeira vez e de 12,97 na segunda; sem copiar, o melhor",
        "1,46 tokens por palavra, contra 2,30 do vocabulário do GPT-2",
        "| tokens (milhões) | perda de treino | `machado` | `bncc` |",
        "| 1,02 | 4,500 | 2,500 |  |",
        "| 20,48 | 3,250 | 1,750 | 2,100 |",
        "Temperatura 0,8 e top-k 50 nas sorteadas.",
        "## Licença",
    ],
)
def test_a_ficha_diz(trecho):
    assert trecho in card_text(resultados())


def test_a_receita_inteira_esta_na_ficha():
    receita = resultados()["receita"]
    assert [linha[0].strip("`") for linha in tabelas(card_text(resultados()))[0][2:]] == list(receita)


def test_so_historias_nao_deixa_buracos():
    texto = card_text(
        resultados(
            corpora={"historias": {"train": 40, "heldout": 15}},
            tokens_de_treino={"historias": 500},
            bits_por_byte={"historias": 0.25},
            principal=None,
            fertilidade={},
            linhas_de_base={},
            treino={**resultados()["treino"], "curva": []},
        )
    )
    assert "| modelo, `historias` separado | 0,250 |" in texto
    for ausente in ("Kneser", "Fertilidade", "Ao longo do treino", "None", "nan"):
        assert ausente not in texto


# --- notas e gravação ------------------------------------------------------------------------------


def test_as_notas_ficam_quando_a_ficha_e_refeita(tmp_path):
    sem = write_card(tmp_path, resultados())
    assert sem == Path(tmp_path, "README.md")
    assert sem.read_text(encoding="utf-8") == card_text(resultados())
    notas = "## Falhas conhecidas\n\nTroca o gênero de palavras raras; a BNCC é | formal."
    (tmp_path / "observacoes.md").write_text(f"\n{notas}\n\n", encoding="utf-8")
    for _ in range(2):
        texto = write_card(tmp_path, resultados()).read_text(encoding="utf-8")
        assert texto == card_text(resultados(), notas)
        assert texto.index("## Amostras") < texto.index("## Falhas conhecidas") < texto.index("## Licença")
        assert texto.count(notas) == 1
    assert (tmp_path / "observacoes.md").read_text(encoding="utf-8") == f"\n{notas}\n\n"
    assert b"\r" not in sem.read_bytes()


def test_a_lei_de_escala_entra_se_foi_medida(tmp_path):
    medida = {"lei": {"piso": 0.5, "escala": 3.0e3, "expoente": 0.5}, "previsto_pelos_curtos": 1.25}
    escala = {"tokens": [1e6, 2e6, 4e6, 9e6], resultados()["principal"]: medida}
    (tmp_path / "escala.json").write_text(json.dumps(escala), encoding="utf-8")
    texto = write_card(tmp_path, resultados()).read_text(encoding="utf-8")
    assert "com 1,0; 2,0; 4,0 e 9,0 milhões de tokens" in texto
    assert "0,500 + 3,000 · D^(−0,500) bits por byte" in texto  # 3000 · (10⁶)^(−1/2) = 3
    assert "previam 1,250 para este" in texto
    assert texto.index("## Medidas") < texto.index("Lei de escala") < texto.index("## Amostras")


def test_se_a_medida_nao_serve_a_ficha_antiga_fica(tmp_path):
    antes = write_card(tmp_path, resultados()).read_bytes()
    with pytest.raises(KeyError):
        write_card(tmp_path, {})
    assert (tmp_path / "README.md").read_bytes() == antes
