"""O formato do GPT-2 publicado: nomes, formatos e configuração, e a conversão de ida e de volta do `GPTModel`.

É o único lugar que sabe a correspondência entre os dois. O GPT-2 (Radford et al., 2019) guarda as camadas lineares
transpostas, `(entrada, saída)`, porque no código original eram convoluções de largura 1, e as projeções de consulta,
chave e valor coladas numa só, `c_attn`. Um "estado" aqui é o dicionário plano, nome → tensor, do Hugging Face.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .config import GPTConfig
from .model import GPTModel

HEAD = "lm_head.weight"
PREFIX = "transformer."
_QKV = ("att.W_query", "att.W_key", "att.W_value")
_LINEAR = {"att.out_proj": "attn.c_proj", "ff.layers.0": "mlp.c_fc", "ff.layers.2": "mlp.c_proj"}
_NORM = {"norm1": "ln_1", "norm2": "ln_2"}
# Máscaras causais que versões antigas do transformers gravavam junto dos pesos.
_MASK = re.compile(r"h\.\d+\.attn\.(masked_)?bias")
# O que o GPTModel sabe fazer, de tudo o que a configuração permite; o primeiro valor é o padrão do formato.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "layer_norm_epsilon": (1e-5,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}


def config_from_gpt2(config: Mapping[str, Any], *, drop_rate: float = 0.0, tie_weights: bool = True) -> GPTConfig:
    """`GPTConfig` de um `config.json` de GPT-2; um campo ausente vale o padrão do formato, o do GPT-2 pequeno.

    Erros:
        ValueError: outra arquitetura, ou uma variante do GPT-2 que o `GPTModel` não implementa.
    """
    if config.get("model_type") != "gpt2":
        raise ValueError(
            f"model_type={config.get('model_type')!r}: esperado 'gpt2'; o GPTModel só tem essa arquitetura, use um "
            "modelo dela."
        )
    width = config.get("n_embd", 768)
    supported = {**_SUPPORTED, "n_inner": (None, 4 * width)}
    for name, values in supported.items():
        if (value := config.get(name, values[0])) not in values:
            raise ValueError(
                f"{name}={value!r}: o GPTModel só implementa {' ou '.join(map(repr, values))}; com outro valor os "
                "logits sairiam errados."
            )
    return GPTConfig(
        vocab_size=config.get("vocab_size", 50257),
        context_length=config.get("n_positions", config.get("n_ctx", 1024)),
        emb_dim=width,
        n_heads=config.get("n_head", 12),
        n_layers=config.get("n_layer", 12),
        drop_rate=drop_rate,
        qkv_bias=True,
        tie_weights=tie_weights,
        init_std=config.get("initializer_range", 0.02),
    )


def config_to_gpt2(cfg: GPTConfig, *, eos_id: int | None = None) -> dict[str, Any]:
    """`config.json` do GPT-2 para `cfg`; `eos_id` é o id do fim de texto, que o GPT-2 usa também de começo."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": cfg.vocab_size,
        "n_positions": cfg.context_length,
        "n_embd": cfg.emb_dim,
        "n_head": cfg.n_heads,
        "n_layer": cfg.n_layers,
        "n_inner": None,
        **{name: values[0] for name, values in _SUPPORTED.items()},
        **dict.fromkeys(("embd_pdrop", "resid_pdrop", "attn_pdrop"), cfg.drop_rate),
        "initializer_range": 0.02 if cfg.init_std is None else cfg.init_std,
        "tie_word_embeddings": cfg.tie_weights,
        "bos_token_id": eos_id,
        "eos_token_id": eos_id,
    }


def to_gpt2_state(model: GPTModel) -> dict[str, Tensor]:
    """Pesos de `model` com os nomes e os formatos de `GPT2LMHeadModel.state_dict()`.

    Sem viés em QKV, `c_attn.bias` é zero, o que dá os mesmos logits. `lm_head.weight` está sempre lá: com a saída
    amarrada, é o mesmo tensor de `wte.weight`. Os tensores podem compartilhar memória com o modelo.

    Erros:
        ValueError: o modelo tem parâmetros que o formato não tem (adaptadores LoRA, por exemplo).
    """
    cfg, own = model.cfg, model.state_dict()
    if extra := set(own) ^ {*_own_names(cfg)}:
        raise ValueError(
            f"{_some(sorted(extra))}: não é um GPTModel puro, e o formato do GPT-2 não tem onde guardar o resto; "
            "funda os adaptadores nos pesos antes."
        )
    zero = torch.zeros(cfg.emb_dim, dtype=model.tok_emb.weight.dtype, device=model.tok_emb.weight.device)
    state = {"wte.weight": own["tok_emb.weight"], "wpe.weight": own["pos_emb.weight"]}
    for i in range(cfg.n_layers):
        ours, theirs = f"trf_blocks.{i}.", f"h.{i}."
        qkv = [own[f"{ours}{name}.weight"] for name in _QKV]
        state[f"{theirs}attn.c_attn.weight"] = torch.cat(qkv).T  # 3 × (D, D) → (D, 3D)
        state[f"{theirs}attn.c_attn.bias"] = torch.cat([own.get(f"{ours}{name}.bias", zero) for name in _QKV])  # (3D,)
        for mine, other in _LINEAR.items():
            state[f"{theirs}{other}.weight"] = own[f"{ours}{mine}.weight"].T  # (saída, entrada) → (entrada, saída)
            state[f"{theirs}{other}.bias"] = own[f"{ours}{mine}.bias"]
        for mine, other in _NORM.items():
            state[f"{theirs}{other}.weight"] = own[f"{ours}{mine}.scale"]
            state[f"{theirs}{other}.bias"] = own[f"{ours}{mine}.shift"]
    state |= {"ln_f.weight": own["final_norm.scale"], "ln_f.bias": own["final_norm.shift"]}
    return {**{PREFIX + name: tensor for name, tensor in state.items()}, HEAD: own["out_head.weight"]}


def from_gpt2_state(state: Mapping[str, Tensor], cfg: GPTConfig) -> dict[str, Tensor]:
    """`state_dict()` de um `GPTModel(cfg)` com os pesos de um estado de GPT-2, em cópias float32.

    Os nomes podem vir com ou sem `transformer.`; as máscaras `attn.bias` e `attn.masked_bias` são ignoradas; sem
    `lm_head.weight`, a saída é `wte.weight`.

    Erros:
        ValueError: tensor que falta, que sobra, de outro formato ou que não é de ponto flutuante; viés de QKV diferente
            de zero com `qkv_bias=False`; `lm_head.weight` diferente de `wte.weight` com `tie_weights=True`.
    """
    state = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    state = {name: tensor for name, tensor in state.items() if not _MASK.fullmatch(name)}
    shapes = gpt2_shapes(cfg)
    if HEAD in state:
        shapes[HEAD] = (cfg.vocab_size, cfg.emb_dim)
    check_tensors(state, shapes)
    if cfg.tie_weights and has_own_head(state):
        raise ValueError(f"{HEAD} é diferente de wte.weight: crie o modelo com tie_weights=False.")
    if not cfg.qkv_bias and has_qkv_bias(state):
        raise ValueError("attn.c_attn.bias tem valores diferentes de zero: crie o modelo com qkv_bias=True.")

    own = {"tok_emb.weight": copy_float32(state["wte.weight"]), "pos_emb.weight": copy_float32(state["wpe.weight"])}
    for i in range(cfg.n_layers):
        ours, theirs = f"trf_blocks.{i}.", f"h.{i}."
        weights = state[f"{theirs}attn.c_attn.weight"].T.chunk(3)  # (D, 3D) → 3 × (D, D)
        biases = state[f"{theirs}attn.c_attn.bias"].chunk(3)  # (3D,) → 3 × (D,)
        for name, weight, bias in zip(_QKV, weights, biases, strict=True):
            own[f"{ours}{name}.weight"] = copy_float32(weight)
            if cfg.qkv_bias:
                own[f"{ours}{name}.bias"] = copy_float32(bias)
        for mine, other in _LINEAR.items():
            own[f"{ours}{mine}.weight"] = copy_float32(state[f"{theirs}{other}.weight"].T)  # → (saída, entrada)
            own[f"{ours}{mine}.bias"] = copy_float32(state[f"{theirs}{other}.bias"])
        for mine, other in _NORM.items():
            own[f"{ours}{mine}.scale"] = copy_float32(state[f"{theirs}{other}.weight"])
            own[f"{ours}{mine}.shift"] = copy_float32(state[f"{theirs}{other}.bias"])
    own |= {
        "final_norm.scale": copy_float32(state["ln_f.weight"]),
        "final_norm.shift": copy_float32(state["ln_f.bias"]),
    }
    head = own["tok_emb.weight"] if cfg.tie_weights else copy_float32(state.get(HEAD, state["wte.weight"]))
    return {**own, "out_head.weight": head}


def has_own_head(state: Mapping[str, Tensor]) -> bool:
    """Diz se o estado traz uma matriz de saída que não é a dos embeddings de tokens."""
    embedding = state.get("wte.weight", state.get(f"{PREFIX}wte.weight"))
    return HEAD in state and (embedding is None or not torch.equal(state[HEAD], embedding))


def has_qkv_bias(state: Mapping[str, Tensor]) -> bool:
    """Diz se algum viés das projeções de consulta, chave e valor é diferente de zero."""
    return any(bool(tensor.any()) for name, tensor in state.items() if name.endswith("attn.c_attn.bias"))


def gpt2_shapes(cfg: GPTConfig) -> dict[str, tuple[int, ...]]:
    """Nome (sem `transformer.`) e formato de cada tensor do GPT-2 de `cfg`, fora `lm_head.weight`."""
    d = cfg.emb_dim
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (cfg.vocab_size, d), "wpe.weight": (cfg.context_length, d)}
    for i in range(cfg.n_layers):
        for name, (n_in, n_out) in {
            "attn.c_attn": (d, 3 * d),
            "attn.c_proj": (d, d),
            "mlp.c_fc": (d, 4 * d),
            "mlp.c_proj": (4 * d, d),
        }.items():
            shapes |= {f"h.{i}.{name}.weight": (n_in, n_out), f"h.{i}.{name}.bias": (n_out,)}
        shapes |= {f"h.{i}.{norm}.{kind}": (d,) for norm in _NORM.values() for kind in ("weight", "bias")}
    return {**shapes, "ln_f.weight": (d,), "ln_f.bias": (d,)}


def check_tensors(found: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Recusa com `ValueError` o que falta, o que sobra, o que tem outro formato e o que não é ponto flutuante."""
    problems = [f"falta {name} {shape}" for name, shape in expected.items() if name not in found]
    problems += [f"sobra {name} {tuple(tensor.shape)}" for name, tensor in found.items() if name not in expected]
    for name, shape in expected.items():
        if name in found and tuple(found[name].shape) != shape:
            problems.append(f"{name} tem formato {tuple(found[name].shape)}, esperado {shape}")
        elif name in found and not found[name].is_floating_point():
            problems.append(f"{name} é {found[name].dtype}, esperado ponto flutuante")
    if problems:
        raise ValueError(
            f"os pesos não são deste GPT-2: {_some(problems)}. Confira se o arquivo e a configuração são do mesmo "
            "modelo (camadas, largura, contexto e vocabulário)."
        )


def _some(items: list[str], limit: int = 6) -> str:
    rest = len(items) - limit
    return "; ".join(items[:limit]) + (f"; e mais {rest}" if rest > 0 else "")


def copy_float32(tensor: Tensor) -> Tensor:
    """Cópia contígua: o original pode estar mapeado num arquivo, que o Windows não deixaria apagar."""
    return tensor.to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def _own_names(cfg: GPTConfig) -> list[str]:
    with torch.device("meta"):
        return list(GPTModel(cfg).state_dict())
