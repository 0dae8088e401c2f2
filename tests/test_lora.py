"""LoRA: começa igual ao modelo, só treina os adaptadores, funde e desfunde, e recusa o que estragaria a base."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from modelos import ids_sorteados, iguais, modelo_pequeno, pares, pesos, um_fio  # noqa: F401
from torch import nn

from llmdefinitions import generate
from llmdefinitions.lora import (
    BLOCK_TARGETS,
    SCALINGS,
    LinearWithDoRA,
    LinearWithLoRA,
    LoRALayer,
    apply_lora,
    count_trainable,
    load_lora_state_dict,
    lora_modules,
    lora_state_dict,
    merge_lora,
    unload_lora,
    unmerge_lora,
)

# As mesmas contas em float32, em outra ordem.
PERTO = {"rtol": 1e-5, "atol": 1e-5}


def _treinado(modelo, passos=4):
    """Alguns passos de AdamW: B deixa de ser zero."""
    otimizador = torch.optim.AdamW([p for p in modelo.parameters() if p.requires_grad], lr=0.05)
    modelo.train()
    for x, y in pares(passos):
        otimizador.zero_grad()
        F.cross_entropy(modelo(x.unsqueeze(0)).flatten(0, 1), y).backward()
        otimizador.step()
    return modelo.eval()


@pytest.fixture(params=[False, True], ids=["lora", "dora"])
def adaptado(request):
    return _treinado(apply_lora(modelo_pequeno(), 4, 2.0, dora=request.param))


# --- a camada


def test_a_camada_e_a_do_livro_de_origem():
    torch.manual_seed(7)
    camada = LoRALayer(6, 5, rank=4, alpha=3)
    torch.manual_seed(7)
    assert torch.equal(camada.A, torch.randn(6, 4) / 2)  # desvio 1/√r, e a mesma ordem de sorteio
    assert torch.equal(camada.B, torch.zeros(4, 5))
    nn.init.normal_(camada.B)
    x = torch.randn(2, 3, 6)
    torch.testing.assert_close(camada(x), 3 * (x @ (camada.A @ camada.B)), **PERTO)
    torch.testing.assert_close(camada(x), x @ camada.delta().T, **PERTO)


@settings(max_examples=30)
@given(st.integers(1, 4), st.floats(0.1, 8), st.sampled_from(list(SCALINGS)))
def test_o_posto_da_correcao_e_a_escala(posto, alfa, escala):
    camada = LoRALayer(8, 4, posto, alfa, scaling=escala)
    nn.init.normal_(camada.B)
    assert torch.linalg.matrix_rank(camada.delta()) <= posto
    esperada = {"alpha": alfa, "alpha/r": alfa / posto, "alpha/sqrt(r)": alfa / posto**0.5}[escala]
    torch.testing.assert_close(camada.delta().T, esperada * camada.A @ camada.B, **PERTO)


@pytest.mark.parametrize(
    ("argumentos", "opcoes", "mensagem"),
    [
        ((8, 4, 0, 1), {}, "rank=0: esperado de 1 a 4"),
        ((8, 4, 5, 1), {}, "rank=5: esperado de 1 a 4"),
        ((8, 4, 2, 0), {}, "alpha=0"),
        ((8, 4, 2, 1), {"dropout": 1.0}, r"dropout=1\.0"),
        ((8, 4, 2, 1), {"scaling": "r"}, "scaling='r': use um de alpha, alpha/r"),
    ],
)
def test_valores_que_nao_servem(argumentos, opcoes, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        LoRALayer(*argumentos, **opcoes)


def test_so_embrulha_camadas_lineares_uma_vez():
    with pytest.raises(TypeError, match="Embedding não é uma camada linear"):
        LinearWithLoRA(nn.Embedding(3, 4), 2, 1)
    with pytest.raises(ValueError, match="a camada já tem LoRA"):
        LinearWithLoRA(LinearWithLoRA(nn.Linear(4, 4), 2, 1), 2, 1)


def test_dropout_so_na_correcao_e_so_no_treino():
    camada = LinearWithLoRA(nn.Linear(8, 8), 4, 1.0, dropout=0.5)
    nn.init.normal_(camada.lora.B)
    x = torch.randn(5, 8)
    assert torch.equal(camada.eval()(x), camada(x))
    assert not torch.equal(camada.train()(x), camada(x))


@pytest.mark.parametrize("formato", [(8,), (5, 8), (2, 3, 8)])
def test_a_correcao_somada_na_mesma_operacao_e_a_soma_das_duas(formato):
    camada = LinearWithLoRA(nn.Linear(8, 6), 4, 3.0)
    nn.init.normal_(camada.lora.B)
    x = torch.randn(formato, requires_grad=True)
    partes = camada.linear(x) + camada.lora(x)
    torch.testing.assert_close(camada(x), partes, **PERTO)
    peso = torch.randn_like(partes)
    for junto, separado in zip(
        *(torch.autograd.grad(y, (x, *camada.lora.parameters()), peso) for y in (camada(x), partes)), strict=True
    ):
        torch.testing.assert_close(junto, separado, **PERTO)


# --- no modelo


@pytest.mark.parametrize("dora", [False, True])
def test_comeca_identico_ao_modelo(dora):
    modelo, ids = modelo_pequeno().eval(), ids_sorteados(2, 9)
    antes = modelo(ids)
    depois = apply_lora(modelo, 4, 8.0, dora=dora)(ids)
    if dora:  # W·m/‖W‖ com m = ‖W‖: volta a W a menos de um arredondamento por peso
        torch.testing.assert_close(depois, antes, **PERTO)
    else:
        assert torch.equal(depois, antes)


def test_so_os_adaptadores_tem_gradiente_e_a_base_nao_muda_um_bit(adaptado):
    original = pesos(modelo_pequeno())
    agora = {nome.replace(".linear.", "."): t for nome, t in pesos(adaptado).items()}
    assert iguais({nome: agora[nome] for nome in original}, original)
    for nome, p in adaptado.named_parameters():
        assert p.requires_grad == (".lora." in nome or nome.endswith("magnitude"))
        assert (p.grad is not None) == p.requires_grad


def test_o_treino_mudou_a_saida(adaptado):
    ids = ids_sorteados(1, 9)
    assert not torch.allclose(adaptado(ids), modelo_pequeno().eval()(ids), atol=1e-2)


def test_aplicar_duas_vezes_e_recusado_e_nada_muda():
    modelo = apply_lora(modelo_pequeno(), 2, 1)
    antes = pesos(modelo)
    with pytest.raises(ValueError, match="o modelo já tem LoRA"):
        apply_lora(modelo, 2, 1)
    assert iguais(pesos(modelo), antes)


@pytest.mark.parametrize("alvos", [["W_query", "nada"], ["query"], []])
def test_alvo_que_nao_ha_e_recusado_antes_de_mexer(alvos):
    modelo = modelo_pequeno()
    with pytest.raises(ValueError, match=r"não há camada linear com esse nome; há out_head, trf_blocks\.0\.att\.W_key"):
        apply_lora(modelo, 2, 1, targets=alvos)
    assert all(p.requires_grad for p in modelo.parameters())


def test_alvos_escolhidos():
    modelo = apply_lora(modelo_pequeno(), 2, 1, targets=["W_value", "trf_blocks.1.ff.layers.2", "out_head"])
    nomes = [nome for nome, _ in lora_modules(modelo)]
    assert nomes == ["trf_blocks.0.att.W_value", "trf_blocks.1.att.W_value", "trf_blocks.1.ff.layers.2", "out_head"]


def test_conta_os_parametros():
    modelo = apply_lora(modelo_pequeno(), 3, 1)
    largura = 32
    por_bloco = 3 * (4 * 2 * largura + 2 * (largura + 4 * largura))  # 4 de D×D e 2 de D×4D, r·(entrada + saída) cada
    assert count_trainable(modelo) == (2 * por_bloco, modelo_pequeno().count_parameters() + 2 * por_bloco)


# --- fundir


def test_fundir_da_a_mesma_saida_e_desfundir_devolve_os_bits(adaptado):
    ids, antes = ids_sorteados(2, 9), pesos(adaptado)
    saida = adaptado(ids)
    for _ in range(2):  # repetir não muda nada
        merge_lora(adaptado)
        torch.testing.assert_close(adaptado(ids), saida, **PERTO)
    assert not iguais(pesos(adaptado), antes)
    for _ in range(2):
        unmerge_lora(adaptado)
        assert iguais(pesos(adaptado), antes)
    assert torch.equal(adaptado(ids), saida)


def test_tirar_o_lora_deixa_um_modelo_comum(adaptado):
    ids = ids_sorteados(1, 5)
    saida, texto = adaptado(ids), generate(adaptado, ids, 6, 12)
    comum = unload_lora(adaptado)
    assert pesos(comum).keys() == pesos(modelo_pequeno()).keys()
    torch.testing.assert_close(comum(ids), saida, **PERTO)
    assert torch.equal(generate(comum, ids, 6, 12), texto)
    apply_lora(comum, 2, 1)  # e pode receber outro


def test_tirar_sem_fundir_devolve_a_base(adaptado):
    merge_lora(adaptado)
    assert iguais(pesos(unload_lora(adaptado, merge=False)), pesos(modelo_pequeno()))


def test_saida_amarrada_nao_se_funde():
    modelo = apply_lora(modelo_pequeno(tie_weights=True, init_std=0.1), 2, 1, targets=["W_key", "out_head"])
    antes = pesos(modelo)
    with pytest.raises(ValueError, match=r"out_head: o peso é também \['tok_emb.weight', 'out_head.linear.weight'\]"):
        merge_lora(modelo)
    assert iguais(pesos(modelo), antes)


@pytest.mark.parametrize("funcao", [merge_lora, unmerge_lora, unload_lora, lora_state_dict])
def test_sem_lora(funcao):
    with pytest.raises(ValueError, match="não tem LoRA: chame apply_lora"):
        funcao(modelo_pequeno())


# --- DoRA


def test_dora_da_o_peso_da_formula():
    torch.manual_seed(0)
    camada = LinearWithDoRA(nn.Linear(6, 5), 3, 2.0)
    nn.init.normal_(camada.lora.B)
    nn.init.normal_(camada.magnitude)
    w = (camada.linear.weight + camada.lora.delta()).detach()
    esperado = camada.magnitude.detach()[:, None] * w / w.square().sum(1, keepdim=True).sqrt()
    x = torch.randn(4, 6)
    torch.testing.assert_close(camada(x), F.linear(x, esperado, camada.linear.bias), **PERTO)
    torch.testing.assert_close(camada.corrected_weight(), esperado, **PERTO)


# --- levar a outro modelo


def test_o_estado_e_so_o_adaptador_e_serve_a_outro_modelo_igual(adaptado):
    estado = {nome: t.clone() for nome, t in lora_state_dict(adaptado).items()}
    partes = {nome.rsplit(".", 1)[1] for nome in estado}
    dora = isinstance(next(lora_modules(adaptado))[1], LinearWithDoRA)
    assert partes == ({"A", "B", "magnitude"} if dora else {"A", "B"})
    outro = apply_lora(modelo_pequeno(), 4, 2.0, dora=dora).eval()
    load_lora_state_dict(outro, estado)
    ids = ids_sorteados(2, 9)
    assert torch.equal(outro(ids), adaptado(ids))


@pytest.mark.parametrize(
    ("opcoes", "mensagem"),
    [({"rank": 3}, r"o adaptador tem \(32, 4\) e o modelo, \(32, 3\)"), ({"targets": ["W_key"]}, "não é deste modelo")],
)
def test_estado_de_outro_modelo(opcoes, mensagem):
    estado = lora_state_dict(apply_lora(modelo_pequeno(), 4, 2.0))
    outro = apply_lora(modelo_pequeno(), **{"rank": 4, "alpha": 2.0, "targets": BLOCK_TARGETS, **opcoes})
    antes = pesos(outro)
    with pytest.raises(ValueError, match=mensagem):
        load_lora_state_dict(outro, estado)
    assert iguais(pesos(outro), antes)
