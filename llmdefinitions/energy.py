"""Energia e emissões de uma execução: o contador do processador, quando há, ou uma potência suposta."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True)
class EnergyUse:
    """Energia gasta num intervalo.

    Atributos:
        seconds: duração.
        joules: energia, em joules.
        measured: verdadeiro se veio do contador do processador; falso se é duração × potência suposta.
    """

    seconds: float
    joules: float
    measured: bool

    @property
    def watt_hours(self) -> float:
        """Energia, em watts-hora."""
        return self.joules / 3600

    def co2_grams(self, grid_kg_per_kwh: float, *, pue: float = 1.0) -> float:
        """Gramas de CO₂ da geração da energia.

        Parâmetros:
            grid_kg_per_kwh: fator de emissão da rede elétrica; 1 kg/kWh é o mesmo que 1 t/MWh, a unidade em que o
                Brasil publica o do Sistema Interligado Nacional.
            pue: energia total do centro de dados sobre a dos computadores (1 num computador de mesa).

        Erros:
            ValueError: fator negativo, ou `pue` menor que 1.
        """
        if not grid_kg_per_kwh >= 0 or not pue >= 1:
            raise ValueError(
                f"grid_kg_per_kwh={grid_kg_per_kwh}, pue={pue}: esperado um fator ≥ 0, em kg/kWh, e um PUE ≥ 1."
            )
        return self.watt_hours * grid_kg_per_kwh * pue  # Wh · kg/kWh = g


class EnergyMeter:
    """Mede a energia desde que é criado.

    No Linux, quando o sistema deixa ler os contadores RAPL, usa a energia de todos os processadores da máquina, que
    inclui os outros programas e exclui tela, disco e fonte. Nos outros casos, multiplica o tempo pela potência suposta.
    Um contador dá a volta de tempos em tempos (minutos a horas, conforme a máquina): entre a criação e a leitura só se
    desconta uma volta.

    Parâmetros:
        watts: potência suposta quando não há contador.
        rapl_root: pasta dos contadores.

    Erros:
        ValueError: potência não positiva.
    """

    def __init__(self, watts: float, *, rapl_root: str | Path = _RAPL) -> None:
        if not watts > 0:
            raise ValueError(f"watts={watts}: esperada uma potência maior que zero.")
        self.watts = watts
        self._root = Path(rapl_root)
        self._begin, self._counters = time.perf_counter(), self._read()

    def read(self) -> EnergyUse:
        """Energia desde a criação; pode ser chamado mais de uma vez."""
        seconds = time.perf_counter() - self._begin
        now = self._read()
        if not self._counters or now.keys() != self._counters.keys():
            return EnergyUse(seconds, seconds * self.watts, measured=False)
        return EnergyUse(seconds, _spent(self._counters, now), measured=True)

    def _read(self) -> dict[str, tuple[int, int]]:
        """Contador e valor máximo, em microjoules, de cada processador; vazio se um deles não se deixa ler."""
        found = {}
        for package in sorted(self._root.glob("intel-rapl:[0-9]*")):
            if package.name.count(":") > 1:  # as partes de um processador já estão no total dele
                continue
            try:
                energy, limit = (int((package / n).read_text()) for n in ("energy_uj", "max_energy_range_uj"))
            except (OSError, ValueError):  # desde 2020 só o administrador lê, na maioria das distribuições
                return {}
            found[package.name] = (energy, limit)
        return found


def _spent(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> float:
    total = 0
    for name, (energy, limit) in after.items():
        total += (energy - before[name][0]) % (limit + 1)
    return total / 1e6
