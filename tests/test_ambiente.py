"""O ambiente do livro: preparo que se recupera de interrupções, andamento na tela e versões presas."""

import os
import re
import shutil
import stat
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

RAIZ = Path(__file__).resolve().parent.parent
# No fim da lista: ferramentas/site.py não pode passar à frente do `site` da biblioteca padrão.
sys.path.append(str(RAIZ / "ferramentas"))

import ambiente  # noqa: E402
import andamento  # noqa: E402
from ambiente import ErroDeUso  # noqa: E402

# --- preparo do ambiente ----------------------------------------------------------------------------------------------


class PreparoFalso:
    """Um projeto vazio e um `executar` que anota os comandos, e falha ou é interrompido quando se pede."""

    def __init__(self, pasta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pasta = pasta
        self.comandos: list[list[str]] = []
        self.interromper_no: int | None = None
        self.falham: set[str] = set()
        for nome in (ambiente.PEDIDOS, ambiente.TRAVAS, ambiente.PROJETO, ambiente.BENCH):
            shutil.copy(RAIZ / nome, pasta / nome)
        monkeypatch.setattr(ambiente, "RAIZ", pasta)
        monkeypatch.setattr(ambiente, "VENV", pasta / ".venv")
        monkeypatch.setattr(ambiente, "executar", self.executar)

    def executar(self, argv: list[str], registro: Path, **_: object) -> int:
        if self.interromper_no == len(self.comandos):
            raise KeyboardInterrupt
        self.comandos.append(argv)
        if "venv" in argv:
            ambiente.python_do_venv().parent.mkdir(parents=True)
            ambiente.python_do_venv().touch()
        with registro.open("a", encoding="utf-8") as saida:
            saida.write(f"rodou {' '.join(argv)}\n")
        return int(bool(self.falham & set(argv)))

    def preparar(self) -> list[list[str]]:
        self.comandos.clear()
        ambiente.preparar()
        return list(self.comandos)


@pytest.fixture
def falso(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparoFalso:
    return PreparoFalso(tmp_path, monkeypatch)


def test_preparo_completo_nao_se_repete(falso: PreparoFalso) -> None:
    assert len(falso.preparar()) >= 6
    assert ambiente.pronto()
    assert falso.preparar() == []


@pytest.mark.parametrize("passo", range(6))
def test_preparo_interrompido_em_qualquer_passo_recomeca(falso: PreparoFalso, passo: int) -> None:
    falso.interromper_no = passo
    with pytest.raises(KeyboardInterrupt):
        falso.preparar()
    assert not ambiente.pronto()
    falso.interromper_no = None
    refeito = falso.preparar()
    assert "venv" in refeito[0]
    assert len(refeito) >= 6
    assert ambiente.pronto()


@pytest.mark.parametrize("arquivo", [ambiente.PEDIDOS, ambiente.TRAVAS, ambiente.PROJETO])
def test_pedido_mudado_atualiza_no_lugar_e_interrompido_nao_parece_pronto(falso: PreparoFalso, arquivo: str) -> None:
    falso.preparar()
    with (falso.pasta / arquivo).open("a") as pedidos:
        pedidos.write("# mudou\n")
    assert not ambiente.pronto()
    falso.interromper_no = 2
    with pytest.raises(KeyboardInterrupt):
        falso.preparar()
    assert not ambiente.ler_carimbo()
    falso.interromper_no = None
    assert "venv" in falso.preparar()[0]
    (falso.pasta / arquivo).write_bytes((RAIZ / arquivo).read_bytes())
    atualizacao = falso.preparar()
    assert not any("venv" in comando for comando in atualizacao)
    assert ambiente.pronto()


@pytest.mark.parametrize(
    ("campo", "valor"),
    [("python", "3.11.0"), ("pasta", "/outra/pasta")],
)
def test_venv_de_outro_python_ou_de_outra_pasta_e_refeito(falso: PreparoFalso, campo: str, valor: str) -> None:
    falso.preparar()
    carimbo = {**ambiente.ler_carimbo(), "chave": "outra", campo: valor}
    (ambiente.VENV / "preparado.json").write_text(str(carimbo).replace("'", '"'))
    (ambiente.VENV / "resto").touch()
    assert "venv" in falso.preparar()[0]
    assert not (ambiente.VENV / "resto").exists()


def test_carimbo_estragado_ou_python_sumido_nao_valem(falso: PreparoFalso) -> None:
    falso.preparar()
    ambiente.python_do_venv().unlink()
    assert not ambiente.pronto()
    falso.preparar()
    (ambiente.VENV / "preparado.json").write_text("{")
    assert not ambiente.pronto()


def test_passo_que_falha_mostra_o_fim_do_registro_e_nao_deixa_carimbo(falso: PreparoFalso) -> None:
    falso.falham = {"check"}
    with pytest.raises(ErroDeUso, match=r"rodou .* check[\s\S]*Conferindo se as versões combinam.*código 1"):
        falso.preparar()
    assert not ambiente.pronto()


def linux_x86_64(monkeypatch: pytest.MonkeyPatch, sistema: str = "linux", maquina: str = "x86_64") -> None:
    monkeypatch.setattr(ambiente.sys, "platform", sistema)
    monkeypatch.setattr(ambiente.platform, "machine", lambda: maquina)


def test_torch_cai_da_variante_de_cpu_para_o_indice_publico_e_para_o_comum(
    falso: PreparoFalso, monkeypatch: pytest.MonkeyPatch
) -> None:
    linux_x86_64(monkeypatch)
    versao = ambiente.versao_presa("torch")
    falso.falham = {f"torch=={versao}+cpu"}
    pedidos = [c for c in falso.preparar() if any(a.startswith("torch==") for a in c)]
    assert [f"torch=={versao}+cpu" in c for c in pedidos] == [True, True, False]
    assert [ambiente.INDICE_TORCH_CPU in c for c in pedidos] == [False, True, False]
    assert ambiente.pronto()


@pytest.mark.parametrize(
    ("sistema", "maquina", "tentativas"),
    [("linux", "x86_64", 3), ("win32", "AMD64", 3), ("linux", "aarch64", 1), ("darwin", "arm64", 1)],
)
def test_so_procura_a_variante_de_cpu_onde_ela_faz_diferenca(
    monkeypatch: pytest.MonkeyPatch, sistema: str, maquina: str, tentativas: int
) -> None:
    linux_x86_64(monkeypatch, sistema, maquina)
    assert len(ambiente.tentativas_do_torch()) == tentativas


def test_variaveis_isolam_o_ambiente_do_usuario(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ambiente, "RAIZ", tmp_path)
    for nome in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(nome, "1")
    variaveis = ambiente.variaveis(NOVA="1")
    assert not {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"} & variaveis.keys()
    assert variaveis["NOVA"] == "1"
    assert variaveis["PATH"].startswith(str(ambiente.python_do_venv().parent))
    for nome in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "MPLCONFIGDIR"):
        assert Path(variaveis[nome]).is_relative_to(tmp_path / "_build")
        assert Path(variaveis[nome]).parent.is_dir()


def test_gravacao_atomica_nao_deixa_pedaco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destino = tmp_path / "a.txt"
    ambiente.gravar_atomico(destino, b"velho")

    def falha(*_: object) -> None:
        raise OSError("disco cheio")

    monkeypatch.setattr(ambiente.os, "replace", falha)
    with pytest.raises(OSError, match="disco cheio"):
        ambiente.gravar_atomico(destino, b"novo")
    assert {c.name: c.read_bytes() for c in tmp_path.iterdir()} == {"a.txt": b"velho"}


# --- andamento --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("linha", "esperado"),
    [
        ("Progress 52428800 of 209715200", "52 de 210 MB"),
        ("Progress 100 of 40000", None),
        ("Collecting numpy==2.4.6 (from -r requirements.txt (line 9))", "conferindo numpy"),
        ("  Downloading torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl (198.1 MB)", "baixando torch"),
        ("  Using cached https://exemplo/a/numpy-2.4.6-cp311.whl", "baixando numpy"),
        ("Building wheels for collected packages: future", "compilando future"),
        ("Installing collected packages: a, b, c", "gravando 3 pacotes no disco"),
        ("WARNING: qualquer coisa", None),
    ],
)
def test_linhas_do_pip_viram_portugues(linha: str, esperado: str | None) -> None:
    assert andamento.progresso_do_pip(linha) == esperado


def test_executar_devolve_o_codigo_registra_tudo_e_mostra_andamento(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(andamento, "BATIMENTO_S", 0.0)
    programa = "print('Collecting café'); print('Progress 50000000 of 100000000'); import sys; sys.exit('ruim')"
    registro = tmp_path / "registro.log"
    argv = [sys.executable, "-X", "utf8", "-c", programa]
    assert andamento.executar(argv, registro, pasta=tmp_path, variaveis=dict(os.environ)) == 1
    assert sorted(registro.read_text(encoding="utf-8").split()) == sorted(["Collecting", "café", "ruim"])
    assert "conferindo café: 50 de 100 MB" in capsys.readouterr().out


@pytest.mark.parametrize(("segundos", "texto"), [(4.23, "4,2 s"), (59.94, "59,9 s"), (123.9, "2 min 03 s")])
def test_duracao(segundos: float, texto: str) -> None:
    assert andamento.duracao(segundos) == texto


# --- versões presas ---------------------------------------------------------------------------------------------------


def normal(nome: str) -> str:
    return re.sub(r"[-_.]+", "-", nome).lower()


def presas(*arquivos: str) -> dict[str, str]:
    pinos: dict[str, str] = {}
    for arquivo in arquivos:
        for linha in (RAIZ / arquivo).read_text(encoding="utf-8").splitlines():
            pedido = linha.partition("#")[0].partition(";")[0].strip()
            if not pedido or pedido.startswith("-"):
                continue
            achado = re.fullmatch(r"([\w.-]+)==([\w.+]+)", pedido)
            assert achado, f"{arquivo}: {linha!r} não tem versão exata"
            assert normal(achado[1]) not in pinos, f"{arquivo}: {achado[1]} aparece duas vezes"
            pinos[normal(achado[1])] = achado[2]
    return pinos


def test_tudo_que_esta_instalado_tem_a_versao_presa() -> None:
    pinos = presas("requirements.txt", "requirements-travas.txt")
    fora = {"llmdefinitions", *presas("requirements-bench.txt")}
    instalados = {normal(d.metadata["Name"]): d.version.partition("+")[0] for d in metadata.distributions()}
    diferentes = {n: (v, pinos.get(n)) for n, v in instalados.items() if n not in fora and pinos.get(n) != v}
    assert diferentes == {}
    assert set(presas("requirements.txt")) <= set(instalados)


def test_binder_usa_as_mesmas_versoes() -> None:
    pinos = presas("requirements.txt")
    binder = presas(".binder/requirements.txt")
    assert binder.pop("torch") == pinos["torch"] + "+cpu"
    assert binder == {nome: pinos[nome] for nome in binder}
    if os.name != "nt":
        assert (RAIZ / ".binder" / "postBuild").stat().st_mode & stat.S_IXUSR


def test_binder_tem_tudo_de_que_o_pacote_depende() -> None:
    projeto = (RAIZ / "pyproject.toml").read_text(encoding="utf-8")
    pedidos = re.search(r"^dependencies = \[(.*?)^\]", projeto, re.MULTILINE | re.DOTALL)[1]
    dependencias = {normal(nome) for nome in re.findall(r'"([\w.-]+)', pedidos)}
    assert dependencias <= set(presas(".binder/requirements.txt"))
    assert dependencias <= set(presas("requirements.txt"))


def test_pre_commit_usa_as_mesmas_versoes() -> None:
    config = yaml.safe_load((RAIZ / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    versoes = {repo["repo"].rsplit("/", 1)[-1]: repo["rev"].lstrip("v") for repo in config["repos"]}
    pinos = presas("requirements.txt")
    assert versoes["ruff-pre-commit"] == pinos["ruff"]
    assert versoes["nbstripout"] == pinos["nbstripout"]
