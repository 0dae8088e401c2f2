"""Janelas de treino: iguais às da definição, sem cópia, e com a ordem do DataLoader de sempre."""

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from modelos import modelo_pequeno, um_fio  # noqa: F401
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.data import DataLoader

from llmdefinitions import GPTDatasetV1, calc_loss_batch, create_dataloader_v1, get_tokenizer, split_text
from llmdefinitions.data import create_document_loader, group_texts

TEXTO = "O rato roeu a roupa do rei de Roma; a rainha, com raiva, resolveu remendar. " * 12


@pytest.fixture(scope="module")
def gpt2():
    return get_tokenizer("gpt2")


def janelas_pela_definicao(ids: list[int], max_length: int, stride: int) -> list[tuple[list[int], list[int]]]:
    """Laço do livro de origem: começa em 0, anda `stride`, e exige que o último alvo exista."""
    resultado, inicio = [], 0
    while inicio + max_length < len(ids):
        resultado.append((ids[inicio : inicio + max_length], ids[inicio + 1 : inicio + max_length + 1]))
        inicio += stride
    return resultado


@given(corte=st.integers(1, len(TEXTO)), max_length=st.integers(1, 40), stride=st.integers(1, 60))
def test_janelas_iguais_as_da_definicao(gpt2, corte, max_length, stride):
    texto = TEXTO[:corte]
    esperadas = janelas_pela_definicao(gpt2.encode(texto), max_length, stride)
    if not esperadas:
        with pytest.raises(ValueError, match="texto curto demais"):
            GPTDatasetV1(texto, gpt2, max_length, stride)
        return
    dados = GPTDatasetV1(texto, gpt2, max_length, stride)
    assert len(dados) == len(esperadas)
    assert [(x.tolist(), y.tolist()) for x, y in dados] == esperadas


def test_o_separador_de_documentos_e_um_token_so(gpt2):
    dados = GPTDatasetV1("um<|endoftext|>dois" * 5, gpt2, 4, 1)
    assert (dados.token_ids == 50256).sum() == 5


def test_os_pares_sao_inteiros_de_64_bits(gpt2):
    x, y = GPTDatasetV1(TEXTO, gpt2, 8, 8)[0]
    assert (x.shape, y.shape, x.dtype, y.dtype) == ((8,), (8,), torch.int64, torch.int64)
    assert torch.equal(x[1:], y[:-1])


def test_indice_fora_do_conjunto(gpt2):
    dados = GPTDatasetV1(TEXTO, gpt2, 8, 8)
    with pytest.raises(IndexError):
        dados[len(dados)]


def test_as_janelas_sao_vistas_dos_ids_e_nao_ocupam_memoria(gpt2):
    palavras = np.array(["casa", "rio", "livro", "verde", "menino", "correr", "devagar", "mar", "sol", "pedra"])
    texto = " ".join(np.random.default_rng(0).choice(palavras, 360_000))
    assert len(texto) > 2_000_000  # 2 MB
    dados = GPTDatasetV1(texto, gpt2, 256, 1)  # passo 1: copiadas, seriam 256 vezes os ids, e em dobro
    n_bytes = dados.token_ids.numel() * 4
    assert dados.token_ids.dtype == torch.int32
    for janelas, deslocamento in ((dados.input_ids, 0), (dados.target_ids, 4)):
        assert janelas.shape == (len(dados.token_ids) - 256, 256)
        assert janelas.data_ptr() == dados.token_ids.data_ptr() + deslocamento
        assert janelas.untyped_storage().data_ptr() == dados.token_ids.untyped_storage().data_ptr()
        assert janelas.untyped_storage().nbytes() == n_bytes


# --- defeito da implementação de origem: conjunto vazio, calado


@pytest.mark.parametrize("max_length", [256, 300])
def test_defeito_texto_curto_dava_conjunto_vazio_calado(gpt2, max_length):
    ids = gpt2.encode(TEXTO)
    curto = gpt2.decode(ids[:256])
    assert len(gpt2.encode(curto)) == 256  # uma janela de entrada caberia, mas não o alvo dela
    with pytest.raises(ValueError, match=f"texto curto demais: 256 tokens .* max_length={max_length} mais o alvo"):
        GPTDatasetV1(curto, gpt2, max_length, 1)
    with pytest.raises(ValueError, match="texto curto demais: 256 tokens"):
        create_dataloader_v1(curto, max_length=max_length)
    assert len(GPTDatasetV1(curto, gpt2, 255, 1)) == 1


def test_defeito_drop_last_descartava_o_unico_lote_calado():
    with pytest.raises(ValueError, match=r"texto curto demais: 3 janelas não enchem um lote de batch_size=4"):
        create_dataloader_v1(TEXTO, batch_size=4, max_length=100, stride=100)
    assert len(create_dataloader_v1(TEXTO, batch_size=4, max_length=100, stride=100, drop_last=False)) == 1
    assert len(create_dataloader_v1(TEXTO, batch_size=3, max_length=100, stride=100)) == 1


def test_texto_vazio(gpt2):
    with pytest.raises(ValueError, match="texto vazio: não há janela a formar"):
        GPTDatasetV1("", gpt2, 4, 4)


# --- DataLoader


def test_formatos_dos_lotes(gpt2):
    n = len(GPTDatasetV1(TEXTO, gpt2, 16, 8))
    assert n % 4
    completos = list(create_dataloader_v1(TEXTO, batch_size=4, max_length=16, stride=8))
    assert [x.shape for x, _ in completos] == [y.shape for _, y in completos] == [(4, 16)] * (n // 4)
    todos = list(create_dataloader_v1(TEXTO, batch_size=4, max_length=16, stride=8, drop_last=False))
    assert [x.shape for x, _ in todos] == [(4, 16)] * (n // 4) + [(n % 4, 16)]


def test_valores_padrao_sao_os_da_origem():
    carregador = create_dataloader_v1(TEXTO * 10)
    x, y = next(iter(carregador))
    assert x.shape == y.shape == (4, 256)
    inicios = carregador.dataset.input_ids[:, 0]
    assert torch.equal(inicios, carregador.dataset.token_ids[: 128 * len(inicios) : 128].to(inicios.dtype))
    assert isinstance(carregador.sampler, torch.utils.data.RandomSampler)
    assert carregador.drop_last


def test_sem_embaralhar_a_ordem_e_a_do_texto(gpt2):
    carregador = create_dataloader_v1(TEXTO, batch_size=2, max_length=8, stride=8, shuffle=False)
    linhas = torch.cat([x for x, _ in carregador])
    assert linhas.flatten().tolist() == gpt2.encode(TEXTO)[: linhas.numel()]


@pytest.mark.parametrize("proprio", [False, True], ids=["gerador_global", "gerador_proprio"])
def test_embaralha_como_um_dataloader_sobre_a_lista_das_janelas(gpt2, proprio):
    def lotes(fabrica):
        torch.manual_seed(11)
        carregador = fabrica(torch.Generator().manual_seed(12) if proprio else None)
        return [(x.tolist(), y.tolist()) for _ in range(2) for x, y in carregador], torch.get_rng_state()

    lista = [
        (torch.tensor(x), torch.tensor(y))
        for x, y in janelas_pela_definicao(gpt2.encode(TEXTO), max_length=8, stride=4)
    ]
    nossos, nosso_rng = lotes(lambda g: create_dataloader_v1(TEXTO, 4, 8, 4, generator=g))
    deles, rng_deles = lotes(lambda g: DataLoader(lista, batch_size=4, shuffle=True, drop_last=True, generator=g))
    assert nossos == deles
    assert nossos[: len(nossos) // 2] != nossos[len(nossos) // 2 :]  # a segunda época tem outra ordem
    assert torch.equal(nosso_rng, rng_deles)


def por_palavras(*vocabulario: str) -> Tokenizer:
    tokenizador = Tokenizer(models.WordLevel({p: i for i, p in enumerate(vocabulario)}, unk_token=vocabulario[0]))
    tokenizador.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizador


def test_outro_tokenizador():
    palavras = por_palavras("?", "o", "rei", "de", "roma")
    x, y = next(iter(create_dataloader_v1("o rei de roma de rei", 1, 4, 1, shuffle=False, tokenizer=palavras)))
    assert (x.tolist(), y.tolist()) == ([[1, 2, 3, 4]], [[2, 3, 4, 3]])


@pytest.mark.parametrize(
    ("argumentos", "mensagem"),
    [
        ({"max_length": 0}, "max_length=0: esperado um inteiro ≥ 1"),
        ({"stride": 0}, "stride=0: esperado um inteiro ≥ 1"),
        ({"stride": -128}, "stride=-128: esperado um inteiro ≥ 1"),
        ({"batch_size": 0}, "batch_size=0: esperado um inteiro ≥ 1"),
    ],
)
def test_argumento_invalido(argumentos, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        create_dataloader_v1(TEXTO, **argumentos)


# --- um documento por linha


@pytest.fixture
def reino() -> Tokenizer:
    return por_palavras("?", "</s>", "o", "rei", "de", "roma")


def test_documentos_entre_tokens_de_fim_e_o_resto_fora_da_perda(reino):
    documentos = ["o rei", "rei", "o rei de roma"]
    (x, y), (x2, y2) = create_document_loader(documentos, reino, 2, 5, shuffle=False)
    assert (x.tolist(), y.tolist()) == ([[1, 2, 3], [1, 3, 1]], [[2, 3, 1], [3, 1, -100]])  # o fim legítimo conta
    assert (x2.tolist(), y2.tolist()) == ([[1, 2, 3, 4, 5]], [[2, 3, 4, 5, 1]])


def test_a_perda_de_um_documento_nao_depende_dos_vizinhos(reino):
    modelo = modelo_pequeno(vocab_size=6).eval()
    documentos = ["o rei de roma", "rei", "de roma"]
    (x, y), = create_document_loader(documentos, reino, 3, 12, shuffle=False)  # fmt: skip
    juntas = [calc_loss_batch(x[i : i + 1], y[i : i + 1], modelo, "cpu").item() for i in range(3)]
    sozinhas = [
        calc_loss_batch(*next(iter(create_document_loader([d], reino, 1, 12))), modelo, "cpu").item()
        for d in documentos
    ]
    assert juntas == pytest.approx(sozinhas, rel=1e-5)  # as mesmas somas em float32, em formatos diferentes


def test_documentos_recusados(gpt2, reino):
    with pytest.raises(ValueError, match="nenhum documento: não há lote a montar"):
        create_document_loader([], gpt2, 2, 8)
    with pytest.raises(ValueError, match="o documento 1 precisa de 5 tokens e max_length=4: aumente max_length"):
        create_document_loader(["o rei", "o rei de roma", "rei"], reino, 2, 4)
    with pytest.raises(ValueError, match="não tem token de fim de texto"):
        create_document_loader(["o rei"], por_palavras("?", "o", "rei"), 2, 8)


# --- divisão do texto


@given(st.text(min_size=2), st.floats(0.05, 0.95))
def test_divide_sem_perder_nem_repetir(texto, proporcao):
    corte = int(proporcao * len(texto))
    if corte == 0:
        with pytest.raises(ValueError, match="curto demais para dividir"):
            split_text(texto, proporcao)
        return
    treino, validacao = split_text(texto, proporcao)
    assert treino + validacao == texto
    assert len(treino) == corte


@pytest.mark.parametrize("proporcao", [0.0, 1.0, -0.1, 90, float("nan")])
def test_proporcao_invalida(proporcao):
    with pytest.raises(ValueError, match=f"train_ratio={proporcao}: esperado um número entre 0 e 1"):
        split_text(TEXTO, proporcao)


# --- blocos para o `datasets`


@given(st.lists(st.lists(st.integers(0, 9), max_size=7), min_size=1, max_size=8), st.integers(1, 5))
def test_blocos_emendados_dao_o_comeco_do_texto(sequencias, tamanho):
    tudo = list(chain.from_iterable(sequencias))
    lote = {"input_ids": sequencias, "attention_mask": [[1] * len(s) for s in sequencias]}
    if len(tudo) < tamanho:
        with pytest.raises(ValueError, match=f"{len(tudo)} tokens não enchem um bloco de {tamanho}"):
            group_texts(lote, tamanho)
        return
    blocos = group_texts(lote, tamanho)
    assert {len(b) for coluna in blocos.values() for b in coluna} == {tamanho}
    assert list(chain.from_iterable(blocos["input_ids"])) == tudo[: len(tudo) // tamanho * tamanho]
    assert blocos["labels"] == blocos["input_ids"]
    assert len(blocos["attention_mask"]) == len(blocos["labels"]) == len(tudo) // tamanho


def test_os_alvos_sao_outra_lista():
    blocos = group_texts({"input_ids": [[1, 2, 3, 4]]}, 2)
    blocos["labels"][0][0] = -100
    assert blocos["input_ids"] == [[1, 2], [3, 4]]


def test_blocos_pelo_datasets():
    datasets = pytest.importorskip("datasets")
    dados = datasets.Dataset.from_dict({"input_ids": [[1, 2, 3], [4], [5, 6]]})
    em_dois = dados.map(lambda lote: group_texts(lote, 2), batched=True, batch_size=3)
    assert em_dois["input_ids"][:] == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(("lote", "tamanho"), [({"input_ids": [[1]]}, 0), ({"ids": [[1]]}, 1)])
def test_blocos_recusados(lote, tamanho):
    with pytest.raises(ValueError, match=f"block_size={tamanho} e colunas"):
        group_texts(lote, tamanho)
