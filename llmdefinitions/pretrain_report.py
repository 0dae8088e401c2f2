"""Medidas de um modelo pré-treinado: bits por byte ao lado de linhas de base, histórias, fertilidade e amostras."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
import safetensors
import tokenizers
import torch

from .compression import xz_bits_per_byte
from .copying import copy_losses
from .evaluation import repetition_rate
from .generation import generate
from .model import GPTModel
from .ngram import KneserNeyModel
from .pretrain_data import PretrainData
from .recipe import Recipe
from .scoring import DocumentScore, score_documents, total_bits_per_byte
from .stories import story_entropy
from .token_store import TokenStore
from .tokenizer import encode, eos_id, get_tokenizer, text_to_token_ids, token_ids_to_text

#: Começos de frase de gêneros variados; fixos, para que dois modelos se comparem.
PROMPTS = (
    "Era uma vez",
    "O menino olhou para o céu e",
    "A viúva entrou na sala e",
    "Naquela manhã, o Rio de Janeiro",
    "Não sei se o leitor",
    "O amor, dizia ele,",
    "Depois do jantar, o conselheiro",
    "A velha senhora abriu a carta e",
    "Todos os dias, antes do almoço,",
    "Capitu",
    "Quando a chuva parou,",
    "O médico respondeu que",
    "No fim da rua havia",
    "Minha mãe dizia que",
    "— Que horas são? perguntou",
    "Os alunos devem",
    "Ler e compreender",
    "A cidade estava em festa porque",
    "Eu tinha vinte anos quando",
    "A moral desta história é",
)
SAMPLING = {"temperature": 0.8, "top_k": 50}
_NEW_TOKENS, _LOOP_WINDOW = 60, 40
#: Potência suposta para estimar a energia (W): dois núcleos de servidor em uso, com a sua parte do resto da máquina.
ASSUMED_WATTS = 30.0
#: Acima disto as linhas de base, que guardam o texto na memória, não são calculadas.
BASELINE_TOKENS = 20_000_000
_NGRAM_ORDER = 4
_COPIED_TOKENS = 32


def measure(
    model: GPTModel,
    data: PretrainData,
    recipe: Recipe,
    log: Sequence[Mapping[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """Mede o modelo como ele foi gravado.

    Parâmetros:
        model: modelo relido da pasta exportada.
        data: dados do pré-treino, com os textos separados.
        recipe: receita usada.
        log: registro do treino.
        seconds: duração do treino.

    Devolve:
        Dicionário que cabe em JSON; perdas em nats, tempos em segundos, energia em Wh.
    """
    scores = {name: score_documents(model, texts, data.tokenizer) for name, texts in data.heldout.items() if texts}
    main = main_corpus(data, recipe)
    results: dict[str, Any] = {
        "receita": recipe.to_dict(),
        "parametros": model.count_parameters(),
        "corpora": data.manifest["corpora"],
        "tokens_de_treino": {name: len(store) for name, store in data.stores.items()},
        "bits_por_byte": {name: total_bits_per_byte(found) for name, found in scores.items()},
        "principal": main,
        "historias": _stories(scores.get("historias", [])),
        "copia": _copying(model),
        "treino": _training(log, recipe, seconds),
        "sorteio": SAMPLING,
        "amostras": samples(model, data.tokenizer),
        "fertilidade": _fertility(data, main) if main else {},
        "linhas_de_base": _baselines(data, main) if main else {},
        "medido_em": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "versoes": versions(),
    }
    return results


def main_corpus(data: PretrainData, recipe: Recipe) -> str | None:
    """O corpus real, com textos separados, que mais pesa na mistura: o das linhas de base."""
    names = [name for name, texts in data.heldout.items() if texts and name != "historias"]
    return max(names, key=lambda name: recipe.mixture[name], default=None)


def samples(model: GPTModel, tokenizer: Any, prompts: Sequence[str] = PROMPTS) -> list[dict[str, Any]]:
    """Continuação gulosa e sorteada de cada começo, com a repetição nos primeiros tokens da sorteada.

    A semente de cada sorteio é a posição do começo na lista: as amostras não foram escolhidas.
    """
    rows = []
    end, context = eos_id(tokenizer), model.cfg.context_length
    for number, prompt in enumerate(prompts):
        # Todo documento do treino começa depois de um token de fim: o modelo espera o mesmo aqui.
        idx = torch.cat([torch.tensor([[end]]), text_to_token_ids(prompt, tokenizer)], dim=1)  # (1, T)
        greedy = generate(model, idx, _NEW_TOKENS, context, eos_id=end)
        drawn = generate(
            model, idx, _NEW_TOKENS, context, eos_id=end, generator=torch.Generator().manual_seed(number), **SAMPLING
        )
        new = drawn[0, idx.shape[1] :].tolist()
        new = new[: new.index(end)] if end in new else new
        rows.append(
            {
                "prompt": prompt,
                "gulosa": _continuation(greedy, idx, tokenizer, end),
                "sorteada": _continuation(drawn, idx, tokenizer, end),
                "repeticao": repetition_rate([new[:_LOOP_WINDOW]], 4) if len(new) >= 4 else 0.0,
            }
        )
    return rows


def versions() -> dict[str, str]:
    """Versões e máquina em que se mede."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "tokenizers": tokenizers.__version__,
        "safetensors": safetensors.__version__,
        "numpy": np.__version__,
        "maquina": f"{platform.system()} {platform.machine()}, {os.cpu_count()} núcleos, "
        f"{torch.get_num_threads()} linhas de execução, torch para {'CUDA' if torch.cuda.is_available() else 'CPU'}",
    }


def _stories(scores: Sequence[DocumentScore]) -> dict[str, float]:
    if not scores:
        return {}
    nats = sum(s.nats for s in scores) / len(scores)
    entropy = story_entropy()
    tokens = sum(s.n_tokens for s in scores) / len(scores)
    return {"nats": nats, "entropia": entropy, "excesso": nats / entropy - 1, "tokens": tokens, "n": len(scores)}


def _copying(model: GPTModel) -> dict[str, float]:
    length = min(_COPIED_TOKENS, (model.cfg.context_length + 1) // 2)
    return {**copy_losses(model, length=length)._asdict(), "tokens": length, "ln_v": math.log(model.cfg.vocab_size)}


def _training(log: Sequence[Mapping[str, Any]], recipe: Recipe, seconds: float) -> dict[str, Any]:
    curve = [
        {key: value for key, value in record.items() if key in ("tokens", "loss") or key.endswith("_bits_per_byte")}
        for record in log
        if any(key.endswith("_bits_per_byte") for key in record)
    ]
    return {
        "tokens": recipe.tokens,
        "segundos": seconds,
        "tokens_por_segundo": recipe.tokens / seconds,
        "energia_wh": seconds / 3600 * ASSUMED_WATTS,
        "watts_supostos": ASSUMED_WATTS,
        "curva": curve,
    }


def _fertility(data: PretrainData, main: str) -> dict[str, float]:
    """Tokens por palavra nos textos separados: o tokenizador do modelo e o do GPT-2."""
    text = "\n\n".join(data.heldout[main])
    words = len(text.split())
    return {
        "modelo": len(encode(text, data.tokenizer)) / words,
        "gpt2": len(encode(text, get_tokenizer("gpt2"))) / words,
    }


def _baselines(data: PretrainData, main: str) -> dict[str, Any]:
    """xz preparado com o treino e n-gramas de Kneser-Ney, ambos só com o corpus principal."""
    store = data.stores[main]
    if len(store) > BASELINE_TOKENS:
        return {}
    heldout, end = data.heldout[main], eos_id(data.tokenizer)
    documents = _documents(store, end)
    train_text = "\n\n".join(token_ids_to_text(ids[:-1], data.tokenizer) for ids in documents)
    began = time.perf_counter()
    ngram = KneserNeyModel(_NGRAM_ORDER, store.info["vocab_size"]).fit(documents)
    scores = []
    for text in heldout:
        ids = np.array([*encode(text, data.tokenizer), end])
        scores.append(DocumentScore(-ngram.log_prob(ids), len(ids), len(text.encode())))
    return {
        "xz": xz_bits_per_byte(train_text, "\n\n".join(heldout)),
        "kneser_ney": total_bits_per_byte(scores),
        "kneser_ney_ordem": _NGRAM_ORDER,
        "kneser_ney_segundos": time.perf_counter() - began,
    }


def _documents(store: TokenStore, end: int) -> list[np.ndarray]:
    """Ids de cada documento, com o token de fim que o encerra."""
    ids = store.read(np.array([0]), len(store))[0]  # (N,)
    return np.split(ids, np.flatnonzero(ids == end)[:-1] + 1)  # o último documento vai até o fim do arquivo


def _continuation(ids: torch.Tensor, idx: torch.Tensor, tokenizer: Any, end: int) -> str:
    new = ids[0, idx.shape[1] :].tolist()
    return token_ids_to_text(new[: new.index(end)] if end in new else new, tokenizer)
