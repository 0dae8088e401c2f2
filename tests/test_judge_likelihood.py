"""Juiz de verossimilhança contra um servidor de mentira; com o de verdade, em test_judge_server.py."""

import json

import pytest
from servidor import em_ordem, sem_faixa

from llmdefinitions.judge_likelihood import AnswerScore, answer_score


def corpo(objeto) -> bytes:
    return json.dumps(objeto, ensure_ascii=False).encode()


INTEIRO = [{"id": 7, "piece": "a"}, {"id": 8, "piece": [32, 195]}, {"id": 9, "piece": [169]}]  # "a é"
CORTADO = [{"id": 8, "piece": [195]}, {"id": 9, "piece": [169]}, {"id": 7, "piece": "a"}]  # "éa"


def completa(*tokens):
    """O que o servidor responde ao pedido da resposta: os tokens que mostrou (id, ln p)."""
    conteudo = [{"id": i, "token": str(i), "logprob": p} for i, p in tokens]
    return sem_faixa(corpo({"completion_probabilities": conteudo}))


def alternativas(**logprobs):
    """O que responde a um pedido de alternativas: ln p de cada token."""
    lista = [{"id": int(nome.removeprefix("t")), "logprob": p} for nome, p in logprobs.items()]
    return sem_faixa(corpo({"completion_probabilities": [{"top_logprobs": lista}]}))


def prepara(servidor, pedacos, *respostas):
    """Um servidor que divide a resposta nestes pedaços e responde a cada `/completion` na ordem."""
    outro = sem_faixa(corpo({"tokens": [5]}))
    servidor.rotas["/tokenize"] = em_ordem(
        sem_faixa(corpo({"tokens": pedacos})), sem_faixa(corpo({"tokens": [1, 2]})), outro
    )
    servidor.rotas["/apply-template"] = sem_faixa(corpo({"prompt": "<s>?"}))
    servidor.rotas["/completion"] = em_ordem(*respostas)


def completados(servidor):
    """O prompt e a gramática de cada `/completion`."""
    pedidos = [json.loads(p.recebido) for p in servidor.pedidos if p.caminho == "/completion"]
    return [(p["prompt"], p["grammar"]) for p in pedidos]


def test_soma_os_tokens_mostrados_e_o_que_o_servidor_guarda(servidor):
    prepara(servidor, INTEIRO, completa((7, -1.0), (9, -2.0), (2, -0.5)), alternativas(t9=-50.0, t8=-4.0))
    assert answer_score(servidor.url(""), "?", "a é") == AnswerScore(7.5, 4)  # 1 + 2 + 0,5, e os 4 do token guardado
    assert AnswerScore(7.5, 4).per_token == -1.875
    assert completados(servidor) == [([1, 2], "root ::= <[7]> <[8]> <[9]>"), ([1, 2, 7], "root ::= <[5]>")]
    modelo = next(json.loads(p.recebido) for p in servidor.pedidos if p.caminho == "/apply-template")
    assert modelo["messages"] == [{"role": "user", "content": "?"}]


def test_resposta_que_comeca_no_meio_de_um_caractere(servidor):
    # O primeiro caractere vai no contexto, e cada token dele se mede à parte: 4 + 3, e 1 + 0,5 do resto.
    prepara(
        servidor,
        CORTADO,
        completa((7, -1.0), (2, -0.5)),
        alternativas(t8=-4.0, t9=-9.0),
        alternativas(t8=-9.0, t9=-3.0),
    )
    assert answer_score(servidor.url(""), "?", "éa") == AnswerScore(8.5, 4)
    assert completados(servidor) == [
        ([1, 2, 8, 9], "root ::= <[7]>"),
        ([1, 2], "root ::= <[5]>"),
        ([1, 2, 8], "root ::= <[5]>"),
    ]


def test_servidor_que_escreve_outra_coisa_e_resposta_vazia(servidor):
    prepara(servidor, INTEIRO, completa((7, -1.0), (5, -2.0), (2, -0.5)))
    with pytest.raises(ValueError, match=r"escreveu '752' no lugar da resposta.*gramáticas de tokens"):
        answer_score(servidor.url(""), "?", "a é")
    with pytest.raises(ValueError, match="a resposta está vazia"):
        answer_score(servidor.url(""), "?", " ")
