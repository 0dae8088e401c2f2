"""Checkpoints: gravar o treino inteiro sem risco e retomar exatamente de onde parou.

Um checkpoint é um só arquivo safetensors (nada é desserializado com pickle): pesos, estado do otimizador, geradores
aleatórios e a posição do treino, com um resumo criptográfico de tudo. É escrito ao lado e renomeado no fim, então um
processo morto no meio nunca deixa um arquivo pela metade com o nome definitivo.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .config import GPTConfig
from .files import write_tensors
from .model import GPTModel
from .randomness import restore_rng, rng_numbers, rng_tensors

FORMAT = "llmdefinitions-checkpoint-1"
SUFFIX = ".safetensors"


class CheckpointError(ValueError):
    """Arquivo de checkpoint danificado, de outro programa ou de outro modelo."""


def save_checkpoint(
    directory: str | Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    state: Mapping[str, Any] | None = None,
    extra_tensors: Mapping[str, Tensor] | None = None,
    keep: int = 2,
) -> Path:
    """Grava um checkpoint atômico e apaga os antigos, deixando os `keep` mais novos.

    Parâmetros:
        directory: pasta dos checkpoints; é criada se não existe.
        step: passo do treino, que dá o nome do arquivo.
        model: modelo cujos pesos são gravados (matrizes compartilhadas, uma vez só).
        optimizer: otimizador cujo estado é gravado.
        state: dados em JSON (posição, perdas…), devolvidos por :func:`load_checkpoint`.
        extra_tensors: tensores a mais, por exemplo o estado do gerador no começo da época.
        keep: quantos arquivos manter.

    Devolve:
        Caminho do arquivo gravado.
    """
    if keep < 1:
        raise ValueError(f"keep={keep}: esperado um inteiro ≥ 1; é preciso manter ao menos o checkpoint novo.")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": t for name, t in _unique_tensors(model).items()}
    info: dict[str, Any] = {"step": step, "state": dict(state or {}), "rng": rng_numbers()}
    tensors |= {f"rng.{name}": t for name, t in rng_tensors().items()}
    tensors |= {f"extra.{name}": t for name, t in (extra_tensors or {}).items()}
    if optimizer is not None:
        info["optimizer"] = _optimizer_info(optimizer, tensors)
    path = directory / f"passo-{step:08d}{SUFFIX}"
    _write(path, tensors, {"formato": FORMAT, "info": json.dumps(info)})
    # O recém-gravado nunca é apagado: um arquivo danificado, de passo maior, não pode tomar o lugar dele.
    others = [other for other in list_checkpoints(directory) if other != path]
    for old in others[: max(0, len(others) - keep + 1)]:
        old.unlink()
    for orphan in directory.glob(f"passo-*{SUFFIX}.*.parcial"):  # de um processo que morreu no meio da escrita
        orphan.unlink(missing_ok=True)
    return path


def list_checkpoints(directory: str | Path) -> list[Path]:
    """Checkpoints da pasta, do mais antigo para o mais novo."""
    return sorted(Path(directory).glob(f"passo-*{SUFFIX}"))


def load_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    with_rng: bool = True,
    validate: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Confere o arquivo inteiro e só então repõe pesos, otimizador e geradores.

    Parâmetros:
        path: arquivo gravado por :func:`save_checkpoint`.
        model: modelo que recebe os pesos.
        optimizer: otimizador que recebe o estado gravado.
        with_rng: se repõe os geradores aleatórios globais (PyTorch, NumPy e Python).
        validate: recebe o `state` antes de qualquer mudança e levanta :class:`CheckpointError` se não servir.

    Devolve:
        `(state, extra_tensors)` como dados a :func:`save_checkpoint`, com `state["step"]`.

    Erros:
        CheckpointError: arquivo danificado, de outro formato, ou de um modelo com outros pesos.
    """
    tensors, info = _read(Path(path))
    if "rng" not in info:
        raise CheckpointError(f"{path}: é um modelo gravado sem estado de treino; use load_model.")
    saved = {name[6:]: t for name, t in tensors.items() if name.startswith("model.")}
    _check_same_model(Path(path), _unique_tensors(model), saved)
    if optimizer is not None and "optimizer" not in info:
        raise CheckpointError(f"{path}: o checkpoint não tem estado de otimizador; carregue-o sem `optimizer`.")
    if validate is not None:
        validate(info["state"])
    if optimizer is not None:  # antes do modelo: se o otimizador não serve, nada muda
        _restore_optimizer(Path(path), optimizer, info["optimizer"], tensors)
    model.load_state_dict(saved, strict=False)  # as matrizes compartilhadas faltam de propósito; o resto foi conferido
    if with_rng:
        restore_rng({name[4:]: t for name, t in tensors.items() if name.startswith("rng.")}, info["rng"])
    extra = {name[6:]: t for name, t in tensors.items() if name.startswith("extra.")}
    return {**info["state"], "step": info["step"]}, extra


def load_latest(
    directory: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    validate: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Carrega o checkpoint bom mais novo da pasta; avisa dos danificados e usa o anterior.

    Devolve:
        O mesmo que :func:`load_checkpoint`, ou `None` se a pasta não tem checkpoint nenhum.

    Erros:
        CheckpointError: há checkpoints, mas nenhum pôde ser usado.
    """
    failures = []
    for path in reversed(list_checkpoints(directory)):
        try:
            loaded = load_checkpoint(path, model, optimizer, validate=validate)
        except CheckpointError as error:
            failures.append(str(error))
            continue
        for failure in failures:
            warnings.warn(f"checkpoint ignorado: {failure} Retomando de {path.name}.", stacklevel=2)
        return loaded
    if failures:
        raise CheckpointError(
            f"nenhum checkpoint utilizável em {directory}: {' '.join(failures)} "
            "Apague a pasta para recomeçar o treino do zero."
        )
    return None


def save_model(model: GPTModel, path: str | Path) -> Path:
    """Grava só os pesos e a configuração de um `GPTModel`, num arquivo safetensors atômico."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    info = json.dumps({"config": model.cfg.to_dict()})
    tensors = {f"model.{name}": t for name, t in _unique_tensors(model).items()}
    _write(path, tensors, {"formato": FORMAT, "info": info})
    return path


def load_model(path: str | Path) -> GPTModel:
    """Recria, em modo de avaliação, o `GPTModel` gravado por :func:`save_model`.

    Erros:
        CheckpointError: arquivo danificado, de outro formato, ou sem a configuração do modelo.
    """
    path = Path(path)
    tensors, info = _read(path)
    if "config" not in info:
        raise CheckpointError(f"{path}: é um checkpoint de treino, sem configuração; use load_checkpoint.")
    model = GPTModel(GPTConfig.from_dict(info["config"]))
    saved = {name[6:]: t for name, t in tensors.items()}
    _check_same_model(path, _unique_tensors(model), saved)
    model.load_state_dict(saved, strict=False)
    return model.eval()


# --- o arquivo


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    tensors = {name: t.detach().to("cpu").contiguous() for name, t in tensors.items()}
    write_tensors(path, tensors, {**metadata, "resumo": _digest(tensors, metadata["info"])})


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # A cópia solta o arquivo: sem ela os tensores seguem mapeados nele, e o Windows não deixaria apagá-lo.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 — não é iterável
    except FileNotFoundError:
        raise CheckpointError(f"{path}: arquivo não encontrado; confira a pasta.") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: arquivo danificado ou que não é safetensors ({error}); apague-o.") from error
    if metadata.get("formato") != FORMAT:
        raise CheckpointError(
            f"{path}: formato {metadata.get('formato')!r}, esperado {FORMAT!r}; o arquivo é de outro programa."
        )
    if metadata.get("resumo") != _digest(tensors, metadata.get("info", "")):
        raise CheckpointError(
            f"{path}: o conteúdo não confere com o resumo gravado; o arquivo foi danificado, apague-o."
        )
    return tensors, json.loads(metadata["info"])


def _digest(tensors: Mapping[str, Tensor], info: str) -> str:
    digest = hashlib.blake2b(info.encode(), digest_size=32)
    for name in sorted(tensors):
        t = tensors[name]
        digest.update(f"{name}|{t.dtype}|{tuple(t.shape)}".encode())
        digest.update(t.reshape(-1).view(torch.uint8).numpy().data if t.numel() else b"")
    return digest.hexdigest()


# --- o que vai dentro


def _unique_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Estado do modelo sem repetir tensores que compartilham memória (saída amarrada aos embeddings)."""
    unique: dict[int, str] = {}
    state = model.state_dict()
    for name, tensor in state.items():
        unique.setdefault(tensor.data_ptr() if tensor.numel() else id(tensor), name)
    return {name: state[name] for name in unique.values()}


def _check_same_model(path: Path, expected: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    differences = [f"falta {name}" for name in expected if name not in saved]
    differences += [f"sobra {name}" for name in saved if name not in expected]
    differences += [
        f"{name}: {tuple(saved[name].shape)} no arquivo, {tuple(t.shape)} no modelo"
        for name, t in expected.items()
        if name in saved and saved[name].shape != t.shape
    ]
    if differences:
        raise CheckpointError(
            f"{path}: os pesos são de outro modelo ({'; '.join(differences[:3])}). Crie o modelo com a mesma "
            "configuração, ou use outra pasta de checkpoints."
        )


def _optimizer_info(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> dict[str, Any]:
    saved = optimizer.state_dict()
    scalars: dict[str, dict[str, Any]] = {}
    for index, values in saved["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optim.{index}.{key}"] = value
            else:
                scalars.setdefault(str(index), {})[key] = value
    return {"type": type(optimizer).__name__, "groups": saved["param_groups"], "scalars": scalars}


def _restore_optimizer(
    path: Path, optimizer: torch.optim.Optimizer, info: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    if info["type"] != type(optimizer).__name__:
        raise CheckpointError(f"{path}: o otimizador gravado é {info['type']}, e o dado é {type(optimizer).__name__}.")
    state: dict[int, dict[str, Any]] = {int(i): dict(values) for i, values in info["scalars"].items()}
    for name, value in tensors.items():
        if name.startswith("optim."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    groups = [{k: tuple(v) if k == "betas" else v for k, v in g.items()} for g in info["groups"]]
    try:
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except ValueError as error:
        raise CheckpointError(f"{path}: o otimizador é de outro modelo ({error}).") from error
