"""As ligações do primeiro uso de cada termo ao glossário: que formas contam, e onde elas estão no site."""

import pytest
from livro import load

glossario = load("book/_ext/livro_glossario.py")


@pytest.mark.parametrize(
    ("termo", "plural"),
    [
        ("lote", "lotes"),
        ("máscara causal", "máscaras causais"),
        ("taxa de aprendizado", "taxas de aprendizado"),
        ("conexão residual", "conexões residuais"),
        ("modelo de linguagem mascarada", "modelos de linguagem mascarada"),
        ("otimizador", "otimizadores"),
        ("viés", "viés"),
        ("token especial", "tokens especiais"),
        ("linha de base", "linhas de base"),
    ],
)
def test_plural(termo, plural):
    assert glossario.plural(termo) == plural


def test_acha_o_termo_mais_comprido_e_so_palavras_inteiras():
    padrao, formas = glossario.pattern_for(["token", "token especial", "GPT", "perda", "entropia cruzada"])
    achados = [
        (achado.group(), formas[achado.group()])
        for achado in padrao.finditer("Tokens especiais, tokens, o GPT, não o GPT-2, gpt; Perdas, perdas e perdão.")
    ]
    assert achados == [
        ("Tokens especiais", "token especial"),
        ("tokens", "token"),
        ("GPT", "GPT"),
        ("Perdas", "perda"),
        ("perdas", "perda"),
    ]


@pytest.mark.site
def test_cada_capitulo_leva_ao_glossario_uma_vez_por_termo(pages):
    definidos = {alvo["id"] for alvo in pages["book/glossario.html"].find_all("dt", id=True)}
    capitulos = [nome for nome in pages if nome.startswith("notebooks/")]
    for nome in capitulos:
        ligacoes = [termo.parent for termo in pages[nome].select("a > .termo")]
        alvos = [ligacao["href"].partition("#")[2] for ligacao in ligacoes]
        assert len(alvos) >= 10, nome
        assert len(set(alvos)) == len(alvos), nome
        assert set(alvos) <= definidos, nome
        for ligacao in ligacoes:
            assert ligacao["href"].startswith("../book/glossario.html#term-"), nome
            fora = ("h1", "h2", "h3", "pre", "code", "table", "figcaption", "summary")
            assert ligacao.find_parent(fora) is None, (nome, ligacao)
    assert len(capitulos) == 6
    assert not pages["book/glossario.html"].select("a > .termo")
