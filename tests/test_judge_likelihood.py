"""Juiz de verossimilhança contra um servidor de mentira; com o de verdade, em test_judge_server.py."""

import json

import pytest
from servidor import sem_faixa

from llmdefinitions.judge_likelihood import AnswerScore, answer_score


def corpo(objeto) -> bytes:
    return json.dumps(objeto, ensure_ascii=False).encode()


def escreve(servidor, *tokens):
    """O servidor divide a resposta em " ", o começo de "é" e o fim dele, e escreve estes (id, ln p)."""
    pedacos = [{"id": 7, "piece": "a"}, {"id": 8, "piece": [32, 195]}, {"id": 9, "piece": [169]}]
    servidor.rotas["/tokenize"] = sem_faixa(corpo({"tokens": pedacos}))
    conteudo = [{"id": i, "token": str(i), "logprob": p} for i, p in tokens]
    servidor.rotas["/v1/chat/completions"] = sem_faixa(corpo({"choices": [{"logprobs": {"content": conteudo}}]}))
    servidor.rotas["/apply-template"] = sem_faixa(corpo({"prompt": "<s>?"}))
    alternativas = [{"id": 9, "logprob": -50.0}, {"id": 8, "logprob": -4.0}]
    servidor.rotas["/completion"] = sem_faixa(corpo({"completion_probabilities": [{"top_logprobs": alternativas}]}))


def test_soma_os_tokens_mostrados_e_o_que_o_servidor_guarda(servidor):
    escreve(servidor, (7, -1.0), (9, -2.0), (2, -0.5))
    assert answer_score(servidor.url(""), "?", "a é") == AnswerScore(7.5, 4)  # 1 + 2 + 0,5, e os 4 do token guardado
    assert AnswerScore(7.5, 4).per_token == -1.875
    pedidos = {p.caminho: json.loads(p.recebido) for p in servidor.pedidos}
    assert pedidos["/v1/chat/completions"]["grammar"] == "root ::= <[7]> <[8]> <[9]>"
    assert pedidos["/v1/chat/completions"]["messages"] == [{"role": "user", "content": "?"}]
    assert pedidos["/completion"]["prompt"][-1] == 7


def test_servidor_que_escreve_outra_coisa_e_resposta_vazia(servidor):
    escreve(servidor, (7, -1.0), (5, -2.0), (2, -0.5))
    with pytest.raises(ValueError, match=r"escreveu '752' no lugar da resposta.*gramáticas de tokens"):
        answer_score(servidor.url(""), "?", "a é")
    with pytest.raises(ValueError, match="a resposta está vazia"):
        answer_score(servidor.url(""), "?", " ")
