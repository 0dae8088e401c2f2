"""O que cada etapa das tarefas faz: quase sempre, um comando do `.venv`. A ordem delas está em roteiro.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import ambiente
import navegador
import relatorios
from ambiente import RAIZ

SITE = RAIZ / "_build" / "html"
# Cópias dos cadernos, executadas: os de notebooks/ não guardam saídas. (O nbmake ignora o que está em _build.)
EXECUTADOS = RAIZ / "notebooks" / "saida" / "executados"
# As variáveis com que o site executa os cadernos (KERNEL_ENV, em book/_ext/livro_execucao.py; um teste confere).
COMO_O_SITE = {"LIVRO_CONSTRUCAO": "1", "TQDM_DISABLE": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def modo() -> str:
    """`rapido` (padrão, sem rede) ou `completo`."""
    return os.environ.get("LIVRO_MODO") or "rapido"


def como_repetir(tarefa: str) -> str:
    """O comando que roda uma tarefa neste sistema."""
    return rf"py ferramentas\tarefas.py {tarefa}" if os.name == "nt" else f"make {tarefa}"


def python(*argumentos: str, **extra: str) -> int:
    """Roda o Python do `.venv` na raiz do projeto e devolve o código de saída.

    Sem rede no modo rápido: pedir algo ao hub por engano tem de falhar aqui também, não só na sala sem internet.
    """
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if modo() == "rapido" else {}
    variaveis = ambiente.variaveis(LIVRO_MODO=modo(), PYTHONHASHSEED="0", **offline, **extra)
    return subprocess.call([str(ambiente.python_do_venv()), *argumentos], cwd=RAIZ, env=variaveis)


def ferramenta(nome: str, *argumentos: str) -> int:
    """Roda um programa de ferramentas/."""
    return python(str(RAIZ / "ferramentas" / f"{nome}.py"), *argumentos)


def pytest(relatorio: str, *argumentos: str, **extra: str) -> int:
    """Roda o pytest com relatório JUnit em `_build/relatorios`."""
    relatorios.PASTA.mkdir(parents=True, exist_ok=True)
    xml = relatorios.PASTA / f"junit-{relatorio}.xml"
    xml.unlink(missing_ok=True)
    return python("-m", "pytest", f"--junitxml={xml}", *argumentos, **extra)


def preparar() -> int:
    """Cria o `.venv`; quando já está pronto, só diz."""
    if not ambiente.preparar():
        print("Ambiente em dia.")
    return 0


def lint() -> int:
    """Regras e formatação do ruff sobre programas e cadernos."""
    codigo = python("-m", "ruff", "check", ".") or python("-m", "ruff", "format", "--check", ".")
    if codigo:
        print(f"O que tem conserto automático se conserta com: {como_repetir('formatar')}")
    return codigo


def cadernos_do_livro() -> list[str]:
    """Os cadernos publicados, em ordem."""
    return [str(c.relative_to(RAIZ)) for c in sorted((RAIZ / "notebooks").glob("*.ipynb"))]


def saidas() -> int:
    """Nenhum caderno guarda saídas: são exatamente o que o nbstripout produz."""
    if not cadernos_do_livro():
        raise ambiente.ErroDeUso("Não há cadernos em notebooks/: o repositório foi baixado por inteiro?")
    codigo = python("-m", "nbstripout", "--verify", *cadernos_do_livro())
    if codigo:
        print(f"Há cadernos com saídas guardadas ou fora da forma do nbstripout: {como_repetir('formatar')}")
    return codigo


def formatar() -> int:
    """Conserta o que `lint` e `saidas` apontam, quando o conserto é automático."""
    codigos = [
        python("-m", "ruff", "check", "--fix", "."),
        python("-m", "ruff", "format", "."),
        python("-m", "nbstripout", *cadernos_do_livro()),
    ]
    return next((codigo for codigo in codigos if codigo), 0)


def unidade(*argumentos: str) -> int:
    """Testes do pacote, das ferramentas e da estrutura do livro, um processo por núcleo (`-n0` volta a um só)."""
    escolha = ("-m", "not site and not navegador and not juiz", "-n", str(os.cpu_count() or 1), "--dist", "worksteal")
    # Com mais processos que núcleos livres, a espera ativa do OpenMP roubaria o tempo dos outros testes.
    return pytest("unidade", "tests", *escolha, *argumentos, OMP_WAIT_POLICY="PASSIVE")


def cadernos() -> int:
    """Todo caderno roda de um kernel novo, sem erro e, no modo rápido, dentro do limite de tempo.

    As execuções ficam no cache do site, que não as repete. Vão dois ao mesmo tempo, cada um com a metade dos núcleos:
    os modelos daqui são pequenos demais para que uma conta se reparta bem entre muitos.
    """
    nucleos = os.cpu_count() or 1
    juntos = min(2, nucleos)
    limite = relatorios.limite_por_caderno()
    por_celula = int(limite * relatorios.FOLGA) + 30 if modo() == "rapido" else 24 * 3600
    shutil.rmtree(EXECUTADOS, ignore_errors=True)
    EXECUTADOS.mkdir(parents=True)
    for caderno in cadernos_do_livro():
        shutil.copy(RAIZ / caderno, EXECUTADOS)
    opcoes = ("--nbmake", "--overwrite", f"--nbmake-timeout={por_celula}", "-n", str(juntos), "--dist", "worksteal")
    variaveis = {**COMO_O_SITE, "OMP_NUM_THREADS": str(nucleos // juntos)}
    codigo = pytest("cadernos", str(EXECUTADOS), *opcoes, **variaveis) or ferramenta("execucoes", str(EXECUTADOS))
    if codigo or modo() != "rapido":
        return codigo
    casos = relatorios.ler()["cadernos"]
    queixas = relatorios.conferir_tempos(casos, limite, relatorios.PASTA / "tempos-cadernos.json")
    for queixa in queixas:
        print(queixa)
    return 1 if queixas else 0


def testes_site() -> int:
    """O site construído, lido como HTML e aberto no navegador."""
    extra = {"LIVRO_SITE": "1"}
    if caminho := navegador.encontrar():
        extra["LIVRO_CHROMIUM"] = caminho
    if navegador.obrigatorio():
        extra["LIVRO_NAVEGADOR"] = "1"
    processos = ("-n", str(min(2, os.cpu_count() or 1)), "--dist", "worksteal")
    # Só os arquivos que têm desses testes: ler os outros todos, para não rodar nenhum, levaria meio minuto.
    marcas = ("pytest.mark.site", "pytest.mark.navegador")
    arquivos = [
        str(a) for a in sorted((RAIZ / "tests").glob("test_*.py")) if any(m in a.read_text("utf-8") for m in marcas)
    ]
    return pytest("site", *arquivos, "-m", "site or navegador", *processos, **extra)


def bench(*argumentos: str) -> int:
    """Instala a implementação de origem, sem dependências, e mede as duas lado a lado."""
    instalar = python("-m", "pip", "install", "--quiet", "--no-deps", "-r", ambiente.BENCH)
    return instalar or ferramenta("bench", *argumentos)


def _com_o_juiz() -> dict[str, str]:
    """Instala o servidor do juiz e os pesos numa pasta à parte, e devolve a variável que a põe no caminho do Python.

    Fora do `.venv`: com o extra instalado nele, o capítulo 6 falaria com um servidor a cada construção do livro.
    """
    pasta, pedidos = RAIZ / "_build" / "juiz" / "pacotes", (RAIZ / ambiente.JUIZ).read_bytes()
    carimbo = pasta / "pedidos.txt"
    if not carimbo.is_file() or carimbo.read_bytes() != pedidos:
        ambiente.apagar(pasta)
        destino = ("--no-deps", "--target", str(pasta), "-r", ambiente.JUIZ)
        if python("-m", "pip", "install", "--quiet", *destino):
            raise ambiente.ErroDeUso("O juiz local não foi instalado: veja a mensagem do pip, acima, e a rede.")
        ambiente.gravar_atomico(carimbo, pedidos)
    return {"PYTHONPATH": str(pasta)}


def juiz(*argumentos: str) -> int:
    """Sobe o juiz local e grava os vereditos dele sobre os duelos do livro, ou continua de onde parou."""
    return python(str(RAIZ / "ferramentas" / "juiz.py"), *argumentos, **_com_o_juiz())


def testes_juiz() -> int:
    """Os testes que conversam com o juiz de verdade; aqui nenhum é pulado por falta do extra."""
    return pytest("juiz", "tests/test_judge_server.py", "-m", "juiz", **_com_o_juiz(), LIVRO_JUIZ="1")


def mini_pt(*argumentos: str) -> int:
    """Treina o mini-pt em `_build/mini-pt`, ou continua de onde parou.

    Aceita `ORCAMENTO=5min`, `PASTA=pasta` e `PROCESSOS=2`; o resto (`steps=200`, `--receita …`) vai para o programa.
    """
    nossas = ("ORCAMENTO", "PASTA", "PROCESSOS")
    pares = dict(a.split("=", 1) for a in argumentos if a.partition("=")[0] in nossas and "=" in a)
    resto = [a for a in argumentos if a.partition("=")[0] not in pares]
    processos = pares.get("PROCESSOS", "1")
    if not processos.isdecimal() or int(processos) < 1:
        raise ambiente.ErroDeUso(f"PROCESSOS={processos!r}: esperado um inteiro ≥ 1, como PROCESSOS=2.")
    opcoes = ["--pasta", pares.get("PASTA") or str(RAIZ / "_build" / "mini-pt")]
    if "ORCAMENTO" in pares:
        opcoes += ["--orcamento", pares["ORCAMENTO"]]
    programa = ["-m", "llmdefinitions.pretrain", *opcoes, *resto]
    if processos == "1":
        return python(*programa)
    # Sem isto o torchrun dá um fio a cada processo, por mais núcleos que haja, e avisa disso.
    fios = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // int(processos)))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processos]
    return python(*torchrun, *programa, OMP_NUM_THREADS=fios)


def experimentos() -> int:
    """Refaz as medidas longas que os capítulos 4 e 5 mostram, uma depois da outra, para que não disputem a máquina."""
    return ferramenta("experimentos_sft") or ferramenta("experimentos_lora")


def servir() -> int:
    """Serve o site construído em http://127.0.0.1, até Ctrl+C."""
    if not (SITE / "index.html").is_file():
        print(f"O site ainda não foi construído: {como_repetir('livro')}", file=sys.stderr)
        return 1
    porta = os.environ.get("PORTA") or "8000"
    print(f"Servindo em http://127.0.0.1:{porta}/ (Ctrl+C encerra; PORTA=8001 muda a porta).", flush=True)
    return python("-m", "http.server", porta, "--bind", "127.0.0.1", "--directory", str(SITE))


def limpar() -> int:
    """Apaga o que se refaz sem rede: `_build` e os caches."""
    for nome in ("_build", "notebooks/saida", ".pytest_cache", ".ruff_cache", ".hypothesis", ".jupyter_cache"):
        ambiente.apagar(RAIZ / nome)
    for pasta in ("book", "ferramentas", "llmdefinitions", "notebooks", "tests"):
        for cache in list((RAIZ / pasta).rglob("__pycache__")):
            ambiente.apagar(cache)
    print("Apagados _build e os caches. O ambiente (.venv) ficou: `limpar-tudo` o apaga também.")
    return 0


def limpar_tudo() -> int:
    """Apaga também o que precisa de rede para voltar: `.venv` e `_extra`."""
    limpar()
    for nome in (".venv", "_extra"):
        ambiente.apagar(RAIZ / nome)
    return 0


def mostrar_site() -> int:
    """Diz onde está o site e como abri-lo."""
    pagina = SITE / "index.html"
    abrir = {"win32": "start", "darwin": "open"}.get(sys.platform, "xdg-open")
    print(f"O livro está em {pagina}")
    print(
        f"Para ler: abra esse arquivo no navegador ({abrir} {pagina.relative_to(RAIZ)}) ou use {como_repetir('servir')}"
    )
    return 0
