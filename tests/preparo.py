"""Receita e corpora minúsculos, e contas feitas do jeito lento, para os testes do pré-treino."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from llmdefinitions.corpora import Corpus, available_corpora
from llmdefinitions.recipe import Recipe, load_recipe
from llmdefinitions.stories import sample_stories

HISTORIAS = [historia.text for historia in sample_stories(400, seed=77)]
FICHAS = {ficha.name: ficha for ficha in available_corpora()}


def receita_minuscula(**mudancas: Any) -> Recipe:
    padrao = {
        "mixture": {"machado": 60, "bncc": 20, "historias": 20},
        "heldout_percent": 20.0,
        "n_stories": 40,
        "vocab_size": 300,
        "context_length": 16,
        "emb_dim": 16,
        "n_heads": 2,
        "n_layers": 1,
        "steps": 50,
        "warmup_steps": 5,
        "batch_size": 4,
        "micro_batch_size": 4,
        "precision": "float32",
    }
    return replace(load_recipe("mini-pt"), **{**padrao, **mudancas})


def corpora_falsos() -> dict[str, Corpus]:
    """Um "machado" de 12 obras (duas quase iguais), e um "bncc" de frases em que só as iguais se repetem."""
    obras = {f"obra-{i}": "\n".join(HISTORIAS[8 * i : 8 * i + 8]) for i in range(11)}
    obras["obra-3-outra-edicao"] = obras["obra-3"].replace("Era uma vez", "Uma vez era") + " Fim."
    frases = {f"frase-{i}": texto for i, texto in enumerate(HISTORIAS[200:230])}
    frases["frase-repetida"] = HISTORIAS[205].upper()
    return {
        nome: Corpus(FICHAS[nome], tuple(textos.values()), tuple(textos))
        for nome, textos in (("machado", obras), ("bncc", frases))
    }


@torch.no_grad()
def nats_um_a_um(modelo: nn.Module, ids: list[int], contexto: int, passo: int) -> float:
    """−ln p de `ids[1:]`, cada token com uma chamada só dele e o pedaço de passado que a definição lhe dá.

    Os primeiros `contexto` alvos veem tudo desde o começo; depois, de `passo` em `passo` alvos, o passado começa
    `contexto` tokens antes do fim do grupo.
    """
    total, n = 0.0, len(ids) - 1
    for alvo in range(1, n + 1):
        grupo = 0 if alvo <= contexto else -(-(alvo - contexto) // passo)
        comeco = max(0, min(n, contexto + grupo * passo) - contexto)
        logits: Tensor = modelo(torch.tensor([ids[comeco:alvo]]))[0, -1].double()  # (V,)
        total -= torch.log_softmax(logits, dim=0)[ids[alvo]].item()
    return total
