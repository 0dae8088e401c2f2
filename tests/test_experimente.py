"""A página que executa o mini-pt: os mesmos tokens e a mesma continuação que o PyTorch, sem rede, sem travar."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from abas import open_page
from livro import load

from llmdefinitions.attention_maps import attention_weights
from llmdefinitions.corpora import load_corpus
from llmdefinitions.generation import filter_logits, generate
from llmdefinitions.model import GPTModel
from llmdefinitions.pretrained import load_pretrained, pretrained_folder
from llmdefinitions.tokenizer import encode, eos_id

pytestmark = [pytest.mark.site, pytest.mark.navegador]

PAGINA = "book/experimente.html"
# Em float32 a ordem das somas muda um logit na sexta casa; só abaixo disto dois tokens estão empatados.
EMPATE = 1e-4
NOVOS = 6
ESTRANHOS = (
    "",
    " ",
    "  dois  espaços   e\n\n\nlinhas\t\ttabulações ",
    "“aspas”, ‘simples’, — travessão… e d'água, l'l 's 'RE",
    "emojis 😀👩‍👩‍👧 e ⅔, ½, ², Ⅳ, 1234567890",
    "日本語 العربية ελληνικά русский",
    "NFD: a\u0301gua, c\u0327a\u0303o",
    "\u0085\u00a0\u2003\ufeff\u200b",
    "antes<|endoftext|>depois",
    "<|endoftext|",
    "\x00\x07\x7f",
    "ã" * 40,
)


@pytest.fixture(scope="module")
def modelo() -> tuple[GPTModel, Any]:
    return load_pretrained("mini-pt")


@pytest.fixture(scope="module")
def dados(html) -> dict[str, Any]:
    return json.loads((html / "_static" / "experimente" / "pagina.json").read_text(encoding="utf-8"))


def comecos(quantos: int) -> list[str]:
    """Começos em português dos textos embutidos, sempre os mesmos, de 1 a 8 palavras."""
    fontes = [load_corpus("historias", n_stories=2 * quantos, seed=8).documents, load_corpus("bncc").documents[::2]]
    textos = (" ".join(fontes[i % 2][i // 2].split()[: 1 + i // 2 % 8]) for i in range(2 * quantos))
    diferentes = list(dict.fromkeys(textos))[:quantos]
    assert len(diferentes) == quantos
    return diferentes


def abrir(browser, base: str, largura: int = 1280, **opcoes: Any):
    aba, visita = open_page(browser, base, largura, **opcoes)
    aba.set_default_timeout(120_000)  # uma máquina ocupada demora; nenhum teste mede tempo
    aba.goto(f"{base}/{PAGINA}")
    return aba, visita


def esperar(aba, texto: str) -> str:
    """Espera a página terminar o que faz e dizer algo que case com `texto`; devolve o que ela disse."""
    aba.wait_for_function(
        """texto => document.getElementById("exp-cancelar").disabled
          && new RegExp(texto).test(document.getElementById("exp-estado").textContent)""",
        arg=texto,
    )
    return aba.inner_text("#exp-estado")


@pytest.fixture(scope="module")
def exata(browser, origin):
    """Uma aba com o modelo carregado em 16 bits; os testes falam com ele como a página fala."""
    aba, visita = abrir(browser, origin)
    aba.evaluate("experimente.carregar(true)")
    yield aba
    assert visita.errors == []
    aba.context.close()


def gulosa_da_pagina(aba, textos: list[str], novos: int) -> list[list[int]]:
    """Ids da continuação gulosa de cada texto, calculados no navegador."""
    return aba.evaluate(
        """async ([textos, quantos]) => {
          const saida = [];
          for (const texto of textos) {
            await experimente.pedir("comecar", { texto, semente: 0, reserva: 0 });
            const { tokens } = await experimente.pedir("gerar", { quantos, opcoes: { temperatura: 0 } });
            saida.push(tokens.filter((t) => t.gerado).map((t) => t.id));
          }
          return saida;
        }""",
        [textos, novos],
    )


@torch.no_grad()
def margens(modelo: GPTModel, inicios: list[list[int]], novos: list[list[int]]) -> torch.Tensor:
    """Quanto o maior logit do PyTorch passa o do token que a página escolheu, em cada passo de cada começo.

    Com o mesmo prefixo, o maior em todos os passos é a mesma continuação gulosa, conferida numa passada só.
    """
    passadas = []
    for i in range(0, len(inicios), 50):
        linhas = [torch.tensor(a + b) for a, b in zip(inicios[i : i + 50], novos[i : i + 50], strict=True)]
        # Preencher à direita não muda nada: a máscara é causal.
        logits = modelo(torch.nn.utils.rnn.pad_sequence(linhas, batch_first=True))  # (50, T, V)
        for linha, desta, inicio in zip(linhas, logits, inicios[i : i + 50], strict=True):
            previstos, escolhidos = desta[len(inicio) - 1 : len(linha) - 1], linha[len(inicio) :]
            passadas.append(previstos.max(dim=1).values - previstos.gather(1, escolhidos[:, None])[:, 0])
    return torch.cat(passadas)


def test_os_mesmos_ids_em_200_comecos_e_em_textos_estranhos(exata, modelo):
    textos = [*comecos(200), *ESTRANHOS]
    deles = exata.evaluate(
        "textos => Promise.all(textos.map((texto) => experimente.pedir('codificar', { texto }).then((r) => r.ids)))",
        textos,
    )
    assert deles == [encode(texto, modelo[1]) if texto else [] for texto in textos]


def test_a_mesma_continuacao_gulosa_em_200_comecos(exata, modelo):
    rede, tokenizador = modelo
    fim = eos_id(tokenizador)
    textos = comecos(200)
    novos = gulosa_da_pagina(exata, textos, NOVOS)
    assert all(len(ids) == NOVOS or ids[-1] == fim for ids in novos)
    diferencas = margens(rede, [[fim, *encode(texto, tokenizador)] for texto in textos], novos)
    assert len(diferencas) > 0.9 * len(textos) * NOVOS
    assert diferencas.max() < EMPATE
    # Empates são raros: se um passo em cem tivesse um, a tolerância estaria escondendo um erro.
    assert (diferencas == 0).float().mean() > 0.99


def test_ate_o_fim_do_contexto(exata, modelo):
    rede, tokenizador = modelo
    fim, texto = eos_id(tokenizador), " ".join(load_corpus("bncc").documents[:40])
    inicio = [fim, *encode(texto, tokenizador)[-251:]]
    resposta = exata.evaluate(
        """async (texto) => {
          const inicio = await experimente.pedir("comecar", { texto, semente: 0, reserva: 4 });
          const fim = await experimente.pedir("gerar", { quantos: 50, opcoes: { temperatura: 0 } });
          return [inicio.cortados, inicio.tokens.map((t) => t.id), fim.tokens.map((t) => t.id), fim.parou];
        }""",
        texto,
    )
    cortados, lidos, tudo, parou = resposta
    assert cortados == len(encode(texto, tokenizador)) - 251
    assert lidos == inicio
    nossos = generate(rede, torch.tensor([inicio]), 5, 256, eos_id=fim)[0].tolist()
    # 252 lidos, mais os 4 que cabem, mais o que a última posição prevê.
    assert parou in ("contexto", "fim")
    assert tudo[: len(nossos)] == nossos
    assert len(tudo) == 257 or tudo[-1] == fim


@pytest.mark.parametrize(
    ("temperatura", "top_k", "top_p"), [(1.0, 0, 1.0), (0.7, 30, 1.0), (1.3, 0, 0.9), (0.9, 50, 0.5), (0.0, 50, 0.9)]
)
def test_a_mesma_distribuicao(exata, modelo, temperatura, top_k, top_p):
    rede, tokenizador = modelo
    texto = "A viúva entrou na sala e"
    deles = exata.evaluate(
        """async ([texto, opcoes]) => {
          await experimente.pedir("comecar", { texto, semente: 0, reserva: 0 });
          return experimente.pedir("distribuicao", { opcoes, quantos: 8192 });
        }""",
        [texto, {"temperatura": temperatura, "topK": top_k, "topP": top_p}],
    )
    with torch.no_grad():
        logits = rede(torch.tensor([[eos_id(tokenizador), *encode(texto, tokenizador)]]))[:, -1]  # (1, V)
    if temperatura == 0:
        assert [(c["id"], c["p"]) for c in deles["topo"]] == [(int(logits.argmax()), 1)]
        return
    cortados = filter_logits(filter_logits(logits, top_k or None) / temperatura, top_p=top_p)
    esperadas = torch.softmax(cortados[0].double(), dim=-1)
    assert deles["total"] == len(deles["topo"]) == int((esperadas > 0).sum())
    achadas = torch.zeros_like(esperadas)
    for candidato in deles["topo"]:
        achadas[candidato["id"]] = candidato["p"]
    # Uma diferença de 10⁻⁵ num logit muda a probabilidade em uma parte em 10⁵.
    torch.testing.assert_close(achadas, esperadas, rtol=1e-4, atol=1e-7)
    ordem = [candidato["p"] for candidato in deles["topo"]]
    assert ordem == sorted(ordem, reverse=True)


def test_a_mesma_atencao_em_todas_as_cabecas(exata, modelo):
    rede, tokenizador = modelo
    texto = "Naquela manhã, o Rio de Janeiro acordou"
    deles = exata.evaluate(
        """async ([texto, camadas, cabecas]) => {
          await experimente.pedir("comecar", { texto, semente: 0, reserva: 0 });
          const mapas = [];
          for (let camada = 0; camada < camadas; camada++)
            for (let cabeca = 0; cabeca < cabecas; cabeca++)
              mapas.push((await experimente.pedir("atencao", { camada, cabeca, ultimos: 256 })).linhas);
          return mapas;
        }""",
        [texto, rede.cfg.n_layers, rede.cfg.n_heads],
    )
    ids = torch.tensor([[eos_id(tokenizador), *encode(texto, tokenizador)]])
    esperados = attention_weights(rede, ids)[:, 0].flatten(0, 1)  # (L·H, T, T)
    n = ids.shape[1]
    achados = torch.tensor([[linha + [0.0] * (n - len(linha)) for linha in mapa] for mapa in deles])
    torch.testing.assert_close(achados, esperados, rtol=1e-3, atol=1e-5)  # float32 dos dois lados, em outra ordem


def test_os_8_bits_da_pagina_sao_os_que_a_tabela_mede(browser, origin, modelo, dados):
    rede, tokenizador = modelo
    ferramenta = load("ferramentas/modelo_na_pagina.py")
    quantizado = ferramenta.quantized_model(rede, pretrained_folder("mini-pt"))
    aba, visita = abrir(browser, origin)
    aba.evaluate("experimente.carregar(false)")
    texto = comecos(200)[101]
    deles = aba.evaluate(
        """async (texto) => {
          await experimente.pedir("comecar", { texto, semente: 0, reserva: 0 });
          return experimente.pedir("distribuicao", { opcoes: { temperatura: 1, topK: 0, topP: 1 }, quantos: 8192 });
        }""",
        texto,
    )
    ids = torch.tensor([[eos_id(tokenizador), *encode(texto, tokenizador)]])
    with torch.no_grad():
        oito, dezesseis = (torch.softmax(m(ids)[0, -1].double(), dim=-1) for m in (quantizado, rede))
    achadas = torch.zeros_like(oito)
    for candidato in deles["topo"]:
        achadas[candidato["id"]] = candidato["p"]
    torch.testing.assert_close(achadas, oito, rtol=1e-4, atol=1e-7)
    assert not torch.allclose(achadas, dezesseis, rtol=1e-4, atol=1e-7)  # a comparação distingue as duas precisões
    # Arredondar a 255 níveis por linha é um ruído pequeno: mais que 1% de perda seria um erro no arredondamento.
    for medida in dados["bits_por_byte"].values():
        assert abs(medida["8"] / medida["16"] - 1) < 0.01
    assert visita.errors == []
    aba.context.close()


def test_a_perda_medida_e_a_da_ficha_do_modelo(dados):
    ficha = json.loads((pretrained_folder("mini-pt") / "medidas.json").read_text(encoding="utf-8"))
    assert dados["bits_por_byte"]["bncc"]["16"] == pytest.approx(ficha["bits_por_byte"]["bncc"], rel=1e-4)


def test_cabe_no_limite(html, dados):
    pasta = html / "_static" / "experimente"
    tamanhos = {parte: (pasta / nome).stat().st_size for parte, nome in dados["arquivos"].items()}
    assert tamanhos == dados["bytes"]
    assert sum(tamanhos.values()) <= 12_000_000


@pytest.mark.parametrize("onde", ["http", "file"])
def test_gera_ao_ser_pedido_e_so_entao_busca_os_pesos(browser, html, origin, modelo, onde):
    base = origin if onde == "http" else html.as_uri()
    aba, visita = abrir(browser, base, 390, scheme="dark")
    pedidos: list[str] = []
    aba.on("request", lambda pedido: pedidos.append(Path(pedido.url).name.partition("?")[0]))
    aba.fill("#exp-texto", "Quando a chuva parou,")
    aba.wait_for_timeout(500)  # mais que a espera depois de escrever
    assert not [nome for nome in pedidos if nome.startswith("mini-pt")]
    aba.click("#exp-gerar")
    esperar(aba, "por segundo")
    assert [nome for nome in pedidos if nome.startswith("mini-pt")] == ["mini-pt-8bits.js"]
    primeira = aba.inner_text("#exp-saida")
    assert primeira.startswith("Quando a chuva parou,")
    assert len(primeira) > len("Quando a chuva parou,")
    # A mesma semente, o mesmo texto; outra, outro.
    aba.click("#exp-gerar")
    esperar(aba, "por segundo")
    assert aba.inner_text("#exp-saida") == primeira
    aba.fill("#exp-semente", "7")
    aba.click("#exp-gerar")
    esperar(aba, "por segundo")
    assert aba.inner_text("#exp-saida") != primeira
    assert aba.evaluate("document.scrollingElement.scrollWidth - innerWidth") == 0
    assert visita.errors == []
    assert visita.outside == []
    aba.context.close()


def test_passo_a_passo_e_comparacao(browser, origin):
    aba, visita = abrir(browser, origin)
    aba.click("#exp-passo")
    esperar(aba, "Um token a mais")
    aba.click("#exp-recomecar")
    esperar(aba, "De volta ao começo")
    comeco = aba.text_content("#exp-saida")
    # O leitor escolhe pelo teclado o segundo da tabela, e ele entra no texto.
    token = aba.inner_text("#exp-topo tr:nth-child(2) code").replace("␣", " ").replace("⏎", "\n")
    aba.focus("#exp-topo tr:nth-child(2) button")
    aba.keyboard.press("Enter")
    esperar(aba, "Um token a mais")
    assert aba.text_content("#exp-saida") == comeco + token
    assert aba.evaluate("document.activeElement.closest('#exp-topo') !== null")  # o foco não se perde com a tabela
    # A temperatura 0 deixa um candidato; a tabela muda com o controle.
    aba.focus("#exp-temperatura")
    aba.keyboard.press("Home")
    aba.wait_for_function("document.querySelectorAll('#exp-topo tr').length === 1")
    assert "só um token" in aba.inner_text("#exp-distribuicao-resumo")
    # Com a temperatura em 0, as duas continuações são a mesma.
    aba.click("#exp-comparar")
    esperar(aba, "Comparação pronta")
    assert aba.inner_text("#exp-gulosa") == aba.inner_text("#exp-saida")
    aba.select_option("#exp-camada", label="3")
    aba.select_option("#exp-cabeca", label="2")
    aba.wait_for_function("document.getElementById('exp-atencao-resumo').textContent.startsWith('Camada 3, cabeça 2')")
    aba.check("#exp-numeros")
    numero = aba.locator("#exp-mapa tbody td span").first
    assert re.fullmatch(r"\d+", numero.inner_text())
    assert numero.bounding_box()["height"] > 5
    assert visita.errors == []
    aba.context.close()


def test_cancelar_para_no_meio_e_a_pagina_segue_viva(browser, origin):
    aba, visita = abrir(browser, origin)
    aba.click("#exp-carregar")
    esperar(aba, "pronto")
    aba.fill("#exp-texto", "O")
    aba.wait_for_timeout(400)
    aba.evaluate("""() => {
      for (const [id, valor] of [["exp-quantos", 200], ["exp-temperatura", 2], ["exp-topk", 0]])
        document.getElementById(id).value = valor;
    }""")
    aba.click("#exp-gerar")
    aba.wait_for_function("document.querySelectorAll('#exp-saida .exp-gerado').length > 2")
    aba.click("#exp-cancelar")
    frase = esperar(aba, "Cancelado")
    assert 2 < int(re.search(r"Cancelado: (\d+) tokens", frase)[1]) < 200
    assert aba.is_disabled("#exp-cancelar")
    aba.click("#exp-passo")
    esperar(aba, "Um token a mais")
    # Cancelada a primeira metade da comparação, a segunda não começa.
    aba.click("#exp-comparar")
    aba.wait_for_function("/Gerando/.test(document.getElementById('exp-estado').textContent)")
    aba.click("#exp-cancelar")
    assert "Cancelado" in esperar(aba, "Cancelado|pronta")
    assert not aba.is_visible("#exp-comparacao")
    assert visita.errors == []
    aba.context.close()


def test_cancelar_enquanto_os_pesos_vem(browser, origin):
    aba, visita = abrir(browser, origin)
    presos = []
    aba.route("**/mini-pt-8bits.js", lambda rota: presos.append(rota))
    with aba.expect_request("**/mini-pt-8bits.js"):
        aba.click("#exp-gerar")
    exemplo = aba.inner_text("#exp-saida")
    aba.click("#exp-cancelar")
    presos[0].continue_()
    assert esperar(aba, "Cancelado") == "Cancelado."
    assert aba.inner_text("#exp-saida") == exemplo
    assert aba.inner_text("#exp-carregar") == "Modelo carregado"
    assert visita.errors == []
    aba.context.close()


def test_cada_falha_e_dita_em_portugues_e_a_pagina_segue_viva(browser, origin):
    aba, _ = abrir(browser, origin)
    certo = aba.evaluate("experimente.arquivos.base")
    for ruim in ("nao-existe.js", "../livro.css"):  # um que não chega, e um que chega sem o que devia
        aba.evaluate("arquivo => { experimente.arquivos.base = arquivo; }", ruim)
        aba.click("#exp-gerar")
        assert f"não consegui ler {ruim}. Confira a conexão" in esperar(aba, "Não deu certo")
    aba.evaluate("arquivo => { experimente.arquivos.base = arquivo; }", certo)
    for texto, frase in (
        ("a" * 4001, "Não deu certo: o texto tem 4.001 caracteres, e o máximo aqui é 4.000. Apague o começo dele."),
        ("uma casa " * 300, "O texto é longo: o modelo leu só o fim, sem os primeiros"),
        ("", "A caixa está vazia: o modelo começa um texto do zero."),
    ):
        aba.fill("#exp-texto", texto)
        aba.click("#exp-gerar")
        assert frase in esperar(aba, re.escape(frase))
    aba.context.close()


def test_navegador_sem_worker(browser, origin):
    aba, visita = open_page(browser, origin, 1280)
    aba.add_init_script("delete globalThis.Worker")
    aba.goto(f"{origin}/{PAGINA}")
    aba.click("#exp-gerar")
    assert "este navegador não tem Web Workers" in esperar(aba, "Não deu certo")
    assert visita.errors == []
    aba.context.close()


def test_sem_javascript_mostra_o_exemplo(browser, origin, modelo, dados):
    rede, tokenizador = modelo
    aba, _ = abrir(browser, origin, 390, java_script_enabled=False)
    assert aba.is_visible(".exp-aviso")
    assert not aba.is_visible("#exp-gerar")
    inicio = [eos_id(tokenizador), *encode(dados["exemplo"]["comeco"], tokenizador)]
    gulosa = generate(rede, torch.tensor([inicio]), dados["novos"], 256, eos_id=inicio[0])[0, 1:].tolist()
    assert aba.inner_text("#exp-gulosa") == tokenizador.decode(gulosa).strip()
    assert aba.locator("#exp-topo tr").count() == dados["candidatos_na_tabela"]
    assert aba.locator("#exp-mapa tbody tr").count() == dados["posicoes_no_mapa"]
    aba.context.close()


@pytest.mark.parametrize("tema", ["light", "dark"])
def test_contraste_e_nomes(browser, origin, tema):
    aba, _ = abrir(browser, origin, 390, scheme=tema)
    fracos = aba.evaluate("""() => {
      const cor = (texto) => texto.match(/[\\d.]+/g).map(Number);
      const canal = (c) => (c <= 10.3 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
      const luz = ([r, g, b]) => 0.2126 * canal(r) + 0.7152 * canal(g) + 0.0722 * canal(b);
      const fundo = (e) => {
        for (; e; e = e.parentElement) {
          const c = cor(getComputedStyle(e).backgroundColor);
          if (c.length === 3 || c[3] === 1) return c;
        }
        return [255, 255, 255];
      };
      const textos = "label, legend, button, p, th, code, output, textarea, select, .exp-ajuda, .exp-saida span";
      return [...document.querySelectorAll(`.experimente :is(${textos})`)]
        .filter((e) => e.offsetParent && !e.disabled)
        .map((e) => {
          const [a, b] = [luz(cor(getComputedStyle(e).color)), luz(fundo(e))];
          return [e.tagName + "." + e.className, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        })
        .filter(([, razao]) => razao < 4.5);
    }""")
    assert fracos == []
    sem_nome = aba.evaluate("""() => [...document.querySelectorAll(".experimente :is(input, select, textarea, button)")]
      .filter((e) => !(e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim())).map((e) => e.id)""")
    assert sem_nome == []
    aba.context.close()


def test_o_foco_se_ve_em_todo_controle(browser, origin):
    aba, _ = abrir(browser, origin)
    aba.focus("[name=precisao]")
    vistos = {}
    for _ in range(16):
        identificador, espessura = aba.evaluate(
            "[document.activeElement.id, parseFloat(getComputedStyle(document.activeElement).outlineWidth)]"
        )
        vistos[identificador] = espessura
        aba.keyboard.press("Tab")
    assert {"exp-texto", "exp-temperatura", "exp-topk", "exp-topp", "exp-semente", "exp-gerar"} <= vistos.keys()
    assert min(vistos.values()) >= 2, vistos
    aba.context.close()
