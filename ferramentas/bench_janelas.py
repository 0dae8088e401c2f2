"""Conjunto de janelas de um texto de 40 MB ao lado do laço da origem: codificação, janelas e pico de memória."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
from medicao import Meta, Secao, intercalar, razao

import llmdefinitions.data
from llmdefinitions import GPTDatasetV1, encode_corpus, get_tokenizer, load_corpus

TAMANHO, T, PASSO = 40_000_000, 256, 128  # bytes; janela e passo padrão da origem
RODADAS = 3  # o laço da origem leva ~10 s por vez; três bastam para a mediana
NOSSO, LER, ORIGEM = "llmdefinitions", "ler as janelas", "laço da origem"


def _texto() -> tuple[str, str]:
    """Cerca de 40 MB em português e de onde vieram: documentos em ordem sorteada, repetidos até o tamanho."""
    if os.environ.get("LLMDEFINITIONS_ESPELHO"):
        documentos, fonte = list(load_corpus("machado").documents), "obras de Machado de Assis"
    else:
        historias = load_corpus("historias", n_stories=20_000)
        documentos = [*load_corpus("bncc").documents, *historias.documents]
        fonte = "BNCC e 20.000 histórias sorteadas"
    sorteio, partes, total = random.Random(0), [], 0
    while total < TAMANHO:
        sorteio.shuffle(documentos)
        for documento in documentos:
            partes.append(documento)
            total += len(documento.encode()) + 2
            if total >= TAMANHO:
                break
    return "\n\n".join(partes), fonte


def _janelas_da_origem(ids: list[int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """O método da origem: um tensor novo por entrada e outro por alvo."""
    entradas, alvos = [], []
    for inicio in range(0, len(ids) - T, PASSO):
        entradas.append(torch.tensor(ids[inicio : inicio + T]))
        alvos.append(torch.tensor(ids[inicio + 1 : inicio + 1 + T]))
    return entradas, alvos


def _nossas_janelas(ids: torch.Tensor) -> GPTDatasetV1:
    """`GPTDatasetV1` com a codificação já feita: sobra o custo das janelas."""
    with mock.patch.object(llmdefinitions.data, "encode_corpus", return_value=ids):
        return GPTDatasetV1("já codificado", None, T, PASSO)


def _construir(quem: str, texto: str, tokenizador: Any) -> int:
    """Codifica e corta em janelas como cada um faz; devolve quantos tokens o texto tem."""
    if quem == NOSSO:
        return len(GPTDatasetV1(texto, tokenizador, T, PASSO).token_ids)
    ids = tokenizador.encode(texto, allowed_special={"<|endoftext|>"})
    entradas, _alvos = _janelas_da_origem(ids)
    assert entradas
    return len(ids)


def _pico() -> int:
    """Maior memória residente deste processo até agora, em bytes.

    No Linux, a de /proc (VmHWM), que começa do zero a cada programa. A `ru_maxrss` não serve: atravessa o `exec`, e um
    filho pequeno de um pai grande diria ter chegado ao pico do pai.
    """
    if sys.platform == "linux":
        linha = next(linha for linha in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in linha)
        return int(linha.split()[1]) * 1024  # em kB
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # no macOS, em bytes


def _filho(quem: str, arquivo: str) -> None:
    """Roda num processo só para isto: memória a mais que o conjunto usou, além do texto e do tokenizador."""
    import psutil

    texto = Path(arquivo).read_text(encoding="utf-8")
    tokenizador = get_tokenizer("gpt2")
    tokenizador.encode("aquece as tabelas do tokenizador")
    antes = psutil.Process().memory_info().rss
    tokens = _construir(quem, texto, tokenizador)
    print(json.dumps({"tokens": tokens, "a_mais": _pico() - antes}))


def _memoria(quem: str, arquivo: Path) -> dict[str, int]:
    fim = subprocess.run(
        [sys.executable, __file__, quem, str(arquivo)], stdout=subprocess.PIPE, text=True, check=True, encoding="utf-8"
    )
    return json.loads(fim.stdout.splitlines()[-1])


def medir() -> Secao:
    """Segundos para codificar e para cortar em janelas, e memória de pico em vezes o tamanho dos ids (int32)."""
    texto, fonte = _texto()
    tokenizador = get_tokenizer("gpt2")
    guardado: dict[str, Any] = {}

    def guardar(nome: str, acao: Callable[[], Any]) -> Callable[[], None]:
        def acao_guardada() -> None:
            guardado.pop(nome, None)
            guardado[nome] = acao()

        return acao_guardada

    codificar = intercalar(
        {
            NOSSO: guardar("ids", lambda: encode_corpus(texto, tokenizador)),
            ORIGEM: guardar("lista", lambda: tokenizador.encode(texto, allowed_special={"<|endoftext|>"})),
        },
        RODADAS,
    )
    ids, lista = guardado["ids"], guardado["lista"]
    if ids.tolist() != lista:
        raise RuntimeError("encode_corpus e tiktoken.encode deram ids diferentes para o mesmo texto.")
    nosso = _nossas_janelas(ids)
    cortar = intercalar(
        {
            NOSSO: lambda: _nossas_janelas(ids),
            LER: lambda: [nosso[i] for i in range(len(nosso))],
            ORIGEM: lambda: _janelas_da_origem(lista),
        },
        RODADAS,
    )
    guardado.clear()
    with tempfile.TemporaryDirectory() as pasta:
        arquivo = Path(pasta, "texto.txt")
        arquivo.write_bytes(texto.encode())
        memoria = {quem: _memoria(quem, arquivo) for quem in (NOSSO, ORIGEM)}
    vezes = {quem: m["a_mais"] / (4 * m["tokens"]) for quem, m in memoria.items()}
    secao = Secao(f"Janelas de {T} tokens, passo {PASSO}, sobre {TAMANHO // 10**6} MB de texto")
    secao.linhas = [
        {
            "implementação": quem,
            "codificar (s)": f"{median(codificar[quem]):.2f}",
            "cortar em janelas (s)": f"{median(cortar[quem]):.5f}",
            "memória a mais (MB)": f"{memoria[quem]['a_mais'] / 1e6:.0f}",
            "vezes os ids": f"{vezes[quem]:.2f}",
        }
        for quem in (NOSSO, ORIGEM)
    ]
    secao.metas = [
        Meta("cortar em janelas contra o laço da origem", 10.0, razao(cortar, NOSSO, ORIGEM)),
        Meta("memória a mais, em vezes os ids em int32", 3.0, vezes[NOSSO], no_maximo=True),
    ]
    n_tokens, n_janelas = f"{len(ids):,}".replace(",", "."), f"{len(nosso):,}".replace(",", ".")
    em_paralelo, lendo = razao(codificar, NOSSO, ORIGEM), razao(cortar, LER, ORIGEM)
    secao.notas = [
        f"Texto: {fonte}, {n_tokens} tokens, {n_janelas} janelas.",
        f"Codificar nos {os.cpu_count()} núcleos foi {em_paralelo:.2f}× o tiktoken numa linha de execução só.",
        f"As nossas janelas são vistas: o custo é lê-las. Ler todas, em int64, foi {lendo:.1f}× o laço da origem.",
        "Memória: pico de um processo próprio, menos o que ele ocupava antes de codificar.",
    ]
    return secao


if __name__ == "__main__":
    _filho(*sys.argv[1:])
