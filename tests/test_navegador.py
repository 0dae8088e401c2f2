"""O site no navegador: desenha tudo, não pede nada de fora, cabe no celular, e a busca ignora acentos."""

import pytest
from abas import Visit, open_page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

pytestmark = [pytest.mark.site, pytest.mark.navegador]


@pytest.fixture(scope="session")
def names(pages) -> list[str]:
    """As páginas que o leitor vê: `index.html` só leva à primeira."""
    return [name for name in pages if name != "index.html"]


FACTS = """() => {
const count = (selector) => [...document.querySelectorAll(selector)]
  .filter((e) => !/^svg$/i.test(e.tagName) || e.getBoundingClientRect().height > 20).length;
return {
  overflow: document.scrollingElement.scrollWidth - innerWidth,
  wide: [...document.querySelectorAll('body *')]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('pre, table, dialog, .bd-sidebar'))
    .slice(0, 5).map((e) => e.tagName + '.' + e.className),
  // De cada coisa: quantas há para desenhar e quantas estão desenhadas.
  math: ['article .math', 'article .math mjx-container'].map(count),
  diagrams: ['pre.mermaid', 'pre.mermaid svg'].map(count),
  widgets: ['script[type="application/vnd.jupyter.widget-view+json"]', '.cell_output .jupyter-widgets'].map(count),
  unnamed: [...document.querySelectorAll('[role=slider], [contenteditable=true], article :is(select, textarea, input)')]
    .filter((e) => !e.getAttribute('aria-label') && !e.labels?.length).length,
}}"""
# Tudo desenhado: fórmulas, diagramas (que só se desenham quando se chega perto) e controles guardados.
READY = """() => document.readyState === 'complete'
  && (document.querySelector('pre.mermaid:not([data-processed])')?.scrollIntoView(), true)
  && document.querySelectorAll('article .math').length <= document.querySelectorAll('article mjx-container').length
  && !document.querySelector('pre.mermaid:not([data-processed])')
  && [...document.querySelectorAll('pre.mermaid')].every((e) => e.querySelector('svg'))
  && (!document.querySelector('script[type="application/vnd.jupyter.widget-view+json"]')
      || document.querySelector('.cell_output .jupyter-widgets'))"""


def visit_all(browser, base: str, names: list[str], widths: list[int]) -> dict[int, dict[str, Visit]]:
    """Abre cada página na primeira largura, espera ficar pronta e guarda os fatos em cada uma."""
    visits = {width: {} for width in widths}
    page, log = open_page(browser, base, widths[0])
    for name in names:
        log.errors.clear()
        log.outside.clear()
        page.set_viewport_size({"width": widths[0], "height": 900})
        page.goto(f"{base}/{name}", wait_until="load")
        try:
            page.wait_for_function(READY, timeout=20_000)
        except PlaywrightTimeout as error:  # os testes mostram o que faltou desenhar, página por página
            log.errors.append(f"não ficou pronta: {error}")
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            visits[width][name] = Visit(list(log.errors), list(log.outside), page.evaluate(FACTS))
    page.context.close()
    return visits


@pytest.fixture(scope="session")
def served(browser, origin, names) -> dict[int, dict[str, Visit]]:
    """O livro por http, aberto num computador e depois estreitado para um celular."""
    return visit_all(browser, origin, names, [1280, 390])


@pytest.fixture(scope="session")
def local(browser, html, names) -> dict[int, dict[str, Visit]]:
    """O livro direto do disco, aberto já na largura do celular."""
    return visit_all(browser, html.as_uri(), names, [390])


@pytest.fixture(params=[("served", 1280), ("served", 390), ("local", 390)], ids=["http-1280", "http-390", "file-390"])
def visits(request) -> dict[str, Visit]:
    """As três maneiras de abrir o livro."""
    fixture, width = request.param
    return request.getfixturevalue(fixture)[width]


def test_sem_erros_no_console(visits):
    assert {name: visit.errors for name, visit in visits.items() if visit.errors} == {}


def test_nenhum_pedido_para_fora(visits):
    assert {name: visit.outside for name, visit in visits.items() if visit.outside} == {}


def test_nao_rola_para_o_lado(visits):
    assert {name: visit.facts["wide"] for name, visit in visits.items() if visit.facts["overflow"] > 0} == {}


@pytest.mark.parametrize("kind", ["math", "diagrams"])
def test_tudo_desenhado(visits, kind):
    counts = {name: visit.facts[kind] for name, visit in visits.items()}
    assert {name: pair for name, pair in counts.items() if pair[0] > pair[1]} == {}
    assert sum(expected for expected, _ in counts.values()) > 0


def test_controles_guardados_aparecem_e_tem_nome(visits):
    expected = {name: visit.facts["widgets"] for name, visit in visits.items() if visit.facts["widgets"][0]}
    assert expected
    assert {name: pair for name, pair in expected.items() if pair[1] < pair[0]} == {}
    assert {name: visit.facts["unnamed"] for name, visit in visits.items() if visit.facts["unnamed"]} == {}


def test_deslizante_muda_o_quadro_sem_python(browser, origin, served):
    name = next(name for name, visit in served[1280].items() if visit.facts["widgets"][0])
    page, log = open_page(browser, origin, 390)
    page.goto(f"{origin}/{name}")
    page.wait_for_function(READY)
    handle = page.locator("[role=slider]").first
    handle.scroll_into_view_if_needed()
    output = page.locator(".cell_output", has=page.locator("[role=slider]")).first
    before = output.inner_text()
    handle.focus()
    key = (
        "ArrowLeft" if handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax") else "ArrowRight"
    )
    page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert output.inner_text() != before
    assert log.errors == []
    page.context.close()


def test_modo_escuro(browser, origin, served):
    # O botão percorre claro, escuro e o do sistema: três toques passam pelos três.
    name = next(name for name, visit in served[1280].items() if visit.facts["diagrams"][0])
    page, log = open_page(browser, origin, 1280)
    page.goto(f"{origin}/{name}")
    page.wait_for_function(READY)
    seen = {}
    for _ in range(3):
        page.locator(".theme-switch-button").first.click()
        page.wait_for_function(READY)
        theme = page.evaluate("document.documentElement.dataset.theme")
        seen[theme] = page.evaluate("""() => [
          getComputedStyle(document.body).backgroundColor,
          getComputedStyle(document.querySelector('article p')).color,
        ].map((color) => color.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3)""")
    assert set(seen) == {"light", "dark"}
    assert seen["light"][0] > 200 > 100 > seen["light"][1]
    assert seen["dark"][0] < 60 < 180 < seen["dark"][1]
    assert log.errors == []
    page.context.close()


def test_graficos_no_escuro_tem_fundo_branco(browser, origin, pages):
    name = next(name for name, soup in pages.items() if soup.select(".cell_output img"))
    page, _ = open_page(browser, origin, 1280, scheme="dark")
    page.goto(f"{origin}/{name}")
    image = page.locator(".cell_output img").first
    style = image.evaluate("(e) => [getComputedStyle(e).backgroundColor, getComputedStyle(e).filter]")
    assert style == ["rgb(255, 255, 255)", "none"]
    page.context.close()


def test_foco_visivel(browser, origin):
    page, _ = open_page(browser, origin, 1280)
    page.goto(f"{origin}/book/intro.html")
    outlines = []
    for _ in range(5):
        page.keyboard.press("Tab")
        outlines.append(page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)"))
    assert min(outlines) >= 2, outlines
    page.context.close()


def test_perguntas_pelo_teclado(browser, html):
    page, _ = open_page(browser, html.as_uri(), 390)
    page.goto(f"{html.as_uri()}/book/perguntas.html")
    question = page.locator(".pergunta").first
    comments = question.locator(".comentario")
    assert not any(comment.is_visible() for comment in comments.all())
    question.locator("input").first.focus()
    page.keyboard.press("Space")
    assert [comment.is_visible() for comment in comments.all()].index(True) == 0
    page.keyboard.press("ArrowDown")
    assert [comment.is_visible() for comment in comments.all()] == [False, True, False]
    page.context.close()


@pytest.mark.parametrize("over", ["http", "file"])
def test_busca_sem_acentos(browser, html, origin, over):
    base = origin if over == "http" else html.as_uri()
    page, log = open_page(browser, base, 1280)

    def results(query: str) -> set[str]:
        page.goto(f"{base}/search.html?q={query}")
        page.wait_for_selector("#search-results ul.search li", timeout=10_000)
        page.wait_for_function("() => document.querySelector('.search-summary').textContent.includes('finalizada')")
        return set(page.locator("#search-results li > a").all_inner_texts())

    assert results("atencao") == results("atenção") == results("ATENÇÕES")
    found = results("pre-treinamento")
    assert found == results("Pré-treinamento")
    # Os títulos voltam com os acentos que têm na página.
    assert any("Pré-treinamento" in title for title in found), found
    if over == "http":
        page.wait_for_selector("#search-results p.context")
    page.goto(f"{base}/search.html?q=xyzzy")
    page.wait_for_function("() => document.querySelector('#search-results h2').textContent === 'Resultados da Busca'")
    assert "não encontrou nenhum documento" in page.locator("#search-results").inner_text()
    assert log.errors == []
    assert log.outside == []
    page.context.close()


# No papel nada rola: o que não cabe na coluna se perde. A 680 px corresponde a folha A4, com as margens de `make pdf`.
PAPEL = """() => {
  const artigo = document.querySelector('article'), direita = artigo.getBoundingClientRect().right + 1;
  const largas = [...artigo.querySelectorAll('table, .highlight pre, .output pre, img')]
    .filter((e) => e.checkVisibility())
    .filter((e) => e.getBoundingClientRect().right > direita || e.scrollWidth > e.clientWidth + 1);
  return { titulo: artigo.querySelector('h1').checkVisibility(), largas: largas.map((e) => e.outerHTML.slice(0, 90)) };
}"""


def test_no_papel_ha_titulo_e_nada_passa_da_margem(browser, html, pages):
    page, _ = open_page(browser, html.as_uri(), 680)
    page.emulate_media(media="print")
    problems = {}
    for name in sorted({*pages} - {"index.html", "search.html"}):  # a busca não é página do livro
        page.goto(f"{html.as_uri()}/{name}")
        facts = page.evaluate(PAPEL)
        if facts != {"titulo": True, "largas": []}:
            problems[name] = facts
    page.context.close()
    assert problems == {}
