"""Busca em português sem acentos: "atencao" e "Atenções" acham "atenção".

Índice (em Python) e consulta (em JavaScript) passam pela mesma redução antes do radicalizador do Sphinx:
minúsculas, sem acentos, e três plurais cujo radical o algoritmo só reconheceria com acento.
"""

from __future__ import annotations

import json
import unicodedata

from sphinx.application import Sphinx
from sphinx.search.pt import SearchPortuguese

# ações → acao, níveis → nivel, gerais → geral: a ordem é a mesma no JavaScript abaixo.
PLURALS = (("oes", "ao"), ("eis", "el"), ("ais", "al"))

QUERY_CODE = """
function semAcento(palavra) {
  return palavra.normalize("NFD").replace(/\\p{M}/gu, "").toLowerCase();
}
function reduzir(palavra) {
  let reduzida = semAcento(palavra);
  for (const [plural, singular] of %s) {
    if (reduzida.length > 4 && reduzida.endsWith(plural))
      return reduzida.slice(0, -plural.length) + singular;
  }
  return reduzida;
}
const RadicalizadorDoSphinx = Stemmer;
Stemmer = function () {
  const radicalizador = new RadicalizadorDoSphinx();
  this.stemWord = (palavra) => radicalizador.stemWord(reduzir(palavra));
};
"""


def strip_accents(word: str) -> str:
    """A palavra em minúsculas e sem marcas diacríticas ("Atenção" → "atencao")."""
    decomposed = unicodedata.normalize("NFD", word)
    return "".join(char for char in decomposed if not unicodedata.category(char).startswith("M")).lower()


def reduce_word(word: str) -> str:
    """A palavra sem acentos e com os plurais de `PLURALS` no singular."""
    reduced = strip_accents(word)
    for plural, singular in PLURALS:
        if len(reduced) > 4 and reduced.endswith(plural):
            return reduced.removesuffix(plural) + singular
    return reduced


class AccentlessPortuguese(SearchPortuguese):
    """O português do Sphinx, com palavras reduzidas no índice e na consulta."""

    stopwords = SearchPortuguese.stopwords | {strip_accents(word) for word in SearchPortuguese.stopwords}
    js_splitter_code = QUERY_CODE % json.dumps(PLURALS)

    def stem(self, word: str) -> str:
        """Radical da palavra reduzida."""
        return super().stem(reduce_word(word))


def add_search_script(app: Sphinx, pagename: str, *_: object) -> None:
    """Na página de busca, os títulos e os trechos de resultado também ignoram acentos."""
    if pagename == "search":
        app.add_js_file("busca.js", defer="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Troca o português da busca do Sphinx por este."""
    app.add_search_language(AccentlessPortuguese)
    app.connect("html-page-context", add_search_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
