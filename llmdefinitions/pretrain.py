"""Pré-treino de ponta a ponta, do texto bruto ao modelo exportado: `python -m llmdefinitions.pretrain`.

Em vários processos, ou várias máquinas, o mesmo comando sob `torchrun` (ver `distributed`). Interrompido, continua de
onde parou quando chamado de novo com a mesma pasta.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from .compression import xz_bits_per_byte
from .corpora import CorpusUnavailableError
from .distributed import World, abandon, join_world
from .files import write_json
from .mixture import Mixture
from .model_card import write_card
from .pretrain_data import PretrainData, prepare
from .pretrain_report import BASELINE_TOKENS, SAMPLING, main_corpus, measure
from .pretrained import load_pretrained, save_pretrained
from .pretrainer import FREE_FIELDS, Evaluation, Pretrainer, read_log
from .progress import say
from .recipe import Recipe, load_recipe, parse_duration
from .scoring import score_documents, total_bits_per_byte

_CALIBRATION_STEPS = 6
#: Parte do orçamento que fica para medir e exportar, no mínimo, e medições durante o treino, no máximo.
_RESERVED, _EVALUATIONS = 0.2, 10
#: Caracteres de cada corpus numa medição durante o treino.
_QUICK = 60_000
#: Caracteres das amostras com que se prevê a duração das medidas finais, e quanto elas custam a mais por inteiro: na
#: pontuação, o que não é pontuar; no xz, um dicionário maior. Com folga sobre o que se observou.
_SCORING_SAMPLE, _SCORING_FACTOR = 10_000, 1.3
_XZ_SAMPLE, _XZ_FACTOR = 200_000, 5.0
#: Campos que o orçamento ajusta a esta máquina.
_FITTED = ("steps", "warmup_steps", "eval_every", "checkpoint_every")
#: Valores com que o modelo exportado gera por padrão.
GENERATION = {"do_sample": True, **SAMPLING, "max_new_tokens": 80}


def pretrain(
    recipe: Recipe,
    folder: str | Path,
    world: World,
    *,
    budget: float | None = None,
    export_to: str | Path | None = None,
) -> Path | None:
    """Prepara os dados, treina, exporta e mede.

    Parâmetros:
        recipe: receita.
        folder: pasta de trabalho: dados, checkpoints, registro e a receita de fato usada.
        world: os processos do treino.
        budget: segundos para tudo; os passos da receita são ajustados ao que esta máquina faz nesse tempo.
        export_to: pasta do modelo exportado; padrão, `modelo` dentro de `folder`.

    Devolve:
        A pasta do modelo, no processo 0; `None` nos outros.

    Erros:
        ValueError: a pasta é de outra receita, ou o orçamento não dá nem para começar.
    """
    begin = time.monotonic()
    folder = Path(folder)
    used_path = folder / "receita.json"
    if used_path.is_file():
        recipe = _same_recipe(used_path, recipe, fitted=budget is not None)
        budget = None
    tell = say if world.is_main else _silent
    if world.is_main:  # os outros esperam: os dados são preparados uma vez
        prepare(recipe, folder / "dados", tell)
    world.barrier()
    data = prepare(recipe, folder / "dados", _silent)
    mixture = Mixture.from_recipe(data.stores, recipe)
    if budget is not None:
        recipe = _fit_steps(recipe, mixture, data, world, begin + budget, _RESERVED * budget)
        tell(f"Orçamento de {budget:.0f} s: {recipe.steps} passos.")
    if world.is_main:
        write_json(used_path, recipe.to_dict())
    trainer = Pretrainer(recipe, mixture, folder / "checkpoints", world, _evaluation(data))
    target = Path(export_to) if export_to is not None else folder / "modelo"
    if trainer.step == recipe.steps and _is_measured(target, recipe):
        tell(f"Já está pronto em {target}; para medir de novo, apague {target / 'medidas.json'}.")
        return target if world.is_main else None
    if trainer.step:
        tell(f"Retomando do passo {trainer.step} de {recipe.steps}.")
    model = trainer.run()
    if not world.is_main:
        return None
    save_pretrained(model, data.tokenizer, target, generation=GENERATION)
    tell(f"Modelo exportado em {target}. Medindo…")
    stored, _ = load_pretrained(target)
    results = measure(stored, data, recipe, read_log(folder / "checkpoints" / "registro.jsonl"), trainer.seconds)
    write_json(target / "medidas.json", results)
    write_card(target, results)
    for name, bits in results["bits_por_byte"].items():
        tell(f"  {name}: {bits:.3f} bits por byte nos textos separados")
    tell(f"Pronto: {trainer.seconds / 60:.1f} min de treino. Ficha em {target / 'README.md'}.")
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Linha de comando."""
    parser = argparse.ArgumentParser(prog="python -m llmdefinitions.pretrain", description=__doc__.split("\n")[0])
    parser.add_argument("--receita", default="mini-pt", help="receita embutida ou arquivo JSON (padrão: mini-pt)")
    parser.add_argument("--pasta", type=Path, default=Path("mini-pt"), help="pasta de trabalho (padrão: mini-pt)")
    parser.add_argument("--exportar", type=Path, help="pasta do modelo (padrão: PASTA/modelo)")
    parser.add_argument("--orcamento", help="tempo para tudo, como 5min: ajusta o número de passos a esta máquina")
    parser.add_argument("--cpu", action="store_true", help="não usa GPU mesmo que haja")
    parser.add_argument("mudancas", nargs="*", metavar="campo=valor", help="muda campos da receita, como steps=200")
    options = parser.parse_intermixed_args(arguments)
    try:
        pairs = [change.split("=", 1) for change in options.mudancas]
        if bad := [pair[0] for pair in pairs if len(pair) != 2]:
            raise ValueError(f"{bad[0]!r}: esperado campo=valor.")
        recipe = load_recipe(options.receita).changed(dict(pairs))
        budget = None if options.orcamento is None else parse_duration(options.orcamento)
        with join_world(use_gpu=not options.cpu) as world:
            pretrain(recipe, options.pasta, world, budget=budget, export_to=options.exportar)
    except CorpusUnavailableError as error:
        print(f"erro: {error}. Para treinar só com os embutidos: mixture=bncc=30,historias=70", file=sys.stderr)
        abandon(1)  # aqui dentro, enquanto o erro ainda segura o que o destrutor desfaria
        return 1
    except (ValueError, RuntimeError, ArithmeticError, OSError) as error:
        print(f"erro: {error}", file=sys.stderr)
        abandon(1)
        return 1
    except KeyboardInterrupt:
        print("\nInterrompido: o mesmo comando continua do último checkpoint.", file=sys.stderr)
        abandon(130)
        return 130
    return 0


def _same_recipe(path: Path, recipe: Recipe, fitted: bool) -> Recipe:
    """A receita, se é a que está gravada na pasta; com orçamento, os campos ajustados a ele vêm da gravada."""
    saved = load_recipe(path)
    if fitted:
        recipe = replace(recipe, **{name: getattr(saved, name) for name in _FITTED})
    mine, theirs = recipe.to_dict(), saved.to_dict()
    for name in mine:
        if name not in FREE_FIELDS and mine[name] != theirs[name]:
            raise ValueError(
                f"{path.parent}: a pasta tem um treino com {name}={theirs[name]!r}, e esta receita tem {mine[name]!r}. "
                "Use outra pasta, ou a mesma receita."
            )
    return recipe


def _is_measured(target: Path, recipe: Recipe) -> bool:
    """Se a pasta já tem o modelo desta receita com as medidas e a ficha, que é o último arquivo a ser escrito."""
    try:
        measured = json.loads((target / "medidas.json").read_text(encoding="utf-8"))["receita"]
    except (OSError, ValueError, KeyError):
        return False
    return measured == recipe.to_dict() and (target / "README.md").is_file()


def _fit_steps(
    recipe: Recipe, mixture: Mixture, data: PretrainData, world: World, deadline: float, reserved: float
) -> Recipe:
    """A receita com os passos que cabem até `deadline` (relógio monotônico), medindo alguns nesta máquina."""
    trial_recipe = replace(recipe, steps=_CALIBRATION_STEPS, warmup_steps=0)
    with tempfile.TemporaryDirectory() as folder:
        trial = Pretrainer(trial_recipe, mixture, folder, world)
        times = [trial.advance()["seconds"] for _ in range(_CALIBRATION_STEPS)]
    each, evaluation, left = (times[-1] - times[0]) / (len(times) - 1), 0.0, 0.0
    if world.is_main:
        began = time.monotonic()
        _evaluation(data)(trial.model)
        evaluation = max(time.monotonic() - began, 1e-3)
        compiling = times[0] - each if recipe.compile else 0.0  # o treino de verdade compila de novo
        left = deadline - max(reserved, _closing_seconds(data, recipe, trial.model)) - compiling - time.monotonic()
    each, evaluation, left = world.from_main((each, evaluation, left))
    evaluations = max(1, min(_EVALUATIONS, int(_RESERVED * left / evaluation)))
    steps = int((left - evaluations * evaluation) / each)
    if steps < _CALIBRATION_STEPS:
        raise ValueError(
            f"orçamento curto: sem o preparo dos dados e as medidas finais, sobram {left:.0f} s para treinar; cada "
            f"passo leva {each:.2f} s, e cada medição, {evaluation:.1f} s. Dê mais tempo (os dados já preparados "
            "ficam na pasta), ou diminua n_stories, batch_size ou o modelo."
        )
    fitted = (steps, max(1, steps // 20), -(-steps // evaluations), -(-steps // _EVALUATIONS))
    return replace(recipe, **dict(zip(_FITTED, fitted, strict=True)))


def _closing_seconds(data: PretrainData, recipe: Recipe, model: nn.Module) -> float:
    """Estimativa de quanto :func:`measure` levará nesta máquina."""
    texts = [text for texts in data.heldout.values() for text in texts]
    began, probe = time.monotonic(), _first_characters(texts, _SCORING_SAMPLE)
    score_documents(model, probe, data.tokenizer)
    seconds = _SCORING_FACTOR * (time.monotonic() - began) * sum(map(len, texts)) / sum(map(len, probe))
    main = main_corpus(data, recipe)
    if main is None or len(data.stores[main]) > BASELINE_TOKENS:
        return seconds
    sample = "\n\n".join(data.heldout[main])[:_XZ_SAMPLE]
    began = time.monotonic()
    xz_bits_per_byte(sample[: len(sample) // 2], sample[len(sample) // 2 :])
    return seconds + _XZ_FACTOR * (time.monotonic() - began) * data.stores[main].info["n_bytes"] / len(sample)


def _evaluation(data: PretrainData) -> Evaluation:
    """Medição rápida durante o treino: uma parte dos textos separados de cada corpus."""
    samples = {name: _first_characters(texts, _QUICK) for name, texts in data.heldout.items() if texts}

    def evaluate(model: nn.Module) -> dict[str, float]:
        found = {}
        for name, texts in samples.items():
            scores = score_documents(model, texts, data.tokenizer, stride=model.cfg.context_length, precision="auto")
            found[f"{name}_bits_per_byte"] = round(total_bits_per_byte(scores), 5)
        return found

    return evaluate


def _first_characters(texts: list[str], limit: int) -> list[str]:
    chosen, size = [], 0
    for text in texts:
        if chosen and size + len(text) > limit:
            break
        chosen.append(text[:limit])
        size += len(text)
    return chosen


def _silent(_: str) -> None:
    return None


if __name__ == "__main__":
    sys.exit(main())
