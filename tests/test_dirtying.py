"""Sujar de jeitos conhecidos: a verdade guardada confere com os textos, e as medidas, com contas à mão."""

from collections import Counter

import pytest

from llmdefinitions.cleaning import (
    QualityRules,
    blocked_words_step,
    clean,
    exact_duplicates_step,
    html_step,
    language_step,
    mojibake_step,
    near_duplicates_step,
    normalize_step,
    quality_step,
    short_lines_step,
)
from llmdefinitions.corpora import load_corpus
from llmdefinitions.dirtying import Dirt, DirtRates, Score, dirty, recovery, score_step
from llmdefinitions.funnel import Removal, StepReport
from llmdefinitions.markup import html_to_text
from llmdefinitions.minhash import jaccard, shingles
from llmdefinitions.normalization import normalize_text, repair_mojibake

TEXTOS = load_corpus("historias", n_stories=200, seed=9).documents
LIMPOS = [
    {"id": f"h{i}", "text": "\n\n".join(TEXTOS[2 * i : 2 * i + 2]), "source": f"fonte{i % 2}", "url": i}
    for i in range(100)
]
NADA = DirtRates(html=0, mojibake=0, unicode=0, exact=0, near=0, foreign=0, boilerplate=0, blocked=0)


def _so(**fracoes: float) -> DirtRates:
    return DirtRates(**{**vars(NADA), **fracoes})


def test_sem_sujeira_so_embaralha():
    sujos, verdade = dirty(LIMPOS, seed=1, rates=NADA)
    assert sujos != LIMPOS
    assert sorted(sujos, key=lambda row: row["url"]) == LIMPOS
    assert verdade == {row["id"]: Dirt((), row["id"], row["text"]) for row in LIMPOS}


def test_a_mesma_semente_da_o_mesmo_e_outra_nao():
    palavras = ["feia"]
    assert dirty(LIMPOS, seed=1, blocked_words=palavras) == dirty(LIMPOS, seed=1, blocked_words=palavras)
    assert dirty(LIMPOS, seed=1)[0] != dirty(LIMPOS, seed=2)[0]


def test_a_quantidade_de_cada_sujeira():
    sujos, verdade = dirty(LIMPOS, seed=3, blocked_words=["feia"])
    quantas = Counter(kind for dirt in verdade.values() for kind in dirt.kinds)
    assert [quantas[k] for k in ("exact", "near", "foreign", "boilerplate", "blocked")] == [10, 10, 8, 8, 3]
    assert len(sujos) == len(verdade) == 100 + 10 + 10 + 8 + 8
    # 136 sorteios de probabilidade 0,4 e 0,2: quatro desvios √(136·p·(1−p)) são 23 e 19.
    assert quantas["html"] == pytest.approx(54.4, abs=23)
    assert quantas["mojibake"] == pytest.approx(27.2, abs=19)
    assert quantas["unicode"] == pytest.approx(27.2, abs=19)
    por_id = {row["id"]: row for row in LIMPOS}
    for row in sujos:
        if row["id"] in por_id:
            assert {**row, "text": ""} == {**por_id[row["id"]], "text": ""}  # as outras chaves não mudam


@pytest.mark.parametrize(
    ("sujeira", "conserto"),
    [
        ("html", lambda t: normalize_text(html_to_text(t)).replace("Início", "")),
        ("mojibake", lambda t: normalize_text(repair_mojibake(t))),
        ("unicode", normalize_text),
    ],
)
def test_as_camadas_mudam_o_texto_e_guardam_o_limpo(sujeira, conserto):
    sujos, verdade = dirty(LIMPOS[:20], seed=1, rates=_so(**{sujeira: 1.0}))
    limpos = {row["id"]: row["text"] for row in LIMPOS}
    for row in sujos:
        assert verdade[row["id"]] == Dirt((sujeira,), row["id"], limpos[row["id"]])
        assert row["text"] != limpos[row["id"]]
        for linha in normalize_text(limpos[row["id"]]).split("\n"):
            assert linha in conserto(row["text"])
    if sujeira == "html":
        assert all("<script>" in row["text"] and "<p>" in row["text"] for row in sujos)


def test_as_copias():
    sujos, verdade = dirty(LIMPOS, seed=1, rates=_so(exact=0.3, near=0.3, edits=0.03))
    textos = {row["id"]: row["text"] for row in sujos}
    for chave, dirt in verdade.items():
        if dirt.kinds == ("exact",):
            assert textos[chave] == textos[dirt.origin]
        elif dirt.kinds == ("near",):
            # 3% das palavras de um texto de ~130 são 4, e cada troca toca até 5 n-gramas de cada lado.
            assert 0.5 < jaccard(shingles(textos[chave]), shingles(textos[dirt.origin])) < 1
    origens = [d.origin for d in verdade.values() if d.kinds]
    assert len(origens) == len(set(origens)) == 60  # nenhum documento tem os dois destinos


def test_copia_quase_igual_de_texto_de_uma_palavra_nao_fica_vazia():
    documentos = [{"id": str(k), "text": "palavra", "source": "f"} for k in range(30)]
    sujos, _ = dirty(documentos, seed=1, rates=_so(near=1.0, edits=1.0))
    assert len(sujos) == 60
    assert all(row["text"].split() for row in sujos)


def test_palavra_bloqueada_entra_inteira_e_sem_lista_nada_entra():
    sujos, verdade = dirty(LIMPOS, seed=1, blocked_words=["xyz"], rates=_so(blocked=0.5))
    com = {row["id"] for row in sujos if "xyz" in row["text"].split()}
    assert com == {i for i, d in verdade.items() if d.kinds == ("blocked",)}
    assert len(com) == 50
    assert all(d.kinds == () for d in dirty(LIMPOS, seed=1, rates=_so(blocked=0.5))[1].values())


# --- as medidas ------------------------------------------------------------------------------------

VERDADE = {
    "a": Dirt((), "a", ""),
    "a2": Dirt(("exact", "html"), "a", ""),
    "a3": Dirt(("near",), "a", ""),
    "b": Dirt((), "b", ""),
    "e": Dirt(("foreign",), "e", ""),
    "f": Dirt(("foreign",), "f", ""),
    "m": Dirt(("boilerplate",), "m", ""),
}


def _relatorio(**saem: str) -> StepReport:
    return StepReport("p", tuple(VERDADE), 0, 0, (), {i: Removal("r", outro) for i, outro in saem.items()})


@pytest.mark.parametrize(
    ("sujeira", "saem", "esperado"),
    [
        ("foreign", {"e": "en", "b": "es", "m": "fr"}, Score(1, 1, 1)),  # tirar a moldura não é erro
        ("boilerplate", {"m": "x", "e": "x"}, Score(1, 0, 0)),
        ("boilerplate", {"a2": "x"}, Score(0, 1, 1)),  # tirar uma cópia por outra razão é erro: o texto era bom
        ("exact", {"a2": "a"}, Score(1, 0, 0)),
        ("exact", {"a": "a2"}, Score(1, 0, 0)),  # qualquer das cópias serve
        ("exact", {}, Score(0, 0, 1)),
        ("exact", {"b": "a"}, Score(0, 1, 1)),
        ("near", {"a2": "a", "a3": "a"}, Score(2, 0, 0)),
        ("near", {"a3": "a"}, Score(1, 0, 1)),
        ("near", {"f": "e", "a3": "b"}, Score(0, 1, 1)),
        ("blocked", {}, Score(0, 0, 0)),
    ],
)
def test_acertos_e_erros_contados_a_mao(sujeira, saem, esperado):
    assert score_step(_relatorio(**saem), VERDADE, sujeira) == esperado


def test_precisao_e_revocacao():
    assert (Score(3, 1, 2).precision, Score(3, 1, 2).recall) == (0.75, 0.6)
    assert (Score(0, 0, 2).precision, Score(0, 0, 2).recall) == (None, 0)
    assert (Score(0, 1, 0).precision, Score(0, 1, 0).recall) == (0, None)


def test_o_funil_completo_recupera_os_documentos():
    palavras = ["palavra feia"]
    sujos, verdade = dirty(LIMPOS, seed=7, blocked_words=palavras)
    passos = {
        "codificação": mojibake_step(),
        "html": html_step(),
        "normalização": normalize_step(),
        "linhas": short_lines_step(),
        "boilerplate": quality_step(QualityRules(min_words=20)),
        "foreign": language_step("pt"),
        "blocked": blocked_words_step(palavras),
        "exact": exact_duplicates_step(),
        "near": near_duplicates_step(0.4),
    }
    limpeza = clean(sujos, list(passos.values()))
    for sujeira, relatorio in zip(passos, limpeza.reports, strict=True):
        if sujeira in ("boilerplate", "foreign", "blocked", "exact", "near"):
            # Com estas sementes o funil acerta tudo; noutro corpus, o caderno mede.
            assert score_step(relatorio, verdade, sujeira) == Score(
                relatorio.documents_in - relatorio.documents_out, 0, 0
            )
    bons = {row["id"] for row in LIMPOS} - {i for i, d in verdade.items() if "blocked" in d.kinds}
    assert {verdade[row["id"]].origin for row in limpeza.documents} == bons
    for sujeira in ("html", "mojibake", "unicode"):
        recuperados, todos = recovery(limpeza.documents, verdade, sujeira)
        assert recuperados == todos > 0


def test_recuperacao_conta_o_que_nao_voltou():
    sujos, verdade = dirty(LIMPOS, seed=1, rates=_so(html=1.0))
    assert recovery(sujos, verdade, "html") == (0, 100)
    assert recovery(sujos, verdade, "mojibake") == (0, 0)


@pytest.mark.parametrize(
    ("chamada", "mensagem"),
    [
        (lambda: dirty([], seed=1), "0 documentos"),
        (lambda: dirty(LIMPOS[:1] * 2, seed=1), "2 documentos, 1 ids distintos"),
        (lambda: dirty([{"id": "a", "text": " ", "source": "f"}], seed=1), "com alguma palavra"),
        (lambda: dirty([{**LIMPOS[0], "id": "moldura-0"}], seed=1, rates=_so(boilerplate=1.0)), "coincide"),
        (lambda: DirtRates(html=1.5), "html=1.5: esperada uma fração"),
        (lambda: DirtRates(exact=0.6, near=0.6), "exact [+] near [+] blocked = 1.23"),
        (lambda: score_step(_relatorio(), VERDADE, "html"), "kind='html': esperado um de exact, near"),
    ],
)
def test_erros_dizem_o_valor_e_o_remedio(chamada, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        chamada()
