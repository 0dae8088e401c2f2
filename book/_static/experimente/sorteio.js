// Do logit ao token: temperatura, top-k, top-p e um sorteio de semente fixa. Os filtros são os de llmdefinitions/generation.py.
class Sorteio {
  // Números em [0, 1) que só dependem da semente (mulberry32).
  static gerador(semente) {
    let estado = semente >>> 0;
    return () => {
      estado = (estado + 0x6d2b79f5) >>> 0;
      let t = Math.imul(estado ^ (estado >>> 15), 1 | estado);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  // O id do maior logit; no empate, o menor id.
  static maior(logits) {
    let melhor = 0;
    for (let i = 1; i < logits.length; i++) if (logits[i] > logits[melhor]) melhor = i;
    return melhor;
  }

  // Quem ainda pode ser sorteado, do mais ao menos provável: [{ id, p }], com soma 1.
  static candidatos(logits, { temperatura, topK, topP }) {
    if (!(temperatura > 0)) return [{ id: this.maior(logits), p: 1 }];
    const emOrdem = Float32Array.from(logits).sort();
    const n = logits.length;
    const corte = topK > 0 ? emOrdem[n - Math.min(topK, n)] : -Infinity; // os empatados com o k-ésimo ficam
    const ids = [];
    for (let i = 0; i < n; i++) if (logits[i] >= corte) ids.push(i);
    ids.sort((i, j) => logits[j] - logits[i] || i - j);
    const pesos = ids.map((i) => Math.exp((logits[i] - emOrdem[n - 1]) / temperatura));
    const total = pesos.reduce((soma, peso) => soma + peso, 0);
    let quantos = 0;
    let massa = 0;
    // Um token fica se a massa antes dele ainda não chegou a p: o que completa p também entra.
    while (quantos < ids.length && (topP >= 1 || quantos === 0 || massa < topP * total)) massa += pesos[quantos++];
    return ids.slice(0, quantos).map((id, i) => ({ id, p: pesos[i] / massa }));
  }

  // Um id, sorteado com as probabilidades acima; a temperatura 0 é a escolha gulosa e não gasta números.
  static escolher(logits, opcoes, aleatorio) {
    if (!(opcoes.temperatura > 0)) return this.maior(logits);
    const candidatos = this.candidatos(logits, opcoes);
    let falta = aleatorio();
    for (const { id, p } of candidatos) {
      falta -= p;
      if (falta < 0) return id;
    }
    return candidatos[candidatos.length - 1].id; // o arredondamento da soma deixou um resto
  }

  // −ln p de um token, segundo o modelo, sem temperatura nem filtro.
  static surpresa(logits, id) {
    const maior = logits[this.maior(logits)];
    let total = 0;
    for (let i = 0; i < logits.length; i++) total += Math.exp(logits[i] - maior);
    return Math.log(total) - (logits[id] - maior);
  }
}
