"""O que um ajuste por instruções mudou, por categoria: antes, depois e o ganho, com intervalos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .answer_format import follows_format
from .answer_metrics import exact_match, sentence_chrf, token_f1
from .instruction_data import check_answer
from .intervals import Interval, mean_interval

#: As medidas de uma resposta, todas de 0 a 1: igual à referência; aceita pelo verificador (sem ele, igual à
#: referência); F1 de palavras; chrF; na forma pedida.
METRICS = ("exata", "aceita", "f1", "chrf", "forma")
#: Nome do grupo com todas as respostas.
ALL = "todas"


@dataclass(frozen=True)
class Gain:
    """Uma medida num grupo de itens, antes e depois; o ganho é a média das diferenças item a item.

    Atributos:
        category: a categoria, ou :data:`ALL`.
        before, after: médias, com o intervalo de cada uma.
        gain: depois menos antes. O intervalo reamostra itens, e não respostas: é pareado.
    """

    category: str
    before: Interval
    after: Interval
    gain: Interval

    def to_dict(self) -> dict[str, Any]:
        """Como JSON."""
        return asdict(self)


def score_answer(entry: Mapping[str, Any], answer: str) -> dict[str, float]:
    """As medidas de :data:`METRICS` de uma resposta."""
    exact = exact_match(answer, entry["output"])
    accepted = exact if entry.get("verificador") is None else check_answer(entry, answer)
    return {
        "exata": float(exact),
        "aceita": float(accepted),
        "f1": token_f1(answer, entry["output"]),
        "chrf": sentence_chrf(answer, entry["output"]) / 100,
        "forma": float(follows_format(entry, answer)),
    }


def gains(
    data: Sequence[Mapping[str, Any]],
    before: Sequence[str],
    after: Sequence[str],
    *,
    metric: str = "exata",
    level: float = 0.95,
    seed: int = 0,
) -> list[Gain]:
    """O ganho em todos os itens e em cada categoria, na ordem alfabética.

    Parâmetros:
        data: itens; os sem `categoria` só contam no total.
        before, after: respostas dos dois modelos aos mesmos itens.
        metric: uma de :data:`METRICS`.
        level, seed: ver :func:`~llmdefinitions.intervals.mean_interval`.

    Erros:
        ValueError: medida desconhecida, ou números diferentes de itens e de respostas.
    """
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r}: esperado um de {', '.join(METRICS)}.")
    if not len(data) == len(before) == len(after):
        raise ValueError(
            f"{len(data)} itens, {len(before)} respostas antes e {len(after)} depois: esperado o mesmo número."
        )
    pairs = [
        (score_answer(entry, first)[metric], score_answer(entry, last)[metric])
        for entry, first, last in zip(data, before, after, strict=True)
    ]
    groups = {ALL: range(len(data))}
    for category in sorted({entry["categoria"] for entry in data if "categoria" in entry}):
        groups[category] = [i for i, entry in enumerate(data) if entry.get("categoria") == category]

    def interval(values: list[float]) -> Interval:
        return mean_interval(values, level=level, seed=seed)

    return [
        Gain(
            category,
            interval([pairs[i][0] for i in numbers]),
            interval([pairs[i][1] for i in numbers]),
            interval([pairs[i][1] - pairs[i][0] for i in numbers]),
        )
        for category, numbers in groups.items()
    ]
