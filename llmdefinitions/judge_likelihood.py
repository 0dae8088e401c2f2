"""Juiz de verossimilhança: em vez de pedir uma nota, medir quanto um modelo esperava aquela resposta.

Um modelo pequeno demais para dar notas ainda dá probabilidade a um texto, e isso também ordena respostas. Num servidor
do llama.cpp, uma gramática que só aceita os tokens da resposta obriga o modelo a escrevê-la, e as probabilidades que
voltam são as de antes da gramática.
"""

from __future__ import annotations

import codecs
import json
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AnswerScore:
    """Quanto uma resposta custa a um modelo: `nats` é −ln p dela, com o token de fim; `n_tokens`, quantos são.

    O fim é o mais provável dos tokens que o modelo tem para acabar (no SmolLM2, o do turno e o do documento).
    """

    nats: float
    n_tokens: int

    @property
    def per_token(self) -> float:
        """ln p médio por token: menos negativo é mais esperado."""
        return -self.nats / self.n_tokens


def answer_score(root: str, prompt: str, answer: str, *, timeout: float = 300.0) -> AnswerScore:
    """−ln p de `answer` como resposta a `prompt`, segundo o modelo de um servidor do llama.cpp.

    Parâmetros:
        root: raiz do servidor, como a de :func:`~llmdefinitions.judge_server.local_judge_server`.
        prompt: a mensagem do usuário.
        answer: a resposta a medir.
        timeout: segundos.

    Erros:
        ValueError: resposta vazia, ou servidor que escreveu outra coisa (não entende gramáticas de tokens).
        OSError: o servidor não respondeu.
    """
    if not answer.strip():
        raise ValueError("a resposta está vazia: não há o que medir.")
    tokens = _post(f"{root}/tokenize", {"content": answer, "with_pieces": True}, timeout)["tokens"]
    ids, hidden = [token["id"] for token in tokens], _split_characters(tokens)
    # A gramática do llama.cpp se perde quando a resposta começa no meio de um caractere: o primeiro vai no contexto.
    lead = next(k for k in range(len(ids)) if k not in hidden) + 1 if 0 in hidden else 0
    context = _context(root, prompt, timeout)
    request = {
        **{"prompt": context + ids[:lead], "temperature": 0, "n_predict": len(ids) - lead + 8},
        **{"n_probs": 1, "grammar": _only(ids[lead:])},
        "cache_prompt": False,  # aproveitar contas da pergunta anterior muda as últimas casas
    }
    written = _post(f"{root}/completion", request, timeout)["completion_probabilities"]
    shown = [token for k, token in enumerate(ids) if k >= lead and k not in hidden]
    if [token["id"] for token in written[: len(shown)]] != shown:
        text = "".join(token["token"] for token in written)
        raise ValueError(
            f"o servidor escreveu {text!r} no lugar da resposta: use um llama.cpp com gramáticas de tokens."
        )
    apart = sorted({*range(lead), *hidden})
    missing = sum(_next_logprob(root, context + ids[:k], ids[k], timeout) for k in apart)
    return AnswerScore(-missing - sum(token["logprob"] for token in written), len(written) + len(apart))


def _context(root: str, prompt: str, timeout: float) -> list[int]:
    """Os tokens da conversa, até onde a resposta começa."""
    messages = [{"role": "user", "content": prompt}]
    chat = _post(f"{root}/apply-template", {"messages": messages}, timeout)["prompt"]
    asked = {"content": chat, "add_special": True, "parse_special": True}
    return _post(f"{root}/tokenize", asked, timeout)["tokens"]


def _split_characters(tokens: Sequence[Mapping[str, Any]]) -> list[int]:
    """Posições dos tokens que param no meio de um caractere: o servidor os guarda, e não diz a probabilidade deles."""
    decoder, found = codecs.getincrementaldecoder("utf-8")(), []
    for position, token in enumerate(tokens):
        piece = token["piece"]  # texto, ou a lista dos bytes quando eles não formam texto
        decoder.decode(piece.encode() if isinstance(piece, str) else bytes(piece))
        if decoder.getstate()[0]:
            found.append(position)
    return found


def _next_logprob(root: str, before: list[int], token: int, timeout: float) -> float:
    """ln p de um token depois dos tokens `before`: ele vem entre as alternativas a um token qualquer."""
    other = _post(f"{root}/tokenize", {"content": " the"}, timeout)["tokens"][0]
    request = {
        **{"prompt": before, "temperature": 0, "n_predict": 1, "grammar": _only([other])},
        **{"n_probs": 1 << 20, "cache_prompt": False},  # as alternativas são todo o vocabulário
    }
    alternatives = _post(f"{root}/completion", request, timeout)["completion_probabilities"][0]["top_logprobs"]
    return next(a["logprob"] for a in alternatives if a["id"] == token)


def _only(ids: Sequence[int]) -> str:
    """A gramática do llama.cpp que só aceita esses tokens, nessa ordem."""
    return "root ::= " + " ".join(f"<[{token}]>" for token in ids)


def _post(url: str, body: dict[str, Any], timeout: float) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return json.loads(response.read())
