"""O funil: cada passo faz o que diz e é medido, e pelo `datasets` dá o mesmo que diretamente."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdefinitions.cleaning import (
    QualityRules,
    balance_step,
    blocked_words_step,
    clean,
    clean_dataset,
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
from llmdefinitions.dirtying import dirty
from llmdefinitions.funnel import FilterStep, Removal, TextStep
from llmdefinitions.language import LanguageIdentifier

HISTORIAS = load_corpus("historias", n_stories=80, seed=4).documents
PASSOS = [
    mojibake_step(),
    html_step(),
    normalize_step(),
    short_lines_step(),
    quality_step(QualityRules(min_words=20)),
    language_step("pt"),
    blocked_words_step(["palavra feia"]),
    exact_duplicates_step(),
    near_duplicates_step(),
    balance_step({"web": 5, "historias": 60}),
]


def _docs(*textos: str, fonte: str = "f") -> list[dict[str, str]]:
    return [{"id": f"d{i}", "text": texto, "source": fonte} for i, texto in enumerate(textos)]


def _ids(documentos) -> list[str]:
    return [row["id"] for row in documentos]


def _sujos():
    limpos = [{"id": f"h{i}", "text": t, "source": "historias"} for i, t in enumerate(HISTORIAS)]
    return dirty(limpos, seed=5, blocked_words=["palavra feia"])[0]


# --- o funil ---------------------------------------------------------------------------------------


def test_relatorio_contado_a_mao():
    documentos = [{**row, "url": k} for k, row in enumerate(_docs("um  ", "dois", "três", "dois"))]
    passos = [
        TextStep("aparar", str.strip),
        FilterStep("sem ê", lambda t: Removal("tem ê", "ê") if "ê" in t else None),
        exact_duplicates_step("iguais"),
    ]
    limpeza = clean(documentos, passos)
    assert limpeza.documents == (
        {"id": "d0", "text": "um", "source": "f", "url": 0},
        {"id": "d1", "text": "dois", "source": "f", "url": 1},
    )
    aparar, filtro, iguais = limpeza.reports
    assert (aparar.name, aparar.documents_in, aparar.documents_out) == ("aparar", 4, 4)
    assert (aparar.characters_in, aparar.characters_out, aparar.changed) == (16, 14, ("d0",))
    assert (filtro.ids_in, filtro.removed, filtro.changed) == (("d0", "d1", "d2", "d3"), {"d2": ("tem ê", "ê")}, ())
    assert (filtro.characters_in, filtro.characters_out, filtro.documents_out) == (14, 10, 3)
    assert (iguais.removed, iguais.reasons) == ({"d3": ("igual a outro", "d1")}, {"igual a outro": 1})
    assert documentos[0]["text"] == "um  "  # o que foi recebido não muda


def test_as_contas_fecham_de_um_passo_ao_seguinte():
    sujos = _sujos()
    limpeza = clean(sujos, PASSOS)
    presentes = _ids(sujos)
    for relatorio, seguinte in zip(limpeza.reports, [*limpeza.reports[1:], None], strict=True):
        assert list(relatorio.ids_in) == presentes
        presentes = [i for i in presentes if i not in relatorio.removed]
        assert relatorio.documents_out == len(presentes)
        assert sum(relatorio.reasons.values()) == len(relatorio.removed)
        if seguinte:
            assert seguinte.characters_in == relatorio.characters_out
    assert _ids(limpeza.documents) == presentes
    assert sum(len(row["text"]) for row in limpeza.documents) == limpeza.reports[-1].characters_out
    nada_a_retirar = [r.name for r in limpeza.reports if not r.removed]
    assert nada_a_retirar == ["codificação", "HTML", "normalização", "linhas curtas"]
    assert clean(limpeza.documents, PASSOS[:-1]).documents == limpeza.documents  # limpar o limpo nada muda


def test_funil_vazio_e_sem_documentos():
    assert clean([], PASSOS).documents == ()
    assert clean(_docs("a"), []).reports == ()


@pytest.mark.parametrize(
    ("documentos", "mensagem"),
    [
        ([{"id": "a", "text": "b"}], "documento 0 sem source"),
        ([{"id": "a", "text": None, "source": "f"}], "documento 0: text=None; esperado um texto"),
        (_docs("a") * 2, r"id repetido: \['d0'\]"),
    ],
)
def test_documento_invalido(documentos, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        clean(documentos, [])


# --- pelo `datasets` -------------------------------------------------------------------------------


def test_pelo_datasets_da_o_mesmo(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    sujos = _sujos()
    direto = clean(sujos, PASSOS)
    assert {r.name for r in direto.reports if r.removed or r.changed} == {passo.name for passo in PASSOS}
    assert clean_dataset(datasets.Dataset.from_list(sujos), PASSOS).to_list() == list(direto.documents)


# --- cada passo ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texto", "achada"),
    [
        ("Que IDIÓTA!", "idiota"),
        ("o computador", None),  # palavra inteira: não há "puta" em "computador"
        ("filho  da-Mãe", "filho da mãe"),
        ("filho da mãezinha", None),
        ("a idiotas", None),
        ("i.d.i.o.t.a", None),  # o limite declarado
    ],
)
def test_palavras_bloqueadas(texto, achada):
    limpeza = clean(_docs(texto), [blocked_words_step(["idiota", "puta", "filho da mãe"])])
    esperado = {"d0": ("palavra bloqueada", achada)} if achada else {}
    assert limpeza.reports[0].removed == esperado


def test_palavras_bloqueadas_nao_leem_o_contexto():
    # O falso positivo conhecido: sem acentos, "cagado" e o bicho "cágado" são a mesma palavra.
    limpeza = clean(_docs("O cágado atravessou o rio."), [blocked_words_step(["cagado"])])
    assert limpeza.documents == ()


def test_idioma():
    documentos = _docs("O gato não quis entrar na casa.", "The cat did not want to come in.", "123")
    limpeza = clean(documentos, [language_step("pt")])
    assert limpeza.reports[0].removed == {"d1": ("outro idioma", "en"), "d2": ("sem letras", "")}
    assert _ids(clean(documentos, [language_step("en")]).documents) == ["d1"]
    dois = LanguageIdentifier.train({"gato": ["miau miau"], "pato": ["quac quac"]})
    assert _ids(clean(_docs("miau", "quac"), [language_step("pato", dois)]).documents) == ["d1"]


def test_qualidade_diz_a_regra_e_a_medida():
    limpeza = clean(_docs("só três palavras"), [quality_step()])
    assert limpeza.reports[0].removed == {"d0": ("poucas palavras", "3")}


def test_dos_iguais_fica_o_primeiro_e_dos_quase_iguais_o_mais_longo():
    curto, longo = " ".join(HISTORIAS[:2]), " ".join(HISTORIAS[:3])
    limpeza = clean(
        _docs(curto, longo, curto.upper(), HISTORIAS[50], "?!"), [exact_duplicates_step(), near_duplicates_step()]
    )
    iguais, quase = limpeza.reports
    assert iguais.removed == {"d2": ("igual a outro", "d0")}
    assert quase.removed == {"d0": ("quase igual a outro", "d1"), "d4": ("sem palavras", "")}


def test_contencao_e_opcional():
    conto, coletanea = HISTORIAS[7], " ".join(HISTORIAS[:40])
    assert len(clean(_docs(conto, coletanea), [near_duplicates_step()]).documents) == 2
    assert _ids(clean(_docs(conto, coletanea), [near_duplicates_step(containment=0.9)]).documents) == ["d1"]


@given(
    st.lists(st.sampled_from("abc"), max_size=30),
    st.integers(0, 5) | st.dictionaries(st.sampled_from("abc"), st.integers(0, 5)),
    st.randoms(use_true_random=False),
)
def test_equilibrio(fontes, teto, gerador):
    documentos = [{"id": f"d{i}", "text": "x", "source": fonte} for i, fonte in enumerate(fontes)]
    ficam = clean(documentos, [balance_step(teto)]).documents
    for fonte in "abc":
        limite = teto if isinstance(teto, int) else teto.get(fonte, len(fontes))
        assert sum(row["source"] == fonte for row in ficam) == min(limite, fontes.count(fonte))
    ordem = gerador.sample(documentos, len(documentos))
    assert set(_ids(clean(ordem, [balance_step(teto)]).documents)) == set(_ids(ficam))


def test_o_sorteio_do_equilibrio_e_uniforme_e_muda_com_a_semente():
    # Média das posições dos 500 que ficam de 1.000: esperada 499,5 com desvio √(1001·1000/12/1000) = 9,1; quatro deles.
    documentos = _docs(*["x"] * 1000)
    ficam = [_ids(clean(documentos, [balance_step(500, seed=s)]).documents) for s in (1, 2)]
    assert ficam[0] != ficam[1]
    for escolha in ficam:
        assert sum(int(i[1:]) for i in escolha) / 500 == pytest.approx(499.5, abs=37)


@pytest.mark.parametrize(
    ("chamada", "mensagem"),
    [
        (lambda: language_step("tupi"), "language='tupi': o identificador conhece pt, en"),
        (lambda: blocked_words_step("idiota"), "words='idiota' é um texto só"),
        (lambda: blocked_words_step(["a", "?!"]), r"palavras sem letra nem algarismo: \['\?!'\]"),
        (lambda: balance_step(-1), "cap=-1: esperado tetos ≥ 0"),
        (lambda: balance_step({"a": -1}), "tetos ≥ 0"),
        (lambda: clean(_docs("a b"), [near_duplicates_step(0)]), "threshold=0"),
    ],
)
def test_erros_dizem_o_valor_e_o_remedio(chamada, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        chamada()


def test_a_ordem_dos_documentos_nao_muda_quais_textos_ficam():
    sujos = _sujos()
    outra_ordem = random.Random(1).sample(sujos, len(sujos))
    passos = PASSOS[:-1]  # dos iguais fica o primeiro, de outro id; o texto é o mesmo a menos da normalização
    textos = [sorted(row["text"].casefold() for row in clean(d, passos).documents) for d in (sujos, outra_ordem)]
    assert textos[0] == textos[1]
