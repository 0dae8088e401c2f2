// Desenha os diagramas Mermaid quando o leitor chega perto deles, e os refaz quando ele troca entre claro e escuro.
// O desenhista pesa mais que a página inteira: só vem quando serve. Antes disso, e sem JavaScript, fica o texto do diagrama.
(() => {
  const raiz = document.documentElement;
  const endereco = new URL("../vendor/mermaid.min.js", document.currentScript.src).href;
  const diagramas = [...document.querySelectorAll("pre.mermaid")];
  const fontes = diagramas.map((diagrama) => diagrama.textContent);
  const PERTO = "800px";
  let desenho;

  const carregar = () =>
    new Promise((pronto, falhou) => {
      // Com o require.js dos controles na página, o Mermaid se registraria nele em vez de na página.
      const { define } = window;
      window.define = undefined;
      const script = document.createElement("script");
      script.src = endereco;
      script.onload = script.onerror = (evento) => {
        window.define = define;
        if (evento.type === "load") pronto();
        else falhou(new Error(`não foi possível ler ${endereco}`));
      };
      document.head.append(script);
    });

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
  const comecar = () => (desenho ??= carregar().then(desenhar));

  const perto = new IntersectionObserver(
    (entradas) => {
      if (!entradas.some(({ isIntersecting }) => isIntersecting)) return;
      perto.disconnect();
      comecar();
    },
    { rootMargin: PERTO },
  );
  diagramas.forEach((diagrama) => perto.observe(diagrama));
  window.addEventListener("beforeprint", comecar);
  new MutationObserver((mudancas) => {
    if (desenho && mudancas.some(({ oldValue }) => oldValue !== raiz.dataset.theme)) desenho = desenho.then(desenhar);
  }).observe(raiz, { attributes: true, attributeFilter: ["data-theme"], attributeOldValue: true });
})();
