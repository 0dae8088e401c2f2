"""xz como modelo de linguagem: contra a própria definição em outro formato, e em textos de entropia conhecida."""

import lzma
import random

import pytest

from llmdefinitions.compression import xz_bits_per_byte
from llmdefinitions.stories import sample_stories

TREINO = "\n".join(h.text for h in sample_stories(300, seed=2))
TESTE = "\n".join(h.text for h in sample_stories(60, seed=3))


def test_igual_a_subtrair_os_tamanhos_de_dois_arquivos_xz():
    antes, depois = (len(lzma.compress(t.encode(), preset=9 | lzma.PRESET_EXTREME)) for t in (TREINO, TREINO + TESTE))
    n_bytes = len(TESTE.encode())
    # Os arquivos têm cabeçalho e índice que crescem com o tamanho, e completam até múltiplos de 4: até 16 bytes.
    assert xz_bits_per_byte(TREINO, TESTE) == pytest.approx(8 * (depois - antes) / n_bytes, abs=8 * 16 / n_bytes)


def test_algarismos_ao_acaso_custam_a_sua_entropia():
    # 16 símbolos iguais: 4 bits por byte. O LZMA paga um pouco a mais para dizer que não achou repetição: menos de 15%.
    acaso = "".join(random.Random(1).choices("0123456789abcdef", k=40_000))
    assert 4 <= xz_bits_per_byte("", acaso) < 4.6


def test_texto_ja_visto_nao_custa_quase_nada_e_parecido_custa_menos():
    assert xz_bits_per_byte(TREINO + TESTE, TESTE) < 0.05
    assert xz_bits_per_byte(TREINO, TESTE) < 0.8 * xz_bits_per_byte("", TESTE)


def test_conta_bytes_e_nao_caracteres():
    acaso = "".join(random.Random(1).choices("áéíóúâêôãõçàüïñò", k=40_000))  # 2 bytes e 4 bits por caractere
    assert 2 <= xz_bits_per_byte("", acaso) < 2.6


def test_teste_vazio_e_erro():
    with pytest.raises(ValueError, match="heldout_text é vazio"):
        xz_bits_per_byte("treino", "")
