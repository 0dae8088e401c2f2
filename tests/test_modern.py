"""As peças modernas: cada uma contra o módulo do transformers com os mesmos pesos, e as propriedades que prometem."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modelos import um_fio  # noqa: F401

from llmdefinitions import GPTConfig
from llmdefinitions.model import MultiHeadAttention
from llmdefinitions.modern import (
    GroupedQueryAttention,
    MixtureOfExperts,
    ModernBlock,
    RMSNorm,
    SwiGLU,
    apply_rope,
    rope_frequencies,
)

# Mesmo cálculo com somas em outra ordem: em float32, somas de até 48 parcelas de ordem 1 erram perto de 1e-6.
TOLERANCIA = {"rtol": 1e-5, "atol": 1e-5}
EXATA = {"rtol": 1e-12, "atol": 1e-12}  # float64: só a ordem das somas muda
D, H, G, M, T = 32, 4, 2, 48, 11
BASE, EPS = 500.0, 1e-3  # longe dos padrões, para que esquecê-los apareça


def gerador(semente: int) -> torch.Generator:
    return torch.Generator().manual_seed(semente)


def sorteado(*formato: int, semente: int = 0, **opcoes) -> torch.Tensor:
    return torch.randn(formato, generator=gerador(semente), **opcoes)


def sacudido(modulo: torch.nn.Module) -> torch.nn.Module:
    """Pesos sorteados, inclusive as escalas, que nascem em 1, e o que o transformers deixa por preencher."""
    with torch.no_grad():
        for i, p in enumerate(modulo.parameters()):
            p.copy_((p.ndim == 1) + 0.3 * sorteado(*p.shape, semente=100 + i))
    return modulo.eval()


def configuracao(familia: str = "Llama", **mudancas):
    transformers = pytest.importorskip("transformers")
    return getattr(transformers, f"{familia}Config")(
        **{
            "hidden_size": D,
            "intermediate_size": M,
            "num_attention_heads": H,
            "num_key_value_heads": G,
            "head_dim": D // H,
            "num_hidden_layers": 1,
            "vocab_size": 7,
            "max_position_embeddings": 64,
            "rms_norm_eps": EPS,
            "rope_parameters": {"rope_type": "default", "rope_theta": BASE},
            "attn_implementation": "eager",
            **mudancas,
        }
    )


def mascara_causal(n: int = T) -> torch.Tensor:
    return torch.full((n, n), -torch.inf).triu(1)[None, None]


def angulos(cfg, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    return LlamaRotaryEmbedding(cfg)(x, torch.arange(x.shape[1])[None])


def pesos_do_bloco(oraculo: torch.nn.Module, prefixo: str = "") -> dict[str, torch.Tensor]:
    """Pesos do transformers com os nomes de `ModernBlock`, menos os dos especialistas."""
    nomes = {
        "input_layernorm.weight": "norm1.scale",
        "post_attention_layernorm.weight": "norm2.scale",
        "self_attn.q_proj.weight": "att.W_query.weight",
        "self_attn.k_proj.weight": "att.W_key.weight",
        "self_attn.v_proj.weight": "att.W_value.weight",
        "self_attn.o_proj.weight": "att.out_proj.weight",
        "mlp.gate_proj.weight": "ff.gate.weight",
        "mlp.up_proj.weight": "ff.up.weight",
        "mlp.down_proj.weight": "ff.down.weight",
    }
    return {nomes[nome]: p for nome, p in oraculo.state_dict(prefix=prefixo).items() if nome in nomes}


def pesos_dos_especialistas(oraculo: torch.nn.Module) -> dict[str, torch.Tensor]:
    p = dict(oraculo.state_dict())
    saida = {"router.weight": p["gate.weight"]}
    for i, (porta_e_subida, descida) in enumerate(zip(p["experts.gate_up_proj"], p["experts.down_proj"], strict=True)):
        porta, subida = porta_e_subida.chunk(2)
        saida |= {f"experts.{i}.gate.weight": porta, f"experts.{i}.up.weight": subida}
        saida[f"experts.{i}.down.weight"] = descida
    return saida


# --- cada peça contra o transformers


def test_rmsnorm_igual_a_do_llama():
    pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    oraculo, nossa = sacudido(LlamaRMSNorm(D, eps=EPS)), RMSNorm(D, eps=EPS)
    nossa.scale.data.copy_(oraculo.weight)
    x = 0.1 * sorteado(3, 5, D)  # a média dos quadrados, 0,01, é pequena o bastante para o eps pesar
    torch.testing.assert_close(nossa(x), oraculo(x), **TOLERANCIA)
    assert (RMSNorm(D)(x) - RMSNorm(D, eps=EPS)(x)).abs().max() > 0.01


def test_rmsnorm_igual_a_do_pytorch():
    x = sorteado(3, 5, D, dtype=torch.float64)
    nossa = sacudido(RMSNorm(D).double())
    torch.testing.assert_close(nossa(x), torch.nn.functional.rms_norm(x, (D,), nossa.scale, 1e-5), **EXATA)


@pytest.mark.parametrize("base", [BASE, 10_000.0, 1_000_000.0])
def test_rope_igual_a_do_llama(base):
    cfg = configuracao(rope_parameters={"rope_type": "default", "rope_theta": base})
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    torch.testing.assert_close(rope_frequencies(D // H, base), LlamaRotaryEmbedding(cfg).inv_freq, rtol=0, atol=0)
    q, k = sorteado(2, H, T, D // H), sorteado(2, G, T, D // H, semente=1)
    posicoes = torch.tensor([0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 63])
    cos, sin = LlamaRotaryEmbedding(cfg)(q, posicoes[None])
    esperadas = apply_rotary_pos_emb(q, k, cos, sin)
    torch.testing.assert_close((apply_rope(q, posicoes, base), apply_rope(k, posicoes, base)), esperadas, **TOLERANCIA)


def test_swiglu_igual_a_rede_do_llama():
    cfg = configuracao()
    from transformers.models.llama.modeling_llama import LlamaMLP

    oraculo, nossa = sacudido(LlamaMLP(cfg)), SwiGLU(D, M)
    nossa.load_state_dict({nome.replace("_proj", ""): p for nome, p in oraculo.state_dict().items()})
    x = sorteado(2, T, D)
    torch.testing.assert_close(nossa(x), oraculo(x), **TOLERANCIA)


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_gqa_igual_a_atencao_do_llama(n_kv_heads):
    cfg = configuracao(num_key_value_heads=n_kv_heads)
    from transformers.models.llama.modeling_llama import LlamaAttention

    oraculo, nossa = sacudido(LlamaAttention(cfg, 0)), GroupedQueryAttention(D, H, n_kv_heads, BASE)
    atencao = pesos_do_bloco(oraculo, "self_attn.")
    nossa.load_state_dict({nome.removeprefix("att."): p for nome, p in atencao.items()})
    x = sorteado(2, T, D)
    esperada, _ = oraculo(x, position_embeddings=angulos(cfg, x), attention_mask=mascara_causal())
    torch.testing.assert_close(nossa(x), esperada, **TOLERANCIA)


@pytest.mark.parametrize("familia", ["Llama", "Mistral"])
def test_bloco_igual_ao_do_llama_e_ao_do_mistral(familia):
    cfg = configuracao(familia)
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer
    from transformers.models.mistral.modeling_mistral import MistralDecoderLayer

    oraculo = sacudido({"Llama": LlamaDecoderLayer, "Mistral": MistralDecoderLayer}[familia](cfg, 0))
    nosso = ModernBlock(D, H, G, M, rope_base=BASE, eps=EPS)
    nosso.load_state_dict(pesos_do_bloco(oraculo))
    x = sorteado(2, T, D)
    esperada = oraculo(x, position_embeddings=angulos(configuracao(), x), attention_mask=mascara_causal())
    torch.testing.assert_close(nosso(x), esperada, **TOLERANCIA)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_especialistas_iguais_aos_do_mixtral(top_k):
    cfg = configuracao("Mixtral", num_local_experts=3, num_experts_per_tok=top_k)
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    oraculo, nossa = sacudido(MixtralSparseMoeBlock(cfg)), MixtureOfExperts(D, M, 3, top_k)
    nossa.load_state_dict(pesos_dos_especialistas(oraculo))
    x = sorteado(2, T, D)
    assert nossa.route(x)[1].unique().tolist() == [0, 1, 2]  # todos são usados por alguém
    torch.testing.assert_close(nossa(x), oraculo(x), **TOLERANCIA)


def test_bloco_com_especialistas_igual_ao_do_mixtral():
    cfg = configuracao("Mixtral", num_local_experts=4, num_experts_per_tok=2)
    from transformers.models.mixtral.modeling_mixtral import MixtralDecoderLayer

    oraculo = sacudido(MixtralDecoderLayer(cfg, 0))
    nosso = ModernBlock(D, H, G, M, rope_base=BASE, eps=EPS)
    nosso.ff = MixtureOfExperts(D, M, 4, 2)
    rede = {f"ff.{nome}": p for nome, p in pesos_dos_especialistas(oraculo.mlp).items()}
    nosso.load_state_dict(pesos_do_bloco(oraculo) | rede)
    x = sorteado(2, T, D)
    esperada = oraculo(x, position_embeddings=angulos(configuracao(), x), attention_mask=mascara_causal())
    torch.testing.assert_close(nosso(x), esperada, **TOLERANCIA)


# --- RMSNorm


@given(st.floats(0.01, 100), st.integers(0, 20))
@settings(max_examples=30)
def test_multiplicar_a_entrada_nao_muda_a_rmsnorm(fator, semente):
    x = sorteado(4, D, semente=semente, dtype=torch.float64)
    norma = RMSNorm(D, eps=0.0).double()
    torch.testing.assert_close(norma(fator * x), norma(x), **EXATA)
    torch.testing.assert_close(norma(x).square().mean(-1), torch.ones(4, dtype=torch.float64), **EXATA)


def test_somar_uma_constante_muda_a_rmsnorm():
    x = sorteado(4, D)
    assert (RMSNorm(D)(x + 3) - RMSNorm(D)(x)).abs().max() > 0.5  # a LayerNorm não mudaria


# --- RoPE


def test_frequencias_pela_formula():
    esperadas = [10_000 ** (-2 * i / 8) for i in range(4)]
    # Uma potência em float32 erra poucas unidades na última casa: 2⁻²³ ≈ 1,2e-7 cada.
    torch.testing.assert_close(rope_frequencies(8), torch.tensor(esperadas), rtol=5e-7, atol=0)


def test_rope_e_o_giro_complexo_do_artigo_com_as_dimensoes_em_outra_ordem():
    x = sorteado(2, H, T, 8)
    posicoes = torch.arange(T)
    giro = torch.polar(torch.ones(T, 4), torch.outer(posicoes.float(), rope_frequencies(8)))  # (T, K/2)
    artigo = torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (4, 2))) * giro)  # pares (2i, 2i + 1)
    nossa = apply_rope(x.unflatten(-1, (4, 2)).mT.flatten(-2), posicoes)  # pares (i, i + K/2)
    torch.testing.assert_close(nossa.unflatten(-1, (2, 4)).mT, artigo, **TOLERANCIA)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(0, 20))
@settings(max_examples=60)
def test_a_nota_so_depende_da_distancia(m, n, passo, semente):
    q, k = sorteado(2, 1, 1, 1, 16, semente=semente, dtype=torch.float64)

    def nota(a: int, b: int) -> float:
        return (apply_rope(q, torch.tensor([a])) * apply_rope(k, torch.tensor([b]))).sum().item()

    # Cada ângulo, até 1.000 radianos em float32, erra até 2⁻¹⁵ (meia unidade na última casa); são quatro giros.
    assert nota(m, n) == pytest.approx(nota(m + passo, n + passo), abs=4 * 2**-15 * (q.norm() * k.norm()).item())


def test_a_nota_muda_com_a_distancia():
    q = torch.ones(1, 1, 1, 16)
    notas = [(apply_rope(q, torch.tensor([0])) * apply_rope(q, torch.tensor([n]))).sum().item() for n in range(4)]
    esperadas = [2 * sum(math.cos(n * 10_000 ** (-i / 8)) for i in range(8)) for n in range(4)]
    assert notas == pytest.approx(esperadas, abs=1e-5)  # 16 parcelas de ordem 1 em float32
    assert len({round(nota, 2) for nota in notas}) == 4


def test_rope_nao_muda_o_comprimento_nem_a_posicao_zero():
    x = sorteado(2, H, T, 8)
    girado = apply_rope(x, torch.arange(T))
    torch.testing.assert_close(girado.norm(dim=-1), x.norm(dim=-1), **TOLERANCIA)
    assert torch.equal(girado[:, :, 0], x[:, :, 0])


def test_em_bfloat16_as_posicoes_vizinhas_continuam_distintas():
    x = torch.ones(1, 1, 2, 8)
    posicoes = torch.tensor([1000, 1001])  # o bfloat16 arredondaria as duas para 1000
    girado = apply_rope(x.bfloat16(), posicoes)
    assert girado.dtype is torch.bfloat16
    # Três arredondamentos de 2⁻⁹ sobre números até √2.
    torch.testing.assert_close(girado.float(), apply_rope(x, posicoes), rtol=0, atol=0.02)
    assert (girado[0, 0, 0] - girado[0, 0, 1]).abs().max() > 0.1


# --- GQA


def test_com_uma_chave_por_consulta_e_a_atencao_do_gpt2():
    gpt2 = sacudido(MultiHeadAttention(GPTConfig(7, T, D, H, 1, 0.0)))
    torch.nn.init.zeros_(gpt2.out_proj.bias)
    nossa = GroupedQueryAttention(D, H, H)
    nossa.load_state_dict({nome: p for nome, p in gpt2.state_dict().items() if nome != "out_proj.bias"})
    x = sorteado(2, T, D)
    torch.testing.assert_close(nossa(x), gpt2(x), **TOLERANCIA)


def test_com_menos_chaves_e_a_atencao_de_chaves_repetidas():
    nossa, cheia = GroupedQueryAttention(D, H, G, BASE), GroupedQueryAttention(D, H, H, BASE)
    p = nossa.state_dict()
    for nome in ("W_key.weight", "W_value.weight"):  # as consultas 0 e 1 usam a chave 0; as 2 e 3, a chave 1
        cabecas = p[nome].unflatten(0, (G, D // H))
        p[nome] = torch.cat([cabecas[0], cabecas[0], cabecas[1], cabecas[1]])
    cheia.load_state_dict(p)
    x = sorteado(2, T, D)
    torch.testing.assert_close(nossa(x), cheia(x), **TOLERANCIA)


@pytest.mark.parametrize("rope_base", [None, BASE])
def test_o_futuro_nao_muda_o_passado(rope_base):
    bloco = sacudido(ModernBlock(D, H, G, M, rope_base=rope_base))
    x = sorteado(2, T, D)
    antes = bloco(x)
    for t in range(T):
        trocado = x.clone()
        trocado[:, t] += 1
        depois = bloco(trocado)
        torch.testing.assert_close(depois[:, :t], antes[:, :t], **TOLERANCIA)
        assert (depois[:, t] - antes[:, t]).abs().max() > 0.1


def test_sem_rope_a_ordem_do_passado_nao_importa_e_com_ela_importa():
    x = sorteado(2, T, D)
    trocado = x[:, [*range(T - 2, -1, -1), T - 1]]  # o último continua no lugar
    for base, muda in ((None, False), (BASE, True)):
        atencao = sacudido(GroupedQueryAttention(D, H, G, base))
        diferenca = (atencao(x)[:, -1] - atencao(trocado)[:, -1]).abs().max().item()
        assert (diferenca > 0.1) if muda else (diferenca < 1e-5)


# --- mistura de especialistas


def test_um_especialista_so_e_a_propria_rede():
    mistura = MixtureOfExperts(D, M, 1, 1)
    x = sorteado(2, T, D)
    torch.testing.assert_close(mistura(x), mistura.experts[0](x), **TOLERANCIA)


def test_especialistas_iguais_dao_a_saida_de_um_deles():
    mistura = MixtureOfExperts(D, M, 4, 2)
    for outro in mistura.experts[1:]:
        outro.load_state_dict(mistura.experts[0].state_dict())
    x = sorteado(2, T, D)
    torch.testing.assert_close(mistura(x), mistura.experts[0](x), **TOLERANCIA)  # os pesos somam 1


def test_mistura_token_a_token_pela_definicao():
    mistura = sacudido(MixtureOfExperts(D, M, 5, 2))
    x = sorteado(T, D)
    for token, saida in zip(x, mistura(x), strict=True):
        notas = (mistura.router.weight @ token).tolist()
        melhores = sorted(range(5), key=lambda e: -notas[e])[:2]
        total = sum(math.exp(notas[e]) for e in melhores)
        esperada = sum(math.exp(notas[e]) / total * mistura.experts[e](token) for e in melhores)
        torch.testing.assert_close(saida, esperada, **TOLERANCIA)


def test_so_os_especialistas_escolhidos_recebem_gradiente():
    mistura = MixtureOfExperts(D, M, 3, 1)
    torch.nn.init.zeros_(mistura.router.weight)
    mistura.router.weight.data[1] = 1.0
    mistura(sorteado(T, D).abs()).sum().backward()  # entradas positivas: o 1 ganha sempre
    assert [bool(e.down.weight.grad.any()) for e in mistura.experts] == [False, True, False]


# --- gradientes e argumentos


@pytest.mark.parametrize("nome", ["rmsnorm", "swiglu", "gqa", "moe"])
def test_gradientes_conferem_com_diferencas_finitas(nome):
    torch.manual_seed(5)
    modulo = {
        "rmsnorm": lambda: RMSNorm(4),
        "swiglu": lambda: SwiGLU(4, 3),
        "gqa": lambda: GroupedQueryAttention(4, 2, 1, BASE),
        "moe": lambda: MixtureOfExperts(4, 3, 3, 2),
    }[nome]()
    nomes, valores = zip(*modulo.double().named_parameters(), strict=True)
    x = sorteado(2, 3, 4, dtype=torch.float64, requires_grad=True)

    def funcao(x, *parametros):
        return torch.func.functional_call(modulo, dict(zip(nomes, parametros, strict=True)), x)

    assert torch.autograd.gradcheck(funcao, (x, *valores))


@pytest.mark.parametrize(
    ("chamada", "mensagem"),
    [
        (lambda: rope_frequencies(7), "head_dim=7: esperado um par ≥ 2"),
        (lambda: rope_frequencies(0), "head_dim=0: esperado um par ≥ 2"),
        (lambda: rope_frequencies(8, 0.0), r"base=0\.0: esperado um número maior que zero"),
        (lambda: apply_rope(torch.ones(1, 1, 3, 8), torch.arange(2)), r"positions de formato \(2,\): esperado \(3,\)"),
        (lambda: apply_rope(torch.ones(1, 1, 3, 8), torch.zeros(1)), r"positions de formato \(1,\): esperado \(3,\)"),
        (lambda: GroupedQueryAttention(30, 4, 2), "emb_dim=30, n_heads=4, n_kv_heads=2: .*múltiplo"),
        (lambda: GroupedQueryAttention(32, 4, 3), "emb_dim=32, n_heads=4, n_kv_heads=3: .*múltiplo"),
        (lambda: GroupedQueryAttention(32, 4, 0), "n_kv_heads=0: esperados três inteiros ≥ 1"),
        (lambda: MixtureOfExperts(4, 4, 2, 3), "top_k=3 com n_experts=2: esperado 1 ≤ top_k ≤ n_experts"),
        (lambda: MixtureOfExperts(4, 4, 2, 0), "top_k=0 com n_experts=2"),
    ],
)
def test_argumento_invalido(chamada, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        chamada()
