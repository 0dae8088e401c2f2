"""A comparação de treinos inteiros: só o que difere, e o que cada um deu."""

import json

import pytest
from livro import load

treinos = load("ferramentas/treinos.py")


def medidas(machado: float, **receita) -> dict:
    return {
        "receita": {"seed": 1, "mixture": {"machado": 70, "historias": 30}, "lr": 0.004, **receita},
        "treino": {"tokens": 14_336_000, "segundos": 5714.6},
        "bits_por_byte": {"machado": machado, "bncc": 1.2477},
        "historias": {"excesso": 0.0941},
    }


def test_mostra_os_campos_que_diferem_e_as_medidas(tmp_path, monkeypatch):
    monkeypatch.setattr(treinos, "PAGINA", tmp_path / "treinos.md")
    for nome, conteudo in (("a", medidas(1.5486)), ("b", medidas(1.6, lr=0.006, repeat_percent=5))):
        (tmp_path / nome).mkdir()
        (tmp_path / nome / "medidas.json").write_text(json.dumps(conteudo))
    assert treinos.principal([str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    linhas = (tmp_path / "treinos.md").read_text(encoding="utf-8").splitlines()
    assert linhas[0] == "| campo ou medida | treino 1 | treino 2 |"
    assert "| `lr` | 0,004 | 0,006 |" in linhas
    assert "| `repeat_percent` | 0 | 5 |" in linhas
    assert "| Machado, bits por byte | 1,549 | 1,600 |" in linhas
    assert "| histórias, excesso sobre a entropia | 9,4% | 9,4% |" in linhas
    assert not any("seed" in linha or "mixture" in linha for linha in linhas)


def test_precisa_de_dois_treinos_diferentes():
    for poucos in ([medidas(1.5)], [medidas(1.5), medidas(1.6)]):
        with pytest.raises(ValueError, match="dois ou mais treinos, de receitas diferentes"):
            treinos.tabela(poucos)
