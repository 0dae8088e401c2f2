"""Barra de progresso: quem decide se ela aparece é o terminal, o caderno ou a variável, nunca o acaso."""

import sys
import types

import pytest

from llmdefinitions.progress import progress_bar


@pytest.mark.parametrize(
    ("variavel", "caderno", "aparece"),
    [("1", True, False), ("0", True, True), ("", True, True), ("1", False, False), ("0", False, False)],
)
def test_aparece_so_onde_alguem_le(monkeypatch, variavel, caderno, aparece):
    monkeypatch.setenv("TQDM_DISABLE", variavel)
    if caderno:
        monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    else:
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    with progress_bar(total=2, leave=False) as barra:
        assert barra.disable is not aparece


def test_pedido_explicito_vence_e_percorre_o_iteravel(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with progress_bar(total=1, show=True, leave=False) as barra:
        assert not barra.disable
    assert list(progress_bar(range(3), show=False)) == [0, 1, 2]
