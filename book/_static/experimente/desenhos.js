// Põe na página o que o modelo devolve: texto por token, tabela de candidatos e mapa de atenção. Só cria nós; não decide nada.
const Desenhos = {
  numero: (valor, casas = 0) =>
    valor.toLocaleString("pt-BR", { minimumFractionDigits: casas, maximumFractionDigits: casas }),

  porcento: (p) => (p < 0.001 ? "< 0,1%" : `${Desenhos.numero(100 * p, 1)}%`),

  // O texto de um token fora do contexto em que aparece: o espaço e a quebra de linha precisam ser vistos.
  visivel(texto, primeiro = false) {
    if (texto === "<|endoftext|>") return primeiro ? "‹início›" : "‹fim›";
    if (!texto || /[\uFFFD\u0000-\u0009\u000B-\u001F]/.test(texto)) return "‹bytes›"; // um pedaço de letra
    return texto.replace(/ /g, "␣").replace(/\n/g, "⏎");
  },

  no(nome, texto, atributos = {}) {
    const elemento = document.createElement(nome);
    if (texto !== null) elemento.textContent = texto;
    for (const [chave, valor] of Object.entries(atributos)) elemento.setAttribute(chave, valor);
    return elemento;
  },

  // A sequência inteira: o que o leitor escreveu e o que o modelo acrescentou.
  texto(onde, tokens) {
    onde.replaceChildren(
      ...tokens
        .filter(({ texto }) => texto !== "<|endoftext|>")
        .map(({ texto, gerado }) => this.no("span", texto, { class: gerado ? "exp-gerado" : "exp-dado" })),
    );
  },

  // Os candidatos; cada um tem um botão que o põe no texto, e `aoEscolher` recebe o id.
  candidatos(onde, topo, aoEscolher) {
    onde.replaceChildren(
      ...topo.map(({ id, p, texto }) => {
        const nome = this.visivel(texto);
        const linha = this.no("tr", null);
        const token = this.no("th", null, { scope: "row" });
        token.append(this.no("code", nome));
        const medida = this.no("td", null);
        const barra = this.no("span", "", { class: "exp-barra" });
        barra.style.setProperty("--p", p.toFixed(4));
        medida.append(barra, this.no("span", this.porcento(p)));
        const escolha = this.no("td", null);
        const botao = this.no("button", "Usar", { type: "button", "aria-label": `Usar o token ${nome}` });
        botao.addEventListener("click", () => aoEscolher(id));
        escolha.append(botao);
        linha.append(token, medida, escolha);
        return linha;
      }),
    );
  },

  // O mapa é uma tabela: cada célula tem a cor do peso e o número, que se pode mostrar.
  atencao(tabela, { textos, linhas, desde }) {
    const nomes = textos.map((texto, i) => this.visivel(texto, desde + i === 0));
    const topo = this.no("tr", null);
    topo.append(
      this.no("td", null),
      ...nomes.map((nome) => {
        const coluna = this.no("th", null, { scope: "col" });
        coluna.append(this.no("span", nome));
        return coluna;
      }),
    );
    const corpo = linhas.map((pesos, i) => {
      const linha = this.no("tr", null);
      linha.append(this.no("th", nomes[i], { scope: "row" }));
      nomes.forEach((_, j) => {
        const celula = this.no("td", null, j < pesos.length ? {} : { class: "exp-futuro" });
        if (j < pesos.length) {
          celula.style.setProperty("--cor", Math.sqrt(pesos[j]).toFixed(3)); // a raiz deixa ver também os pesos pequenos
          celula.append(this.no("span", this.numero(100 * pesos[j])));
        }
        linha.append(celula);
      });
      return linha;
    });
    tabela.tHead.replaceChildren(topo);
    tabela.tBodies[0].replaceChildren(...corpo);
  },
};
