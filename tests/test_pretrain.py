"""Do texto bruto ao modelo exportado, pela linha de comando: orçamento, retomada, reprodução e erros."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from modelos import um_fio  # noqa: F401

from llmdefinitions import GPTModel, pretrain, pretrain_data, text_to_token_ids
from llmdefinitions.pretrained import load_pretrained
from llmdefinitions.pretrainer import Pretrainer, read_log

#: Só histórias, que não precisam de rede nem de espelho, e um modelo que treina em um segundo.
MINUSCULA = (
    *("mixture=historias=100", "n_stories=120", "vocab_size=300", "context_length=32", "emb_dim=32", "n_layers=1"),
    *("n_heads=2", "optimizer=adamw", "lr=3e-3", "batch_size=4", "micro_batch_size=4", "steps=12", "warmup_steps=2"),
    *("eval_every=6", "checkpoint_every=4", "precision=float32"),
)
MEDIDAS = {"bits_por_byte": {"historias": 1.0}}


def treina(pasta: Path, *mudancas: str) -> int:
    return pretrain.main(["--cpu", "--pasta", str(pasta), *MINUSCULA, *mudancas])


@pytest.fixture(autouse=True)
def poucas_historias_novas(monkeypatch: pytest.MonkeyPatch, sem_espelho: None) -> None:
    """Trinta histórias separadas bastam para passar pelo caminho todo."""
    monkeypatch.setattr(pretrain_data, "_FRESH_STORIES", 30)


@pytest.fixture
def sem_medir(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """As medidas finais, que levam segundos, trocadas por um dicionário; devolve as pastas em que foram pedidas."""
    pedidas = []

    def mede(modelo: GPTModel, dados: object, receita: object, registro: object, segundos: float) -> dict:
        return {**MEDIDAS, "receita": receita.to_dict()}

    def ficha(pasta: Path, resultados: dict) -> Path:
        pedidas.append(pasta)
        pasta.joinpath("README.md").write_text(json.dumps(resultados["bits_por_byte"]), encoding="utf-8")
        return pasta / "README.md"

    monkeypatch.setattr(pretrain, "measure", mede)
    monkeypatch.setattr(pretrain, "write_card", ficha)
    return pedidas


def arquivos(pasta: Path) -> dict[str, bytes]:
    return {str(a.relative_to(pasta)): a.read_bytes() for a in sorted(pasta.rglob("*")) if a.is_file()}


# --- o caminho todo


def confere_o_modelo(modelo: Path) -> None:
    """Carrega no pacote e no `transformers`, com os mesmos logits."""
    transformers = pytest.importorskip("transformers")
    nosso, tokenizador = load_pretrained(modelo)
    deles = transformers.GPT2LMHeadModel.from_pretrained(modelo).eval()
    ids = text_to_token_ids("Era uma vez", tokenizador)
    with torch.no_grad():
        # As mesmas contas em float32, em outra ordem: eps de 1,2e-7 sobre logits menores que 10.
        torch.testing.assert_close(nosso(ids), deles(ids).logits, rtol=0, atol=2e-5)
    gerador = transformers.pipeline("text-generation", model=str(modelo))
    (saida,) = gerador("Era uma vez", max_new_tokens=5, do_sample=False)
    assert saida["generated_text"].startswith("Era uma vez")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers")
def test_do_texto_ao_modelo_e_de_novo_sem_refazer_nada(tmp_path, capsys, monkeypatch):
    assert treina(tmp_path) == 0
    saida = capsys.readouterr().err
    assert "Modelo exportado em" in saida
    assert "historias: " in saida
    modelo = tmp_path / "modelo"
    confere_o_modelo(modelo)
    medidas = json.loads((modelo / "medidas.json").read_text(encoding="utf-8"))
    assert medidas["receita"] == json.loads((tmp_path / "receita.json").read_text(encoding="utf-8"))
    assert medidas["treino"]["tokens"] == 12 * 4 * 32
    assert [ponto["tokens"] for ponto in medidas["treino"]["curva"]] == [6 * 4 * 32, 12 * 4 * 32]
    assert (modelo / "README.md").read_text(encoding="utf-8").count("\n# ") == 1
    registro = read_log(tmp_path / "checkpoints/registro.jsonl")
    assert [linha["step"] for linha in registro] == list(range(1, 13))
    assert registro[-1]["historias_bits_per_byte"] < registro[5]["historias_bits_per_byte"]

    antes = arquivos(tmp_path)
    for lento in ("measure", "save_pretrained", "write_card"):
        monkeypatch.setattr(pretrain, lento, lambda *_, lento=lento, **__: pytest.fail(f"refez {lento}"))
    monkeypatch.setattr(Pretrainer, "advance", lambda self: pytest.fail("treinou de novo"))
    assert treina(tmp_path) == 0
    assert "Já está pronto" in capsys.readouterr().err
    assert arquivos(tmp_path) == antes


def test_sem_as_medidas_mede_de_novo_e_exporta_para_onde_se_pede(tmp_path, sem_medir):
    assert treina(tmp_path / "a", "--exportar", str(tmp_path / "fora")) == 0
    assert not (tmp_path / "a/modelo").exists()
    assert treina(tmp_path / "a", "--exportar", str(tmp_path / "fora")) == 0
    assert sem_medir == [tmp_path / "fora"]
    (tmp_path / "fora/medidas.json").unlink()
    assert treina(tmp_path / "a", "--exportar", str(tmp_path / "fora")) == 0
    assert treina(tmp_path / "a") == 0
    assert sem_medir == [tmp_path / "fora", tmp_path / "fora", tmp_path / "a/modelo"]


def test_duas_vezes_do_zero_os_mesmos_bytes(tmp_path, sem_medir):
    for pasta in ("a", "b"):
        assert treina(tmp_path / pasta, "drop_rate=0.1") == 0
    a, b = (arquivos(tmp_path / pasta / "modelo") for pasta in ("a", "b"))
    assert a.keys() == b.keys() >= {"model.safetensors", "config.json", "tokenizer.json", "generation_config.json"}
    assert [nome for nome in a if a[nome] != b[nome]] == []
    assert arquivos(tmp_path / "a/dados") == arquivos(tmp_path / "b/dados")


# --- orçamento


def test_orcamento_escolhe_os_passos_e_a_retomada_usa_os_mesmos(tmp_path, sem_medir, monkeypatch, capsys):
    passo = Pretrainer.advance

    def interrompe(self: Pretrainer) -> dict:
        if self.folder.name != "checkpoints":
            return {**passo(self), "seconds": 2.0 * self.step}  # uma máquina de dois segundos por passo
        if self.step == 15:
            raise KeyboardInterrupt
        return passo(self)

    monkeypatch.setattr(Pretrainer, "advance", interrompe)
    monkeypatch.setattr(pretrain, "_closing_seconds", lambda *_: 80.0)
    orcamento = ("--orcamento", "3min", "batch_size=8", "micro_batch_size=8")
    assert treina(tmp_path, *orcamento) == 130
    assert "o mesmo comando continua" in capsys.readouterr().err
    receita = json.loads((tmp_path / "receita.json").read_text(encoding="utf-8"))
    # Dos 180 s, 80 são das medidas finais; do que sobra, até um quinto é de medições, e o preparo e a calibragem levam
    # segundos, numa máquina livre ou ocupada.
    assert 15 < receita["steps"] <= 50
    assert receita["warmup_steps"] == max(1, receita["steps"] // 20)
    assert receita["checkpoint_every"] == -(-receita["steps"] // 10)
    monkeypatch.setattr(Pretrainer, "advance", passo)
    monkeypatch.setattr(pretrain, "_fit_steps", lambda *_: pytest.fail("mediu a máquina de novo"))
    assert treina(tmp_path, *orcamento) == 0
    assert json.loads((tmp_path / "receita.json").read_text(encoding="utf-8")) == receita
    linhas = read_log(tmp_path / "checkpoints/registro.jsonl")
    assert [linha["step"] for linha in linhas] == list(range(1, receita["steps"] + 1))
    assert sum("historias_bits_per_byte" in linha for linha in linhas) <= 10
    assert sem_medir == [tmp_path / "modelo"]
    # Sem o orçamento, os passos da receita são outros, e isso é outro treino.
    assert treina(tmp_path, *orcamento[2:]) == 1
    assert re.search(r"a pasta tem um treino com (warmup_)?steps=\d+, e esta receita tem", capsys.readouterr().err)


def test_orcamento_curto_diz_quanto_sobrou_e_guarda_os_dados(tmp_path, capsys):
    assert treina(tmp_path, "--orcamento", "0.1s") == 1
    assert "orçamento curto" in capsys.readouterr().err
    assert (tmp_path / "dados/manifesto.json").is_file()
    assert not (tmp_path / "receita.json").exists()


# --- erros


@pytest.mark.parametrize(
    ("argumentos", "mensagem"),
    [
        (["steps"], "erro: 'steps': esperado campo=valor"),
        (["passos=3"], "erro: 'passos' não é um campo da receita; os campos são seed,"),
        (["steps=muitos"], "erro: steps='muitos': esperado um valor do tipo int"),
        (["mixture=bncc"], "erro: mixture='bncc': esperado"),
        (["mixture=bncc=30,historias=60"], "erro: mixture="),
        (["n_heads=3"], "erro: "),
        (["--orcamento", "5"], "erro: duração '5': esperado"),
        (["--receita", "nenhuma.json"], "erro: receita 'nenhuma.json' ilegível"),
    ],
)
def test_erro_da_linha_de_comando(tmp_path, capsys, argumentos, mensagem):
    assert treina(tmp_path / "x", *argumentos) == 1
    erro = capsys.readouterr().err
    assert erro.startswith(mensagem), erro
    assert "Traceback" not in erro
    assert not (tmp_path / "x").exists()


def test_opcoes_e_campos_em_qualquer_ordem(tmp_path, capsys):
    assert pretrain.main(["steps=4", "--pasta", str(tmp_path), "batch_size=3", "--cpu", "micro_batch_size=2"]) == 1
    assert "batch_size=3 não é múltiplo de micro_batch_size=2" in capsys.readouterr().err


def test_corpus_sem_rede_nem_espelho_diz_como_trocar_a_mistura(tmp_path, capsys, monkeypatch):
    def sem_rede(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setenv("LLMDEFINITIONS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.create_connection", sem_rede)
    assert treina(tmp_path / "x", "mixture=machado=50,historias=50") == 1
    erro = capsys.readouterr().err
    assert erro.startswith("erro: o corpus 'machado' não está disponível")
    for trecho in ("'bncc'", "'historias'", "LLMDEFINITIONS_ESPELHO", "mixture=bncc=30,historias=70"):
        assert trecho in erro
    assert not (tmp_path / "x/dados/manifesto.json").exists()


@pytest.mark.parametrize(("erro", "codigo"), [(RuntimeError("gloo"), 1), (KeyboardInterrupt(), 130)])
def test_num_grupo_um_erro_encerra_o_processo_sem_destrutores(tmp_path, monkeypatch, erro, codigo):
    def falha(self: Pretrainer) -> dict:
        raise erro

    saidas = []
    monkeypatch.setattr(Pretrainer, "advance", falha)
    monkeypatch.setattr(pretrain, "abandon", saidas.append)
    assert treina(tmp_path) == codigo
    assert saidas == [codigo]


def test_divergencia_e_um_erro_e_nao_um_rastro(tmp_path, capsys, monkeypatch):
    def diverge(self: Pretrainer) -> dict:
        raise FloatingPointError("perda nan no passo 1: o treino divergiu.")

    monkeypatch.setattr(Pretrainer, "advance", diverge)
    assert treina(tmp_path) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "erro: perda nan no passo 1: o treino divergiu."


def test_pasta_de_outra_receita(tmp_path, capsys, sem_medir):
    assert treina(tmp_path) == 0
    antes = arquivos(tmp_path)
    assert treina(tmp_path, "lr=1e-3") == 1
    assert "a pasta tem um treino com lr=0.003, e esta receita tem 0.001. Use outra pasta" in capsys.readouterr().err
    assert arquivos(tmp_path) == antes


def test_o_que_nao_muda_os_numeros_pode_mudar_na_mesma_pasta(tmp_path, sem_medir, monkeypatch):
    passo = Pretrainer.advance

    def interrompe(self: Pretrainer) -> dict:
        if self.step == 5:
            raise KeyboardInterrupt
        return passo(self)

    monkeypatch.setattr(Pretrainer, "advance", interrompe)
    assert treina(tmp_path) == 130
    monkeypatch.setattr(Pretrainer, "advance", passo)
    assert treina(tmp_path, "checkpoint_every=6", "micro_batch_size=2") == 0
    receita = json.loads((tmp_path / "receita.json").read_text(encoding="utf-8"))
    assert (receita["checkpoint_every"], receita["micro_batch_size"]) == (6, 2)


def test_ambiente_de_torchrun_incompleto(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert treina(tmp_path / "x") == 1
    assert "inicie o treino com torchrun" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "1")  # como o torchrun a define com um processo só


# --- lento: o comando de verdade, com orçamento, morto no meio


@pytest.mark.lento
@pytest.mark.skipif(sys.platform == "win32", reason="o teste mata o processo com SIGKILL")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers")
def test_orcamento_de_verdade_morto_no_meio_e_retomado(tmp_path):
    receita = [m for m in MINUSCULA if not m.startswith(("mixture", "n_stories"))]
    comando = [
        *(sys.executable, "-m", "llmdefinitions.pretrain", "--cpu", "--pasta", str(tmp_path), "--orcamento", "25s"),
        *(*receita, "n_stories=1000", "mixture=bncc=30,historias=70"),
    ]
    ambiente = {k: v for k, v in os.environ.items() if k != "LLMDEFINITIONS_ESPELHO"}
    opcoes = {"env": ambiente, "cwd": Path(__file__).resolve().parent.parent}
    registro = tmp_path / "checkpoints/registro.jsonl"
    with subprocess.Popen(comando, **opcoes) as primeiro:
        inicio = time.monotonic()
        while primeiro.poll() is None and not tmp_path.joinpath("dados").exists():
            time.sleep(0.01)
        importar = time.monotonic() - inicio
        while primeiro.poll() is None and not list(tmp_path.glob("checkpoints/passo-*.safetensors")):
            time.sleep(0.01)
        gasto = time.monotonic() - inicio
        primeiro.kill()
    assert primeiro.returncode == -signal.SIGKILL
    passos = json.loads((tmp_path / "receita.json").read_text(encoding="utf-8"))["steps"]
    inicio = time.monotonic()
    subprocess.run(comando, **opcoes, check=True)
    gasto += time.monotonic() - inicio
    linhas = read_log(registro)
    assert [linha["step"] for linha in linhas] == list(range(1, passos + 1))
    # O orçamento não conta importar os módulos, duas vezes aqui (até `dados` aparecer) e mais o que o primeiro passo
    # importa de novo; e prevê, no começo, quanto cada coisa vai levar numa máquina que pode ficar mais ocupada depois.
    print(f"{gasto:.0f} s, dos quais {importar:.0f} até começar; {passos} passos")
    assert gasto < 25 * 1.25 + 4 * importar, f"{gasto:.0f} s para um orçamento de 25 s, {importar:.0f} s até começar"
    confere_o_modelo(tmp_path / "modelo")
