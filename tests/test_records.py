"""Registros em JSON: o que é aceito e, do que não é, qual registro, o que se esperava e o remédio."""

import json

import pytest

from llmdefinitions.records import asset_or_path, load_records, record_error

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


def test_o_erro_diz_o_arquivo_e_o_indice(tmp_path):
    assert str(record_error(tmp_path / "d.json", "itens", 3, "ruim")).endswith("d.json, itens[3]: ruim")


def test_caminho_do_leitor_ou_do_pacote(tmp_path):
    assert asset_or_path("historias.json", tmp_path / "x") == tmp_path / "x"
    assert asset_or_path("historias.json").is_file()
