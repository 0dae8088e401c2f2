// Desenha os diagramas Mermaid e os refaz quando o leitor troca entre claro e escuro.
(() => {
  const raiz = document.documentElement;
  const diagramas = [...document.querySelectorAll("pre.mermaid")];
  const fontes = diagramas.map((diagrama) => diagrama.textContent);
  let desenho = Promise.resolve();

  const desenhar = async () => {
    mermaid.initialize({
      startOnLoad: false,
      theme: raiz.dataset.theme === "dark" ? "dark" : "neutral",
      fontFamily: "inherit",
      flowchart: { useMaxWidth: true },
    });
    diagramas.forEach((diagrama, i) => {
      diagrama.removeAttribute("data-processed");
      diagrama.textContent = fontes[i];
    });
    await mermaid.run({ nodes: diagramas });
  };
  const agendar = () => (desenho = desenho.then(desenhar));

  new MutationObserver((mudancas) => {
    if (mudancas.some(({ oldValue }) => oldValue !== raiz.dataset.theme)) agendar();
  }).observe(raiz, { attributes: true, attributeFilter: ["data-theme"], attributeOldValue: true });
  window.addEventListener("load", agendar);
})();
