"""Os experimentos do capítulo 5: o que a ferramenta grava, e se o registro guardado no pacote é coerente."""

import json
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from modelos import modelo_pequeno, um_fio  # noqa: F401

from llmdefinitions.bpe import train_bpe
from llmdefinitions.forgetting import METHODS, language_task
from llmdefinitions.strategies import RECIPES, STRATEGIES, StrategyRun, summarize

RAIZ = Path(__file__).resolve().parent.parent
# No fim da lista: ferramentas/site.py não pode passar à frente do `site` da biblioteca padrão.
sys.path.append(str(RAIZ / "ferramentas"))

import experimentos_lora  # noqa: E402

GUARDADOS = files("llmdefinitions").joinpath("assets/experimentos")


def _ler(pasta, nome):
    return json.loads(Path(str(pasta), nome).read_text(encoding="utf-8"))


@pytest.fixture
def minusculo(monkeypatch):
    """Troca o que demora: os processos filhos por uma conta, o mini-pt e os textos por outros de brinquedo."""

    def mede(estrategia, semente):
        acerto = 0.5 + 0.05 * semente
        return StrategyRun(estrategia, semente, 3, 9, 2, 1.5, 10**6, 10**8, acerto, acerto)

    textos = {nome: [f"{nome} {n} é {n + 1}" for n in range(40)] for nome in ("histórias", "instruções")}
    tokenizador = train_bpe([t for lista in textos.values() for t in lista], 290)
    modelo = modelo_pequeno(vocab_size=290, drop_rate=0.0, init_std=0.02)
    tarefas = [language_task(n, t, tokenizador, length=8, held_out=4, batch_size=2) for n, t in textos.items()]
    monkeypatch.setattr(experimentos_lora, "measure_strategy", mede)
    monkeypatch.setattr(experimentos_lora, "load_pretrained", lambda nome: (modelo, tokenizador))
    monkeypatch.setattr(experimentos_lora, "tarefas_do_esquecimento", lambda tokenizador: tarefas)
    monkeypatch.setitem(experimentos_lora.ESQUECIMENTO, "steps", 1)


def test_grava_os_dois_com_procedencia(minusculo, tmp_path, capsys):
    assert experimentos_lora.principal(["--sementes", "2", "--pasta", str(tmp_path / "nova")]) == 0
    for nome in ("estrategias", "esquecimento"):
        dados = _ler(tmp_path / "nova", f"{nome}.json")
        assert dados["sementes"] == [1, 2]
        assert nome in dados["comando"]
        assert "torch" in dados["maquina"]["versoes"]
        assert len(dados["modelo"]["sha256"]) == 64
    assert {p.name for p in (tmp_path / "nova").iterdir()} == {"estrategias.json", "esquecimento.json"}


def test_as_estrategias_se_revezam_e_todas_tem_todas_as_sementes(minusculo, tmp_path):
    experimentos_lora.principal(["estrategias", "--sementes", "2", "--pasta", str(tmp_path)])
    corridas = _ler(tmp_path, "estrategias.json")["corridas"]
    assert [(c["seed"], c["strategy"]) for c in corridas] == [(s, e) for s in (1, 2) for e in STRATEGIES]


def test_o_esquecimento_parte_do_mesmo_modelo_em_todos_os_metodos(minusculo, tmp_path):
    experimentos_lora.principal(["esquecimento", "--sementes", "2", "--pasta", str(tmp_path)])
    corridas = _ler(tmp_path, "esquecimento.json")["corridas"]
    assert [(c["semente"], c["metodo"]) for c in corridas] == [(s, m) for s in (1, 2) for m in METHODS]
    assert all(c["perdas"][0] == corridas[0]["perdas"][0] for c in corridas)
    assert all(c["perdas"][-1] != c["perdas"][0] for c in corridas)


@pytest.mark.parametrize(
    ("argumentos", "mensagem"), [(["outro"], "outro não existe"), (["--sementes", "1"], "ao menos duas")]
)
def test_recusa_pedidos_sem_sentido(argumentos, mensagem, capsys):
    with pytest.raises(SystemExit):
        experimentos_lora.principal(argumentos)
    assert mensagem in capsys.readouterr().err


def test_as_estrategias_guardadas_tem_cinco_sementes_de_cada_e_a_receita_de_agora():
    dados = _ler(GUARDADOS, "estrategias.json")
    corridas = [StrategyRun(**c) for c in dados["corridas"]]
    assert len(dados["sementes"]) >= 5
    assert {(c.strategy, c.seed) for c in corridas} == {(e, s) for e in STRATEGIES for s in dados["sementes"]}
    assert dados["receita"] == {nome: {"lr": r.lr, "epochs": r.epochs} for nome, r in RECIPES.items()}
    resumo = summarize(corridas)
    # Treinar tudo guarda o otimizador de tudo; só a cabeça, quase nada.
    assert resumo["atributos"]["memory_bytes"].high < resumo["completo"]["memory_bytes"].low
    assert resumo["lora"]["trainable"].high < resumo["completo"]["trainable"].low / 5


def test_o_esquecimento_guardado_tem_cinco_sementes_de_cada_metodo():
    dados = _ler(GUARDADOS, "esquecimento.json")
    assert len(dados["sementes"]) >= 5
    assert {(c["metodo"], c["semente"]) for c in dados["corridas"]} == {
        (m, s) for m in METHODS for s in dados["sementes"]
    }
    assert all([list(p) for p in c["perdas"]] == [list(dados["tarefas"])] * 3 for c in dados["corridas"])
    receita = {"taxas": experimentos_lora.TAXAS, "forcas": experimentos_lora.FORCAS}
    assert dados["receita"] == {**experimentos_lora.ESQUECIMENTO, **receita}
