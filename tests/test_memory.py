"""Memória de treino: a conta bate com o que o PyTorch guarda e aloca, e refazer ativações não muda os gradientes."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from modelos import ids_sorteados, modelo_pequeno, um_fio  # noqa: F401
from torch.profiler import profile

from llmdefinitions import GPTConfig, GPTModel
from llmdefinitions.gpt1_inputs import GPT1Classifier
from llmdefinitions.lora import apply_lora
from llmdefinitions.memory import PRECISIONS, STRATEGIES, checkpointing, training_memory
from llmdefinitions.quantization import model_bytes, quantize_model

CFG = GPTConfig(101, 16, 32, 4, 3, 0.0, qkv_bias=True)
B, T = 2, 16


def _modelo(estrategia, cfg=CFG, posto=4):
    torch.manual_seed(0)
    modelo = GPTModel(cfg)
    if estrategia == "qlora":
        quantize_model(modelo)
    return modelo if estrategia == "completo" else apply_lora(modelo, posto, 1.0)


def _perda(modelo, lote=B, comprimento=T):
    x = ids_sorteados(lote, comprimento, vocab_size=modelo.cfg.vocab_size)
    y = x.roll(1, dims=1)  # outra memória: os alvos contam à parte
    return F.cross_entropy(modelo(x).flatten(0, 1), y.flatten())


def _guardado(modelo):
    """Bytes das memórias que a ida guarda para a volta, sem contar pesos nem repetir a mesma memória."""
    proprias = {t.untyped_storage().data_ptr() for t in (*modelo.parameters(), *modelo.buffers())}
    achadas, vivos = {}, []

    def guarda(tensor):
        memoria = tensor.untyped_storage()
        if memoria.data_ptr() not in proprias:
            achadas[memoria.data_ptr()] = memoria.nbytes()
        vivos.append(tensor)  # enquanto vive, o endereço não se repete
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(guarda, lambda tensor: tensor):
        _perda(modelo)
    return sum(achadas.values())


@pytest.mark.parametrize("amarrado", [False, True])
@pytest.mark.parametrize("estrategia", STRATEGIES)
def test_as_ativacoes_sao_byte_a_byte_as_que_o_pytorch_guarda(estrategia, amarrado):
    cfg = GPTConfig(101, 16, 32, 4, 3, 0.0, qkv_bias=True, tie_weights=amarrado, init_std=0.02)
    conta = training_memory(cfg, B, T, strategy=estrategia, rank=4)
    assert conta.activations == _guardado(_modelo(estrategia, cfg))


@pytest.mark.parametrize("estrategia", STRATEGIES)
def test_pesos_gradientes_e_otimizador_sao_os_do_modelo(estrategia):
    modelo = _modelo(estrategia)
    conta = training_memory(CFG, B, T, strategy=estrategia, rank=4)
    treinam = [p for p in modelo.parameters() if p.requires_grad]
    otimizador = torch.optim.AdamW(treinam, fused=True)
    _perda(modelo).backward()
    otimizador.step()
    estados = [t for s in otimizador.state.values() for nome, t in s.items() if nome != "step"]
    assert conta.weights == model_bytes(modelo)
    assert conta.trainable == sum(p.numel() for p in treinam)
    assert conta.gradients == sum(p.grad.nbytes for p in treinam)
    assert conta.optimizer == sum(t.nbytes for t in estados)


def _pico_do_passo(modelo, refaz):
    """Maior soma de memória alocada e ainda não solta num passo, pelos eventos do profiler, além da de antes dele."""
    lote, comprimento = 4, 64
    with profile(profile_memory=True) as medida:
        if refaz:
            with checkpointing(modelo):
                _perda(modelo, lote, comprimento).backward()
        else:
            _perda(modelo, lote, comprimento).backward()
    eventos = [e for e in medida.profiler.kineto_results.events() if e.name() == "[memory]"]
    agora = pico = 0
    for evento in sorted(eventos, key=lambda e: e.start_ns()):
        agora += evento.nbytes()
        pico = max(pico, agora)
    return pico


@pytest.mark.parametrize("refaz", [False, True])
@pytest.mark.parametrize("estrategia", STRATEGIES)
def test_o_pico_do_passo_e_o_que_o_profiler_ve(estrategia, refaz):
    cfg = GPTConfig(512, 64, 64, 4, 4, 0.0, qkv_bias=True)
    conta = training_memory(cfg, 4, 64, strategy=estrategia, rank=8, checkpointing=refaz)
    medido = _pico_do_passo(_modelo(estrategia, cfg, 8), refaz)
    # A conta deixa de fora os temporários de cada operação, que neste tamanho são alguns centésimos do total.
    assert conta.peak - conta.weights - conta.optimizer == pytest.approx(medido, rel=0.12)


def test_refazer_as_ativacoes_da_os_mesmos_gradientes_com_dropout():
    modelo = modelo_pequeno(drop_rate=0.3).train()
    ids = ids_sorteados(2, 10)

    def gradientes():
        modelo.zero_grad()
        torch.manual_seed(5)
        F.cross_entropy(modelo(ids).flatten(0, 1), ids.flatten()).backward()
        return [p.grad.clone() for p in modelo.parameters()]

    antes = gradientes()
    with checkpointing(modelo):
        dentro = gradientes()
    assert all(torch.equal(a, b) for a, b in zip(antes, dentro, strict=True))
    assert all("forward" not in vars(block) for block in modelo.trf_blocks)


def test_refazer_serve_a_um_classificador_e_so_os_adaptadores_recebem_gradiente():
    modelo = GPT1Classifier(apply_lora(modelo_pequeno(drop_rate=0.0), 2, 1.0), 3, 0.0)
    ids = torch.tensor([[modelo.special.start, 1, 2, modelo.special.extract]])
    with checkpointing(modelo):
        modelo(ids).sum().backward()
    com_gradiente = {nome for nome, p in modelo.named_parameters() if p.grad is not None}
    assert com_gradiente == {nome for nome, p in modelo.named_parameters() if p.requires_grad}


def test_refazer_recusa_outro_modelo_e_duas_vezes():
    with pytest.raises(ValueError, match="Linear sem trf_blocks"), checkpointing(torch.nn.Linear(2, 2)):
        pass
    modelo = modelo_pequeno()
    with checkpointing(modelo), pytest.raises(ValueError, match="já dentro"), checkpointing(modelo):
        pass
    assert all("forward" not in vars(block) for block in modelo.trf_blocks)


def test_o_lora_poupa_otimizador_e_nao_ativacoes_e_refazer_o_contrario():
    completo, lora = (training_memory(CFG, B, T, strategy=nome, rank=1) for nome in ("completo", "lora"))
    refeito = training_memory(CFG, B, T, checkpointing=True)
    assert lora.optimizer < completo.optimizer / 5
    assert lora.activations > 0.95 * completo.activations
    assert (refeito.optimizer, refeito.gradients) == (completo.optimizer, completo.gradients)
    assert refeito.activations < completo.activations / 3


def test_a_precisao_mista_sao_os_dezesseis_bytes_por_parametro_do_artigo():
    conta = training_memory(CFG, B, T, precision="mista")
    assert conta.weights + conta.gradients + conta.optimizer == 16 * conta.trainable
    assert conta.activations < training_memory(CFG, B, T).activations
    assert set(PRECISIONS) == {"float32", "mista"}


def test_um_modelo_enorme_nao_ocupa_memoria():
    gpt3 = GPTConfig(50257, 2048, 12288, 96, 96, 0.0, qkv_bias=True, tie_weights=True, init_std=0.02)
    conta = training_memory(gpt3, 1, 2048, precision="mista")
    assert conta.trainable == pytest.approx(175e9, rel=0.01)
    assert conta.total > conta.peak > conta.weights


@pytest.mark.parametrize(
    ("mudanca", "mensagem"),
    [
        ({"strategy": "prompt"}, "strategy='prompt'"),
        ({"precision": "int8"}, "precision='int8'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"length": 17}, "de 1 a 16 tokens"),
    ],
)
def test_recusa_argumentos_invalidos(mudanca, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        training_memory(CFG, **{"batch_size": B, "length": T, **mudanca})


@pytest.mark.skipif(sys.platform == "darwin", reason="no macOS só se conhece o máximo")
def test_a_memoria_do_processo_sobe_e_desce_e_o_pico_so_sobe():
    programa = (
        "from llmdefinitions.memory import process_memory as memoria\n"
        "antes = memoria()\n"
        "x = b'1' * 80_000_000\n"
        "com = memoria()\n"
        "del x\n"
        "depois = memoria()\n"
        "print(com[0] - antes[0], depois[0] - antes[0], depois[1] - antes[0])"
    )
    saida = subprocess.run([sys.executable, "-c", programa], capture_output=True, text=True, check=True).stdout
    com, depois, pico = map(int, saida.split())
    # 80 MB, com uma folga para páginas, o alocador e o núcleo, que junta as contagens de tempos em tempos.
    assert 78e6 < com < 90e6
    assert depois < 10e6
    assert pico > 78e6
