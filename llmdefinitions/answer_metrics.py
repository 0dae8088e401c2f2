"""Métricas de uma resposta diante da referência: correspondência exata, F1 de palavras, chrF e BLEU.

As duas últimas são do `sacrebleu` (Post, 2018), que fixa a separação em palavras: um BLEU só se compara a outro feito
do mesmo modo, e :func:`signatures` diz qual.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from sacrebleu.metrics import BLEU, CHRF

from .instruction_data import normalize_answer


def exact_match(answer: str, reference: str) -> bool:
    """Se as duas são iguais sem contar maiúsculas, espaços repetidos e pontuação nas pontas (os acentos contam)."""
    return normalize_answer(answer) == normalize_answer(reference)


def token_f1(answer: str, reference: str) -> float:
    """Média harmônica de precisão e cobertura das palavras, sem contar a ordem (Rajpurkar et al., 2016): de 0 a 1.

    Palavra repetida conta tantas vezes quantas aparece nas duas. Se ambas não têm palavra nenhuma, é 1.
    """
    mine, theirs = (Counter(re.findall(r"\w+", normalize_answer(text))) for text in (answer, reference))
    if not mine or not theirs:
        return float(not mine and not theirs)
    shared = (mine & theirs).total()
    return 2 * shared / (mine.total() + theirs.total())


def sentence_chrf(answer: str, reference: str) -> float:
    """chrF de uma resposta (Popović, 2015): F de n-gramas de até 6 caracteres, com peso 2 na cobertura; de 0 a 100."""
    return CHRF().sentence_score(answer, [reference]).score


def chrf(answers: Sequence[str], references: Sequence[str]) -> float:
    """chrF do conjunto, de 0 a 100: as contagens de todas as respostas entram numa só conta.

    Não é a média de :func:`sentence_chrf`; para um intervalo de confiança, use os valores por resposta.

    Erros:
        ValueError: nenhuma resposta, ou quantidades diferentes.
    """
    _check(answers, references)
    return CHRF().corpus_score(list(answers), [list(references)]).score


def bleu(answers: Sequence[str], references: Sequence[str]) -> float:
    """BLEU do conjunto (Papineni et al., 2002), de 0 a 100: precisão de n-gramas de até 4 palavras.

    Em respostas de uma palavra não há n-grama a comparar, e ele fica perto de zero mesmo quando estão certas.

    Erros:
        ValueError: nenhuma resposta, ou quantidades diferentes.
    """
    _check(answers, references)
    return BLEU().corpus_score(list(answers), [list(references)]).score


def signatures() -> dict[str, str]:
    """Como o `sacrebleu` conta o chrF e o BLEU daqui, versão incluída, no formato que ele recomenda publicar."""
    found = {}
    for name, metric in (("chrf", CHRF()), ("bleu", BLEU())):
        metric.corpus_score(["a"], [["a"]])  # a assinatura só existe depois de uma conta: traz o número de referências
        found[name] = str(metric.get_signature())
    return found


def _check(answers: Sequence[str], references: Sequence[str]) -> None:
    if isinstance(answers, str) or isinstance(references, str):
        raise ValueError("recebi um texto só, que seria lido letra por letra: passe uma lista de respostas.")
    if not answers or len(answers) != len(references):
        raise ValueError(
            f"{len(answers)} respostas e {len(references)} referências: esperado o mesmo número, e não zero."
        )
