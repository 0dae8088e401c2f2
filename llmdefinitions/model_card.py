"""Ficha de um modelo pré-treinado, em Markdown: dados, receita, medidas, amostras, falhas e licença."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import write_text

_LICENCE = (
    "Pesos e tokenizador: CC BY 4.0, como o texto do livro. Machado de Assis está em domínio público; a BNCC vem do "
    "pacote `bncc` (CC BY 4.0, bncc.dev), com textos do MEC/CNE; as histórias são sorteadas pela gramática do livro."
)
_SUMMARY = (
    "GPT em português com a arquitetura do GPT-2 e {} milhões de parâmetros, treinado do zero para as aulas de "
    "*LLMs na Prática*. Completa textos; não responde perguntas, não sabe fatos e não deve ser usado fora da sala de "
    "aula."
)
_AGAIN = (
    "Refazer: `python -m llmdefinitions.pretrain` (ou `make mini-pt`), que usa esta receita. Na mesma máquina, com as "
    "mesmas versões e o mesmo número de linhas de execução, saem os mesmos bytes."
)


def write_card(folder: str | Path, results: Mapping[str, Any]) -> Path:
    """Escreve `README.md` na pasta do modelo com o que `measure` mediu.

    O que nenhuma conta diz (falhas que se veem lendo as amostras, vieses) alguém escreve em `observacoes.md`, na mesma
    pasta, que entra na ficha se existir: refazer a ficha não o apaga. A lei de escala, que se mede depois
    (`make escala`), vem do mesmo modo de `escala.json`.

    Parâmetros:
        folder: pasta do modelo.
        results: o que `pretrain_report.measure` devolveu, ou o mesmo relido de um JSON.

    Devolve:
        Caminho da ficha.
    """
    folder = Path(folder)
    notes_path = folder / "observacoes.md"
    notes = notes_path.read_text(encoding="utf-8").strip() if notes_path.is_file() else ""
    scaling_path = folder / "escala.json"
    scaling = json.loads(scaling_path.read_text(encoding="utf-8")) if scaling_path.is_file() else None
    path = folder / "README.md"
    write_text(path, card_text(results, notes, scaling))
    return path


def card_text(results: Mapping[str, Any], notes: str = "", scaling: Mapping[str, Any] | None = None) -> str:
    """Texto da ficha. `notes` entra depois das amostras, e `scaling`, o que `make escala` mediu, depois das medidas."""
    recipe, training, drawing = results["receita"], results["treino"], results["sorteio"]
    parts = [
        "---\nlanguage: pt\nlicense: cc-by-4.0\npipeline_tag: text-generation\n---",
        "# mini-pt",
        _SUMMARY.format(num(results["parametros"] / 1e6, 1)),
        "## Dados\n\n" + _data(results),
        "## Receita\n\n"
        + _table(
            ("campo", "valor"),
            [(f"`{name}`", f"`{_value(value)}`") for name, value in recipe.items()],
        )
        + f"\n\n{_AGAIN}",
        "## Treino\n\n"
        f"{num(training['tokens'] / 1e6, 1)} milhões de tokens em {num(training['segundos'] / 60, 1)} minutos "
        f"({num(training['tokens_por_segundo'], 0)} tokens/s), medido em {results['medido_em']}. Energia estimada: "
        f"{num(training['energia_wh'], 1)} Wh, supondo {num(training['watts_supostos'], 0)} W; não foi medida.\n\n"
        + _table(("software", "versão"), [(name, _line(version)) for name, version in results["versoes"].items()]),
        "## Medidas\n\n" + _measures(results),
        *([_scaling(scaling, results["principal"])] if scaling else []),
        "## Amostras\n\n"
        "Nenhuma foi escolhida: o começo está fixo no código e a semente de cada sorteio é a posição dele na lista. "
        f"Temperatura {num(drawing['temperature'], 1)} e top-k {drawing['top_k']} nas sorteadas.\n\n"
        + _table(
            ("começo", "gulosa", "sorteada", "4-gramas repetidos"),
            [
                (_line(s["prompt"]), _line(s["gulosa"]), _line(s["sorteada"]), num(100 * s["repeticao"], 0) + "%")
                for s in results["amostras"]
            ],
        ),
    ]
    if notes:
        parts.append(notes)
    parts.append(f"## Licença\n\n{_LICENCE}")
    return "\n\n".join(parts) + "\n"


def _data(results: Mapping[str, Any]) -> str:
    lines = []
    for name, facts in results["corpora"].items():
        tokens = num(results["tokens_de_treino"][name], 0)
        if name == "historias":
            lines.append(
                f"- `{name}`: {num(facts['train'], 0)} histórias sorteadas, {tokens} tokens; {facts['heldout']} novas, "
                "que só medem."
            )
            continue
        lines.append(
            f"- `{name}`: {num(facts['train'], 0)} documentos de treino, {tokens} tokens; separados inteiros, "
            f"{len(facts['heldout'])} ({num(facts['heldout_bytes'], 0)} bytes); repetidos e retirados, "
            f"{len(facts['dropped'])}."
        )
        if name == results["principal"] and len(facts["dropped"]) <= 10:
            lines += [
                f"  - `{d['name']}` é quase igual a `{d['kept']}` (Jaccard {num(d['jaccard'], 2)})."
                for d in facts["dropped"]
            ]
            lines.append("  - Separadas: " + ", ".join(f"`{title}`" for title in facts["heldout"]) + ".")
    return "\n".join(lines)


def _measures(results: Mapping[str, Any]) -> str:
    rows = [(f"modelo, `{name}` separado", num(value, 3)) for name, value in results["bits_por_byte"].items()]
    base = results["linhas_de_base"]
    if base:
        main = results["principal"]
        rows += [
            (f"n-gramas de Kneser-Ney, ordem {base['kneser_ney_ordem']}, `{main}`", num(base["kneser_ney"], 3)),
            (f"xz preparado com o treino, `{main}`", num(base["xz"], 3)),
        ]
    parts = [_table(("o quê", "bits por byte"), rows)]
    if stories := results["historias"]:
        parts.append(
            f"Histórias novas: {num(stories['nats'], 2)} nats por história; a entropia exata é "
            f"{num(stories['entropia'], 2)} (excesso de {num(100 * stories['excesso'], 1)}%)."
        )
    if copying := results.get("copia"):
        parts.append(
            f"Cópia do contexto: em sequências de {copying['tokens']} tokens sorteados, mostradas duas vezes seguidas, "
            f"a perda por token é de {num(copying['first'], 2)} nats na primeira vez e de {num(copying['second'], 2)} "
            f"na segunda; sem copiar, o melhor possível é ln V = {num(copying['ln_v'], 2)}."
        )
    if fertility := results["fertilidade"]:
        parts.append(
            f"Fertilidade: {num(fertility['modelo'], 2)} tokens por palavra, contra {num(fertility['gpt2'], 2)} do "
            "vocabulário do GPT-2."
        )
    curve = results["treino"]["curva"]
    if curve:
        names = [key for key in curve[-1] if key.endswith("_bits_per_byte")]
        head = ("tokens (milhões)", "perda de treino", *(f"`{n.removesuffix('_bits_per_byte')}`" for n in names))
        rows = [
            (num(r["tokens"] / 1e6, 2), num(r["loss"], 3), *(num(r[name], 3) if name in r else "" for name in names))
            for r in curve
        ]
        parts.append("Ao longo do treino (bits por byte numa parte dos textos separados, medida rápida):")
        parts.append(_table(head, rows))
    return "\n\n".join(parts)


def _scaling(scaling: Mapping[str, Any], name: str) -> str:
    law, tokens = scaling[name]["lei"], [num(n / 1e6, 1) for n in scaling["tokens"]]
    scale = law["escala"] * 1e6 ** -law["expoente"]  # com os tokens em milhões
    return (
        f"Lei de escala: treinos inteiros desta receita com {'; '.join(tokens[:-1])} e {tokens[-1]} milhões de tokens "
        f"seguem, em `{name}`, {num(law['piso'], 3)} + {num(scale, 3)} · D^(−{num(law['expoente'], 3)}) bits por byte, "
        f"com D em milhões. Os curtos, sozinhos, previam {num(scaling[name]['previsto_pelos_curtos'], 3)} para este."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _line(text: str) -> str:
    """Texto qualquer numa célula de tabela: uma linha só, em que nenhum caractere vale como marca do Markdown."""
    parts = (" ".join(part.split()) for part in text.splitlines())
    return " ⏎ ".join(re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", part) for part in parts if part)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def num(value: float, digits: int) -> str:
    """Número à brasileira: 1234.5 → 1.234,5."""
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))
