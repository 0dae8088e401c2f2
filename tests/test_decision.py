"""A calculadora da decisão: horas e dólares refeitos à mão, o que cabe em cada GPU, e os quadros da página."""

import re
import xml.etree.ElementTree as ET

import ipywidgets as w
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipywidgets.embed import dependency_state

from llmdefinitions.decision import LLAMA_7B, LLAMA_13B, Scenario, decision_explorer, options, training_hours
from llmdefinitions.memory import training_memory
from llmdefinitions.model import GPTModel


def _por_nome(cenario):
    return {opcao.name: opcao for opcao in options(cenario)}


def test_horas_de_um_ajuste_completo_sao_6nd_sobre_o_que_a_gpu_faz():
    cenario = Scenario(gpu_flops=100e12, utilization=0.5)
    horas = training_hours(cenario, 7e9, 2e7, frozen=False, checkpointing=False)
    assert horas == pytest.approx(6 * 7e9 * 2e7 / 50e12 / 3600)
    # Congelar poupa uma das duas contas da volta; refazer as ativações custa uma ida.
    assert training_hours(cenario, 7e9, 2e7, frozen=True, checkpointing=False) == pytest.approx(horas * 4 / 6)
    assert training_hours(cenario, 7e9, 2e7, frozen=False, checkpointing=True) == pytest.approx(horas * 8 / 6)


def test_no_cenario_do_exercicio_so_o_lora_cabe():
    opcoes = _por_nome(Scenario())
    assert "não cabe em 80 GB" in opcoes["ajuste completo, 7B"].problems
    for nome in ("LoRA, 7B", "LoRA, 13B", "QLoRA, 13B"):
        assert opcoes[nome].feasible, opcoes[nome]
    do_zero = next(opcao for nome, opcao in opcoes.items() if nome.startswith("do zero"))
    assert "milhões de tokens, e há 20" in do_zero.problems[0]


def test_em_24_gb_o_13b_so_cabe_quantizado():
    opcoes = _por_nome(Scenario(gpu_gb=24))
    assert not opcoes["LoRA, 13B"].feasible
    assert opcoes["QLoRA, 13B"].feasible


def test_custo_e_horas_vezes_preco_e_cresce_com_os_treinos():
    um, cinco = (_por_nome(Scenario(runs=n))["LoRA, 13B"] for n in (1, 5))
    assert cinco.hours == pytest.approx(5 * um.hours)
    assert um.usd == pytest.approx(um.hours * 3.75)
    uso = training_memory(LLAMA_13B, 1, 400, strategy="lora", precision="mista", checkpointing=True)
    assert um.memory_gb == uso.peak / 1e9


def test_a_api_custa_por_token_e_nao_treina():
    api = options(Scenario(queries_per_month=1000, tokens_per_conversation=500, usd_per_million_tokens=20.0))[-1]
    assert (api.usd, api.hours, api.memory_gb, api.feasible) == (10.0, 0.0, None, True)
    assert not options(Scenario(queries_per_month=10**6, usd_per_million_tokens=100.0))[-1].feasible


def test_os_parametros_sao_os_publicados():
    import torch

    for cfg, publicados in ((LLAMA_7B, 6.7e9), (LLAMA_13B, 13.0e9)):
        with torch.device("meta"):
            assert GPTModel(cfg).count_parameters() == pytest.approx(publicados, rel=0.02)


@settings(max_examples=15)
@given(st.floats(1, 60), st.floats(0.05, 1.0), st.floats(100, 1e6))
def test_mais_prazo_e_mais_orcamento_nunca_criam_um_problema(dias, uso, orcamento):
    aperto = Scenario(days=dias, utilization=uso, budget_usd=orcamento)
    folga = Scenario(days=2 * dias, utilization=uso, budget_usd=2 * orcamento)
    for apertada, folgada in zip(options(aperto)[1:], options(folga)[1:], strict=True):
        # A mensagem da API cita o orçamento: o que se compara é o que ela diz, sem o número.
        sobram, havia = ({re.sub(r"\d[\d.,]*", "", p) for p in opcao.problems} for opcao in (folgada, apertada))
        assert sobram <= havia


@pytest.mark.parametrize(
    ("mudanca", "mensagem"),
    [({"days": 0}, "days=0"), ({"utilization": 1.5}, "utilization=1.5"), ({"runs": -1}, "runs=-1")],
)
def test_recusa_cenario_impossivel(mudanca, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        Scenario(**mudanca)


@pytest.fixture(scope="module")
def explorador():
    caixa = decision_explorer(memories=(24, 80), lengths=(200, 800))
    yield caixa
    caixa.close()


def test_cada_quadro_e_a_tabela_do_seu_cenario(explorador):
    _, _, quadros = explorador.children
    for gb, pilha in zip((24, 80), quadros.children, strict=True):
        for tokens, quadro in zip((200, 800), pilha.children, strict=True):
            tabela = ET.fromstring(quadro.value)
            assert f"50.000 conversas de {tokens} tokens, uma GPU de {gb} GB" in tabela.find("caption").text
            linhas = {linha.find("th").text: [c.text for c in linha.findall("td")] for linha in tabela.find("tbody")}
            opcoes = _por_nome(Scenario(gpu_gb=gb, tokens_per_conversation=tokens))
            assert list(linhas) == list(opcoes)
            for nome, opcao in opcoes.items():
                assert (linhas[nome][3] == "cabe") == opcao.feasible


def test_controles_ligados_no_navegador_e_com_nome(explorador):
    gpu, tamanho, quadros = explorador.children
    modelos = [m for m in dependency_state(explorador).values() if m["model_name"] == "LinkModel"]
    vinculos = {
        tuple(ponta.removeprefix("IPY_MODEL_") for lado in ("source", "target") for ponta in m["state"][lado])
        for m in modelos
    }
    esperados = {(gpu.model_id, "index", quadros.model_id, "selected_index")}
    esperados |= {(tamanho.model_id, "index", pilha.model_id, "selected_index") for pilha in quadros.children}
    assert vinculos == esperados
    assert [c.description for c in (gpu, tamanho)] == ["GPU", "tokens por conversa"]
    assert isinstance(gpu, w.Dropdown)
    assert all(p.selected_index == tamanho.index for p in quadros.children)
