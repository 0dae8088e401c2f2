"""O modelo: números do contrato, uma segunda implementação, o GPT-2 do transformers e diferenças finitas."""

import math

import pytest
import torch
from modelos import (
    CFG_PEQUENA,
    atencao_de_referencia,
    ids_sorteados,
    logits_de_referencia,
    modelo_pequeno,
    normaliza,
    pesos,
    um_fio,  # noqa: F401
)
from torch import nn

from llmdefinitions import GPT_CONFIG_124M, GPTConfig, GPTModel, calc_loss_batch
from llmdefinitions.gpt2_format import config_to_gpt2, to_gpt2_state
from llmdefinitions.model import FeedForward, LayerNorm, MultiHeadAttention

ENTRADAS = torch.tensor([[16833, 3626, 6100], [40, 1107, 588]])
# Mesmo cálculo, somas em outra ordem: o erro relativo de uma soma em float32 de algumas centenas de parcelas fica
# perto de 1e-6, e os logits destes modelos são de ordem 1.
TOLERANCIA = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def gpt_124m() -> GPTModel:
    torch.manual_seed(123)
    return GPTModel(GPT_CONFIG_124M).eval()


# --- números do contrato (medidos na implementação de origem com torch 2.13.0)


def test_contrato_numero_de_parametros(gpt_124m):
    assert gpt_124m.count_parameters() == 162_419_712


def test_contrato_tokens_mais_provaveis(gpt_124m):
    with torch.no_grad():
        assert gpt_124m(ENTRADAS).argmax(-1).tolist() == [[16657, 339, 42826], [49906, 29669, 41751]]


@pytest.mark.parametrize(
    ("alvos", "perda", "perplexidade"),
    [
        ([[3626, 6100, 345], [588, 428, 11311]], 10.7722, 47678.9),
        ([[3626, 6100, 345], [1107, 588, 11311]], 10.7940, 48725.9),
    ],
)
def test_contrato_perdas_e_perplexidades(gpt_124m, alvos, perda, perplexidade):
    with torch.no_grad():
        medida = calc_loss_batch(ENTRADAS, torch.tensor(alvos), gpt_124m, "cpu").item()
    assert round(medida, 4) == perda
    assert math.exp(medida) == pytest.approx(perplexidade, abs=0.1)


# --- oráculos independentes


@pytest.mark.parametrize("mudancas", [{}, {"qkv_bias": True}, {"tie_weights": True, "init_std": 0.02}])
def test_logits_iguais_aos_da_segunda_implementacao(mudancas):
    modelo = modelo_pequeno(**mudancas).eval()
    ids = ids_sorteados(3, 12)
    torch.testing.assert_close(modelo(ids), logits_de_referencia(modelo, ids), **TOLERANCIA)


def gpt2_do_transformers(modelo: GPTModel) -> nn.Module:
    """`GPT2LMHeadModel` com os pesos de `modelo`."""
    transformers = pytest.importorskip("transformers")
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config_to_gpt2(modelo.cfg, eos_id=0)))
    gpt2.load_state_dict(to_gpt2_state(modelo))
    return gpt2.eval()


@pytest.mark.parametrize(
    "mudancas", [{"qkv_bias": True}, {"qkv_bias": False}, {"qkv_bias": True, "tie_weights": True, "init_std": 0.02}]
)
def test_logits_iguais_aos_do_gpt2_do_transformers(mudancas):
    modelo = modelo_pequeno(**mudancas).eval()
    with torch.no_grad():  # normalizações e vieses diferentes do valor inicial, senão trocá-los não mudaria nada
        for nome, p in modelo.named_parameters():
            if p.ndim == 1:
                p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(len(nome))))
    ids = ids_sorteados(3, 12)
    torch.testing.assert_close(modelo(ids), gpt2_do_transformers(modelo)(ids).logits, **TOLERANCIA)


@pytest.mark.parametrize("n_heads", [1, 2, 8])
def test_atencao_igual_a_definicao(n_heads):
    torch.manual_seed(3)
    atencao = MultiHeadAttention(GPTConfig(9, 16, 24 if n_heads < 8 else 32, n_heads, 1, 0.0, True)).double()
    x = torch.randn(2, 7, atencao.out_proj.in_features, dtype=torch.float64)
    esperado = atencao_de_referencia(x, dict(atencao.state_dict()), "", n_heads)
    torch.testing.assert_close(atencao(x), esperado, rtol=1e-12, atol=1e-12)  # float64: só a ordem das somas muda


def test_layernorm_igual_a_definicao():
    torch.manual_seed(4)
    norma = LayerNorm(10).double()
    nn.init.normal_(norma.scale)
    nn.init.normal_(norma.shift)
    x = 5 + 3 * torch.randn(2, 3, 10, dtype=torch.float64)
    torch.testing.assert_close(norma(x), normaliza(x, norma.scale, norma.shift), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("camada", ["layernorm", "atencao", "rede"])
def test_gradientes_conferem_com_diferencas_finitas(camada):
    torch.manual_seed(5)
    cfg = GPTConfig(5, 4, 4, 2, 1, 0.0, True)
    modulo = {"layernorm": LayerNorm(4), "atencao": MultiHeadAttention(cfg), "rede": FeedForward(cfg)}[camada].double()
    nomes, valores = zip(*modulo.named_parameters(), strict=True)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)

    def funcao(x, *parametros):
        return torch.func.functional_call(modulo, dict(zip(nomes, parametros, strict=True)), x)

    assert torch.autograd.gradcheck(funcao, (x, *valores))


def test_gradiente_do_modelo_inteiro_confere_com_diferencas_finitas():
    modelo = modelo_pequeno(vocab_size=11, emb_dim=8, n_heads=2, drop_rate=0.0).double()
    x, y = ids_sorteados(2, 6, vocab_size=11), ids_sorteados(2, 6, semente=9, vocab_size=11)
    calc_loss_batch(x, y, modelo, "cpu").backward()
    direcao = [torch.randn_like(p) for p in modelo.parameters()]
    analitica = sum((p.grad * d).sum() for p, d in zip(modelo.parameters(), direcao, strict=True))
    passo, perdas = 1e-5, []
    with torch.no_grad():
        for sinal in (1, -2):
            for p, d in zip(modelo.parameters(), direcao, strict=True):
                p.add_(d, alpha=sinal * passo)
            perdas.append(calc_loss_batch(x, y, modelo, "cpu"))
    # Diferença central: erro de ordem passo² ~ 1e-10 e arredondamento eps/passo ~ 1e-11, com folga.
    torch.testing.assert_close((perdas[0] - perdas[1]) / (2 * passo), analitica.detach(), rtol=1e-7, atol=1e-8)


# --- causalidade e dropout


def test_o_futuro_nao_muda_o_passado():
    modelo = modelo_pequeno().eval()
    ids = ids_sorteados(2, 12)
    antes = modelo(ids)
    for t in range(12):
        trocado = ids.clone()
        trocado[:, t] = (trocado[:, t] + 1) % CFG_PEQUENA["vocab_size"]
        depois = modelo(trocado)
        torch.testing.assert_close(depois[:, :t], antes[:, :t], rtol=0, atol=1e-6)
        assert (depois[:, t] - antes[:, t]).abs().amax() > 0.1  # e o presente muda, senão o teste não veria nada


def test_uma_linha_do_lote_nao_muda_a_outra():
    modelo = modelo_pequeno().eval()
    ids = ids_sorteados(4, 12)
    torch.testing.assert_close(modelo(ids)[1:2], modelo(ids[1:2]), **TOLERANCIA)


@pytest.mark.parametrize("drop_rate", [0.1, 0.5])
def test_mascaras_de_dropout_na_ordem_da_origem(drop_rate):
    modelo = modelo_pequeno(drop_rate=drop_rate).train()
    ids = ids_sorteados(2, 12)
    torch.manual_seed(99)
    saida = modelo(ids)
    estado = torch.get_rng_state()
    torch.manual_seed(99)
    esperada = logits_de_referencia(modelo, ids, treino=True)
    torch.testing.assert_close(saida, esperada, **TOLERANCIA)
    assert torch.equal(estado, torch.get_rng_state())  # e o gerador termina no mesmo ponto
    assert not torch.allclose(saida, modelo(ids))


def test_sem_dropout_o_gerador_nao_e_consumido():
    modelo = modelo_pequeno(drop_rate=0.0).train()
    antes = torch.get_rng_state()
    modelo(ids_sorteados(2, 12))
    assert torch.equal(antes, torch.get_rng_state())


# --- cache, tipos e opções


def test_cache_em_pedacos_da_os_mesmos_logits():
    modelo = modelo_pequeno().eval()
    ids = ids_sorteados(3, 12)
    with torch.no_grad():
        inteiro, cache = modelo(ids), modelo.new_cache(3)
        for pedaco in ids.split([4, 1, 1, 5, 1], dim=1):
            inicio = cache.length
            saida = modelo(pedaco, cache=cache)
            torch.testing.assert_close(saida, inteiro[:, inicio : cache.length], **TOLERANCIA)
    assert cache.length == 12
    with pytest.raises(ValueError, match="contexto de 13 tokens é maior que 12"):
        modelo(ids[:, :1], cache=cache)


def test_cache_com_gradientes_ligados_e_recusado_antes_de_gravar():
    modelo, ids = modelo_pequeno().eval(), ids_sorteados(2, 5)
    cache = modelo.new_cache(2)
    cache.stored.zero_()
    with pytest.raises(ValueError, match=r"cache KV com gradientes ligados: .*torch\.no_grad\(\)"):
        modelo(ids, cache=cache)
    assert cache.length == 0
    assert not cache.stored.any()
    # O que a recusa poupa ao leitor: escrever no lugar o que a passagem de volta ainda vai ler.
    pesos, guardado = torch.ones(2, requires_grad=True), torch.empty(2, 2)
    guardado[0] = pesos
    soma = guardado[:1].square().sum()
    guardado[1] = pesos
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        soma.backward()


@pytest.mark.parametrize("nome", ["W_key", "W_value"])
def test_basta_uma_projecao_treinavel_para_o_cache_ser_recusado(nome):
    modelo = modelo_pequeno().eval().requires_grad_(False)
    modelo(ids_sorteados(1, 3), cache=modelo.new_cache(1))  # tudo congelado: não há gradiente a perder
    getattr(modelo.trf_blocks[0].att, nome).requires_grad_(True)
    with pytest.raises(ValueError, match="cache KV com gradientes ligados"):
        modelo(ids_sorteados(1, 3), cache=modelo.new_cache(1))


def test_last_only_e_a_ultima_posicao():
    modelo = modelo_pequeno().eval()
    ids = ids_sorteados(2, 5)
    torch.testing.assert_close(modelo(ids, last_only=True), modelo(ids)[:, -1:], **TOLERANCIA)


def test_int32_vale_o_mesmo_que_int64():
    modelo = modelo_pequeno().eval()
    ids = ids_sorteados(2, 5)
    assert torch.equal(modelo(ids.int()), modelo(ids))


def test_pesos_compartilhados_contam_uma_vez():
    separado, amarrado = modelo_pequeno(init_std=0.02), modelo_pequeno(init_std=0.02, tie_weights=True)
    assert separado.count_parameters() - amarrado.count_parameters() == 61 * 32
    assert amarrado.out_head.weight is amarrado.tok_emb.weight


def test_inicializacao_do_gpt2():
    modelo = modelo_pequeno(emb_dim=64, vocab_size=200, n_layers=8, init_std=0.02)
    for nome, p in modelo.named_parameters():
        if nome.endswith(("bias", "shift")):
            assert not p.any(), nome
        elif nome.endswith("scale"):
            assert (p == 1).all(), nome
        else:
            esperado = 0.02 / 4 if nome.endswith(("att.out_proj.weight", "ff.layers.2.weight")) else 0.02  # √(2·8) = 4
            n = p.numel()
            # O desvio estimado de n amostras normais tem erro-padrão σ/√(2n): cinco deles.
            assert p.std().item() == pytest.approx(esperado, rel=5 / (2 * n) ** 0.5), nome


def test_mesma_semente_mesmos_pesos():
    a, b, c = (pesos(modelo_pequeno(semente)) for semente in (7, 7, 8))
    assert all(torch.equal(a[nome], b[nome]) for nome in a)
    assert not torch.equal(a["tok_emb.weight"], c["tok_emb.weight"])


def test_a_criacao_consome_o_gerador_na_ordem_da_origem():
    modelo = modelo_pequeno(5)
    torch.manual_seed(5)
    d, v, t = 32, 61, 12
    ordem = [("tok_emb", nn.Embedding(v, d)), ("pos_emb", nn.Embedding(t, d))]
    for i in range(2):
        b = f"trf_blocks.{i}."
        ordem += [(f"{b}att.W_{nome}", nn.Linear(d, d, bias=False)) for nome in ("query", "key", "value")]
        ordem += [(f"{b}att.out_proj", nn.Linear(d, d)), (f"{b}ff.layers.0", nn.Linear(d, 4 * d))]
        ordem += [(f"{b}ff.layers.2", nn.Linear(4 * d, d))]
    ordem += [("out_head", nn.Linear(d, v, bias=False))]
    for nome, camada in ordem:
        assert torch.equal(modelo.get_submodule(nome).weight, camada.weight), nome


# --- entradas recusadas


def test_defeito_entrada_maior_que_o_contexto_dava_index_out_of_range():
    modelo = modelo_pequeno()
    with pytest.raises(ValueError, match="contexto de 13 tokens é maior que 12: corte a entrada") as erro:
        modelo(ids_sorteados(1, 13))
    assert "index out of range" not in str(erro.value)
    assert modelo(ids_sorteados(1, 12)).shape == (1, 12, 61)


@pytest.mark.parametrize("ruim", [61, 10**6, -1])
def test_id_fora_do_vocabulario(ruim):
    ids = ids_sorteados(2, 5)
    ids[1, 3] = ruim
    with pytest.raises(ValueError, match=f"id de token {ruim} fora do vocabulário de 61"):
        modelo_pequeno()(ids)


@pytest.mark.parametrize(
    ("ids", "recebido"),
    [
        (torch.tensor([1, 2, 3]), r"entrada \(3,\) de torch.int64"),
        (torch.zeros(1, 2, 3, dtype=torch.long), r"entrada \(1, 2, 3\) de torch.int64"),
        (torch.zeros(2, 0, dtype=torch.long), r"entrada \(2, 0\) de torch.int64"),
        (torch.zeros(1, 3), r"entrada \(1, 3\) de torch.float32"),
        (torch.ones(1, 3, dtype=torch.bool), r"entrada \(1, 3\) de torch.bool"),
    ],
)
def test_formato_ou_tipo_errado(ids, recebido):
    with pytest.raises(ValueError, match=recebido + r": esperado ids inteiros \(B, T\) com T ≥ 1"):
        modelo_pequeno()(ids)
