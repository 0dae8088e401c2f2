"""Trinta mortes súbitas num treino, cada uma seguida de uma retomada noutro processo: o fim é o mesmo, bit a bit."""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import treino_interrompido
from modelos import iguais
from safetensors import safe_open
from safetensors.torch import load_file
from treino_interrompido import EPOCAS, PASSOS_POR_EPOCA, treina

import llmdefinitions

MORTES = 30
MAXIMO_DE_PROCESSOS = 150
# No Linux os processos nascem de um servidor com o torch já importado (~50 ms); fora dele, fork com o torch carregado
# não é seguro, e cada processo importa tudo de novo.
CONTEXTO = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
MORTO = -signal.SIGTERM if sys.platform == "win32" else -signal.SIGKILL


@pytest.fixture(autouse=True)
def servidor_com_tudo_importado(monkeypatch) -> None:
    # O servidor não herda o sys.path do pytest, e calaria o erro de um módulo que não achasse.
    pastas = [str(Path(treino_interrompido.__file__).parent), str(Path(llmdefinitions.__file__).parents[1])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*pastas, os.environ.get("PYTHONPATH", "")]))
    if sys.platform == "linux":
        CONTEXTO.set_forkserver_preload(["pytest", "treino_interrompido"])


def resultado(saida: Path):
    with safe_open(saida, framework="pt") as arquivo:
        return json.loads(arquivo.metadata()["listas"]), load_file(saida)


class Treino:
    """Processo de treino, já no ponto de começar a treinar."""

    def __init__(self, pasta: Path | None, saida: Path, checkpoint_every: int) -> None:
        self.pasta = pasta
        recebe, envia = CONTEXTO.Pipe(duplex=False)
        self.processo = CONTEXTO.Process(target=treina, args=(pasta, saida, checkpoint_every, envia), daemon=True)
        self.processo.start()
        envia.close()
        with recebe:
            assert recebe.recv() == "vou treinar"

    def espera_uma_escrita(self) -> None:
        """Até aparecer um arquivo em escrita, ou o treino acabar."""
        while self.processo.is_alive() and not self.escrita_pela_metade():
            pass

    def escrita_pela_metade(self) -> bool:
        return any(self.pasta.glob("*.parcial"))

    def mata(self) -> bool:
        """Mata sem aviso (SIGKILL; no Windows, TerminateProcess) e diz se ainda estava vivo."""
        self.processo.kill()
        return self.termina() == MORTO

    def termina(self) -> int:
        self.processo.join(120)
        codigo = self.processo.exitcode
        assert codigo in (0, MORTO), f"o treino falhou sozinho, com código {codigo}"
        return codigo


@pytest.mark.lento
def test_trinta_mortes_e_retomadas_dao_o_mesmo_treino_bit_a_bit(tmp_path):
    sorteio = random.Random(2026)
    Treino(None, tmp_path / "referencia", 1).termina()
    listas, finais = resultado(tmp_path / "referencia")
    assert len(listas[0]) == -(-EPOCAS * PASSOS_POR_EPOCA // 7)

    inicio = time.monotonic()
    Treino(tmp_path / "sem_mortes", tmp_path / "sem_mortes.fim", 1).termina()
    duracao = time.monotonic() - inicio
    assert resultado(tmp_path / "sem_mortes.fim")[0] == listas

    mortes = em_escrita = retomadas = processos = treinos = 0
    while mortes < MORTES:
        treinos += 1
        pasta, saida = tmp_path / f"treino{treinos}", tmp_path / f"treino{treinos}.fim"
        while not saida.exists():
            processos += 1
            assert processos <= MAXIMO_DE_PROCESSOS, f"só {mortes} mortes em {processos} processos"
            retomadas += pasta.exists() and any(pasta.glob("*.safetensors"))
            treino = Treino(pasta, saida, checkpoint_every=1 + treinos % 2)
            if mortes == MORTES:
                treino.termina()
                continue
            time.sleep(sorteio.uniform(0, 0.4 * duracao))
            if mortes % 3 == 0:
                treino.espera_uma_escrita()
            if treino.mata() and not saida.exists():
                mortes += 1
                em_escrita += treino.escrita_pela_metade()
        listas_retomadas, finais_retomados = resultado(saida)
        assert listas_retomadas == listas, f"perdas do treino {treinos}"
        assert iguais(finais_retomados, finais), f"pesos do treino {treinos}"
        assert not list(pasta.glob("*.parcial"))  # o que as mortes deixaram pela metade foi recolhido

    print(f"{mortes} mortes em {treinos} treinos; {em_escrita} em plena escrita; {retomadas} retomadas de arquivo")
    assert treinos >= 2
    assert em_escrita >= 3
    assert retomadas >= MORTES // 2
