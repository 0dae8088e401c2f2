"""O axe em todas as páginas, no claro e no escuro, no computador e no celular: nenhuma violação."""

import pytest
from abas import open_page
from axe_playwright_python.sync_playwright import Axe

pytestmark = [pytest.mark.site, pytest.mark.navegador]

# As fórmulas desenhadas, e as largas já com foco.
READY = """() => document.readyState === 'complete'
  && document.querySelectorAll('article .math').length <= document.querySelectorAll('article mjx-container').length"""
# As regras que o axe tem para a WCAG 2.2 AA e as boas práticas dele; as experimentais ficam de fora.
OPTIONS = {"resultTypes": ["violations"]}
# Num capítulo, cada palavra colorida do código é um elemento, e são milhares: o axe levaria minutos. As cores são as
# mesmas em todos os blocos; do sexto em diante fica só o texto.
LIGHTEN = (
    "() => [...document.querySelectorAll('.highlight pre')].slice(5).forEach((e) => (e.textContent = e.textContent))"
)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nenhuma_violacao(browser, html, pages, width, scheme):
    page, _ = open_page(browser, html.as_uri(), width, scheme)
    problems = {}
    for name in {*pages, "404.html"} - {"index.html"}:  # a última só leva à primeira página
        page.goto(f"{html.as_uri()}/{name}")
        page.wait_for_function(READY)
        page.evaluate(LIGHTEN)
        found = Axe().run(page, options=OPTIONS).response["violations"]
        if found:
            problems[name] = [(v["id"], node["html"][:120]) for v in found for node in v["nodes"][:3]]
    page.context.close()
    assert problems == {}


def test_o_axe_acusa_o_que_deve(browser, tmp_path):
    # Sem isto, um axe que não rodasse deixaria passar qualquer página.
    (tmp_path / "ruim.html").write_text('<html><body><img src="x.png"><input></body></html>', encoding="utf-8")
    page, _ = open_page(browser, tmp_path.as_uri(), 390)
    page.goto((tmp_path / "ruim.html").as_uri())
    found = {v["id"] for v in Axe().run(page, options=OPTIONS).response["violations"]}
    page.context.close()
    assert {"image-alt", "label", "html-has-lang"} <= found
