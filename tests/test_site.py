"""O site construído, lido como HTML: bem formado, em português, com links que funcionam e sem nada de fora."""

import json
import os
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from livro import ROOT

pytestmark = pytest.mark.site

# O que a página precisa buscar para se mostrar; links de navegação (`a href`) podem apontar para fora.
RESOURCE_RELS = {"stylesheet", "preload", "modulepreload", "icon", "preconnect", "dns-prefetch", "manifest"}
# Palavras que só existem na interface em inglês do Sphinx, do tema e das extensões.
ENGLISH = re.compile(
    r"\b(the|this|page|toggle|launch|search|next|previous|copy|copied|open|show|hide|click|suggest|edit|"
    r"contents|skip|back|top|mode|source|issue|fullscreen|sidebar|hidden|navigation|main|home|light|dark)\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="session")
def config() -> dict:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def is_external(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def test_paginas_do_sumario(pages):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    assert set(pages) == {f"{name}.html" for name in listed} | {"index.html", "search.html"}


def test_lingua_e_titulo(pages, config):
    problems = []
    titles = [soup.title.get_text(strip=True) for soup in pages.values()]
    for name, soup in pages.items():
        if soup.html["lang"] != "pt-BR":
            problems.append(f"{name}: lang={soup.html['lang']}")
        if config["title"] not in soup.title.get_text():
            problems.append(f"{name}: título {soup.title.get_text()!r}")
    assert problems == []
    # index.html só leva à primeira página, e tem o título dela.
    assert len(set(titles)) == len(titles) - 1


def test_um_h1_por_pagina(pages):
    assert {name: len(soup.find_all("h1")) for name, soup in pages.items() if len(soup.find_all("h1")) != 1} == {}


def test_titulos_nao_pulam_niveis(pages):
    problems = []
    for name, soup in pages.items():
        levels = [int(tag.name[1]) for tag in soup.select("article :is(h1, h2, h3, h4, h5, h6)")]
        problems += [f"{name}: h{a} → h{b}" for a, b in pairwise(levels) if b > a + 1]
    assert problems == []


def test_imagens_tem_texto_alternativo(pages):
    problems = []
    for name, soup in pages.items():
        for image in soup.find_all("img"):
            alt, file = image.get("alt", "").strip(), Path(image["src"]).name
            if len(alt) < 5 or alt == file or file.partition(".")[0] in alt or "/" in alt:
                problems.append(f"{name}: {file} tem alt={alt!r}")
    assert problems == []


def test_diagramas_tem_descricao(pages):
    for name, soup in pages.items():
        for diagram in soup.select("pre.mermaid"):
            assert "accTitle:" in diagram.text, name
            assert "accDescr" in diagram.text, name


def test_links_internos_levam_a_algum_lugar(html, pages):
    anchors = {
        name: {tag["id"] for tag in soup.find_all(id=True)}
        | {tag["name"] for tag in soup.find_all("a", {"name": True})}
        for name, soup in pages.items()
    }
    problems, checked = [], 0
    for name, soup in pages.items():
        for tag in soup.find_all(["a", "link", "img", "script"]):
            address = tag.get("href") or tag.get("src") or ""
            if not address or is_external(address) or address.startswith("data:"):
                continue
            checked += 1
            parts = urlsplit(address)
            target = (html / name).parent / unquote(parts.path) if parts.path else html / name
            target = Path(os.path.normpath(target))
            if not target.is_file():
                problems.append(f"{name}: {address} não existe")
                continue
            page = target.relative_to(html).as_posix()
            if parts.fragment and page in anchors and unquote(parts.fragment) not in anchors[page]:
                problems.append(f"{name}: {address} não tem essa âncora")
    assert problems == []
    assert checked > 10 * len(pages)  # o verificador olhou mesmo as páginas


def test_nada_de_fora(html, pages):
    problems = []
    for name, soup in pages.items():
        for tag in soup.find_all(["script", "img", "iframe", "source", "video", "audio", "embed", "object", "link"]):
            if tag.name == "link" and not RESOURCE_RELS & set(tag.get("rel", [])):
                continue
            addresses = [tag.get(key) or "" for key in ("src", "href", "data", "srcset")]
            problems += [f"{name}: {tag.name} {address}" for address in addresses if is_external(address)]
        for tag in soup.find_all(style=True):
            problems += [f"{name}: {tag['style']}"] if re.search(r"url\(\s*['\"]?(?:https?:)?//", tag["style"]) else []
    for sheet in html.rglob("*.css"):
        remote = re.findall(r"(?:url\(|@import)\s*['\"]?\s*(?:https?:)?//[^'\")]+", sheet.read_text(encoding="utf-8"))
        problems += [f"{sheet.relative_to(html)}: {address}" for address in remote]
    assert problems == []


def test_scripts_pesados_so_onde_servem(pages):
    problems = []
    for name, soup in pages.items():
        scripts = " ".join(tag.get("src", "") for tag in soup.find_all("script"))
        uses = {
            "mathjax": False,  # as fórmulas vêm prontas
            "diagramas": bool(soup.select("pre.mermaid")),
            "searchindex": name == "search.html",
            "fontawesome": False,  # os ícones vêm da fonte do CSS
            "mermaid.min": False,  # vem quando o leitor chega perto do diagrama
            "embed-amd": bool(soup.find_all("script", type="application/vnd.jupyter.widget-view+json")),
        }
        problems += [f"{name}: {key}" for key, used in uses.items() if (key in scripts) is not used]
    assert problems == []


def test_nenhum_script_segura_a_pagina(pages):
    blocking = {
        f"{name}: {tag['src']}"
        for name, soup in pages.items()
        for tag in soup.find_all("script", src=True)
        if name != "search.html" and not tag.has_attr("defer") and not tag.has_attr("async")
    }
    assert {b for b in blocking if "documentation_options" not in b} == set()


def test_os_numeros_colados_no_texto_tem_virgula_e_nao_parenteses(pages):
    glued = {name: [tag.text for tag in soup.select(".pasted-text")] for name, soup in pages.items()}
    assert sum(map(len, glued.values())) > 30
    # O MyST-NB leria "3,5" como um par do Python, e "1.5" como um número que pode perder casas.
    assert {name: bad for name, texts in glued.items() if (bad := [t for t in texts if re.match(r"[(\['\"]", t)])} == {}


def test_botoes_de_execucao(pages, config):
    repository = config["repository"]
    owner = repository["url"].removeprefix("https://github.com/")
    notebooks = [name for name in pages if name.startswith("notebooks/")]
    assert notebooks
    for name in notebooks:
        path = name.replace(".html", ".ipynb")
        assert (ROOT / path).is_file()
        links = {tag["href"] for tag in pages[name].select(".article-header-buttons a[href]")}
        assert f"https://colab.research.google.com/github/{owner}/blob/{repository['branch']}/{path}" in links
        assert f"https://mybinder.org/v2/gh/{owner}/{repository['branch']}?urlpath=lab/tree/{path}" in links
        assert f"{repository['url']}/edit/{repository['branch']}/{path}" in links
        assert repository["url"] in links
        assert any(link.startswith(f"{repository['url']}/issues/new?title=Problema") for link in links)


def test_toda_pagina_pergunta_pelos_erros(pages, config):
    for name in {*pages} - {"index.html", "search.html", "404.html"}:
        (link,) = [a for a in pages[name].select(".extra_footer a") if a.get_text().startswith("Achou um erro")]
        page = quote(f"Problema na página {name.removesuffix('.html')}")
        assert link["href"].startswith(f"{config['repository']['url']}/issues/new?title={page}&")


def test_interface_em_portugues(pages):
    problems = set()
    for name, original in pages.items():
        soup = BeautifulSoup(str(original), "html.parser")
        for tag in soup.find_all(True):
            # Dentro do texto, só os atributos que o Sphinx escreve: um alt pode citar um termo em inglês.
            keys = ["aria-label"] if tag.find_parent("article") else ["aria-label", "title", "placeholder", "alt"]
            problems |= {f"{name}: {key}={tag[key]!r}" for key in keys if ENGLISH.search(tag.get(key, ""))}
        for tag in soup.select("article, script, style, nav, .prev-next-area, title"):
            tag.decompose()
        problems |= {f"{name}: {text!r}" for text in soup.stripped_strings if ENGLISH.search(text)}
    assert sorted(problems) == []


def test_mensagens_dos_scripts_em_portugues(html):
    copy = (html / "_static" / "copybutton.js").read_text(encoding="utf-8")
    assert "'copy': 'Copiar'" in copy.partition("'en'")[0]
    assert "Toggle hidden content" not in (html / "_static" / "togglebutton.js").read_text(encoding="utf-8")
    assert "Resultados da Busca" in json.dumps(
        (html / "_static" / "translations.js").read_text(encoding="utf-8"), ensure_ascii=False
    )
