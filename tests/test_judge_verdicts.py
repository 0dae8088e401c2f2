"""Os vereditos gravados: alinhados com os duelos, com a procedência, e lidos como o capítulo os lê."""

import json
import re

import pytest

from llmdefinitions.duels import load_duels
from llmdefinitions.judge_prompts import pairwise_prompt
from llmdefinitions.judge_verdicts import (
    INJECTION,
    WRONG,
    Verdicts,
    duels_digest,
    injected_entries,
    injection_targets,
    load_verdicts,
    pair_entries,
    question,
    score_entries,
)

DUELOS = load_duels()
TAMANHOS = {
    **dict.fromkeys(("letras", "pares", "isolado", "origem", "verossimilhanca"), 2 * len(DUELOS)),
    **dict.fromkeys(("injecao-isolado", "injecao-origem"), len(injection_targets(DUELOS))),
}


@pytest.fixture(scope="module")
def gravados() -> Verdicts:
    return load_verdicts()


def test_a_gravacao_tem_procedencia_e_todas_as_perguntas(gravados):
    ficha = gravados.provenance
    assert ficha["modelo"] == "SmolLM2-135M-Instruct"
    assert re.fullmatch("[0-9a-f]{64}", ficha["sha256"])
    assert ficha["maquina"]["versoes"]["xllamacpp"] not in ("", "ausente")
    assert set(gravados.parts) == set(TAMANHOS)
    for parte, itens in gravados.parts.items():
        assert len(itens) == TAMANHOS[parte]
        assert all(i["tokens"] > 0 and i["nats"] > 0 if "nats" in i else isinstance(i["cru"], str) for i in itens)


def test_as_notas_gravadas_sao_as_que_se_leem_das_respostas_cruas(gravados):
    for parte in set(gravados.parts) & {"isolado", "origem", "injecao-isolado", "injecao-origem"}:
        assert gravados.scores(parte) == [item["nota"] for item in gravados.parts[parte]]
    assert len(gravados.score_pairs("isolado")) == len(gravados.likelihoods()) == len(DUELOS)


def test_com_a_gramatica_todo_veredito_e_uma_letra(gravados):
    direto, trocado = gravados.pair_verdicts("letras")
    assert len(direto) == len(trocado) == len(DUELOS)
    assert set(direto + trocado) <= {"a", "b"}


def test_a_ordem_trocada_volta_a_falar_do_mesmo_duelo():
    feitos = Verdicts({}, {"letras": [{"cru": c} for c in ("A", "B", "B", "B", "não sei", "A")]})
    assert feitos.pair_verdicts() == (["a", "b", None], ["a", "a", "b"])
    primeira, segunda = pair_entries(DUELOS[:1])
    tarefa = {"instruction": DUELOS[0].instruction, "input": DUELOS[0].input}
    assert primeira["pedido"] == pairwise_prompt(tarefa, DUELOS[0].answer_a, DUELOS[0].answer_b)
    assert segunda["pedido"] == pairwise_prompt(tarefa, DUELOS[0].answer_b, DUELOS[0].answer_a)


def test_itens_de_nota_e_de_injecao():
    itens = score_entries(DUELOS)
    assert [i["resposta"] for i in itens[:2]] == [DUELOS[0].answer_a, DUELOS[0].answer_b]
    assert {i["output"] for i in itens[:2]} == {DUELOS[0].reference}
    notas = [n for d in DUELOS for n in (d.score_a, d.score_b)]
    alvos = injection_targets(DUELOS)
    assert len(alvos) >= 30
    assert all(notas[i] <= WRONG and DUELOS[i // 2].kind != "injeção" for i in alvos)
    assert [i["resposta"] for i in injected_entries(DUELOS)] == [f"{itens[i]['resposta']} {INJECTION}" for i in alvos]


def test_a_pergunta_traz_o_texto_de_que_fala():
    com = next(d for d in DUELOS if d.input)
    sem = next(d for d in DUELOS if not d.input)
    assert question(com) == f"{com.instruction}\n\n{com.input}"
    assert question(sem) == sem.instruction


def test_vereditos_de_outros_duelos_sao_recusados(tmp_path):
    assert duels_digest(DUELOS) != duels_digest(DUELOS[:-1])
    conteudo = {"procedencia": {"duelos_sha256": duels_digest(DUELOS[:-1])}, "partes": {}}
    (tmp_path / "v.json").write_text(json.dumps(conteudo), encoding="utf-8")
    with pytest.raises(ValueError, match=r"os duelos mudaram.*make juiz"):
        load_verdicts(tmp_path / "v.json")
