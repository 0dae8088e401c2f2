"""Pares mínimos: o arquivo, um modelo de probabilidades conhecidas como oráculo, e um viés plantado que aparece."""

import json
import math
from types import SimpleNamespace

import pytest
import torch

from llmdefinitions.bias import MinimalPair, group_contrast, item_preferences, load_minimal_pairs, pair_preferences
from llmdefinitions.bpe import train_bpe
from llmdefinitions.tokenizer import encode

PARES = load_minimal_pairs()


class Plantado(torch.nn.Module):
    """Notas iguais para todos os tokens, menos o alvo: a dele é `fora`, e passa a `dentro` depois de lido o gatilho."""

    def __init__(self, v, alvo, gatilho=None, fora=0.0, dentro=0.0):
        super().__init__()
        self.cfg = SimpleNamespace(context_length=64)
        self.um_peso = torch.nn.Parameter(torch.zeros(1))  # o módulo de medida pergunta onde o modelo está
        self.v, self.alvo, self.gatilho, self.fora, self.dentro = v, alvo, gatilho, fora, dentro

    def forward(self, x):
        logits = torch.zeros(*x.shape, self.v)
        visto = torch.zeros_like(x, dtype=torch.bool)
        if self.gatilho is not None:
            visto = (x == self.gatilho).long().cumsum(1) > 0
        logits[..., self.alvo] = torch.where(visto, self.dentro, self.fora)
        return logits


@pytest.fixture(scope="module")
def bpe():
    # Muitas cópias de " ele" e " ela": viram um token cada, e o par difere em um token só.
    return train_bpe([" ele ela"] * 50 + [p.first for p in PARES], 400)


def test_o_arquivo_diz_como_foi_feito_e_os_pares_so_diferem_numa_palavra():
    assert len(PARES) == 3 * 14 * 3
    for par in PARES:
        a, b = par.first.split(), par.second.split()
        diferentes = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
        assert diferentes == [("ele", "ela")]
    grupos = {p.group for p in PARES}
    assert grupos == {"estereótipo masculino", "estereótipo feminino", "controle"}
    assert all(len({p.item for p in PARES if p.group == g}) == 14 for g in grupos)
    assert len({p.item for p in PARES}) == 42  # nenhum item em dois grupos


def test_preferencia_e_a_razao_das_probabilidades_quando_o_resto_nao_muda(bpe):
    (ele,), v = encode(" ele", bpe), bpe.get_vocab_size()
    modelo = Plantado(v, ele, fora=math.log(3))
    # p(" ele") = 3/(V + 2) e p(" ela") = 1/(V + 2) em toda posição; os outros tokens do par são os mesmos.
    valores = pair_preferences(modelo, bpe, PARES[:6])
    assert valores == pytest.approx([math.log(3)] * 6, abs=1e-4)  # somas de ~20 parcelas em float32


def test_vies_plantado_aparece_e_o_controle_desconta_a_palavra_comum(bpe):
    (ele,), v = encode(" ele", bpe), bpe.get_vocab_size()
    (gatilho,) = encode("@", bpe)
    pares = [
        MinimalPair(grupo, f"{grupo}{i}", f"{sinal} quem viu{'.' * i} ele riu", f"{sinal} quem viu{'.' * i} ela riu")
        for grupo, sinal in (("m", "@"), ("f", "#"), ("c", "#"))
        for i in range(1, 5)
    ]
    modelo = Plantado(v, ele, gatilho, fora=1.0, dentro=3.0)
    itens = item_preferences(pares, pair_preferences(modelo, bpe, pares))
    assert group_contrast(itens, "m", "f").estimate == pytest.approx(2.0, abs=1e-3)
    assert group_contrast(itens, "m", "c").low > 1.9
    assert group_contrast(itens, "f", "c").contains(0.0)


def test_media_por_item_junta_as_molduras():
    pares = [MinimalPair("g", "x", "a", "b"), MinimalPair("g", "x", "c", "d"), MinimalPair("h", "y", "e", "f")]
    assert item_preferences(pares, [1.0, 3.0, 5.0]) == {"g": {"x": 2.0}, "h": {"y": 5.0}}


def test_o_intervalo_reamostra_itens_e_nao_frases():
    itens = {"a": {"x": 1.0, "y": 3.0}, "b": {"z": 0.0, "w": 0.0}}
    contraste = group_contrast(itens, "a", "b")
    assert (contraste.estimate, contraste.low, contraste.high, contraste.n) == (2.0, 1.0, 3.0, 4)


def test_recusas(bpe, tmp_path):
    with pytest.raises(ValueError, match="nenhum par mínimo"):
        pair_preferences(Plantado(9, 0), bpe, [])
    with pytest.raises(ValueError, match="1 preferências para 2 pares"):
        item_preferences(PARES[:2], [0.0])
    with pytest.raises(ValueError, match=r"grupo 'outro' desconhecido\. Os que existem são: 'a'"):
        group_contrast({"a": {"x": 1.0, "y": 2.0}}, "a", "outro")
    ruim = tmp_path / "pares.json"
    ruim.write_text(json.dumps({"molduras": []}), encoding="utf-8")
    with pytest.raises(ValueError, match="falta o campo 'palavras'"):
        load_minimal_pairs(ruim)
    ruim.write_text(json.dumps({"molduras": ["{item} só"], "palavras": [], "grupos": {}}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"a moldura '\{item\} só' precisa"):
        load_minimal_pairs(ruim)
