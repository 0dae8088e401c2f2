"""Adaptadores em disco: ida e volta no nosso formato, e os mesmos logits no `peft`, para lá e para cá."""

import json

import pytest
import torch
from gpt2_aleatorio import TOLERANCIA, gpt2, transformers
from modelos import ids_sorteados, iguais, modelo_pequeno, pesos, um_fio  # noqa: F401
from safetensors.torch import save_file

from llmdefinitions.adapters import load_lora, load_peft, save_lora, save_peft
from llmdefinitions.gpt2_format import config_from_gpt2, from_gpt2_state
from llmdefinitions.lora import apply_lora, lora_modules, lora_state_dict
from llmdefinitions.model import GPTModel
from llmdefinitions.pretrained import load_pretrained, pretrained_folder

peft = pytest.importorskip("peft")
# O peft pergunta ao transformers por um nome que este já aposentou; não é código nosso.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def _com_b_sorteado(modelo):
    with torch.no_grad():
        for _, camada in lora_modules(modelo):
            camada.lora.B.normal_(std=0.1)
    return modelo.eval()


def _nosso(deles) -> GPTModel:
    modelo = GPTModel(config_from_gpt2(deles.config.to_dict()))
    modelo.load_state_dict(from_gpt2_state(deles.state_dict(), modelo.cfg))
    return modelo.eval()


# --- o nosso formato


@pytest.mark.parametrize(
    "opcoes", [{}, {"dora": True}, {"targets": ["W_query", "out_head"], "scaling": "alpha/r"}], ids=str
)
def test_ida_e_volta(tmp_path, opcoes):
    modelo = _com_b_sorteado(apply_lora(modelo_pequeno(), 4, 2.0, dropout=0.25, **opcoes))
    caminho = save_lora(modelo, tmp_path / "a.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    lido = load_lora(modelo_pequeno(), caminho).eval()
    ids = ids_sorteados(2, 9)
    assert torch.equal(lido(ids), modelo(ids))
    assert next(lora_modules(lido))[1].lora.dropout.p == 0.25


def test_o_arquivo_e_pequeno(tmp_path):
    modelo = apply_lora(modelo_pequeno(), 2, 2.0)
    caminho = save_lora(modelo, tmp_path / "a")
    numeros = sum(t.numel() for t in lora_state_dict(modelo).values())
    assert caminho.stat().st_size < 4 * numeros + 8000  # quatro bytes por número, e o cabeçalho


@pytest.mark.parametrize("conteudo", ["lixo", "sem formato", "outro modelo"])
def test_arquivos_que_nao_servem_deixam_o_modelo_como_estava(tmp_path, conteudo):
    caminho = tmp_path / "a.safetensors"
    if conteudo == "lixo":
        caminho.write_bytes(b"nada")
    elif conteudo == "sem formato":
        save_file({"x": torch.zeros(1)}, caminho)
    else:
        save_lora(apply_lora(modelo_pequeno(emb_dim=64), 2, 2.0), caminho)
    modelo = modelo_pequeno()
    antes = pesos(modelo)
    with pytest.raises(ValueError, match=r"danificado|não é um adaptador|o adaptador tem"):
        load_lora(modelo, caminho)
    assert iguais(pesos(modelo), antes)
    assert all(p.requires_grad for p in modelo.parameters())


# --- peft


@pytest.mark.parametrize(
    "alvos",
    [
        ("W_query", "W_key", "W_value", "out_proj", "ff.layers.0", "ff.layers.2"),
        ("W_query", "W_value"),
        ("ff.layers.2",),
        ("out_proj",),
    ],
    ids=str,
)
@pytest.mark.parametrize("escala", ["alpha", "alpha/r", "alpha/sqrt(r)"])
def test_exportado_da_os_mesmos_logits_no_peft(tmp_path, alvos, escala):
    deles, ids = gpt2(), ids_sorteados(2, 9)
    nosso = _com_b_sorteado(apply_lora(_nosso(deles), 3, 2.0, targets=alvos, scaling=escala))
    save_peft(nosso, tmp_path / "a")
    la = peft.PeftModel.from_pretrained(deles, tmp_path / "a").eval()
    torch.testing.assert_close(la(ids).logits, nosso(ids), **TOLERANCIA)
    assert not torch.allclose(nosso(ids), _nosso(gpt2())(ids), atol=1e-3)  # o adaptador faz diferença


@pytest.mark.parametrize("opcoes", [{}, {"use_rslora": True}, {"alpha_pattern": {"c_attn|attn.c_proj": 5}}], ids=str)
@pytest.mark.parametrize("alvos", [["c_attn"], ["attn.c_proj", "c_fc"], ["c_attn", "c_proj", "c_fc"]], ids=str)
def test_adaptador_do_peft_da_os_mesmos_logits_aqui(tmp_path, alvos, opcoes):
    config = peft.LoraConfig(
        r=3,
        lora_alpha=7,
        target_modules=alvos,
        init_lora_weights=False,
        fan_in_fan_out=True,
        task_type="CAUSAL_LM",
        **opcoes,
    )
    torch.manual_seed(3)
    la = peft.get_peft_model(gpt2(), config).eval()
    la.save_pretrained(tmp_path)
    nosso, ids = load_peft(_nosso(gpt2()), tmp_path), ids_sorteados(2, 9)
    torch.testing.assert_close(nosso.eval()(ids), la(ids).logits, **TOLERANCIA)


def test_no_mini_pt_so_o_arredondamento_separa_as_duas_bibliotecas(tmp_path):
    """Logits de ordem 20 em float32 não cabem em 1e-5, com ou sem adaptador; em float64 sobra muito menos que isso."""
    transformers.utils.logging.disable_progress_bar()
    base, _ = load_pretrained("mini-pt")
    deles = transformers.GPT2LMHeadModel.from_pretrained(pretrained_folder("mini-pt")).float().eval()
    ids = ids_sorteados(2, 32, vocab_size=base.cfg.vocab_size)
    with torch.no_grad():
        sem_adaptador = (base.eval()(ids) - deles(ids).logits).abs().max()
        nosso = _com_b_sorteado(apply_lora(base, 4, 1.0))
        save_peft(nosso, tmp_path / "a")
        la = peft.PeftModel.from_pretrained(deles, tmp_path / "a").eval()
        volta = load_peft(load_pretrained("mini-pt")[0], tmp_path / "a").eval()
        # O adaptador não acrescenta erro de outra ordem ao que a base já tem.
        assert (nosso(ids) - la(ids).logits).abs().max() < 5 * sem_adaptador
        ida, la, volta = nosso.double()(ids), la.double()(ids).logits, volta.double()(ids)
    torch.testing.assert_close(la, ida, rtol=0, atol=1e-5)
    torch.testing.assert_close(volta, ida, rtol=0, atol=1e-5)


def test_da_volta_inteira_sem_mudar(tmp_path):
    nosso, ids = _com_b_sorteado(apply_lora(_nosso(gpt2()), 3, 2.0)), ids_sorteados(2, 9)
    save_peft(nosso, tmp_path / "a")
    voltou = load_peft(_nosso(gpt2()), tmp_path / "a").eval()
    assert {camada.lora.rank for _, camada in lora_modules(voltou)} == {3}  # e não 9, o posto das três juntas
    torch.testing.assert_close(voltou(ids), nosso(ids), **TOLERANCIA)


def test_adaptador_sem_treino_tambem_volta(tmp_path):
    save_peft(apply_lora(_nosso(gpt2()), 3, 2.0), tmp_path)
    voltou, ids = load_peft(_nosso(gpt2()), tmp_path).eval(), ids_sorteados(2, 9)
    assert torch.equal(voltou(ids), _nosso(gpt2())(ids))


@pytest.mark.parametrize(
    ("mudanca", "mensagem"),
    [({"peft_type": "IA3"}, "peft_type='IA3'"), ({"use_dora": True}, "use_dora=True"), ({"bias": "all"}, "bias='all'")],
)
def test_adaptadores_do_peft_que_nao_se_leem(tmp_path, mudanca, mensagem):
    save_peft(apply_lora(_nosso(gpt2()), 2, 1.0, targets=["out_proj"]), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, **mudanca}), encoding="utf-8")
    with pytest.raises(ValueError, match=mensagem):
        load_peft(_nosso(gpt2()), tmp_path)


@pytest.mark.parametrize(
    ("opcoes", "mensagem"),
    [({"dora": True}, "DoRA não se exporta"), ({"targets": ["out_head"]}, "out_head não se exporta")],
)
def test_o_que_nao_se_exporta(tmp_path, opcoes, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        save_peft(apply_lora(modelo_pequeno(), 2, 1.0, **opcoes), tmp_path / "x")
    assert not (tmp_path / "x").exists()
