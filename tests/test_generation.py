"""Geração: cache igual a sem cache, cada filtro contra a força bruta, EOS por linha, modo e gerador preservados."""

import itertools
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from modelos import ids_sorteados, modelo_pequeno, um_fio  # noqa: F401
from torch import Tensor, nn

from llmdefinitions import GPT_CONFIG_124M, GPTModel, calc_loss_batch, generate, generate_text_simple
from llmdefinitions.generation import evaluating, filter_logits, next_token

EVERY_EFFORT = [6109, 3626, 6100, 345]  # "Every effort moves you" no GPT-2
GULOSO_124M = [34245, 5139, 2492, 25405, 17434, 17853, 5308, 3398, 13174, 43071]


class Contador(nn.Module):
    """Prevê sempre o token seguinte ao último (módulo V): a continuação certa se conhece de cabeça."""

    def __init__(self, vocab_size: int = 10) -> None:
        super().__init__()
        self.vocab_size = vocab_size

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.one_hot((ids + 1) % self.vocab_size, self.vocab_size) * 50.0


class Constante(nn.Module):
    """Os mesmos logits em toda posição."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, ids: Tensor) -> Tensor:
        return self.logits.expand(*ids.shape, -1)


def gerador(semente: int) -> torch.Generator:
    return torch.Generator().manual_seed(semente)


# --- contrato e cache


@pytest.fixture(scope="module")
def gpt_124m() -> GPTModel:
    torch.manual_seed(123)
    return GPTModel(GPT_CONFIG_124M).eval()


@pytest.mark.parametrize("use_cache", [True, False])
def test_contrato_continuacao_gulosa(gpt_124m, use_cache):
    ids = generate(gpt_124m, torch.tensor([EVERY_EFFORT]), 10, 256, use_cache=use_cache)
    assert ids.tolist() == [EVERY_EFFORT + GULOSO_124M]


def test_contrato_generate_text_simple(gpt_124m):
    ids = generate_text_simple(gpt_124m, torch.tensor([EVERY_EFFORT]), 10, 256)
    assert ids.tolist() == [EVERY_EFFORT + GULOSO_124M]


@pytest.mark.parametrize("lote", [1, 8])
@pytest.mark.parametrize("inicio", [1, 5, 12, 20], ids=lambda n: f"de{n}tokens")
@pytest.mark.parametrize("context_size", [12, 7])
@pytest.mark.parametrize(
    "amostragem",
    [{}, {"temperature": 1.3}, {"temperature": 0.8, "top_k": 9}, {"temperature": 1.1, "top_p": 0.8, "top_k": 40}],
    ids=["gulosa", "temperatura", "top_k", "top_p"],
)
def test_cache_igual_a_sem_cache(lote, inicio, context_size, amostragem):
    modelo = modelo_pequeno(4).eval()
    ids = ids_sorteados(lote, inicio)
    com, sem = (
        generate(modelo, ids, 25, context_size, generator=gerador(6), use_cache=usa, **amostragem)
        for usa in (True, False)
    )
    assert com.shape == (lote, inicio + 25)  # 25 novos passam dos 12 do contexto qualquer que seja o início
    assert torch.equal(com, sem)
    assert torch.equal(com[:, :inicio], ids)


def test_gulosa_igual_ao_laco_ingenuo():
    modelo = modelo_pequeno(4).eval()
    ids = esperado = ids_sorteados(3, 4)
    with torch.no_grad():
        for _ in range(20):
            esperado = torch.cat([esperado, modelo(esperado[:, -12:])[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(generate(modelo, ids, 20, 12), esperado)
    assert torch.equal(generate_text_simple(modelo, ids, 20, 12), esperado)


def test_o_cache_processa_so_o_token_novo():
    modelo = modelo_pequeno().eval()
    larguras = []
    modelo.tok_emb.register_forward_hook(lambda _, entrada, saida: larguras.append(entrada[0].shape[1]))
    generate(modelo, ids_sorteados(1, 4), 11, 12)
    assert larguras == [4, 1, 1, 1, 1, 1, 1, 1, 1, 12, 12]  # além do contexto, a janela inteira
    larguras.clear()
    generate(modelo, ids_sorteados(1, 4), 3, 12, use_cache=False)
    assert larguras == [4, 5, 6]


# --- defeitos da implementação de origem


def test_defeito_generate_quebrava_com_lote_maior_que_1_e_top_k():
    modelo = modelo_pequeno(4).eval()
    ids = ids_sorteados(3, 5)
    juntas = generate(modelo, ids, 6, 12, temperature=1.0, top_k=1)  # com k = 1 o sorteio é a escolha gulosa
    separadas = torch.cat([generate(modelo, linha[None], 6, 12) for linha in ids])
    assert torch.equal(juntas, separadas)


def test_defeito_generate_quebrava_com_lote_maior_que_1_e_eos_id():
    ids = torch.tensor([[4], [1], [7]])
    gerados = generate(Contador(), ids, 5, 8, eos_id=9, use_cache=False)
    assert gerados.tolist() == [[4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6], [7, 8, 9, 9, 9, 9]]


def test_defeito_generate_quebrava_com_top_k_maior_que_o_vocabulario():
    modelo = modelo_pequeno().eval()
    ids = ids_sorteados(2, 5)
    com, sem = (generate(modelo, ids, 6, 12, 1.0, top_k, generator=gerador(1)) for top_k in (10_000, None))
    assert torch.equal(com, sem)


def test_defeito_guloso_com_o_modelo_em_train_nao_se_repetia():
    modelo = modelo_pequeno(4, drop_rate=0.5).train()
    ids = ids_sorteados(2, 5)
    primeira, segunda = (generate(modelo, ids, 15, 12) for _ in range(2))
    assert torch.equal(primeira, segunda)
    assert torch.equal(primeira, generate(modelo.eval(), ids, 15, 12))


# --- eos_id


def test_para_quando_todas_as_linhas_encerram_sem_acrescentar_o_eos():
    # A última linha encerra no 3º passo: nesse passo nada é acrescentado, como na origem com uma linha só.
    gerados = generate(Contador(), torch.tensor([[6], [7]]), 50, 8, eos_id=9, use_cache=False)
    assert gerados.tolist() == [[6, 7, 8], [7, 8, 9]]


def test_com_uma_linha_o_eos_nao_e_acrescentado():
    assert generate(Contador(), torch.tensor([[6]]), 50, 8, eos_id=9, use_cache=False).tolist() == [[6, 7, 8]]
    assert generate(Contador(), torch.tensor([[8]]), 50, 8, eos_id=9, use_cache=False).tolist() == [[8]]


def test_eos_na_entrada_nao_encerra():
    assert generate(Contador(), torch.tensor([[9]]), 3, 8, eos_id=9, use_cache=False).tolist() == [[9, 0, 1, 2]]


@pytest.mark.parametrize("use_cache", [True, False])
def test_eos_em_lote_igual_a_cada_linha_sozinha(use_cache):
    modelo = modelo_pequeno(4, vocab_size=7).eval()
    ids = ids_sorteados(8, 3, vocab_size=7)
    for eos in range(7):
        juntas = generate(modelo, ids, 20, 12, eos_id=eos, use_cache=use_cache)
        sozinhas = [generate(modelo, linha[None], 20, 12, eos_id=eos, use_cache=use_cache)[0] for linha in ids]
        assert juntas.shape[1] == max(len(linha) for linha in sozinhas)
        for junta, sozinha in zip(juntas, sozinhas, strict=True):
            assert torch.equal(junta[: len(sozinha)], sozinha)
            assert (junta[len(sozinha) :] == eos).all()


# --- filtros contra a força bruta

probabilidades = st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=8).map(lambda x: [v / sum(x) for v in x])


def mantidos(logits: Tensor) -> set[int]:
    return set(torch.isfinite(logits[0]).nonzero().flatten().tolist())


@given(probabilidades, st.floats(0.01, 1.0))
def test_top_p_e_o_menor_nucleo(probs, p):
    subconjuntos = [s for n in range(1, len(probs) + 1) for s in itertools.combinations(range(len(probs)), n)]
    massas = {s: sum(probs[i] for i in s) for s in subconjuntos}
    # A 1e-5 de p, quem decide é o arredondamento em float32 da softmax e da soma acumulada, não a regra.
    assume(all(abs(massa - p) > 1e-5 for massa in massas.values()) or p == 1.0)
    nucleo = mantidos(filter_logits(torch.tensor([probs]).log(), top_p=p))
    suficientes = [s for s, massa in massas.items() if massa >= p or p == 1.0 == round(massa, 9)]
    assert len(nucleo) == min(map(len, suficientes))
    assert massas[tuple(sorted(nucleo))] == pytest.approx(max(massas[s] for s in subconjuntos if len(s) == len(nucleo)))
    assert max(probs) == max(probs[i] for i in nucleo)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=10), st.integers(1, 15))
def test_top_k_mantem_os_k_maiores_e_os_empatados(valores, k):
    corte = sorted(valores, reverse=True)[min(k, len(valores)) - 1]
    filtrados = filter_logits(torch.tensor([valores], dtype=torch.float32), top_k=k)
    assert mantidos(filtrados) == {i for i, v in enumerate(valores) if v >= corte}
    assert all(filtrados[0, i] == valores[i] for i in mantidos(filtrados))


def test_filtros_valem_por_linha():
    logits = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]]).log()
    assert torch.isfinite(filter_logits(logits, top_k=1)).tolist() == [
        [True, False, False],
        [False, False, True],
        [False, True, False],
    ]
    assert torch.isfinite(filter_logits(logits, top_p=0.75)).tolist() == [
        [True, True, False],
        [False, False, True],
        [True, True, True],
    ]


def test_top_p_1_nao_corta_a_cauda_de_um_vocabulario_grande():
    # A soma acumulada em float32 de uma cauda longa chega a 1 antes do fim: p = 1 não pode depender dela.
    logits = torch.randn(1, 50_257, generator=gerador(0)) * 4
    assert torch.equal(filter_logits(logits, top_p=1.0), logits)


def test_nucleo_e_calculado_depois_da_temperatura():
    # Em T = 1 o núcleo de 0,5 é só o token 0; em T = 10 a distribuição é quase plana, e ele tem dois de três.
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log().expand(500, 3)
    frio = next_token(logits, 1.0, top_p=0.5, generator=gerador(2))
    quente = next_token(logits, 10.0, top_p=0.5, generator=gerador(2))
    assert frio.unique().tolist() == [0]
    assert quente.unique().tolist() == [0, 1]


# --- temperatura e geradores


@pytest.mark.parametrize("temperatura", [0.5, 1.0, 2.0])
def test_frequencias_seguem_a_distribuicao_da_temperatura(temperatura):
    logits, n = torch.tensor([2.0, 1.0, 0.0, -1.0]), 20_000
    esperadas = [math.exp(v / temperatura) for v in logits.tolist()]
    esperadas = [v / sum(esperadas) for v in esperadas]
    sorteados = generate(
        Constante(logits), torch.zeros(n, 1, dtype=torch.long), 1, 4, temperatura, generator=gerador(3), use_cache=False
    )[:, 1]
    for token, p in enumerate(esperadas):
        frequencia = (sorteados == token).float().mean().item()
        assert frequencia == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / n))  # 4 erros-padrão da binomial


def test_o_gerador_proprio_decide_e_o_global_fica_intacto():
    modelo = modelo_pequeno().eval()
    ids = ids_sorteados(2, 4)
    antes = torch.get_rng_state()
    a, b, c = (generate(modelo, ids, 20, 12, temperature=1.5, generator=gerador(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(antes, torch.get_rng_state())


def test_sem_gerador_proprio_a_semente_global_decide():
    modelo = modelo_pequeno().eval()
    ids = ids_sorteados(2, 4)
    torch.manual_seed(8)
    a = generate(modelo, ids, 20, 12, temperature=1.5)
    torch.manual_seed(8)
    assert torch.equal(a, generate(modelo, ids, 20, 12, temperature=1.5))
    assert not torch.equal(a, generate(modelo, ids, 20, 12, temperature=1.5))


def test_a_escolha_gulosa_nao_consome_o_gerador():
    modelo = modelo_pequeno(drop_rate=0.5).train()
    antes = torch.get_rng_state()
    generate(modelo, ids_sorteados(2, 4), 20, 12, top_k=3)
    assert torch.equal(antes, torch.get_rng_state())


# --- modo do modelo e saída


def test_o_modo_de_cada_submodulo_e_reposto():
    modelo = modelo_pequeno().train()
    modelo.trf_blocks[1].eval()  # congelado de propósito no meio de um treino
    modos = [m.training for m in modelo.modules()]
    generate(modelo, ids_sorteados(1, 4), 3, 12)
    assert [m.training for m in modelo.modules()] == modos
    with evaluating(modelo):
        assert not any(m.training for m in modelo.modules())
    assert [m.training for m in modelo.modules()] == modos


def test_o_modo_e_reposto_mesmo_com_erro():
    modelo = modelo_pequeno().train()
    modelo.trf_blocks[0].eval()
    modos = [m.training for m in modelo.modules()]
    with pytest.raises(ValueError, match="contexto de 13 tokens é maior que 12"):
        generate(modelo, ids_sorteados(1, 11), 10, 40)  # context_size maior que o do modelo
    assert [m.training for m in modelo.modules()] == modos


def test_a_saida_serve_de_entrada_de_um_treino():
    modelo = modelo_pequeno()
    ids = generate(modelo, ids_sorteados(2, 4), 5, 12)
    assert not ids.is_inference()
    calc_loss_batch(ids[:, :-1], ids[:, 1:], modelo, "cpu").backward()
    assert modelo.tok_emb.weight.grad.any()


def test_zero_tokens_novos_devolve_uma_copia():
    ids = ids_sorteados(2, 4)
    gerados = generate(modelo_pequeno(), ids, 0, 12)
    assert torch.equal(gerados, ids)
    assert gerados.data_ptr() != ids.data_ptr()


# --- argumentos recusados


@pytest.mark.parametrize(
    ("argumentos", "mensagem"),
    [
        ({"max_new_tokens": -1}, "max_new_tokens=-1"),
        ({"context_size": 0}, "context_size=0"),
        ({"temperature": -0.5}, r"temperature=-0\.5: esperado um número ≥ 0"),
        ({"temperature": float("nan")}, "temperature=nan: esperado"),
        ({"temperature": float("inf")}, "temperature=inf: esperado"),
        ({"top_k": 0}, "top_k=0: esperado um inteiro ≥ 1"),
        ({"temperature": 1.0, "top_k": -3}, "top_k=-3: esperado um inteiro ≥ 1"),
        ({"top_p": 0.0}, r"top_p=0\.0: esperado um número em \(0, 1\]"),
        ({"top_p": 1.5}, r"top_p=1\.5: esperado"),  # mesmo na gulosa, que não o usaria
        ({"temperature": 1.0, "top_p": float("nan")}, "top_p=nan: esperado"),
        ({"eos_id": -1}, "eos_id=-1: esperado um id de token ≥ 0"),
    ],
)
@pytest.mark.parametrize("novos", [0, 3])
def test_argumento_invalido(argumentos, mensagem, novos):
    with pytest.raises(ValueError, match=mensagem):
        generate(modelo_pequeno(), ids_sorteados(1, 4), **{"max_new_tokens": novos, "context_size": 12, **argumentos})


@pytest.mark.parametrize("formato", [(4,), (1, 2, 3), (2, 0)])
def test_idx_com_formato_errado(formato):
    with pytest.raises(ValueError, match=r"idx de formato .*: esperado \(B, T\) com T ≥ 1"):
        generate(modelo_pequeno(), torch.zeros(formato, dtype=torch.long), 3, 12)


def test_modelo_sem_cache_ensina_a_desligar():
    with pytest.raises(ValueError, match=r"Contador não tem cache KV: chame generate\(\.\.\., use_cache=False\)"):
        generate(Contador(), torch.tensor([[1]]), 3, 8)
    assert generate_text_simple(Contador(), torch.tensor([[1]]), 3, 8).tolist() == [[1, 2, 3, 4]]
