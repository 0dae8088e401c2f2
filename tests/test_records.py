"""Registros em JSON: o que é aceito e, do que não é, qual registro, o que se esperava e o remédio."""

import json
from typing import NamedTuple

import pytest

from llmdefinitions.records import asset_or_path, load_distinct, load_records

FIELDS = {"nome": str, "ano": int}


def write(folder, text):
    path = folder / "dados.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_devolve_a_lista(tmp_path):
    items = [{"nome": "Ana", "ano": 1}, {"ano": 2, "nome": ""}]
    assert load_records(write(tmp_path, json.dumps({"sobre": "x", "itens": items})), "itens", FIELDS) == items


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1", "não é um JSON em UTF-8"),
        ("[1]", 'esperado um objeto com a lista "itens"'),
        ('{"outra": [1]}', 'esperado um objeto com a lista "itens"'),
        ('{"itens": []}', "não vazia"),
        ('{"itens": {"a": 1}}', "não vazia"),
        ('{"itens": [7]}', r"itens\[0\]: é int: esperado um objeto com os campos nome, ano"),
        ('{"itens": [{"nome": "a"}]}', r"faltam os campos \['ano'\] e sobram \[\]"),
        ('{"itens": [{"nome": "a", "ano": 1, "x": 2}]}', r"sobram \['x'\]: esperado exatamente nome, ano"),
        ('{"itens": [{"nome": "a", "ano": 1}, {"nome": "a", "ano": "1"}]}', r"itens\[1\]: ano='1' é str: esperado int"),
        ('{"itens": [{"nome": "a", "ano": true}]}', "ano=True é bool: esperado int"),
        ('{"itens": [{"nome": "a ", "ano": 1}]}', "nome='a ' tem espaços nas pontas: apague-os"),
    ],
)
def test_recusa(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load_records(write(tmp_path, content), "itens", FIELDS)


def test_recusa_outra_codificacao(tmp_path):
    path = tmp_path / "dados.json"
    path.write_bytes('{"itens": [{"nome": "ã", "ano": 1}]}'.encode("latin-1"))
    with pytest.raises(ValueError, match="não é um JSON em UTF-8"):
        load_records(path, "itens", FIELDS)


def test_arquivo_que_nao_existe(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_records(tmp_path / "nada.json", "itens", FIELDS)


def distintos(folder, *items):
    class Pessoa(NamedTuple):
        nome: str
        ano: int

    def problema(pessoa):
        return "" if pessoa.ano else "sem ano: escreva-o"

    path = write(folder, json.dumps({"itens": [dict(zip(FIELDS, item, strict=True)) for item in items]}))
    return load_distinct(path, "itens", FIELDS, Pessoa, problema, lambda pessoa: pessoa.nome.casefold())


def test_distintos_na_ordem_do_arquivo(tmp_path):
    assert distintos(tmp_path, ("Rui", 2), ("Ana", 1)) == (("Rui", 2), ("Ana", 1))


def test_distintos_recusa_o_repetido_e_o_errado_com_o_arquivo_e_o_indice(tmp_path):
    with pytest.raises(ValueError, match=r"dados\.json, itens\[2\]: repete itens\[0\]: apague um dos dois"):
        distintos(tmp_path, ("Ana", 1), ("Rui", 1), ("ANA", 3))
    with pytest.raises(ValueError, match=r"itens\[1\]: sem ano: escreva-o"):
        distintos(tmp_path, ("Ana", 1), ("Ana", 0))


def test_caminho_do_leitor_ou_do_pacote(tmp_path):
    assert asset_or_path("historias.json", tmp_path / "x") == tmp_path / "x"
    assert asset_or_path("historias.json").is_file()
