// Controles (ipywidgets) nas páginas publicadas: fórmulas com o MathJax 3 e nomes para leitores de tela.
(() => {
  // O html-manager ainda chama a fila do MathJax 2 quando a página tem fórmulas.
  if (window.MathJax?.startup) {
    MathJax.Hub = {
      Queue: ([, , elemento]) => MathJax.startup.promise.then(() => MathJax.typesetPromise([elemento])),
    };
  }

  const nomear = () => {
    const semNome = ":is(.noUi-handle, .widget-readout[contenteditable]):not([aria-label])";
    for (const alvo of document.querySelectorAll(semNome)) {
      const controle = alvo.closest(".widget-inline-hbox, .widget-inline-vbox");
      const rotulo = controle?.querySelector(".widget-label")?.textContent.trim();
      alvo.setAttribute("aria-label", rotulo || "valor");
      if (alvo.isContentEditable) alvo.setAttribute("role", "textbox");
    }
  };
  new MutationObserver(nomear).observe(document.body, { childList: true, subtree: true });
})();
