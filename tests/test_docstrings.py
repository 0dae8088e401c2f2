"""`package_docstrings`: o que o Python mesmo acha em `__doc__`, com o nome certo, e sem executar o código."""

import importlib
import inspect
import sys

import pytest

from llmdefinitions.docstrings import package_docstrings


def test_textos_sao_os_que_o_python_ve():
    achados = dict(package_docstrings())
    for nome in ("model.GPTModel.forward", "data.GPTDatasetV1", "evaluation.distinct_n", "scoring"):
        objeto = importlib.import_module(f"llmdefinitions.{nome.split('.')[0]}")
        for parte in nome.split(".")[1:]:
            objeto = getattr(objeto, parte)
        assert achados[nome] == inspect.getdoc(objeto)


def test_ha_texto_bastante_para_um_ajuste_e_nada_repetido():
    nomes, textos = zip(*package_docstrings(), strict=True)
    assert len(set(nomes)) == len(nomes)
    assert sum(map(len, textos)) > 50_000
    assert min(map(len, textos)) >= 80
    modulos = [nome.split(".")[0] for nome in nomes]
    assert modulos == sorted(modulos)


def test_le_sem_executar(tmp_path, monkeypatch):
    pasta = tmp_path / "pacote_de_teste"
    pasta.mkdir()
    (pasta / "__init__.py").write_text("", encoding="utf-8")
    (pasta / "b.py").write_text('"""Módulo b, longo."""\nraise RuntimeError\n', encoding="utf-8")
    codigo = 'class C:\n    """Uma classe.\n\n    Recuada."""\n\n    def f(self):\n        """Curta."""\n'
    (pasta / "a.py").write_text(codigo, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    try:
        tudo = package_docstrings("pacote_de_teste", min_chars=1)
        assert tudo == [("a.C", "Uma classe.\n\nRecuada."), ("a.C.f", "Curta."), ("b", "Módulo b, longo.")]
        assert package_docstrings("pacote_de_teste", min_chars=10) == [tudo[0], tudo[2]]
        with pytest.raises(ValueError, match="não tem docstrings de 100 caracteres"):
            package_docstrings("pacote_de_teste", min_chars=100)
    finally:
        sys.modules.pop("pacote_de_teste", None)


def test_pacote_que_nao_existe():
    with pytest.raises(ModuleNotFoundError):
        package_docstrings("pacote_que_nao_existe")
