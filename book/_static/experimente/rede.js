// O mini-pt por dentro: um GPT-2 pequeno, um token por vez, com cache KV. O mesmo de llmdefinitions/model.py.
class Rede {
  // forma: { camadas, cabecas, largura, contexto, vocabulario, epsilon }; pesos: o que Pesos.ler devolve.
  constructor(forma, pesos) {
    this.forma = forma;
    this.pesos = pesos;
    const { camadas, cabecas, largura, contexto, vocabulario } = forma;
    const vetores = (quantos, tamanho) => Array.from({ length: quantos }, () => new Float32Array(tamanho));
    this.chaves = vetores(camadas, contexto * largura);
    this.valores = vetores(camadas, contexto * largura);
    // Os pesos da atenção de cada cabeça, que a página mostra: uma linha por posição.
    this.atencao = vetores(camadas * cabecas, contexto * contexto);
    this.lidos = 0;
    [this.x, this.normal, this.misto, this.saida] = vetores(4, largura);
    this.qkv = new Float32Array(3 * largura);
    this.oculto = new Float32Array(4 * largura);
    this.logits = new Float32Array(vocabulario);
  }

  // Lê um token a mais e, se pedido, calcula os logits do próximo.
  ler(id, comLogits = true) {
    const { camadas, largura, contexto } = this.forma;
    const { pesos, x, normal, misto, saida, qkv, oculto } = this;
    const aqui = this.lidos;
    const raiz = Math.sqrt(2 / Math.PI);
    if (aqui >= contexto) throw new RangeError(`contexto de ${contexto} tokens cheio`);
    const linha = (id >> 3) * 8 * largura + (id & 7);
    for (let i = 0; i < largura; i++) x[i] = pesos.wte[linha + 8 * i] + pesos.wpe[aqui * largura + i];
    for (let camada = 0; camada < camadas; camada++) {
      const peso = (nome) => pesos[`h.${camada}.${nome}`];
      this.normalizar(normal, x, peso("ln_1.weight"), peso("ln_1.bias"));
      this.multiplicar(qkv, peso("attn.c_attn.weight"), normal, peso("attn.c_attn.bias"));
      this.chaves[camada].set(qkv.subarray(largura, 2 * largura), aqui * largura);
      this.valores[camada].set(qkv.subarray(2 * largura), aqui * largura);
      this.atender(camada, aqui);
      this.multiplicar(saida, peso("attn.c_proj.weight"), misto, peso("attn.c_proj.bias"));
      for (let i = 0; i < largura; i++) x[i] += saida[i];
      this.normalizar(normal, x, peso("ln_2.weight"), peso("ln_2.bias"));
      this.multiplicar(oculto, peso("mlp.c_fc.weight"), normal, peso("mlp.c_fc.bias"));
      for (let i = 0; i < oculto.length; i++) {
        const u = oculto[i];
        oculto[i] = 0.5 * u * (1 + Math.tanh(raiz * (u + 0.044715 * u * u * u))); // GELU
      }
      this.multiplicar(saida, peso("mlp.c_proj.weight"), oculto, peso("mlp.c_proj.bias"));
      for (let i = 0; i < largura; i++) x[i] += saida[i];
    }
    this.lidos++;
    if (!comLogits) return;
    this.normalizar(normal, x, pesos["ln_f.weight"], pesos["ln_f.bias"]);
    this.multiplicar(this.logits, pesos.wte, normal, null); // a saída usa a matriz dos embeddings
  }

  // Quanto a posição nova olha para cada uma das anteriores e para si, e a média dos valores com esses pesos.
  atender(camada, aqui) {
    const { cabecas, largura, contexto } = this.forma;
    const { qkv, misto } = this;
    const chaves = this.chaves[camada];
    const valores = this.valores[camada];
    const tamanho = largura / cabecas;
    misto.fill(0);
    for (let cabeca = 0; cabeca < cabecas; cabeca++) {
      const pesos = this.atencao[camada * cabecas + cabeca].subarray(aqui * contexto, aqui * contexto + aqui + 1);
      const inicio = cabeca * tamanho;
      let maior = -Infinity;
      for (let t = 0; t <= aqui; t++) {
        const base = t * largura + inicio;
        let soma = 0;
        for (let k = 0; k < tamanho; k++) soma += qkv[inicio + k] * chaves[base + k];
        pesos[t] = soma / Math.sqrt(tamanho);
        if (pesos[t] > maior) maior = pesos[t];
      }
      let total = 0;
      for (let t = 0; t <= aqui; t++) total += pesos[t] = Math.exp(pesos[t] - maior);
      for (let t = 0; t <= aqui; t++) {
        const peso = (pesos[t] /= total);
        const base = t * largura + inicio;
        for (let k = 0; k < tamanho; k++) misto[inicio + k] += peso * valores[base + k];
      }
    }
  }

  // LayerNorm: média 0 e variância 1, depois escala e deslocamento aprendidos.
  normalizar(saida, x, escala, deslocamento) {
    const n = x.length;
    let media = 0;
    for (let i = 0; i < n; i++) media += x[i];
    media /= n;
    let variancia = 0;
    for (let i = 0; i < n; i++) variancia += (x[i] - media) * (x[i] - media);
    const inverso = 1 / Math.sqrt(variancia / n + this.forma.epsilon);
    for (let i = 0; i < n; i++) saida[i] = (x[i] - media) * inverso * escala[i] + deslocamento[i];
  }

  // saida = matriz·x + vies. Oito linhas por vez, lado a lado na memória: cada x[k] serve a oito somas independentes.
  multiplicar(saida, matriz, x, vies) {
    const n = x.length;
    for (let linha = 0, p = 0; linha < saida.length; linha += 8) {
      let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
      for (let k = 0; k < n; k++, p += 8) {
        const v = x[k];
        a += matriz[p] * v;
        b += matriz[p + 1] * v;
        c += matriz[p + 2] * v;
        d += matriz[p + 3] * v;
        e += matriz[p + 4] * v;
        f += matriz[p + 5] * v;
        g += matriz[p + 6] * v;
        h += matriz[p + 7] * v;
      }
      saida[linha] = a;
      saida[linha + 1] = b;
      saida[linha + 2] = c;
      saida[linha + 3] = d;
      saida[linha + 4] = e;
      saida[linha + 5] = f;
      saida[linha + 6] = g;
      saida[linha + 7] = h;
    }
    if (vies) for (let i = 0; i < saida.length; i++) saida[i] += vies[i];
  }
}
