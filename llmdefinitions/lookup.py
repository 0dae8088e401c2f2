"""Rascunho por busca: adivinha vários tokens de uma vez com o que o próprio texto já disse, e confere todos juntos.

Gerar um token ou conferir uma dúzia lê os mesmos pesos uma vez só, e na CPU é essa leitura que custa. Quando os
últimos tokens já apareceram antes, o que veio depois deles vira um rascunho; uma passagem do modelo calcula a escolha
gulosa em cada posição dele, e fica o trecho que coincide. É a decodificação especulativa (Leviathan et al., 2023) com o
texto no lugar do modelo menor; o resultado é o da decodificação token a token, e só o tempo muda.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from .decoding import TokenDecoder

MATCH = 3  # quantos tokens finais têm de se repetir para valer um rascunho
MAX_DRAFT = 15  # maior rascunho: além disso a conferência deixa de custar o mesmo que um token


class LookupDraft:
    """O texto até aqui, indexado pelos trechos de `MATCH` tokens."""

    def __init__(self, ids: Iterable[int]) -> None:
        self.ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # trecho -> posição do token que veio depois da última vez
        self._size = MAX_DRAFT // 4
        for token in ids:
            self.append(token)

    def append(self, token: int) -> None:
        """Acrescenta um token ao texto."""
        if len(self.ids) >= MATCH:
            self._after[tuple(self.ids[-MATCH:])] = len(self.ids)
        self.ids.append(token)

    def propose(self, limit: int) -> list[int]:
        """Até `limit` tokens que vieram, da última vez, depois do mesmo trecho final; `[]` se ele é novo."""
        start = self._after.get(tuple(self.ids[-MATCH:]))
        if start is None:
            return []
        # Numa repetição de período curto o texto acaba antes do rascunho: ele continua repetindo o período.
        period = len(self.ids) - start
        return [self.ids[start + i % period] for i in range(max(0, min(limit, self._size)))]

    def learn(self, proposed: int, accepted: int) -> None:
        """Ajusta o tamanho do próximo rascunho: dobra quando tudo coincide, volta ao menor quando nada coincide."""
        if proposed and accepted == proposed:
            self._size = min(MAX_DRAFT, 2 * self._size + 1)
        elif proposed:
            self._size = max(MAX_DRAFT // 4, accepted)


def greedy_tokens(decoder: TokenDecoder, draft: LookupDraft, limit: int) -> list[int]:
    """De 1 a `limit` tokens que a decodificação gulosa escolhe em seguida, já acrescentados ao texto.

    Parâmetros:
        decoder: com o cache de todos os tokens de `draft` menos o último.
        draft: o texto até aqui, de uma linha só.
        limit: no máximo quantos; tem de caber no contexto.
    """
    proposed = draft.propose(limit - 1)
    known = decoder.cache.length
    new = torch.tensor([[draft.ids[-1], *proposed]], device=decoder.model.pos_emb.weight.device)  # (1, 1 + rascunho)
    chosen = decoder(new)[0].argmax(-1).tolist()
    accepted = 0
    while accepted < len(proposed) and chosen[accepted] == proposed[accepted]:
        accepted += 1
    draft.learn(len(proposed), accepted)
    decoder.cache.length = known + 1 + accepted  # o que foi recusado fica no cache, mas não conta
    for token in chosen[: accepted + 1]:
        draft.append(token)
    return chosen[: accepted + 1]
