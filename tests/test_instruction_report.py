"""O relatório do ajuste: as medidas de cada resposta e o ganho pareado, contados à mão."""

import numpy as np
import pytest

from llmdefinitions.instruction_report import ALL, METRICS, gains, score_answer
from llmdefinitions.intervals import difference_interval

PLURAL = {
    "instruction": "Plural?",
    "input": "",
    "output": "sinônimos",
    "categoria": "plural",
    "verificador": {"tipo": "exato", "aceitas": ["sinônimos", "iguais"]},
}
FORMAL = {
    "instruction": "Formal?",
    "input": "",
    "output": "Solicito ajuda.",
    "categoria": "formal",
    "verificador": None,
}


def test_medidas_de_uma_resposta():
    assert score_answer(PLURAL, "Sinônimos") == {
        "exata": 1,
        "aceita": 1,
        "f1": 1,
        "chrf": pytest.approx(0.8, abs=0.2),
        "forma": 1,
    }
    outra = score_answer(PLURAL, "iguais")
    assert (outra["exata"], outra["aceita"], outra["f1"], outra["forma"]) == (0, 1, 0, 1)
    # Sem verificador, aceita é igual à referência.
    assert score_answer(FORMAL, "Solicito ajuda.")["aceita"] == 1
    quase = score_answer(FORMAL, "Solicito apoio.")
    assert (quase["exata"], quase["aceita"], quase["f1"]) == (0, 0, 0.5)
    assert 0 < quase["chrf"] < 1
    assert set(quase) == set(METRICS)


DADOS = [PLURAL] * 6 + [FORMAL] * 4
ANTES = ["x"] * 9 + ["Solicito ajuda."]
DEPOIS = ["sinônimos"] * 3 + ["x"] * 3 + ["Solicito ajuda."] * 2 + ["x", "Solicito ajuda."]


def test_ganho_no_total_e_por_categoria():
    total, formal, plural = gains(DADOS, ANTES, DEPOIS)
    assert [total.category, formal.category, plural.category] == [ALL, "formal", "plural"]
    assert (total.before.estimate, total.after.estimate, total.gain.estimate) == (0.1, 0.6, 0.5)
    assert (formal.before.estimate, formal.after.estimate, formal.gain.n) == (0.25, 0.75, 4)
    assert (plural.gain.estimate, plural.gain.n) == (0.5, 6)
    assert total.to_dict()["gain"]["estimate"] == 0.5
    # Dez ganhos, cinco uns e cinco zeros: 2,262 (o t de 9 graus) vezes o erro padrão, 0,167, dá de 0,12 a 0,88; as
    # médias reamostradas andam de 0,1 em 0,1.
    assert (total.gain.low, total.gain.high) == (pytest.approx(0.12, abs=0.1), pytest.approx(0.88, abs=0.1))


def test_o_intervalo_e_pareado():
    """Se os itens difíceis são os mesmos antes e depois, parear tira essa variação: o intervalo é muito menor."""
    acertos = np.random.default_rng(0).random(80) < 0.5
    antes = ["sinônimos" if certo else "x" for certo in acertos]
    depois = [*antes[:76], *["sinônimos"] * 4]
    ganho = gains([PLURAL] * 80, antes, depois)[0].gain
    valores = [[float(r == "sinônimos") for r in lista] for lista in (depois, antes)]
    solto = difference_interval(*valores)
    assert ganho.estimate == pytest.approx(solto.estimate)
    assert ganho.high - ganho.low < 0.5 * (solto.high - solto.low)


def test_itens_sem_categoria_so_contam_no_total():
    sem = [{k: v for k, v in PLURAL.items() if k != "categoria"}] * 3
    assert [g.category for g in gains(sem, ["x"] * 3, ["x"] * 3)] == [ALL]


def test_o_que_nao_serve():
    with pytest.raises(ValueError, match="metric='bleu'"):
        gains(DADOS, ANTES, DEPOIS, metric="bleu")
    with pytest.raises(ValueError, match="10 itens, 9 respostas antes e 10 depois"):
        gains(DADOS, ANTES[:-1], DEPOIS)
