"""O mini-pt na página do site construído: tokens por segundo e tempo até o primeiro token, num Chromium sem janela."""

from __future__ import annotations

from statistics import median
from typing import Any

import navegador
from etapas import SITE
from medicao import Meta, Secao
from playwright.sync_api import sync_playwright

PAGINA = SITE / "book" / "experimente.html"
COMECO = "Naquela manhã, o Rio de Janeiro"
NOVOS, RODADAS = 128, 5
PRECISOES = {"8 bits": False, "16 bits": True}
SORTEIO = {"temperatura": 0.8, "topK": 50, "topP": 1}
MEDIR = """async ([texto, quantos, opcoes]) => {
  const inicio = performance.now();
  await experimente.pedir("comecar", { texto, semente: 0, reserva: quantos });
  const lido = performance.now() - inicio;
  const { ms, primeiro, surpresas } = await experimente.pedir("gerar", { quantos, opcoes });
  return { ms, primeiro: lido + primeiro, n: surpresas.length };
}"""


def medir() -> Secao:
    """Carregar, primeiro token e tokens por segundo, nas duas precisões, com a escolha gulosa e com sorteio."""
    caminho = navegador.encontrar()
    if caminho is None or not PAGINA.is_file():
        falta = "um Chromium" if caminho is None else "o site (`make livro`)"
        raise RuntimeError(f"para medir a página falta {falta}.")
    secao = Secao("mini-pt na página")
    with sync_playwright() as playwright:
        programa = playwright.chromium.launch(executable_path=caminho, args=["--no-sandbox"])
        for nome, exato in PRECISOES.items():
            _medir_precisao(secao, programa, nome, exato)
        programa.close()
    secao.notas.append(
        f"Página aberta do disco; {NOVOS} tokens depois de “{COMECO}”, mediana de {RODADAS} rodadas. "
        "O primeiro token conta a leitura do começo."
    )
    return secao


def _medir_precisao(secao: Secao, programa: Any, nome: str, exato: bool) -> None:
    aba = programa.new_page()
    aba.set_default_timeout(120_000)
    aba.goto(PAGINA.as_uri())
    carga = aba.evaluate(
        """async (exato) => {
          const inicio = performance.now();
          await experimente.carregar(exato);
          return performance.now() - inicio;
        }""",
        exato,
    )
    fria = aba.evaluate(MEDIR, [COMECO, 1, {"temperatura": 0}])["primeiro"]
    secao.linhas.append(_linha(nome, "carregar", f"{carga / 1000:.2f} s"))
    secao.linhas.append(_linha(nome, "primeiro token depois de carregar", f"{fria / 1000:.2f} s"))
    for modo, opcoes in (("gulosa", {"temperatura": 0}), ("sorteada", SORTEIO)):
        medidas = [aba.evaluate(MEDIR, [COMECO, NOVOS, opcoes]) for _ in range(RODADAS)]
        velocidade = median(1000 * m["n"] / m["ms"] for m in medidas)
        secao.linhas.append(_linha(nome, f"gerar, {modo}", f"{velocidade:.0f} tokens/s"))
        secao.metas.append(Meta(f"{nome}, {modo}, em tokens/s", 60, velocidade, unidade=" tokens/s"))
    secao.metas.append(Meta(f"{nome}, primeiro token, em segundos", 1.0, fria / 1000, no_maximo=True, unidade=" s"))
    aba.close()


def _linha(pesos: str, conta: str, medida: str) -> dict[str, str]:
    return {"pesos": pesos, "conta": conta, "medida": medida}
