// Tokenizador do mini-pt: BPE de bytes, com os mesmos ids que o de tokenizer.json. Roda na página e no Worker.
class Tokenizador {
  // tokens: o texto de cada id, com os bytes escritos como letras; fusoes: pares de ids, em ordem; fim: id do token de fim.
  constructor({ tokens, fusoes, fim }) {
    this.tokens = tokens;
    this.fim = fim;
    const idDe = new Map(tokens.map((token, id) => [token, id]));
    // A tabela do GPT-2: um byte que não se vê vira uma letra que se vê.
    this.byteDe = new Map();
    this.idDoByte = new Uint32Array(256);
    for (let byte = 0, extra = 256; byte < 256; byte++) {
      const visivel = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
      const letra = String.fromCodePoint(visivel ? byte : extra++);
      this.byteDe.set(letra, byte);
      this.idDoByte[byte] = idDe.get(letra);
    }
    this.posto = new Map(); // par de ids → ordem da fusão
    this.fundido = new Uint32Array(fusoes.length / 2);
    for (let i = 0; i < this.fundido.length; i++) {
      const [a, b] = [fusoes[2 * i], fusoes[2 * i + 1]];
      this.posto.set(a * tokens.length + b, i);
      this.fundido[i] = idDe.get(tokens[a] + tokens[b]);
    }
    this.conhecidas = new Map();
    // O padrão do GPT-2; \p{White_Space} porque o \s do JavaScript difere do do Unicode em dois caracteres.
    this.padrao =
      /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
  }

  // Texto → ids. O token de fim, escrito por extenso, vale como token.
  codificar(texto) {
    const ids = [];
    texto.split(this.tokens[this.fim]).forEach((parte, i) => {
      if (i) ids.push(this.fim);
      for (const [palavra] of parte.matchAll(this.padrao)) ids.push(...this.codificarPalavra(palavra));
    });
    return ids;
  }

  codificarPalavra(palavra) {
    const pronta = this.conhecidas.get(palavra);
    if (pronta) return pronta;
    let partes = Array.from(new TextEncoder().encode(palavra), (byte) => this.idDoByte[byte]);
    for (;;) {
      let menor = Infinity;
      for (let i = 0; i + 1 < partes.length; i++) {
        const posto = this.posto.get(partes[i] * this.tokens.length + partes[i + 1]);
        if (posto < menor) menor = posto;
      }
      if (menor === Infinity) break;
      const fundidas = [];
      for (let i = 0; i < partes.length; i++) {
        if (this.posto.get(partes[i] * this.tokens.length + partes[i + 1]) === menor) {
          fundidas.push(this.fundido[menor]);
          i++;
        } else fundidas.push(partes[i]);
      }
      partes = fundidas;
    }
    this.conhecidas.set(palavra, partes);
    return partes;
  }

  bytes(id) {
    return Uint8Array.from(this.tokens[id], (letra) => this.byteDe.get(letra));
  }

  // O texto de cada token, na ordem; o byte que deixa uma letra pela metade só aparece com o token que a completa.
  *textos(ids) {
    const leitor = new TextDecoder();
    for (const id of ids) yield id === this.fim ? this.tokens[id] : leitor.decode(this.bytes(id), { stream: true });
  }
}
