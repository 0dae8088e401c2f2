// Lê os pesos do mini-pt do formato de texto em que vêm (ferramentas/pesos_na_pagina.py): em 8 bits, ou exatos, em 16.

// Fila de bits: sete por caractere, do menos significativo em diante; o caractere é o do número mais um.
class FilaDeBits {
  constructor(texto) {
    this.texto = texto;
    this.lidos = this.guardados = this.resto = 0;
  }

  ler(n) {
    while (this.guardados < n) {
      this.resto |= (this.texto.charCodeAt(this.lidos++) - 1) << this.guardados;
      this.guardados += 7;
    }
    const valor = this.resto & ((1 << n) - 1);
    this.resto >>>= n;
    this.guardados -= n;
    return valor;
  }
}

class Pesos {
  constructor() {
    this.numero = new Float32Array(1);
    this.bits = new Uint32Array(this.numero.buffer);
    // O valor de cada um dos 65.536 float16.
    this.meios = Float32Array.from({ length: 65536 }, (_, codigo) => {
      const expoente = (codigo >> 10) & 31;
      const fracao = codigo & 1023;
      const modulo = expoente ? (1 + fracao / 1024) * 2 ** (expoente - 15) : fracao * 2 ** -24;
      return codigo & 0x8000 ? -modulo : modulo;
    });
  }

  // base e resto, como vieram → tensores, pelo nome. Sem o resto, os pesos são os de 8 bits.
  // As matrizes saem em blocos de oito linhas, coluna por coluna: a ordem em que rede.js as percorre.
  ler({ base, resto }) {
    const bits = new FilaDeBits(base.bits);
    const finos = resto && new FilaDeBits(resto.bits);
    const vetor = (tamanho) => Float32Array.from({ length: tamanho }, () => this.meios[bits.ler(16)]);
    const escalas = Object.values(base.matrizes).map(([linhas]) => vetor(linhas));
    const pesos = {};
    let lidos = 0;
    Object.entries(base.matrizes).forEach(([nome, [linhas, colunas]], qual) => {
      const matriz = (pesos[nome] = new Float32Array(linhas * colunas));
      for (let linha = 0; linha < linhas; linha++) {
        const escala = escalas[qual][linha];
        let onde = (linha >> 3) * 8 * colunas + (linha & 7);
        for (let coluna = 0; coluna < colunas; coluna++, onde += 8) {
          const codigo = ((base.codigos.charCodeAt(lidos++) - 64) << 24) >> 24; // os 8 bits de baixo, com sinal
          matriz[onde] = finos ? this.exato(codigo, escala, finos, resto.larguras) : codigo * escala;
        }
      }
    });
    for (const [nome, tamanho] of Object.entries(base.vetores)) pesos[nome] = vetor(tamanho);
    return pesos;
  }

  // O float16 que está a tantos float16 do mais próximo de codigo·escala.
  exato(codigo, escala, finos, larguras) {
    const largura = larguras[Math.abs(codigo)];
    const longe = largura ? (finos.ler(largura) << (32 - largura)) >> (32 - largura) : 0;
    const posicao = (codigo < 0 ? -1 : 1) * this.posicao(Math.abs(codigo * escala)) + longe;
    return posicao < 0 ? -this.meios[-posicao] : this.meios[posicao];
  }

  // O lugar, entre os float16 positivos, do mais próximo de um float32 positivo (no empate, o par): é o seu código.
  posicao(valor) {
    if (valor >= 2 ** -14) {
      this.numero[0] = valor;
      const deslocado = this.bits[0] - (112 << 23); // o expoente do float32 tem 127 a mais; o do float16, 15
      return (deslocado + 0xfff + ((deslocado >> 13) & 1)) >> 13;
    }
    const vezes = valor * 2 ** 24; // abaixo daquilo, todo float16 é múltiplo de 2⁻²⁴
    const abaixo = Math.floor(vezes);
    const sobra = vezes - abaixo;
    return abaixo + (sobra > 0.5 || (sobra === 0.5 && abaixo % 2) ? 1 : 0);
  }
}
