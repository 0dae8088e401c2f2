"""Conversa com um servidor de modelos: as duas APIs, e um servidor real que se comporta mal de propósito."""

import json
import socket
import time
from dataclasses import replace

import pytest
from servidor import codigo, em_ordem, em_pedacos, goteja, infinito, mudo, redireciona, sem_faixa, trava, trunca

from llmdefinitions import chat
from llmdefinitions.chat import ChatError, ChatOptions, ServerUnavailableError, query_model

# Com pressa só se espera pelo que não vem: numa máquina ocupada, o que vem pode demorar.
CALMA = ChatOptions(timeout=60, deadline=120, retries=0)
PRESSA = ChatOptions(timeout=0.3, deadline=1.0, retries=0)
INSISTE = ChatOptions(timeout=1.0, deadline=2.0, retries=2, backoff=0.001)
OLLAMA, OPENAI = "/api/chat", "/v1/chat/completions"


def ollama(*textos: str, fim: bool = True) -> bytes:
    linhas = [{"message": {"role": "assistant", "content": t}, "done": False} for t in textos]
    if fim:
        linhas.append({"message": {"role": "assistant", "content": ""}, "done": True})
    return "".join(json.dumps(linha, ensure_ascii=False) + "\n" for linha in linhas).encode()


def openai(*textos: str, fim: str = "data: [DONE]\n\n") -> bytes:
    eventos = [{"choices": [{"delta": {"content": t}, "finish_reason": None}]} for t in (None, *textos)]
    return ("".join(f"data: {json.dumps(e, ensure_ascii=False)}\n\n" for e in eventos) + fim).encode()


@pytest.mark.parametrize(
    ("rota", "corpo"),
    [
        (OLLAMA, ollama("É ", "85", ".")),
        (OLLAMA, ollama(fim=False) + json.dumps({"message": {"content": "É 85."}, "done": True}).encode()),
        (OLLAMA, json.dumps({"message": {"content": "É 85."}, "done": True}, indent=2).encode()),
        (OLLAMA, "\ufeff".encode() + ollama("É 85.")),
        (OPENAI, openai("É ", "85", ".")),
        (OPENAI, b": aguarde\r\nevent: message\r\n" + openai("É 85.").replace(b"\n", b"\r\n")),
        (OPENAI, openai("É ", "85.", fim='data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n')),
        (OPENAI, openai("É 85.", fim='data: {"choices": [], "usage": {}}\n\ndata: [DONE]\n\n')),
        (OPENAI, b'{"choices": [{"message": {"content": "\\u00c9 85."},\n "finish_reason": "stop"}]}'),
    ],
)
def test_le_as_duas_apis_com_e_sem_fluxo(servidor, rota, corpo):
    servidor.rotas[rota] = sem_faixa(corpo)
    assert query_model("?", "m", servidor.url(rota), options=CALMA) == "É 85."


@pytest.mark.parametrize("tamanho", [1, 2, 7])
def test_os_pedacos_chegam_um_a_um_cortados_em_qualquer_byte(servidor, tamanho):
    corpo = ollama("ação", " é ", "85")
    servidor.rotas[OLLAMA] = em_pedacos([corpo[i : i + tamanho] for i in range(0, len(corpo), tamanho)])
    vistos = []
    assert query_model("?", "m", servidor.url(OLLAMA), options=CALMA, on_text=vistos.append) == "ação é 85"
    assert vistos == ["ação", " é ", "85"]


def test_o_que_se_pede_a_cada_api(servidor):
    servidor.rotas = {OLLAMA: sem_faixa(ollama("1")), OPENAI: sem_faixa(openai("1"))}
    opcoes = ChatOptions(seed=7, temperature=0.5, max_tokens=9, context=512, extra={"logprobs": True})
    for rota in (OLLAMA, OPENAI):
        query_model("olá", "m", servidor.url(rota), options=opcoes)
    um, outro = (json.loads(p.recebido) for p in servidor.pedidos)
    comum = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "olá"}], "logprobs": True}
    assert um == comum | {"options": {"seed": 7, "temperature": 0.5, "num_ctx": 512, "num_predict": 9}}
    assert outro == comum | {"seed": 7, "temperature": 0.5, "max_tokens": 9}


def test_latin1_anunciado_e_lido_e_nao_anunciado_e_erro(servidor):
    corpo = json.dumps({"message": {"content": "é 85"}, "done": True}, ensure_ascii=False).encode("latin-1")
    servidor.rotas["/a/api/chat"] = sem_faixa(corpo, Content_Type="application/json; charset=iso-8859-1")
    servidor.rotas["/b/api/chat"] = sem_faixa(corpo)
    servidor.rotas["/c/api/chat"] = sem_faixa(corpo, Content_Type="application/json; charset=inexistente")
    assert query_model("?", "m", servidor.url("/a/api/chat"), options=CALMA) == "é 85"
    for rota in ("/b/api/chat", "/c/api/chat"):
        with pytest.raises(ChatError, match="a resposta não está em") as erro:
            query_model("?", "m", servidor.url(rota), options=INSISTE)
        assert r"\xe9 85" in erro.value.partial  # nem o ilegível se perde
    assert len(servidor.pedidos) == 3  # insistir não mudaria a codificação


@pytest.mark.parametrize(
    ("comportamento", "motivo", "parcial"),
    [
        (codigo(500), "o servidor respondeu 500: erro", "erro"),
        (codigo(429), "o servidor respondeu 429", "erro"),
        (trunca(ollama("oi", " você"), 60), "cortado no meio", ""),
        (trunca(ollama("oi", " você"), len(ollama("oi", fim=False))), "cortada antes do fim", "oi"),
        (sem_faixa(b""), "cortada antes do fim", ""),
        (sem_faixa(b'{"message": {"content": "85"'), "JSON inválido ou cortado", '{"message": {"content": "85"'),
        (em_pedacos([ollama("oi", fim=False)], termina=False), "conexão caiu no meio", "oi"),
        (mudo, "mais de 0.3 s sem mandar nada", ""),
        (trava(ollama("oi"), len(ollama("oi", fim=False))), "mais de 0.3 s sem mandar nada", "oi"),
        (goteja(ollama("a" * 400), 0.05), "não acabou em 1 s", ""),
        (sem_faixa(b'{"error": "faltou memoria"}'), "relatou um erro: faltou memoria", ""),
        (sem_faixa(openai("oi", fim="") + b'data: {"error": {"code": 500}}\n'), "relatou um erro", "oi"),
    ],
)
def test_falha_passageira_e_repetida_e_guarda_o_que_chegou(servidor, comportamento, motivo, parcial):
    rota = OPENAI if "relatou" in motivo and parcial else OLLAMA
    servidor.rotas[rota] = comportamento
    with pytest.raises(ChatError, match=motivo) as erro:
        query_model("?", "m", servidor.url(rota), options=PRESSA)
    assert erro.value.transient
    if parcial:
        assert erro.value.partial == parcial
    servidor.rotas[rota] = em_ordem(
        comportamento, comportamento, sem_faixa({OLLAMA: ollama, OPENAI: openai}[rota]("9"))
    )
    assert query_model("?", "m", servidor.url(rota), options=INSISTE) == "9"
    assert len(servidor.pedidos) == 4


@pytest.mark.parametrize(
    ("comportamento", "motivo"),
    [
        (codigo(400), "o servidor respondeu 400"),
        (codigo(404), "ollama pull"),
        (redireciona("/api/chat"), "o servidor respondeu 302"),
        (sem_faixa(b"<!doctype html><title>oi</title>"), "página HTML"),
        (sem_faixa(b"[1, 2]\n"), "não tem a forma esperada"),
        (sem_faixa(b'{"message": {"content": 85}, "done": true}\n'), "o conteúdo da resposta é int"),
        (sem_faixa(b"null\n"), "não tem a forma esperada"),
        (infinito, "passa de 1048576 bytes"),
    ],
)
def test_falha_definitiva_nao_e_repetida(servidor, comportamento, motivo):
    servidor.rotas[OLLAMA] = comportamento
    with pytest.raises(ChatError, match=motivo) as erro:
        query_model("?", "m", servidor.url(OLLAMA), options=replace(CALMA, retries=3))
    assert not erro.value.transient
    assert len(servidor.pedidos) == 1


def test_desliga_na_cara_e_falha_passageira_e_nao_falta_de_servidor(servidor):
    def desliga(a):
        a.connection.shutdown(socket.SHUT_RDWR)

    servidor.rotas[OLLAMA] = em_ordem(desliga, sem_faixa(ollama("9")))
    assert query_model("?", "m", servidor.url(OLLAMA), options=INSISTE) == "9"


def test_espera_o_que_o_servidor_pede(servidor, monkeypatch):
    esperas = []
    monkeypatch.setattr(chat.time, "sleep", esperas.append)
    falha = codigo(503, Retry_After="7")
    servidor.rotas[OLLAMA] = em_ordem(falha, codigo(503), codigo(503, Retry_After="999"), sem_faixa(ollama("9")))
    opcoes = replace(CALMA, retries=3, backoff=0.1)
    assert query_model("?", "m", servidor.url(OLLAMA), options=opcoes) == "9"
    assert esperas[0] == 7
    assert 0.1 <= esperas[1] <= 0.3  # 0,1 s, dobrado, com sorteio de ±50%
    assert esperas[2] == 60


def test_sem_servidor_o_erro_e_imediato_e_diz_o_remedio():
    with socket.socket() as reservada:
        reservada.bind(("127.0.0.1", 0))  # a porta está tomada e ninguém a escuta
        url = f"http://127.0.0.1:{reservada.getsockname()[1]}/api/chat"
        comeco = time.monotonic()
        with pytest.raises(
            ServerUnavailableError, match=r"nenhum servidor responde em .*ollama serve.*local_judge"
        ) as e:
            query_model("?", "m", url)
    assert time.monotonic() - comeco < 5
    assert e.value.url == url


@pytest.mark.parametrize("url", ["http://localhost:1/", "localhost/api/chat", "ftp://h/api/chat", ""])
def test_endereco_que_nao_e_de_nenhuma_das_apis(url):
    with pytest.raises(ValueError, match="esperado um endereço"):
        query_model("?", url=url)


def test_argumentos_invalidos():
    with pytest.raises(ValueError, match="o prompt está vazio"):
        query_model(" \n")
    for ruim in ({"timeout": 0}, {"deadline": -1}, {"retries": -1}, {"backoff": -1}):
        with pytest.raises(ValueError, match="esperados > 0"):
            ChatOptions(**ruim)
