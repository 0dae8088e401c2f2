"""Receita: a embutida, a ida e volta em JSON, as mudanças pela linha de comando e o que ela recusa."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdefinitions.recipe import Recipe, load_recipe, parse_duration

EMBUTIDA = load_recipe()
OUTROS: dict[str, object] = {
    "seed": 7,
    "mixture": {"bncc": 40, "historias": 60},
    "heldout_percent": 7.5,
    "n_stories": 10,
    "vocab_size": 300,
    "context_length": 16,
    "emb_dim": 48,
    "n_heads": 2,
    "n_layers": 1,
    "drop_rate": 0.2,
    "optimizer": "adamw",
    "lr": 0.25,
    "min_lr_ratio": 0.5,
    "warmup_steps": 3,
    "weight_decay": 0.0,
    "max_grad_norm": 2.5,
    "batch_size": 32,
    "micro_batch_size": 4,
    "steps": 777,
    "precision": "float32",
    "compile": True,
    "eval_every": 5,
    "checkpoint_every": 9,
    "repeat_percent": 12,
}
DOS_DADOS = {"seed", "mixture", "heldout_percent", "n_stories", "vocab_size"}


def test_a_embutida_e_a_do_arquivo_do_pacote():
    arquivo = Path(__file__).parent.parent / "llmdefinitions" / "assets" / "mini-pt.json"
    assert EMBUTIDA.to_dict() == json.loads(arquivo.read_text(encoding="utf-8"))
    assert load_recipe("mini-pt") == load_recipe(arquivo) == EMBUTIDA


def test_modelo_e_tokens():
    receita = replace(EMBUTIDA, **OUTROS)
    modelo = receita.model_config
    for nome in ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers", "drop_rate"):
        assert getattr(modelo, nome) == OUTROS[nome]
    assert (modelo.qkv_bias, modelo.tie_weights, modelo.init_std) == (True, True, 0.02)
    assert receita.tokens == 777 * 32 * 16


def test_todo_campo_esta_nos_testes_e_na_documentacao():
    campos = [campo.name for campo in dataclasses.fields(Recipe)]
    assert list(OUTROS) == campos == list(EMBUTIDA.to_dict())
    assert all(nome in Recipe.__doc__ for nome in campos)


@pytest.mark.parametrize("receita", [EMBUTIDA, replace(EMBUTIDA, **OUTROS)])
def test_gravada_e_relida_e_a_mesma(tmp_path, receita):
    caminho = tmp_path / "r.json"
    caminho.write_text(json.dumps(receita.to_dict()), encoding="utf-8")
    assert load_recipe(caminho) == load_recipe(str(caminho)) == receita


def test_o_dicionario_e_uma_copia():
    receita = replace(EMBUTIDA, mixture={"bncc": 40, "historias": 60})
    receita.to_dict()["mixture"]["bncc"] = 0
    assert receita.mixture == {"bncc": 40, "historias": 60}


# --- resumo dos dados ------------------------------------------------------------------------------


@pytest.mark.parametrize("campo", OUTROS)
def test_o_resumo_muda_com_cada_campo_dos_dados_e_com_mais_nenhum(campo):
    mudada = replace(EMBUTIDA, **{campo: OUTROS[campo]})
    assert mudada != EMBUTIDA
    assert (mudada.data_digest() != EMBUTIDA.data_digest()) == (campo in DOS_DADOS)


def test_o_resumo_nao_depende_de_como_o_numero_foi_escrito():
    assert replace(EMBUTIDA, heldout_percent=5).data_digest() == replace(EMBUTIDA, heldout_percent=5.0).data_digest()


# --- mudanças --------------------------------------------------------------------------------------


def _como_texto(valor: object) -> str:
    if isinstance(valor, dict):
        return ", ".join(f"{nome} = {peso}" for nome, peso in valor.items())
    return str(valor)


def test_cada_campo_pode_ser_mudado_por_texto():
    assert EMBUTIDA.changed({nome: _como_texto(v) for nome, v in OUTROS.items()}) == replace(EMBUTIDA, **OUTROS)


@pytest.mark.parametrize(
    ("mudancas", "campo", "valor"),
    [
        ({"compile": "True"}, "compile", True),
        ({"compile": "false"}, "compile", False),
        ({"lr": "1e-3"}, "lr", 0.001),
        ({"steps": "200"}, "steps", 200),
        ({"mixture": "bncc=30,historias=70"}, "mixture", {"bncc": 30, "historias": 70}),
    ],
)
def test_mudancas(mudancas, campo, valor):
    mudada = EMBUTIDA.changed(mudancas)
    assert getattr(mudada, campo) == valor
    assert type(getattr(mudada, campo)) is type(valor)
    assert replace(mudada, **{campo: getattr(EMBUTIDA, campo)}) == EMBUTIDA


def test_sem_mudancas_e_igual():
    assert EMBUTIDA.changed({}) == EMBUTIDA


@pytest.mark.parametrize(
    ("mudancas", "mensagem"),
    [
        ({"passos": "3"}, "'passos' não é um campo da receita; os campos são seed, mixture"),
        ({"steps": "dois"}, "steps='dois': esperado um valor do tipo int"),
        ({"steps": "2.5"}, r"steps='2\.5': esperado um valor do tipo int"),
        ({"lr": "alta"}, "lr='alta': esperado um valor do tipo float"),
        ({"compile": "sim"}, "compile='sim': esperado um valor do tipo bool"),
        ({"mixture": "bncc"}, "mixture='bncc': esperado um valor do tipo dict"),
        ({"mixture": "bncc=1=2"}, "esperado um valor do tipo dict"),
        ({"mixture": "bncc=muito"}, "esperado um valor do tipo dict"),
        ({"mixture": "bncc=30,bncc=70"}, "mixture='bncc=30,bncc=70'"),
        ({"mixture": "bncc=30"}, r"mixture=\{'bncc': 30\}: esperado percentuais inteiros"),
        ({"steps": "0"}, "steps=0: esperado um inteiro ≥ 1"),
    ],
)
def test_mudancas_que_nao_servem(mudancas, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        EMBUTIDA.changed(mudancas)


# --- valores que não servem ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mudancas", "mensagem"),
    [
        *(
            ({nome: 0}, f"{nome}=0: esperado um inteiro ≥ 1")
            for nome in ("n_stories", "batch_size", "micro_batch_size", "steps", "eval_every", "checkpoint_every")
        ),
        ({"batch_size": 10, "micro_batch_size": 4}, "batch_size=10 não é múltiplo de micro_batch_size=4"),
        ({"heldout_percent": 0}, "heldout_percent=0: esperado um número entre 0 e 100"),
        ({"heldout_percent": 100.0}, r"heldout_percent=100\.0"),
        ({"heldout_percent": float("nan")}, "heldout_percent=nan"),
        ({"warmup_steps": 50, "steps": 50}, "warmup_steps=50 e steps=50: o aquecimento é só o começo"),
        ({"warmup_steps": -1}, "warmup_steps=-1"),
        ({"optimizer": "sgd"}, "optimizer='sgd': esperado um de adamw, muon"),
        ({"precision": "float16"}, "precision='float16': esperado um de float32, bfloat16, auto"),
        ({"lr": 0.0}, r"lr=0\.0: esperado um número maior que zero"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"max_grad_norm": -1.0}, r"max_grad_norm=-1\.0"),
        ({"weight_decay": -0.1}, r"weight_decay=-0\.1"),
        ({"min_lr_ratio": 1.5}, r"min_lr_ratio=1\.5"),
        ({"mixture": {"bncc": 99}}, r"mixture=\{'bncc': 99\}: esperado percentuais inteiros ≥ 0 que somem 100"),
        ({"mixture": {"bncc": 110, "historias": -10}}, "esperado percentuais"),
        ({"mixture": {}}, r"mixture=\{\}: esperado um valor do tipo dict"),
        ({"mixture": {"bncc": 99.5, "historias": 0.5}}, "esperado um valor do tipo dict"),
        ({"mixture": "bncc=100"}, "mixture='bncc=100': esperado um valor do tipo dict"),
        ({"steps": "200"}, "steps='200': esperado um valor do tipo int"),
        ({"steps": True}, "steps=True: esperado um valor do tipo int"),
        ({"lr": "0.1"}, "lr='0.1': esperado um valor do tipo float"),
        ({"compile": 1}, "compile=1: esperado um valor do tipo bool"),
        ({"optimizer": None}, "optimizer=None: esperado um valor do tipo str"),
        ({"emb_dim": 30, "n_heads": 4}, "emb_dim=30 não é múltiplo de n_heads=4"),
        ({"drop_rate": 1.0}, r"drop_rate=1\.0"),
        ({"repeat_percent": 101}, "repeat_percent=101"),
        ({"repeat_percent": -1}, "repeat_percent=-1"),
        ({"vocab_size": 0}, "vocab_size=0"),
    ],
)
def test_valores_que_nao_servem(mudancas, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        replace(EMBUTIDA, **mudancas)


@pytest.mark.parametrize(
    ("conteudo", "mensagem"),
    [
        (None, "ilegível.*use 'mini-pt' ou um arquivo JSON"),
        (b"{", "ilegível"),
        (b"\xff", "ilegível"),
        (b"[]", r"campos errados \(não é um objeto\)"),
        (json.dumps({**EMBUTIDA.to_dict(), "passos": 3}).encode(), r"campos errados \(passos\)"),
        (
            json.dumps({k: v for k, v in EMBUTIDA.to_dict().items() if k not in ("lr", "seed")}).encode(),
            r"campos errados \(lr, seed\); os campos são \['seed'",
        ),
        (json.dumps({**EMBUTIDA.to_dict(), "steps": "200"}).encode(), "steps='200': esperado um valor do tipo int"),
    ],
)
def test_arquivos_que_nao_servem(tmp_path, conteudo, mensagem):
    caminho = tmp_path / "r.json"
    if conteudo is not None:
        caminho.write_bytes(conteudo)
    with pytest.raises(ValueError, match=mensagem):
        load_recipe(caminho)


# --- durações --------------------------------------------------------------------------------------


@given(st.integers(1, 10**6), st.integers(0, 99), st.sampled_from([("s", 1), ("min", 60), ("h", 3600)]))
def test_duracao(inteiro, centesimos, unidade):
    nome, segundos = unidade
    esperado = pytest.approx((inteiro + centesimos / 100) * segundos)
    for separador in ".,":
        assert parse_duration(f" {inteiro}{separador}{centesimos:02d} {nome} ") == esperado
    assert parse_duration(f"{inteiro}{nome}") == inteiro * segundos


@pytest.mark.parametrize(
    "texto", ["", "5", "min", "-5min", "0s", "0,0h", "5 minutos", "1e3s", "5MIN", "1min30s", "1.s"]
)
def test_duracoes_que_nao_servem(texto):
    with pytest.raises(ValueError, match=f"duração {texto!r}: esperado um número positivo com unidade"):
        parse_duration(texto)
