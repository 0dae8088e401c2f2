"""O ambiente de trabalho do livro: cria `.venv`, instala as versões presas e diz quando já está pronto.

Só usa a biblioteca padrão: é o que roda antes de haver qualquer pacote instalado.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from andamento import duracao, executar

RAIZ = Path(__file__).resolve().parent.parent
VENV = RAIZ / ".venv"
# Tudo que, mudando, pede nova instalação.
PEDIDOS, TRAVAS, PROJETO = "requirements.txt", "requirements-travas.txt", "pyproject.toml"
BENCH, JUIZ = "requirements-bench.txt", "requirements-juiz.txt"
INDICE_TORCH_CPU = "https://download.pytorch.org/whl/cpu"


class ErroDeUso(ValueError):
    """Algo que a pessoa resolve: a mensagem diz o que houve e o que fazer."""


def python_do_venv() -> Path:
    """Caminho do interpretador dentro de `.venv`, no Windows e fora dele."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def chave() -> str:
    """Sha256 do que define o ambiente: os pedidos, a versão do Python, o sistema e a pasta.

    A pasta entra porque um `.venv` copiado para outro lugar continua apontando para o primeiro.
    """
    resumo = hashlib.sha256()
    for nome in (PEDIDOS, TRAVAS, PROJETO):
        resumo.update(nome.encode() + b"\0" + (RAIZ / nome).read_bytes() + b"\0")
    versao = "{}.{}".format(*sys.version_info[:2])
    resumo.update("\0".join([versao, sys.platform, platform.machine(), str(RAIZ)]).encode())
    return resumo.hexdigest()


def ler_carimbo() -> dict[str, str]:
    """O que o último preparo completo deixou escrito; vazio se não houve ou se foi interrompido."""
    try:
        return json.loads((VENV / "preparado.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def pronto() -> bool:
    """Verdadeiro se `.venv` foi preparado até o fim com exatamente estes pedidos."""
    return python_do_venv().exists() and ler_carimbo().get("chave") == chave()


def gravar_atomico(destino: Path, conteudo: bytes) -> None:
    """Grava de uma vez: quem lê vê o arquivo antigo inteiro ou o novo inteiro, nunca um pedaço."""
    descritor, nome = tempfile.mkstemp(dir=destino.parent, prefix=f".{destino.name}.")
    try:
        with os.fdopen(descritor, "wb") as arquivo:
            arquivo.write(conteudo)
            arquivo.flush()
            os.fsync(arquivo.fileno())
        if destino.exists():
            shutil.copymode(destino, nome)
        else:
            os.chmod(nome, 0o644)
        os.replace(nome, destino)
    except BaseException:
        Path(nome).unlink(missing_ok=True)
        raise


def apagar(pasta: Path) -> None:
    """Apaga uma pasta que este projeto criou; não reclama se ela não existe."""
    if pasta.is_symlink():
        raise ErroDeUso(f"{pasta} é um atalho para outra pasta: apague-o você mesmo e repita o comando.")
    try:
        shutil.rmtree(pasta)
    except FileNotFoundError:
        return
    except PermissionError as erro:
        raise ErroDeUso(
            f"Não foi possível apagar {pasta} ({erro}). "
            "Feche os programas que a usam (Jupyter, um terminal com o ambiente ativado) e repita o comando."
        ) from erro


def variaveis(**extra: str) -> dict[str, str]:
    """Variáveis para rodar programas do `.venv` sem ler nem escrever a configuração do usuário."""
    estado = RAIZ / "_build" / "estado"
    estado.mkdir(parents=True, exist_ok=True)  # o IPython avisa, e os avisos são erros, se ela não existe
    # Muitas imagens de contêiner trazem PYTHONDONTWRITEBYTECODE; com ela, como o preparo nada compila de antemão, cada
    # processo recompilaria tudo: importar o torch passa de 2 para 5 s.
    fora = {"PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    var = {k: v for k, v in os.environ.items() if k not in fora}
    var.update(
        VIRTUAL_ENV=str(VENV),
        PATH=str(python_do_venv().parent) + os.pathsep + os.environ.get("PATH", ""),
        PYTHONUTF8="1",
        PYTHONUNBUFFERED="1",
        PYTHONNOUSERSITE="1",
        PIP_USER="0",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        # Um kernel "python3" que o usuário tenha registrado não pode ganhar do kernel deste ambiente.
        JUPYTER_PREFER_ENV_PATH="1",
        JUPYTER_CONFIG_DIR=str(estado / "jupyter"),
        JUPYTER_DATA_DIR=str(estado / "jupyter-dados"),
        IPYTHONDIR=str(estado / "ipython"),
        MPLCONFIGDIR=str(estado / "matplotlib"),
    )
    # Com outro processo na máquina, a espera ativa do OpenMP deixa um treino pequeno várias vezes mais lento.
    var.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    var.update(extra)
    return var


def versao_presa(pacote: str) -> str:
    """A versão de `pacote` em requirements.txt ou requirements-travas.txt."""
    for nome in (PEDIDOS, TRAVAS):
        texto = (RAIZ / nome).read_text(encoding="utf-8")
        if achado := re.search(rf"^{re.escape(pacote)}==([^\s;#]+)", texto, re.MULTILINE):
            return achado[1]
    raise ErroDeUso(f"{pacote} não tem versão em {PEDIDOS} nem em {TRAVAS}: acrescente `{pacote}==…`.")


def tentativas_do_torch() -> list[list[str]]:
    """Argumentos do pip, na ordem em que se tenta instalar o PyTorch.

    No PyPI, o pacote comum para Linux x86_64 arrasta gigabytes de CUDA que o livro não usa; por isso a variante
    de CPU vem antes: no registro configurado, depois no índice público do PyTorch. Nos outros sistemas
    o pacote comum já é o certo.
    """
    comum = f"torch=={versao_presa('torch')}"
    if sys.platform != "win32" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return [[comum]]
    depressa = ["--retries", "1", "--timeout", "15"]
    return [[f"{comum}+cpu", *depressa], [f"{comum}+cpu", *depressa, "--index-url", INDICE_TORCH_CPU], [comum]]


def passos_do_preparo(novo: bool) -> list[tuple[str, list[list[str]]]]:
    """Título de cada passo e os comandos que o cumprem: vale o primeiro que der certo."""
    pip = [str(python_do_venv()), "-m", "pip"]
    # Sem compilar tudo de antemão: o Python compila o que importar, na primeira vez.
    instalar = [*pip, "install", "--no-input", "--no-compile", "-c", TRAVAS]
    basicos = [f"{nome}=={versao_presa(nome)}" for nome in ("pip", "setuptools", "wheel")]
    # O pip que vem com os Pythons mais antigos ainda não tem esta barra: só depois de atualizá-lo.
    barra = ["--progress-bar", "raw"]
    # Sem isolamento, o que se compila usa o setuptools preso, e nada a mais é baixado.
    preso = ["--no-build-isolation", *barra]
    # O Python de fora do .venv, mesmo que o comando tenha sido dado com o .venv ativado.
    base = getattr(sys, "_base_executable", None) or sys.executable
    criar = ("Criando .venv", [[base, "-m", "venv", str(VENV)]])
    # Instalado sem as dependências, o extra das medições não passaria na conferência do último passo.
    desfazer = ("Retirando o extra de `make bench`", [[*pip, "uninstall", "-y", "-r", BENCH]])
    return [
        criar if novo else desfazer,
        ("Instalando o pip e o setuptools", [[*instalar, *basicos]]),
        ("Instalando o PyTorch, a maior das bibliotecas", [[*instalar, *barra, *t] for t in tentativas_do_torch()]),
        ("Instalando as demais bibliotecas", [[*instalar, *preso, "-r", PEDIDOS]]),
        ("Instalando llmdefinitions", [[*instalar, *preso, "--no-deps", "-e", "."]]),
        ("Conferindo se as versões combinam", [[*pip, "check"]]),
    ]


def preparar() -> bool:
    """Deixa `.venv` pronto. Devolve `False` quando não havia nada a fazer.

    O carimbo é apagado antes da primeira mudança e só volta depois da última: um preparo interrompido
    nunca parece completo, e o seguinte recomeça de um `.venv` vazio.
    """
    if pronto():
        return False
    inicio = time.monotonic()
    alvo = chave()  # antes de começar: se um pedido mudar durante o preparo, o próximo refaz
    identidade = {"python": platform.python_version(), "pasta": str(RAIZ)}
    # Só um ambiente completo, deste Python e desta pasta, pode ser atualizado no lugar.
    aproveita = python_do_venv().exists() and identidade.items() <= ler_carimbo().items()
    print(f"Preparando o ambiente do livro em {VENV} (Python {identidade['python']}).")
    if aproveita:
        print("As versões pedidas mudaram desde o último preparo: atualizando.")
    else:
        print("Só na primeira vez, o pip baixa algumas centenas de MB.")
    (VENV / "preparado.json").unlink(missing_ok=True)
    if not aproveita and VENV.exists():
        print("Apagando o .venv anterior, incompleto ou de outro Python.")
        apagar(VENV)
    registro = RAIZ / "_build" / "preparo.log"
    registro.parent.mkdir(exist_ok=True)
    registro.write_text("", encoding="utf-8")
    passos = passos_do_preparo(novo=not aproveita)
    for numero, (titulo, alternativas) in enumerate(passos, 1):
        comeco = time.monotonic()
        print(f"[{numero}/{len(passos)}] {titulo}")
        for argv in alternativas:
            codigo = executar(argv, registro, pasta=RAIZ, variaveis=variaveis())
            if codigo == 0:
                break
        else:
            fim = registro.read_text(encoding="utf-8").splitlines()[-25:]
            raise ErroDeUso(
                "\n".join(fim) + f"\n\nO passo {numero} ({titulo}) falhou com o código {codigo}; "
                f"a saída completa está em {registro}.\nSe ela fala de rede, confira a conexão ou o proxy e repita "
                "o comando: o que já foi baixado fica no cache do pip."
            )
        print(f"      pronto em {duracao(time.monotonic() - comeco)}")
    gravar_atomico(VENV / "preparado.json", json.dumps({"chave": alvo, **identidade}, indent=1).encode())
    print(f"Ambiente pronto em {duracao(time.monotonic() - inicio)}.")
    return True
