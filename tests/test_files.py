"""Gravar textos, JSON e tensores: inteiro ou nada."""

import os
import stat

import pytest
import torch
from safetensors.torch import load_file

from llmdefinitions import files
from llmdefinitions.files import write_json, write_tensors, write_text


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


def test_tensores_com_as_permissoes_de_um_arquivo_comum(tmp_path):
    (tmp_path / "comum").touch()
    fatia = torch.arange(12.0).reshape(3, 4).t().requires_grad_()  # não contígua, e com gradiente
    write_tensors(tmp_path / "w.safetensors", {"a": fatia}, {"format": "pt"})
    assert torch.equal(load_file(tmp_path / "w.safetensors")["a"], fatia.detach())
    modos = {stat.S_IMODE((tmp_path / nome).stat().st_mode) for nome in ("comum", "w.safetensors")}
    assert len(modos) == 1


def test_tensores_pela_metade_nunca_ficam(tmp_path, monkeypatch):
    caminho = tmp_path / "w.safetensors"
    write_tensors(caminho, {"a": torch.ones(2)}, {})

    def disco_cheio(_tensors, path, **_):
        path.write_bytes(b"metade")
        raise OSError("disco cheio")

    monkeypatch.setattr(files, "save_file", disco_cheio)
    with pytest.raises(OSError, match="disco cheio"):
        write_tensors(caminho, {"a": torch.zeros(2)}, {})
    assert torch.equal(load_file(caminho)["a"], torch.ones(2))
    assert list(tmp_path.iterdir()) == [caminho]
