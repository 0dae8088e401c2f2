"""Cadernos da turma: nos do estudante não sobra solução e todo exercício falha; nos do professor, todos passam."""

import ast
from pathlib import Path

import nbformat
import nbformat.v4 as nb
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from livro import ROOT, load

from llmdefinitions.exercises import available_exercises, check

alunos = load("ferramentas/alunos.py")
CADERNOS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def le(caminho: Path) -> nbformat.NotebookNode:
    return nbformat.read(caminho, as_version=4)


def resultados(caderno: nbformat.NotebookNode, etiqueta: str) -> dict[str, bool]:
    """Roda só os imports do caderno e as células da etiqueta, e diz o que cada correção deu."""
    achados: dict[str, bool] = {}

    def anota(numero, resposta):
        achados[numero] = bool(check(numero, resposta))

    espaco: dict = {}
    for celula in caderno.cells:
        if celula.cell_type == "code":
            arvore = ast.parse(TransformerManager().transform_cell(celula.source))
            corpo = [no for no in arvore.body if isinstance(no, (ast.Import, ast.ImportFrom))]
            exec(compile(ast.Module(corpo, []), "imports", "exec"), espaco)
    espaco["check"] = anota
    for celula in caderno.cells:
        if etiqueta in celula.metadata.get("tags", []):
            exec(celula.source, espaco)
    return achados


def test_todo_exercicio_falha_em_branco_e_passa_resolvido():
    em_branco, resolvidos = {}, {}
    for caminho in CADERNOS:
        em_branco |= resultados(alunos.para_estudante(le(caminho)), "exercicio")
        resolvidos |= resultados(alunos.para_professor(le(caminho)), "solucao")
    assert set(em_branco) == set(resolvidos) == set(available_exercises())
    assert not any(em_branco.values())
    assert all(resolvidos.values()), [numero for numero, certo in resolvidos.items() if not certo]


@pytest.mark.parametrize("caminho", CADERNOS, ids=lambda c: c.stem)
def test_o_resto_do_caderno_nao_muda(caminho):
    original = le(caminho)
    comuns = [c for c in original.cells if not {"exercicio", "solucao"} & set(c.metadata.get("tags", []))]
    for versao in (alunos.para_estudante, alunos.para_professor):
        feito = versao(original)
        nbformat.validate(feito)
        assert [c for c in feito.cells if not {"exercicio", "solucao"} & set(c.metadata.get("tags", []))] == comuns
    assert not any("solucao" in c.metadata.get("tags", []) for c in alunos.para_estudante(original).cells)
    assert not any("exercicio" in c.metadata.get("tags", []) for c in alunos.para_professor(original).cells)
    assert le(caminho) == original  # nem o que foi lido


def test_solucao_fica_a_vista():
    escondida = nb.new_code_cell(
        "# @title Solução\nresposta = 1\n",
        metadata={"tags": ["solucao", "hide-cell"], "cellView": "form", "jupyter": {"source_hidden": True}},
    )
    branco = nb.new_code_cell("resposta = ...", metadata={"tags": ["exercicio"]})
    (celula,) = alunos.para_professor(nb.new_notebook(cells=[branco, escondida])).cells
    assert (celula.source, celula.metadata) == ("resposta = 1\n", {"tags": ["solucao"]})


def test_exercicio_sem_solucao_e_recusado():
    branco = nb.new_code_cell("resposta = ...", metadata={"tags": ["exercicio"]})
    for cells in ([branco], [branco, nb.new_markdown_cell("fim")]):
        with pytest.raises(ValueError, match="célula 0: exercício sem a solução"):
            alunos.para_professor(nb.new_notebook(cells=cells))


def test_links_levam_ao_repositorio():
    texto = "veja [notação](../book/notacao.md#formas) e [o capítulo 2](02_pretreinamento.ipynb)"
    feito = alunos.com_links_do_site(nb.new_notebook(cells=[nb.new_markdown_cell(texto)]), "https://exemplo/r", "main")
    assert feito.cells[0].source == (
        "veja [notação](https://exemplo/r/blob/main/book/notacao.md#formas) e [o capítulo 2](02_pretreinamento.ipynb)"
    )
    for caminho in CADERNOS:
        prontos = alunos.com_links_do_site(le(caminho), "https://exemplo/r", "main")
        assert "](../" not in "".join(c.source for c in prontos.cells if c.cell_type == "markdown")


def test_grava_as_duas_versoes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(alunos, "SAIDA", tmp_path / "alunos")
    (tmp_path / "alunos").mkdir()
    (tmp_path / "alunos" / "velho.ipynb").touch()  # de um capítulo que não existe mais
    assert alunos.principal() == 0
    nomes = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.ipynb")}
    assert nomes == {f"alunos/{v}/{c.name}" for v in ("estudante", "solucao") for c in CADERNOS}
    assert capsys.readouterr().out.count(f"{len(CADERNOS)} cadernos em ") == 2
