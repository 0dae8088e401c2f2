"""Otimizadores: quem cuida de cada parâmetro, o mesmo que os dois à mão, e a retomada bit a bit."""

import copy
import re

import pytest
import torch
from modelos import ids_sorteados, iguais, modelo_pequeno, pesos, um_fio  # noqa: F401
from torch import nn

from llmdefinitions import CheckpointError, GPTModel, build_adamw, calc_loss_batch, load_checkpoint, save_checkpoint
from llmdefinitions.optimizers import OPTIMIZERS, MuonWithAdamW, build_optimizer

com_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="este PyTorch não tem torch.optim.Muon")
# O Muon só existe a partir do PyTorch 2.9; o pacote aceita mais antigos.
AMARRADO = {"tie_weights": True, "init_std": 0.02, "qkv_bias": True, "drop_rate": 0.0}


def modelo(semente: int = 0, **mudancas) -> GPTModel:
    return modelo_pequeno(semente, **{**AMARRADO, **mudancas})


def anda(m: GPTModel, *otimizadores, passos: int = 1, primeiro: int = 0, lr: float | None = None) -> None:
    for passo in range(primeiro, primeiro + passos):
        x, y = ids_sorteados(2, 7, semente=passo), ids_sorteados(2, 7, semente=100 + passo)
        calc_loss_batch(x, y, m, "cpu").backward()
        for otimizador in otimizadores:
            for grupo in otimizador.param_groups:
                grupo["lr"] = grupo["lr"] if lr is None else lr
            otimizador.step()
        m.zero_grad()


# --- quem cuida de quê -----------------------------------------------------------------------------


@com_muon
@pytest.mark.parametrize("amarrado", [True, False])
def test_matrizes_dos_blocos_no_muon_e_o_resto_no_adamw(amarrado):
    m = modelo(tie_weights=amarrado)
    otimizador = MuonWithAdamW(m, 0.01, 0.1)
    nomes = {id(p): nome for nome, p in m.named_parameters()}
    no_muon, no_adamw = ([nomes[id(p)] for g in parte.param_groups for p in g["params"]] for parte in otimizador.parts)
    matrizes = ("att.W_query", "att.W_key", "att.W_value", "att.out_proj", "ff.layers.0", "ff.layers.2")
    assert sorted(no_muon) == sorted(f"trf_blocks.{i}.{nome}.weight" for i in range(2) for nome in matrizes)
    assert {"tok_emb.weight", "pos_emb.weight", "final_norm.scale", "trf_blocks.0.att.W_key.bias"} <= set(no_adamw)
    assert ("out_head.weight" in no_adamw) == (not amarrado)  # amarrada, é a própria tok_emb.weight
    # Cada parâmetro uma vez só, nenhum esquecido.
    assert sorted(no_muon + no_adamw) == sorted(nomes.values())
    assert [g["weight_decay"] for g in otimizador.param_groups] == [0.1, 0.0]
    assert [g["lr"] for g in otimizador.param_groups] == [0.01, 0.01]


@com_muon
def test_parametros_congelados_ficam_de_fora():
    m = modelo()
    m.tok_emb.weight.requires_grad_(False)
    m.trf_blocks[0].ff.layers[0].weight.requires_grad_(False)
    antes = pesos(m)
    otimizador = MuonWithAdamW(m, 0.01, 0.1)
    anda(m, otimizador)
    assert torch.equal(m.tok_emb.weight, antes["tok_emb.weight"])
    assert torch.equal(m.trf_blocks[0].ff.layers[0].weight, antes["trf_blocks.0.ff.layers.0.weight"])
    assert not torch.equal(m.trf_blocks[1].ff.layers[0].weight, antes["trf_blocks.1.ff.layers.0.weight"])


# --- o mesmo que os dois à mão ---------------------------------------------------------------------


@com_muon
def test_passos_iguais_aos_do_muon_e_do_adamw_separados():
    nosso = modelo()
    copia = copy.deepcopy(nosso)
    otimizador = MuonWithAdamW(nosso, 0.01, 0.1)
    p = dict(copia.named_parameters())
    matrizes = [n for n in p if re.fullmatch(r"trf_blocks\.\d+\.(att\.(W_\w+|out_proj)|ff\.layers\.\d)\.weight", n)]
    muon = torch.optim.Muon([p[n] for n in matrizes], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(
        [p[n] for n in p if n not in matrizes], lr=0.01, betas=(0.9, 0.95), weight_decay=0.0, fused=True
    )
    for passo in range(4):
        taxa = 0.01 / (passo + 1)
        anda(nosso, otimizador, primeiro=passo, lr=taxa)
        anda(copia, muon, adamw, primeiro=passo, lr=taxa)
        assert iguais(pesos(nosso), pesos(copia))


@com_muon
def test_o_tamanho_da_atualizacao_do_muon_e_o_do_adamw():
    # Ortogonalizada, uma matriz (A, B) de posto cheio tem RMS 1/√max(A, B), e o ajuste a leva a 0,2·lr (Liu et al.,
    # 2025, seção 2.2). A iteração deixa os valores singulares entre 0,6 e 1,3, e não em 1: daí a folga.
    m = modelo()
    antes = pesos(m)
    otimizador = MuonWithAdamW(m, 0.01, 0.0)
    torch.manual_seed(4)
    for p in m.parameters():
        p.grad = torch.randn_like(p)
    otimizador.step()
    for nome in ("trf_blocks.0.att.W_value.weight", "trf_blocks.1.ff.layers.0.weight"):
        tamanho = (m.state_dict()[nome] - antes[nome]).square().mean().sqrt().item()
        assert 0.6 * 0.002 < tamanho < 1.3 * 0.002


@com_muon
def test_zero_grad_apaga_os_gradientes_dos_dois():
    m = modelo()
    otimizador = MuonWithAdamW(m, 0.01, 0.1)
    calc_loss_batch(ids_sorteados(2, 7), ids_sorteados(2, 7, semente=3), m, "cpu").backward()
    assert all(p.grad is not None for p in m.parameters())
    otimizador.zero_grad()
    assert all(p.grad is None for p in m.parameters())


# --- retomada --------------------------------------------------------------------------------------


@com_muon
def test_state_dict_retoma_bit_a_bit():
    inteiro = modelo()
    otimizador = MuonWithAdamW(inteiro, 0.01, 0.1)
    anda(inteiro, otimizador, passos=3, lr=0.004)
    retomado = modelo(9)
    retomado.load_state_dict(inteiro.state_dict())
    outro = MuonWithAdamW(retomado, 0.5, 0.3)
    outro.load_state_dict(copy.deepcopy(otimizador.state_dict()))
    assert [g["lr"] for g in outro.param_groups] == [0.004, 0.004]
    assert [g["weight_decay"] for g in outro.param_groups] == [0.1, 0.0]
    anda(inteiro, otimizador, passos=3, primeiro=3)
    anda(retomado, outro, passos=3, primeiro=3)
    assert iguais(pesos(inteiro), pesos(retomado))


@com_muon
def test_o_estado_numera_os_parametros_em_sequencia():
    m = modelo()
    otimizador = MuonWithAdamW(m, 0.01, 0.1)
    assert otimizador.state_dict()["state"] == {}
    anda(m, otimizador)
    estado = otimizador.state_dict()
    n = len(list(m.parameters()))
    assert [i for g in estado["param_groups"] for i in g["params"]] == list(range(n))
    assert sorted(estado["state"]) == list(range(n))


@com_muon
@pytest.mark.parametrize("passos", [0, 3])
def test_por_checkpoint_retoma_bit_a_bit(tmp_path, passos):
    inteiro = modelo()
    otimizador = MuonWithAdamW(inteiro, 0.01, 0.1)
    anda(inteiro, otimizador, passos=passos)
    caminho = save_checkpoint(tmp_path, passos, inteiro, otimizador)
    retomado = modelo(9)
    outro = MuonWithAdamW(retomado, 0.5, 0.3)
    load_checkpoint(caminho, retomado, outro)
    # O JSON só tem listas: as tuplas de antes têm de voltar a ser tuplas.
    assert outro.state_dict()["param_groups"] == otimizador.state_dict()["param_groups"]
    anda(inteiro, otimizador, passos=3, primeiro=passos)
    anda(retomado, outro, passos=3, primeiro=passos)
    assert iguais(pesos(inteiro), pesos(retomado))


def _do_adamw_com_o_mesmo_numero_de_parametros() -> dict:
    # Mesmos grupos, mas o primeiro é de um AdamW, que guarda outras coisas.
    m = modelo()
    matrizes = [p for n, p in m.named_parameters() if p.ndim == 2 and "trf_blocks" in n]
    resto = [p for n, p in m.named_parameters() if not (p.ndim == 2 and "trf_blocks" in n)]
    otimizador = torch.optim.AdamW([{"params": matrizes}, {"params": resto}])
    anda(m, otimizador)
    return otimizador.state_dict()


def _do_muon(**mudancas):
    def estado() -> dict:
        m = modelo(**mudancas)
        otimizador = MuonWithAdamW(m, 0.3, 0.1)
        anda(m, otimizador)
        return otimizador.state_dict()

    return estado


def _do_adamw() -> dict:
    m = modelo()
    otimizador = build_adamw(m)
    anda(m, otimizador)
    return otimizador.state_dict()


@com_muon
@pytest.mark.parametrize(
    ("alheio", "mensagem"),
    [
        (_do_adamw, r"grupos com \[14, 2\d\] parâmetros, esperado \[12, \d+\]"),
        (_do_muon(n_layers=3), r"grupos com \[18, \d+\] parâmetros, esperado \[12, \d+\]"),
        (_do_muon(emb_dim=16), r"parâmetro 0 com momentum_buffer de formato \{\(16, 16\)\}.*\(32, 32\)"),
        (_do_muon(vocab_size=70), r"de formato \{\(70, 32\)\}, esperado .* de formato \(61, 32\)"),
        (_do_adamw_com_o_mesmo_numero_de_parametros, "parâmetro 0 com step, exp_avg, exp_avg_sq.*esperado momentum"),
    ],
)
def test_estado_alheio_e_recusado_e_nada_muda(alheio, mensagem):
    m = modelo()
    otimizador = MuonWithAdamW(m, 0.01, 0.1)
    anda(m, otimizador)
    antes = copy.deepcopy(otimizador.state_dict())
    with pytest.raises(ValueError, match=mensagem):
        otimizador.load_state_dict(alheio())
    depois = otimizador.state_dict()
    assert depois["param_groups"] == antes["param_groups"]
    assert depois["state"].keys() == antes["state"].keys()
    for i, valores in antes["state"].items():
        assert iguais(depois["state"][i], valores)


@com_muon
def test_checkpoint_de_outro_otimizador_e_recusado(tmp_path):
    m = modelo()
    caminho = save_checkpoint(tmp_path, 1, m, build_adamw(m))
    with pytest.raises(CheckpointError, match="o otimizador gravado é AdamW, e o dado é MuonWithAdamW"):
        load_checkpoint(caminho, m, MuonWithAdamW(m, 0.01, 0.1))


# --- pelo nome -------------------------------------------------------------------------------------


@com_muon
def test_pelo_nome():
    m = modelo()
    assert OPTIMIZERS == ("adamw", "muon")
    assert isinstance(build_optimizer("muon", m, 0.01, 0.1), MuonWithAdamW)


def test_adamw_pelo_nome_e_o_do_treino():
    m = modelo()
    otimizador = build_optimizer("adamw", m, 0.01, 0.3)
    assert type(otimizador) is torch.optim.AdamW
    assert {(g["lr"], g["weight_decay"]) for g in otimizador.param_groups} == {(0.01, 0.3), (0.01, 0.0)}


def test_nome_desconhecido():
    with pytest.raises(ValueError, match="optimizer='sgd': esperado um de adamw, muon"):
        build_optimizer("sgd", modelo(), 0.01, 0.1)


def test_pytorch_sem_muon(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(RuntimeError, match=r'não tem torch\.optim\.Muon: atualize.*optimizer="adamw"'):
        build_optimizer("muon", modelo(), 0.01, 0.1)


@com_muon
def test_modelo_sem_blocos():
    with pytest.raises(ValueError, match=r"Linear não tem matrizes em trf_blocks: use optimizer=.adamw"):
        MuonWithAdamW(nn.Linear(3, 3), 0.01, 0.1)
