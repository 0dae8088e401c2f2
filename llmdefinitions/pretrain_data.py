"""Dos corpora aos tokens em disco: retirar repetições, separar obras inteiras, treinar o tokenizador e codificar."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import tokenizers

from .bpe import train_bpe
from .corpora import Corpus, load_corpus
from .deduplication import Deduplication, drop_duplicates
from .files import write_json
from .recipe import Recipe
from .token_store import TokenStore, write_tokens
from .tokenizer import encode_corpus, get_tokenizer

#: Histórias com que o tokenizador é treinado: o léxico delas é pequeno, e mais que isto só o repete.
_STORIES_FOR_BPE = 3000
#: Histórias novas, nunca treinadas, para medir o modelo contra a entropia conhecida.
_FRESH_STORIES = 300


@dataclass(frozen=True)
class PretrainData:
    """Dados prontos para um pré-treino.

    Atributos:
        tokenizer: BPE treinado nos textos de treino.
        stores: tokens de treino de cada corpus.
        heldout: por corpus, os textos que ficaram fora do treino.
        manifest: o que foi feito: duplicatas retiradas, obras separadas, tamanhos.
    """

    tokenizer: tokenizers.Tokenizer
    stores: dict[str, TokenStore]
    heldout: dict[str, list[str]]
    manifest: dict[str, Any]


def prepare(recipe: Recipe, folder: str | Path, say: Callable[[str], None] = print) -> PretrainData:
    """Prepara os dados da receita em `folder`, ou reabre os que já estão lá.

    Uma preparação interrompida recomeça: o manifesto, escrito por último, é o que diz que ela acabou.

    Parâmetros:
        recipe: receita; só a semente, a mistura, a separação e o vocabulário importam aqui.
        folder: pasta dos dados.
        say: recebe uma frase por etapa.

    Devolve:
        Os dados, com os arquivos de tokens abertos.

    Erros:
        CorpusUnavailableError: um corpus da mistura não pôde ser obtido.
        ValueError: a pasta tem dados de outra receita ou danificados, ou os textos não bastam para o vocabulário ou
            para separar documentos inteiros.
    """
    folder = Path(folder)
    manifest_path = folder / "manifesto.json"
    if manifest_path.is_file():
        return _reopen(recipe, folder)
    train, heldout, manifest = _split_corpora(recipe, say)
    folder.mkdir(parents=True, exist_ok=True)
    say(f"Treinando o tokenizador ({recipe.vocab_size} tokens)…")
    samples = [texts[:_STORIES_FOR_BPE] if name == "historias" else texts for name, texts in train.items()]
    tokenizer = train_bpe(chain.from_iterable(samples), recipe.vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    stores = {}
    for name, texts in train.items():
        stores[name] = write_tokens(
            folder / name,
            (encode_corpus(texts[i : i + 500], tokenizer).numpy() for i in range(0, len(texts), 500)),
            recipe.vocab_size,
            n_documents=len(texts),
            n_bytes=sum(len(text.encode()) for text in texts),
        )
        say(f"  {name}: {len(texts)} documentos, {len(stores[name])} tokens")
    write_json(folder / "separados.json", heldout)
    manifest["stores"] = {name: store.info for name, store in stores.items()}
    write_json(manifest_path, manifest)
    return PretrainData(tokenizer, stores, heldout, manifest)


def _reopen(recipe: Recipe, folder: Path) -> PretrainData:
    try:
        manifest = json.loads((folder / "manifesto.json").read_text(encoding="utf-8"))
        digest, names = manifest["digest"], list(manifest["stores"])
        heldout = json.loads((folder / "separados.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder}: os dados preparados estão danificados ou são de outro programa ({error!r}); apague a pasta e "
            "prepare de novo."
        ) from error
    if digest != recipe.data_digest():
        raise ValueError(
            f"{folder}: dados preparados com outra receita (resumo {digest}, esperado {recipe.data_digest()}): use "
            "outra pasta, ou apague esta."
        )
    stores = {name: TokenStore(folder / name) for name in names}
    return PretrainData(get_tokenizer(folder), stores, heldout, manifest)


def split_whole_documents(documents: Sequence[str], percent: float, seed: int) -> tuple[list[int], list[int]]:
    """Separa documentos inteiros para teste, com no máximo `percent`% dos bytes.

    Os documentos são percorridos em ordem sorteada, e vai para o teste todo aquele que ainda couber.

    Parâmetros:
        documents: textos.
        percent: parte dos bytes em UTF-8 que pode ir para o teste.
        seed: semente do sorteio.

    Devolve:
        Índices de treino e de teste, cada lista em ordem crescente.

    Erros:
        ValueError: nenhum documento cabe nesse percentual, ou cabem todos.
    """
    sizes = [len(text.encode()) for text in documents]
    room = sum(sizes) * percent / 100
    order = list(range(len(documents)))
    random.Random(seed).shuffle(order)
    test: list[int] = []
    for i in order:
        if sizes[i] <= room:
            test.append(i)
            room -= sizes[i]
    if not test or len(test) == len(documents):
        raise ValueError(
            f"{len(documents)} documentos e {percent}% dos bytes para teste: não dá para separar documentos inteiros; "
            "use mais documentos ou outro percentual."
        )
    return sorted(set(range(len(documents))) - set(test)), sorted(test)


def training_split(corpus: Corpus, recipe: Recipe) -> tuple[list[str], list[str]]:
    """Textos de um corpus real que a receita usa no treino, e os que ela separa, sem preparar nada em disco.

    Parâmetros:
        corpus: um corpus da mistura que não seja `historias`, cujos textos de treino são os sorteados com a semente da
            receita.
        recipe: receita.

    Devolve:
        `(treino, separados)`, os mesmos textos de :func:`prepare`.

    Erros:
        ValueError: o corpus é `historias`, ou como em :func:`split_whole_documents`.
    """
    if corpus.info.name == "historias":
        raise ValueError(
            "'historias' não se separa por documentos: as do treino são load_corpus('historias', seed=recipe.seed), e "
            "as de outra semente são novas."
        )
    _, texts, _ = _distinct(corpus)
    in_train, in_test = split_whole_documents(texts, recipe.heldout_percent, recipe.seed)
    return [texts[i] for i in in_train], [texts[i] for i in in_test]


def _distinct(corpus: Corpus) -> tuple[Deduplication, list[str], list[str]]:
    """O que saiu por repetição, e os textos e nomes que ficaram."""
    # Obras parecidas são a mesma obra; já as competências da BNCC se parecem de propósito, e só as iguais saem.
    works = corpus.info.name == "machado"
    kept = drop_duplicates(
        corpus.documents, corpus.names, threshold=0.3 if works else 1.0, containment=0.5 if works else None
    )
    return kept, [corpus.documents[i] for i in kept.kept], [corpus.names[i] for i in kept.kept]


def _split_corpora(
    recipe: Recipe, say: Callable[[str], None]
) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, Any]]:
    """Textos de treino e de teste de cada corpus da mistura, e o começo do manifesto."""
    train: dict[str, list[str]] = {}
    heldout: dict[str, list[str]] = {}
    manifest: dict[str, Any] = {"digest": recipe.data_digest(), "corpora": {}}
    for name in [name for name, weight in recipe.mixture.items() if weight]:
        if name == "historias":
            train[name] = list(load_corpus(name, n_stories=recipe.n_stories, seed=recipe.seed).documents)
            known = set(train[name])
            fresh = load_corpus(name, n_stories=_FRESH_STORIES, seed=recipe.seed + 1).documents
            heldout[name] = [text for text in fresh if text not in known]
            manifest["corpora"][name] = {"train": len(train[name]), "heldout": len(heldout[name])}
            continue
        corpus = load_corpus(name)
        say(f"{name}: procurando documentos repetidos em {len(corpus.documents)}…")
        kept, texts, names = _distinct(corpus)
        in_train, in_test = split_whole_documents(texts, recipe.heldout_percent, recipe.seed)
        train[name] = [texts[i] for i in in_train]
        heldout[name] = [texts[i] for i in in_test]
        manifest["corpora"][name] = {
            "dropped": [{"name": d.name, "kept": d.kept_name, "jaccard": round(d.jaccard, 4)} for d in kept.dropped],
            "heldout": [names[i] for i in in_test],
            "heldout_bytes": sum(len(text.encode()) for text in heldout[name]),
            "train": len(in_train),
        }
    return train, heldout, manifest
