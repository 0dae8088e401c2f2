"""Esquecimento medido: penalidades iguais às contas à mão, replay com os textos certos, e cada método treina."""

import pytest
import torch
from modelos import modelo_pequeno, pesos, um_fio  # noqa: F401
from torch.utils.data import DataLoader

from llmdefinitions.bpe import train_bpe
from llmdefinitions.finetuning import next_token_loss
from llmdefinitions.forgetting import (
    METHODS,
    StayClose,
    Task,
    _Recalling,
    fisher_diagonal,
    held_out_losses,
    language_task,
    train_in_sequence,
)
from llmdefinitions.lora import lora_modules

TEXTOS = {
    "velha": [f"a casa {n} é azul e o céu também" for n in range(30)],
    "nova": [f"def f{n}(x): return x + {n}" for n in range(30)],
    "outra": [f"{n} + {n} = {2 * n}; {n} - {n} = 0" for n in range(30)],
}


@pytest.fixture(scope="module")
def tokenizador():
    return train_bpe([texto for textos in TEXTOS.values() for texto in textos], 300)


@pytest.fixture(scope="module")
def tarefas(tokenizador):
    return [language_task(n, t, tokenizador, length=8, held_out=4, batch_size=2) for n, t in TEXTOS.items()]


def _modelo(**mudancas):
    return modelo_pequeno(vocab_size=300, drop_rate=0.0, init_std=0.02, **mudancas)


def test_os_textos_guardados_sao_os_ultimos_e_nao_treinam(tarefas, tokenizador):
    tarefa = tarefas[0]
    medidos = tokenizador.decode([int(i) for x, _ in tarefa.held_out for linha in x for i in linha])
    treinados = tokenizador.decode([int(i) for x, _ in tarefa.train for i in x])
    assert sum(len(x) for x, _ in tarefa.held_out) == 4
    assert all(torch.equal(x[:, 1:], y[:, :-1]) for x, y in tarefa.held_out)
    assert "casa 0 " in treinados
    assert "casa 28 " not in treinados
    assert "casa 2" in medidos


def test_textos_de_menos_sao_recusados(tokenizador):
    with pytest.raises(ValueError, match="velha: 2 textos não dão 50 janelas de 8"):
        language_task("velha", TEXTOS["velha"][:2], tokenizador, length=8, held_out=50)


def test_a_ordem_dos_lotes_e_a_da_semente(tarefas):
    ordem = [[x.tolist() for x, _ in tarefas[0].loader(4, semente)] for semente in (1, 1, 2)]
    assert ordem[0] == ordem[1] != ordem[2]


def test_a_penalidade_e_a_da_formula_e_so_puxa_de_volta():
    modelo = _modelo()
    perto = StayClose(modelo, 3.0)
    assert perto.penalty(modelo).item() == 0.0
    with torch.no_grad():
        for p in modelo.parameters():
            p += 0.5
    # float32: a soma de dezenas de milhares de parcelas iguais.
    assert perto.penalty(modelo).item() == pytest.approx(3 / 2 * 0.25 * modelo.count_parameters(), rel=1e-4)
    perto.penalty(modelo).backward()
    assert all(torch.allclose(p.grad, torch.tensor(3 * 0.5)) for p in modelo.parameters())


def test_a_importancia_pesa_cada_parametro_e_a_media_e_um():
    modelo = _modelo()
    importancia = {nome: torch.rand_like(p) for nome, p in modelo.named_parameters()}
    perto = StayClose(modelo, 2.0, importancia)
    media = torch.cat([w.flatten() for w in importancia.values()]).mean()
    with torch.no_grad():
        modelo.pos_emb.weight[3, 2] += 1.0
    esperada = importancia["pos_emb.weight"][3, 2] / media
    assert perto.penalty(modelo).item() == pytest.approx(esperada.item(), rel=1e-5)
    # Em escala global não há diferença: o que vale é a proporção entre os pesos.
    dobro = StayClose(_modelo(), 2.0, {nome: 2 * w for nome, w in importancia.items()})
    assert torch.allclose(dobro.weights["pos_emb.weight"], perto.weights["pos_emb.weight"])


def test_a_importancia_e_a_media_dos_quadrados_dos_gradientes(tarefas):
    modelo = _modelo().train()
    janelas = [tarefas[0].train[i] for i in range(3)]
    fisher = fisher_diagonal(modelo, DataLoader(janelas, 1))
    esperada = torch.zeros_like(modelo.out_head.weight)
    for x, y in janelas:
        modelo.zero_grad()
        next_token_loss(modelo, (x[None], y[None])).backward()
        esperada += modelo.out_head.weight.grad**2 / 3
    torch.testing.assert_close(fisher["out_head.weight"], esperada)
    assert fisher.keys() == dict(modelo.named_parameters()).keys()
    assert modelo.training


def test_replay_completa_cada_lote_com_as_tarefas_antigas_que_se_revezam(tarefas):
    velha, nova, outra = tarefas
    lotes = list(_Recalling(outra.loader(3, 0), [velha.loader(1, 0), nova.loader(1, 0)]))
    assert len(lotes) == len(outra.loader(3, 0))

    def origem(janela):
        return [t.name for t in tarefas if any(torch.equal(janela, x) for x, _ in t.train)]

    assert all(x.shape == y.shape == (4, 8) for x, y in lotes)
    assert [origem(x[3])[0] for x, _ in lotes[:4]] == ["velha", "nova", "velha", "nova"]
    assert all(origem(linha) == ["outra"] for x, _ in lotes for linha in x[:3])


@pytest.mark.parametrize("metodo", METHODS)
def test_cada_metodo_aprende_e_mede_todas_as_tarefas_a_cada_vez(tarefas, metodo):
    modelo = _modelo()
    # O LoRA não muda os embeddings, que aqui são sorteados: aprende menos, e com uma taxa maior.
    lr, queda = (0.03, 0.1) if metodo == "lora" else (0.01, 0.5)
    historia = train_in_sequence(modelo, tarefas, metodo, steps=12, lr=lr, strength=0.01, batch_size=4, seed=1)
    assert [list(medida) for medida in historia] == [list(TEXTOS)] * 3
    assert historia[1]["nova"] < historia[0]["nova"] - queda
    assert historia[2]["outra"] < historia[0]["outra"] - queda
    assert not list(lora_modules(modelo))
    assert all(p.requires_grad for p in modelo.parameters())
    assert historia[2] == held_out_losses(modelo, tarefas)


def test_a_mesma_semente_da_os_mesmos_pesos(tarefas):
    finais = []
    for _ in range(2):
        modelo = _modelo()
        train_in_sequence(modelo, tarefas[:2], "lora", steps=3, lr=0.01, batch_size=4, seed=5)
        finais.append(pesos(modelo))
    assert all(torch.equal(finais[0][nome], finais[1][nome]) for nome in finais[0])


def test_uma_penalidade_enorme_nao_deixa_sair_do_lugar(tarefas):
    livre, preso = _modelo(), _modelo()
    inicio = pesos(livre)
    for modelo, metodo in ((livre, "nenhuma"), (preso, "l2")):
        train_in_sequence(modelo, tarefas[:2], metodo, steps=8, lr=0.01, strength=1e4, batch_size=4)

    def distancia(modelo):
        return sum((p - inicio[nome]).square().sum() for nome, p in modelo.state_dict().items())

    assert distancia(preso) < distancia(livre) / 4


@pytest.mark.parametrize(
    ("mudanca", "mensagem"),
    [
        ({"method": "sorte"}, "method='sorte'"),
        ({"replay_share": 0.0}, "replay_share=0.0"),
        ({"replay_share": 1.0}, "replay_share=1.0"),
        ({"strength": 0.0}, "strength=0.0"),
        ({"fisher_windows": 0}, "fisher_windows"),
    ],
)
def test_recusa_argumentos_invalidos(tarefas, mudanca, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        train_in_sequence(_modelo(), tarefas, **{"method": "nenhuma", "steps": 1, "lr": 0.01, **mudanca})


def test_recusa_uma_tarefa_so_ou_repetida(tarefas):
    for lista in (tarefas[:1], [tarefas[0], Task("velha", tarefas[1].train, tarefas[1].held_out)]):
        with pytest.raises(ValueError, match="de nomes distintos"):
            train_in_sequence(_modelo(), lista, "nenhuma", steps=1, lr=0.01)
