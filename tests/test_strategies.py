"""As quatro estratégias: o que treina em cada uma, a média que a cabeça vê, e a medida num processo à parte."""

import sys

import pytest
import torch
from modelos import modelo_pequeno, pesos, um_fio  # noqa: F401
from sklearn.metrics import f1_score

from llmdefinitions import strategies
from llmdefinitions.layer_states import layer_states
from llmdefinitions.pretrained import load_pretrained, save_pretrained
from llmdefinitions.strategies import (
    RECIPES,
    STRATEGIES,
    SentenceClassifier,
    StrategyRun,
    measure_strategy,
    run_strategy,
    summarize,
)


@pytest.fixture(scope="module")
def pasta(tmp_path_factory):
    """Um modelo minúsculo com o tokenizador do mini-pt."""
    _, tokenizador = load_pretrained("mini-pt")
    modelo = modelo_pequeno(
        vocab_size=tokenizador.get_vocab_size(), context_length=40, emb_dim=16, n_heads=2, qkv_bias=True,
        tie_weights=True, init_std=0.02,
    )  # fmt: skip
    return save_pretrained(modelo, tokenizador, tmp_path_factory.mktemp("modelo") / "m")


def test_a_media_e_das_posicoes_de_texto_e_o_preenchimento_nao_a_muda():
    modelo = modelo_pequeno().eval()
    classificador = SentenceClassifier(modelo, 3).eval()
    curta, longa = [0, 5, 6], [0, 7, 8, 9, 10]
    idx = torch.tensor([[*curta, 0, 0], longa])
    obtida = classificador.features(idx, torch.tensor([3, 5]))
    for linha, ids in zip(obtida, (curta, longa), strict=True):
        sozinha = layer_states(modelo, torch.tensor([ids]))[-1][0, 1:].mean(0)
        torch.testing.assert_close(linha, sozinha)  # as mesmas contas, em outro lote
    torch.testing.assert_close(classificador(idx, torch.tensor([3, 5])), classificador.head(obtida))


@pytest.mark.parametrize("estrategia", STRATEGIES)
def test_cada_estrategia_treina_o_que_diz(pasta, estrategia, monkeypatch):
    vistos = {}
    original = strategies.SentenceClassifier

    def espia(modelo, classes):
        vistos["classificador"] = original(modelo, classes)
        vistos["antes"] = pesos(vistos["classificador"])
        return vistos["classificador"]

    monkeypatch.setattr(strategies, "SentenceClassifier", espia)
    corrida = run_strategy(estrategia, 1, model=str(pasta), n_train=32, epochs=1)
    depois = vistos["classificador"].state_dict()
    mudaram = {nome for nome, t in vistos["antes"].items() if not torch.equal(t, depois[nome])}
    tudo = corrida.parameters
    if estrategia == "atributos":
        assert mudaram == {"head.weight", "head.bias"}
        assert corrida.trainable == 16 * 3 + 3
    elif estrategia == "lora":
        assert mudaram
        assert all(".lora." in nome or nome.startswith("head.") for nome in mudaram)
        assert corrida.trainable < tudo / 4
    else:
        assert any(nome.startswith("model.trf_blocks") for nome in mudaram)
        assert corrida.trainable == tudo
    assert corrida.steps == 2
    assert 0 <= corrida.accuracy <= 1
    assert corrida.seconds > 0
    if sys.platform != "darwin":
        assert corrida.peak_bytes > corrida.memory_bytes


def test_do_zero_nao_usa_os_pesos_prontos(pasta, monkeypatch):
    pronto, _ = load_pretrained(str(pasta))
    vistos = []
    original = strategies.SentenceClassifier
    monkeypatch.setattr(strategies, "SentenceClassifier", lambda m, c: vistos.append(pesos(m)) or original(m, c))
    for estrategia in ("zero", "completo"):
        run_strategy(estrategia, 3, model=str(pasta), n_train=16, epochs=1)
    nome = "trf_blocks.0.ff.layers.0.weight"
    assert not torch.equal(vistos[0][nome], pronto.state_dict()[nome])
    assert torch.equal(vistos[1][nome], pronto.state_dict()[nome])


def test_a_mesma_semente_da_a_mesma_nota_tambem_em_outro_processo(pasta):
    opcoes = {"model": str(pasta), "n_train": 48, "epochs": 1}
    aqui = run_strategy("lora", 7, **opcoes)
    filho = measure_strategy("lora", 7, **opcoes)
    assert (aqui.accuracy, aqui.macro_f1, aqui.trainable) == (filho.accuracy, filho.macro_f1, filho.trainable)


def test_o_processo_que_falha_diz_o_que_houve():
    with pytest.raises(RuntimeError, match="terminou com o código 1") as erro:
        measure_strategy("sorte", 1)
    assert "strategy='sorte'" in str(erro.value)


def test_recusa_argumentos_invalidos():
    with pytest.raises(ValueError, match="strategy='x': use uma de zero"):
        run_strategy("x", 1)
    for opcoes in ({"n_train": 0}, {"epochs": 0}):
        with pytest.raises(ValueError, match="esperado inteiros ≥ 1"):
            run_strategy("lora", 1, **opcoes)


def test_o_resumo_e_a_media_das_sementes_de_cada_estrategia():
    corridas = [
        StrategyRun(nome, semente, 10, 100, 5, float(semente), 50, 80, 0.5 + 0.1 * semente, 0.4)
        for nome in ("completo", "lora")
        for semente in (1, 2, 3)
    ]
    resumo = summarize(corridas)
    assert list(resumo) == ["completo", "lora"]
    assert resumo["lora"]["accuracy"].estimate == pytest.approx(0.7)
    assert resumo["lora"]["accuracy"].n == 3
    assert resumo["lora"]["seconds"].low <= 2 <= resumo["lora"]["seconds"].high


def test_ha_uma_receita_por_estrategia_e_o_f1_e_o_da_definicao():
    assert tuple(RECIPES) == STRATEGIES
    certas, ditas = [0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 2, 0]
    # Por classe, 2·acertos / (ditas + certas).
    assert f1_score(certas, ditas, average="macro") == pytest.approx((2 / 4 + 2 / 3 + 4 / 5) / 3)
