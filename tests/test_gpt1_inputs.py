"""O ajuste fino do GPT-1: formatos da figura 1, estado que entra na cabeça, e L3 = L2 + λ·L1 contra contas à mão."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from modelos import CFG_PEQUENA, ids_sorteados, logits_de_referencia, modelo_pequeno, um_fio  # noqa: F401
from torch import Tensor

from llmdefinitions.gpt1_inputs import (
    GPT1Classifier,
    SpecialTokens,
    classification_input,
    entailment_input,
    hidden_states,
    multiple_choice_inputs,
    pad_inputs,
    similarity_inputs,
)

# Mesmo cálculo, somas em outra ordem: em float32, somas de dezenas de parcelas de ordem 1 erram perto de 1e-6.
TOLERANCIA = {"rtol": 1e-5, "atol": 1e-5}
V, D = CFG_PEQUENA["vocab_size"], CFG_PEQUENA["emb_dim"]
S, DELIM, E = V, V + 1, V + 2
ESPECIAIS = SpecialTokens(S, DELIM, E)
textos = st.lists(st.integers(0, V - 1), min_size=1, max_size=9)


def classificador(n_classes: int = 3, **mudancas) -> GPT1Classifier:
    """Em `eval()`, com a cabeça em escala 1, para que um erro nela apareça."""
    nosso = GPT1Classifier(modelo_pequeno(**mudancas), n_classes).eval()
    torch.nn.init.normal_(nosso.head.weight)
    torch.nn.init.normal_(nosso.head.bias)
    return nosso


def logits_a_mao(nosso: GPT1Classifier, sequencia: list[int]) -> tuple[Tensor, Tensor]:
    """Logits de linguagem `(T, V)` e estado final `(T, D)` de uma sequência, pela segunda implementação do GPT.

    Um modelo com a tabela de embeddings já aumentada e, como saída, a identidade ou a cabeça de linguagem.
    """
    maior = modelo_pequeno(vocab_size=V + 3).eval()
    p = nosso.model.state_dict()
    p["tok_emb.weight"] = torch.cat((p["tok_emb.weight"], nosso.special_emb.weight))
    cabeca = p.pop("out_head.weight")
    p["out_head.weight"] = torch.eye(V + 3, D)  # D < V + 3: as primeiras D saídas são o próprio estado
    maior.load_state_dict(p)
    estado = logits_de_referencia(maior, torch.tensor([sequencia]))[0, :, :D]
    return estado @ cabeca.T, estado


# --- formatos


def test_os_quatro_formatos_da_figura_1():
    assert SpecialTokens.after(V) == ESPECIAIS == (61, 62, 63)
    assert classification_input([5, 6], ESPECIAIS) == [S, 5, 6, E]
    assert entailment_input([5, 6], [7], ESPECIAIS) == [S, 5, 6, DELIM, 7, E]
    assert similarity_inputs([5, 6], [7], ESPECIAIS) == [[S, 5, 6, DELIM, 7, E], [S, 7, DELIM, 5, 6, E]]
    assert multiple_choice_inputs([5, 6], [[7], [8, 9], [7]], ESPECIAIS) == [
        [S, 5, 6, DELIM, 7, E],
        [S, 5, 6, DELIM, 8, 9, E],
        [S, 5, 6, DELIM, 7, E],
    ]


def test_os_ids_especiais_sao_os_que_se_pedir():
    outros = SpecialTokens(start=900, delim=7, extract=0)
    assert entailment_input([1, 2], [3], outros) == [900, 1, 2, 7, 3, 0]
    with pytest.raises(ValueError, match="nenhum dos especiais"):
        classification_input([1, 7], outros)


@given(textos, textos)
def test_dos_formatos_se_recuperam_os_textos(a, b):
    sequencia = entailment_input(a, b, ESPECIAIS)
    meio = sequencia.index(DELIM)
    assert (sequencia[0], sequencia[1:meio], sequencia[meio + 1 : -1], sequencia[-1]) == (S, a, b, E)
    assert similarity_inputs(a, b, ESPECIAIS) == similarity_inputs(b, a, ESPECIAIS)[::-1]


def test_enchimento_a_direita_com_o_token_de_extracao():
    assert pad_inputs([[S, 5, E], [S, 5, 6, 7, E]], ESPECIAIS).tolist() == [[S, 5, E, E, E], [S, 5, 6, 7, E]]


# --- estado final


@pytest.mark.parametrize("treino", [False, True])
def test_o_estado_e_o_que_entra_na_cabeca_de_linguagem(treino):
    modelo, ids = modelo_pequeno(drop_rate=0.3).train(treino), ids_sorteados(3, 12)
    vistos = []
    gancho = modelo.out_head.register_forward_pre_hook(lambda _, entrada: vistos.append(entrada[0]))
    torch.manual_seed(4)
    modelo(ids)
    gancho.remove()
    torch.manual_seed(4)  # as mesmas máscaras de dropout
    assert torch.equal(hidden_states(modelo, ids), vistos[0])


@pytest.mark.parametrize(
    ("ids", "mensagem"),
    [
        (torch.zeros(1, 13, dtype=torch.long), "contexto de 13 tokens é maior que 12"),
        (torch.tensor([[0, V]]), "ids de 0 a 61: esperados de 0 a 60"),
        (torch.tensor([[-1, 5]]), "ids de -1 a 5: esperados de 0 a 60"),
        (torch.tensor([1, 2]), r"idx de formato \(2,\): esperado \(B, T\)"),
    ],
)
def test_estado_de_entrada_recusada(ids, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        hidden_states(modelo_pequeno(), ids)


# --- cabeça


def test_classificacao_pela_definicao():
    nosso = classificador()
    sequencias = [classification_input(t, ESPECIAIS) for t in ([5, 6, 7], [8], [9, 10, 11, 12, 13])]
    esperados = [
        nosso.head.weight @ logits_a_mao(nosso, sequencia)[1][-1] + nosso.head.bias for sequencia in sequencias
    ]
    torch.testing.assert_close(nosso(pad_inputs(sequencias, ESPECIAIS)), torch.stack(esperados), **TOLERANCIA)


def test_semelhanca_soma_os_estados_das_duas_ordens():
    nosso = classificador(n_classes=2)
    pares = [([5, 6], [7]), ([8], [9, 10])]
    idx = pad_inputs([s for par in pares for s in similarity_inputs(*par, ESPECIAIS)], ESPECIAIS).view(2, 2, -1)
    esperados = []
    for par in pares:
        soma = sum(logits_a_mao(nosso, s)[1][-1] for s in similarity_inputs(*par, ESPECIAIS))
        esperados.append(nosso.head.weight @ soma + nosso.head.bias)
    torch.testing.assert_close(nosso(idx), torch.stack(esperados), **TOLERANCIA)
    torch.testing.assert_close(nosso(idx.flip(1)), nosso(idx), **TOLERANCIA)  # a ordem do par não importa


def test_multipla_escolha_da_uma_nota_a_cada_resposta():
    nosso = classificador(n_classes=1)
    sequencias = multiple_choice_inputs([5, 6], [[7], [8, 9], [10, 11, 12]], ESPECIAIS)
    esperadas = [nosso.head.weight[0] @ logits_a_mao(nosso, s)[1][-1] + nosso.head.bias[0] for s in sequencias]
    torch.testing.assert_close(
        nosso(pad_inputs(sequencias, ESPECIAIS)[None]), torch.stack(esperadas)[None], **TOLERANCIA
    )


def test_o_enchimento_nao_muda_a_saida_nem_as_perdas():
    nosso, rotulos = classificador(), torch.tensor([0, 2])
    curtas = pad_inputs([[S, 5, 6, E], [S, 7, 8, E]], ESPECIAIS)
    longas = torch.cat((curtas, torch.full((2, 3), E)), dim=1)
    torch.testing.assert_close(nosso(longas), nosso(curtas), **TOLERANCIA)
    torch.testing.assert_close(nosso.losses(longas, rotulos), nosso.losses(curtas, rotulos), **TOLERANCIA)


def test_o_modelo_nao_ganha_linhas_e_os_tokens_novos_nascem_na_escala_dos_outros():
    modelo = modelo_pequeno(init_std=0.02, tie_weights=True)
    nosso = GPT1Classifier(modelo, 2)
    assert nosso.model is modelo
    assert modelo.out_head.weight is modelo.tok_emb.weight
    assert modelo.tok_emb.weight.shape == (V, D)
    # Desvio de 3·32 normais: erro-padrão de 7%; quatro deles.
    assert nosso.special_emb.weight.std().item() == pytest.approx(0.02, rel=0.3)
    assert not nosso.head.bias.any()
    novos = sum(p.numel() for p in nosso.parameters()) - modelo.count_parameters()
    assert novos == 3 * D + 2 * D + 2


# --- as três perdas


def test_l1_e_l2_pelas_formulas():
    nosso = classificador()
    sequencias = [classification_input([5, 6, 7], ESPECIAIS), entailment_input([8], [9, 10], ESPECIAIS)]
    rotulos = [2, 0]
    de_linguagem, de_classe = [], []
    for sequencia, rotulo in zip(sequencias, rotulos, strict=True):
        logits, estado = logits_a_mao(nosso, sequencia)
        for t, alvo in enumerate(sequencia[1:]):
            if alvo < V:  # o texto, e nenhum dos tokens especiais
                de_linguagem.append((logits[t].logsumexp(0) - logits[t, alvo]).item())
        notas = nosso.head.weight @ estado[-1] + nosso.head.bias
        de_classe.append((notas.logsumexp(0) - notas[rotulo]).item())
    assert len(de_linguagem) == 6
    perdas = nosso.losses(pad_inputs(sequencias, ESPECIAIS), torch.tensor(rotulos), aux_weight=0.25)
    l1, l2 = sum(de_linguagem) / 6, sum(de_classe) / 2
    assert [p.item() for p in perdas] == pytest.approx([l1, l2, l2 + 0.25 * l1], rel=1e-5)
    assert nosso.losses(pad_inputs(sequencias, ESPECIAIS), torch.tensor(rotulos)).l3.item() == pytest.approx(
        l2 + 0.5 * l1, rel=1e-5
    )


def test_l2_da_multipla_escolha_e_a_softmax_entre_as_respostas():
    nosso = classificador(n_classes=1)
    idx = pad_inputs(multiple_choice_inputs([5, 6], [[7], [8, 9]], ESPECIAIS), ESPECIAIS)[None]
    notas = nosso(idx)[0].tolist()
    for certa in (0, 1):
        esperada = math.log(1 + math.exp(notas[1 - certa] - notas[certa]))
        # As notas, de ordem 10, têm em float32 erro de ordem 1e-6.
        assert nosso.losses(idx, torch.tensor([certa])).l2.item() == pytest.approx(esperada, abs=1e-5)


@pytest.mark.parametrize("aux_weight", [0.0, 0.5, 2.0])
def test_o_gradiente_de_l3_e_o_de_l2_mais_lambda_vezes_o_de_l1(aux_weight):
    nosso = classificador()
    perdas = nosso.losses(
        pad_inputs([[S, 5, 6, 7, E], [S, 8, E]], ESPECIAIS), torch.tensor([1, 0]), aux_weight=aux_weight
    )
    g1, g2, g3 = (
        torch.autograd.grad(perda, list(nosso.parameters()), retain_graph=True, materialize_grads=True)
        for perda in perdas
    )
    for a, b, c in zip(g1, g2, g3, strict=True):
        torch.testing.assert_close(c, b + aux_weight * a, **TOLERANCIA)
    nomes = [nome for nome, _ in nosso.named_parameters()]
    assert not g1[nomes.index("head.weight")].any()  # a linguagem não vê a cabeça de classes,
    assert not g2[nomes.index("model.out_head.weight")].any()  # nem a classificação a de linguagem
    assert all(g2[nomes.index("special_emb.weight")][i].any() for i in (0, 2))


def test_decora_oito_exemplos():
    torch.manual_seed(0)
    nosso = GPT1Classifier(modelo_pequeno(init_std=0.02, n_layers=1, drop_rate=0.0), 2, drop_rate=0.0)
    idx = pad_inputs([classification_input(t.tolist(), ESPECIAIS) for t in ids_sorteados(8, 6)], ESPECIAIS)
    rotulos = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    inicio = nosso.losses(idx, rotulos)
    assert inicio.l2.item() == pytest.approx(math.log(2), abs=0.1)  # cabeça pequena: quase meio a meio
    assert inicio.l1.item() == pytest.approx(math.log(V), abs=0.1)
    otimizador = torch.optim.AdamW(nosso.parameters(), lr=1e-2)
    for _ in range(60):
        otimizador.zero_grad()
        nosso.losses(idx, rotulos).l3.backward()
        otimizador.step()
    fim = nosso.losses(idx, rotulos)
    assert nosso(idx).argmax(-1).tolist() == rotulos.tolist()
    assert fim.l2.item() < 0.05
    assert fim.l1.item() < inicio.l1.item() / 2


# --- recusas


@pytest.mark.parametrize(
    ("chamada", "mensagem"),
    [
        (lambda: classification_input([], ESPECIAIS), r"trecho \[\]: esperado ao menos um id"),
        (lambda: entailment_input([5], [6, DELIM], ESPECIAIS), r"trecho \[6, 62\]: .* nenhum dos especiais"),
        (lambda: pad_inputs([], ESPECIAIS), "nenhuma sequência"),
        (lambda: GPT1Classifier(modelo_pequeno(), 0), "n_classes=0: esperado ≥ 2, ou 1 para múltipla escolha"),
        (lambda: classificador()(torch.tensor([[S, 5, E], [S, 5, 6]])), r"formato \(2, 3\): .*extração \(63\)"),
        (lambda: classificador()(torch.tensor([S, 5, E])), r"formato \(3,\): esperado \(B, T\) ou \(B, N, T\)"),
        (lambda: classificador()(torch.tensor([[S, 64, E]])), "ids de 61 a 64: esperados de 0 a 63"),
        (lambda: classificador()(torch.tensor([[S, -100, E]])), "ids de -100 a 63: esperados de 0 a 63"),
        (lambda: classificador()(torch.tensor([[S, *[5] * 11, E]])), "contexto de 13 tokens é maior que 12"),
        (lambda: classificador(n_classes=1)(torch.tensor([[S, 5, E]])), r"formato \(1, 3\): esperado \(B, N, T\),"),
    ],
)
def test_entrada_recusada(chamada, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        chamada()
