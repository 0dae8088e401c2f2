"""Ajuste fino por instruções: moldes, exemplos e as três versões do lote; os defeitos da origem não voltam."""

import json
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from modelos import modelo_pequeno, um_fio  # noqa: F401
from torch.utils.data import DataLoader

from llmdefinitions import calc_loss_loader, get_tokenizer
from llmdefinitions.bpe import train_bpe
from llmdefinitions.config import IGNORE_INDEX
from llmdefinitions.instruction import (
    TEMPLATES,
    EncodedExample,
    InstructionDataset,
    PromptTemplate,
    custom_collate_draft_1,
    custom_collate_draft_2,
    custom_collate_fn,
    encode_example,
    format_example,
    format_input,
    split_instructions,
)

ITEM = {"instruction": "Dê o plural.", "input": "flor", "output": "flores"}
SEM_CONTEXTO = {"instruction": "Cite uma cor.", "input": "", "output": "Azul."}
FIM = 50256
EXEMPLOS = st.lists(st.lists(st.integers(0, FIM), min_size=1, max_size=12), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def gpt2():
    return get_tokenizer("gpt2")


# --- moldes


def test_alpaca_com_e_sem_contexto():
    # O molde publicado (Taori et al., 2023), conferido campo a campo.
    texto = format_example(ITEM)
    abertura, instrucao, contexto, resposta = texto.split("\n\n")
    assert abertura.startswith("Below is an instruction")
    assert abertura.endswith("completes the request.")
    assert (instrucao, contexto) == ("### Instruction:\nDê o plural.", "### Input:\nflor")
    assert resposta == "### Response:\nflores"
    assert "Input" not in format_input(SEM_CONTEXTO)
    assert format_input({"instruction": "Cite uma cor."}) == format_input(SEM_CONTEXTO)


@pytest.mark.parametrize("nome", TEMPLATES)
@pytest.mark.parametrize("item", [ITEM, SEM_CONTEXTO])
def test_todo_molde_mostra_os_campos_na_ordem_e_o_prompt_e_o_comeco(nome, item):
    texto, prompt = format_example(item, template=nome), format_input(item, template=nome)
    assert texto.startswith(prompt)
    assert texto.endswith(item["output"])
    lugares = [texto.index(item[campo]) for campo in ("instruction", "input", "output") if item[campo]]
    assert lugares == sorted(lugares)
    assert item["output"] not in prompt


def test_phi3_e_o_proprio():
    assert format_example(ITEM, template="phi3") == "<|user|>\nDê o plural.\nflor\n<|assistant|>\nflores"
    proprio = PromptTemplate("", "P: ", " / ", " R: ")
    assert format_example(ITEM, template=proprio) == "P: Dê o plural. / flor R: flores"


def test_no_molde_curto_o_espaco_e_da_resposta_e_o_prompt_de_gerar_e_o_do_treino():
    tokenizador = train_bpe(["Pedido: Dê o plural.\nTexto: flor\nResposta: flores"] * 3, 280)
    ids = encode_example(ITEM, tokenizador, template="curto")
    assert tokenizador.decode(list(ids)) == "Pedido: Dê o plural.\nTexto: flor\nResposta: flores"
    prompt = tokenizador.encode(format_input(ITEM, template="curto") + TEMPLATES["curto"].response).ids
    assert ids[: ids.prompt_length] == prompt
    assert tokenizador.decode(ids[ids.prompt_length :]) == " flores"


def test_molde_desconhecido():
    with pytest.raises(ValueError, match="'vicuna' desconhecido: use um de alpaca, phi3, portugues, curto"):
        format_input(ITEM, template="vicuna")


# --- exemplos


def test_o_conjunto_codifica_o_texto_inteiro_e_sabe_onde_o_prompt_acaba(gpt2):
    dados = InstructionDataset([ITEM, SEM_CONTEXTO], gpt2)
    assert len(dados) == 2
    for ids, item in zip(dados, (ITEM, SEM_CONTEXTO), strict=False):
        assert ids == gpt2.encode(format_example(item))
        assert gpt2.decode(ids[: ids.prompt_length]) == format_input(item) + TEMPLATES["alpaca"].response


def test_token_que_junta_prompt_e_resposta_e_da_resposta():
    # O espaço do fim do cabeçalho e a primeira letra da resposta viram um token só.
    tokenizador = train_bpe(["a b " * 50], 258)
    molde = PromptTemplate("", "", "", " ")
    ids = encode_example({"instruction": "a", "output": "b"}, tokenizador, template=molde)
    assert [tokenizador.decode([i]) for i in ids] == ["a", " b"]
    assert ids.prompt_length == 1


@pytest.mark.parametrize(
    ("dados", "mensagem"),
    [
        ([], "nenhum item"),
        ([ITEM, {"instruction": "x"}], "item 1 sem output"),
        ([{"input": "x"}], "item 0 sem instruction nem output"),
    ],
)
def test_conjuntos_que_nao_servem(gpt2, dados, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        InstructionDataset(dados, gpt2)


def test_divisao_do_livro_de_origem():
    treino, validacao, teste = split_instructions(list(range(1100)))
    assert (len(treino), len(validacao), len(teste)) == (935, 55, 110)
    assert treino + teste + validacao == list(range(1100))


@pytest.mark.parametrize(("n", "fracoes"), [(5, {}), (100, {"train": 0.9, "test": 0.1}), (100, {"train": 0})])
def test_divisoes_que_nao_servem(n, fracoes):
    with pytest.raises(ValueError, match=r"esperado duas frações|não dão para"):
        split_instructions(list(range(n)), **fracoes)


# --- lotes


LOTE = ([0, 1, 2, 3, 4], [5, 6], [7, 8, 9])  # o das fontes


def test_as_tres_versoes_no_exemplo_das_fontes():
    entradas = [[0, 1, 2, 3, 4], [5, 6, FIM, FIM, FIM], [7, 8, 9, FIM, FIM]]
    deslocados = [[1, 2, 3, 4, FIM], [6, FIM, FIM, FIM, FIM], [8, 9, FIM, FIM, FIM]]
    com_ignorados = [[1, 2, 3, 4, FIM], [6, FIM, -100, -100, -100], [8, 9, FIM, -100, -100]]
    assert custom_collate_draft_1(LOTE).tolist() == entradas
    assert [t.tolist() for t in custom_collate_draft_2(LOTE)] == [entradas, deslocados]
    assert [t.tolist() for t in custom_collate_fn(LOTE)] == [entradas, com_ignorados]


def test_um_fim_legitimo_no_meio_do_texto_continua_na_perda():
    # Defeito da implementação de origem: do segundo 50256 em diante tudo virava −100, ainda que fosse texto.
    _, alvos = custom_collate_fn([[1, FIM, 2, FIM, 3], [4]])
    assert alvos.tolist() == [[FIM, 2, FIM, 3, FIM], [FIM, -100, -100, -100, -100]]


@given(EXEMPLOS, st.none() | st.integers(1, 15))
def test_formatos_deslocamento_e_mascara(exemplos, corte):
    entradas, alvos = custom_collate_fn(exemplos, allowed_max_length=corte)
    largura = min(max(map(len, exemplos)), corte or 99)
    assert entradas.shape == alvos.shape == (len(exemplos), largura)
    assert entradas.dtype == alvos.dtype == torch.int64
    for x, y, ids in zip(entradas.tolist(), alvos.tolist(), exemplos, strict=True):
        n = min(len(ids), largura)
        assert x == [*ids[:n], *[FIM] * (largura - n)]
        # −100 no preenchimento e em nenhum outro lugar; o alvo do último token é o de fim.
        assert y == [*[*ids[1:], FIM][:n], *[IGNORE_INDEX] * (largura - n)]


@given(EXEMPLOS, st.data())
def test_mascara_da_instrucao_so_deixa_a_resposta_e_o_fim(exemplos, dados):
    marcados = [EncodedExample(ids, dados.draw(st.integers(0, len(ids)))) for ids in exemplos]
    _, comum = custom_collate_fn(exemplos)
    _, alvos = custom_collate_fn(marcados, mask_instruction=True)
    for linha, (y, ids) in enumerate(zip(alvos.tolist(), marcados, strict=True)):
        for posicao, alvo in enumerate(y):
            da_resposta = posicao + 1 >= ids.prompt_length  # o alvo na posição t é o token t + 1
            assert alvo == (comum[linha, posicao] if da_resposta else IGNORE_INDEX)


def test_a_perda_com_preenchimento_e_a_dos_exemplos_sozinhos():
    torch.manual_seed(0)
    logits = torch.nn.Embedding(FIM + 1, 4)(custom_collate_fn(LOTE)[0]) @ torch.randn(4, FIM + 1)
    juntos = torch.nn.functional.cross_entropy(logits.flatten(0, 1), custom_collate_fn(LOTE)[1].flatten())
    somas = [
        torch.nn.functional.cross_entropy(logits[i, : len(ids)], custom_collate_fn([ids])[1][0], reduction="sum")
        for i, ids in enumerate(LOTE)
    ]
    # Só muda a ordem de 10 somas em float32.
    torch.testing.assert_close(juntos, sum(somas) / sum(map(len, LOTE)), rtol=1e-5, atol=0)


def test_outros_valores_e_dispositivo():
    entradas, alvos = custom_collate_fn([[1, 2], [3]], pad_token_id=9, ignore_index=-1, device="meta")
    assert entradas.device.type == alvos.device.type == "meta"
    assert custom_collate_fn([[1, 2], [3]], 9, -1)[1].tolist() == [[2, 9], [9, -1]]


@pytest.mark.parametrize(
    ("lote", "opcoes", "mensagem"),
    [
        ([], {}, "lote vazio"),
        ([[1], []], {}, "exemplo 1 do lote é vazio"),
        ([[1]], {"allowed_max_length": 0}, "allowed_max_length=0"),
        ([[1]], {"mask_instruction": True}, "mask_instruction precisa saber"),
        (
            [EncodedExample([1, 2, 3, 4], 3)],
            {"mask_instruction": True, "allowed_max_length": 2},
            "exemplo 0.*prompt tem 3",
        ),
    ],
)
def test_lotes_que_nao_servem(lote, opcoes, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        custom_collate_fn(lote, **opcoes)


@pytest.mark.parametrize("collate", [custom_collate_draft_1, custom_collate_draft_2])
def test_os_rascunhos_tambem_recusam_o_vazio(collate):
    with pytest.raises(ValueError, match="lote vazio"):
        collate([])


def test_lotes_da_fonte_4(espelho, gpt2):
    """Os primeiros lotes de treino do livro de origem: semente 123, 1.100 pares em inglês, lotes de 8."""
    pares = json.loads((espelho / "instruction-data.json").read_text(encoding="utf-8"))
    treino, _, _ = split_instructions(pares)
    torch.manual_seed(123)
    loader = DataLoader(
        InstructionDataset(treino, gpt2),
        batch_size=8,
        collate_fn=partial(custom_collate_fn, allowed_max_length=1024),
        shuffle=True,
        drop_last=True,
    )
    lotes = list(loader)
    assert [tuple(x.shape) for x, _ in lotes[:2]] == [(8, 61), (8, 76)]
    assert all(x.shape == y.shape and len(x) == 8 for x, y in lotes)
    assert len(lotes) == 116
    # O primeiro exemplo do último lote, que a fonte imprime: preenchido com 50256, e só o primeiro deles é alvo.
    entradas, alvos = (t[0].tolist() for t in lotes[-1])
    texto = gpt2.decode(entradas[: entradas.index(FIM)])
    assert texto.startswith("Below is an instruction that describes a task.")
    fim = entradas.index(FIM)
    assert set(entradas[fim:]) == {FIM}
    assert alvos[: fim - 1] == entradas[1:fim]
    assert alvos[fim - 1] == FIM
    assert set(alvos[fim:]) == {IGNORE_INDEX}


def test_a_perda_inicial_da_fonte_4_e_a_media_dos_cinco_primeiros_lotes(espelho, gpt2):
    """A conta da fonte, refeita exemplo a exemplo; o valor dela (3,826) pede os pesos do GPT-2 médio, que são da rede.

    O modelo é minúsculo e sorteado, mas com o vocabulário do GPT-2, de modo que os lotes são os de verdade.
    """
    pares = json.loads((espelho / "instruction-data.json").read_text(encoding="utf-8"))
    treino, _, _ = split_instructions(pares)
    dados = InstructionDataset(treino, gpt2)
    modelo = modelo_pequeno(5, vocab_size=50257, context_length=128, emb_dim=4, n_heads=1, drop_rate=0.0).eval()
    torch.manual_seed(123)
    loader = DataLoader(
        dados, batch_size=8, collate_fn=partial(custom_collate_fn, allowed_max_length=1024), shuffle=True
    )
    with torch.no_grad():
        perda = calc_loss_loader(loader, modelo, "cpu", num_batches=5)
        # O DataLoader sorteia antes uma semente para os seus processos, e só depois a da ordem.
        torch.manual_seed(123)
        torch.empty((), dtype=torch.int64).random_()
        ordem = torch.randperm(len(dados), generator=torch.Generator().manual_seed(_semente_do_sorteio())).tolist()
        medias = []
        for lote in range(5):
            soma, alvos = 0.0, 0
            for i in ordem[8 * lote : 8 * lote + 8]:
                ids = torch.tensor([*dados[i], FIM])
                soma += F.cross_entropy(modelo(ids[None, :-1])[0], ids[1:], reduction="sum").item()
                alvos += len(ids) - 1
            medias.append(soma / alvos)
    # Médias de centenas de parcelas em float32, somadas em outra ordem.
    assert perda == pytest.approx(sum(medias) / 5, rel=1e-5)


def _semente_do_sorteio() -> int:
    return int(torch.empty((), dtype=torch.int64).random_().item())
