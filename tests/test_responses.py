"""Respostas: só a resposta, até onde o modelo para; guardadas por inteiro e retomadas de onde o processo morreu."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from modelos import modelo_pequeno, um_fio  # noqa: F401

from llmdefinitions import responses
from llmdefinitions.bpe import train_bpe
from llmdefinitions.instruction import PromptTemplate
from llmdefinitions.responses import FIELD, extract_response, generate_responses, respond, respond_all
from llmdefinitions.tokenizer import encode, eos_id

CURTO = PromptTemplate("", "P:", "/", "R:")


@pytest.fixture(scope="module")
def tokenizador():
    return train_bpe(["P:R:/ ### Resposta instrução abc"], 257)


@pytest.fixture
def modelo():
    return modelo_pequeno(1, vocab_size=257, context_length=64).eval()


DADOS = [{"instruction": f"i{n}", "input": "", "output": "o"} for n in range(7)]


@pytest.mark.parametrize(
    ("gerado", "esperado"),
    [
        (" flores\n", "flores"),
        ("flores<|endoftext|> lixo", "flores"),
        ("<|endoftext|>", ""),
        ("", ""),
        ("flores\n\n### Instruction:\nOutra", "flores"),
        ("### Response:\nflores", ""),
        ("a ### b", "a ### b"),
    ],
)
def test_extrai_so_a_resposta(tokenizador, gerado, esperado):
    assert extract_response(encode(gerado, tokenizador) if gerado else [], tokenizador) == esperado


def test_responde_a_continuacao_gulosa_do_prompt(modelo, tokenizador):
    resposta = respond(modelo, tokenizador, DADOS[0], template=CURTO, max_new_tokens=8)
    ids = encode("P:i0R:", tokenizador)
    for _ in range(8):  # oráculo: um token por vez, sem cache nem rascunho
        with torch.no_grad():
            ids.append(int(modelo(torch.tensor([ids]))[0, -1].argmax()))
    novos = ids[len(encode("P:i0R:", tokenizador)) :]
    fim = eos_id(tokenizador)
    novos = novos[: novos.index(fim)] if fim in novos else novos
    assert resposta == tokenizador.decode(novos).strip()


@pytest.mark.parametrize("funcao", [respond, lambda *args, **opcoes: respond_all(*args[:2], [args[2]], **opcoes)])
def test_prompt_que_nao_cabe(modelo, tokenizador, funcao):
    with pytest.raises(ValueError, match="o prompt tem 84 tokens e o contexto do modelo é de 64"):
        funcao(modelo, tokenizador, {"instruction": "a" * 80}, template=CURTO)


@pytest.mark.parametrize("lote", [1, 3, 64])
def test_responder_a_todos_e_responder_a_cada_um(modelo, tokenizador, lote):
    # Comprimentos misturados: os lotes têm de devolver cada resposta ao seu item.
    itens = [{"instruction": "abc" * (1 + n % 3), "input": "i" * (n % 2)} for n in range(10)]
    juntas = respond_all(modelo, tokenizador, itens, template=CURTO, max_new_tokens=6, batch_size=lote)
    assert juntas == [respond(modelo, tokenizador, item, template=CURTO, max_new_tokens=6) for item in itens]
    assert len(set(juntas)) > 1


def test_responder_a_nenhum_e_lote_que_nao_serve(modelo, tokenizador):
    assert respond_all(modelo, tokenizador, []) == []
    with pytest.raises(ValueError, match="batch_size=0"):
        respond_all(modelo, tokenizador, DADOS, batch_size=0)


def test_grava_todas_na_ordem_e_nao_deixa_andamento(modelo, tokenizador, tmp_path):
    feitas = generate_responses(modelo, tokenizador, DADOS, tmp_path / "r.json", template=CURTO, max_new_tokens=4)
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == feitas
    assert [{k: v for k, v in f.items() if k != FIELD} for f in feitas] == DADOS
    assert [f[FIELD] for f in feitas] == [
        respond(modelo, tokenizador, d, template=CURTO, max_new_tokens=4) for d in DADOS
    ]
    assert FIELD not in DADOS[0]


def _interrompida(monkeypatch, quantas):
    original, feitas = responses.respond, []

    def contada(*args, **opcoes):
        if len(feitas) == quantas:
            raise KeyboardInterrupt
        feitas.append(args[2]["instruction"])
        return original(*args, **opcoes)

    monkeypatch.setattr(responses, "respond", contada)
    return feitas


def test_interrompida_continua_do_andamento(modelo, tokenizador, tmp_path, monkeypatch):
    opcoes = {"template": CURTO, "max_new_tokens": 4, "save_every": 2}
    inteiras = generate_responses(modelo, tokenizador, DADOS, tmp_path / "inteira.json", **opcoes)
    with monkeypatch.context() as m:
        _interrompida(m, 5)
        with pytest.raises(KeyboardInterrupt):
            generate_responses(modelo, tokenizador, DADOS, tmp_path / "r.json", **opcoes)
    assert not (tmp_path / "r.json").exists()
    feitas = _interrompida(monkeypatch, 99)
    assert generate_responses(modelo, tokenizador, DADOS, tmp_path / "r.json", **opcoes) == inteiras
    assert feitas == ["i4", "i5", "i6"]  # das 5 prontas, 4 estavam guardadas


@pytest.mark.parametrize("mudanca", ["modelo", "dados", "opcoes"])
def test_andamento_de_outra_coisa_nao_e_aproveitado(modelo, tokenizador, tmp_path, monkeypatch, mudanca):
    opcoes = {"template": CURTO, "max_new_tokens": 4, "save_every": 1}
    with monkeypatch.context() as m:
        _interrompida(m, 3)
        with pytest.raises(KeyboardInterrupt):
            generate_responses(modelo, tokenizador, DADOS, tmp_path / "r.json", **opcoes)
    dados = DADOS
    if mudanca == "modelo":
        with torch.no_grad():
            modelo.pos_emb.weight[0, 0] += 1
    elif mudanca == "dados":
        dados = [{**DADOS[0], "instruction": "outra"}, *DADOS[1:]]
    else:
        opcoes["max_new_tokens"] = 5
    feitas = _interrompida(monkeypatch, 99)
    generate_responses(modelo, tokenizador, dados, tmp_path / "r.json", **opcoes)
    assert len(feitas) == len(DADOS)


MORRE = """
import os, signal, sys
from modelos import modelo_pequeno
from llmdefinitions import responses
from llmdefinitions.bpe import train_bpe
from llmdefinitions.instruction import PromptTemplate

original, feitas = responses.respond, []
def morre_na_sexta(*args, **opcoes):
    if len(feitas) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    feitas.append(1)
    return original(*args, **opcoes)

responses.respond = morre_na_sexta
tokenizador = train_bpe(["P:R:/ ### Resposta instrução abc"], 257)
dados = [{"instruction": f"i{n}", "input": "", "output": "o"} for n in range(7)]
modelo = modelo_pequeno(1, vocab_size=257, context_length=64).eval()
molde = PromptTemplate("", "P:", "/", "R:")
responses.generate_responses(modelo, tokenizador, dados, sys.argv[1], template=molde, max_new_tokens=4, save_every=2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL não existe no Windows")
def test_processo_morto_de_verdade_e_retomado(modelo, tokenizador, tmp_path, monkeypatch):
    comando = [sys.executable, "-c", MORRE, str(tmp_path / "r.json")]
    morto = subprocess.run(comando, cwd=Path(__file__).parent, capture_output=True, text=True)
    assert morto.returncode == -9, morto.stderr
    assert not (tmp_path / "r.json").exists()
    feitas = _interrompida(monkeypatch, 99)
    opcoes = {"template": CURTO, "max_new_tokens": 4, "save_every": 2}
    retomadas = generate_responses(modelo, tokenizador, DADOS, tmp_path / "r.json", **opcoes)
    assert feitas == ["i4", "i5", "i6"]
    monkeypatch.undo()
    assert retomadas == generate_responses(modelo, tokenizador, DADOS, tmp_path / "outra.json", **opcoes)


def test_andamento_ilegivel(modelo, tokenizador, tmp_path):
    (tmp_path / "r.json.andamento").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"andamento guardado está ilegível.*apague-o"):
        generate_responses(modelo, tokenizador, DADOS, tmp_path / "r.json", template=CURTO)


def test_save_every_invalido(modelo, tokenizador, tmp_path):
    with pytest.raises(ValueError, match="save_every=0"):
        generate_responses(modelo, tokenizador, DADOS, tmp_path / "r.json", save_every=0)
