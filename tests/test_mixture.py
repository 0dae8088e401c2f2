"""Mistura: permutação, proporções, épocas, embaralhamento, retomada e divisão entre processos."""

import hashlib
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdefinitions.distributed import World
from llmdefinitions.mixture import BLOCK, Mixture, permute
from llmdefinitions.token_store import TokenStore, write_tokens

# Cada fonte tem ids consecutivos a partir de um múltiplo de 100.000: o id diz de que fonte e de que posição veio.
DEGRAU = 100_000


@pytest.fixture(scope="module")
def lojas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenStore]:
    pasta = tmp_path_factory.mktemp("lojas")
    tamanhos = {"a": 130 * 4, "b": 61 * 4 + 3, "c": 2 * 4, "grande": 5000 * 4}
    return {
        nome: write_tokens(Path(pasta, nome), [np.arange(n) + i * DEGRAU], 10 * DEGRAU)
        for i, (nome, n) in enumerate(tamanhos.items())
    }


def _de_onde(mistura: Mixture, amostras: range) -> list[tuple[int, int]]:
    """(fonte, posição) de cada amostra, lidas dos próprios ids, sem perguntar a `locate`."""
    x, _ = mistura.batch(amostras)
    return [divmod(int(i), DEGRAU) for i in x[:, 0]]


# --- permutação ------------------------------------------------------------------------------------


@pytest.mark.parametrize("chave", [0, 12345, 0xFEDCBA9876543210])
def test_permute_e_uma_bijecao_para_todo_n(chave):
    for n in range(1, 301):
        assert sorted(permute(i, n, chave) for i in range(n)) == list(range(n))


def test_chaves_diferentes_dao_ordens_diferentes():
    ordens = {tuple(permute(i, 50, chave) for i in range(50)) for chave in range(200)}
    assert len(ordens) == 200


@settings(max_examples=200)
@given(st.integers(1, 1 << 40), st.integers(0, (1 << 64) - 1), st.data())
def test_permute_fica_no_intervalo_em_qualquer_tamanho(n, chave, data):
    i, j = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1))
    a, b = permute(i, n, chave), permute(j, n, chave)
    assert 0 <= a < n
    assert (a == b) == (i == j)


@pytest.mark.parametrize(("i", "n"), [(-1, 5), (5, 5), (0, 0)])
def test_permute_recusa_o_que_esta_fora(i, n):
    with pytest.raises(ValueError, match=rf"i={i}: esperado um inteiro entre 0 e {n - 1}"):
        permute(i, n, 1)


def test_janelas_vizinhas_nao_saem_em_sequencia():
    n = 4096
    for chave in range(1, 6):
        ordem = np.array([permute(i, n, chave) for i in range(n)])
        # Numa permutação ao acaso a correlação de postos tem média 0 e desvio 1/√(n − 1): cinco desvios.
        assert abs(np.corrcoef(np.arange(n), ordem)[0, 1]) < 5 / np.sqrt(n - 1)
        # Passos de ±1 têm média 2 e são quase Poisson: 15 ou mais têm probabilidade menor que 1e-8.
        assert np.count_nonzero(np.abs(np.diff(ordem)) == 1) < 15


@pytest.mark.parametrize("n", [100, 300])
def test_comeco_e_distancia_entre_os_dois_primeiros_sao_uniformes(n):
    chaves = [int.from_bytes(hashlib.sha256(str(k).encode()).digest()[:8], "big") for k in range(4000)]
    primeiros = Counter(permute(0, n, chave) for chave in chaves)
    distancias = Counter((permute(1, n, chave) - permute(0, n, chave)) % n for chave in chaves)
    assert 0 not in distancias
    for contagens, casos in ((primeiros, n), (distancias, n - 1)):
        esperado = len(chaves) / casos
        quadrados = sum((c - esperado) ** 2 for c in contagens.values()) + (casos - len(contagens)) * esperado**2
        # χ² com g graus de liberdade tem média g e desvio √(2g); a seis desvios a probabilidade é menor que 1e-6.
        g = casos - 1
        assert abs(quadrados / esperado - g) < 6 * math.sqrt(2 * g)


# --- proporções e épocas ---------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 2**32), st.integers(0, 50))
def test_em_cada_bloco_cada_fonte_aparece_o_seu_percentual(lojas, um, outro, semente, bloco):
    a, b = min(um, outro), max(um, outro)
    pesos = {"a": a, "b": b - a, "c": 100 - b}
    mistura = Mixture(lojas, pesos, 4, semente)
    fontes = Counter(fonte for fonte, _ in _de_onde(mistura, range(bloco * BLOCK, (bloco + 1) * BLOCK)))
    assert fontes == Counter({i: peso for i, peso in enumerate(pesos.values()) if peso})


def test_as_fontes_se_intercalam_dentro_do_bloco(lojas):
    mistura = Mixture(lojas, {"a": 50, "b": 50}, 4, 3)
    fontes = [[fonte for fonte, _ in _de_onde(mistura, range(k * BLOCK, (k + 1) * BLOCK))] for k in range(4)]
    assert len({tuple(f) for f in fontes}) == 4  # cada bloco numa ordem
    for f in fontes:
        # Trocas de fonte entre 100 sorteadas: média 50, desvio 5. Fora de 25 a 75 é menos que um em um milhão.
        assert 25 < np.count_nonzero(np.diff(f)) < 75


def test_numa_epoca_cada_janela_aparece_uma_vez_no_corte_da_epoca(lojas):
    # a: (520 − 4) // 4 = 129 janelas, 43 por bloco (época de 3 blocos). b: (247 − 4) // 4 = 60, 57 por bloco.
    mistura = Mixture(lojas, {"a": 43, "b": 57}, 4, 11)
    assert mistura.windows == [129, 60]
    cortes = set()
    for epoca in range(12):
        vistas = [p for f, p in _de_onde(mistura, range(epoca * 300, (epoca + 1) * 300)) if f == 0]
        corte = min(vistas)
        assert 0 <= corte < 4
        assert sorted(vistas) == [corte + 4 * janela for janela in range(129)]
        cortes.add(corte)
    assert len(cortes) > 1  # os quatro iguais em 12 épocas: menos de um em um milhão


def test_as_janelas_de_uma_epoca_vem_embaralhadas(lojas):
    mistura = Mixture(lojas, {"grande": 100}, 4, 11)
    posicoes = [p for _, p in _de_onde(mistura, range(mistura.windows[0]))]
    # Como em permute: cinco desvios da correlação de postos; em ordem de arquivo ela seria quase 1, por causa dos
    # blocos, que sozinhos só embaralham 100 amostras entre si.
    assert abs(np.corrcoef(np.arange(len(posicoes)), posicoes)[0, 1]) < 5 / np.sqrt(len(posicoes) - 1)


def test_epocas_que_acabam_no_meio_de_um_bloco(lojas):
    # 20 blocos dão 20 · 57 = 1140 amostras de b: 19 épocas exatas de 60 janelas.
    mistura = Mixture(lojas, {"a": 43, "b": 57}, 4, 11)
    vistas = [p for f, p in _de_onde(mistura, range(20 * BLOCK)) if f == 1]
    assert Counter(p // 4 for p in vistas) == Counter(dict.fromkeys(range(60), 19))
    assert mistura.epochs(20 * BLOCK) == {"a": pytest.approx(20 * 43 / 129), "b": pytest.approx(19)}


def test_ordens_de_epocas_e_sementes_diferem(lojas):
    def ordem(semente: int, epoca: int) -> list[int]:
        mistura = Mixture(lojas, {"a": 100}, 4, semente)
        janelas = mistura.windows[0]
        return [p // 4 for _, p in _de_onde(mistura, range(epoca * janelas, (epoca + 1) * janelas))]

    ordens = [tuple(ordem(s, e)) for s in (1, 2) for e in range(3)]
    assert len(set(ordens)) == 6


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 2**64), st.integers(0, 10**9))
def test_nada_passa_do_fim_do_arquivo_e_todo_corte_e_usado(contexto, sobra, semente, primeira):
    tamanho = 2 * contexto + sobra

    class Falsa:
        def __len__(self) -> int:
            return tamanho

    mistura = Mixture({"x": Falsa()}, {"x": 100}, contexto, semente)
    comecos = [mistura.locate(k)[1] for k in range(primeira, primeira + 200)]
    assert min(comecos) >= 0
    assert max(comecos) + contexto + 1 <= tamanho


def test_a_menor_fonte_possivel_so_tem_uma_janela_e_a_usa_em_todos_os_cortes(lojas):
    mistura = Mixture(lojas, {"c": 100}, 4, 5)
    assert mistura.windows == [1]
    assert {p for _, p in _de_onde(mistura, range(100))} == {0, 1, 2, 3}


# --- lotes, retomada e processos -------------------------------------------------------------------


def test_lote_igual_a_ler_a_mao(lojas):
    mistura = Mixture(lojas, {"a": 30, "b": 30, "grande": 40}, 4, 8)
    x, y = mistura.batch(range(17, 217))
    assert x.shape == y.shape == (200, 4)
    assert x.dtype == y.dtype == torch.int64
    assert x.is_contiguous()
    assert y.is_contiguous()
    for k, entrada, alvo in zip(range(17, 217), x, y, strict=True):
        fonte, comeco = mistura.locate(k)
        primeiro = {"a": 0, "b": 1, "grande": 3}[mistura.names[fonte]] * DEGRAU + comeco
        assert entrada.tolist() == list(range(primeiro, primeiro + 4))
        assert alvo.tolist() == list(range(primeiro + 1, primeiro + 5))


@given(st.integers(0, 10**7), st.integers(1, 30))
@settings(max_examples=40)
def test_a_amostra_nao_depende_das_anteriores(lojas, primeira, quantas):
    usada = Mixture(lojas, {"a": 60, "grande": 40}, 4, 8)
    usada.batch(range(57))
    nova = Mixture(lojas, {"a": 60, "grande": 40}, 4, 8)
    juntas, _ = usada.batch(range(primeira, primeira + quantas))
    uma_a_uma = [nova.batch(range(k, k + 1))[0] for k in reversed(range(primeira, primeira + quantas))]
    assert torch.equal(juntas, torch.cat(uma_a_uma[::-1]))


@pytest.mark.parametrize("processos", [1, 2, 4])
@pytest.mark.parametrize("lote", [4, 16])
def test_dividir_o_passo_entre_processos_da_as_mesmas_amostras_na_mesma_ordem(lojas, processos, lote):
    mistura = Mixture(lojas, {"a": 60, "grande": 40}, 4, 8)
    for passo in (0, 1, 7, 1000):
        inteiro, _ = mistura.batch(range(passo * lote, (passo + 1) * lote))
        partes = []
        for rank in range(processos):
            parte = World(rank, processos, torch.device("cpu")).share(lote)
            minha = Mixture(lojas, {"a": 60, "grande": 40}, 4, 8)
            partes.append(minha.batch(range(passo * lote + parte.start, passo * lote + parte.stop))[0])
        assert [len(p) for p in partes] == [lote // processos] * processos
        assert torch.equal(torch.cat(partes), inteiro)


def test_lote_vazio(lojas):
    x, y = Mixture(lojas, {"a": 100}, 4, 8).batch(range(5, 5))
    assert x.shape == y.shape == (0, 4)


def test_a_ordem_e_um_contrato(lojas):
    # Números deste próprio código (22/11): mudá-los faz um treino retomado ver outros dados, e um modelo publicado
    # deixar de se refazer. Qualquer mudança aqui tem de ser de propósito.
    assert [permute(i, 1000, 42) for i in range(6)] == [41, 641, 166, 892, 168, 261]
    mistura = Mixture(lojas, {"a": 60, "grande": 40}, 4, 2026)
    achadas = [mistura.locate(k) for k in (0, 1, 2, 99, 100, 12_345)]
    assert achadas == [(1, 7896), (1, 792), (0, 462), (0, 74), (0, 102), (1, 5500)]


# --- erros -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pesos", "contexto", "mensagem"),
    [
        ({"a": 60, "b": 39}, 4, r"pesos .*: esperado inteiros ≥ 0 que somem 100"),
        ({"a": 110, "b": -10}, 4, "esperado inteiros ≥ 0"),
        ({"a": 50.5, "b": 49.5}, 4, "esperado inteiros ≥ 0"),
        ({}, 4, "esperado inteiros ≥ 0"),
        ({"a": 50, "x": 50}, 4, r"fontes sem dados: x; há a, b, c, grande\."),
        ({"c": 100}, 5, "fonte 'c' com 8 tokens: precisa de ao menos 10 para janelas de 5"),
    ],
)
def test_erros_dizem_o_valor_e_o_remedio(lojas, pesos, contexto, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        Mixture(lojas, pesos, contexto, 1)


def test_fonte_de_peso_zero_nao_precisa_caber_nem_existir(lojas):
    mistura = Mixture(lojas, {"c": 0, "a": 100, "ausente": 0}, 50, 1)
    assert mistura.names == ["a"]
    assert {fonte for fonte, _ in _de_onde(mistura, range(100))} == {0}


def test_amostra_negativa(lojas):
    with pytest.raises(ValueError, match="amostra -1: esperado um inteiro ≥ 0"):
        Mixture(lojas, {"a": 100}, 4, 1).batch(range(-1, 3))


# --- janelas que se repetem


@pytest.mark.parametrize("percentual", [0, 1, 30, 100])
def test_em_cada_bloco_a_parte_pedida_se_repete(lojas, percentual):
    mistura = Mixture(lojas, {"a": 60, "grande": 40}, 4, 8, repeat=percentual)
    periodos = [mistura.period(k) for k in range(3 * BLOCK)]
    for inicio in range(0, 3 * BLOCK, BLOCK):
        assert sum(p > 0 for p in periodos[inicio : inicio + BLOCK]) == percentual
    assert set(periodos) <= {0, 1, 2}  # de T/16 (ao menos 1) a T/2


def test_a_janela_repetida_e_o_comeco_da_comum_e_as_outras_nao_mudam(lojas):
    comum = Mixture(lojas, {"a": 60, "grande": 40}, 4, 8)
    mistura = Mixture(lojas, {"a": 60, "grande": 40}, 4, 8, repeat=50)
    x, y = comum.batch(range(BLOCK))
    xr, yr = mistura.batch(range(BLOCK))
    for k in range(BLOCK):
        linha = [*x[k].tolist(), int(y[k, -1])]
        if periodo := mistura.period(k):
            linha = [linha[i % periodo] for i in range(len(linha))]
        assert xr[k].tolist() == linha[:-1]
        assert yr[k].tolist() == linha[1:]


@pytest.mark.parametrize("percentual", [-1, 101])
def test_percentual_de_repeticao_invalido(lojas, percentual):
    with pytest.raises(ValueError, match=f"repeat={percentual}"):
        Mixture(lojas, {"a": 100}, 4, 1, repeat=percentual)
