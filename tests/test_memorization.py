"""Memorização: um modelo que recita o treino, um que nunca acerta, e um modelo pequeno que decora de verdade."""

from types import SimpleNamespace

import pytest
import torch
from modelos import modelo_pequeno, um_fio  # noqa: F401

from llmdefinitions.bpe import train_bpe
from llmdefinitions.memorization import Continuations, continuations, excerpts
from llmdefinitions.tokenizer import encode


class Recita(torch.nn.Module):
    """Depois de t vem sempre (t + 1) mod V: recita a contagem e mais nada."""

    def __init__(self, v=50, contexto=32):
        super().__init__()
        self.cfg, self.v = SimpleNamespace(context_length=contexto), v

    def forward(self, x, **_):
        return torch.nn.functional.one_hot((x + 1) % self.v, self.v).float()


def test_quem_recita_repete_tudo_e_o_alvo_e_o_fim_da_linha():
    linhas = torch.arange(12).repeat(3, 1)
    linhas[1, -2] = 40  # a penúltima do alvo é outra: só as anteriores contam
    linhas[2, -4] = 41  # a primeira do alvo é outra
    achado = continuations(Recita(), linhas, prompt_tokens=5, new_tokens=4, batch_size=2)
    assert achado.matched == (4, 2, 0)
    assert achado.verbatim == pytest.approx(1 / 3)
    assert achado.rate.estimate == pytest.approx((1 + 0.5 + 0) / 3)
    assert achado.rate.low <= achado.rate.estimate <= achado.rate.high


def test_o_prompt_e_o_que_vem_logo_antes_do_alvo():
    vistos = []

    class Anota(Recita):
        def forward(self, x, **opcoes):
            vistos.append(x[:, :3].tolist())
            return super().forward(x, **opcoes)

    continuations(Anota(), torch.arange(10).unsqueeze(0), prompt_tokens=3, new_tokens=2)
    assert vistos[0] == [[5, 6, 7]]


def test_um_modelo_que_decorou_repete_o_treino_e_nao_o_resto():
    modelo = modelo_pequeno(drop_rate=0.0)
    gerador = torch.Generator().manual_seed(4)
    treino, novo = (torch.randint(61, (6, 12), generator=gerador) for _ in range(2))
    otimizador = torch.optim.Adam(modelo.parameters(), lr=3e-3)
    for _ in range(150):
        perda = torch.nn.functional.cross_entropy(modelo(treino[:, :-1]).flatten(0, 1), treino[:, 1:].flatten())
        otimizador.zero_grad()
        perda.backward()
        otimizador.step()
    modelo.eval()
    assert continuations(modelo, treino, prompt_tokens=6, new_tokens=6).verbatim == 1.0
    assert continuations(modelo, novo, prompt_tokens=6, new_tokens=6).verbatim == 0.0


def test_trechos_comecam_pelo_token_de_fim_e_os_curtos_saem():
    bpe = train_bpe(["abc"], 257)
    linhas = excerpts(["abcdefgh", "abc", "hgfedcba"], bpe, prompt_tokens=3, new_tokens=2)
    assert linhas.tolist() == [[0, *encode("abcd", bpe)], [0, *encode("hgfe", bpe)]]


def test_limite_sorteia_documentos_e_mantem_a_ordem():
    bpe = train_bpe(["abc"], 257)
    documentos = [chr(97 + i) * 4 for i in range(20)] + ["x"]
    sorteados = [excerpts(documentos, bpe, prompt_tokens=2, new_tokens=1, limit=3, seed=s).tolist() for s in range(9)]
    for linhas in sorteados:
        letras = [bpe.decode([linha[1]]) for linha in linhas]
        assert len(letras) == 3
        assert letras == sorted(set(letras))
    assert len({str(linhas) for linhas in sorteados}) > 1
    assert excerpts(documentos, bpe, prompt_tokens=2, new_tokens=1, limit=99).shape == (20, 3)


def test_documento_enorme_da_o_mesmo_comeco():
    bpe = train_bpe(["abc"], 257)
    inteiro = excerpts(["palavra " * 5000], bpe, prompt_tokens=20, new_tokens=10)
    assert inteiro.tolist() == [[0, *encode("palavra " * 10, bpe)][:30]]


def test_recusas():
    bpe = train_bpe(["abc"], 257)
    with pytest.raises(ValueError, match="nenhum dos 1 documentos tem 30 tokens"):
        excerpts(["curto"], bpe, prompt_tokens=20, new_tokens=10)
    with pytest.raises(ValueError, match="prompt_tokens=0, new_tokens=1"):
        excerpts(["curto"], bpe, prompt_tokens=0, new_tokens=1)
    linhas = torch.arange(10).unsqueeze(0)
    for prompt, novos, contexto in ((8, 3, 32), (0, 3, 32), (3, 0, 32), (4, 4, 7)):
        with pytest.raises(ValueError, match=f"prompt_tokens={prompt} e new_tokens={novos}"):
            continuations(Recita(contexto=contexto), linhas, prompt_tokens=prompt, new_tokens=novos)


def test_fracao_por_inteiro_so_conta_os_completos():
    assert Continuations(4, 3, (3, 2, 3, 0)).verbatim == 0.5
