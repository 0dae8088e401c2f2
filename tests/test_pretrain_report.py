"""Medidas do modelo: cada número refeito por outro caminho, num modelo sorteado e em dados minúsculos."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from modelos import um_fio  # noqa: F401
from preparo import corpora_falsos, nats_um_a_um, receita_minuscula

from llmdefinitions import GPTModel, corpora, get_tokenizer, pretrain_data, pretrain_report
from llmdefinitions.compression import xz_bits_per_byte
from llmdefinitions.copying import copy_losses
from llmdefinitions.model_card import card_text
from llmdefinitions.ngram import KneserNeyModel
from llmdefinitions.pretrain_data import prepare
from llmdefinitions.pretrain_report import PROMPTS, SAMPLING, measure, samples
from llmdefinitions.stories import log_prob, sample_stories, story_entropy
from llmdefinitions.tokenizer import encode, eos_id, token_ids_to_text

REGISTRO = [
    {"step": 1, "tokens": 64, "loss": 5.5, "lr": 0.1, "seconds": 1.0},
    {"step": 2, "tokens": 128, "loss": 5.25, "lr": 0.1, "machado_bits_per_byte": 4.0, "historias_bits_per_byte": 3.0},
]


@pytest.fixture(scope="module")
def caso(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    receita, falsos, verdadeiro = receita_minuscula(), corpora_falsos(), corpora.load_corpus
    with pytest.MonkeyPatch.context() as troca:
        troca.setattr(pretrain_data, "_FRESH_STORIES", 5)
        troca.setattr(
            pretrain_data, "load_corpus", lambda nome, **opcoes: falsos.get(nome) or verdadeiro(nome, **opcoes)
        )
        dados = prepare(receita, tmp_path_factory.mktemp("dados"), lambda _: None)
    torch.manual_seed(3)
    modelo = GPTModel(receita.model_config).eval()
    return SimpleNamespace(
        receita=receita, dados=dados, modelo=modelo, medidas=measure(modelo, dados, receita, REGISTRO, 12.5)
    )


def nats(caso: SimpleNamespace, texto: str) -> float:
    fim = eos_id(caso.dados.tokenizer)
    return nats_um_a_um(caso.modelo, [fim, *encode(texto, caso.dados.tokenizer), fim], 16, 8)


def test_cabe_em_json(caso):
    assert json.loads(json.dumps(caso.medidas, allow_nan=False)) == caso.medidas


@pytest.mark.parametrize("corpus", ["machado", "bncc", "historias"])
def test_bits_por_byte(caso, corpus):
    textos = caso.dados.heldout[corpus]
    bits = sum(nats(caso, t) for t in textos) / math.log(2)
    # float32 de um lado e de outro, em lotes diferentes.
    assert caso.medidas["bits_por_byte"][corpus] == pytest.approx(bits / sum(len(t.encode()) for t in textos), rel=1e-5)


def test_historias_contra_a_entropia(caso):
    novas = [h.text for h in sample_stories(5, seed=2027)]
    assert caso.dados.heldout["historias"] == novas
    medida = caso.medidas["historias"]
    assert medida["n"] == 5
    assert medida["nats"] == pytest.approx(sum(nats(caso, t) for t in novas) / 5, rel=1e-5)
    assert medida["entropia"] == story_entropy()
    assert medida["excesso"] == pytest.approx((medida["nats"] - story_entropy()) / story_entropy())
    assert medida["tokens"] == sum(len(encode(t, caso.dados.tokenizer)) + 1 for t in novas) / 5
    # A entropia é mesmo a média de −ln p: 400 histórias, erro de cinco desvios.
    sorteadas = [-log_prob(h.text) for h in sample_stories(400, seed=5)]
    assert abs(np.mean(sorteadas) - medida["entropia"]) < 5 * np.std(sorteadas) / 20


def test_copia_do_contexto(caso):
    medida = caso.medidas["copia"]
    cfg = caso.modelo.cfg
    assert medida["tokens"] == min(32, (cfg.context_length + 1) // 2)
    assert (medida["first"], medida["second"]) == tuple(copy_losses(caso.modelo, length=medida["tokens"]))
    assert medida["ln_v"] == pytest.approx(math.log(cfg.vocab_size))


def test_parametros_e_dados(caso):
    medidas = caso.medidas
    assert medidas["parametros"] == sum(p.numel() for p in {id(p): p for p in caso.modelo.parameters()}.values())
    assert medidas["receita"] == caso.receita.to_dict()
    assert medidas["corpora"] == caso.dados.manifest["corpora"]
    falsos = corpora_falsos()
    for nome in ("machado", "bncc"):
        fora = {d["name"] for d in medidas["corpora"][nome]["dropped"]} | set(medidas["corpora"][nome]["heldout"])
        pares = zip(falsos[nome].names, falsos[nome].documents, strict=True)
        n_tokens = sum(len(encode(t, caso.dados.tokenizer)) + 1 for n, t in pares if n not in fora)
        assert medidas["tokens_de_treino"][nome] == n_tokens
    assert medidas["principal"] == "machado"


def test_treino(caso):
    assert caso.medidas["treino"] == {
        "tokens": 50 * 4 * 16,
        "segundos": 12.5,
        "tokens_por_segundo": 256.0,
        "energia_wh": pytest.approx(30 * 12.5 / 3600),
        "watts_supostos": 30.0,
        "curva": [
            {"tokens": 128, "loss": 5.25, "machado_bits_per_byte": 4.0, "historias_bits_per_byte": 3.0},
        ],
    }  # fmt: skip


def _textos_de_treino(caso: SimpleNamespace) -> list[str]:
    ficha, falso = caso.medidas["corpora"]["machado"], corpora_falsos()["machado"]
    fora = {d["name"] for d in ficha["dropped"]} | set(ficha["heldout"])
    return [t for n, t in zip(falso.names, falso.documents, strict=True) if n not in fora]


def test_linhas_de_base(caso):
    medidas, tokenizador = caso.medidas["linhas_de_base"], caso.dados.tokenizer
    treino, separados, fim = _textos_de_treino(caso), caso.dados.heldout["machado"], eos_id(tokenizador)
    assert medidas["xz"] == xz_bits_per_byte("\n\n".join(treino), "\n\n".join(separados))
    assert medidas["kneser_ney_ordem"] == 4
    ngramas = KneserNeyModel(4, 300).fit([[*encode(t, tokenizador), fim] for t in treino])
    total = 0.0
    for texto in separados:
        ids = [*encode(texto, tokenizador), fim]
        total -= sum(math.log(ngramas.next_probs(ids[:i])[ids[i]]) for i in range(len(ids)))
    n_bytes = sum(len(t.encode()) for t in separados)
    assert medidas["kneser_ney"] == pytest.approx(total / math.log(2) / n_bytes, rel=1e-9)
    assert medidas["kneser_ney_segundos"] > 0


def test_corpus_grande_demais_fica_sem_linhas_de_base(caso, monkeypatch):
    monkeypatch.setattr(pretrain_report, "BASELINE_TOKENS", len(caso.dados.stores["machado"]) - 1)
    assert pretrain_report._baselines(caso.dados, "machado") == {}


def test_fertilidade(caso):
    texto = "\n\n".join(caso.dados.heldout["machado"])
    palavras = len(texto.split())
    assert caso.medidas["fertilidade"] == {
        "modelo": len(encode(texto, caso.dados.tokenizer)) / palavras,
        "gpt2": len(encode(texto, get_tokenizer("gpt2"))) / palavras,
    }


# --- amostras --------------------------------------------------------------------------------------


def test_vinte_comecos_diferentes(caso):
    assert len(set(PROMPTS)) == len(PROMPTS) == 20
    assert [a["prompt"] for a in caso.medidas["amostras"]] == list(PROMPTS)


@torch.no_grad()
def _gera(caso: SimpleNamespace, comeco: str, semente: int | None) -> list[int]:
    """Continuação pela definição, sem cache; com semente, sorteada entre os 50 maiores a temperatura 0,8."""
    fim = eos_id(caso.dados.tokenizer)
    ids, novos = [fim, *encode(comeco, caso.dados.tokenizer)], []
    gerador = torch.Generator().manual_seed(semente or 0)
    while len(novos) < 60:
        logits = caso.modelo(torch.tensor([(ids + novos)[-16:]]))[:, -1]  # (1, V)
        escolhido = int(logits.argmax())
        if semente is not None:
            minimo = logits.sort(descending=True).values[0, 49]
            probs = torch.softmax(torch.where(logits < minimo, -math.inf, logits) / 0.8, dim=-1)
            escolhido = int(torch.multinomial(probs, 1, generator=gerador))
        if escolhido == fim:
            break
        novos.append(escolhido)
    return novos


@pytest.mark.parametrize("numero", [0, 9, 14])
def test_continuacoes_refeitas_sem_cache(caso, numero):
    amostra = caso.medidas["amostras"][numero]
    assert SAMPLING == {"temperature": 0.8, "top_k": 50} == caso.medidas["sorteio"]
    gulosa, sorteada = _gera(caso, PROMPTS[numero], None), _gera(caso, PROMPTS[numero], numero)
    assert amostra["gulosa"] == token_ids_to_text(gulosa, caso.dados.tokenizer)
    assert amostra["sorteada"] == token_ids_to_text(sorteada, caso.dados.tokenizer)
    quatros = [tuple(sorteada[:40][i : i + 4]) for i in range(min(len(sorteada), 40) - 3)]
    assert amostra["repeticao"] == pytest.approx(1 - len(set(quatros)) / len(quatros))


class _Diz(GPTModel):
    """Modelo que, dito um id, diz o seguinte de uma lista, e depois dela o fim."""

    def dizendo(self, ids: list[int], fim: int) -> "_Diz":
        with torch.no_grad():
            for p in self.parameters():
                p.zero_()
            self.final_norm.scale.fill_(1.0)
            self.tok_emb.weight.copy_(
                torch.randn(self.tok_emb.weight.shape, generator=torch.Generator().manual_seed(1))
            )
            self.out_head = torch.nn.Linear(self.cfg.emb_dim, self.cfg.vocab_size, bias=False)
            self.out_head.weight.zero_()
            for i, j in zip(ids, [*ids[1:], fim], strict=True):
                x = self.tok_emb.weight[i]
                self.out_head.weight[j] += 1e4 * (x - x.mean())
        return self


def test_um_laco_aparece_e_o_fim_encerra(caso):
    tokenizador = caso.dados.tokenizer
    fim, a = eos_id(tokenizador), encode("a", tokenizador)[0]
    config = receita_minuscula(emb_dim=64).model_config
    [laco] = samples(_Diz(config).dizendo([a, a], a).eval(), tokenizador, ["a"])
    assert laco["gulosa"] == laco["sorteada"] == "a" * 60
    assert laco["repeticao"] == pytest.approx(36 / 37)  # nos 40 primeiros, 37 quatro-gramas e um só diferente
    [mudo] = samples(_Diz(config).dizendo([a], fim).eval(), tokenizador, ["a"])
    assert (mudo["gulosa"], mudo["sorteada"], mudo["repeticao"]) == ("", "", 0.0)


# --- versões, casos sem corpus principal e ficha ---------------------------------------------------


def test_versoes_e_data(caso):
    versoes = caso.medidas["versoes"]
    assert versoes["torch"] == torch.__version__
    assert versoes["numpy"] == np.__version__
    assert "linhas de execução" in versoes["maquina"]
    assert len(caso.medidas["medido_em"]) == 10


def test_so_com_historias_nao_ha_corpus_principal(tmp_path):
    receita = receita_minuscula(mixture={"historias": 100}, vocab_size=270)
    with pytest.MonkeyPatch.context() as troca:
        troca.setattr(pretrain_data, "_FRESH_STORIES", 2)
        dados = prepare(receita, tmp_path, lambda _: None)
    medidas = measure(GPTModel(receita.model_config).eval(), dados, receita, [], 1.0)
    assert (medidas["principal"], medidas["fertilidade"], medidas["linhas_de_base"]) == (None, {}, {})
    assert list(medidas["bits_por_byte"]) == ["historias"]
    assert medidas["treino"]["curva"] == []
    assert "None" not in card_text(medidas)


def test_a_ficha_do_que_foi_medido(caso):
    texto = card_text(json.loads(json.dumps(caso.medidas)))
    assert f"{caso.medidas['bits_por_byte']['machado']:.3f}".replace(".", ",") in texto
    for comeco in PROMPTS:
        assert f"\n| {comeco} |" in texto
    assert "`obra-3` é quase igual a `obra-3-outra-edicao`" in texto
