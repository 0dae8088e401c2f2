// A ponte entre a página e o Worker do modelo: busca os pesos, monta o Worker e faz de cada pedido uma promessa.
// Não usa fetch, que os navegadores recusam em páginas abertas do disco: os pesos são scripts, e o Worker, um Blob.
class Cliente {
  static PARTES = [FilaDeBits, Pesos, Tokenizador, Rede, Sorteio, trabalhar];

  // arquivos: endereço dos scripts de pesos, { base, resto }.
  constructor(arquivos) {
    this.arquivos = arquivos;
    this.operario = null;
    this.numero = 0;
    this.esperando = new Map();
    this.partes = {}; // parte → promessa do script já pedido
    this.carga = Promise.resolve();
    this.exato = null; // a precisão carregada; null enquanto não há modelo
  }

  // Deixa o modelo pronto na precisão pedida; o que já veio não é buscado de novo.
  carregar(exato) {
    this.carga = this.carga.catch(() => {}).then(async () => {
      if (this.exato === exato) return {};
      const partes = Object.assign({}, ...(await Promise.all(["base", ...(exato ? ["resto"] : [])].map((p) => this.buscar(p)))));
      this.operario ??= this.criarOperario();
      const resposta = await this.pedir("carregar", { partes, exato });
      this.exato = exato;
      return resposta;
    });
    return this.carga;
  }

  // O conteúdo de um script de pesos, na primeira vez; depois, nada: o Worker já o tem.
  async buscar(parte) {
    if (this.partes[parte]) return {};
    await new Promise((certo, errado) => {
      const script = document.createElement("script");
      script.src = this.arquivos[parte];
      const falhou = () =>
        errado(new Error(`não consegui ler ${this.arquivos[parte]}. Confira a conexão, ou se a pasta do site está inteira, e tente de novo.`));
      script.onload = () => (globalThis.MINI_PT?.[parte] ? certo() : falhou()); // um arquivo cortado também chega
      script.onerror = falhou;
      document.head.append(script);
    });
    this.partes[parte] = true;
    const conteudo = globalThis.MINI_PT[parte];
    delete globalThis.MINI_PT[parte]; // o Worker recebe uma cópia; aqui ela só ocuparia memória
    return { [parte]: conteudo };
  }

  criarOperario() {
    if (!globalThis.Worker) throw new Error("este navegador não tem Web Workers, em que o modelo roda. Atualize-o, ou abra a página em outro.");
    const fonte = ['"use strict";', ...Cliente.PARTES, "trabalhar();"].join("\n");
    const endereco = URL.createObjectURL(new Blob([fonte], { type: "text/javascript" }));
    const operario = new Worker(endereco);
    operario.onmessage = ({ data }) => {
      const { certo, errado, aoAndar } = this.esperando.get(data.n);
      if (data.erro === undefined && !data.fim) return aoAndar?.(data);
      this.esperando.delete(data.n);
      if (data.erro === undefined) certo(data);
      else errado(Cliente.falha(data.erro));
    };
    operario.onerror = (evento) => {
      for (const { errado } of this.esperando.values()) errado(Cliente.falha(evento.message));
      this.esperando.clear();
    };
    return operario;
  }

  // O que o Worker não soube tratar: a mensagem é a do navegador, na língua dele.
  static falha(mensagem) {
    return new Error(`o modelo parou (${mensagem || "sem memória?"}). Recarregue a página e tente de novo.`);
  }

  // Manda um pedido ao Worker; aoAndar recebe as respostas parciais.
  pedir(tipo, dados = {}, aoAndar = null) {
    const n = ++this.numero;
    return new Promise((certo, errado) => {
      this.esperando.set(n, { certo, errado, aoAndar });
      this.operario.postMessage({ n, tipo, ...dados });
    });
  }

  // Interrompe o que foi pedido até agora: a geração em curso termina com os tokens que já tem.
  cancelar() {
    this.operario?.postMessage({ n: this.numero, tipo: "cancelar" });
  }
}
