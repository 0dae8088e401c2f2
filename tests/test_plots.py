"""Gráficos: o desenhado é o dado, os eixos têm nome e unidade, nada é gravado e ninguém depende de ver cores."""

import itertools
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from llmdefinitions.plots import COLORS, plot_losses, plot_next_token, use_book_style

EPOCAS = [0.1, 0.5, 1.0, 1.9, 3.0]
TOKENS = [512, 2560, 5120, 9728, 15360]
TREINO = [9.8, 8.1, 6.7, 6.0, 5.7]
VALIDACAO = [9.9, 8.3, 7.0, 6.6, 6.65]


@pytest.fixture(autouse=True)
def pasta_vigiada(tmp_path, monkeypatch):
    """Todo teste roda numa pasta vazia, que continua vazia; e nenhuma figura fica aberta no pyplot."""
    monkeypatch.chdir(tmp_path)
    abertas = plt.get_fignums()
    with mpl.rc_context():
        yield
    assert plt.get_fignums() == abertas
    assert list(Path().rglob("*")) == []


def test_curva_de_perda_desenha_os_numeros_dados():
    eixo, cima = plot_losses(EPOCAS, TOKENS, TREINO, VALIDACAO).axes
    curvas = {linha.get_label(): linha for linha in eixo.get_lines()}
    assert set(curvas) == {"treino", "validação"}
    for nome, perdas in (("treino", TREINO), ("validação", VALIDACAO)):
        np.testing.assert_array_equal(curvas[nome].get_xydata(), np.column_stack([EPOCAS, perdas]))
    assert curvas["treino"].get_linestyle() != curvas["validação"].get_linestyle()
    (regua,) = cima.get_lines()
    np.testing.assert_array_equal(regua.get_xdata(), TOKENS)
    assert regua.get_alpha() == 0


def test_eixos_tem_nome_unidade_e_legenda():
    eixo, cima = plot_losses(EPOCAS, TOKENS, TREINO, VALIDACAO).axes
    assert eixo.get_xlabel() == "épocas"
    assert eixo.get_ylabel() == "perda (nats por token)"
    assert cima.get_xlabel() == "tokens vistos"
    assert [t.get_text() for t in eixo.get_legend().get_texts()] == ["treino", "validação"]


def test_os_dois_eixos_horizontais_marcam_o_mesmo_ponto():
    # Proporcionais, como num treino: 5.120 tokens por época. A régua de cima tem de cair no mesmo pixel.
    tokens = [round(5120 * e) for e in EPOCAS]
    figura = plot_losses(EPOCAS, tokens, TREINO, VALIDACAO)
    figura.draw_without_rendering()
    eixo, cima = figura.axes
    for epoca, n in zip(EPOCAS, tokens, strict=True):
        baixo_px = eixo.transData.transform((epoca, 6.0))[0]
        cima_px = cima.transData.transform((n, 6.0))[0]
        assert baixo_px == pytest.approx(cima_px, abs=0.5)  # meio pixel


def test_epocas_sao_marcadas_em_inteiros():
    figura = plot_losses(EPOCAS, TOKENS, TREINO, VALIDACAO)
    figura.draw_without_rendering()
    marcas = figura.axes[0].get_xticks()
    np.testing.assert_array_equal(marcas, np.round(marcas))


def test_uma_so_medida_tambem_vira_figura():
    eixo = plot_losses([1.0], [512], [9.0], [9.1]).axes[0]
    assert eixo.get_lines()[0].get_xdata().tolist() == [1.0]


@pytest.mark.parametrize(
    ("listas", "comprimentos"),
    [
        (([1.0], [512], [9.0], []), r"\[1, 1, 1, 0\]"),
        (([], [], [], []), r"\[0, 0, 0, 0\]"),
        (([1.0, 2.0], [512], [9.0], [9.0]), r"\[2, 1, 1, 1\]"),
    ],
)
def test_listas_de_comprimentos_diferentes_sao_recusadas(listas, comprimentos):
    with pytest.raises(ValueError, match=f"comprimentos {comprimentos}.*o mesmo nos quatro"):
        plot_losses(*listas)


def test_barras_tem_as_probabilidades_dadas_na_ordem_dada():
    tokens, probs = [" casa", "\n", "$x_1$", "rua"], [0.5, 0.25, 0.125, 0.125]
    figura = plot_next_token(tokens, probs, title="Depois de «a»", x_max=0.8)
    figura.draw_without_rendering()
    (eixo,) = figura.axes
    assert [barra.get_width() for barra in eixo.patches] == probs
    # O cifrão não vira matemática, e o que é invisível aparece.
    assert [r.get_text() for r in eixo.get_yticklabels()] == ["␣casa", "⏎", "$x_1$", "rua"]
    assert eixo.get_yticklabels()[2].get_parse_math() is False
    assert eixo.get_xlabel() == "probabilidade do próximo token"
    assert eixo.get_xlim() == (0, 0.8)
    assert eixo.yaxis_inverted()
    assert eixo.get_title() == "Depois de «a»"


def test_barras_recusam_comprimentos_diferentes():
    with pytest.raises(ValueError, match="2 tokens e 1 probabilidades: esperado o mesmo número"):
        plot_next_token(["a", "b"], [1.0])


def test_estilo_do_livro_usa_a_paleta_e_volta_atras():
    use_book_style()
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(COLORS)
    eixo = plot_losses(EPOCAS, TOKENS, TREINO, VALIDACAO).axes[0]
    assert [linha.get_color() for linha in eixo.get_lines()] == list(COLORS[:2])


# Simulação de daltonismo de Machado, Oliveira & Fernandes (2009), severidade 1, sobre RGB linear.
DALTONISMOS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def _lab(cor: str, daltonismo: str) -> np.ndarray:
    """Cor em CIE L*a*b* (D65) como a vê quem tem o daltonismo: L* de 0 a 100."""
    srgb = np.array(to_rgb(cor))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(DALTONISMOS[daltonismo]) @ linear, 0, 1)
    para_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    t = np.asarray(para_xyz) @ linear / [0.9505, 1.0, 1.089]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _menor_distancia(cores, daltonismo: str) -> float:
    vistas = [_lab(cor, daltonismo) for cor in cores]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(vistas, 2))


@pytest.mark.parametrize("daltonismo", DALTONISMOS)
def test_quatro_primeiras_cores_se_distinguem(daltonismo):
    # ΔE de 2,3 é o limiar de percepção lado a lado (Mahy et al., 1994); pedimos mais de quatro vezes isso, porque
    # linhas finas não se comparam encostadas.
    assert _menor_distancia(COLORS[:4], daltonismo) > 10


def test_a_simulacao_reprova_um_par_ruim():
    # Vermelho e verde de mesmo brilho: longe um do outro para a visão comum, quase iguais na deuteranopia.
    par = ("#b26a00", "#7a8000")
    assert _menor_distancia(par, "normal") > 30
    assert _menor_distancia(par, "deuteranopia") < 10
