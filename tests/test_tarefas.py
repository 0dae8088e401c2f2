"""As ferramentas de `make`: escolha do Python, sequência das tarefas, e os papéis que falam delas."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

RAIZ = Path(__file__).resolve().parent.parent
FERRAMENTAS = RAIZ / "ferramentas"
# No fim da lista: ferramentas/site.py não pode passar à frente do `site` da biblioteca padrão.
sys.path.append(str(FERRAMENTAS))

import ambiente  # noqa: E402
import configurar  # noqa: E402
import etapas  # noqa: E402
import navegador  # noqa: E402
import roteiro  # noqa: E402
import tarefas  # noqa: E402
from ambiente import ErroDeUso  # noqa: E402

# --- escolha do Python ------------------------------------------------------------------------------------------------


def test_a_porta_de_entrada_se_deixa_ler_por_um_python_antigo() -> None:
    ast.parse((FERRAMENTAS / "tarefas.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def sistema_de_python_velho() -> SimpleNamespace:
    return SimpleNamespace(version_info=(3, 9, 18), executable="/usr/bin/python3", stderr=sys.stderr)


def test_sem_python_que_sirva_a_mensagem_diz_qual_falta(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tarefas, "sys", sistema_de_python_velho())
    monkeypatch.setenv("PATH", "")
    assert tarefas.principal(["livro"]) == 3
    mensagem = capsys.readouterr().err
    for trecho in ("3.11, 3.12 ou 3.13", "O Python atual é o 3.9", "winget", "apt install", "make PYTHON="):
        assert trecho in mensagem


def test_python_sem_ensurepip_pede_o_pacote_do_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarefas, "sys", SimpleNamespace(version_info=(3, 11, 2), executable="/usr/bin/python3"))
    assert "python3-venv" in tarefas.ajuda_do_python()


def test_com_o_padrao_velho_usa_o_python_certo_do_path(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bin_, quebrado = tmp_path / "bin", tmp_path / "quebrado"
    for pasta, codigo in ((quebrado, "exit 127"), (bin_, f'exec "{sys.executable}" "$@"')):
        pasta.mkdir()
        if os.name == "nt":
            codigo = "exit /b 127" if "127" in codigo else f'"{sys.executable}" %*'
            (pasta / "python3.12.bat").write_text(f"@{codigo}\n")
        else:
            (pasta / "python3.12").write_text(f"#!/bin/sh\n{codigo}\n")
            (pasta / "python3.12").chmod(0o755)
    monkeypatch.setattr(tarefas, "sys", sistema_de_python_velho())
    # Um atalho que existe e não funciona (pyenv faz isso) não pode ser escolhido…
    monkeypatch.setenv("PATH", str(quebrado))
    assert tarefas.encontrar() is None
    # … e o que funciona roda a tarefa.
    monkeypatch.setenv("PATH", str(bin_))
    assert tarefas.principal(["ajuda"]) == 0
    saida = capfd.readouterr().out
    assert "python3.12" in saida
    assert "constrói o site" in saida


# --- sequência das tarefas --------------------------------------------------------------------------------------------


def com_etapas(monkeypatch: pytest.MonkeyPatch, **acoes: object) -> None:
    monkeypatch.setattr(roteiro, "ETAPAS", {nome: roteiro.Etapa(nome.upper(), acao) for nome, acao in acoes.items()})


def test_para_na_primeira_etapa_que_falha_e_diz_como_repetir(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feitas = []
    com_etapas(
        monkeypatch, um=lambda: feitas.append(1) or 0, dois=lambda: feitas.append(2) or 7, tres=lambda: feitas.append(3)
    )
    assert roteiro.executar_etapas(["um", "dois", "tres"]) == 7
    assert feitas == [1, 2]
    saida = capsys.readouterr()
    assert f'"DOIS" falhou com o código 7. Para repetir só ela: {etapas.como_repetir("dois")}' in saida.err
    assert re.search(r"^UM +\d+,\d s +ok$", saida.out, re.MULTILINE)
    assert re.search(r"^DOIS +\d+,\d s +falhou$", saida.out, re.MULTILINE)
    assert re.search(r"^Total +\d+,\d s$", saida.out, re.MULTILINE)


def test_tudo_certo_devolve_zero_e_entrega_os_argumentos_a_ultima(monkeypatch: pytest.MonkeyPatch) -> None:
    recebidos = []
    com_etapas(monkeypatch, um=lambda: 0, dois=lambda *extras: recebidos.extend(extras) or 0)
    assert roteiro.executar_etapas(["um", "dois"], ["-k", "x"]) == 0
    assert recebidos == ["-k", "x"]


def levanta(erro: BaseException) -> object:
    def acao() -> int:
        raise erro

    return acao


@pytest.mark.parametrize(
    ("acao", "codigo"),
    [(levanta(ErroDeUso("faça assim")), 1), (levanta(KeyboardInterrupt()), 130), (lambda: -9, 137)],
)
def test_erro_de_uso_interrupcao_e_sinal_viram_codigos(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], acao: object, codigo: int
) -> None:
    com_etapas(monkeypatch, um=acao)
    assert roteiro.executar_etapas(["um"]) == codigo
    if codigo == 1:
        assert "faça assim" in capsys.readouterr().err


def test_erro_de_programa_nao_e_escondido(monkeypatch: pytest.MonkeyPatch) -> None:
    com_etapas(monkeypatch, um=levanta(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        roteiro.executar_etapas(["um"])


def test_toda_etapa_de_livro_e_testes_pode_ser_repetida_sozinha() -> None:
    for nome, (_, sequencia) in roteiro.TAREFAS.items():
        assert set(sequencia) <= set(roteiro.ETAPAS), nome
    repetiveis = {*roteiro.TAREFAS["livro"][1], *roteiro.TAREFAS["testes"][1]} - {"mostrar-site"}
    assert repetiveis <= set(roteiro.TAREFAS)
    assert all(roteiro.TAREFAS[nome][1][-1] == nome for nome in repetiveis)


@pytest.mark.parametrize(("argumentos", "trecho"), [(["lixo"], "não existe"), (["livro", "x"], "não aceita")])
def test_linha_de_comando_errada(argumentos: list[str], trecho: str) -> None:
    programa = [sys.executable, str(FERRAMENTAS / "tarefas.py"), *argumentos]
    feito = subprocess.run(programa, capture_output=True, encoding="utf-8", env={**os.environ, "PYTHONUTF8": "1"})
    assert feito.returncode == 2
    assert trecho in feito.stderr


def makefile() -> str:
    return (RAIZ / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")


def test_makefile_tem_as_mesmas_tarefas() -> None:
    alvos = re.search(r"^TAREFAS := (.*)$", makefile(), re.MULTILINE)[1].split()
    assert sorted(alvos) == sorted(["ajuda", *roteiro.TAREFAS])


@pytest.mark.skipif(shutil.which("make") is None, reason="sem make nesta máquina")
@pytest.mark.parametrize("existe", [True, False])
def test_makefile_aponta_o_espelho_vizinho_sem_atropelar_o_do_usuario(tmp_path: Path, existe: bool) -> None:
    projeto = tmp_path / "main"
    projeto.mkdir()
    shutil.copy(RAIZ / "Makefile", projeto)
    vizinho = tmp_path / "shared" / "dados"
    if existe:
        vizinho.mkdir(parents=True)

    def espelho(**extra: str) -> str | None:
        variaveis = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "LLMDEFINITIONS"))}
        feito = subprocess.run(
            ["make", "PYTHON=env #", "ajuda"], cwd=projeto, env={**variaveis, **extra}, capture_output=True, text=True
        )
        assert feito.returncode == 0, feito.stderr
        return dict(linha.partition("=")[::2] for linha in feito.stdout.splitlines()).get("LLMDEFINITIONS_ESPELHO")

    assert espelho() == (str(vizinho) if existe else None)
    assert espelho(LLMDEFINITIONS_ESPELHO="/meu") == "/meu"


@pytest.mark.skipif(shutil.which("make") is None, reason="sem make nesta máquina")
@pytest.mark.parametrize(
    ("pedido", "recebido"),
    [
        (["mini-pt", "ORCAMENTO=5 min", "PROCESSOS=2", "REPO=x"], ["mini-pt", "ORCAMENTO=5 min", "PROCESSOS=2"]),
        (["configurar", "REPO=x", "PASTA=y"], ["configurar", "REPO=x"]),
        (["unidade", "ARGS=-k tokenizer"], ["unidade", "-k", "tokenizer"]),
        (["livro", "ORCAMENTO=5min"], ["livro"]),
    ],
)
def test_makefile_entrega_a_cada_tarefa_as_suas_variaveis(
    tmp_path: Path, pedido: list[str], recebido: list[str]
) -> None:
    shutil.copy(RAIZ / "Makefile", tmp_path)
    (tmp_path / "ferramentas").mkdir()
    (tmp_path / "ferramentas/tarefas.py").write_text("import sys\nprint(*sys.argv[1:], sep='\\n')\n")
    variaveis = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    comando = ["make", f"PYTHON={sys.executable}", *pedido]
    feito = subprocess.run(comando, cwd=tmp_path, env=variaveis, capture_output=True, text=True)
    assert feito.returncode == 0, feito.stderr
    assert feito.stdout.splitlines() == recebido


# --- mini-pt ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def chamadas(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """Os comandos que as etapas dariam ao Python do `.venv`, com as variáveis a mais."""
    feitas = []
    monkeypatch.setattr(etapas, "python", lambda *comando, **extra: feitas.append((list(comando), extra)) or 0)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return feitas


def test_mini_pt_roda_a_receita_na_pasta_padrao(chamadas: list) -> None:
    assert etapas.mini_pt() == 0
    assert chamadas == [(["-m", "llmdefinitions.pretrain", "--pasta", str(RAIZ / "_build" / "mini-pt")], {})]


def test_mini_pt_repassa_o_que_nao_e_dele(chamadas: list) -> None:
    etapas.mini_pt("ORCAMENTO=5min", "PASTA=x", "PROCESSOS=1", "--cpu", "mixture=bncc=30,historias=70")
    esperado = ["--pasta", "x", "--orcamento", "5min", "--cpu", "mixture=bncc=30,historias=70"]
    assert chamadas == [(["-m", "llmdefinitions.pretrain", *esperado], {})]


def test_mini_pt_em_varios_processos_divide_os_nucleos(chamadas: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etapas.os, "cpu_count", lambda: 8)
    etapas.mini_pt("PROCESSOS=2", "PASTA=x")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    assert chamadas == [([*torchrun, "-m", "llmdefinitions.pretrain", "--pasta", "x"], {"OMP_NUM_THREADS": "4"})]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    etapas.mini_pt("PROCESSOS=2", "PASTA=x")
    assert chamadas[1][1] == {"OMP_NUM_THREADS": "3"}


@pytest.mark.parametrize("processos", ["0", "-1", "dois", ""])
def test_mini_pt_recusa_numero_de_processos_que_nao_e_um(chamadas: list, processos: str) -> None:
    with pytest.raises(ErroDeUso, match=r"PROCESSOS=.*inteiro ≥ 1"):
        etapas.mini_pt(f"PROCESSOS={processos}")
    assert chamadas == []


def test_mini_pt_toda_noite_e_os_testes_lentos() -> None:
    noturno = yaml.safe_load((RAIZ / ".github/workflows/noturno.yml").read_text(encoding="utf-8"))
    assert "schedule" in noturno[True]
    comandos = " ".join(passo.get("run", "") for passo in noturno["jobs"]["pretreino"]["steps"])
    assert "make mini-pt ORCAMENTO=5min" in comandos
    assert 'make unidade ARGS="-m lento' in comandos


# --- navegador --------------------------------------------------------------------------------------------------------


def test_navegador_so_e_obrigatorio_no_ci_em_que_se_pode_instalar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVRO_CHROMIUM", raising=False)
    monkeypatch.setattr(navegador, "encontrar", lambda: None)
    monkeypatch.setattr(navegador, "pode_instalar", lambda: False)
    monkeypatch.setenv("CI", "true")
    assert navegador.garantir() == 0
    comandos = []
    monkeypatch.setattr(navegador, "pode_instalar", lambda: True)
    monkeypatch.setattr(
        navegador.subprocess, "run", lambda c, **_: comandos.append(c[:2]) or SimpleNamespace(returncode=100)
    )
    assert navegador.garantir() == 1
    assert comandos == [["apt-get", "update"]]
    monkeypatch.delenv("CI")
    assert navegador.garantir() == 0


# --- papéis do repositório --------------------------------------------------------------------------------------------


def no_git(padrao: str) -> set[str]:
    return {
        caminho.relative_to(RAIZ).as_posix()
        for caminho in configurar.arquivos_do_repositorio(RAIZ)
        if re.fullmatch(padrao, caminho.relative_to(RAIZ).as_posix())
    }


def test_mapa_do_readme_e_o_dos_arquivos() -> None:
    existem = no_git(r"(llmdefinitions|ferramentas)/[^/]+\.py|book/[^/]+\.md|notebooks/[^/]+\.ipynb")
    readme = (RAIZ / "README.md").read_text(encoding="utf-8")
    mapa = re.findall(r"^- `((?:llmdefinitions|ferramentas|book|notebooks)/[^`]+\.\w+)`: \S", readme, re.MULTILINE)
    assert sorted(mapa) == sorted(existem)


def test_links_locais_dos_papeis_existem() -> None:
    for papel in ("README.md", "CONTRIBUTING.md", "LICENSE-TEXTO.md"):
        texto = (RAIZ / papel).read_text(encoding="utf-8")
        for alvo in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", texto):
            assert (RAIZ / alvo).exists(), f"{papel}: {alvo}"


def test_contribuir_cabe_em_sessenta_linhas() -> None:
    assert len((RAIZ / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 60


def test_citacao_fala_deste_projeto() -> None:
    citacao = yaml.safe_load((RAIZ / "CITATION.cff").read_text(encoding="utf-8"))
    projeto = (RAIZ / "pyproject.toml").read_text(encoding="utf-8")
    assert {"cff-version", "message", "title", "authors"} <= set(citacao)
    assert re.search(r'^version = "(.*)"', projeto, re.MULTILINE)[1] == citacao["version"]
    endereco = configurar.atual()
    assert citacao["repository-code"] == endereco.url
    assert citacao["url"] == f"https://{endereco.dono.lower()}.github.io/{endereco.nome}/"


FLUXOS = sorted((RAIZ / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("fluxo", FLUXOS, ids=lambda f: f.stem)
def test_fluxos_pedem_pouco_e_prendem_as_acoes(fluxo: Path) -> None:
    dados = yaml.safe_load(fluxo.read_text(encoding="utf-8"))
    assert dados["concurrency"]["group"]
    assert dados["permissions"] in ({}, {"contents": "read"})
    for nome, trabalho in dados["jobs"].items():
        assert trabalho["timeout-minutes"] <= 90, nome
        for passo in trabalho["steps"]:
            if "uses" in passo:
                assert re.fullmatch(r"[\w./-]+@v\d+", passo["uses"]), passo["uses"]


def test_publica_so_o_que_os_testes_aprovaram() -> None:
    publicar = yaml.safe_load((RAIZ / ".github/workflows/publicar.yml").read_text(encoding="utf-8"))
    testes = yaml.safe_load((RAIZ / ".github/workflows/testes.yml").read_text(encoding="utf-8"))
    # O YAML 1.1 lê a chave `on` como verdadeiro.
    assert publicar[True]["workflow_run"]["workflows"] == [testes["name"]]
    (trabalho,) = publicar["jobs"].values()
    assert "conclusion == 'success'" in trabalho["if"]
    assert "default_branch" in trabalho["if"]
    baixado = next(p["with"]["name"] for p in trabalho["steps"] if "download-artifact" in p.get("uses", ""))
    guardados = [p["with"]["name"] for p in testes["jobs"]["tudo"]["steps"] if "upload-artifact" in p.get("uses", "")]
    assert baixado in guardados


def test_as_ferramentas_so_precisam_da_biblioteca_padrao_antes_do_venv() -> None:
    """O que roda com o Python do sistema não pode importar nada que só exista depois do preparo."""
    proprios = {"ambiente", "andamento", "configurar", "etapas", "navegador", "relatorios", "roteiro"}
    for nome in sorted(proprios | {"tarefas"}):
        arvore = ast.parse((FERRAMENTAS / f"{nome}.py").read_text(encoding="utf-8"))
        importados = set()
        for no in ast.walk(arvore):
            if isinstance(no, ast.Import):
                importados |= {apelido.name.partition(".")[0] for apelido in no.names}
            elif isinstance(no, ast.ImportFrom):
                importados.add(no.module.partition(".")[0])
        assert importados <= proprios | set(sys.stdlib_module_names), nome


def test_colab_semanal_relata_o_caderno_que_falha(tmp_path: Path) -> None:
    import nbformat

    colab = importlib.import_module("colab_semanal")
    celulas = {"bom": "1 + 1", "ruim": "raise ValueError('conta errada')"}
    caminhos = []
    for nome, codigo in celulas.items():
        caminhos.append(tmp_path / f"{nome}.ipynb")
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(codigo)]), caminhos[-1])
    destino = tmp_path / "relatorio.md"
    ambiente_do_teste = ambiente.variaveis()
    ambiente_do_teste["PATH"] = os.environ["PATH"]
    feito = subprocess.run(
        [sys.executable, colab.__file__, str(destino), *map(str, caminhos)], env=ambiente_do_teste, capture_output=True
    )
    assert feito.returncode == 1, feito.stderr.decode()
    relatorio = destino.read_text(encoding="utf-8")
    assert "`bom.ipynb`: passou" in relatorio
    assert "`ruim.ipynb`: falhou" in relatorio
    assert "ValueError: conta errada" in relatorio
    assert "torch " in relatorio.splitlines()[0]
