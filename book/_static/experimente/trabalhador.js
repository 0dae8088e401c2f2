// O que roda no Worker, fora da linha de execução da página: guarda o modelo e a sequência, e atende um pedido por vez.
// Cada pedido é { n, tipo, ... }; as respostas, { n, ... }, com `fim` verdadeiro na última, ou { n, erro }.
function trabalhar() {
  const guardado = {}; // os scripts de pesos, como vieram
  let rede = null;
  let tokenizador = null;
  let ids = []; // a sequência: token de fim, começo do leitor, continuação
  let comeco = 0; // quantos deles não foram gerados
  let aleatorio = null;
  let atual = 0;
  let cancelados = 0; // o número do último pedido que já não interessa

  // Devolve a vez às mensagens que chegaram: sem isto, o pedido de cancelar esperaria o fim da geração.
  const canal = new MessageChannel();
  const pausa = () =>
    new Promise((continuar) => {
      canal.port1.onmessage = continuar;
      canal.port2.postMessage(null);
    });

  // Faz a rede ter lido exatamente estes ids, aproveitando o começo que já leu.
  async function posicionar(novos) {
    let iguais = 0;
    while (iguais < Math.min(rede.lidos, novos.length) && novos[iguais] === ids[iguais]) iguais++;
    // O último é sempre lido de novo: os logits guardados podem ser os de outra posição.
    rede.lidos = Math.min(iguais, novos.length - 1);
    ids = novos;
    while (rede.lidos < ids.length) {
      rede.ler(ids[rede.lidos], rede.lidos === ids.length - 1);
      if (rede.lidos % 8 === 0) await pausa();
    }
  }

  // Põe um token no fim da sequência; devolve quanto ele surpreendeu o modelo, em nats.
  function acrescentar(id) {
    const surpresa = Sorteio.surpresa(rede.logits, id);
    ids = [...ids, id];
    if (id !== tokenizador.fim && rede.lidos < rede.forma.contexto) rede.ler(id);
    return surpresa;
  }

  function parou() {
    if (ids.length > comeco && ids[ids.length - 1] === tokenizador.fim) return "fim";
    return ids.length > rede.forma.contexto ? "contexto" : null;
  }

  const estado = () => ({
    tokens: [...tokenizador.textos(ids)].map((texto, i) => ({ id: ids[i], texto, gerado: i >= comeco })),
    parou: parou(),
  });

  async function gerar({ quantos, opcoes }, avisar) {
    const surpresas = [];
    const inicio = performance.now();
    let primeiro = null;
    let aviso = -Infinity;
    while (surpresas.length < quantos && cancelados < atual && !parou()) {
      surpresas.push(acrescentar(Sorteio.escolher(rede.logits, opcoes, aleatorio)));
      const agora = performance.now();
      primeiro ??= agora - inicio;
      if (agora - aviso < 30) continue; // trinta quadros por segundo bastam, e poupam o celular
      aviso = agora;
      avisar(estado());
      await pausa();
    }
    return { surpresas, primeiro, ms: performance.now() - inicio, cancelado: cancelados >= atual, ...estado() };
  }

  const pedidos = {
    carregar({ partes, exato }) {
      const inicio = performance.now();
      Object.assign(guardado, partes);
      rede = new Rede(guardado.base.forma, new Pesos().ler(exato ? guardado : { base: guardado.base }));
      tokenizador ??= new Tokenizador(guardado.base.tokenizador);
      ids = [];
      return { ms: performance.now() - inicio };
    },

    // Recomeça a partir de um texto. De um texto longo demais fica o fim, com lugar para `reserva` tokens novos.
    async comecar({ texto, semente, reserva }) {
      const lidos = tokenizador.codificar(texto);
      const cortados = Math.max(0, lidos.length + 1 + reserva - rede.forma.contexto);
      // No treino, todo texto vem depois de um token de fim: sem ele o modelo não sabe que está no começo.
      const novos = [tokenizador.fim, ...lidos.slice(cortados)];
      comeco = novos.length;
      await posicionar(novos);
      aleatorio = Sorteio.gerador(semente);
      return { cortados, ...estado() };
    },

    gerar,

    // Um token só: o que o leitor escolheu ou, sem escolha, um sorteado.
    passo({ id, opcoes }) {
      if (!parou()) acrescentar(id ?? Sorteio.escolher(rede.logits, opcoes, aleatorio));
      return estado();
    },

    // A continuação gulosa do mesmo começo, e quanto cada uma surpreende o modelo; a sequência termina como estava.
    async comparar({ quantos }, avisar) {
      const [antes, prefixo] = [ids, ids.slice(0, comeco)];
      await posicionar(prefixo);
      const gulosa = await gerar({ quantos, opcoes: { temperatura: 0 } }, avisar);
      await posicionar(prefixo);
      const surpresas = antes.slice(comeco).map(acrescentar);
      return { gulosa, surpresas, ...estado() };
    },

    // Os mais prováveis, e quantos ao todo podem ser sorteados.
    distribuicao({ opcoes, quantos }) {
      const candidatos = Sorteio.candidatos(rede.logits, opcoes);
      const topo = candidatos.slice(0, quantos).map(({ id, p }) => ({ id, p, texto: [...tokenizador.textos([id])][0] }));
      return { topo, total: candidatos.length };
    },

    // Pesos de uma cabeça entre as últimas posições: uma lista por linha, até a própria posição.
    atencao({ camada, cabeca, ultimos }) {
      const { cabecas, contexto } = rede.forma;
      const pesos = rede.atencao[camada * cabecas + cabeca];
      const desde = Math.max(0, rede.lidos - ultimos);
      const linhas = [];
      for (let t = desde; t < rede.lidos; t++)
        linhas.push(Array.from(pesos.subarray(t * contexto + desde, t * contexto + t + 1)));
      return { textos: [...tokenizador.textos(ids)].slice(desde, rede.lidos), linhas, desde };
    },

    // Só os ids de um texto: é o que se confere com o tokenizador do pacote.
    codificar: ({ texto }) => ({ ids: tokenizador.codificar(texto) }),
  };

  let fila = Promise.resolve();
  onmessage = ({ data: { n, tipo, ...pedido } }) => {
    if (tipo === "cancelar") cancelados = n;
    else
      fila = fila.then(async () => {
        atual = n;
        try {
          const avisar = (andamento) => postMessage({ n, ...andamento });
          postMessage({ n, fim: true, ...(await pedidos[tipo](pedido, avisar)) });
        } catch (erro) {
          postMessage({ n, erro: String(erro?.message ?? erro) });
        }
      });
  };
}
