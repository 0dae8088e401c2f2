"""`hub`: contra um Hub de mentira que se comporta mal, o que chega está conferido, ou o erro diz o que fazer."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from gpt2_aleatorio import AMARRADO, TOLERANCIA, gpt2, sem_valores_iniciais
from hub_falso import HubFalso, Repositorio
from modelos import ids_sorteados, iguais, modelo_pequeno, pesos, um_fio  # noqa: F401

from llmdefinitions import GPTModel
from llmdefinitions.bpe import train_bpe
from llmdefinitions.gpt2_params import load_weights_into_gpt
from llmdefinitions.hub import ModelUnavailableError
from llmdefinitions.pretrained import download_and_load_gpt2, load_pretrained, save_pretrained
from llmdefinitions.stories import sample_stories
from llmdefinitions.tokenizer import encode

constants = pytest.importorskip("huggingface_hub").constants

NOME = "pierreguillou/gpt2-small-portuguese"
BPE = train_bpe((historia.text for historia in sample_stories(50, seed=9)), vocab_size=300)
IDS = ids_sorteados(2, 12, vocab_size=300)


def modelo_exportado(n_layers: int = 2) -> GPTModel:
    return sem_valores_iniciais(modelo_pequeno(**AMARRADO, vocab_size=300, n_layers=n_layers))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubFalso]:
    """O Hub de mentira no lugar do verdadeiro, um modelo publicado nele, um cache vazio e nenhuma espera."""
    with HubFalso() as ligado:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # `make testes` a liga; aqui o hub é o servidor local
        monkeypatch.setattr(constants, "ENDPOINT", ligado.endereco)
        padrao = ligado.endereco + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", padrao)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agentes.json"), raising=False)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
        pasta = save_pretrained(modelo_exportado(), BPE, tmp_path / "origem", dtype=torch.float32)
        ligado.repos[NOME] = Repositorio.da_pasta(pasta)
        yield ligado


def confere(modelo: GPTModel, n_layers: int = 2) -> None:
    assert iguais(pesos(modelo), pesos(modelo_exportado(n_layers)))


def indisponivel(motivo: str, nome: str = NOME) -> str:
    with pytest.raises(ModelUnavailableError, match=motivo) as erro:
        load_pretrained(nome)
    for parte in (repr(nome), "confira a rede", "pasta", "load_pretrained('mini-pt')"):
        assert parte in str(erro.value)
    return str(erro.value)


def no_cache(tmp_path: Path, nome: str) -> Path:
    (achado,) = (tmp_path / "cache").glob(f"models--*/snapshots/*/{nome}")
    return achado


# --- o caminho feliz


def test_baixa_uma_vez_e_depois_usa_o_cache(hub, tmp_path):
    modelo, tokenizador = load_pretrained(NOME)
    confere(modelo)
    assert encode("O gato viu", tokenizador) == encode("O gato viu", BPE)
    assert sorted(hub.baixados()) == ["config.json", "model.safetensors", "tokenizer.json"]
    hub.pedidos.clear()
    confere(load_pretrained(NOME)[0])
    assert hub.baixados() == []
    hub.desliga()
    confere(load_pretrained(NOME)[0])  # sem rede, do cache


def test_cache_dir_e_respeitado(hub, tmp_path):
    load_pretrained(NOME, cache_dir=tmp_path / "meu")
    assert list((tmp_path / "meu").glob("models--*/snapshots/*/model.safetensors"))
    assert not (tmp_path / "cache").exists()


def test_modo_sem_rede_da_biblioteca(hub, monkeypatch):
    load_pretrained(NOME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.pedidos.clear()
    confere(load_pretrained(NOME)[0])
    assert hub.pedidos == []


def test_servidor_com_defeito_usa_o_cache(hub):
    load_pretrained(NOME)
    hub.quebrado = True
    confere(load_pretrained(NOME)[0])


def test_versao_nova_e_baixada_e_a_antiga_continua_no_cache(hub, tmp_path):
    load_pretrained(NOME)
    antigo = hub.repos[NOME].commit
    hub.repos[NOME].publica(nova(tmp_path), "b" * 40)
    confere(load_pretrained(NOME)[0], n_layers=1)
    hub.desliga()
    confere(load_pretrained(NOME)[0], n_layers=1)
    confere(load_pretrained(NOME, revision=antigo)[0])


def nova(tmp_path: Path) -> Path:
    return save_pretrained(modelo_exportado(1), BPE, tmp_path / "nova", dtype=torch.float32)


def test_publicacao_no_meio_do_download_nao_mistura_versoes(hub, tmp_path):
    repo, pasta = hub.repos[NOME], nova(tmp_path)

    def publica(dados: bytes) -> bytes:
        repo.publica(pasta, "b" * 40)
        return dados

    repo.adultera["config.json"] = publica  # o ramo anda enquanto o config.json está saindo
    confere(load_pretrained(NOME)[0])
    repo.adultera.clear()
    confere(load_pretrained(NOME)[0], n_layers=1)


def test_em_partes_e_com_tokenizador_antigo(hub, tmp_path):
    gpt2(vocab_size=300).save_pretrained(tmp_path / "partes", max_shard_size="20KB")
    repo = hub.repos[NOME] = Repositorio.da_pasta(tmp_path / "partes")
    antigo = json.loads(BPE.to_str())["model"]
    repo.arquivos["vocab.json"] = json.dumps(antigo["vocab"]).encode()
    repo.arquivos["merges.txt"] = "\n".join(" ".join(par) for par in antigo["merges"]).encode()
    modelo, tokenizador = load_pretrained(NOME)
    torch.testing.assert_close(modelo(IDS), gpt2(vocab_size=300)(IDS).logits, **TOLERANCIA)
    assert encode("O gato", tokenizador) == encode("O gato", BPE)
    hub.desliga()
    assert iguais(pesos(load_pretrained(NOME)[0]), pesos(modelo))  # sem rede, também o que não há não é procurado


def test_so_pickle_no_repositorio(hub, tmp_path):
    repo = hub.repos[NOME]
    torch.save(gpt2(vocab_size=300).state_dict(), tmp_path / "p.bin")
    repo.arquivos["pytorch_model.bin"] = (tmp_path / "p.bin").read_bytes()
    del repo.arquivos["model.safetensors"]
    with pytest.raises(ValueError, match=rf"{NOME}: os pesos só estão em pytorch_model\.bin.*allow_pickle=True"):
        load_pretrained(NOME)
    assert "pytorch_model.bin" not in hub.baixados()  # dizer que existe não exige baixá-lo
    modelo, _ = load_pretrained(NOME, allow_pickle=True)
    torch.testing.assert_close(modelo(IDS), gpt2(vocab_size=300)(IDS).logits, **TOLERANCIA)


# --- o que não confere


def troca_byte(dados: bytes) -> bytes:
    return dados[:-1] + bytes([dados[-1] ^ 1])


@pytest.mark.parametrize("nome", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("ligacoes", [True, False])
def test_bytes_errados_nao_passam(hub, tmp_path, monkeypatch, nome, ligacoes):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", not ligacoes)
    hub.repos[NOME].adultera[nome] = troca_byte if nome != "config.json" else lambda d: d.replace(b"300", b"400")
    indisponivel(f"{nome} veio duas vezes com bytes que não são os que o servidor anuncia")
    assert hub.baixados().count(nome) == 2
    assert not list((tmp_path / "cache").rglob(nome))  # nada errado fica para depois
    hub.repos[NOME].adultera.clear()
    confere(load_pretrained(NOME)[0])


@pytest.mark.parametrize("ligacoes", [True, False])
def test_arquivo_estragado_no_cache_e_baixado_de_novo(hub, tmp_path, monkeypatch, ligacoes):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", not ligacoes)
    load_pretrained(NOME)
    arquivo = no_cache(tmp_path, "model.safetensors")
    assert arquivo.is_symlink() == ligacoes
    with open(arquivo, "r+b") as aberto:
        aberto.seek(-4, os.SEEK_END)
        aberto.write(b"\0\0\0\1")
    hub.pedidos.clear()
    confere(load_pretrained(NOME)[0])
    assert hub.baixados() == ["model.safetensors"]


def test_arquivo_estragado_no_cache_sem_rede(hub, tmp_path):
    load_pretrained(NOME)
    arquivo = no_cache(tmp_path, "model.safetensors")
    arquivo.write_bytes(arquivo.read_bytes()[:-10])
    hub.desliga()
    indisponivel(r"sem acesso ao Hub \(.*\), e o cache não tem model\.safetensors")


def test_corpo_truncado(hub):
    hub.repos[NOME].adultera["model.safetensors"] = lambda dados: dados[:1000]
    indisponivel(r"model\.safetensors: \w+")
    hub.repos[NOME].adultera.clear()
    confere(load_pretrained(NOME)[0])


def test_sem_resumo_resta_o_formato(hub):
    repo = hub.repos[NOME]
    repo.sem_resumo = True
    confere(load_pretrained(NOME)[0])


# --- o que não existe


def test_repositorio_inexistente(hub):
    with pytest.raises(ValueError, match="dono/nada: o repositório não existe no Hub, ou é privado"):
        load_pretrained("dono/nada")


def test_repositorio_restrito(hub):
    hub.repos[NOME].restrito = True
    with pytest.raises(ValueError, match="o repositório é restrito: aceite os termos"):
        load_pretrained(NOME)


def test_revisao_inexistente(hub):
    with pytest.raises(ValueError, match="o repositório não tem a revisão 'v9'"):
        load_pretrained(NOME, revision="v9")


def test_nome_que_o_hub_nao_aceita(hub):
    with pytest.raises(ValueError, match="o nome do repositório é inválido"):
        load_pretrained("dono--x/..nome")


@pytest.mark.parametrize("nome", ["config.json", "tokenizer.json", "model.safetensors"])
def test_repositorio_sem_um_arquivo(hub, nome):
    del hub.repos[NOME].arquivos[nome]
    with pytest.raises(ValueError, match=f"{NOME}: o repositório não tem {nome}"):
        load_pretrained(NOME)
    # O que falta aparece antes de se baixarem os pesos.
    assert "model.safetensors" not in hub.baixados()


def test_outra_arquitetura_e_recusada_antes_de_baixar_os_pesos(hub):
    repo = hub.repos[NOME]
    repo.arquivos["config.json"] = json.dumps({"model_type": "llama"}).encode()
    with pytest.raises(ValueError, match=f"{NOME}: model_type='llama': esperado 'gpt2'"):
        load_pretrained(NOME)
    assert hub.baixados() == ["config.json"]


# --- sem rede


def test_conexao_recusada_sem_cache_falha_logo(hub, monkeypatch):
    hub.desliga()
    esperas = []
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", esperas.append)
    indisponivel(r"sem acesso ao Hub \(Connect\w*: .*\), e o cache não tem config\.json")
    assert sum(esperas) < 1  # a biblioteca, sozinha, insistiria por mais de 20 s


def test_servidor_com_defeito_sem_cache(hub):
    hub.quebrado = True
    indisponivel("sem acesso ao Hub .*503")


# --- os GPT-2 da OpenAI


@pytest.fixture
def publicados(hub, tmp_path) -> HubFalso:
    """Quatro GPT-2 de 50.257 tokens e 8 dimensões, com os nomes sem prefixo, como os da OpenAI."""
    from safetensors.torch import save_file

    for camadas, nome in enumerate(("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"), 1):
        pasta = tmp_path / nome
        deles = gpt2(vocab_size=50257, n_embd=8, n_layer=camadas, n_head=2)
        deles.config.save_pretrained(pasta)
        estado = {n.removeprefix("transformer."): t.contiguous() for n, t in deles.state_dict().items()}
        del estado["lm_head.weight"]
        estado["h.0.attn.bias"] = torch.ones(1, 1, 12, 12)
        save_file(estado, pasta / "model.safetensors")
        hub.repos[f"openai-community/{nome}"] = Repositorio.da_pasta(pasta)
    return hub


@pytest.mark.parametrize("nome", ["gpt2", "openai-community/gpt2"])
def test_gpt2_vem_com_o_tokenizador_do_tiktoken(publicados, nome):
    modelo, tokenizador = load_pretrained(nome)
    assert encode("Every effort moves you", tokenizador) == [6109, 3626, 6100, 345]
    assert type(tokenizador).__module__.startswith("tiktoken")
    esperado = gpt2(vocab_size=50257, n_embd=8, n_layer=1, n_head=2)(IDS).logits
    torch.testing.assert_close(modelo(IDS), esperado, **TOLERANCIA)


@pytest.mark.parametrize(("apelido", "camadas"), [("gpt2-medium", 2), ("gpt2-large", 3), ("gpt2-xl", 4)])
def test_apelidos(publicados, apelido, camadas):
    assert load_pretrained(apelido)[0].cfg.n_layers == camadas


@pytest.mark.parametrize("qkv_bias", [False, True])
def test_download_and_load_gpt2_no_formato_do_livro(publicados, tmp_path, qkv_bias):
    settings, params = download_and_load_gpt2("355M", tmp_path / "modelos")
    assert settings == {"n_vocab": 50257, "n_ctx": 12, "n_embd": 8, "n_head": 2, "n_layer": 2}
    cfg = {"vocab_size": 50257, "context_length": 12, "emb_dim": 8, "n_heads": 2, "n_layers": 2}
    modelo = GPTModel({**cfg, "drop_rate": 0.0, "qkv_bias": qkv_bias}).eval()
    load_weights_into_gpt(modelo, params)
    esperado = gpt2(vocab_size=50257, n_embd=8, n_layer=2, n_head=2)(IDS).logits
    torch.testing.assert_close(modelo(IDS), esperado, **TOLERANCIA)
    assert [p.name for p in (tmp_path / "modelos").iterdir()] == ["355M"]
    publicados.desliga()
    assert download_and_load_gpt2("355M", tmp_path / "modelos")[0] == settings


@pytest.mark.parametrize(("tamanho", "camadas"), [("124M", 1), ("774M", 3), ("1558M", 4)])
def test_tamanhos(publicados, tmp_path, tamanho, camadas):
    assert download_and_load_gpt2(tamanho, tmp_path / "modelos")[0]["n_layer"] == camadas


@pytest.mark.parametrize("tamanho", ["124m", "1.5B", 124, None])
def test_tamanho_invalido_lista_os_validos(hub, tmp_path, tamanho):
    with pytest.raises(ValueError, match=f"model_size={tamanho!r} desconhecido. .*124M, 355M, 774M, 1558M"):
        download_and_load_gpt2(tamanho, tmp_path)
    assert hub.pedidos == []
    assert not (tmp_path / str(tamanho)).exists()
