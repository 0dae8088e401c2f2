"""Gravar texto e JSON: inteiro ou nada."""

import os

import pytest

from llmdefinitions.files import write_json, write_text


def test_json_atomico(tmp_path, monkeypatch):
    caminho = tmp_path / "a.json"
    write_json(caminho, {"é": 1})
    with pytest.raises(TypeError):
        write_json(caminho, {"é": object()})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disco cheio")))
    with pytest.raises(OSError, match="disco cheio"):
        write_json(caminho, {"é": 2})
    assert caminho.read_text(encoding="utf-8") == '{\n "é": 1\n}\n'
    assert list(tmp_path.iterdir()) == [caminho]


def test_texto_em_utf8_com_fim_de_linha_lf(tmp_path):
    write_text(tmp_path / "t.md", "ção\nfim\n")
    assert (tmp_path / "t.md").read_bytes() == "ção\nfim\n".encode()
