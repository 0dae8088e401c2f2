"""`corpora`: o que chega ao leitor é o texto certo, de onde quer que venha, ou um erro que ensina a sair dele."""

import hashlib
import unicodedata
from dataclasses import FrozenInstanceError
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest
import servidor as s

import llmdefinitions
from llmdefinitions import corpora
from llmdefinitions.corpora import CorpusUnavailableError, available_corpora, load_corpus
from llmdefinitions.download import download_file

FALSAS = {f"html_obra-{i}_2.html.txt": f"Parte de\t\tContos\t (1884)\nObra  número {i}\xa0é\n" for i in range(30)}


@pytest.fixture
def origem(servidor, sem_espelho, monkeypatch):
    """O servidor local faz as vezes da origem, com 30 obras de mentira e tempos curtos."""
    hashes = {nome: hashlib.sha256(texto.encode()).hexdigest() for nome, texto in FALSAS.items()}
    monkeypatch.setattr(corpora, "MACHADO_URL", servidor.url("/txts/"))
    monkeypatch.setattr(corpora, "machado_files", lambda: hashes)
    monkeypatch.setattr(corpora, "VERDICT_URL", servidor.url("/verdict"))
    monkeypatch.setattr(corpora, "VERDICT_SHA256", hashlib.sha256(b"conto\r\n").hexdigest())
    rapido = partial(download_file, timeout=2, retries=1, backoff=0.001)
    monkeypatch.setattr(corpora, "download_file", rapido)
    servidor.rotas["/verdict"] = s.certo(b"conto\r\n")
    servidor.rotas |= {f"/txts/{nome}": s.certo(texto.encode()) for nome, texto in FALSAS.items()}
    return servidor


# --- fichas ----------------------------------------------------------------------------------------


def test_fichas_completas_e_embutidos_primeiro():
    fichas = available_corpora()
    assert [f.name for f in fichas] == ["bncc", "historias", "the-verdict", "machado"]
    assert [f.embedded for f in fichas] == [True, True, False, False]
    for ficha in fichas:
        assert ficha.title
        assert ficha.origin
        assert ficha.licence
        assert ficha.language in ("pt", "en")
    with pytest.raises(FrozenInstanceError):
        fichas[0].name = "outro"


@pytest.mark.parametrize("nome", ["verdict", "BNCC", "", "instruction-data"])
def test_nome_desconhecido_lista_os_validos(nome):
    with pytest.raises(ValueError, match="'bncc', 'historias', 'the-verdict', 'machado'"):
        load_corpus(nome)


# --- bncc ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bncc():
    return load_corpus("bncc")


def test_bncc_tem_o_conteudo_conferido_da_versao_presa(bncc):
    assert version("bncc") == "0.5.1", "versão nova do pacote bncc: confira o texto e atualize estes números"
    assert len(bncc.documents) == bncc.info.n_documents == 1821
    assert len(bncc.text.encode()) == bncc.info.n_bytes == 377_853
    # sha256 de Corpus.text com bncc 0.5.1 (dados-2026.07.1, commit 58eb209 de bncc-dados).
    esperado = "f8b10e2abb1c5fa69aed57f0326b5602c79e9564b0e3b7f785f364ce2a4c59df"
    assert hashlib.sha256(bncc.text.encode()).hexdigest() == esperado


def test_bncc_e_prosa_limpa_e_sem_repeticao(bncc):
    assert len(set(bncc.documents)) == len(bncc.documents)
    for documento in bncc.documents:
        assert len(documento) >= 25
        assert len(documento.split()) >= 3
        assert documento == " ".join(documento.split())
        assert documento == unicodedata.normalize("NFC", documento)
        assert documento[0].isupper()
        assert not set(documento) & set("<>&{}|\\�ﬁﬂ")


def test_bncc_usa_os_enunciados_oficiais_com_seus_codigos(bncc):
    import bncc as pacote

    por_codigo = dict(zip(bncc.names, bncc.documents, strict=True))
    assert bncc.names[0] == "EI01CG01"
    for codigo in ("EI03ET07", "EF15LP01", "EF09MA06", "EM13LGG604", "EF08CO11"):
        assert por_codigo[codigo] == " ".join(pacote.por_codigo(codigo)["texto"].split())
    # Toda aprendizagem da BNCC está no corpus, com o próprio código ou com o da primeira de igual enunciado.
    textos = {d["texto"] for d in pacote.habilidades_ef()}
    assert len(textos - set(bncc.documents)) <= 1  # a que trazia a ligadura ﬂ, desfeita aqui


def test_bncc_fala_portugues(bncc):
    palavras = bncc.text.lower().split()
    comuns = sum(p in {"de", "e", "a", "o", "da", "do", "em", "que", "para", "com", "os", "as"} for p in palavras)
    assert 0.2 < comuns / len(palavras) < 0.5  # em prosa portuguesa, perto de um terço


def test_bncc_ausente_aponta_o_outro_embutido(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bncc", None)
    with pytest.raises(CorpusUnavailableError, match="load_corpus com 'historias'") as erro:
        load_corpus("bncc")
    assert "'bncc' ou" not in str(erro.value)


# --- historias -------------------------------------------------------------------------------------


def test_historias_vem_da_gramatica_com_a_semente_pedida():
    from llmdefinitions import stories

    corpus = load_corpus("historias", n_stories=5, seed=7)
    assert corpus.documents == tuple(h.text for h in stories.sample_stories(5, seed=7))
    assert corpus.names == ("historia-1", "historia-2", "historia-3", "historia-4", "historia-5")
    assert corpus.text == "\n\n".join(corpus.documents)
    assert load_corpus("historias", n_stories=5, seed=8).documents != corpus.documents


# --- origem simulada -------------------------------------------------------------------------------


def test_machado_baixa_confere_normaliza_e_guarda(origem, tmp_path):
    corpus = load_corpus("machado", cache_dir=tmp_path)
    assert corpus.names == tuple(f"obra-{i}_2" for i in range(30))
    assert corpus.documents[0] == "Parte de Contos (1884)\nObra número 0 é"
    assert len(origem.pedidos) == 30
    assert (tmp_path / "machado" / "html_obra-3_2.html.txt").read_bytes() == FALSAS["html_obra-3_2.html.txt"].encode()
    assert load_corpus("machado", cache_dir=tmp_path) == corpus
    assert len(origem.pedidos) == 30


def test_machado_estragado_no_cache_volta_a_ser_o_certo(origem, tmp_path):
    corpus = load_corpus("machado", cache_dir=tmp_path)
    (tmp_path / "machado" / "html_obra-3_2.html.txt").write_text("adulterado", encoding="utf-8")
    assert load_corpus("machado", cache_dir=tmp_path) == corpus
    assert len(origem.pedidos) == 31


def test_machado_com_uma_obra_em_falta_e_erro_que_diz_qual(origem, tmp_path):
    origem.rotas["/txts/html_obra-5_2.html.txt"] = s.codigo(404)
    with pytest.raises(CorpusUnavailableError, match=r"html_obra-5_2.*404") as erro:
        load_corpus("machado", cache_dir=tmp_path)
    for remedio in ("'bncc'", "'historias'", "LLMDEFINITIONS_ESPELHO"):
        assert remedio in str(erro.value)
    assert not (tmp_path / "machado" / "html_obra-5_2.html.txt").exists()


def test_the_verdict_volta_byte_a_byte(origem, tmp_path):
    corpus = load_corpus("the-verdict", cache_dir=tmp_path)
    assert corpus.text == "conto\r\n"  # nem as quebras de linha mudam
    assert corpus.documents == ("conto\r\n",)


@pytest.mark.parametrize("nome", ["the-verdict", "machado"])
def test_bytes_errados_na_origem(origem, tmp_path, nome):
    origem.rotas = dict.fromkeys(origem.rotas, s.certo(b"pagina de login"))
    with pytest.raises(CorpusUnavailableError, match="bytes errados"):
        load_corpus(nome, cache_dir=tmp_path)
    assert [p for p in tmp_path.rglob("*.txt") if p.is_file()] == []


@pytest.mark.parametrize("nome", ["the-verdict", "machado"])
def test_sem_rede(origem, tmp_path, nome):
    origem.shutdown()
    origem.server_close()
    with pytest.raises(CorpusUnavailableError, match="use um corpus embutido: load_corpus com 'bncc' ou 'historias'"):
        load_corpus(nome, cache_dir=tmp_path)


def test_espelho_com_arquivo_errado_e_erro_claro(origem, tmp_path, monkeypatch):
    (tmp_path / "espelho").mkdir()
    (tmp_path / "espelho" / "the-verdict.txt").write_text("outra coisa")
    monkeypatch.setenv("LLMDEFINITIONS_ESPELHO", str(tmp_path / "espelho"))
    with pytest.raises(CorpusUnavailableError, match=r"o arquivo do espelho .*the-verdict\.txt"):
        load_corpus("the-verdict", cache_dir=tmp_path / "cache")
    assert origem.pedidos == []


# --- pasta de cache --------------------------------------------------------------------------------


def test_cache_pela_variavel(origem, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_CACHE", str(tmp_path / "meu"))
    load_corpus("the-verdict")
    assert (tmp_path / "meu" / "the-verdict.txt").is_file()


@pytest.mark.parametrize(
    ("sistema", "variavel", "sem_variavel"),
    [
        ("linux", "XDG_CACHE_HOME", ".cache"),
        ("win32", "LOCALAPPDATA", "AppData/Local"),
        ("darwin", None, "Library/Caches"),
    ],
)
def test_cache_do_sistema(tmp_path, monkeypatch, sistema, variavel, sem_variavel):
    for nome in ("LLMDEFINITIONS_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(nome, raising=False)
    monkeypatch.setattr(corpora.sys, "platform", sistema)
    monkeypatch.setattr(corpora.Path, "home", lambda: tmp_path)
    assert corpora.cache_folder() == tmp_path / sem_variavel / "llmdefinitions"
    if variavel:
        monkeypatch.setenv(variavel, str(tmp_path / "v"))
        assert corpora.cache_folder() == tmp_path / "v" / "llmdefinitions"


# --- dados reais -----------------------------------------------------------------------------------


def test_a_lista_de_obras_esta_no_pacote():
    arquivos = corpora.machado_files()
    assert len(arquivos) == 191
    assert list(arquivos) == sorted(arquivos)
    assert "html_dom-casmurro_34.html.txt" in arquivos
    assert all(len(sha256) == 64 for sha256 in arquivos.values())
    assert (Path(llmdefinitions.__file__).parent / "assets" / "machado-sha256.txt").is_file()


@pytest.mark.corpora_reais
def test_the_verdict_real(espelho, tmp_path):
    corpus = load_corpus("the-verdict", cache_dir=tmp_path)
    assert len(corpus.text) == 20_479 == corpus.info.n_bytes
    assert corpus.text.startswith("I HAD always thought Jack Gisburn")


@pytest.mark.corpora_reais
def test_machado_real(espelho, tmp_path):
    corpus = load_corpus("machado", cache_dir=tmp_path)
    assert len(corpus.documents) == len(corpus.names) == len(set(corpus.names)) == 191
    assert sum(p.stat().st_size for p in (tmp_path / "machado").glob("*.txt")) == corpus.info.n_bytes
    obras = dict(zip(corpus.names, corpus.documents, strict=True))
    assert "Capitu" in obras["dom-casmurro_34"]
    assert "defunto autor" in obras["memorias-postumas-de-bras-cubas_32"]
    for texto in corpus.documents:
        assert len(texto) > 3000
        assert texto == unicodedata.normalize("NFC", texto)
        assert not set(texto) & set("\t\xa0\r\ufeff�<")
        assert "  " not in texto


@pytest.mark.corpora_reais
def test_machado_so_perde_espacos(espelho, tmp_path):
    corpus = load_corpus("machado", cache_dir=tmp_path)
    original = (espelho / "machado" / "html_a-carteira_2.html.txt").read_text(encoding="utf-8")
    assert "".join(corpus.documents[0].split()) == "".join(original.split())


@pytest.mark.parametrize("nome", ["the-verdict", "machado"])
def test_offline_nao_usa_a_rede_e_diz_o_que_fazer(nome, tmp_path, monkeypatch):
    monkeypatch.delenv("LLMDEFINITIONS_ESPELHO", raising=False)
    # A porta 9 (discard) está fechado: uma tentativa de rede daria outra mensagem, depois de novas tentativas.
    monkeypatch.setattr(corpora, "VERDICT_URL", "http://127.0.0.1:9/the-verdict.txt")
    monkeypatch.setattr(corpora, "MACHADO_URL", "http://127.0.0.1:9/")
    with pytest.raises(corpora.CorpusUnavailableError, match=r"offline=True.*'bncc' ou 'historias'"):
        corpora.load_corpus(nome, cache_dir=tmp_path, offline=True)
