"""O texto de uma página: o que se lê fica, e scripts, menus e formulários somem, mesmo em HTML malfeito."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdefinitions.markup import SKIPPED, html_to_text


@pytest.mark.parametrize(
    ("pagina", "texto"),
    [
        ("<p>Um <b>dois</b>\n três</p><p>quatro</p>", "Um dois três\nquatro"),
        ("<p>a&ccedil;&atilde;o &#233; AT&amp;T &lt;p&gt;</p>", "ação é AT&T <p>"),
        ("um<br>dois<br/>três", "um\ndois\ntrês"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ('<script>if (a < b) { w("</p><p>x"); }</script><p>fica</p>', "fica"),
        ("<p>antes<!-- <script> não abre --> depois</p>", "antes depois"),
        ("<html><head><title>t</title><style>p > a {}</style></head><body>corpo</body></html>", "corpo"),
        ("<p>a\u00a0\u00a0b</p>", "a\u00a0\u00a0b"),  # o espaço inquebrável não se junta, como no navegador
        ("<p title='a > b'>x</p>", "x"),
        # Malfeito: o que não se fechou não leva o resto junto.
        ("<div><nav><ul><li>menu<li>menu</ul></div><p>fica</p>", "fica"),
        ("<nav><p>um<p>dois</nav><p>fica", "fica"),
        ("<head><title>t</title><body><p>fica", "fica"),
        ("<nav><ul><li>um</li></ul><hr><br></nav>fica<p>", "fica"),
        ("<p>fim </nav> mesmo</p>", "fim mesmo"),
        ("<![endif]--><p>um <![x[ y]> dois</p>", "um dois"),  # o html.parser sozinho quebraria
    ],
)
def test_o_que_se_le(pagina, texto):
    assert html_to_text(pagina) == texto


@pytest.mark.parametrize("elemento", sorted(SKIPPED - {"head", "object", "canvas", "iframe", "noscript"}))
def test_o_que_nao_se_le(elemento):
    assert html_to_text(f"<p>antes</p><{elemento}>some</{elemento}><p>depois</p>") == "antes\ndepois"


@pytest.mark.parametrize(
    "texto",
    [
        "se a < b e b > c, então a < c",
        "linha um\n\n  linha dois",
        "I <3 você",
        "<fulano@exemplo.br> escreveu",
        "?a=1&copy=2",
    ],
)
def test_texto_sem_html_fica_como_esta(texto):
    assert html_to_text(texto) == texto


def test_referencias_valem_tambem_fora_de_html():
    assert html_to_text("caf&eacute; &amp; p&atilde;o &inexistente;") == "café & pão &inexistente;"


PALAVRAS = st.text(alphabet="abc çãé<>&\"';", min_size=1, max_size=12)


@given(st.lists(st.tuples(st.sampled_from(["p", "div", "li", "nav", "footer", "b"]), PALAVRAS), min_size=1, max_size=6))
def test_mesmo_texto_que_o_beautifulsoup(partes):
    # Oráculo: a árvore do BeautifulSoup sem os elementos pulados; espaços e quebras não entram na comparação.
    bs4 = pytest.importorskip("bs4")
    pagina = "".join(f"<{nome}>{html.escape(texto)}</{nome}>" for nome, texto in partes)
    arvore = bs4.BeautifulSoup(pagina, "html.parser")
    for elemento in arvore.find_all(list(SKIPPED)):
        elemento.decompose()
    assert "".join(html_to_text(pagina).split()) == "".join(arvore.get_text().split())


@given(st.text(alphabet="<>/![]-abp &;=\"'\n", max_size=60))
def test_nenhuma_entrada_quebra(texto):
    assert isinstance(html_to_text(texto), str)
