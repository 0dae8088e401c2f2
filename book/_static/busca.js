// Completa a busca do Sphinx na página de resultados: títulos e trechos sem distinguir acentos.
// `semAcento` vem de language_data.js (livro_busca.py); o índice já foi lido quando este arquivo roda.
(() => {
  // Por file:// o navegador proíbe ler as outras páginas, de onde sairiam os trechos.
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

  const indice = Search._index;
  const tituloEm = {};
  for (const [titulo, lugares] of Object.entries(indice.alltitles))
    for (const [arquivo, ancora] of lugares) tituloEm[`${arquivo}#${ancora ?? ""}`] = titulo;

  const juntarSemAcento = (entradas) => {
    const juntas = {};
    for (const [texto, lugares] of Object.entries(entradas))
      juntas[semAcento(texto)] = (juntas[semAcento(texto)] ?? []).concat(lugares);
    return juntas;
  };
  indice.alltitles = juntarSemAcento(indice.alltitles);
  indice.indexentries = juntarSemAcento(indice.indexentries);

  const buscar = Search._performSearch;
  Search._performSearch = (consulta, ...termos) =>
    buscar(semAcento(consulta), ...termos).map((resultado) => {
      // O Sphinx montou "Página > título" com o título sem acentos: devolve o original.
      const [pagina, texto, ancora] = resultado;
      const arquivo = indice.docnames.indexOf(pagina);
      const titulo = tituloEm[`${arquivo}#${ancora.slice(1)}`];
      const daPagina = indice.titles[arquivo];
      if (texto.startsWith(`${daPagina} > `) && titulo)
        resultado[1] = titulo === daPagina ? titulo : `${daPagina} > ${titulo}`;
      return resultado;
    });

  const resumir = Search.makeSearchSummary;
  Search.makeSearchSummary = (html, radicais, ancora) => {
    const texto = Search.htmlToText(html, ancora).normalize("NFC");
    const simples = semAcento(texto);
    const achados = [...radicais].map((radical) => {
      const inicio = simples.indexOf(radical);
      return inicio < 0 ? radical : texto.slice(inicio, inicio + radical.length);
    });
    return resumir(html, achados, ancora);
  };
})();
