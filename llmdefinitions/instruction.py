"""Ajuste fino por instruções: o molde do prompt, os exemplos em ids e os lotes.

Um exemplo é o texto inteiro, do enunciado ao fim da resposta, mais um token de fim; o alvo é a entrada deslocada em um.
O que muda entre as variantes é quais alvos contam na perda.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from .config import IGNORE_INDEX
from .tokenizer import encode

#: Token de fim do GPT-2, que também serve de preenchimento.
PAD_TOKEN_ID = 50256


@dataclass(frozen=True)
class PromptTemplate:
    """Molde de um prompt: uma abertura e o que vem antes da instrução, do contexto e da resposta.

    Se a resposta continua a linha do cabeçalho, o espaço que os separa fica em `separator`, e não no fim de `response`:
    num BPE o espaço pertence à palavra seguinte, e um prompt que acabasse nele pediria um token que o treino não viu.
    """

    opening: str
    instruction: str
    context: str
    response: str
    separator: str = ""

    def prompt(self, entry: Mapping[str, Any]) -> str:
        """Enunciado e contexto, se houver; a resposta vem depois, com :attr:`response` na frente."""
        context = entry.get("input") or ""
        described = f"{self.context}{context}" if context else ""
        return f"{self.opening}{self.instruction}{entry['instruction']}{described}"


_ALPACA_TASK = "Below is an instruction that describes a task."
_ALPACA_ORDER = "Write a response that appropriately completes the request."
#: Por nome: Alpaca (Taori et al., 2023), Phi-3 (Abdin et al., 2024) e dois do livro, em português; o curto serve a
#: modelos pequenos: gasta poucos tokens, e nele as palavras da resposta são os mesmos tokens que no meio de uma frase.
TEMPLATES: dict[str, PromptTemplate] = {
    "alpaca": PromptTemplate(
        f"{_ALPACA_TASK} {_ALPACA_ORDER}", "\n\n### Instruction:\n", "\n\n### Input:\n", "\n\n### Response:\n"
    ),
    "phi3": PromptTemplate("", "<|user|>\n", "\n", "\n<|assistant|>\n"),
    "portugues": PromptTemplate("", "### Instrução:\n", "\n\n### Contexto:\n", "\n\n### Resposta:\n"),
    "curto": PromptTemplate("", "Pedido: ", "\nTexto: ", "\nResposta:", " "),
}


def get_template(template: str | PromptTemplate) -> PromptTemplate:
    """Molde pelo nome; um :class:`PromptTemplate` volta como veio.

    Erros:
        ValueError: nome desconhecido; a mensagem lista os que existem.
    """
    if isinstance(template, PromptTemplate):
        return template
    if template not in TEMPLATES:
        raise ValueError(f"molde {template!r} desconhecido: use um de {', '.join(TEMPLATES)}, ou um PromptTemplate.")
    return TEMPLATES[template]


def format_input(entry: Mapping[str, Any], *, template: str | PromptTemplate = "alpaca") -> str:
    """Prompt de um item, até antes do cabeçalho da resposta.

    Parâmetros:
        entry: com `instruction` e, se houver contexto, `input`.
        template: nome em :data:`TEMPLATES`, ou um molde próprio.
    """
    return get_template(template).prompt(entry)


def format_example(entry: Mapping[str, Any], *, template: str | PromptTemplate = "alpaca") -> str:
    """Texto inteiro de um item: prompt, cabeçalho da resposta e resposta (`output`)."""
    chosen = get_template(template)
    return f"{chosen.prompt(entry)}{chosen.response}{chosen.separator}{entry['output']}"


def split_instructions(
    data: Sequence[Any], train: float = 0.85, test: float = 0.1
) -> tuple[list[Any], list[Any], list[Any]]:
    """Treino, validação e teste, na ordem em que vieram: o começo, o fim e o meio, como no livro de origem.

    Erros:
        ValueError: frações que não são positivas ou somam 1 ou mais, ou itens que não dão para as três partes.
    """
    if not (train > 0 and test > 0 and train + test < 1):
        raise ValueError(f"train={train}, test={test}: esperado duas frações positivas que somem menos de 1.")
    n_train, n_test = int(len(data) * train), int(len(data) * test)
    parts = list(data[:n_train]), list(data[n_train + n_test :]), list(data[n_train : n_train + n_test])
    if not all(parts):
        raise ValueError(f"{len(data)} itens não dão para treino, validação e teste: use mais itens.")
    return parts


class EncodedExample(list):
    """Ids de um exemplo: uma lista comum, que sabe quantos dos primeiros são do prompt (`prompt_length`)."""

    def __init__(self, ids: Sequence[int], prompt_length: int = 0) -> None:
        super().__init__(ids)
        self.prompt_length = prompt_length


def encode_example(
    entry: Mapping[str, Any], tokenizer: Any, *, template: str | PromptTemplate = "alpaca"
) -> EncodedExample:
    """Ids do texto inteiro. Um token que junta o fim do prompt ao começo da resposta conta como resposta."""
    chosen = get_template(template)
    ids = encode(format_example(entry, template=chosen), tokenizer)
    prompt = encode(chosen.prompt(entry) + chosen.response, tokenizer)
    shared = next((i for i, (a, b) in enumerate(zip(ids, prompt, strict=False)) if a != b), min(len(ids), len(prompt)))
    return EncodedExample(ids, shared)


class InstructionDataset(Dataset):
    """Exemplos já em ids, na ordem de `data`, sem o token de fim, que o lote acrescenta.

    Parâmetros:
        data: itens com `instruction`, `output` e, se houver, `input`.
        tokenizer: tiktoken ou Hugging Face.
        template: ver :func:`format_input`.

    Erros:
        ValueError: nenhum item, ou item sem um dos campos; a mensagem diz qual.
    """

    def __init__(
        self, data: Sequence[Mapping[str, Any]], tokenizer: Any, *, template: str | PromptTemplate = "alpaca"
    ) -> None:
        if not data:
            raise ValueError("nenhum item: não há exemplo a codificar; confira o arquivo lido ou a divisão.")
        for number, entry in enumerate(data):
            if missing := [name for name in ("instruction", "output") if name not in entry]:
                raise ValueError(f"item {number} sem {' nem '.join(missing)}: tem {sorted(entry)}.")
        self.data = data
        self.encoded_texts = [encode_example(entry, tokenizer, template=template) for entry in data]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> EncodedExample:
        """Ids do exemplo `index`."""
        return self.encoded_texts[index]


def custom_collate_draft_1(
    batch: Sequence[Sequence[int]], pad_token_id: int = PAD_TOKEN_ID, device: torch.device | str = "cpu"
) -> Tensor:
    """Primeira versão: só as entradas, completadas até a maior do lote: `(B, T)`."""
    return _padded(batch, pad_token_id)[:, :-1].to(device)


def custom_collate_draft_2(
    batch: Sequence[Sequence[int]], pad_token_id: int = PAD_TOKEN_ID, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Segunda versão: entradas e alvos deslocados em um, `(B, T)` cada; o preenchimento ainda conta na perda."""
    rows = _padded(batch, pad_token_id)
    return rows[:, :-1].to(device), rows[:, 1:].to(device)


def custom_collate_fn(
    batch: Sequence[Sequence[int]],
    pad_token_id: int = PAD_TOKEN_ID,
    ignore_index: int = IGNORE_INDEX,
    allowed_max_length: int | None = None,
    device: torch.device | str = "cpu",
    *,
    mask_instruction: bool = False,
) -> tuple[Tensor, Tensor]:
    """Lote do ajuste fino: entradas e alvos `(B, T)`, com o preenchimento fora da perda.

    Fica fora pelo lugar, e não pelo valor: o token de fim que encerra cada exemplo conta (é com ele que o modelo
    aprende a parar), e um igual no meio do texto também.

    Parâmetros:
        batch: listas de ids.
        pad_token_id: token que encerra e completa.
        ignore_index: alvo das posições que não contam.
        allowed_max_length: corta entradas e alvos nesse comprimento.
        device: para onde vão os tensores.
        mask_instruction: tira da perda também os tokens do prompt; pede exemplos de :class:`InstructionDataset`.

    Erros:
        ValueError: lote ou exemplo vazio, `allowed_max_length` < 1, prompt de comprimento desconhecido, ou exemplo sem
            nenhum alvo depois do corte.
    """
    if allowed_max_length is not None and allowed_max_length < 1:
        raise ValueError(f"allowed_max_length={allowed_max_length}: esperado um inteiro ≥ 1, ou None para não cortar.")
    rows = _padded(batch, pad_token_id)
    inputs, targets = rows[:, :-1], rows[:, 1:].clone()
    for i, item in enumerate(batch):
        targets[i, len(item) :] = ignore_index  # o alvo na posição len − 1 é o token de fim
        if mask_instruction:
            targets[i, : max(0, _prompt_length(item) - 1)] = ignore_index
    inputs, targets = inputs[:, :allowed_max_length], targets[:, :allowed_max_length]
    if not (kept := (targets != ignore_index).any(dim=1)).all():
        i = int((~kept).nonzero()[0])
        raise ValueError(
            f"exemplo {i}: o corte em allowed_max_length={allowed_max_length} não deixa nenhum token da resposta (o "
            f"prompt tem {_prompt_length(batch[i])}). Aumente allowed_max_length ou retire o exemplo."
        )
    return inputs.to(device), targets.to(device)


def _padded(batch: Sequence[Sequence[int]], pad_token_id: int) -> Tensor:
    """Cada exemplo, um token de fim e o preenchimento: `(B, T + 1)`, com T o tamanho do maior."""
    if len(batch) == 0:
        raise ValueError("lote vazio: esperado ao menos um exemplo; confira o DataLoader.")
    if empty := [i for i, item in enumerate(batch) if len(item) == 0]:
        raise ValueError(f"exemplo {empty[0]} do lote é vazio: retire-o do conjunto.")
    rows = [torch.tensor([*item, pad_token_id]) for item in batch]
    return pad_sequence(rows, batch_first=True, padding_value=pad_token_id)


def _prompt_length(item: Sequence[int]) -> int:
    if not isinstance(item, EncodedExample):
        raise ValueError(
            "mask_instruction precisa saber onde acaba o prompt: use exemplos de InstructionDataset, ou "
            "EncodedExample(ids, prompt_length)."
        )
    return item.prompt_length
