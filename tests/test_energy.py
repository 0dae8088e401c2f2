"""Energia: contadores de mentira, volta do contador, potência suposta, e a conta do CO₂ com números publicados."""

import math

import pytest

from llmdefinitions.energy import EnergyMeter, EnergyUse


@pytest.fixture
def relogio(monkeypatch):
    agora = [100.0]
    monkeypatch.setattr("llmdefinitions.energy.time.perf_counter", lambda: agora[0])
    return agora


def _pacote(raiz, nome, energia, limite=1_000_000):
    pasta = raiz / nome
    pasta.mkdir(exist_ok=True)
    (pasta / "energy_uj").write_text(f"{energia}\n")
    (pasta / "max_energy_range_uj").write_text(f"{limite}\n")


def test_sem_contador_e_tempo_vezes_potencia(tmp_path, relogio):
    medidor = EnergyMeter(30, rapl_root=tmp_path / "nada")
    relogio[0] += 120
    assert medidor.read() == EnergyUse(120, 3600, measured=False)
    assert medidor.read().watt_hours == 1


def test_contadores_somam_processadores_e_nao_as_partes_deles(tmp_path, relogio):
    for nome, energia in (("intel-rapl:0", 100), ("intel-rapl:1", 500), ("intel-rapl:0:0", 7), ("dtpm", 1)):
        _pacote(tmp_path, nome, energia)
    medidor = EnergyMeter(30, rapl_root=tmp_path)
    relogio[0] += 2
    for nome, energia in (("intel-rapl:0", 300_100), ("intel-rapl:1", 700_500), ("intel-rapl:0:0", 200_000)):
        _pacote(tmp_path, nome, energia)
    assert medidor.read() == EnergyUse(2, 1.0, measured=True)


def test_contador_que_deu_a_volta(tmp_path, relogio):
    _pacote(tmp_path, "intel-rapl:0", 999_990, limite=999_999)
    medidor = EnergyMeter(30, rapl_root=tmp_path)
    _pacote(tmp_path, "intel-rapl:0", 40, limite=999_999)
    assert medidor.read().joules == pytest.approx(50e-6)  # 10 até a volta, contando o zero, e 40 depois


@pytest.mark.parametrize("estraga", ["apaga", "lixo"])
def test_contador_que_deixa_de_ser_lido_vira_suposicao(tmp_path, relogio, estraga):
    _pacote(tmp_path, "intel-rapl:0", 5)
    medidor = EnergyMeter(10, rapl_root=tmp_path)
    relogio[0] += 3
    arquivo = tmp_path / "intel-rapl:0" / "energy_uj"
    arquivo.unlink() if estraga == "apaga" else arquivo.write_text("?")
    assert medidor.read() == EnergyUse(3, 30, measured=False)


def test_co2_do_gpt_3_com_a_rede_que_ele_usou():
    # Luccioni et al. (2023), Tabela 4: 1.287 MWh a 429 gCO₂eq/kWh são 552 t; 3.600 s por hora dão os joules.
    gpt3 = EnergyUse(0, 1287e6 * 3600, measured=True)
    assert gpt3.co2_grams(0.429) / 1e6 == pytest.approx(552, abs=0.5)  # a tabela arredonda para toneladas


def test_pue_multiplica_e_fator_zero_nao_emite():
    uso = EnergyUse(1, 3.6e6, measured=False)
    assert uso.co2_grams(0.05, pue=1.2) == pytest.approx(60)
    assert uso.co2_grams(0) == 0


@pytest.mark.parametrize(("fator", "pue"), [(-0.1, 1), (math.nan, 1), (0.1, 0.9), (0.1, math.nan)])
def test_co2_recusa_fator_ou_pue_impossivel(fator, pue):
    with pytest.raises(ValueError, match=rf"grid_kg_per_kwh={fator}, pue={pue}"):
        EnergyUse(1, 1, measured=False).co2_grams(fator, pue=pue)


@pytest.mark.parametrize("watts", [0, -3, math.nan])
def test_recusa_potencia_impossivel(watts):
    with pytest.raises(ValueError, match=f"watts={watts}"):
        EnergyMeter(watts)
