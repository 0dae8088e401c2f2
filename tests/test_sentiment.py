"""Frases de sentimento: equilíbrio, repetições, divisão, ficha, e o que um saco de palavras consegue sem ler."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdefinitions.minhash import jaccard, normalize_for_comparison, shingles
from llmdefinitions.sentiment import CLASSES, PARTS, PHENOMENA, SentimentExample, assign_parts, load_sentiment

ASSETS = Path(__file__).resolve().parents[1] / "llmdefinitions" / "assets"
CARD = (ASSETS / "sentimentos-pt.md").read_text(encoding="utf-8")
ALL = load_sentiment()

GOOD = {
    "texto": "A sopa chegou quente.",
    "classe": "positivo",
    "dominio": "restaurante",
    "fenomeno": "direto",
    "parte": "treino",
}


@dataclass(frozen=True)
class NaiveBayes:
    """Bayes ingênuo multinomial sobre as palavras, com suavização de 1 e classes igualmente prováveis."""

    counts: dict[str, Counter]

    @classmethod
    def train(cls, examples: Iterable[SentimentExample]) -> "NaiveBayes":
        counts = {label: Counter() for label in CLASSES}
        for example in examples:
            counts[example.label].update(normalize_for_comparison(example.text).split())
        return cls(counts)

    def hits(self, examples: Iterable[SentimentExample]) -> list[bool]:
        """Se acerta a classe de cada frase."""
        vocabulary = len(set().union(*self.counts.values()))
        totals = {label: count.total() + vocabulary for label, count in self.counts.items()}

        def score(words: list[str], label: str) -> float:
            return sum(math.log((self.counts[label][word] + 1) / totals[label]) for word in words)

        sentences = [(e.label, normalize_for_comparison(e.text).split()) for e in examples]
        return [max(CLASSES, key=lambda label: score(words, label)) == right for right, words in sentences]


@cache
def cross_validated(folds: int = 10) -> list[tuple[SentimentExample, bool]]:
    """Cada frase, e se a linha de base a acerta quando treinada sem o décimo em que ela está."""
    results = []
    for fold in range(folds):
        model = NaiveBayes.train(e for i, e in enumerate(ALL) if i % folds != fold)
        results += zip(ALL[fold::folds], model.hits(ALL[fold::folds]), strict=True)
    return results


def percentage(hits: list[bool]) -> str:
    return f"{100 * sum(hits) / len(hits):.1f}%".replace(".", ",")


def count_table() -> list[str]:
    """As linhas da tabela de contagens da ficha."""
    counts = Counter((e.phenomenon, e.label) for e in ALL)
    rows = [[phenomenon, *(counts[phenomenon, label] for label in CLASSES)] for phenomenon in PHENOMENA]
    rows.append(["total", *(sum(row[column] for row in rows) for column in (1, 2, 3))])
    return [f"| {' | '.join(map(str, [*row, sum(row[1:])]))} |" for row in rows]


def baseline_table() -> list[str]:
    """As linhas da tabela da linha de base da ficha."""
    results = cross_validated()
    rows = [(name, [hit for e, hit in results if e.phenomenon == name]) for name in PHENOMENA]
    return [f"| {name} | {percentage(hits)} |" for name, hits in [*rows, ("todos", [hit for _, hit in results])]]


class TestConjunto:
    def test_tamanho_e_equilibrio(self):
        counts = Counter(e.label for e in ALL)
        assert len(ALL) >= 960
        assert max(counts.values()) - min(counts.values()) <= 0.02 * len(ALL) / 3

    def test_todo_dominio_tem_as_tres_classes_na_mesma_medida(self):
        counts = Counter((e.domain, e.label) for e in ALL)
        assert len({domain for domain, _ in counts}) >= 12
        assert len(counts) == 3 * len({domain for domain, _ in counts})
        assert max(counts.values()) - min(counts.values()) <= 1

    def test_os_fenomenos_dificeis_sao_mais_da_metade(self):
        counts = Counter(e.phenomenon for e in ALL)
        assert set(counts) == set(PHENOMENA)
        assert counts["direto"] < len(ALL) / 2
        assert min(counts.values()) >= 50

    def test_uma_frase_neutra_nao_e_ironica_e_a_mencao_e_neutra(self):
        assert {e.label for e in ALL if e.phenomenon == "ironia"} == {"positivo", "negativo"}
        assert {e.label for e in ALL if e.phenomenon == "menção"} == {"neutro"}

    def test_nao_ha_frases_quase_iguais(self):
        grams = [shingles(e.text, 3) for e in ALL]
        near = [
            (a.text, b.text)
            for (a, x), (b, y) in itertools.combinations(zip(ALL, grams, strict=True), 2)
            if not x.isdisjoint(y) and jaccard(x, y) >= 0.3
        ]
        assert near == []

    def test_nao_ha_molde_com_uma_palavra_trocada(self):
        # Apagada uma palavra qualquer, duas frases do mesmo molde ficam iguais.
        seen: dict[tuple[int, str], str] = {}
        for example in ALL:
            words = normalize_for_comparison(example.text).split()
            for skip in range(len(words)):
                key = (skip, " ".join(words[:skip] + words[skip + 1 :]))
                assert seen.setdefault(key, example.text) == example.text

    def test_comprimento_e_pontuacao_nao_denunciam_a_classe(self):
        means = [fmean(len(e.text.split()) for e in ALL if e.label == label) for label in CLASSES]
        assert max(means) - min(means) < 1.5  # palavras
        for mark in "!?":
            assert all(any(mark in e.text for e in ALL if e.label == label) for label in CLASSES)


class TestDivisao:
    def test_e_a_que_a_semente_da(self):
        assert assign_parts([e.text for e in ALL], [(e.label, e.phenomenon) for e in ALL]) == [e.part for e in ALL]

    def test_70_10_20_em_cada_estrato(self):
        strata = Counter((e.label, e.phenomenon) for e in ALL)
        for part, share in zip(PARTS, (0.7, 0.1, 0.2), strict=True):
            found = Counter((e.label, e.phenomenon) for e in load_sentiment(part))
            # Cada estrato arredonda duas vezes: no máximo uma frase de diferença.
            assert all(abs(found[stratum] - share * size) <= 1 for stratum, size in strata.items())

    def test_as_partes_sao_uma_particao(self):
        assert sorted(e.text for part in PARTS for e in load_sentiment(part)) == sorted(e.text for e in ALL)

    @settings(max_examples=50)
    @given(
        st.lists(st.tuples(st.text(), st.sampled_from("ab")), max_size=40, unique_by=lambda pair: pair[0]),
        st.randoms(use_true_random=False),
    )
    def test_nao_depende_da_ordem(self, pairs, rng):
        texts, strata = [text for text, _ in pairs], [stratum for _, stratum in pairs]
        expected = dict(zip(texts, assign_parts(texts, strata), strict=True))
        rng.shuffle(pairs)
        shuffled = [text for text, _ in pairs]
        assert dict(zip(shuffled, assign_parts(shuffled, [s for _, s in pairs]), strict=True)) == expected

    def test_outra_semente_da_outra_divisao(self):
        texts, strata = [e.text for e in ALL], [e.label for e in ALL]
        assert assign_parts(texts, strata, seed=1) != assign_parts(texts, strata, seed=2)

    @pytest.mark.parametrize(("texts", "strata"), [(["a", "a"], [0, 0]), (["a", "b"], [0])])
    def test_recusa_repetidas_e_tamanhos_diferentes(self, texts, strata):
        with pytest.raises(ValueError, match="um estrato por frase, e nenhuma frase repetida"):
            assign_parts(texts, strata)


class TestLinhaDeBase:
    def test_no_teste_acerta_mais_que_o_acaso_e_menos_que_90(self):
        hits = NaiveBayes.train(load_sentiment("treino")).hits(load_sentiment("teste"))
        assert 0.4 < sum(hits) / len(hits) < 0.9
        assert f"{percentage(hits)} das {len(hits)} frases de teste" in " ".join(CARD.split())

    def test_a_ironia_e_a_concessao_enganam_mais_que_a_frase_direta(self):
        results = cross_validated()
        rate = {
            name: sum(hit for e, hit in results if e.phenomenon == name) / sum(e.phenomenon == name for e in ALL)
            for name in PHENOMENA
        }
        assert max(rate["ironia"], rate["concessão"]) < rate["direto"]


class TestFicha:
    def test_traz_as_contagens_e_a_linha_de_base(self):
        assert [row for row in count_table() + baseline_table() if row not in CARD.splitlines()] == []

    def test_diz_o_tamanho_de_cada_parte_e_a_licenca(self):
        for part in PARTS:
            assert f"{len(load_sentiment(part))} de {part.replace('validacao', 'validação')}" in CARD
        assert f"\n{len(ALL)} frases" in CARD
        assert "CC BY 4.0" in CARD

    def test_diz_os_assuntos(self):
        assert [domain for domain in sorted({e.domain for e in ALL}) if domain not in CARD] == []

    def test_diz_quanto_a_neutra_se_denuncia(self):
        starts = [[e.text.split()[0] in ("O", "A", "Os", "As") for e in ALL if e.label == c] for c in reversed(CLASSES)]
        positive, neutral, negative = (f"{100 * fmean(column):.0f}%" for column in starts)
        text = " ".join(CARD.split())
        assert f"{neutral} das neutras começam com artigo, contra {negative} das negativas e {positive}" in text


class TestCarregar:
    def write(self, folder: Path, *items: object) -> Path:
        path = folder / "frases.json"
        path.write_text(json.dumps({"frases": list(items)}, ensure_ascii=False), encoding="utf-8")
        return path

    def test_le_um_arquivo_do_leitor(self, tmp_path):
        (example,) = load_sentiment(path=self.write(tmp_path, GOOD))
        assert example == SentimentExample("A sopa chegou quente.", "positivo", "restaurante", "direto", "treino")
        assert example.label_id == 2

    def test_parte_desconhecida(self):
        with pytest.raises(ValueError, match=r"part='validação': esperado um de \('treino', 'validacao', 'teste'\)"):
            load_sentiment("validação")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"classe": "bom"}, r"frases\[1\]: classe='bom': esperado um de"),
            ({"fenomeno": "gíria"}, "fenomeno='gíria'"),
            ({"parte": "prova"}, "parte='prova'"),
            ({"dominio": ""}, "dominio está vazio"),
            ({"texto": "Sopa bem fria."}, "tem 3 palavras: esperado de 4 a 25"),
            ({"texto": "muito " * 25 + "bom."}, "tem 26 palavras"),
            ({"texto": "A sopa chegou fria"}, "acaba em 'a': ponha a pontuação final"),
            ({"texto": "A sopa, chegou QUENTE!"}, r"repete frases\[0\]: apague um dos dois"),
            ({"texto": " A sopa chegou fria."}, "tem espaços nas pontas: apague-os"),
            ({"texto": 7}, "texto=7 é int: esperado str"),
            ({"nota": 3}, r"sobram \['nota'\]"),
        ],
    )
    def test_recusa_dizendo_qual_e_por_que(self, tmp_path, change, message):
        with pytest.raises(ValueError, match=message):
            load_sentiment(path=self.write(tmp_path, GOOD, {**GOOD, "texto": "O pão chegou frio.", **change}))
