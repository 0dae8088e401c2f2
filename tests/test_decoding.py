"""A decodificação rápida: os mesmos logits do modelo chamado módulo a módulo, e só quando pode."""

import pytest
import torch
from modelos import ids_sorteados, modelo_pequeno, um_fio  # noqa: F401
from torch import nn

from llmdefinitions import decoding, generate
from llmdefinitions.decoding import TokenDecoder


def _cheio(mudancas: dict):
    modelo = modelo_pequeno(3, **mudancas).eval()
    with torch.no_grad():
        for p in modelo.parameters():
            # Vieses nulos e escalas iguais a 1, os iniciais, esconderiam quem os esquecesse.
            p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    return modelo


@pytest.mark.parametrize("lote", [1, 3])
@pytest.mark.parametrize("inicio", [1, 4])
@pytest.mark.parametrize(
    "mudancas",
    [{}, {"qkv_bias": True}, {"n_heads": 1}, {"tie_weights": True, "init_std": 0.02}, {"n_layers": 1}],
    ids=str,
)
def test_mesmos_logits_que_o_modelo_inteiro_a_cada_passo(lote, inicio, mudancas):
    modelo = _cheio(mudancas).double()
    ids = ids_sorteados(lote, modelo.cfg.context_length)
    with torch.inference_mode():
        cache = modelo.new_cache(lote)
        modelo(ids[:, :inicio], cache=cache)
        decoder = TokenDecoder(modelo, cache)
        for t in range(inicio, modelo.cfg.context_length):
            # float64, com até 12 posições e largura 32: só muda a ordem das somas, ~1e-15 por unidade.
            torch.testing.assert_close(
                decoder(ids[:, t : t + 1])[:, 0], modelo(ids[:, : t + 1])[:, -1], rtol=1e-12, atol=1e-12
            )
            assert cache.length == t + 1


@pytest.mark.parametrize("lote", [1, 3])
@pytest.mark.parametrize("pedacos", [[2, 3, 1, 4], [10], [1, 9]], ids=str)
def test_varios_tokens_de_uma_vez_dao_os_logits_do_modelo_inteiro(lote, pedacos):
    modelo = _cheio({"qkv_bias": True}).double()
    ids = ids_sorteados(lote, 12)
    with torch.inference_mode():
        cache = modelo.new_cache(lote)
        modelo(ids[:, :2], cache=cache)
        decoder = TokenDecoder(modelo, cache)
        saidas = [decoder(pedaco) for pedaco in ids[:, 2:].split(pedacos, dim=1)]
        # Mesma conta e mesma tolerância do teste acima.
        torch.testing.assert_close(torch.cat(saidas, 1), modelo(ids)[:, 2:], rtol=1e-12, atol=1e-12)


def test_grava_no_cache_o_que_o_modelo_gravaria():
    modelo, ids = _cheio({"qkv_bias": True}).double(), ids_sorteados(2, 6)
    with torch.inference_mode():
        rapido, comum = modelo.new_cache(2), modelo.new_cache(2)
        modelo(ids[:, :5], cache=rapido)
        TokenDecoder(modelo, rapido)(ids[:, 5:])
        modelo(ids, cache=comum)
    # Mesma conta e mesma tolerância do teste acima.
    torch.testing.assert_close(rapido.keys[:, :, :, :6], comum.keys[:, :, :, :6], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(rapido.values[:, :, :, :6], comum.values[:, :, :, :6], rtol=1e-12, atol=1e-12)


def test_alem_do_contexto_a_mensagem_e_a_do_modelo():
    modelo = modelo_pequeno().eval()
    with torch.inference_mode():
        cache = modelo.new_cache(1)
        modelo(ids_sorteados(1, 12), cache=cache)
        with pytest.raises(ValueError, match="contexto de 13 tokens é maior que 12"):
            TokenDecoder(modelo, cache)(ids_sorteados(1, 1))


def test_com_gradientes_ligados_e_recusada():
    modelo = modelo_pequeno().eval()
    cache = modelo.new_cache(1)
    with torch.no_grad():
        modelo(ids_sorteados(1, 4), cache=cache)
    decoder = TokenDecoder(modelo, cache)
    with pytest.raises(ValueError, match=r"cache KV com gradientes ligados: .*torch\.no_grad\(\)"):
        decoder(ids_sorteados(1, 1))
    assert cache.length == 4
    with torch.no_grad():
        assert decoder(ids_sorteados(1, 1)).shape == (1, 1, 61)


def _contar(monkeypatch) -> list[int]:
    chamadas: list[int] = []
    original = TokenDecoder.__call__

    def contada(self, novo):
        chamadas.append(novo.shape[1])
        return original(self, novo)

    monkeypatch.setattr(TokenDecoder, "__call__", contada)
    return chamadas


def test_generate_usa_o_caminho_rapido_dentro_do_contexto(monkeypatch):
    chamadas = _contar(monkeypatch)
    modelo = modelo_pequeno()
    rapido = generate(modelo, ids_sorteados(2, 4), 14, 12)
    assert chamadas == [1] * 8  # de 5 a 12 tokens; depois a janela desliza e o modelo inteiro é chamado
    assert torch.equal(rapido, generate(modelo, ids_sorteados(2, 4), 14, 12, use_cache=False))


class _Trocada(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def _com_gancho(modelo):
    modelo.trf_blocks[0].att.register_forward_hook(lambda *_: None)


def _com_gancho_antes(modelo):
    modelo.out_head.register_forward_pre_hook(lambda *_: None)


def _com_camada_trocada(modelo):
    modelo.trf_blocks[1].att.W_value = _Trocada(32, 32, bias=False)


def _com_forward_trocado(modelo):
    original = modelo.trf_blocks[0].ff.forward
    modelo.trf_blocks[0].ff.forward = lambda x: -original(x)


@pytest.mark.parametrize("mexer", [_com_gancho, _com_gancho_antes, _com_camada_trocada, _com_forward_trocado])
def test_modelo_mexido_e_chamado_modulo_a_modulo(monkeypatch, mexer):
    chamadas = _contar(monkeypatch)
    modelo = modelo_pequeno(5).eval()
    assert TokenDecoder.supports(modelo)
    mexer(modelo)
    assert not TokenDecoder.supports(modelo)
    ids = generate(modelo, ids_sorteados(2, 3), 6, 12)
    assert chamadas == []
    assert torch.equal(ids, generate(modelo, ids_sorteados(2, 3), 6, 12, use_cache=False))


def test_modelo_largo_nao_duplica_as_projecoes(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_EMB_DIM", 31)
    assert not TokenDecoder.supports(modelo_pequeno())
