"""O formato de texto dos pesos da página: refeito pela definição, sem usar o código que o escreve."""

import ast
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from livro import load

pesos = load("ferramentas/pesos_na_pagina.py")

MEIOS = np.arange(0x7C00, dtype=np.uint16).view(np.float16)  # todos os float16 ≥ 0 finitos, em ordem
FINITOS = st.integers(0, 0x7BFF).map(lambda i: float(MEIOS[i])) | st.integers(0, 0x7BFF).map(lambda i: -float(MEIOS[i]))
MATRIZES = arrays(
    np.float16, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=FINITOS.filter(lambda x: abs(x) < 6e4)
)


def ler_script(texto: str) -> dict:
    """O objeto de um script, lido como um literal do Python, que tem os mesmos escapes."""
    return ast.literal_eval(re.fullmatch(r"//[^\n]*\n[^\n]* = (\{.*\});\n", texto, re.DOTALL)[1])


def em_bits(texto: str) -> str:
    """A fila de bits por extenso, o primeiro à esquerda."""
    return "".join(format(ord(c) - 1, "07b")[::-1] for c in texto)


def inteiro(bits: str) -> int:
    """Um inteiro com sinal, do bit menos significativo ao mais."""
    valor = int(bits[::-1], 2)
    return valor - (1 << len(bits)) if bits[-1] == "1" else valor


def refazer(base: dict, resto: dict | None) -> dict[str, np.ndarray]:
    """Os tensores, um peso por vez, como o formato os define."""
    bits, finos = em_bits(base["bits"]), em_bits(resto["bits"]) if resto else ""
    meios = [
        np.array([int(bits[i : i + 16][::-1], 2)], np.uint16).view(np.float16)[0] for i in range(0, len(bits) - 15, 16)
    ]
    codigos = iter(base["codigos"])
    escalas = iter(meios)
    todas = {nome: [next(escalas) for _ in range(forma[0])] for nome, forma in base["matrizes"].items()}
    tensores, lidos = {}, 0
    for nome, (linhas, colunas) in base["matrizes"].items():
        matriz = np.zeros((linhas, colunas))
        for i in range(linhas):
            for j in range(colunas):
                q = (ord(next(codigos)) - 64 + 128) % 256 - 128
                valor = q * float(todas[nome][i])
                if resto:
                    largura = resto["larguras"][abs(q)]
                    longe = inteiro(finos[lidos : lidos + largura]) if largura else 0
                    lidos += largura
                    perto = int(np.float16(abs(valor)).view(np.uint16)) * (-1 if q < 0 else 1)
                    valor = float(MEIOS[abs(perto + longe)]) * (-1 if perto + longe < 0 else 1)
                matriz[i, j] = valor
        tensores[nome] = matriz
    for nome, tamanho in base["vetores"].items():
        tensores[nome] = np.array([float(next(escalas)) for _ in range(tamanho)])
    return tensores


@given(MATRIZES, MATRIZES, arrays(np.float16, st.integers(1, 20), elements=FINITOS))
def test_o_resto_refaz_cada_float16(a, b, vetor):
    # Escalas que arredondam para zero deixariam a linha sem código: o float16 não vai tão fundo num modelo treinado.
    tensores = {"a": a, "v": vetor, "b": b}
    base, resto = map(ler_script, pesos.scripts(tensores, ["a", "b"], {"forma": {"camadas": 1}}))
    assert base["forma"] == {"camadas": 1}
    exatos = refazer(base, resto)
    for nome, tensor in tensores.items():
        np.testing.assert_array_equal(exatos[nome].reshape(tensor.shape), tensor.astype(np.float64))


@given(MATRIZES)
def test_em_8_bits_o_erro_e_de_meio_passo(matriz):
    base, _ = pesos.scripts({"a": matriz}, ["a"], {})
    perto = refazer(ler_script(base), None)["a"]
    valores = matriz.astype(np.float64)
    passo = np.abs(valores).max(axis=1, keepdims=True) / 127
    # Meio passo, mais o arredondamento da escala para float16: uma parte em 2¹¹, ou 2⁻²⁵ abaixo do menor normal.
    folga = np.abs(valores) * 2.0**-11 + 127 * 2.0**-25
    assert (np.abs(perto - valores) <= passo * (0.5 + 2.0**-11) + folga).all()


def test_o_maior_de_cada_linha_usa_o_ultimo_codigo():
    codigos, escalas = pesos.quantize_rows(np.array([[1, -2, 0.5], [0, 0, 0]], np.float16))
    assert codigos.tolist() == [[64, -127, 32], [0, 0, 0]]
    assert escalas.tolist() == [np.float16(2 / 127), 1]


def test_a_fila_dos_float16_e_a_dos_vizinhos():
    fila = pesos.float16_rank(MEIOS)
    assert fila.tolist() == list(range(len(MEIOS)))
    assert pesos.float16_rank(-MEIOS).tolist() == [-i for i in range(len(MEIOS))]
    # O vizinho de cada um, segundo o NumPy, é o seguinte da fila.
    assert (np.nextafter(MEIOS[:-1], np.float16(np.inf)) == MEIOS[1:]).all()


@pytest.mark.parametrize("caractere", ['"', "\\", "\n", "\r", "\0"])
def test_o_que_quebraria_o_script_e_escapado(caractere):
    codigo = (ord(caractere) - 64 + 128) % 256 - 128
    matriz = np.array([[127, codigo]], np.float16)  # escala 1: o código é o próprio peso
    base, _ = pesos.scripts({"a": matriz}, ["a"], {})
    assert base.count("\n") == 2  # o comentário e o fim: nenhuma quebra dentro do texto
    assert "\0" not in base
    assert ler_script(base)["codigos"][1] == caractere


def test_recusa_o_que_nao_e_float16():
    with pytest.raises(ValueError, match=r"a é float32.*dtype=torch\.float16"):
        pesos.scripts({"a": np.zeros((1, 1), np.float32)}, ["a"], {})
