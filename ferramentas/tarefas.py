"""Porta de entrada das tarefas do livro: `python ferramentas/tarefas.py livro` (é o que `make livro` chama).

Este arquivo só usa a sintaxe do Python 3.7: precisa rodar em qualquer Python para dizer qual deles falta.
As tarefas moram em roteiro.py, importado só depois da conferência.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

VERSOES = ((3, 11), (3, 12), (3, 13))
# Roda no candidato; o Python do Debian sem o pacote python3-venv tem `venv`, mas não `ensurepip`.
SONDA = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in {VERSOES!r})"


def candidatos():
    """Comandos que podem ser um Python das versões aceitas, em ordem de preferência."""
    comandos = [[sys.executable]]
    for versao in VERSOES:
        numero = "{}.{}".format(*versao)
        if os.name == "nt" and shutil.which("py"):
            comandos.append(["py", "-" + numero])
        caminho = shutil.which("python" + numero)
        if caminho:
            comandos.append([caminho])
    return comandos


def serve(comando):
    """Verdadeiro se o comando é um Python aceito e capaz de criar um ambiente."""
    if comando == [sys.executable] and sys.version_info[:2] not in VERSOES:
        return False
    try:
        return subprocess.call([*comando, "-c", SONDA], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def encontrar():
    """O primeiro candidato que serve, ou `None`."""
    return next((comando for comando in candidatos() if serve(comando)), None)


def ajuda_do_python():
    """O que dizer quando não há Python que sirva."""
    atual = "{}.{}".format(*sys.version_info[:2])
    linhas = ["O livro precisa do Python 3.11, 3.12 ou 3.13 com o módulo venv, e não o encontrou nesta máquina."]
    if sys.version_info[:2] in VERSOES:
        linhas.append(f"O Python atual ({atual}) é de versão aceita, mas não consegue criar ambientes.")
        linhas.append("No Debian e no Ubuntu, falta um pacote: sudo apt install python3-venv")
    else:
        linhas.append(f"O Python atual é o {atual} ({sys.executable}).")
        linhas.append("Debian e Ubuntu: sudo apt install python3.11 python3.11-venv (ou outra das três versões)")
    linhas.append("macOS: brew install python@3.11. Windows: winget install Python.Python.3.11")
    linhas.append("Ou baixe em https://www.python.org/downloads/ e indique o programa: make PYTHON=/caminho/python3.11")
    return "\n".join(linhas)


def principal(argumentos):
    """Confere o Python e executa a tarefa, neste processo ou no primeiro Python que sirva."""
    comando = encontrar()
    if comando is None:
        print(ajuda_do_python(), file=sys.stderr)
        return 3
    if comando != [sys.executable]:
        print("O Python atual não serve; usando {}.".format(" ".join(comando)), flush=True)
        try:
            return subprocess.call([*comando, os.path.abspath(__file__), *argumentos])
        except KeyboardInterrupt:
            return 130
    # Só aqui, porque o módulo usa sintaxe que os Pythons recusados acima não sabem ler.
    from roteiro import executar_tarefa

    return executar_tarefa(argumentos)


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
