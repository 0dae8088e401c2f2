"""Escolhe tamanho, vocabulário e otimizador do mini-pt: cada candidato treina o mesmo tempo de processador.

Uso: python ferramentas/varredura.py [--segundos 400] [--pasta _build/varredura] [nome…]

Um candidato é a receita `mini-pt` com alguns campos trocados. O orçamento é em segundos de CPU de uma linha de
execução, e não de relógio: numa máquina ocupada o relógio mede os vizinhos. Dois candidatos treinam lado a
lado, um por núcleo. Grava uma linha por candidato em `varredura.jsonl`, que vai sendo lido e não é refeito, e a tabela
`book/_gerado/varredura.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import maquina
from ambiente import RAIZ, gravar_atomico

PASTA = RAIZ / "_build" / "varredura"
PAGINA = RAIZ / "book" / "_gerado" / "varredura.md"
PACOTES = ("torch", "tokenizers", "numpy", "llmdefinitions")

#: Nome -> campos trocados na receita. O primeiro é a referência: os outros mudam uma coisa de cada vez.
CANDIDATOS: dict[str, dict[str, object]] = {
    "base": {},
    "vocabulário 2.048": {"vocab_size": 2048},
    "vocabulário 4.096": {"vocab_size": 4096},
    "6 camadas de 256": {"emb_dim": 256, "n_heads": 4, "n_layers": 6},
    "4 camadas de 384": {"emb_dim": 384, "n_heads": 6, "n_layers": 4},
    "taxa 0,003": {"lr": 0.003},
    "taxa 0,012": {"lr": 0.012},
    "lote 16": {"batch_size": 16},
    "AdamW, taxa 0,002": {"optimizer": "adamw", "lr": 0.002},
    "AdamW, taxa 0,004": {"optimizer": "adamw", "lr": 0.004},
    "histórias 15%": {"mixture": {"machado": 81, "bncc": 4, "historias": 15}},
    "dropout 0,1": {"drop_rate": 0.1},
}
_PASSOS_DE_AQUECIMENTO, _PASSOS_MEDIDOS = 2, 8


def _candidato(nome: str):
    from llmdefinitions.recipe import load_recipe

    return replace(load_recipe("mini-pt"), micro_batch_size=8, **CANDIDATOS[nome])


def _mesmo_candidato(medidas: dict) -> bool:
    hoje = _candidato(medidas["candidato"]).to_dict()
    ajustados = {"steps", "warmup_steps", "eval_every"}  # o orçamento os escolhe
    return all(medidas["receita"][campo] == valor for campo, valor in hoje.items() if campo not in ajustados)


def _treinar(nome: str, segundos: float, pasta: Path) -> None:
    """Num processo só deste candidato: mede o passo, treina o que couber no orçamento e mostra as medidas."""
    import torch

    from llmdefinitions.distributed import World
    from llmdefinitions.mixture import Mixture
    from llmdefinitions.pretrain_data import prepare
    from llmdefinitions.pretrainer import Pretrainer
    from llmdefinitions.scoring import score_documents, total_bits_per_byte
    from llmdefinitions.stories import story_entropy

    torch.set_num_threads(1)
    receita = _candidato(nome)
    dados = prepare(receita, pasta / f"dados-{receita.data_digest()}", lambda _: None)
    mistura = Mixture.from_recipe(dados.stores, receita)
    mundo = World(0, 1, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as vazia:
        ensaio = Pretrainer(receita, mistura, vazia, mundo)
    for _ in range(_PASSOS_DE_AQUECIMENTO):
        ensaio.advance()
    inicio = time.process_time()
    for _ in range(_PASSOS_MEDIDOS):
        ensaio.advance()
    passos = int(segundos * _PASSOS_MEDIDOS / (time.process_time() - inicio))
    receita = replace(receita, steps=passos, warmup_steps=max(1, passos // 20), eval_every=passos)
    with tempfile.TemporaryDirectory() as vazia:
        treino = Pretrainer(receita, mistura, vazia, mundo)
        inicio = time.process_time()
        modelo = treino.run(progress=False)
        gasto = time.process_time() - inicio
    principal = score_documents(modelo, dados.heldout["machado"], dados.tokenizer, precision="auto")
    novas = score_documents(modelo, dados.heldout["historias"], dados.tokenizer, precision="auto")
    medidas = {
        "candidato": nome,
        "parametros": modelo.count_parameters(),
        "passos": passos,
        "tokens": receita.tokens,
        "segundos_cpu": round(gasto, 1),
        "bits_por_byte": round(total_bits_per_byte(principal), 4),
        "nats_por_historia": round(sum(s.nats for s in novas) / len(novas), 3),
        "entropia": story_entropy(),
        "receita": receita.to_dict(),
    }
    print(json.dumps(medidas, ensure_ascii=False))


def _em_processo(nome: str, segundos: float, pasta: Path) -> dict[str, object]:
    ambiente = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    comando = [sys.executable, __file__, "--um", nome, "--segundos", str(segundos), "--pasta", str(pasta)]
    fim = subprocess.run(comando, stdout=subprocess.PIPE, text=True, check=True, encoding="utf-8", env=ambiente)
    medidas = json.loads(fim.stdout.splitlines()[-1])
    with open(pasta / "varredura.jsonl", "a", encoding="utf-8") as arquivo:
        arquivo.write(json.dumps(medidas, ensure_ascii=False) + "\n")
    print(f"{nome}: {medidas['bits_por_byte']} bits por byte, {medidas['nats_por_historia']} nats/história", flush=True)
    return medidas


def _tabela(medidas: list[dict], segundos: float) -> str:
    from llmdefinitions.model_card import num

    linhas = [
        "| candidato | parâmetros | tokens vistos | bits por byte | nats por história |",
        "|---|---|---|---|---|",
    ]
    linhas += [
        f"| {m['candidato']} | {num(m['parametros'] / 1e6, 1)} mi | {num(m['tokens'] / 1e6, 2)} mi "
        f"| {num(m['bits_por_byte'], 3)} | {num(m['nats_por_historia'], 1)} |"
        for m in sorted(medidas, key=lambda m: m["bits_por_byte"])
    ]
    ficha = maquina.em_palavras(maquina.descrever(PACOTES))
    return (
        f"Cada candidato treinou {segundos:.0f} s de CPU, numa linha de execução; medido em {ficha}\n\n"
        + "\n".join(linhas)
        + f"\n\nA entropia exata das histórias é {num(medidas[0]['entropia'], 1)} nats.\n"
    )


def principal(argumentos: list[str]) -> int:
    """Treina os candidatos que faltam e reescreve a tabela."""
    analisador = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    analisador.add_argument("nomes", nargs="*", metavar="nome", help="candidatos (padrão: todos)")
    analisador.add_argument("--segundos", type=float, default=400.0, help="segundos de CPU por candidato")
    analisador.add_argument("--pasta", type=Path, default=PASTA)
    analisador.add_argument("--um", help=argparse.SUPPRESS)
    opcoes = analisador.parse_args(argumentos)
    if opcoes.um:
        _treinar(opcoes.um, opcoes.segundos, opcoes.pasta)
        return 0
    nomes = opcoes.nomes or list(CANDIDATOS)
    if desconhecidos := [nome for nome in nomes if nome not in CANDIDATOS]:
        analisador.error(f"candidato desconhecido: {desconhecidos}; há {list(CANDIDATOS)}")
    from llmdefinitions.pretrain_data import prepare

    opcoes.pasta.mkdir(parents=True, exist_ok=True)
    registro = opcoes.pasta / "varredura.jsonl"
    lidos = [json.loads(linha) for linha in registro.read_text("utf-8").splitlines()] if registro.is_file() else []
    # Só vale o que foi medido com a receita e o candidato de hoje: o nome é o mesmo depois que a receita muda.
    feitos = [m for m in lidos if m["candidato"] in nomes and _mesmo_candidato(m)]
    faltam = [nome for nome in nomes if nome not in {m["candidato"] for m in feitos}]
    for nome in faltam:  # antes de medir tempos, e uma vez por vocabulário ou mistura
        receita = _candidato(nome)
        prepare(receita, opcoes.pasta / f"dados-{receita.data_digest()}", print)
    with ThreadPoolExecutor(2) as dupla:
        feitos += dupla.map(lambda nome: _em_processo(nome, opcoes.segundos, opcoes.pasta), faltam)
    gravar_atomico(PAGINA, _tabela(feitos, opcoes.segundos).encode())
    return 0


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
