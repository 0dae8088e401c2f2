"""Preparação dos dados: o que sai, o que fica de fora, o que se reabre, e o corpus real."""

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from preparo import HISTORIAS, corpora_falsos, receita_minuscula

from llmdefinitions import corpora, pretrain_data
from llmdefinitions.pretrain_data import PretrainData, prepare, split_whole_documents, training_split
from llmdefinitions.stories import sample_stories
from llmdefinitions.tokenizer import encode, token_ids_to_text

FIM = "<|endoftext|>"


@pytest.fixture(autouse=True)
def corpora_pequenos(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("corpora_reais"):
        return
    falsos, verdadeiro = corpora_falsos(), corpora.load_corpus
    monkeypatch.setattr(pretrain_data, "_FRESH_STORIES", 15)
    monkeypatch.setattr(
        pretrain_data, "load_corpus", lambda nome, **opcoes: falsos.get(nome) or verdadeiro(nome, **opcoes)
    )


def prepara(pasta: Path, **mudancas) -> PretrainData:
    return prepare(receita_minuscula(**mudancas), pasta, lambda _: None)


def documentos_gravados(dados: PretrainData, nome: str) -> list[str]:
    loja = dados.stores[nome]
    texto = token_ids_to_text(loja.read([0], len(loja))[0], dados.tokenizer)
    assert texto.endswith(FIM)
    return texto.removesuffix(FIM).split(FIM)


def arquivos(pasta: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in pasta.iterdir()}


# --- o que sai -------------------------------------------------------------------------------------


@pytest.mark.parametrize("nome", ["machado", "bncc"])
def test_separacao_sem_preparar_e_a_mesma_da_preparacao(tmp_path, nome):
    dados = prepara(tmp_path)
    treino, separados = training_split(corpora_falsos()[nome], receita_minuscula())
    assert documentos_gravados(dados, nome) == treino
    assert dados.heldout[nome] == separados


def test_historias_nao_se_separam_por_documentos():
    with pytest.raises(ValueError, match="as de outra semente são novas"):
        training_split(corpora.load_corpus("historias", n_stories=3), receita_minuscula())


def test_cada_documento_tem_um_so_destino(tmp_path):
    dados = prepara(tmp_path)
    falsos = corpora_falsos()
    assert list(dados.stores) == ["machado", "bncc", "historias"]
    for nome in ("machado", "bncc"):
        ficha = dados.manifest["corpora"][nome]
        por_nome = dict(zip(falsos[nome].names, falsos[nome].documents, strict=True))
        retirados = {d["name"] for d in ficha["dropped"]}
        separados = set(ficha["heldout"])
        treino = por_nome.keys() - retirados - separados
        assert documentos_gravados(dados, nome) == [t for n, t in por_nome.items() if n in treino]
        assert dados.heldout[nome] == [t for n, t in por_nome.items() if n in separados]
        assert separados
        assert not separados & retirados
        assert ficha["train"] == len(treino)
        assert ficha["heldout_bytes"] == sum(len(por_nome[n].encode()) for n in separados)


def test_o_quase_repetido_sai_e_o_mais_longo_fica(tmp_path):
    manifesto = prepara(tmp_path).manifest["corpora"]
    [obra] = manifesto["machado"]["dropped"]
    assert (obra["name"], obra["kept"]) == ("obra-3", "obra-3-outra-edicao")  # a outra edição tem um "Fim." a mais
    assert 0.3 <= obra["jaccard"] < 1
    # No bncc só saem enunciados iguais, a menos de caixa e acentos.
    assert [(d["jaccard"], {d["name"], d["kept"]}) for d in manifesto["bncc"]["dropped"]] == [
        (1.0, {"frase-5", "frase-repetida"})
    ]


def test_enunciados_parecidos_do_bncc_ficam(tmp_path, monkeypatch):
    base = HISTORIAS[300:320]
    textos = [*base, *(t + " Fim." for t in base)]
    falso = corpora.Corpus(corpora_falsos()["bncc"].info, tuple(textos), tuple(f"f{i}" for i in range(40)))
    monkeypatch.setattr(pretrain_data, "load_corpus", lambda _: falso)
    assert prepara(tmp_path, mixture={"bncc": 100}).manifest["corpora"]["bncc"]["dropped"] == []


def test_nenhum_trecho_separado_esta_no_treino(tmp_path):
    dados = prepara(tmp_path)
    for nome, textos in dados.heldout.items():
        gravado = "\n".join(documentos_gravados(dados, nome))
        for texto in textos:
            assert texto not in gravado


def test_historias_da_receita_e_novas(tmp_path):
    dados = prepara(tmp_path)
    treino = [h.text for h in sample_stories(40, seed=2026)]
    assert documentos_gravados(dados, "historias") == treino
    novas = [h.text for h in sample_stories(15, seed=2027)]
    assert dados.heldout["historias"] == [t for t in novas if t not in treino]
    assert dados.manifest["corpora"]["historias"] == {"train": 40, "heldout": len(dados.heldout["historias"])}


def test_historia_nova_que_ja_foi_treinada_nao_mede(tmp_path, monkeypatch):
    falsas = {2026: HISTORIAS[:40], 2027: [*HISTORIAS[38:45], *HISTORIAS[50:53]]}
    info = corpora.load_corpus("historias", n_stories=1).info

    def falso(_, *, n_stories: int, seed: int) -> corpora.Corpus:
        textos = tuple(falsas[seed][:n_stories])
        return corpora.Corpus(info, textos, textos)

    monkeypatch.setattr(pretrain_data, "load_corpus", falso)
    dados = prepara(tmp_path, mixture={"historias": 100})
    assert dados.heldout["historias"] == [*HISTORIAS[40:45], *HISTORIAS[50:53]]


def test_os_arquivos_dizem_o_que_tem(tmp_path):
    dados = prepara(tmp_path)
    for nome, loja in dados.stores.items():
        textos = documentos_gravados(dados, nome)
        assert loja.info["n_documents"] == len(textos)
        assert loja.info["n_bytes"] == sum(len(t.encode()) for t in textos)
        assert loja.info["vocab_size"] == 300
        assert loja.info["n_tokens"] == sum(len(encode(t, dados.tokenizer)) + 1 for t in textos)
        assert dados.manifest["stores"][nome] == loja.info
    assert dados.tokenizer.get_vocab_size() == 300


def test_o_tokenizador_so_ve_o_treino(tmp_path, monkeypatch):
    vistos: list[str] = []
    treinar = pretrain_data.train_bpe

    def espia(textos, tamanho):
        vistos.extend(textos)
        return treinar(vistos, tamanho)

    monkeypatch.setattr(pretrain_data, "train_bpe", espia)
    monkeypatch.setattr(pretrain_data, "_STORIES_FOR_BPE", 25)
    dados = prepara(tmp_path)
    historias = documentos_gravados(dados, "historias")[:25]
    assert vistos == [*documentos_gravados(dados, "machado"), *documentos_gravados(dados, "bncc"), *historias]


def test_corpus_de_peso_zero_nem_e_carregado(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain_data, "load_corpus", lambda nome: corpora_falsos()[nome])
    dados = prepara(tmp_path, mixture={"machado": 0, "bncc": 100})
    assert list(dados.stores) == list(dados.heldout) == list(dados.manifest["corpora"]) == ["bncc"]


def test_muitos_documentos_sao_codificados_em_partes(tmp_path):
    dados = prepara(tmp_path, mixture={"historias": 100}, n_stories=1203, vocab_size=270)
    assert documentos_gravados(dados, "historias") == [h.text for h in sample_stories(1203, seed=2026)]


def test_diz_cada_etapa(tmp_path):
    ditas: list[str] = []
    dados = prepare(receita_minuscula(), tmp_path, ditas.append)
    assert ditas == [
        "machado: procurando documentos repetidos em 12…",
        "bncc: procurando documentos repetidos em 31…",
        "Treinando o tokenizador (300 tokens)…",
        *(f"  {n}: {loja.info['n_documents']} documentos, {len(loja)} tokens" for n, loja in dados.stores.items()),
    ]


# --- repetir, reabrir, interromper -----------------------------------------------------------------


def test_duas_vezes_os_mesmos_bytes(tmp_path):
    prepara(tmp_path / "um")
    prepara(tmp_path / "dois")
    assert arquivos(tmp_path / "um") == arquivos(tmp_path / "dois")
    assert len(arquivos(tmp_path / "um")) == 3 + 2 * 3  # tokenizador, separados, manifesto e três pares


def _proibido(*_: object, **__: object) -> None:
    raise AssertionError("os dados foram preparados de novo")


def test_reabre_sem_refazer(tmp_path, monkeypatch):
    primeira, antes = prepara(tmp_path), arquivos(tmp_path)
    for nome in ("load_corpus", "train_bpe", "write_tokens", "write_json"):
        monkeypatch.setattr(pretrain_data, nome, _proibido)
    # A taxa e os passos não decidem os dados: a mesma pasta serve.
    segunda = prepara(tmp_path, lr=0.5, steps=60)
    assert arquivos(tmp_path) == antes
    assert (segunda.heldout, segunda.manifest) == (primeira.heldout, primeira.manifest)
    assert list(segunda.stores) == list(primeira.stores)
    for nome in primeira.stores:
        assert documentos_gravados(segunda, nome) == documentos_gravados(primeira, nome)
    assert segunda.tokenizer.to_str() == primeira.tokenizer.to_str()


@pytest.mark.parametrize("mudanca", [{"seed": 1}, {"vocab_size": 301}, {"n_stories": 41}, {"heldout_percent": 21.0}])
def test_pasta_de_outra_receita(tmp_path, mudanca):
    prepara(tmp_path)
    antes = arquivos(tmp_path)
    with pytest.raises(ValueError, match=r"preparados com outra receita \(resumo \w{16}, esperado \w{16}\): use outra"):
        prepara(tmp_path, **mudanca)
    assert arquivos(tmp_path) == antes


@pytest.mark.parametrize("onde", ["write_tokens", "write_json"])
@pytest.mark.parametrize("vez", [1, 2])
def test_interrompida_recomeca_e_da_o_mesmo(tmp_path, monkeypatch, onde, vez):
    verdadeiro, chamadas = getattr(pretrain_data, onde), []

    def cai(*args: object, **kwargs: object) -> object:
        chamadas.append(args)
        if len(chamadas) == vez:
            raise KeyboardInterrupt
        return verdadeiro(*args, **kwargs)

    with monkeypatch.context() as queda:
        queda.setattr(pretrain_data, onde, cai)
        with pytest.raises(KeyboardInterrupt):
            prepara(tmp_path / "caiu")
    assert not (tmp_path / "caiu" / "manifesto.json").exists()
    prepara(tmp_path / "caiu")
    prepara(tmp_path / "direto")
    assert arquivos(tmp_path / "caiu") == arquivos(tmp_path / "direto")


def _apaga(nome: str):
    return lambda pasta: (pasta / nome).unlink()


def _escreve(nome: str, texto: str):
    return lambda pasta: (pasta / nome).write_text(texto, encoding="utf-8")


@pytest.mark.parametrize(
    ("estraga", "mensagem"),
    [
        (_escreve("manifesto.json", "{"), "danificados ou são de outro programa.*apague a pasta"),
        (_escreve("manifesto.json", "[]"), "danificados ou são de outro programa"),
        (_escreve("manifesto.json", '{"name": "outro"}'), "danificados ou são de outro programa"),
        (_apaga("separados.json"), "danificados ou são de outro programa"),
        (_escreve("separados.json", ""), "danificados ou são de outro programa"),
        (_apaga("tokenizer.json"), "tokenizador desconhecido"),
        (_escreve("tokenizer.json", "{}"), "não é um tokenizer.json legível"),
        (_apaga("bncc.tokens"), "não é um arquivo de tokens legível"),
        (_escreve("bncc.tokens", "curto"), "o arquivo está truncado"),
    ],
)
def test_dados_estragados_dizem_o_que_fazer(tmp_path, estraga, mensagem):
    prepara(tmp_path)
    estraga(tmp_path)
    with pytest.raises(ValueError, match=mensagem):
        prepara(tmp_path)


def test_textos_de_menos(tmp_path):
    with pytest.raises(ValueError, match=r"só rendem .* menos que vocab_size=60000"):
        prepara(tmp_path, vocab_size=60_000)
    with pytest.raises(ValueError, match=r"documentos e 0\.1% dos bytes para teste: não dá para separar"):
        prepara(tmp_path, heldout_percent=0.1)
    with pytest.raises(ValueError, match="corpus desconhecido: 'poemas'"):
        prepara(tmp_path, mixture={"poemas": 100})
    assert not (tmp_path / "manifesto.json").exists()


# --- separar documentos inteiros -------------------------------------------------------------------


@given(
    st.lists(st.text(alphabet="aç🙂", min_size=1, max_size=30), min_size=2, max_size=40),
    st.floats(0.5, 99.5),
    st.integers(0, 2**32),
)
def test_a_separacao_particiona_enche_e_nao_passa(documentos, percentual, semente):
    tamanhos = [len(t.encode()) for t in documentos]
    cabe = sum(tamanhos) * percentual / 100
    if min(tamanhos) > cabe:  # e só então; com menos de 100% não cabem todos
        with pytest.raises(ValueError, match=re.escape(f"{len(documentos)} documentos e {percentual}% dos bytes")):
            split_whole_documents(documentos, percentual, semente)
        return
    treino, teste = split_whole_documents(documentos, percentual, semente)
    assert sorted(treino + teste) == list(range(len(documentos)))
    assert (treino, teste) == (sorted(treino), sorted(teste))
    assert teste
    usado = sum(tamanhos[i] for i in teste)
    assert usado <= cabe * (1 + 1e-9)
    assert all(usado + tamanhos[i] > cabe * (1 - 1e-9) for i in treino)  # nenhum dos que ficaram ainda caberia
    assert split_whole_documents(documentos, percentual, semente) == (treino, teste)


def test_a_separacao_depende_da_semente_e_todos_podem_ser_sorteados():
    documentos = [f"{i:03d}" * 10 for i in range(20)]
    testes = [tuple(split_whole_documents(documentos, 10, s)[1]) for s in range(200)]
    assert {len(t) for t in testes} == {2}
    # Cada um dos 20 sai em 1/10 dos sorteios: não sair em 200 tem probabilidade 0,9**200 < 1e-9.
    assert {i for t in testes for i in t} == set(range(20))
    assert len(set(testes)) > 50


@pytest.mark.parametrize(("documentos", "percentual"), [(["a" * 50, "b" * 50], 10), (["só um"], 99), (["a", "b"], 100)])
def test_separacao_impossivel(documentos, percentual):
    with pytest.raises(ValueError, match="não dá para separar documentos inteiros; use mais documentos"):
        split_whole_documents(documentos, percentual, 1)


# --- corpus real -----------------------------------------------------------------------------------


@pytest.mark.lento
@pytest.mark.corpora_reais
def test_machado_perde_os_dois_repetidos_e_separa_5_por_cento(espelho, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_CACHE", str(tmp_path / "cache"))
    dados = prepara(tmp_path / "dados", mixture={"machado": 100}, heldout_percent=5.0, vocab_size=512)
    ficha = dados.manifest["corpora"]["machado"]
    assert {(d["name"], d["kept"]) for d in ficha["dropped"]} == {
        ("quincas-borba_39", "quincas-borba-a-estacao_52"),
        ("o-pais-das-quimeras_2", "uma-excursao-milagrosa_2"),
    }
    total = dados.stores["machado"].info["n_bytes"] + ficha["heldout_bytes"]
    assert 0.04 < ficha["heldout_bytes"] / total <= 0.05
    assert ficha["train"] + len(ficha["heldout"]) == 189
    gravado = set(documentos_gravados(dados, "machado"))
    assert len(gravado) == ficha["train"]
    # Nenhum trecho de 200 letras das obras separadas, sorteado em 20 lugares de cada, está no treino.
    tudo, gerador = "\n".join(gravado), random.Random(5)
    for texto in dados.heldout["machado"]:
        for _ in range(20):
            onde = gerador.randrange(max(1, len(texto) - 200))
            assert texto[onde : onde + 200] not in tudo
    assert json.loads((tmp_path / "dados" / "manifesto.json").read_text(encoding="utf-8")) == dados.manifest
