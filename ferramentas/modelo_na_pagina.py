"""O mini-pt para a página que o executa no navegador: pesos, tokenizador, medidas e um exemplo já calculado.

Uso: `python ferramentas/modelo_na_pagina.py PASTA`. Quem chama é a construção do site (book/_ext/livro_modelo.py).

Grava em PASTA `mini-pt-8bits.js` e `mini-pt-16bits.js` (ver ferramentas/pesos_na_pagina.py) e `pagina.json`, com o que
a página mostra antes de carregar o modelo. Nada ali é digitado: sai dos pesos embutidos no pacote, pelo PyTorch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pesos_na_pagina
import torch
from safetensors.numpy import load_file

from llmdefinitions.attention_maps import attention_weights
from llmdefinitions.corpora import load_corpus
from llmdefinitions.files import write_json, write_text
from llmdefinitions.generation import filter_logits, generate
from llmdefinitions.gpt2_format import from_gpt2_state
from llmdefinitions.model import GPTModel
from llmdefinitions.model_files import WEIGHTS
from llmdefinitions.pretrain_data import training_split
from llmdefinitions.pretrain_report import PROMPTS, SAMPLING
from llmdefinitions.pretrained import load_pretrained, pretrained_folder
from llmdefinitions.recipe import load_recipe
from llmdefinitions.scoring import score_documents, total_bits_per_byte
from llmdefinitions.tokenizer import encode

MODEL = "mini-pt"
FILES = {"base": "mini-pt-8bits.js", "resto": "mini-pt-16bits.js"}
#: O que a página pode baixar, em bytes: os dois scripts, com o tokenizador.
MAX_BYTES = 12_000_000
#: Tokens do exemplo, candidatos da tabela e posições do mapa de atenção; a página usa os mesmos.
NEW_TOKENS, TOP, MAP_SIZE = 40, 10, 14
#: Histórias novas em que se mede a perda da quantização.
STORIES = 100
_PREFIX = "transformer."
_EMBEDDING = "wte"


def page_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Tensores do modelo com os nomes que a página usa; as matrizes, com uma linha por saída."""
    tensors = {}
    for name, tensor in load_file(folder / WEIGHTS).items():
        short = name.removeprefix(_PREFIX)
        if short in ("wte.weight", "wpe.weight"):
            tensors[short.removesuffix(".weight")] = tensor
        else:
            # O GPT-2 guarda (entrada, saída).
            tensors[short] = np.ascontiguousarray(tensor.T) if tensor.ndim == 2 else tensor
    return tensors


def matrix_names(tensors: dict[str, np.ndarray]) -> list[str]:
    """As matrizes que vão em 8 bits: todas, menos as posições, que são poucas e se somam à entrada como estão."""
    return [name for name, tensor in tensors.items() if tensor.ndim == 2 and name != "wpe"]


def network_shape(config: dict[str, Any]) -> dict[str, Any]:
    """Dimensões da rede, com os nomes de `rede.js`."""
    return {
        "camadas": config["n_layer"],
        "cabecas": config["n_head"],
        "largura": config["n_embd"],
        "contexto": config["n_positions"],
        "vocabulario": config["vocab_size"],
        "epsilon": config["layer_norm_epsilon"],
    }


def page_tokenizer(folder: Path) -> dict[str, Any]:
    """O BPE como `tokenizador.js` o lê: texto de cada id, pares de ids a fundir, em ordem, e o id de fim."""
    stored = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {**stored["model"]["vocab"], **{added["content"]: added["id"] for added in stored["added_tokens"]}}
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in stored["model"]["merges"]]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {
        "tokens": sorted(ids, key=ids.__getitem__),
        "fusoes": [ids[part] for pair in pairs for part in pair],
        "fim": config["eos_token_id"],
    }


def quantized_model(model: GPTModel, folder: Path) -> GPTModel:
    """Uma cópia do modelo com os pesos que a página tem em 8 bits."""
    state = {name: torch.from_numpy(tensor.astype(np.float32)) for name, tensor in load_file(folder / WEIGHTS).items()}
    tensors = page_tensors(folder)
    for name in matrix_names(tensors):
        weights = torch.from_numpy(pesos_na_pagina.dequantize_rows(*pesos_na_pagina.quantize_rows(tensors[name])))
        if name == _EMBEDDING:
            state[f"{_PREFIX}{_EMBEDDING}.weight"] = weights
        else:
            state[_PREFIX + name] = weights.T.contiguous()
    copy = GPTModel(model.cfg)
    copy.load_state_dict(from_gpt2_state(state, model.cfg))
    return copy.eval()


def heldout_texts() -> dict[str, list[str]]:
    """Textos que o modelo não viu e que qualquer instalação tem: os separados da BNCC e histórias novas."""
    recipe = load_recipe(MODEL)
    known = set(load_corpus("historias", n_stories=recipe.n_stories, seed=recipe.seed).documents)
    # A semente seguinte à do treino é a das histórias que só medem.
    fresh = load_corpus("historias", n_stories=STORIES, seed=recipe.seed + 1).documents
    return {
        "bncc": training_split(load_corpus("bncc"), recipe)[1],
        "historias": [text for text in fresh if text not in known],
    }


def measure(model: GPTModel, tokenizer: Any, folder: Path) -> dict[str, dict[str, float]]:
    """Bits por byte, em cada texto separado, com os pesos como estão no pacote e com os de 8 bits."""
    versions = {"16": model, "8": quantized_model(model, folder)}
    return {
        name: {
            bits: total_bits_per_byte(score_documents(version, texts, tokenizer)) for bits, version in versions.items()
        }
        for name, texts in heldout_texts().items()
    }


def visible(tokenizer: Any, ids: list[int]) -> list[str]:
    """O texto de cada token, como `Tokenizador.textos`: o byte sem a letra inteira espera o token que a completa."""
    shown, before = [], ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:end], skip_special_tokens=False).rstrip("\N{REPLACEMENT CHARACTER}")
        shown.append(text[len(before) :])
        before = text
    return shown


def example(model: GPTModel, tokenizer: Any, end: int) -> dict[str, Any]:
    """O que a página mostra antes de carregar o modelo, para o primeiro dos começos da ficha dele."""
    prompt, context = PROMPTS[0], model.cfg.context_length
    start = [end, *encode(prompt, tokenizer)]
    idx = torch.tensor([start])  # (1, T)
    greedy = generate(model, idx, NEW_TOKENS, context, eos_id=end)[0].tolist()
    generator = torch.Generator().manual_seed(0)
    drawn = generate(model, idx, NEW_TOKENS, context, eos_id=end, generator=generator, **SAMPLING)[0].tolist()
    with torch.no_grad():
        logits = filter_logits(model(idx)[:, -1], top_k=SAMPLING["top_k"]) / SAMPLING["temperature"]  # (1, V)
    probabilities, order = torch.softmax(logits[0], dim=-1).topk(TOP)
    shown = torch.tensor([drawn[:MAP_SIZE]])  # (1, T)
    maps = attention_weights(model, shown)[:, 0]  # (L, H, T, T)
    # A cabeça do exemplo é a que mais olha para o token anterior, um padrão que se reconhece sem explicação.
    backwards = maps.diagonal(-1, dim1=-2, dim2=-1).mean(dim=-1)  # (L, H)
    layer, head = divmod(int(backwards.argmax()), backwards.shape[1])
    return {
        "comeco": prompt,
        "gulosa": _tokens(tokenizer, greedy, len(start)),
        "sorteada": _tokens(tokenizer, drawn, len(start)),
        "topo": [
            {"texto": visible(tokenizer, [i])[0], "p": p}
            for i, p in zip(order.tolist(), probabilities.tolist(), strict=True)
        ],
        "candidatos": int((logits > -torch.inf).sum()),
        "atencao": {
            "camada": layer,
            "cabeca": head,
            "textos": visible(tokenizer, shown[0].tolist()),
            "linhas": [row[: t + 1] for t, row in enumerate(maps[layer, head].tolist())],
        },
    }


def _tokens(tokenizer: Any, ids: list[int], start: int) -> list[dict[str, Any]]:
    return [{"texto": text, "gerado": i >= start} for i, text in enumerate(visible(tokenizer, ids))]


def export(output: Path) -> dict[str, Any]:
    """Grava os três arquivos em `output` e devolve o conteúdo de `pagina.json`.

    Erros:
        ValueError: os scripts passam de `MAX_BYTES`.
    """
    folder = pretrained_folder(MODEL)
    model, tokenizer = load_pretrained(MODEL)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = page_tensors(folder)
    fields = {"forma": network_shape(config), "tokenizador": page_tokenizer(folder)}
    texts = dict(zip(FILES, pesos_na_pagina.scripts(tensors, matrix_names(tensors), fields), strict=True))
    sizes = {part: len(text.encode()) for part, text in texts.items()}
    if sum(sizes.values()) > MAX_BYTES:
        raise ValueError(
            f"os pesos da página têm {sum(sizes.values())} bytes; o limite é {MAX_BYTES}: reduza o modelo."
        )
    page = {
        "arquivos": FILES,
        "bytes": sizes,
        "parametros": model.count_parameters(),
        "forma": fields["forma"],
        "bits_por_byte": measure(model, tokenizer, folder),
        "sorteio": SAMPLING,
        "novos": NEW_TOKENS,
        "candidatos_na_tabela": TOP,
        "posicoes_no_mapa": MAP_SIZE,
        "exemplo": example(model, tokenizer, fields["tokenizador"]["fim"]),
    }
    output.mkdir(parents=True, exist_ok=True)
    for part, text in texts.items():
        write_text(output / FILES[part], text)
    write_json(output / "pagina.json", page)
    return page


if __name__ == "__main__":
    export(Path(sys.argv[1]))
