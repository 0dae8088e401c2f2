"""O laço de ajuste fino: igual ao escrito à mão, repetível, honesto com o tempo, e que recusa o que não serve."""

import pytest
import torch
import torch.nn.functional as F
from modelos import carregador, iguais, modelo_pequeno, pesos, um_fio  # noqa: F401

from llmdefinitions.config import IGNORE_INDEX
from llmdefinitions.finetuning import FineTuneLog, count_targets, fine_tune, next_token_loss
from llmdefinitions.packing import pack_batch
from llmdefinitions.training import build_adamw, calc_loss_batch, warmup_cosine


class Relogio:
    """Um relógio que só anda quando mandam."""

    def __init__(self) -> None:
        self.agora = 0.0

    def __call__(self) -> float:
        return self.agora


@pytest.fixture
def relogio():
    return Relogio()


def perda_lenta(relogio: Relogio, segundos: float):
    def perda(modelo, lote):
        relogio.agora += segundos
        return next_token_loss(modelo, lote)

    return perda


def ajusta(semente=0, **opcoes):
    modelo = modelo_pequeno(3)
    torch.manual_seed(semente)
    registro = fine_tune(modelo, carregador(6), next_token_loss, **{"steps": 7, "lr": 1e-2, **opcoes})
    return modelo, registro


# --- a conta


def test_igual_ao_laco_escrito_a_mao():
    modelo, registro = ajusta(warmup_steps=2, min_lr_ratio=0.1, weight_decay=0.1)
    outro = modelo_pequeno(3)
    torch.manual_seed(0)
    otimizador = build_adamw(outro, 1e-2, 0.1)
    passo, perdas, taxas = 0, [], []
    while passo < 7:
        for x, y in carregador(6):
            if passo == 7:
                break
            taxas.append(1e-2 * warmup_cosine(passo, 7, 2, 0.1))
            for grupo in otimizador.param_groups:
                grupo["lr"] = taxas[-1]
            perda = calc_loss_batch(x, y, outro.train(), "cpu")
            otimizador.zero_grad()
            perda.backward()
            torch.nn.utils.clip_grad_norm_(outro.parameters(), 1.0)
            otimizador.step()
            perdas.append(perda.item())
            passo += 1
    # A saída recebe as posições numa lista só, e a multiplicação em float32 soma noutra ordem.
    assert registro.losses == pytest.approx(perdas, rel=1e-5)
    assert registro.lr == taxas
    for nome, peso in pesos(outro).items():
        torch.testing.assert_close(dict(modelo.named_parameters())[nome].detach(), peso, rtol=1e-3, atol=1e-5)
    assert not modelo.training


def test_com_a_mesma_semente_os_mesmos_bits():
    (a, registro), (b, _), (c, _) = ajusta(4), ajusta(4), ajusta(5)
    assert iguais(pesos(a), pesos(b))
    assert not iguais(pesos(a), pesos(c))
    assert registro.steps == 7
    assert registro.stopped == "passos"


def test_so_o_que_nao_esta_congelado_muda():
    modelo = modelo_pequeno(3)
    modelo.requires_grad_(False)
    modelo.trf_blocks[1].requires_grad_(True)
    antes = pesos(modelo)
    fine_tune(modelo, carregador(4), next_token_loss, steps=2, lr=1e-2, weight_decay=0.1)
    mudaram = {nome for nome, peso in pesos(modelo).items() if not torch.equal(peso, antes[nome])}
    assert mudaram
    assert all(nome.startswith("trf_blocks.1.") for nome in mudaram)


@pytest.mark.parametrize("otimizador", ["adamw", "muon"])
def test_a_perda_cai(otimizador):
    modelo = modelo_pequeno(3, drop_rate=0.0)
    lotes = [next(iter(carregador(4, 4)))]
    registro = fine_tune(modelo, lotes, next_token_loss, steps=60, lr=1e-2, optimizer=otimizador)
    assert registro.losses[-1] < 0.1 * registro.losses[0]


def test_a_agenda_comeca_no_aquecimento_e_acaba_no_minimo():
    _, registro = ajusta(steps=9, warmup_steps=3, min_lr_ratio=0.25)
    assert registro.lr[0] == pytest.approx(1e-2 / 3)
    assert max(registro.lr) == registro.lr[2] == 1e-2
    assert registro.lr[-1] == pytest.approx(2.5e-3)


# --- a perda


def test_a_perda_e_a_de_sempre_e_ignora_o_que_nao_conta():
    modelo = modelo_pequeno(1, drop_rate=0.0)
    x, y = next(iter(carregador(4, 4)))
    y = y.masked_fill(torch.rand(y.shape, generator=torch.Generator().manual_seed(0)) < 0.6, IGNORE_INDEX)
    inteira = calc_loss_batch(x, y, modelo, "cpu")
    inteira.backward()
    certos = {nome: p.grad.clone() for nome, p in modelo.named_parameters()}
    modelo.zero_grad()
    perda = next_token_loss(modelo, (x, y))
    perda.backward()
    torch.testing.assert_close(perda, inteira, rtol=1e-6, atol=0)  # só muda a ordem das somas
    for nome, p in modelo.named_parameters():
        torch.testing.assert_close(p.grad, certos[nome], rtol=1e-4, atol=1e-7)
    assert modelo(x).shape == (4, 8, 61)  # a saída volta a ser a de todas as posições
    assert count_targets((x, y)) == int((y != IGNORE_INDEX).sum())


def test_a_perda_de_um_lote_empacotado_e_a_media_dos_exemplos():
    modelo = modelo_pequeno(1, drop_rate=0.0)
    exemplos = [[1, 2, 3], [4, 5, 6, 7], [8, 9]]
    lote = pack_batch([exemplos[:2], exemplos[2:]], 8, 60)
    somas = [
        F.cross_entropy(modelo(torch.tensor([ids]))[0], torch.tensor([*ids[1:], 60]), reduction="sum")
        for ids in exemplos
    ]
    torch.testing.assert_close(next_token_loss(modelo, lote), sum(somas) / 9, rtol=1e-5, atol=0)


def test_perda_sem_alvos_que_contem():
    x = torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="todos são −100"):
        next_token_loss(modelo_pequeno(), (x, torch.full_like(x, IGNORE_INDEX)))


# --- validação e contagem


def test_valida_antes_a_cada_tantos_e_no_fim_uma_vez_cada():
    modos = []

    def valida(modelo):
        modos.append((modelo.training, torch.is_grad_enabled()))
        return len(modos)

    _, registro = ajusta(steps=6, validate=valida, validate_every=3)
    assert registro.validation == [(0, 1), (3, 2), (6, 3)]
    assert set(modos) == {(False, False)}
    _, registro = ajusta(steps=4, validate=valida)
    assert [passo for passo, _ in registro.validation] == [0, 4]


def test_conta_os_tokens_e_a_velocidade(relogio):
    modelo = modelo_pequeno()
    registro = fine_tune(
        modelo,
        carregador(4),
        perda_lenta(relogio, 2.0),
        steps=3,
        lr=1e-3,
        clock=relogio,
        count_tokens=count_targets,
    )
    assert registro.tokens == [16, 16, 16]
    assert registro.seconds == 6.0
    assert registro.tokens_per_second == 8.0
    with pytest.raises(ValueError, match="passe count_tokens"):
        _ = FineTuneLog([1.0], [], [1.0]).tokens_per_second


# --- o tempo


def test_tempo_de_sobra_nao_muda_nada(relogio):
    sem, _ = ajusta()
    modelo = modelo_pequeno(3)
    torch.manual_seed(0)
    registro = fine_tune(modelo, carregador(6), perda_lenta(relogio, 1.0), steps=7, lr=1e-2, budget=7.5, clock=relogio)
    assert iguais(pesos(sem), pesos(modelo))
    assert registro.stopped == "passos"


@pytest.mark.parametrize("passos", [40, 1000])
def test_o_tempo_encurta_a_agenda_e_a_taxa_chega_ao_fim_dela(relogio, passos):
    modelo = modelo_pequeno()
    registro = fine_tune(
        modelo,
        carregador(4),
        perda_lenta(relogio, 1.0),
        steps=passos,
        lr=1e-2,
        warmup_steps=passos // 10,
        budget=20,
        clock=relogio,
    )
    assert registro.stopped == "tempo"
    assert 19 <= registro.steps <= 21
    assert relogio.agora <= 21  # o último passo pode passar do tempo
    alto = registro.lr.index(max(registro.lr))
    assert 1 <= alto <= 4  # o aquecimento também encolheu: 10% de 20 passos
    assert registro.lr[alto:] == sorted(registro.lr[alto:], reverse=True)
    assert registro.lr[-1] < 0.05 * max(registro.lr)


def test_um_passo_maior_que_o_tempo_acaba_nele(relogio):
    registro = fine_tune(
        modelo_pequeno(), carregador(4), perda_lenta(relogio, 9.0), steps=50, lr=1e-2, budget=5, clock=relogio
    )
    assert (registro.steps, registro.stopped) == (1, "tempo")


def test_a_validacao_conta_no_tempo(relogio):
    def valida(_):
        relogio.agora += 6

    registro = fine_tune(
        modelo_pequeno(),
        carregador(4),
        perda_lenta(relogio, 1.0),
        steps=50,
        lr=1e-2,
        budget=10,
        clock=relogio,
        validate=valida,
    )
    assert registro.steps in (4, 5)
    assert registro.seconds == registro.steps


def test_com_o_relogio_de_verdade_um_milhao_de_passos_acaba_logo():
    _, registro = ajusta(steps=10**6, budget=0.2)
    assert registro.stopped == "tempo"
    assert registro.steps < 10**6


# --- o que não serve


@pytest.mark.parametrize(
    ("opcoes", "mensagem"),
    [
        ({"steps": 0}, "steps=0"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"budget": 0}, "budget=0"),
        ({"validate_every": 0}, "validate_every=0"),
        ({"optimizer": "sgd"}, "optimizer='sgd'"),
        ({"precision": "float16"}, "precision='float16'"),
        ({"warmup_steps": 7}, "warmup_steps=7"),
    ],
)
def test_argumentos_que_nao_servem(opcoes, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        ajusta(**opcoes)


@pytest.mark.parametrize("lotes", [[], iter(()), iter(list(carregador(2)))], ids=["vazio", "esgotado", "de uma vez"])
def test_lotes_que_acabam(lotes):
    with pytest.raises(ValueError, match="não recomeçam"):
        fine_tune(modelo_pequeno(), lotes, next_token_loss, steps=9, lr=1e-3)


def test_nada_a_treinar():
    with pytest.raises(ValueError, match="requires_grad"):
        fine_tune(modelo_pequeno().requires_grad_(False), carregador(4), next_token_loss, steps=1, lr=1e-3)


def test_divergencia_para_sem_estragar_os_pesos():
    modelo = modelo_pequeno()
    guardados = []

    def perda(m, lote):
        if len(guardados) == 2:
            return next_token_loss(m, lote) * float("inf")
        guardados.append(pesos(m))
        return next_token_loss(m, lote)

    with pytest.raises(FloatingPointError, match=r"no passo 3.*lr menor que 0\.01"):
        fine_tune(modelo, carregador(6), perda, steps=9, lr=1e-2)
    assert all(torch.isfinite(peso).all() for peso in pesos(modelo).values())
    assert not iguais(pesos(modelo), guardados[0])
