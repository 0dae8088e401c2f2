"""O laço de pré-treino: um ou mais processos, mortes e retomadas, e o que cada passo calcula."""

import json
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from modelos import iguais, um_fio  # noqa: F401
from safetensors.torch import load_file, save_file
from treino_distribuido import (
    RECEITA,
    Grupo,
    abre_mistura,
    grava_fontes,
    lanca,
    passos,
    perdas,
    porta_livre,
    prepara_servidor,
    registro,
    roda,
    treina,
)

from llmdefinitions import GPTModel
from llmdefinitions.checkpoint import CheckpointError
from llmdefinitions.distributed import World
from llmdefinitions.mixture import Mixture
from llmdefinitions.pretrainer import Pretrainer, read_log
from llmdefinitions.token_store import TokenStore
from llmdefinitions.training import warmup_cosine

UM = World(0, 1, torch.device("cpu"))
CURTA = replace(RECEITA, steps=9, eval_every=4)
TESTES = Path(__file__).parent
so_linux = pytest.mark.skipif(sys.platform != "linux", reason="processos que conversam pelo gloo: conferidos no Linux")


@pytest.fixture(autouse=True)
def servidor_de_processos(monkeypatch: pytest.MonkeyPatch) -> None:
    prepara_servidor(monkeypatch)


@pytest.fixture(scope="module")
def dados(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grava_fontes(tmp_path_factory.mktemp("dados"))


@pytest.fixture(scope="module")
def pares(dados, tmp_path_factory) -> dict[int, Path]:
    """Treinos sem interrupção, em um e em dois processos."""
    base = tmp_path_factory.mktemp("referencia")
    with pytest.MonkeyPatch.context() as patch:
        prepara_servidor(patch)
        return {n: roda(n, dados, base / str(n)) for n in (1, 2)}


def pesos_finais(pasta: Path) -> bytes:
    return (pasta / "fim.safetensors").read_bytes()


def maior_diferenca(a: Path, b: Path) -> float:
    x, y = perdas(a), perdas(b)
    assert len(x) == len(y) == RECEITA.steps
    return max(abs(p - q) for p, q in zip(x, y, strict=True))


def amostras(pasta: Path) -> list[list[range]]:
    """O que cada processo pediu, na ordem; um arquivo por processo."""
    arquivos = sorted(pasta.glob("amostras-*.txt"))
    return [[range(*map(int, linha.split())) for linha in a.read_text().splitlines()] for a in arquivos]


# --- o que um passo calcula


def test_igual_a_um_laco_escrito_a_mao(dados, tmp_path):
    trainer = treina(dados, tmp_path, UM, CURTA)
    mistura = abre_mistura(dados, CURTA)
    torch.manual_seed(CURTA.seed)
    modelo = GPTModel(CURTA.model_config)
    matrizes = [p for p in modelo.parameters() if p.ndim >= 2]
    vetores = [p for p in modelo.parameters() if p.ndim < 2]
    grupos = [{"params": matrizes, "weight_decay": 0.1}, {"params": vetores, "weight_decay": 0.0}]
    otimizador = torch.optim.AdamW(grupos, lr=0.0, betas=(0.9, 0.95), foreach=False)
    for passo, linha in enumerate(read_log(tmp_path / "registro.jsonl")):
        taxa = CURTA.lr * warmup_cosine(passo, CURTA.steps, CURTA.warmup_steps, CURTA.min_lr_ratio)
        for grupo in otimizador.param_groups:
            grupo["lr"] = taxa
        x, y = mistura.batch(range(passo * 8, passo * 8 + 8))
        perda = F.cross_entropy(modelo(x).flatten(0, 1), y.flatten())
        otimizador.zero_grad()
        perda.backward()
        norma = torch.cat([p.grad.flatten() for p in modelo.parameters()]).norm()
        for p in modelo.parameters():
            p.grad *= min(1.0, CURTA.max_grad_norm / norma)
        otimizador.step()
        # O AdamW fundido e a norma somada por partes arredondam em outra ordem: eps de 1,2e-7 sobre perdas de ~4,5.
        assert linha["loss"] == pytest.approx(perda.item(), abs=3e-6)
        assert linha["grad_norm"] == pytest.approx(norma.item(), rel=1e-5)
        assert linha["lr"] == taxa
        assert linha["step"] == passo + 1
        assert linha["tokens"] == (passo + 1) * 8 * 16
    assert trainer.step == CURTA.steps
    assert not trainer.model.training


def test_aprende_e_registra_o_tempo(pares):
    linhas = read_log(pares[1] / "registro.jsonl")
    assert linhas[-1]["loss"] < linhas[0]["loss"] - 0.7
    segundos = [linha["seconds"] for linha in linhas]
    assert segundos == sorted(segundos)
    assert all(linha["tokens_per_second"] > 0 for linha in linhas)


def gradientes(mundo: World, dados: Path, pasta: Path, receita) -> None:
    """Um passo, gravando os gradientes que o otimizador recebe no processo 0."""

    def espia(trainer: Pretrainer) -> None:
        passo = trainer.optimizer.step

        def grava() -> None:
            if mundo.is_main:
                nomeados = trainer.model.named_parameters()
                save_file({nome: p.grad.clone() for nome, p in nomeados}, pasta / "gradientes.safetensors")
            passo()

        trainer.optimizer.step = grava

    treina(dados, pasta, mundo, receita, until=1, preparo=espia)


@so_linux
@pytest.mark.parametrize(("processos", "micro"), [(1, 8), (1, 2), (2, 8), (2, 2)])
def test_gradientes_sao_os_do_lote_inteiro(dados, tmp_path, processos, micro):
    # O corte em 1e9 não corta nada: o fator fica em 1.
    receita = replace(RECEITA, micro_batch_size=micro, max_grad_norm=1e9)
    Grupo(processos, tmp_path, gradientes, dados, tmp_path, receita).termina_bem()
    achados = load_file(tmp_path / "gradientes.safetensors")
    torch.manual_seed(receita.seed)
    modelo = GPTModel(receita.model_config).double()
    x, y = abre_mistura(dados, receita).batch(range(8))
    F.cross_entropy(modelo(x).flatten(0, 1), y.flatten()).backward()
    esperados = {nome: p.grad for nome, p in modelo.named_parameters()}
    assert achados.keys() == esperados.keys()
    maior = max(g.abs().max().item() for g in esperados.values())
    for nome, esperado in esperados.items():
        # float32 contra float64: 128 alvos somados, eps de 6e-8 por soma, relativo ao maior gradiente do modelo.
        torch.testing.assert_close(achados[nome].double(), esperado, rtol=0, atol=5e-6 * maior, msg=nome)


# --- um e dois processos


@so_linux
def test_dois_processos_dao_as_perdas_de_um(pares):
    assert maior_diferenca(pares[1], pares[2]) <= 1e-5


@so_linux
@pytest.mark.parametrize("processos", [1, 2])
def test_acumular_gradientes_da_as_mesmas_perdas(dados, pares, tmp_path, processos):
    pasta = roda(processos, dados, tmp_path, replace(RECEITA, micro_batch_size=2))
    assert maior_diferenca(pares[1], pasta) <= 1e-5


@so_linux
def test_com_muon_dois_processos_diferem_so_pelo_arredondamento_em_bfloat16(dados, tmp_path):
    receita = replace(RECEITA, optimizer="muon")
    um = roda(1, dados, tmp_path / "1", receita)
    dois = roda(2, dados, tmp_path / "2", receita)
    partes = roda(1, dados, tmp_path / "partes", replace(receita, micro_batch_size=2))
    # O Muon ortogonaliza em bfloat16, com 8 bits de mantissa: um último bit trocado no gradiente float32 muda a
    # atualização em até 2⁻⁸ dela. Um processo só que acumula o gradiente em partes, sem conversar com ninguém, mostra
    # o mesmo tamanho de diferença (medido: 6e-5 nos dois casos, em perdas de ~3,5); a folga é de oito vezes.
    assert maior_diferenca(um, partes) <= 5e-4
    assert maior_diferenca(um, dois) <= 5e-4


@so_linux
def test_toda_amostra_uma_vez_e_metade_para_cada_processo(pares):
    for processos, pasta in pares.items():
        pedidos = amostras(pasta)
        assert len(pedidos) == processos
        assert all(len(lista) == RECEITA.steps for lista in pedidos)
        for passo, partes in enumerate(zip(*pedidos, strict=True)):
            assert {len(parte) for parte in partes} == {8 // processos}
            assert sorted(i for parte in partes for i in parte) == list(range(passo * 8, passo * 8 + 8))


# --- retomar


@so_linux
@pytest.mark.parametrize(("antes", "depois"), [(2, 1), (1, 2)])
def test_retomar_com_outro_numero_de_processos(dados, pares, tmp_path, antes, depois):
    roda(antes, dados, tmp_path, until=23)
    primeiros = amostras(tmp_path)
    for arquivo in tmp_path.glob("amostras-*.txt"):
        arquivo.unlink()
    roda(depois, dados, tmp_path)
    assert maior_diferenca(pares[1], tmp_path) <= 1e-5
    for pedidos, comeco, fim in ((primeiros, 0, 23 * 8), (amostras(tmp_path), 23 * 8, 50 * 8)):
        todas = [i for lista in pedidos for parte in lista for i in parte]
        assert sorted(todas) == list(range(comeco, fim))


@so_linux
@pytest.mark.parametrize("processos", [2, 3])
def test_retomar_com_os_mesmos_processos_e_igual_bit_a_bit(dados, tmp_path, processos):
    # Com três, a ordem das somas do gloo depende de como o DDP agrupa os gradientes, que muda depois do primeiro passo.
    receita = replace(RECEITA, steps=15, batch_size=6, micro_batch_size=6, emb_dim=64)
    inteiro = roda(processos, dados, tmp_path / "inteiro", receita)
    roda(processos, dados, tmp_path / "partido", receita, until=7)
    partido = roda(processos, dados, tmp_path / "partido", receita)
    assert registro(partido) == registro(inteiro)
    assert pesos_finais(partido) == pesos_finais(inteiro)


@so_linux
@pytest.mark.parametrize("processos", [1, 2])
def test_mortes_em_momentos_sorteados_nao_mudam_nada(dados, pares, tmp_path, processos):
    sorteio = random.Random(processos)
    mortes = treinos = 0
    while mortes < 6:
        pasta = tmp_path / str(treinos)
        treinos += 1
        assert treinos <= 12, f"só {mortes} mortes"
        while not (pasta / "fim.safetensors").exists():
            grupo = lanca(processos, dados, pasta)
            alvo = passos(pasta) + sorteio.randint(1, 20)
            while grupo.vivo() and passos(pasta) < alvo:
                time.sleep(0.001)
            time.sleep(sorteio.uniform(0, 0.02))
            if mortes < 6 and grupo.vivo():
                grupo.mata(sorteio.randrange(processos))
            codigos = grupo.termina()
            if any(codigos):
                mortes += 1
                # Quem fica percebe que o outro morreu, em vez de esperar para sempre, e também acaba com erro; menos
                # quando a morte vem depois do último passo, em que já não há o que esperar.
                assert 0 not in codigos or passos(pasta) == RECEITA.steps
                assert -9 in codigos
        assert registro(pasta) == registro(pares[processos])
        assert pesos_finais(pasta) == pesos_finais(pares[processos])


def test_ultima_linha_partida_e_checkpoint_danificado(dados, tmp_path):
    inteiro = treina(dados, tmp_path / "inteiro", UM, CURTA)
    pasta = tmp_path / "partido"
    treina(dados, pasta, UM, CURTA, until=8)
    novo = pasta / "passo-00000008.safetensors"
    conteudo = bytearray(novo.read_bytes())
    conteudo[-5] ^= 1
    novo.write_bytes(conteudo)
    caminho = pasta / "registro.jsonl"
    caminho.write_bytes(caminho.read_bytes()[:-30])
    assert len(read_log(caminho)) == 7
    with pytest.warns(UserWarning, match=r"passo-00000008.*danificado.*Retomando de passo-00000006"):
        retomado = treina(dados, pasta, UM, CURTA)
    assert registro(pasta) == registro(tmp_path / "inteiro")
    assert iguais(retomado.model.state_dict(), inteiro.model.state_dict())
    assert not list(pasta.glob("*.parcial"))


def test_morte_antes_do_primeiro_checkpoint_recomeca_do_zero(dados, tmp_path):
    tmp_path.joinpath("registro.jsonl").write_text('{"step": 1, "loss": 9.0}\n{"step": 2, "lo')
    treina(dados, tmp_path, UM, CURTA)
    assert [linha["step"] for linha in read_log(tmp_path / "registro.jsonl")] == list(range(1, 10))


def test_chamar_de_novo_no_fim_nao_treina(dados, tmp_path):
    treina(dados, tmp_path, UM, CURTA)
    antes = (tmp_path / "registro.jsonl").read_bytes()
    assert treina(dados, tmp_path, UM, CURTA).step == CURTA.steps
    assert (tmp_path / "registro.jsonl").read_bytes() == antes
    assert sum(len(lista) for lista in amostras(tmp_path)) == CURTA.steps


def test_o_que_nao_muda_os_numeros_pode_mudar_ao_retomar(dados, tmp_path):
    treina(dados, tmp_path / "a", UM, CURTA)
    treina(dados, tmp_path / "b", UM, CURTA, until=4)
    outra = replace(CURTA, checkpoint_every=2, eval_every=3)
    treina(dados, tmp_path / "b", UM, outra)
    assert registro(tmp_path / "a") == registro(tmp_path / "b")


@pytest.mark.parametrize(("campo", "valor"), [("lr", 1e-4), ("steps", 10), ("seed", 12), ("batch_size", 16)])
def test_pasta_de_outra_receita(dados, tmp_path, campo, valor):
    treina(dados, tmp_path, UM, CURTA, until=2)
    antes = (tmp_path / "registro.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=rf"receita com {campo}={getattr(CURTA, campo)!r}, e esta tem {valor!r}"):
        treina(dados, tmp_path, UM, replace(CURTA, **{campo: valor}))
    assert (tmp_path / "registro.jsonl").read_bytes() == antes


def pastas_diferentes(mundo: World, dados: Path, pasta: Path) -> None:
    with pytest.raises(CheckpointError, match="todas as máquinas precisam ver a mesma pasta"):
        Pretrainer(CURTA, abre_mistura(dados, CURTA), pasta / str(mundo.rank), mundo)
    (pasta / f"ok-{mundo.rank}").touch()


@so_linux
def test_processos_que_veem_pastas_diferentes(dados, tmp_path):
    treina(dados, tmp_path / "0", UM, CURTA, until=3)
    grupo = Grupo(2, tmp_path, pastas_diferentes, dados, tmp_path)
    grupo.termina_bem()
    assert len(list(tmp_path.glob("ok-*"))) == 2


# --- medições, erros e compilação


def test_mede_a_cada_tantos_passos_e_no_ultimo_sem_mudar_o_treino(dados, tmp_path):
    medidos = []

    def mede(modelo: torch.nn.Module) -> dict[str, float]:
        medidos.append(trainer.step)
        torch.rand(7)  # sortear na medição não pode mudar o treino
        return {"medida": 0.5}

    receita = replace(CURTA, drop_rate=0.1)
    mistura = abre_mistura(dados, receita)
    trainer = Pretrainer(receita, mistura, tmp_path / "com", UM, mede)
    trainer.run(progress=False)
    assert medidos == [4, 8, 9]
    assert [linha["step"] for linha in read_log(tmp_path / "com/registro.jsonl") if "medida" in linha] == medidos
    treina(dados, tmp_path / "sem", UM, receita)
    assert registro(tmp_path / "com") == registro(tmp_path / "sem")


@pytest.mark.parametrize("onde", ["perda", "gradiente"])
def test_perda_ou_gradiente_que_nao_e_numero_para_antes_de_mexer_nos_pesos(dados, tmp_path, onde):
    trainer = Pretrainer(CURTA, abre_mistura(dados, CURTA), tmp_path, UM)
    trainer.run(until=3, progress=False)
    if onde == "perda":
        trainer.model.pos_emb.weight.data[3, 3] = float("nan")
    else:
        trainer.model.pos_emb.weight.register_hook(lambda g: g * float("inf"))
    antes = {nome: t.clone() for nome, t in trainer.model.state_dict().items()}
    with pytest.raises(FloatingPointError, match=r"no passo 4: o treino divergiu.*lr menor"):
        trainer.run(progress=False)
    depois = trainer.model.state_dict()
    assert all(torch.equal(t.nan_to_num(9), depois[nome].nan_to_num(9)) for nome, t in antes.items())
    assert passos(tmp_path) == 3


def test_lote_que_nao_se_divide(dados, tmp_path):
    mistura = abre_mistura(dados, RECEITA)
    with pytest.raises(ValueError, match="8 janelas por passo não se dividem por 3"):
        Pretrainer(RECEITA, mistura, tmp_path, World(0, 3, torch.device("cpu")))
    receita = replace(RECEITA, batch_size=12, micro_batch_size=4)
    with pytest.raises(ValueError, match="6 janelas por passo, que não se dividem em partes de 4"):
        Pretrainer(receita, mistura, tmp_path, World(0, 2, torch.device("cpu")))
    assert not list(tmp_path.iterdir())


def test_semente_grande_com_dropout(dados, tmp_path):
    receita = replace(CURTA, seed=2**40 + 1, drop_rate=0.1)
    treina(dados, tmp_path / "a", UM, receita)
    treina(dados, tmp_path / "b", UM, receita, until=4)
    treina(dados, tmp_path / "b", UM, receita)
    assert registro(tmp_path / "a") == registro(tmp_path / "b")  # o dropout do passo não depende de ter parado


def test_registro_alterado(tmp_path):
    assert read_log(tmp_path / "nenhum.jsonl") == []
    caminho = tmp_path / "registro.jsonl"
    caminho.write_text('{"step": 1}\nlixo\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"registro.jsonl, linha 2: não é JSON"):
        read_log(caminho)


def test_compile_passa_o_modelo_embrulhado_pelo_torch_compile(dados, tmp_path, monkeypatch):
    recebidos = []
    monkeypatch.setattr(torch, "compile", lambda modelo: recebidos.append(modelo) or modelo)
    trainer = treina(dados, tmp_path, UM, replace(CURTA, compile=True))
    assert recebidos == [trainer.model]


@so_linux
@pytest.mark.lento
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch"
)  # o próprio torch.compile usa o que o torch desaconselha
def test_compilado_da_as_mesmas_perdas(dados, tmp_path):
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, subprocess.CalledProcessError, OSError):
        pytest.skip("sem compilador de C++ que o torch.compile aceite")
    receita = replace(CURTA, n_layers=1)
    treina(dados, tmp_path / "comum", UM, receita)
    trainer = treina(dados, tmp_path / "compilado", UM, replace(receita, compile=True))
    assert trainer._forward is not trainer.model
    # A fusão de operações muda a ordem das somas em float32: eps de 1,2e-7 sobre perdas de ~4,5, ao longo de 9 passos.
    assert perdas(tmp_path / "compilado") == pytest.approx(perdas(tmp_path / "comum"), abs=2e-5)


# --- lentos: torchrun de verdade, e um arquivo de tokens maior que o resto do processo


@so_linux
@pytest.mark.lento
def test_torchrun_com_um_processo_morto_e_recomecado_acaba_igual(dados, pares, tmp_path):
    comando = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"),
        *("--master-port", str(porta_livre()), str(TESTES / "treino_distribuido.py"), str(dados), str(tmp_path)),
    ]
    with open(tmp_path / "saida.txt", "wb") as saida:
        torchrun = subprocess.Popen(comando, stdout=saida, stderr=saida)
        while torchrun.poll() is None and passos(tmp_path) < 7:
            time.sleep(0.001)
        # O processo 1: os testes de um processo só já matam o que grava os checkpoints.
        vitima = json.loads((tmp_path / "processo-1.json").read_text())
        subprocess.run(["kill", "-9", str(vitima)], check=True)
        codigo = torchrun.wait(300)
    texto = (tmp_path / "saida.txt").read_text(errors="replace")
    assert codigo != 0, texto
    assert "Signal 9 (SIGKILL)" in texto or "exitcode  : -9" in texto, texto
    assert not (tmp_path / "fim.safetensors").exists()
    subprocess.run(comando, check=True, timeout=300)
    assert registro(tmp_path) == registro(pares[2])
    assert pesos_finais(tmp_path) == pesos_finais(pares[2])
    assert maior_diferenca(pares[1], tmp_path) <= 1e-5


def arquivo_esparso(pasta: Path, tamanho: int) -> Path:
    """Arquivo de tokens de verdade com `tamanho` bytes de zeros, que o sistema não guarda em disco.

    Lido inteiro uma vez: com o arquivo na memória do sistema, cada janela mapeia 64 KiB à sua volta, que é o pior caso.
    """
    pasta.mkdir()
    with open(pasta / "grande.tokens", "wb+") as arquivo:
        arquivo.truncate(tamanho)
        while arquivo.read(1 << 24):
            pass
    ficha = {"dtype": "<u2", "n_tokens": tamanho // 2, "vocab_size": RECEITA.vocab_size, "sha256": "0" * 64}
    (pasta / "grande.json").write_text(json.dumps(ficha))
    return pasta


def grava_o_pico(mundo: World, dados: Path, pasta: Path) -> None:
    """Treina vinte passos do arquivo e grava o pico de memória residente do processo, em KiB.

    O pico vem de VmHWM: o `ru_maxrss` de um processo filho começa, no Linux, com o do pai.
    """
    receita = replace(
        RECEITA, mixture={"grande": 100}, context_length=64, batch_size=64, micro_batch_size=64, warmup_steps=1,
        steps=20, checkpoint_every=20,
    )  # fmt: skip
    mistura = Mixture({"grande": TokenStore(dados / "grande")}, receita.mixture, 64, receita.seed)
    Pretrainer(receita, mistura, pasta, mundo).run(progress=False)
    linhas = Path("/proc/self/status").read_text().splitlines()
    pico = next(linha.split()[1] for linha in linhas if linha.startswith("VmHWM"))
    (pasta / "pico.txt").write_text(pico)


@so_linux
def test_arquivo_de_dois_gigabytes_nao_pede_mais_memoria_que_um_de_vinte_megabytes(tmp_path):
    picos = {}
    for nome, tamanho in (("pequeno", 20_000_000), ("grande", 2_000_000_000)):
        dados, pasta = arquivo_esparso(tmp_path / nome, tamanho), tmp_path / f"{nome}-treino"
        Grupo(1, pasta, grava_o_pico, dados, pasta).termina_bem()
        picos[nome] = int((pasta / "pico.txt").read_text())
    print(f"picos em MiB: { {nome: valor >> 10 for nome, valor in picos.items()} }")
    assert picos["grande"] <= 1.10 * picos["pequeno"]
