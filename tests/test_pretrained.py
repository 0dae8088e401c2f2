"""`pretrained`: exportar e ler dão os logits do `transformers`; o que está errado é recusado com o remédio."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers
import torch
from gpt2_aleatorio import AMARRADO, TOLERANCIA, gpt2, sem_valores_iniciais
from modelos import ids_sorteados, iguais, modelo_pequeno, pesos, um_fio  # noqa: F401
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from llmdefinitions import files, get_tokenizer, pretrained
from llmdefinitions.bpe import train_bpe
from llmdefinitions.hub_tokenizer import byte_level_bpe
from llmdefinitions.pretrained import load_pretrained, pretrained_folder, save_pretrained
from llmdefinitions.stories import sample_stories
from llmdefinitions.tokenizer import encode, eos_id, vocab_size
from llmdefinitions.vocabulary import gpt2_data

transformers = pytest.importorskip("transformers")

TEXTO = "O gato viu a casa, e o cão correu.\n\n  Ação! <|endoftext|>É 1888."
BPE = train_bpe((historia.text for historia in sample_stories(50, seed=9)), vocab_size=300)
AQUI = {**AMARRADO, "vocab_size": 300}


def exporta(pasta: Path, dtype: torch.dtype = torch.float32, **mudancas) -> Path:
    return save_pretrained(sem_valores_iniciais(modelo_pequeno(**{**AQUI, **mudancas})), BPE, pasta, dtype=dtype)


def do_transformers(pasta: Path, **opcoes) -> Path:
    """Pasta gravada pelo `transformers`, com o tokenizador nos dois arquivos antigos."""
    gpt2(vocab_size=300).save_pretrained(pasta, **opcoes)
    antigo = json.loads(BPE.to_str())["model"]
    (pasta / "vocab.json").write_text(json.dumps(antigo["vocab"]), encoding="utf-8")
    regras = "\n".join(" ".join(par) for par in antigo["merges"])
    (pasta / "merges.txt").write_text(f"#version: 0.2\n{regras}\n", encoding="utf-8")
    return pasta


def recusa(pasta: str | Path, mensagem: str, **opcoes) -> str:
    with pytest.raises(ValueError, match=mensagem) as erro:
        load_pretrained(pasta, **opcoes)
    assert str(pasta) in str(erro.value)
    return str(erro.value)


def edita(caminho: Path, **mudancas) -> None:
    caminho.write_text(json.dumps({**json.loads(caminho.read_text("utf-8")), **mudancas}), encoding="utf-8")


# --- exportar: a mesma pasta, três leitores


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("mudancas", [AQUI, {"vocab_size": 300}, {"vocab_size": 300, "qkv_bias": True}])
def test_os_leitores_dao_os_mesmos_logits(tmp_path, dtype, mudancas):
    modelo, ids = sem_valores_iniciais(modelo_pequeno(**mudancas)), ids_sorteados(3, 12, vocab_size=300)
    pasta = save_pretrained(modelo, BPE, tmp_path / "m", dtype=dtype)
    lido, tokenizador = load_pretrained(pasta)
    deles = transformers.GPT2LMHeadModel.from_pretrained(pasta).eval()
    torch.testing.assert_close(lido(ids), deles(ids).logits, **TOLERANCIA)
    arredondado = {nome: p.to(dtype).float() for nome, p in pesos(modelo).items()}
    assert iguais({nome: p for nome, p in pesos(lido).items() if nome in arredondado}, arredondado)
    assert encode(TEXTO, tokenizador) == encode(TEXTO, BPE)
    assert lido.cfg.tie_weights == modelo.cfg.tie_weights
    with safe_open(pasta / "model.safetensors", framework="pt") as arquivo:
        assert arquivo.metadata() == {"format": "pt"}
        assert ("lm_head.weight" in arquivo.keys()) != modelo.cfg.tie_weights  # noqa: SIM118
        assert {arquivo.get_tensor(nome).dtype for nome in arquivo.keys()} == {dtype}  # noqa: SIM118


def test_auto_tokenizer_e_pipeline_do_transformers(tmp_path):
    pasta = exporta(tmp_path / "m", torch.float16)
    deles = transformers.AutoTokenizer.from_pretrained(pasta)
    assert deles.encode(TEXTO) == encode(TEXTO, BPE)
    assert deles.decode(encode(TEXTO, BPE)) == TEXTO
    assert (deles.eos_token_id, deles.pad_token_id, len(deles), deles.model_max_length) == (0, 0, 300, 12)
    gerador = transformers.pipeline("text-generation", model=str(pasta))
    saida = gerador("O gato", max_new_tokens=4, do_sample=False, return_tensors=True)[0]["generated_token_ids"]
    modelo, _ = load_pretrained(pasta)
    ids = encode("O gato", BPE)
    for _ in range(4):
        ids.append(int(modelo(torch.tensor([ids]))[0, -1].argmax()))
    assert list(saida) == ids


def test_gpt2_do_tiktoken_exportado_codifica_igual(tmp_path):
    gpt2_tiktoken = get_tokenizer("gpt2")
    modelo = modelo_pequeno(**{**AQUI, "vocab_size": 50257, "emb_dim": 4, "n_layers": 1})
    pasta = save_pretrained(modelo, gpt2_tiktoken, tmp_path / "m")
    _, lido = load_pretrained(pasta)
    texto = TEXTO + " Every effort moves you 日本 \u2028 \t  x'll"
    assert encode(texto, lido) == encode(texto, gpt2_tiktoken)
    assert transformers.AutoTokenizer.from_pretrained(pasta).encode(texto) == encode(texto, gpt2_tiktoken)
    assert json.loads((pasta / "config.json").read_text("utf-8"))["eos_token_id"] == 50256


def test_tokenizador_do_transformers_tambem_se_exporta(tmp_path):
    original = transformers.PreTrainedTokenizerFast(tokenizer_object=BPE, eos_token="<|endoftext|>")
    pasta = save_pretrained(modelo_pequeno(**AQUI), original, tmp_path / "m")
    assert encode(TEXTO, load_pretrained(pasta)[1]) == encode(TEXTO, BPE)


def test_truncamento_do_tokenizador_nao_vai_na_exportacao_nem_muda_o_original(tmp_path):
    curto = type(BPE).from_str(BPE.to_str())
    curto.enable_truncation(3)
    curto.enable_padding(length=20)
    pasta = save_pretrained(modelo_pequeno(**AQUI), curto, tmp_path / "m")
    escrito = json.loads((pasta / "tokenizer.json").read_text("utf-8"))
    assert (escrito["truncation"], escrito["padding"]) == (None, None)
    assert curto.truncation
    assert curto.padding


def test_regras_que_nao_sao_as_do_gpt2_valem_tambem_no_transformers(tmp_path):
    outro = type(BPE).from_str(BPE.to_str())
    outro.normalizer = tokenizers.normalizers.Lowercase()
    outro.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.Digits(individual_digits=True), outro.pre_tokenizer]
    )
    pasta = save_pretrained(modelo_pequeno(**AQUI), outro, tmp_path / "m")
    assert encode(TEXTO, outro) != encode(TEXTO, BPE)
    assert transformers.AutoTokenizer.from_pretrained(pasta).encode(TEXTO) == encode(TEXTO, outro)


def test_opcoes_de_geracao(tmp_path):
    pasta = save_pretrained(modelo_pequeno(**AQUI), BPE, tmp_path / "m", generation={"do_sample": True, "top_p": 0.9})
    lida = transformers.GenerationConfig.from_pretrained(pasta)
    assert (lida.do_sample, lida.top_p) == (True, 0.9)
    assert (lida.bos_token_id, lida.eos_token_id, lida.pad_token_id) == (0, 0, 0)


def test_tokenizador_sem_fim_de_texto(tmp_path):
    cru = type(BPE).from_str(BPE.to_str().replace("<|endoftext|>", "<outro>"))
    assert eos_id(cru) is None
    pasta = save_pretrained(modelo_pequeno(**AQUI), cru, tmp_path / "m")
    assert transformers.GPT2LMHeadModel.from_pretrained(pasta).config.eos_token_id is None
    assert json.loads((pasta / "generation_config.json").read_text("utf-8")) == {}
    assert encode("O gato", load_pretrained(pasta)[1]) == encode("O gato", BPE)


@pytest.mark.skipif(os.name == "nt", reason="no Windows as permissões são outras")
def test_os_pesos_tem_as_permissoes_dos_outros_arquivos(tmp_path):
    (tmp_path / "novo").touch()
    modos = {caminho.stat().st_mode for caminho in (tmp_path / "novo", *exporta(tmp_path / "m").iterdir())}
    assert len(modos) == 1


def test_carregar_nao_importa_o_compilador(tmp_path):
    """Custava 4,7 s na primeira vez: sortear num tensor `meta` importa `torch._dynamo`."""
    carrega = "import sys; from llmdefinitions import load_pretrained; load_pretrained(sys.argv[1])"
    codigo = f"{carrega}; print('torch._dynamo' in sys.modules)"
    fim = subprocess.run([sys.executable, "-c", codigo, exporta(tmp_path / "m")], capture_output=True, text=True)
    assert fim.stdout.strip() == "False", fim.stderr


# --- exportar: recusas e atomicidade


@pytest.mark.parametrize(("valor", "mostrado"), [(70000.0, "70000"), (-1e6, "1e\\+06"), (float("nan"), "nan")])
def test_peso_que_nao_cabe_em_fp16(tmp_path, valor, mostrado):
    modelo = modelo_pequeno(**AQUI)
    with torch.no_grad():
        modelo.trf_blocks[1].ff.layers[0].weight[3, 4] = valor
    with pytest.raises(ValueError, match=rf"h\.1\.mlp\.c_fc\.weight .*float16 \(maior: {mostrado}, limite: 65504\)"):
        save_pretrained(modelo, BPE, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
    if valor == valor:
        assert load_pretrained(save_pretrained(modelo, BPE, tmp_path / "m", dtype=torch.float32))


def test_destino_que_e_um_arquivo(tmp_path):
    (tmp_path / "m").write_text("meu")
    with pytest.raises(ValueError, match="m é um arquivo: esperava uma pasta"):
        exporta(tmp_path / "m")
    assert (tmp_path / "m").read_text() == "meu"


@pytest.mark.parametrize(("n", "aceito"), [(299, False), (300, True), (427, True), (428, False)])
def test_vocabulario_do_tokenizador_e_do_modelo(tmp_path, n, aceito):
    modelo = modelo_pequeno(**{**AQUI, "vocab_size": n})
    if aceito:
        assert load_pretrained(save_pretrained(modelo, BPE, tmp_path / "m"))[0].cfg.vocab_size == n
    else:
        with pytest.raises(ValueError, match=f"o tokenizador tem 300 tokens, e o modelo, vocabulário de {n}"):
            save_pretrained(modelo, BPE, tmp_path / "m")
        assert list(tmp_path.iterdir()) == []


def test_tokenizador_que_nao_se_exporta(tmp_path):
    class Outro:
        eos_token_id = 0

        def encode(self): ...
        def decode(self): ...
        def convert_ids_to_tokens(self): ...
        def __len__(self) -> int:
            return 300

    with pytest.raises(TypeError, match="tokenizador Outro: só se exporta"):
        save_pretrained(modelo_pequeno(**AQUI), Outro(), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ja_havia", ["nada", "um safetensors", "partes", "um pickle"])
@pytest.mark.parametrize("trocas", [1, 2, 5])  # a primeira ainda é dentro da pasta provisória
def test_morte_no_meio_nunca_deixa_pasta_que_carrega(tmp_path, monkeypatch, ja_havia, trocas):
    if ja_havia == "um safetensors":
        exporta(tmp_path / "m", n_layers=1)
    elif ja_havia == "partes":
        do_transformers(tmp_path / "m", max_shard_size="20KB")
    elif ja_havia == "um pickle":
        com_pickle(tmp_path / "m", gpt2(vocab_size=300).state_dict())
    trocar, feitas = os.replace, []

    def morre(de, para):
        if len(feitas) == trocas:
            raise KeyboardInterrupt
        feitas.append(para)
        trocar(de, para)

    monkeypatch.setattr(pretrained.os, "replace", morre)
    with pytest.raises(KeyboardInterrupt):
        exporta(tmp_path / "m")
    monkeypatch.undo()
    recusa(tmp_path / "m", r"a pasta não tem .*model\.safetensors", allow_pickle=True)
    with pytest.raises(OSError, match="safetensors"):
        transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert load_pretrained(exporta(tmp_path / "m"))[0].cfg.n_layers == 2


def test_erro_ao_gravar_nao_toca_na_pasta_que_existe(tmp_path, monkeypatch):
    pasta = exporta(tmp_path / "m")
    (pasta / "README.md").write_text("cartão")
    antes = {p.name: p.read_bytes() for p in pasta.iterdir()}

    def disco_cheio(*_, **__):
        raise OSError("disco cheio")

    monkeypatch.setattr(files, "save_file", disco_cheio)
    with pytest.raises(OSError, match="disco cheio"):
        exporta(pasta, n_layers=1)
    assert {p.name: p.read_bytes() for p in pasta.iterdir()} == antes
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    monkeypatch.undo()
    exporta(pasta, n_layers=1)
    assert (pasta / "README.md").read_text() == "cartão"
    assert load_pretrained(pasta)[0].cfg.n_layers == 1


def test_a_mesma_exportacao_da_os_mesmos_bytes(tmp_path):
    a, b = exporta(tmp_path / "a"), exporta(tmp_path / "b")
    assert {p.name: p.read_bytes() for p in a.iterdir()} == {p.name: p.read_bytes() for p in b.iterdir()}


# --- ler pastas


@pytest.mark.parametrize("parte", [None, "20KB"])
def test_pasta_do_transformers_inteira_ou_em_partes(tmp_path, parte):
    opcoes = {"max_shard_size": parte} if parte else {}
    pasta, ids = do_transformers(tmp_path, **opcoes), ids_sorteados(3, 12, vocab_size=300)
    assert (len(list(pasta.glob("*.safetensors"))) > 1) == (parte is not None)
    modelo, tokenizador = load_pretrained(str(pasta))
    torch.testing.assert_close(modelo(ids), gpt2(vocab_size=300)(ids).logits, **TOLERANCIA)
    assert encode(TEXTO, tokenizador) == encode(TEXTO, BPE)
    assert tokenizador.decode(encode("Ação, É!", tokenizador)) == "Ação, É!"


def test_modelo_pronto_para_usar(tmp_path):
    pasta = exporta(tmp_path / "m")
    torch.manual_seed(4)
    gerador = torch.get_rng_state()
    modelo, _ = load_pretrained(pasta)
    assert torch.equal(torch.get_rng_state(), gerador)  # ler não sorteia nada
    assert not modelo.training
    assert modelo.out_head.weight is modelo.tok_emb.weight
    assert modelo.cfg.drop_rate == 0.0
    assert {(p.device.type, p.dtype, p.requires_grad) for p in modelo.parameters()} == {("cpu", torch.float32, True)}
    modelo.train()
    modelo(ids_sorteados(2, 5)).sum().backward()
    shutil.rmtree(pasta)  # nada fica mapeado no arquivo
    assert load_pretrained(exporta(tmp_path / "m"), drop_rate=0.3)[0].drop_emb.p == 0.3
    assert load_pretrained(exporta(tmp_path / "m"), device="meta")[0].tok_emb.weight.device.type == "meta"


def test_add_prefix_space_do_tokenizador_antigo(tmp_path):
    pasta = do_transformers(tmp_path)
    (pasta / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    _, tokenizador = load_pretrained(pasta)
    assert encode("O gato", tokenizador) == encode(" O gato", BPE) != encode("O gato", BPE)


def test_bpe_de_bytes_igual_ao_do_transformers():
    nosso = byte_level_bpe(gpt2_data("encoder.json"), gpt2_data("vocab.bpe"))
    assert vocab_size(nosso) == 50257
    assert encode(TEXTO, nosso) == encode(TEXTO, get_tokenizer("gpt2"))


def test_modelo_embutido(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_embedded_folder", lambda: tmp_path / "mini-pt")
    with pytest.raises(ValueError, match=r"'mini-pt': esta instalação não traz o modelo embutido .*'gpt2'"):
        load_pretrained()
    exporta(tmp_path / "mini-pt")
    assert vocab_size(load_pretrained()[1]) == 300
    assert iguais(pesos(load_pretrained("mini-pt")[0]), pesos(load_pretrained()[0]))


def test_a_pasta_embutida_e_a_do_pacote():
    assert pretrained._embedded_folder() == Path(pretrained.__file__).parent / "assets" / "mini-pt"


def test_pasta_local_vence_o_nome(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exporta(Path("gpt2"))
    assert load_pretrained("gpt2")[0].cfg.vocab_size == 300


@pytest.mark.parametrize("nome", ["gpt3", "mini_pt", "", "./nao/existe", "a/b/c", "dono/", "nao existe/x", Path("x/y")])
def test_nome_desconhecido_lista_os_conhecidos(nome, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="modelo desconhecido") as erro:
        load_pretrained(nome)
    for conhecido in (repr(os.fspath(nome)), "'mini-pt'", "'gpt2'", "'gpt2-medium'", "'gpt2-large'", "'gpt2-xl'"):
        assert conhecido in str(erro.value)


# --- pastas erradas


def test_pasta_vazia_lista_tudo_o_que_falta(tmp_path):
    erro = recusa(tmp_path, "a pasta não tem config.json")
    for nome in ("tokenizer.json (ou vocab.json e merges.txt)", "model.safetensors (ou model.safetensors.index.json"):
        assert nome in erro


@pytest.mark.parametrize("nome", ["config.json", "tokenizer.json", "model.safetensors"])
def test_falta_um_arquivo(tmp_path, nome):
    pasta = exporta(tmp_path / "m")
    (pasta / nome).unlink()
    erro = recusa(pasta, f"a pasta não tem {nome}")
    assert "; nem" not in erro


def test_falta_uma_parte(tmp_path):
    pasta = do_transformers(tmp_path, max_shard_size="20KB")
    parte = sorted(pasta.glob("model-*.safetensors"))[1]
    parte.unlink()
    recusa(pasta, f"a pasta não tem {parte.name}")


@pytest.mark.parametrize("mapa", [{"a": "../fora.safetensors"}, {"a": "/etc/passwd"}, {}, None, ["x"]])
def test_indice_que_nao_presta_ou_aponta_para_fora(tmp_path, mapa):
    pasta = do_transformers(tmp_path / "m", max_shard_size="20KB")
    save_file({"a": torch.ones(1)}, tmp_path / "fora.safetensors")
    edita(pasta / "model.safetensors.index.json", weight_map=mapa)
    recusa(pasta, "não lista as partes do modelo em 'weight_map'")


@pytest.mark.parametrize("tamanho", [0, 4, 100, -1])
def test_pesos_truncados(tmp_path, tamanho):
    pasta = exporta(tmp_path / "m")
    arquivo = pasta / "model.safetensors"
    arquivo.write_bytes(arquivo.read_bytes()[:tamanho])
    recusa(pasta, "model.safetensors está truncado, danificado ou não é um arquivo de pesos .*obtenha-o de novo")


@pytest.mark.parametrize("conteudo", ['{"model_type": "gp', "[]", "\x00\x01"])
def test_config_ilegivel(tmp_path, conteudo):
    pasta = exporta(tmp_path / "m")
    (pasta / "config.json").write_text(conteudo)
    recusa(pasta, r"config\.json (não é JSON|tem list)")


@pytest.mark.parametrize("familia", ["Bert", "Llama"])
def test_outra_arquitetura(tmp_path, familia):
    opcoes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = getattr(transformers, f"{familia}Config")(vocab_size=300, **opcoes)
    modelo = getattr(transformers, f"{familia}Model")(config)
    modelo.save_pretrained(tmp_path)
    BPE.save(str(tmp_path / "tokenizer.json"))
    recusa(tmp_path, f"model_type='{familia.lower()}': esperado 'gpt2'")
    # E se só os pesos são de outro: os nomes e os formatos denunciam.
    shutil.copy(exporta(tmp_path / "gpt2") / "config.json", tmp_path)
    erro = recusa(tmp_path, r"os pesos não são deste GPT-2: falta wte\.weight \(300, 32\).*e mais \d+")
    assert "Confira" in erro


def test_pesos_de_outro_tamanho(tmp_path):
    pasta = exporta(tmp_path / "m")
    edita(pasta / "config.json", n_positions=16)
    recusa(pasta, r"wpe\.weight tem formato \(12, 32\), esperado \(16, 32\)")


def test_variante_que_o_modelo_nao_tem(tmp_path):
    pasta = exporta(tmp_path / "m")
    edita(pasta / "config.json", scale_attn_by_inverse_layer_idx=True)
    recusa(pasta, "scale_attn_by_inverse_layer_idx=True: o GPTModel só implementa False")


def test_tokenizador_vazio_ou_de_outro_modelo(tmp_path):
    pasta = exporta(tmp_path / "m")
    vazio = type(BPE)(type(BPE.model)())
    vazio.add_special_tokens(["<|endoftext|>"])
    vazio.save(str(pasta / "tokenizer.json"))
    recusa(pasta, "vocabulário não foi carregado")
    shutil.copy(exporta_tokenizador(tmp_path, 500), pasta / "tokenizer.json")
    recusa(pasta, "o tokenizador tem 500 tokens, e o modelo, vocabulário de 300")
    (pasta / "tokenizer.json").write_text("{")
    recusa(pasta, "não é um tokenizer.json legível")


def exporta_tokenizador(pasta: Path, n: int) -> Path:
    outro = train_bpe((historia.text for historia in sample_stories(200, seed=9)), vocab_size=n)
    outro.save(str(pasta / "outro.json"))
    return pasta / "outro.json"


@pytest.mark.parametrize(
    ("vocab", "merges"),
    [
        ("{}", "#version: 0.2\n"),
        ('{"a": 0}', ""),
        ("não é json", ""),
        ('{"a": 0, "b": 1}', "x y z\n"),
        ('{"a": 0, "b": 1}', "a c\n"),
    ],
)
def test_bpe_antigo_estragado(tmp_path, vocab, merges):
    pasta = do_transformers(tmp_path)
    (pasta / "vocab.json").write_text(vocab, encoding="utf-8")
    (pasta / "merges.txt").write_text(merges, encoding="utf-8")
    recusa(pasta, r"vocab\.json e .*merges\.txt não formam um BPE legível")


# --- pickle


def com_pickle(pasta: Path, conteudo: object) -> Path:
    exporta(pasta)
    torch.save(conteudo, pasta / "pytorch_model.bin")
    (pasta / "model.safetensors").unlink()
    return pasta


def test_pickle_so_com_permissao(tmp_path):
    estado = gpt2(vocab_size=300).state_dict()
    pasta, ids = com_pickle(tmp_path / "m", estado), ids_sorteados(2, 12, vocab_size=300)
    recusa(pasta, r"pytorch_model\.bin.*allow_pickle=True.*model\.safetensors")
    modelo, _ = load_pretrained(pasta, allow_pickle=True)
    torch.testing.assert_close(modelo(ids), gpt2(vocab_size=300)(ids).logits, **TOLERANCIA)
    # Havendo safetensors, o pickle nem é aberto.
    save_file({nome: t for nome, t in estado.items() if "lm_head" not in nome}, pasta / "model.safetensors")
    (pasta / "pytorch_model.bin").write_bytes(b"")
    assert iguais(pesos(load_pretrained(pasta, allow_pickle=True)[0]), pesos(modelo))


class Bomba:
    def __init__(self, alvo: Path) -> None:
        self.alvo = alvo

    def __reduce__(self):
        return Path.touch, (self.alvo,)


def test_pickle_com_codigo_nao_executa(tmp_path):
    alvo = tmp_path / "executou"
    pasta = com_pickle(tmp_path / "m", {"wte.weight": Bomba(alvo)})
    recusa(pasta, "pytorch_model.bin está truncado, danificado ou não é um arquivo de pesos", allow_pickle=True)
    assert not alvo.exists()
    torch.load(pasta / "pytorch_model.bin", weights_only=False)  # a bomba era de verdade
    assert alvo.exists()


@pytest.mark.parametrize("conteudo", [b"", b"lixo", b"PK\x03\x04"])
def test_pickle_danificado(tmp_path, conteudo):
    pasta = com_pickle(tmp_path / "m", {})
    (pasta / "pytorch_model.bin").write_bytes(conteudo)
    recusa(pasta, "pytorch_model.bin está truncado", allow_pickle=True)


@pytest.mark.parametrize("conteudo", [[1, 2], {"wte.weight": "abc"}, {3: torch.ones(1)}, torch.ones(3)])
def test_pickle_que_nao_e_dicionario_de_tensores(tmp_path, conteudo):
    recusa(com_pickle(tmp_path / "m", conteudo), "pytorch_model.bin está truncado", allow_pickle=True)


def test_a_saida_propria_e_lida_mesmo_que_a_configuracao_diga_amarrada(tmp_path):
    pasta, ids = exporta(tmp_path / "m"), ids_sorteados(2, 12, vocab_size=300)
    tensores = load_file(pasta / "model.safetensors")
    save_file({**tensores, "lm_head.weight": tensores["transformer.wte.weight"].flip(0)}, pasta / "model.safetensors")
    modelo, _ = load_pretrained(pasta)
    assert not modelo.cfg.tie_weights
    original = sem_valores_iniciais(modelo_pequeno(**AQUI))
    torch.testing.assert_close(modelo(ids), original(ids).flip(-1), **TOLERANCIA)


def test_pasta_que_o_transformers_le(tmp_path):
    pasta = exporta(tmp_path / "modelo")
    assert pretrained_folder(pasta) == pasta
    ids = ids_sorteados(1, 8, vocab_size=300)
    nosso, _ = load_pretrained(pasta)
    deles = transformers.GPT2LMHeadModel.from_pretrained(pretrained_folder(pasta)).eval()
    torch.testing.assert_close(nosso(ids), deles(ids).logits, **TOLERANCIA)


def test_pasta_do_modelo_embutido():
    assert (pretrained_folder() / "config.json").is_file()
    assert pretrained_folder() == pretrained_folder("mini-pt")


@pytest.mark.parametrize("nome", ["gpt2", "dono/nome"])
def test_modelo_do_hub_nao_tem_pasta(nome):
    with pytest.raises(ValueError, match=f"'{nome}' é um modelo do Hub, e não uma pasta"):
        pretrained_folder(nome)
