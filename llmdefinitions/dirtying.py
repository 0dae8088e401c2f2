"""Suja documentos limpos de jeitos conhecidos e guarda o que fez: é com isso que se mede um funil de limpeza.

Em texto da web de verdade ninguém sabe ao certo o que devia sair. Aqui se sabe, e precisão e revocação são contas.
"""

from __future__ import annotations

import html
import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from html.entities import codepoint2name
from typing import Any

from .funnel import Row, StepReport
from .language import language_samples
from .normalization import CODECS, break_encoding, normalize_text

#: O que `score_step` mede: documentos que devem sair. As outras sujeiras se consertam, e quem as mede é `recovery`.
REMOVABLE = ("exact", "near", "foreign", "boilerplate", "blocked")
_COPIES = ("exact", "near")
_MENU = ("Início", "Últimas notícias", "Esportes", "Cultura", "Vídeos", "Assine já", "Fale conosco", "Minha conta")
_FRAME = (
    *_MENU,
    *("Aceitar todos os cookies", "Gerenciar preferências", "Compartilhar no Facebook", "Copiar link", "Leia mais"),
    *("Entrar ou cadastrar-se", "Política de privacidade", "Termos de uso", "Mapa do site", "Voltar ao topo"),
    *("Publicidade", "Carregando...", "Ver todos os comentários", "Próxima página", "Tags: casa, jardim"),
)
_QUOTES = {'"': "“", "'": "’", "-": "‐", " ": "\u00a0", ".": ".\u200b"}


@dataclass(frozen=True)
class DirtRates:
    """Quanto sujar; as frações são do número de documentos limpos.

    Atributos:
        exact, near, blocked: documentos que ganham uma cópia igual, uma quase igual, ou uma palavra bloqueada; nenhum
            documento tem dois destes destinos.
        foreign, boilerplate: documentos acrescentados, em outra língua ou feitos só de menus e botões.
        html, mojibake, unicode: probabilidade de cada documento, inclusive os acrescentados, virar página HTML, ter os
            bytes lidos com a tabela errada, ou ter acentos soltos, aspas curvas e caracteres invisíveis.
        edits: fração das palavras trocadas, tiradas ou repetidas numa cópia quase igual (ao menos uma).
    """

    html: float = 0.4
    mojibake: float = 0.2
    unicode: float = 0.2
    exact: float = 0.1
    near: float = 0.1
    foreign: float = 0.08
    boilerplate: float = 0.08
    blocked: float = 0.03
    edits: float = 0.03

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise ValueError(f"{field.name}={value}: esperada uma fração entre 0 e 1")
        if self.exact + self.near + self.blocked > 1:
            raise ValueError(
                f"exact + near + blocked = {self.exact + self.near + self.blocked:g}: cada documento tem um destino "
                "só; diminua até que somem no máximo 1"
            )


@dataclass(frozen=True)
class Dirt:
    """O que foi feito a um documento.

    Atributos:
        kinds: as sujeiras, com os nomes dos campos de `DirtRates`; vazio se o documento ficou como era.
        origin: `id` do documento limpo de que veio, ou o próprio, se foi acrescentado.
        clean_text: o texto antes da última camada (Unicode, HTML e mojibake), que o funil deveria recuperar.
    """

    kinds: tuple[str, ...]
    origin: str
    clean_text: str


@dataclass(frozen=True)
class Score:
    """Acertos e erros de um passo: retirados com razão, retirados sem razão, e os que deviam sair e ficaram."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float | None:
        """Dos que saíram, a fração que devia sair; `None` se nada saiu."""
        out = self.true_positives + self.false_positives
        return self.true_positives / out if out else None

    @property
    def recall(self) -> float | None:
        """Dos que deviam sair, a fração que saiu; `None` se nada devia."""
        due = self.true_positives + self.false_negatives
        return self.true_positives / due if due else None


def dirty(
    documents: Sequence[Row],
    *,
    seed: int,
    blocked_words: Sequence[str] = (),
    rates: DirtRates | None = None,
) -> tuple[list[dict[str, Any]], dict[str, Dirt]]:
    """Documentos sujos, embaralhados, e o que foi feito a cada um, por `id`; a mesma semente dá o mesmo resultado.

    Repetições que já havia nos documentos limpos não são conhecidas aqui, e contariam como erro do funil: retire-as
    antes.

    Parâmetros:
        documents: dicionários com `id`, `text` e `source`; não mudam.
        blocked_words: as palavras que `rates.blocked` espalha; sem nenhuma, nada se espalha.

    Erros:
        ValueError: nenhum documento, `id` repetido, ou documento sem palavra alguma.
    """
    rates = rates or DirtRates()
    ids = [row["id"] for row in documents]
    if not ids or len(set(ids)) != len(ids) or not all(row["text"].split() for row in documents):
        raise ValueError(
            f"{len(ids)} documentos, {len(set(ids))} ids distintos: esperado ao menos um, cada um com seu id e com "
            "alguma palavra"
        )
    rng = random.Random(seed)
    rows: list[tuple[dict[str, Any], list[str], str]] = [({**row}, [], row["id"]) for row in documents]
    # Um sorteio só divide os documentos entre os destinos que não se misturam.
    drawn = iter(_shuffled(range(len(ids)), rng))
    for kind in ("exact", "near", "blocked"):
        for _ in range(round(getattr(rates, kind) * len(ids))):
            row, kinds, origin = rows[next(drawn)]
            if kind == "exact":
                rows.append(({**row, "id": f"{origin}~igual"}, [kind], origin))
            elif kind == "near":
                rows.append(
                    ({**row, "id": f"{origin}~quase", "text": _edit(row["text"], rates.edits, rng)}, [kind], origin)
                )
            elif blocked_words:
                kinds.append(kind)
                row["text"] = _insert(row["text"], _pick(blocked_words, rng), rng)
    samples = {language: texts for language, texts in language_samples("teste").items() if language != "pt"}
    for k in range(round(rates.foreign * len(ids))):
        language = list(samples)[k % len(samples)]
        text = " ".join(_shuffled(samples[language], rng)[: 5 + k % 5])
        rows.append(({"id": f"estrangeiro-{k}", "text": text, "source": "web"}, ["foreign"], f"estrangeiro-{k}"))
    for k in range(round(rates.boilerplate * len(ids))):
        text = "\n".join(_pick(_FRAME, rng) for _ in range(12 + k % 20))
        rows.append(({"id": f"moldura-{k}", "text": text, "source": "web"}, ["boilerplate"], f"moldura-{k}"))
    out, truth = [], {}
    layers: tuple[tuple[str, Callable[[str, random.Random], str]], ...] = (
        ("unicode", _scramble),
        ("html", _page),
        ("mojibake", lambda text, rng: break_encoding(text, _pick(CODECS, rng))),
    )
    for row, kinds, origin in _shuffled(rows, rng):
        text = row["text"]
        for kind, layer in layers:
            if rng.random() < getattr(rates, kind):
                changed = layer(text, rng)
                kinds = kinds if changed == text else [*kinds, kind]
                text = changed
        out.append({**row, "text": text})
        truth[row["id"]] = Dirt(tuple(kinds), origin, row["text"])
    if len(truth) < len(out):
        raise ValueError("um id dos documentos coincide com o de um acrescentado (estrangeiro-0, x~igual...): mude-o")
    return out, truth


def score_step(report: StepReport, truth: Mapping[str, Dirt], kind: str) -> Score:
    """Acertos e erros de um passo que devia retirar uma sujeira, entre os documentos que chegaram a ele.

    De um grupo de cópias deve ficar uma, qualquer que seja; uma retirada está certa se o documento que ficou no lugar
    (o `detail` do `Removal`) veio do mesmo documento limpo. Quem sai cedo demais, por um passo que era para outra
    sujeira, não conta como erro se não devia mesmo ficar.

    Parâmetros:
        kind: um de `REMOVABLE`.

    Erros:
        ValueError: outra sujeira.
    """
    if kind not in REMOVABLE:
        raise ValueError(f"kind={kind!r}: esperado um de {', '.join(REMOVABLE)}")
    removed = report.removed
    if kind in _COPIES:
        right = {i for i, r in removed.items() if r.detail in truth and truth[r.detail].origin == truth[i].origin}
        stayed = [i for i in report.ids_in if i not in removed and (kind == "near" or "near" not in truth[i].kinds)]
        missed = sum(count - 1 for count in Counter(truth[i].origin for i in stayed).values())
    else:
        due = {i for i in report.ids_in if kind in truth[i].kinds}
        right, missed = due & removed.keys(), len(due - removed.keys())
    unwanted = set(REMOVABLE) - set(_COPIES)
    wrong = [i for i in removed.keys() - right if unwanted.isdisjoint(truth[i].kinds)]
    return Score(len(right), len(wrong), missed)


def recovery(documents: Sequence[Row], truth: Mapping[str, Dirt], kind: str) -> tuple[int, int]:
    """Dos documentos com a sujeira `kind`, quantos têm de novo o texto limpo, e quantos são.

    Compara linha a linha depois de `normalize_text`, sem contar linhas em branco, que o HTML não guarda.
    """
    mine = [row for row in documents if kind in truth[row["id"]].kinds]
    return sum(_lines(row["text"]) == _lines(truth[row["id"]].clean_text) for row in mine), len(mine)


def _lines(text: str) -> list[str]:
    return [line for line in normalize_text(text).split("\n") if line]


# `random()` é o único método cuja sequência a linguagem garante entre versões; os outros saem dele.
def _pick(items: Sequence[Any], rng: random.Random) -> Any:
    return items[int(rng.random() * len(items))]


def _shuffled(items: Sequence[Any], rng: random.Random) -> list[Any]:
    return [item for _, item in sorted(((rng.random(), item) for item in items), key=lambda pair: pair[0])]


def _on_words(text: str, positions: set[int], change: Callable[[str], str]) -> str:
    """Aplica `change` às palavras das posições dadas, sem tocar nas quebras de linha."""
    lines, seen = [], 0
    for line in text.split("\n"):
        words = line.split()
        lines.append(" ".join(filter(None, (change(w) if seen + i in positions else w for i, w in enumerate(words)))))
        seen += len(words)
    return "\n".join(lines)


def _edit(text: str, fraction: float, rng: random.Random) -> str:
    words = text.split()
    positions = set(_shuffled(range(len(words)), rng)[: max(1, round(fraction * len(words)))])
    edited = _on_words(text, positions, lambda word: _pick(("", f"{word} {word}", _pick(words, rng)), rng))
    return edited if edited.strip() else f"{text} {text}"


def _insert(text: str, word: str, rng: random.Random) -> str:
    return _on_words(text, {int(rng.random() * len(text.split()))}, lambda before: f"{before} {word}")


def _scramble(text: str, rng: random.Random) -> str:
    return "".join(_QUOTES[c] if c in _QUOTES and rng.random() < 0.3 else c for c in unicodedata.normalize("NFD", text))


def _page(text: str, rng: random.Random) -> str:
    """Uma página com título, scripts, menus e rodapé em volta do texto; as linhas viram parágrafos."""
    paragraphs = [html.escape(line, quote=False) for line in text.split("\n") if line.strip()]
    if rng.random() < 0.5:  # os acentos como referências, à moda antiga
        paragraphs = [
            "".join(f"&{codepoint2name[ord(c)]};" if ord(c) in range(192, 256) else c for c in p) for p in paragraphs
        ]
    items = "".join(f'<li><a href="/{k}">{item}</a></li>' for k, item in enumerate(_shuffled(_MENU, rng)[:5]))
    menu = f"<nav><ul>{items}</ul></nav>" if rng.random() < 0.5 else f'<div class="menu"><ul>{items}</ul></div>'
    body = "\n".join(f"<p>{p}</p>" for p in paragraphs)
    return f"""<!DOCTYPE html>
<html lang="pt-BR"><head><meta charset="utf-8"><title>{_pick(_MENU, rng)}</title>
<style>.menu li > a {{ color: #036; }}</style>
<script>if (1 < 2) {{ document.write("<p>anúncio {int(rng.random() * 1000)}</p>"); }}</script></head>
<body><!-- início do conteúdo <p> -->
{menu}
<main>{body}</main>
<aside><h4>Veja também</h4><p>{_pick(_FRAME, rng)}</p></aside>
<form><label>E-mail</label><input name="email"><button>Enviar</button></form>
<footer><p>{_pick(_FRAME, rng)}</p></footer>
<script async>window.dados = {{"pagina": "</p>"}};</script>
</body></html>"""
