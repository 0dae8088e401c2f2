"""Duelos: equilíbrio de posição e de tamanho, notas coerentes, contas conferidas, ficha e mensagens de erro."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from llmdefinitions.duels import KINDS, TIE_MARGIN, Duel, load_duels
from llmdefinitions.minhash import jaccard, shingles

ASSETS = Path(__file__).resolve().parents[1] / "llmdefinitions" / "assets"
CARD = (ASSETS / "duelos-pt.md").read_text(encoding="utf-8")
ALL = load_duels()
DECIDED = [duel for duel in ALL if duel.winner != "empate"]

GOOD = {
    "instruction": "Quanto é 1 + 1?",
    "input": "",
    "reference": "2.",
    "resposta_a": "Dois.",
    "resposta_b": "Três.",
    "melhor": "a",
    "nota_a": 100,
    "nota_b": 0,
    "motivo": "1 + 1 são 2.",
    "tipo": "correta × errada",
}


def kind_table() -> list[str]:
    """As linhas da tabela de tipos da ficha: quantos, vencedora em cada posição, empates, vencedora mais longa."""
    rows = []
    for kind in (*KINDS, "total"):
        duels = [d for d in ALL if kind in (d.kind, "total")]
        wins = Counter(d.winner for d in duels)
        longer = sum(d.longer == d.winner != "empate" for d in duels)
        rows.append([kind, len(duels), wins["a"], wins["b"], wins["empate"], longer])
    return [f"| {' | '.join(map(str, row))} |" for row in rows]


class TestConjunto:
    def test_tamanho_e_tipos(self):
        kinds = Counter(duel.kind for duel in ALL)
        assert len(ALL) >= 72
        assert set(kinds) == set(KINDS)
        assert min(kinds.values()) >= 6

    def test_a_melhor_esta_metade_das_vezes_em_cada_posicao(self):
        wins = Counter(duel.winner for duel in DECIDED)
        assert abs(wins["a"] - wins["b"]) <= 1
        for kind in KINDS:
            in_kind = Counter(duel.winner for duel in DECIDED if duel.kind == kind)
            assert abs(in_kind["a"] - in_kind["b"]) <= 1

    def test_a_melhor_e_a_mais_longa_metade_das_vezes(self):
        longer = sum(duel.longer == duel.winner for duel in DECIDED)
        shorter = sum(duel.longer not in (duel.winner, "empate") for duel in DECIDED)
        assert longer + shorter == len(DECIDED)
        assert abs(longer - shorter) <= 2

    def test_posicao_e_tamanho_nao_andam_juntos(self):
        # Quem respondesse sempre "a mais longa" não ganharia nada com a posição, nem o contrário.
        cells = Counter((duel.winner, duel.longer == duel.winner) for duel in DECIDED)
        assert max(cells.values()) - min(cells.values()) <= 4

    def test_nao_ha_instrucoes_quase_iguais(self):
        tasks = [shingles(f"{d.instruction} {d.input}", 3) for d in ALL]
        near = [
            (ALL[i].instruction, ALL[j].instruction)
            for i in range(len(ALL))
            for j in range(i)
            if jaccard(tasks[i], tasks[j]) >= 0.3
        ]
        assert near == []

    def test_o_motivo_e_uma_frase_que_nao_denuncia_a_posicao(self):
        for duel in ALL:
            assert duel.reason.endswith("."), duel
            assert not re.search(r"[.!?] ", duel.reason), duel
            assert not re.search(r"\b(resposta|opção) [ab]\b|\b(primeira|segunda) resposta", duel.reason.lower()), duel

    def test_os_quase_iguais_sao_os_empates(self):
        assert {d.kind for d in ALL if d.winner == "empate"} == {"quase iguais"}
        assert {d.winner for d in ALL if d.kind == "quase iguais"} == {"empate"}

    def test_ha_empate_entre_boas_e_entre_ruins(self):
        scores = [d.score_a for d in ALL if d.winner == "empate"]
        assert max(scores) >= 90
        assert min(scores) < 10

    def test_so_na_injecao_alguem_fala_com_o_juiz(self):
        orders = re.compile(r"juiz|avali|nota|instrução do sistema", re.IGNORECASE)
        for duel in ALL:
            told = [bool(orders.search(answer)) for answer in (duel.answer_a, duel.answer_b)]
            assert sum(told) == (duel.kind == "injeção"), duel

    def test_uma_das_injecoes_esta_na_melhor_resposta(self):
        # Senão, desconfiar de toda ordem bastaria para acertar o tipo inteiro.
        injected = [d for d in ALL if d.kind == "injeção"]
        best = [d.answer_a if d.winner == "a" else d.answer_b for d in injected]
        assert sum("juiz" in answer.lower() for answer in best) == 1


class TestFatos:
    """As contas que as referências dizem, refeitas aqui."""

    @pytest.mark.parametrize(
        ("instruction", "value"),
        [
            ("Quanto é 15% de 240?", 240 * 15 / 100),
            ("Converta 2,5 horas em minutos.", 2.5 * 60),
            ("Qual é o próximo número da sequência 2, 6, 18, 54?", 54 * (6 / 2)),
            ("Quanto é 7 × 8?", 7 * 8),
            ("Qual é a raiz quadrada de 144?", 144**0.5),
            ("Quanto é 9 × 6?", 9 * 6),
            ("Quanto é 25 + 17?", 25 + 17),
            ("Quantos minutos há em um dia?", 24 * 60),
            ("Resolva: 3x = 21.", 21 / 3),
            ("Quantos alunos participaram da excursão, de acordo com o texto?", 18 + 23),
        ],
    )
    def test_contas(self, instruction, value):
        (duel,) = [d for d in ALL if d.instruction == instruction]
        numbers = re.findall(r"\d+", duel.reference.replace(".", ""))
        assert numbers == [str(round(value))]
        if duel.winner != "empate":
            best = duel.answer_a if duel.winner == "a" else duel.answer_b
            worst = duel.answer_b if duel.winner == "a" else duel.answer_a
            assert str(round(value)) in re.findall(r"\d+", best.replace(".", ""))
            assert str(round(value)) not in re.findall(r"\d+", worst.replace(".", ""))

    def test_formatos(self):
        by_instruction = {d.instruction: d.answer_a if d.winner == "a" else d.answer_b for d in ALL}

        def best(start: str) -> str:
            (answer,) = [answer for text, answer in by_instruction.items() if text.startswith(start)]
            return answer

        assert json.loads(best("Extraia os dados como JSON")) == {"nome": "Ana", "idade": 31}
        assert all(line.startswith("- ") for line in best("Liste três frutas").splitlines())
        assert len(best("Liste três frutas").splitlines()) == 3
        assert best("O Amazonas deságua") in ("sim", "não")
        assert best("Escreva em letras maiúsculas").isupper()
        assert len(best('Defina "biblioteca"').split()) <= 10
        assert "água" not in best("Descreva um rio")
        assert {line.count("|") for line in best("Monte uma tabela").splitlines()} == {3}
        assert re.findall(r"^(\d)\.", best("Explique em três passos"), re.MULTILINE) == ["1", "2", "3"]
        assert best("Responda ao cliente").endswith("Até logo!")
        assert re.fullmatch(r"\d\d/\d\d/\d{4}", best("Escreva a data"))


class TestFicha:
    def test_traz_as_contagens(self):
        assert [row for row in kind_table() if row not in CARD.splitlines()] == []

    def test_diz_a_licenca_e_a_margem_do_empate(self):
        assert f"\n{len(ALL)} pares" in CARD
        assert "CC BY 4.0" in CARD
        assert f"menos de {TIE_MARGIN} pontos" in CARD


class TestCarregar:
    def write(self, folder: Path, *items: object) -> Path:
        path = folder / "duelos.json"
        path.write_text(json.dumps({"duelos": list(items)}, ensure_ascii=False), encoding="utf-8")
        return path

    def test_le_e_troca_de_posicao(self, tmp_path):
        (duel,) = load_duels(self.write(tmp_path, GOOD))
        expected = Duel("Quanto é 1 + 1?", "", "2.", "Dois.", "Três.", "a", 100, 0, "1 + 1 são 2.", "correta × errada")
        assert duel == expected
        assert duel.longer == "empate"
        other = duel.swapped()
        assert (other.answer_a, other.answer_b, other.winner) == ("Três.", "Dois.", "b")
        assert (other.score_a, other.score_b) == (0, 100)

    def test_trocar_duas_vezes_e_nao_trocar(self):
        other = {"a": "b", "b": "a", "empate": "empate"}
        for duel in ALL:
            assert duel.swapped().swapped() == duel
            assert (duel.swapped().longer, duel.swapped().winner) == (other[duel.longer], other[duel.winner])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"reference": ""}, r"duelos\[1\]: reference está vazio"),
            ({"tipo": "sorte"}, "tipo='sorte': esperado um de"),
            ({"nota_b": -1}, "nota_b=-1: esperado um inteiro de 0 a 100"),
            ({"nota_a": 100.0}, "nota_a=100.0 é float: esperado int"),
            ({"nota_a": True}, "nota_a=True é bool: esperado int"),
            ({"resposta_b": "dois."}, "as duas respostas são iguais"),
            ({"melhor": "b"}, "melhor='b', mas as notas 100 e 0 dizem 'a'"),
            ({"nota_b": 91}, "dizem 'empate'"),
            ({"melhor": "empate", "nota_b": 90}, "dizem 'a'"),
            ({"instruction": "quanto é 1 + 1?"}, r"repete duelos\[0\]: apague um dos dois"),
        ],
    )
    def test_recusa_dizendo_qual_e_por_que(self, tmp_path, change, message):
        item = {**GOOD, "instruction": "Quanto é 4 − 2?", **change}
        with pytest.raises(ValueError, match=message):
            load_duels(self.write(tmp_path, GOOD, item))
