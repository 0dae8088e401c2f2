"""Modelos prontos: carregar o embutido, os do Hub ou os de uma pasta, e exportar no formato do Hugging Face."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .config import GPT2_SIZES, GPTConfig
from .files import write_tensors
from .gpt2_format import HEAD, config_from_gpt2, config_to_gpt2, from_gpt2_state, has_own_head, to_gpt2_state
from .gpt2_params import params_from_state
from .hub import HubSnapshot
from .hub_tokenizer import read_tokenizer, tokenizer_files
from .model import GPTModel
from .model_files import INDEX, PICKLE, WEIGHTS, ModelFiles, ModelFolder, find_weights, read_json, read_tensors
from .tokenizer import eos_id, get_tokenizer, vocab_size

EMBEDDED = "mini-pt"
#: Apelidos dos modelos da OpenAI; qualquer outro do Hub se pede por `"dono/nome"`.
ALIASES = {name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")}
_BY_SIZE = dict(zip(GPT2_SIZES, ALIASES.values(), strict=True))
_REPO = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
# Há modelos com o vocabulário arredondado para cima (50.304, por exemplo), que as GPUs multiplicam mais depressa.
_VOCAB_PADDING = 128


def load_pretrained(
    name: str | os.PathLike[str] = EMBEDDED,
    *,
    device: str | torch.device | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    allow_pickle: bool = False,
    drop_rate: float = 0.0,
) -> tuple[GPTModel, Any]:
    """Carrega um modelo de arquitetura GPT-2 e o tokenizador dele, prontos para gerar (em `eval()` e float32).

    Parâmetros:
        name: `"mini-pt"`, embutido no pacote; `"gpt2"`, `"gpt2-medium"`, `"gpt2-large"` ou `"gpt2-xl"`; um repositório
            do Hugging Face Hub, como `"pierreguillou/gpt2-small-portuguese"`; ou uma pasta local, que vence os nomes.
        device: onde pôr o modelo; sem ele, na CPU.
        cache_dir: onde guardar o que se baixa; sem ela, o cache do Hugging Face, o mesmo do `transformers`.
        revision: ramo, etiqueta ou commit do repositório.
        allow_pickle: aceita `pytorch_model.bin`, se não há safetensors. O arquivo é lido com `weights_only=True`, que
            recusa código; ainda assim, só o permita para origens em que confia.
        drop_rate: dropout do modelo, para continuar o treino.

    Devolve:
        `(model, tokenizer)`; o tokenizador é do tiktoken nos modelos da OpenAI, e do `tokenizers` nos demais.

    Erros:
        ValueError: nome desconhecido, arquivos que faltam ou danificados, ou um modelo que não é este GPT-2.
        ModelUnavailableError: o Hub não respondeu e o modelo não está no cache, ou o que veio não confere.
    """
    source = _source(name, revision, cache_dir)
    with _naming(source):
        config, state, tokenizer = _read(source, allow_pickle)
        model = _build(config, state, drop_rate)
        _check_vocabulary(tokenizer, model.cfg)
    return (model if device is None else model.to(device)), tokenizer


def pretrained_folder(name: str | os.PathLike[str] = EMBEDDED) -> Path:
    """Pasta com os arquivos do modelo embutido, ou de um local: é o que se dá ao `from_pretrained` do `transformers`.

    Os modelos do Hub não precisam disto: o `transformers` os acha pelo nome.

    Erros:
        ValueError: nome que não é o do modelo embutido nem o de uma pasta.
    """
    source = _source(name, None, None)
    if not isinstance(source, ModelFolder):
        raise ValueError(f"{os.fspath(name)!r} é um modelo do Hub, e não uma pasta: dê o nome dele ao `transformers`.")
    return Path(source.label)


def download_and_load_gpt2(
    model_size: str, models_dir: str | os.PathLike[str]
) -> tuple[dict[str, int], dict[str, Any]]:
    """Baixa um GPT-2 da OpenAI, em safetensors, e o devolve no formato do livro de origem.

    Parâmetros:
        model_size: `"124M"`, `"355M"`, `"774M"` ou `"1558M"`.
        models_dir: pasta onde fica `<model_size>/`, com os arquivos baixados; a segunda vez não usa a rede.

    Devolve:
        `(settings, params)`: as dimensões (`n_vocab`, `n_ctx`, `n_embd`, `n_head`, `n_layer`), e os pesos em vetores
        NumPy, que `load_weights_into_gpt` recebe.

    Erros:
        ValueError: tamanho inválido; a mensagem lista os válidos.
        ModelUnavailableError: como em :func:`load_pretrained`.
    """
    if model_size not in _BY_SIZE:
        raise ValueError(f"model_size={model_size!r} desconhecido. Os válidos são: {', '.join(_BY_SIZE)}.")
    source = HubSnapshot(_BY_SIZE[model_size], cache_dir=Path(models_dir) / model_size)
    with _naming(source):
        config, state, _ = _read(source, allow_pickle=False)
        cfg = config_from_gpt2(config)
        params = params_from_state(state, cfg)
    sizes = (cfg.vocab_size, cfg.context_length, cfg.emb_dim, cfg.n_heads, cfg.n_layers)
    return dict(zip(("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer"), sizes, strict=True)), params


def save_pretrained(
    model: GPTModel,
    tokenizer: Any,
    folder: str | os.PathLike[str],
    *,
    dtype: torch.dtype = torch.float16,
    generation: Mapping[str, Any] | None = None,
) -> Path:
    """Exporta `model` e `tokenizer` para uma pasta que `load_pretrained` e o `transformers` leem, com os mesmos logits.

    Os pesos que a pasta tiver são apagados antes, e os novos, postos por último: morta no meio, a exportação deixa uma
    pasta que ninguém carrega, nunca uma com peças de dois modelos. Outros arquivos da pasta ficam como estão.

    Parâmetros:
        dtype: tipo em que os pesos são gravados. O `config.json` diz sempre float32, o tipo em que são usados: com
            float16 ali, o `transformers` faria também as contas em meia precisão, e os logits seriam outros.
        generation: opções de geração a mais para `generation_config.json`, como `{"do_sample": True, "top_p": 0.9}`.

    Erros:
        ValueError: peso que não cabe em `dtype` ou não é um número, tokenizador de outro vocabulário, ou `folder` que
            é um arquivo.
        TypeError: tokenizador que não se sabe exportar.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} é um arquivo: esperava uma pasta, que pode não existir ainda.")
    _check_vocabulary(tokenizer, model.cfg)
    tensors = {name: _stored(name, tensor, dtype) for name, tensor in to_gpt2_state(model).items()}
    if model.cfg.tie_weights:
        del tensors[HEAD]
    end = eos_id(tokenizer)
    ids = {} if end is None else {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    texts = {
        "config.json": _json({**config_to_gpt2(model.cfg, eos_id=end), "dtype": "float32"}),
        "generation_config.json": _json({**ids, **(generation or {})}),
        **tokenizer_files(tokenizer, model.cfg.context_length),
    }
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.parcial")
    partial.mkdir(parents=True)
    try:
        write_tensors(partial / WEIGHTS, tensors, {"format": "pt"})
        for name, text in texts.items():
            (partial / name).write_text(text, encoding="utf-8", newline="\n")
        for path in partial.iterdir():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
        folder.mkdir(exist_ok=True)
        for name in (WEIGHTS, INDEX, PICKLE):
            (folder / name).unlink(missing_ok=True)
        for path in sorted(partial.iterdir(), key=lambda path: path.name == WEIGHTS):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(partial)
    return folder


# --- ler


def _source(name: str | os.PathLike[str], revision: str | None, cache_dir: str | os.PathLike[str] | None) -> ModelFiles:
    text = os.fspath(name)
    if text and Path(text).is_dir():  # Path("") é a pasta atual
        return ModelFolder(text)
    if text == EMBEDDED:
        folder = _embedded_folder()
        if not folder.is_dir():
            raise ValueError(
                f"{text!r}: esta instalação não traz o modelo embutido ({folder} não existe). Reinstale o pacote, ou "
                f"treine-o e dê o caminho da pasta. Com rede, há também {', '.join(map(repr, ALIASES))}."
            )
        return ModelFolder(folder)
    if isinstance(name, str) and _REPO.fullmatch(repo := ALIASES.get(text, text)):
        return HubSnapshot(repo, revision=revision, cache_dir=cache_dir)
    raise ValueError(
        f"modelo desconhecido: {text!r}. Use {EMBEDDED!r}, {', '.join(map(repr, ALIASES))}, um repositório do Hugging "
        "Face Hub ('dono/nome') ou o caminho de uma pasta que exista."
    )


@contextlib.contextmanager
def _naming(source: ModelFiles) -> Iterator[None]:
    """Põe o nome do modelo na frente de um `ValueError`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{source.label}: {error}") from error


def _embedded_folder() -> Path:
    return Path(str(resources.files(__package__) / "assets" / EMBEDDED))


def _read(source: ModelFiles, allow_pickle: bool) -> tuple[dict[str, Any], dict[str, Tensor], Any]:
    """Configuração, pesos e tokenizador; os pesos por último, para não baixar gigabytes à toa."""
    path = source.find("config.json")
    config = {} if path is None else read_json(path)
    if path is not None:
        config_from_gpt2(config)
    published = isinstance(source, HubSnapshot) and source.label in ALIASES.values()
    tokenizer = get_tokenizer("gpt2") if published else read_tokenizer(source)
    missing = [] if path else ["config.json"]
    missing += [] if tokenizer else ["tokenizer.json (ou vocab.json e merges.txt)"]
    if missing and isinstance(source, HubSnapshot):
        raise source.missing(missing)
    weights = find_weights(source, allow_pickle)
    if not weights and not allow_pickle and source.has(PICKLE):
        raise ValueError(
            f"os pesos só estão em {PICKLE}, um formato (pickle) que pode trazer código. Se confia na origem, passe "
            "allow_pickle=True, que o lê recusando código; ou use um modelo que tenha model.safetensors."
        )
    missing += [] if weights else [f"{WEIGHTS} (ou {INDEX} e as partes)"]
    if missing:
        raise source.missing(missing)
    return config, {name: tensor for path in weights for name, tensor in read_tensors(path).items()}, tokenizer


def _build(config: Mapping[str, Any], state: Mapping[str, Tensor], drop_rate: float) -> GPTModel:
    cfg = config_from_gpt2(config, drop_rate=drop_rate, tie_weights=not has_own_head(state))
    weights = from_gpt2_state(state, cfg)
    # Sem memória própria: nada é sorteado (o gerador aleatório do leitor não anda) nem alocado duas vezes.
    with torch.device("meta"):
        model = GPTModel(cfg)
    model.load_state_dict(weights, assign=True)
    if cfg.tie_weights:
        model.out_head.weight = model.tok_emb.weight
    return model.eval()


def _check_vocabulary(tokenizer: Any, cfg: GPTConfig) -> None:
    size = vocab_size(tokenizer)
    if not size <= cfg.vocab_size < size + _VOCAB_PADDING:
        raise ValueError(
            f"o tokenizador tem {size} tokens, e o modelo, vocabulário de {cfg.vocab_size}: um não é do outro; use o "
            "tokenizador com que o modelo foi treinado."
        )


# --- gravar


def _stored(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    stored = tensor.detach().to("cpu", dtype).contiguous()
    if not torch.isfinite(stored).all():
        biggest = tensor.abs().max().item()
        raise ValueError(
            f"{name} tem valores que não cabem em {dtype} (maior: {biggest:g}, limite: {torch.finfo(dtype).max:g}); "
            "grave com dtype=torch.float32, ou confira se o treino não divergiu."
        )
    return stored


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
