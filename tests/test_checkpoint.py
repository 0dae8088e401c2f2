"""Checkpoints: ida e volta de tudo, escrita atômica, e nenhum arquivo danificado ou alheio carregado por engano."""

import json
import os
import pickle
import random
import re
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelos import carregador, ids_sorteados, iguais, modelo_pequeno, pesos, um_fio  # noqa: F401
from safetensors.torch import save_file

from llmdefinitions import (
    CheckpointError,
    build_adamw,
    calc_loss_batch,
    files,
    load_checkpoint,
    load_latest,
    load_model,
    save_checkpoint,
    save_model,
    train_model_simple,
)
from llmdefinitions.checkpoint import list_checkpoints

OTIMIZADORES = {
    "adamw": lambda m: torch.optim.AdamW(m.parameters(), lr=1e-2, foreach=False),
    "adamw_foreach": lambda m: torch.optim.AdamW(m.parameters(), lr=1e-2, foreach=True),
    "adamw_fundido": lambda m: build_adamw(m, lr=1e-2),
    "amsgrad": lambda m: torch.optim.AdamW(m.parameters(), lr=1e-2, amsgrad=True),
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
    "sgd_com_momento": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
}


def passos(modelo, otimizador, n):
    """`n` passos de treino, com dropout e lotes sorteados no gerador global; devolve as perdas."""
    perdas = []
    modelo.train()
    for _ in range(n):
        ids = torch.randint(modelo.cfg.vocab_size, (2, 9))
        otimizador.zero_grad()
        perda = calc_loss_batch(ids[:, :-1], ids[:, 1:], modelo, "cpu")
        perda.backward()
        otimizador.step()
        perdas.append(perda.item())
    return perdas


@pytest.fixture
def gravado(tmp_path):
    """Um checkpoint bom, com o modelo e o otimizador que o gravaram."""
    modelo = modelo_pequeno(emb_dim=8, n_heads=2)
    otimizador = OTIMIZADORES["adamw"](modelo)
    passos(modelo, otimizador, 2)
    caminho = save_checkpoint(tmp_path / "treino", 7, modelo, otimizador, state={"tokens": 96, "perdas": [4.5, 0.1]})
    return caminho, modelo, otimizador


def outro(**mudancas):
    """Modelo do mesmo formato que o de `gravado`, com outros pesos, e o otimizador dele, sem passo nenhum."""
    modelo = modelo_pequeno(99, **{"emb_dim": 8, "n_heads": 2, **mudancas})
    return modelo, OTIMIZADORES["adamw"](modelo)


def tudo(modelo, otimizador):
    """O que um carregamento recusado não pode mudar: pesos, otimizador e geradores."""
    estado = otimizador.state_dict()
    momentos = {f"{i}.{k}": v.clone() for i, s in estado["state"].items() for k, v in s.items()}
    return {**pesos(modelo), **momentos, "rng": torch.get_rng_state()}, estado["param_groups"], random.getstate()


# --- ida e volta


@pytest.mark.parametrize("mudancas", [{}, {"tie_weights": True, "init_std": 0.02, "qkv_bias": True}])
@pytest.mark.parametrize("nome", OTIMIZADORES)
def test_continuar_do_checkpoint_e_como_nao_ter_parado(nome, mudancas, tmp_path):
    modelo = modelo_pequeno(**mudancas)
    otimizador = OTIMIZADORES[nome](modelo)
    passos(modelo, otimizador, 3)
    caminho = save_checkpoint(tmp_path, 3, modelo, otimizador)
    perdas = passos(modelo, otimizador, 4)

    retomado = modelo_pequeno(99, **mudancas)
    otimizador_retomado = OTIMIZADORES[nome](retomado)
    load_checkpoint(caminho, retomado, otimizador_retomado)
    assert passos(retomado, otimizador_retomado, 4) == perdas
    assert iguais(pesos(retomado), pesos(modelo))
    assert (retomado.out_head.weight is retomado.tok_emb.weight) is bool(mudancas)


class ComContador(torch.optim.SGD):
    """Otimizador que guarda também um número, e não só tensores, por parâmetro."""

    def step(self, closure=None):
        for grupo in self.param_groups:
            for p in grupo["params"]:
                self.state[p]["vezes"] = self.state[p].get("vezes", 0) + 1
        return super().step(closure)


def test_estado_do_otimizador_que_nao_e_tensor(tmp_path):
    modelo, _ = outro()
    otimizador = ComContador(modelo.parameters(), lr=0.1)
    passos(modelo, otimizador, 3)
    caminho = save_checkpoint(tmp_path, 3, modelo, otimizador)
    retomado, _ = outro()
    otimizador_retomado = ComContador(retomado.parameters(), lr=0.1)
    load_checkpoint(caminho, retomado, otimizador_retomado)
    assert {s["vezes"] for s in otimizador_retomado.state.values()} == {3}


def test_checkpoint_antes_do_primeiro_passo(tmp_path):
    modelo, otimizador = outro()
    caminho = save_checkpoint(tmp_path, 0, modelo, otimizador)
    perdas = passos(modelo, otimizador, 2)
    retomado, otimizador_retomado = outro()
    load_checkpoint(caminho, retomado, otimizador_retomado)
    assert passos(retomado, otimizador_retomado, 2) == perdas


def test_os_tres_geradores_voltam(tmp_path):
    def sorteia():
        return (
            torch.rand(3).tolist(),
            np.random.rand(3).tolist(),
            np.random.randn(),
            random.random(),
            random.gauss(0, 1),
        )

    modelo, _ = outro()
    torch.randn(1), np.random.randn(), random.gauss(0, 1)  # deixa metade de um par gaussiano guardada nos três
    caminho = save_checkpoint(tmp_path, 1, modelo)
    esperados = sorteia()
    assert sorteia() != esperados
    load_checkpoint(caminho, modelo)
    assert sorteia() == esperados
    load_checkpoint(caminho, modelo, with_rng=False)
    assert sorteia() != esperados


def test_estado_e_tensores_a_mais_voltam(tmp_path):
    modelo, _ = outro()
    estado = {"perdas": [0.1, 1e-300, 2 / 3], "nome": "ação", "nada": None, "tokens": 2**53 + 1}
    a_mais = {
        "gerador": torch.get_rng_state(),
        "vazio": torch.empty(0, 3),
        "escalar": torch.tensor(2.5),
        "sim": torch.tensor([True]),
    }
    caminho = save_checkpoint(tmp_path, 12, modelo, state=estado, extra_tensors=a_mais)
    lido, extras = load_checkpoint(caminho, modelo)
    assert lido == {**estado, "step": 12}
    assert iguais(extras, a_mais)
    assert {k: (v.shape, v.dtype) for k, v in extras.items()} == {k: (v.shape, v.dtype) for k, v in a_mais.items()}


def test_pesos_de_uso_voltam_com_a_configuracao(tmp_path):
    modelo = modelo_pequeno(3, tie_weights=True, init_std=0.02).train()
    lido = load_model(save_model(modelo, tmp_path / "pasta" / "gpt.safetensors"))
    assert lido.cfg == modelo.cfg
    assert not lido.training
    assert iguais(pesos(lido), pesos(modelo))
    ids = ids_sorteados(2, 5)
    assert torch.equal(lido(ids), modelo.eval()(ids))


def test_o_que_foi_lido_nao_depende_mais_do_arquivo(gravado):
    # Tensores mapeados no arquivo mudariam com ele; e, no Windows, impediriam de apagá-lo.
    caminho, original, _ = gravado
    modelo, otimizador = outro()
    load_checkpoint(caminho, modelo, otimizador)
    with open(caminho, "rb+") as arquivo:
        arquivo.write(b"\xff" * caminho.stat().st_size)
    momentos = [v for s in otimizador.state_dict()["state"].values() for v in s.values()]
    assert momentos
    assert all(torch.isfinite(v).all() for v in momentos)
    assert iguais(pesos(modelo), pesos(original))


# --- escrita atômica e limpeza


@pytest.mark.parametrize("onde", ["save_file", "fsync", "replace"])
def test_falha_ao_gravar_deixa_o_anterior_intacto_e_nada_pela_metade(gravado, monkeypatch, onde):
    caminho, modelo, otimizador = gravado
    antes = caminho.read_bytes()

    def falha(*args, **kwargs):
        if onde == "save_file":
            args[1].write_bytes(antes[:100])  # o disco encheu no meio
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files if onde == "save_file" else os, onde, falha)
    for passo in (7, 8):  # por cima do mesmo nome, e com um nome novo
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(caminho.parent, passo, modelo, otimizador)
    assert [p.name for p in caminho.parent.iterdir()] == [caminho.name]
    assert caminho.read_bytes() == antes


def test_sobras_de_um_processo_morto_somem_e_as_dos_outros_ficam(gravado):
    caminho, modelo, otimizador = gravado
    sobra = caminho.with_name(f"{caminho.name}.4242.parcial")
    alheia = caminho.with_name("corpus.txt.parcial")  # um download em curso na mesma pasta
    sobra.write_bytes(b"metade")
    alheia.write_bytes(b"metade")
    assert list_checkpoints(caminho.parent) == [caminho]
    save_checkpoint(caminho.parent, 8, modelo, otimizador)
    save_model(modelo, caminho.with_name("final.safetensors"))
    assert not sobra.exists()
    assert alheia.exists()


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_so_os_mais_novos_ficam(tmp_path, keep):
    modelo, _ = outro()
    for passo in (1, 2, 10, 100, 1000):
        save_checkpoint(tmp_path, passo, modelo, keep=keep)
    esperados = [f"passo-{p:08d}.safetensors" for p in (1, 2, 10, 100, 1000)[-keep:]]
    assert [p.name for p in list_checkpoints(tmp_path)] == sorted(p.name for p in tmp_path.iterdir()) == esperados


@pytest.mark.parametrize("keep", [1, 2])
def test_o_recem_gravado_nunca_e_apagado(tmp_path, keep):
    modelo, _ = outro()
    for passo in (50, 60):
        save_checkpoint(tmp_path, passo, modelo)
    caminho = save_checkpoint(tmp_path, 3, modelo, keep=keep)  # passo menor que o dos que já estavam lá
    assert caminho.exists()
    assert len(list_checkpoints(tmp_path)) == keep


def test_keep_invalido(tmp_path):
    with pytest.raises(ValueError, match="keep=0: esperado um inteiro ≥ 1"):
        save_checkpoint(tmp_path, 1, modelo_pequeno(), keep=0)
    assert not list(tmp_path.iterdir())


# --- arquivos danificados


def confere_recusa(caminho, mensagem="danificado|não confere|formato"):
    modelo, otimizador = outro()
    antes = tudo(modelo, otimizador)
    with pytest.raises(CheckpointError, match=mensagem) as erro:
        load_checkpoint(caminho, modelo, otimizador)
    assert str(caminho) in str(erro.value)
    depois = tudo(modelo, otimizador)
    assert iguais(depois[0], antes[0])
    assert depois[1:] == antes[1:]


@pytest.mark.parametrize("decimo", range(10))
def test_arquivo_truncado(gravado, decimo):
    caminho, _, _ = gravado
    conteudo = caminho.read_bytes()
    caminho.write_bytes(conteudo[: len(conteudo) * decimo // 10])
    confere_recusa(caminho)


def test_arquivo_truncado_em_um_byte_ou_com_um_a_mais(gravado):
    caminho, _, _ = gravado
    conteudo = caminho.read_bytes()
    for ruim in (conteudo[:-1], conteudo + b"\0"):
        caminho.write_bytes(ruim)
        confere_recusa(caminho)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dados=st.data())
def test_um_bit_trocado_em_qualquer_lugar(gravado, dados):
    caminho, _, _ = gravado
    bom = caminho.read_bytes()
    cabecalho = 8 + struct.unpack("<Q", bom[:8])[0]
    # Metade dos casos no cabeçalho, que é a parte menor e a que mais jeitos tem de dar errado.
    posicao = dados.draw(st.integers(0, cabecalho - 1) | st.integers(cabecalho, len(bom) - 1))
    ruim = bytearray(bom)
    ruim[posicao] ^= 1 << dados.draw(st.integers(0, 7))
    try:
        caminho.write_bytes(ruim)
        confere_recusa(caminho)
    finally:
        caminho.write_bytes(bom)


def cabecalho_de(caminho):
    conteudo = caminho.read_bytes()
    fim = 8 + struct.unpack("<Q", conteudo[:8])[0]
    return json.loads(conteudo[8:fim]), conteudo[fim:]


def regrava(caminho, cabecalho, corpo):
    texto = json.dumps(cabecalho).encode()
    texto += b" " * (-len(texto) % 8)
    caminho.write_bytes(struct.pack("<Q", len(texto)) + texto + corpo)


@pytest.mark.parametrize("chave", ["formato", "info", "resumo"])
def test_metadado_que_falta(gravado, chave):
    caminho, _, _ = gravado
    cabecalho, corpo = cabecalho_de(caminho)
    del cabecalho["__metadata__"][chave]
    regrava(caminho, cabecalho, corpo)
    confere_recusa(caminho)


def test_posicao_adulterada_no_cabecalho(gravado):
    caminho, _, _ = gravado
    cabecalho, corpo = cabecalho_de(caminho)
    cabecalho["__metadata__"]["info"] = cabecalho["__metadata__"]["info"].replace('"tokens": 96', '"tokens": 97')
    regrava(caminho, cabecalho, corpo)
    confere_recusa(caminho, "não confere")


def test_dois_tensores_trocados_entre_si(gravado):
    # Os bytes são os mesmos e cada um é um tensor válido: só o resumo, que inclui os nomes, percebe.
    caminho, _, _ = gravado
    cabecalho, corpo = cabecalho_de(caminho)
    a, b = "model.trf_blocks.0.norm1.scale", "model.trf_blocks.1.norm1.scale"
    cabecalho[a], cabecalho[b] = cabecalho[b], cabecalho[a]
    regrava(caminho, cabecalho, corpo)
    confere_recusa(caminho, "não confere")


# --- arquivos alheios


def test_safetensors_de_outro_programa(gravado):
    caminho, modelo, _ = gravado
    save_file(pesos(modelo), caminho, metadata={"format": "pt"})
    confere_recusa(caminho, "formato None, esperado 'llmdefinitions-checkpoint-1'; o arquivo é de outro programa")


def test_pickle_e_recusado_sem_ser_executado(gravado, tmp_path):
    caminho, _, _ = gravado
    prova = tmp_path / "executado"

    class Malicioso:
        def __reduce__(self):
            return (open, (str(prova), "w"))

    for grava in (lambda x: caminho.write_bytes(pickle.dumps(x)), lambda x: torch.save(x, caminho)):
        grava(Malicioso())
        confere_recusa(caminho, "danificado ou que não é safetensors")
        with pytest.raises(CheckpointError):
            load_model(caminho)
        with pytest.raises(CheckpointError):
            load_latest(caminho.parent, outro()[0])
        assert not prova.exists()
    with open(caminho, "rb") as arquivo:  # e o arquivo é mesmo perigoso para quem o desserializa
        torch.load(arquivo, weights_only=False).close()
    assert prova.exists()


@pytest.mark.parametrize(
    ("mudancas", "mensagem"),
    [
        ({"emb_dim": 16}, r"tok_emb.weight: \(61, 8\) no arquivo, \(61, 16\) no modelo"),
        ({"vocab_size": 62}, r"tok_emb.weight: \(61, 8\) no arquivo, \(62, 8\) no modelo"),
        ({"n_layers": 3}, r"falta trf_blocks\.2\."),
        ({"n_layers": 1}, r"sobra trf_blocks\.1\."),
        ({"qkv_bias": True}, r"falta trf_blocks\.0\.att\.W_query\.bias"),
        ({"tie_weights": True, "init_std": 0.02}, r"sobra out_head\.weight"),
    ],
)
def test_pesos_de_outro_modelo(gravado, mudancas, mensagem):
    modelo, otimizador = outro(**mudancas)
    antes = tudo(modelo, otimizador)
    with pytest.raises(CheckpointError, match=mensagem):
        load_checkpoint(gravado[0], modelo, otimizador)
    assert iguais(tudo(modelo, otimizador)[0], antes[0])


@pytest.mark.parametrize(
    ("nome", "mensagem"),
    [("sgd_com_momento", "o otimizador gravado é AdamW, e o dado é SGD"), ("adamw_fundido", "outro modelo")],
)
def test_otimizador_que_nao_serve_nao_muda_o_modelo(gravado, nome, mensagem):
    modelo, _ = outro()
    otimizador = OTIMIZADORES[nome](modelo)
    antes = tudo(modelo, otimizador)
    with pytest.raises(CheckpointError, match=mensagem):
        load_checkpoint(gravado[0], modelo, otimizador)
    assert iguais(tudo(modelo, otimizador)[0], antes[0])


def test_sem_otimizador_no_arquivo(tmp_path):
    modelo, otimizador = outro()
    caminho = save_checkpoint(tmp_path, 1, modelo)
    with pytest.raises(CheckpointError, match="não tem estado de otimizador; carregue-o sem `optimizer`"):
        load_checkpoint(caminho, modelo, otimizador)
    load_checkpoint(caminho, modelo)


def test_arquivos_que_nao_existem_ou_sao_pastas(tmp_path):
    with pytest.raises(CheckpointError, match="arquivo não encontrado; confira a pasta"):
        load_checkpoint(tmp_path / "nada.safetensors", outro()[0])
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path, outro()[0])


def test_checkpoint_de_treino_nao_e_modelo_de_uso_nem_o_contrario(gravado, tmp_path):
    caminho, modelo, _ = gravado
    with pytest.raises(CheckpointError, match="é um checkpoint de treino, sem configuração; use load_checkpoint"):
        load_model(caminho)
    uso = save_model(modelo, tmp_path / "uso.safetensors")
    antes = pesos(modelo)
    with pytest.raises(CheckpointError, match="sem estado de treino; use load_model"):
        load_checkpoint(uso, modelo)
    assert iguais(pesos(modelo), antes)


# --- o mais novo da pasta


def dois_checkpoints(pasta):
    modelo, otimizador = outro()
    for passo in (5, 6):
        passos(modelo, otimizador, 1)
        save_checkpoint(pasta, passo, modelo, otimizador, state={"passo": passo})
    return list_checkpoints(pasta)


def test_pasta_sem_checkpoint(tmp_path):
    assert load_latest(tmp_path, outro()[0]) is None
    assert load_latest(tmp_path / "nem_existe", outro()[0]) is None


def test_o_mais_novo_e_usado(tmp_path):
    dois_checkpoints(tmp_path)
    estado, _ = load_latest(tmp_path, *outro())
    assert estado == {"passo": 6, "step": 6}


def test_o_mais_novo_danificado_avisa_e_usa_o_anterior(tmp_path):
    anterior, novo = dois_checkpoints(tmp_path)
    novo.write_bytes(novo.read_bytes()[:-5])
    modelo, otimizador = outro()
    aviso = rf"checkpoint ignorado: .*{re.escape(novo.name)}.* Retomando de {anterior.name}"
    with pytest.warns(UserWarning, match=aviso):
        estado, _ = load_latest(tmp_path, modelo, otimizador)
    assert estado == {"passo": 5, "step": 5}
    esperado, _ = outro()
    load_checkpoint(anterior, esperado)
    assert iguais(pesos(modelo), pesos(esperado))


def test_todos_danificados_e_erro_e_nao_recomeco_calado(tmp_path):
    for caminho in dois_checkpoints(tmp_path):
        caminho.write_bytes(b"lixo")
    modelo, otimizador = outro()
    antes = tudo(modelo, otimizador)
    with pytest.raises(CheckpointError, match=r"nenhum checkpoint utilizável .* Apague a pasta para recomeçar"):
        load_latest(tmp_path, modelo, otimizador)
    assert iguais(tudo(modelo, otimizador)[0], antes[0])


# --- retomada de um treino


def treina(pasta, *, epocas=3, lr=1e-2, opcoes_do_loader=None, interrompe_no=None, **mudancas):
    """Treino de 6 passos por época; `interrompe_no` o corta com um erro no meio."""
    modelo = modelo_pequeno(31, **{"emb_dim": 8, "n_heads": 2, **mudancas})
    otimizador = torch.optim.AdamW(modelo.parameters(), lr=lr)

    def agenda(passo, total):
        if passo == interrompe_no:
            raise KeyboardInterrupt
        return 1 - passo / total

    opcoes_do_loader = {k: torch.Generator().manual_seed(v) for k, v in (opcoes_do_loader or {}).items()}
    dados, validacao = carregador(**opcoes_do_loader), carregador(4, embaralha=False, semente=5)
    try:
        listas = train_model_simple(
            modelo, dados, validacao, otimizador, "cpu", epocas, 4, 2, "", None,
            lr_factor=agenda, checkpoint_dir=pasta, checkpoint_every=4,
        )  # fmt: skip
    except KeyboardInterrupt:
        listas = None
    return listas, pesos(modelo), torch.get_rng_state()


@pytest.mark.parametrize(
    ("opcoes_do_loader", "cortes"),
    [(None, range(1, 18)), ({"generator": 8}, (1, 5, 6, 12, 15))],  # 6 e 12 são o primeiro passo de uma época
    ids=["gerador_global", "gerador_proprio"],
)
def test_retomada_exata_de_onde_quer_que_pare(tmp_path, opcoes_do_loader, cortes, capsys):
    listas, finais, rng = treina(None, opcoes_do_loader=opcoes_do_loader)
    for passo in cortes:
        pasta = tmp_path / str(passo)
        assert treina(pasta, opcoes_do_loader=opcoes_do_loader, interrompe_no=passo)[0] is None
        random.seed(0)
        torch.manual_seed(passo)  # outro processo começaria com outro estado
        de_novo = treina(pasta, opcoes_do_loader=opcoes_do_loader)
        assert de_novo[0] == listas
        assert iguais(de_novo[1], finais)
        assert torch.equal(de_novo[2], rng)


def test_treino_terminado_devolve_as_mesmas_listas_sem_treinar(tmp_path, capsys):
    listas, finais, _ = treina(tmp_path)
    n_linhas = len(capsys.readouterr().out.splitlines())
    de_novo = treina(tmp_path, interrompe_no=17)  # se um só passo fosse dado, seria o 17, e cairia aqui
    assert n_linhas == len(listas[0]) == 5
    assert de_novo[0] == listas
    assert iguais(de_novo[1], finais)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("mudancas", "diferenca"),
    [
        ({"epocas": 4}, "total_steps=18, e este tem 24"),
        ({"lr": 2e-2}, r"base_lrs=\[0.01\], e este tem \[0.02\]"),
        ({"n_heads": 4}, "n_heads=2, e este tem 4"),  # os pesos têm o mesmo formato, e o modelo é outro
        ({"drop_rate": 0.2}, "drop_rate=0.1, e este tem 0.2"),
        ({"opcoes_do_loader": {"generator": 8}}, r"generators=\[\], e este tem \['loader'\]"),
    ],
)
def test_checkpoint_de_outro_treino_e_recusado(tmp_path, mudancas, diferenca):
    treina(tmp_path, interrompe_no=7)
    arquivos = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=f"o checkpoint é de um treino com {diferenca}"):
        treina(tmp_path, **mudancas)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == arquivos


def test_recusa_nao_muda_o_modelo(tmp_path):
    treina(tmp_path, interrompe_no=7)
    modelo, otimizador = outro()
    antes = tudo(modelo, otimizador)
    with pytest.raises(CheckpointError, match="total_steps=18, e este tem 6"):
        train_model_simple(
            modelo, carregador(), carregador(), otimizador, "cpu", 1, 1, 1, "", None, checkpoint_dir=tmp_path
        )
    depois = tudo(modelo, otimizador)
    assert iguais(depois[0], antes[0])
    assert depois[1:] == antes[1:]


def test_checkpoint_danificado_no_meio_do_treino_so_custa_alguns_passos(tmp_path):
    listas, finais, _ = treina(None)
    treina(tmp_path, interrompe_no=11)
    novo = list_checkpoints(tmp_path)[-1]
    novo.write_bytes(novo.read_bytes()[::-1])
    with pytest.warns(UserWarning, match="checkpoint ignorado"):
        de_novo = treina(tmp_path)
    assert de_novo[0] == listas
    assert iguais(de_novo[1], finais)


def treina_ate_parar(pasta, *, paciencia=2, eval_freq=2, interrompe_no=None, checkpoint_every=3):
    """Treino que a paciência encerra cedo: perdas, pesos, gerador global e os passos que esta chamada deu."""
    modelo = modelo_pequeno(31, emb_dim=8, n_heads=2)
    otimizador = torch.optim.AdamW(modelo.parameters(), lr=0.2)
    dados_agora = []

    def agenda(passo, total):
        if passo == interrompe_no:
            raise KeyboardInterrupt
        dados_agora.append(passo)
        return 1.0

    listas = train_model_simple(
        modelo, carregador(), carregador(4, embaralha=False, semente=5), otimizador, "cpu", 20, eval_freq, 2, "", None,
        lr_factor=agenda, patience=paciencia, checkpoint_dir=pasta, checkpoint_every=checkpoint_every,
    )  # fmt: skip
    return listas, pesos(modelo), torch.get_rng_state(), dados_agora


def test_parada_antecipada_tambem_se_retoma(tmp_path, capsys):
    listas, finais, rng, _ = treina_ate_parar(None)
    assert len(listas[1]) < 60
    with pytest.raises(KeyboardInterrupt):
        treina_ate_parar(tmp_path, interrompe_no=5)
    de_novo = treina_ate_parar(tmp_path)
    assert de_novo[0] == listas
    assert iguais(de_novo[1], finais)
    assert torch.equal(de_novo[2], rng)


# Cada época tem 6 passos; a parada no 5 cai no fim da primeira.
@pytest.mark.parametrize(("opcoes", "parada"), [({}, 6), ({"paciencia": 1, "eval_freq": 5}, 5)], ids=["meio", "fim"])
def test_depois_da_parada_antecipada_repetir_volta_sem_dar_um_passo(tmp_path, capsys, opcoes, parada):
    # Com um checkpoint a cada 1000 passos, só o da parada existe.
    listas, finais, rng, dados = treina_ate_parar(tmp_path, checkpoint_every=1000, **opcoes)
    assert dados == list(range(parada + 1))
    [gravado] = list_checkpoints(tmp_path)
    escrito_em = gravado.stat().st_mtime_ns
    torch.manual_seed(0)  # outro processo começaria com outro estado
    de_novo = treina_ate_parar(tmp_path, checkpoint_every=1000, **opcoes)
    assert de_novo[3] == []
    assert de_novo[0] == listas
    assert iguais(de_novo[1], finais)
    assert torch.equal(de_novo[2], rng)
    assert gravado.stat().st_mtime_ns == escrito_em


def test_com_mais_paciencia_o_treino_parado_continua_como_se_nao_tivesse_parado(tmp_path, capsys):
    listas, finais, rng, dados = treina_ate_parar(None, paciencia=4)
    parou_em = treina_ate_parar(tmp_path, paciencia=2)[3][-1]
    de_novo = treina_ate_parar(tmp_path, paciencia=4)
    assert de_novo[3] == dados[parou_em + 1 :] != []
    assert de_novo[0] == listas
    assert iguais(de_novo[1], finais)
    assert torch.equal(de_novo[2], rng)
