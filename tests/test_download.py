"""`download`: contra um servidor real que se comporta mal, nada errado fica com o nome final."""

import contextlib
import email.utils
import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import servidor as s

from llmdefinitions import download
from llmdefinitions.download import DownloadError, download_file, sha256_of

DADOS = random.Random(0).randbytes(300_000)  # maior que vários blocos de leitura
RESUMO = hashlib.sha256(DADOS).hexdigest()
OUTROS = DADOS[:-1] + bytes([DADOS[-1] ^ 1])

pytestmark = pytest.mark.usefixtures("sem_espelho")


@pytest.fixture
def esperas(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Esperas pedidas entre tentativas, anotadas em vez de dormidas."""
    anotadas: list[float] = []
    monkeypatch.setattr(download.time, "sleep", anotadas.append)
    return anotadas


@pytest.fixture
def baixa(servidor, tmp_path, esperas):
    """Liga a rota `/arquivo` a um comportamento e a baixa com tempos curtos."""

    def executa(comportamento, **opcoes):
        servidor.rotas["/arquivo"] = comportamento
        opcoes = {"sha256": RESUMO, "timeout": 0.3, "retries": 2, "backoff": 0.001} | opcoes
        return download_file(servidor.url("/arquivo"), tmp_path / "pasta" / "arquivo.bin", **opcoes)

    return executa


def sobras(tmp_path: Path) -> list[str]:
    """Nomes que ficaram na pasta de destino, fora as travas."""
    return sorted(p.name for p in (tmp_path / "pasta").iterdir() if p.name != ".travas")


def falha(baixa, tmp_path, comportamento, motivo: str, **opcoes) -> DownloadError:
    """Exige `DownloadError` com o motivo e o remédio, e nenhum arquivo com o nome final."""
    with pytest.raises(DownloadError, match=motivo) as erro:
        baixa(comportamento, **opcoes)
    assert not (tmp_path / "pasta" / "arquivo.bin").exists()
    for remedio in ("confira a rede", "LLMDEFINITIONS_ESPELHO", "'bncc'", "'historias'", "/arquivo"):
        assert remedio in str(erro.value)
    return erro.value


# --- o caminho feliz -------------------------------------------------------------------------------


def test_baixa_confere_e_nao_deixa_parcial(baixa, servidor, tmp_path):
    destino = baixa(s.certo(DADOS), n_bytes=len(DADOS))
    assert destino.read_bytes() == DADOS
    assert sobras(tmp_path) == ["arquivo.bin"]
    assert [p.faixa for p in servidor.pedidos] == [None]


def test_arquivo_que_ja_confere_nao_gera_pedido(baixa, servidor):
    baixa(s.certo(DADOS))
    baixa(s.certo(DADOS))
    assert len(servidor.pedidos) == 1


def test_existente_com_hash_errado_e_baixado_de_novo(baixa, tmp_path):
    (tmp_path / "pasta").mkdir()
    (tmp_path / "pasta" / "arquivo.bin").write_bytes(OUTROS)
    assert baixa(s.certo(DADOS)).read_bytes() == DADOS


def test_existente_com_hash_errado_some_mesmo_se_a_origem_falha(baixa, tmp_path):
    (tmp_path / "pasta").mkdir()
    (tmp_path / "pasta" / "arquivo.bin").write_bytes(OUTROS)
    falha(baixa, tmp_path, s.codigo(404), "404")


def test_sem_sha256_o_tamanho_errado_e_baixado_de_novo(baixa, tmp_path):
    (tmp_path / "pasta").mkdir()
    (tmp_path / "pasta" / "arquivo.bin").write_bytes(DADOS[:-1])
    destino = baixa(s.certo(DADOS), sha256=None, n_bytes=len(DADOS))
    assert destino.read_bytes() == DADOS


def test_arquivo_vazio_tambem_e_arquivo(baixa):
    assert baixa(s.certo(b""), sha256=hashlib.sha256(b"").hexdigest()).read_bytes() == b""


def test_segue_redirecionamento(baixa, servidor):
    servidor.rotas["/real"] = s.certo(DADOS)
    assert baixa(s.redireciona("/real")).read_bytes() == DADOS
    assert [p.caminho for p in servidor.pedidos] == ["/arquivo", "/real"]


@pytest.mark.parametrize("destino", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_redirecionamento_para_fora_de_http_e_recusado(baixa, tmp_path, destino):
    assert falha(baixa, tmp_path, s.redireciona(destino), "falhou|302").tries == 1


def test_redirecionamento_em_circulo_termina(baixa, tmp_path):
    assert falha(baixa, tmp_path, s.redireciona("/arquivo"), "302").tries == 1


def test_chunked(baixa):
    assert baixa(s.em_pedacos([DADOS[:1000], DADOS[1000:]])).read_bytes() == DADOS


def test_servidor_que_goteja_mas_nao_para_e_atendido(baixa):
    # 20 bytes a cada 10 ms: cada byte chega bem antes do tempo esgotado de 0,3 s.
    assert baixa(s.goteja(DADOS[:20], 0.01), sha256=None).read_bytes() == DADOS[:20]


def test_barra_calada_fora_do_terminal(baixa, capfd):
    baixa(s.certo(DADOS))
    assert capfd.readouterr() == ("", "")


def test_nao_consome_o_gerador_aleatorio_do_leitor(baixa):
    random.seed(123)
    antes = random.getstate()
    baixa(s.em_ordem(s.codigo(500), s.certo(DADOS)))
    assert random.getstate() == antes


# --- falhas passageiras ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_falha_passageira_e_depois_certo(baixa, servidor, esperas, status):
    assert baixa(s.em_ordem(s.codigo(status), s.certo(DADOS))).read_bytes() == DADOS
    assert len(servidor.pedidos) == 2
    assert len(esperas) == 1


def test_sempre_500_desiste_depois_das_tentativas(baixa, servidor, tmp_path, esperas):
    assert falha(baixa, tmp_path, s.codigo(500), "3 tentativas.*500", backoff=1.0).tries == 3
    assert len(servidor.pedidos) == 3
    # Dobra a cada vez, com sorteio de ±50%: 1 s e depois 2 s.
    assert 0.5 <= esperas[0] <= 1.5
    assert 1.0 <= esperas[1] <= 3.0


def test_429_respeita_retry_after_com_teto(baixa, esperas):
    daqui_a_pouco = email.utils.formatdate(time.time() + 30, usegmt=True)
    respostas = [s.codigo(429, Retry_After=v) for v in ("7", "86400", daqui_a_pouco, "amanhã".encode())]
    respostas[3] = s.codigo(503, Retry_After="logo mais")
    baixa(s.em_ordem(*respostas, s.certo(DADOS)), retries=4)
    assert esperas[0] == 7
    assert esperas[1] == 60
    assert 25 < esperas[2] <= 30  # a data tem resolução de 1 s
    assert esperas[3] < 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416])
def test_falha_definitiva_nao_se_repete(baixa, servidor, tmp_path, esperas, status):
    falha(baixa, tmp_path, s.codigo(status), f"1 tentativa.*{status}")
    assert len(servidor.pedidos) == 1
    assert esperas == []
    assert sobras(tmp_path) == []


def test_servidor_desligado_falha_na_hora(tmp_path, esperas):
    with socket.socket() as livre:
        livre.bind(("127.0.0.1", 0))
        porta = livre.getsockname()[1]
    with pytest.raises(DownloadError, match="a conexão falhou") as erro:
        download_file(f"http://127.0.0.1:{porta}/x", tmp_path / "x", timeout=0.3)
    assert erro.value.tries == 1
    assert esperas == []
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("ruim", [s.trava(DADOS, 100_000), s.mudo], ids=["no meio", "antes do cabeçalho"])
def test_servidor_travado_e_abandonado(baixa, tmp_path, ruim):
    inicio = time.monotonic()
    falha(baixa, tmp_path, ruim, "parou de responder", retries=0, timeout=0.2)
    assert time.monotonic() - inicio < 2  # folga para máquina ocupada; sem o tempo esgotado seriam 10 s


def test_trava_e_depois_retoma(baixa, servidor):
    destino = baixa(s.em_ordem(s.trava(DADOS, 200_000), s.certo(DADOS)))
    assert destino.read_bytes() == DADOS
    assert servidor.pedidos[1].faixa == "bytes=200000-"


# --- retomada --------------------------------------------------------------------------------------


def test_corpo_truncado_retoma_de_onde_parou(baixa, servidor):
    destino = baixa(s.em_ordem(s.trunca(DADOS, 100_000), s.certo(DADOS)))
    assert destino.read_bytes() == DADOS
    primeiro, segundo = servidor.pedidos
    assert (primeiro.faixa, primeiro.enviados) == (None, 100_000)
    assert (segundo.faixa, segundo.codigo, segundo.enviados) == ("bytes=100000-", 206, 200_000)


def test_retoma_em_outra_execucao(baixa, servidor, tmp_path):
    falha(baixa, tmp_path, s.trunca(DADOS, 250_000), "truncado: vieram 250000 de 300000", retries=0)
    assert sobras(tmp_path) == ["arquivo.bin.parcial"]
    assert baixa(s.certo(DADOS)).read_bytes() == DADOS
    assert servidor.pedidos[-1].enviados == 50_000
    assert sobras(tmp_path) == ["arquivo.bin"]


def test_falha_definitiva_de_rede_nao_joga_fora_o_que_ja_veio(baixa, servidor, tmp_path):
    falha(baixa, tmp_path, s.trunca(DADOS, 250_000), "truncado", retries=0)
    falha(baixa, tmp_path, s.codigo(403), "403")
    baixa(s.certo(DADOS))
    assert servidor.pedidos[-1].enviados == 50_000


def test_parcial_completo_dispensa_o_pedido(baixa, servidor, tmp_path):
    (tmp_path / "pasta").mkdir()
    (tmp_path / "pasta" / "arquivo.bin.parcial").write_bytes(DADOS)
    assert baixa(s.codigo(500)).read_bytes() == DADOS
    assert servidor.pedidos == []


def test_servidor_que_ignora_range_recomeca_do_zero(baixa, servidor):
    destino = baixa(s.em_ordem(s.trunca(DADOS, 100_000), s.sem_faixa(DADOS)))
    assert destino.read_bytes() == DADOS
    assert servidor.pedidos[1].faixa == "bytes=100000-"
    assert servidor.pedidos[1].enviados == len(DADOS)


@pytest.mark.parametrize("desvio", [-7, 7])
def test_range_com_inicio_errado_nao_e_emendado(baixa, servidor, desvio):
    truncado = s.trunca(DADOS, 100_000)
    assert baixa(s.em_ordem(truncado, s.faixa_errada(DADOS, desvio))).read_bytes() == DADOS
    assert [p.faixa for p in servidor.pedidos] == [None, "bytes=100000-", None]


def test_parcial_de_outra_versao_e_descartado(baixa, servidor, tmp_path):
    (tmp_path / "pasta").mkdir()
    (tmp_path / "pasta" / "arquivo.bin.parcial").write_bytes(b"lixo" * 10)
    assert baixa(s.certo(DADOS)).read_bytes() == DADOS
    assert [p.faixa for p in servidor.pedidos] == ["bytes=40-", None]


def test_parcial_maior_que_o_arquivo_recomeca(baixa, servidor, tmp_path):
    (tmp_path / "pasta").mkdir()
    (tmp_path / "pasta" / "arquivo.bin.parcial").write_bytes(DADOS + b"sobra")
    assert baixa(s.certo(DADOS)).read_bytes() == DADOS
    assert [p.codigo for p in servidor.pedidos] == [416, 200]


def test_sem_sha256_o_parcial_antigo_nao_e_emendado(baixa, servidor, tmp_path):
    (tmp_path / "pasta").mkdir()
    (tmp_path / "pasta" / "arquivo.bin.parcial").write_bytes(b"lixo")
    assert baixa(s.certo(DADOS), sha256=None).read_bytes() == DADOS
    assert servidor.pedidos[0].faixa is None


def test_sem_sha256_retoma_so_com_etag(baixa, servidor):
    truncado, inteiro = s.trunca(DADOS, 100_000, ETag='"a"'), s.certo(DADOS, ETag='"a"')
    assert baixa(s.em_ordem(truncado, inteiro), sha256=None).read_bytes() == DADOS
    assert servidor.pedidos[1].enviados == 200_000


@pytest.mark.parametrize("cabecalhos", [{}, {"ETag": 'W/"a"'}], ids=["sem ETag", "ETag fraco"])
def test_sem_sha256_e_sem_etag_forte_recomeca(baixa, servidor, cabecalhos):
    truncado = s.trunca(DADOS, 100_000, **cabecalhos)
    assert baixa(s.em_ordem(truncado, s.certo(DADOS, **cabecalhos)), sha256=None).read_bytes() == DADOS
    assert servidor.pedidos[1].faixa is None


def test_etag_que_muda_no_meio_nao_mistura_versoes(baixa, servidor):
    # O servidor devia responder 200 ao If-Range vencido; este manda 206 da versão nova assim mesmo.
    truncado, novo = s.trunca(DADOS, 100_000, ETag='"a"'), s.certo(OUTROS, ETag='"b"')
    assert baixa(s.em_ordem(truncado, novo), sha256=None).read_bytes() == OUTROS
    assert [p.faixa for p in servidor.pedidos] == [None, "bytes=100000-", None]


# --- tamanhos e bytes que mentem -------------------------------------------------------------------


def test_bytes_errados_falham_sem_repetir(baixa, servidor, tmp_path):
    erro = falha(baixa, tmp_path, s.certo(OUTROS), "bytes errados")
    assert RESUMO in str(erro)
    assert hashlib.sha256(OUTROS).hexdigest() in str(erro)
    assert len(servidor.pedidos) == 1
    assert sobras(tmp_path) == []


def test_content_length_maior_que_o_corpo_certo(baixa, servidor):
    assert baixa(s.anuncia(DADOS, len(DADOS) + 50)).read_bytes() == DADOS
    assert len(servidor.pedidos) == 1


def test_content_length_maior_e_conexao_que_nao_fecha(baixa, servidor):
    assert baixa(s.trava(DADOS + b"x", len(DADOS))).read_bytes() == DADOS
    assert len(servidor.pedidos) == 1  # depois do tempo esgotado, o parcial já confere


def test_content_length_maior_sem_sha256_vale_o_tamanho_esperado(baixa):
    mentira = s.anuncia(DADOS, len(DADOS) + 50)
    assert baixa(mentira, sha256=None, n_bytes=len(DADOS)).read_bytes() == DADOS


def test_content_length_maior_sem_nada_para_conferir_e_erro(baixa, tmp_path):
    falha(baixa, tmp_path, s.trunca(DADOS, 1000), "truncado: vieram 1000 de 300000", sha256=None)
    assert sobras(tmp_path) == []


def test_content_length_menor_que_o_corpo(baixa, tmp_path):
    falha(baixa, tmp_path, s.anuncia(DADOS, 299_000), "bytes errados: vieram 299000")


def test_content_length_menor_com_tamanho_conhecido_busca_o_resto(baixa, servidor):
    assert baixa(s.anuncia(DADOS, 299_000), n_bytes=len(DADOS)).read_bytes() == DADOS
    assert servidor.pedidos[1].faixa == "bytes=299000-"


def test_sem_content_length(baixa):
    assert baixa(s.anuncia(DADOS, None)).read_bytes() == DADOS


def test_sem_content_length_e_truncado_tenta_de_novo(baixa, servidor):
    assert baixa(s.em_ordem(s.anuncia(DADOS[:5000], None), s.certo(DADOS))).read_bytes() == DADOS
    assert len(servidor.pedidos) == 2


def test_chunked_cortado_tenta_de_novo(baixa):
    cortado = s.em_pedacos([DADOS[:5000]], termina=False)
    assert baixa(s.em_ordem(cortado, s.certo(DADOS))).read_bytes() == DADOS


def test_maior_que_o_limite_anunciado_nem_comeca(baixa, servidor, tmp_path):
    falha(baixa, tmp_path, s.certo(DADOS), "anuncia 300000 bytes.*99999", max_bytes=99_999)
    assert sobras(tmp_path) == []


@pytest.mark.parametrize("opcoes", [{"max_bytes": 200_000}, {"n_bytes": 200_000}])
def test_corpo_sem_fim_e_cortado_no_limite(baixa, servidor, tmp_path, opcoes):
    falha(baixa, tmp_path, s.infinito, "passa do limite de 200000", **opcoes)
    assert len(servidor.pedidos) == 1
    assert sobras(tmp_path) == []


def test_maior_que_o_esperado_com_content_length_mentiroso(baixa, tmp_path):
    falha(baixa, tmp_path, s.certo(DADOS + b"sobra"), "passa do limite", n_bytes=len(DADOS))
    assert sobras(tmp_path) == []


# --- espelho ---------------------------------------------------------------------------------------


def test_espelho_dispensa_a_rede(baixa, servidor, tmp_path, monkeypatch):
    (tmp_path / "espelho" / "sub").mkdir(parents=True)
    (tmp_path / "espelho" / "sub" / "a.bin").write_bytes(DADOS)
    monkeypatch.setenv(download.MIRROR_ENV, str(tmp_path / "espelho"))
    assert baixa(s.codigo(500), mirror_path="sub/a.bin").read_bytes() == DADOS
    assert servidor.pedidos == []
    assert sobras(tmp_path) == ["arquivo.bin"]


def test_espelho_com_arquivo_errado_e_erro_e_nao_vai_a_rede(baixa, servidor, tmp_path, monkeypatch):
    (tmp_path / "espelho").mkdir()
    (tmp_path / "espelho" / "a.bin").write_bytes(OUTROS)
    monkeypatch.setenv(download.MIRROR_ENV, str(tmp_path / "espelho"))
    erro = falha(baixa, tmp_path, s.certo(DADOS), "arquivo do espelho", mirror_path="a.bin")
    assert erro.tries == 0
    assert RESUMO in str(erro)
    assert servidor.pedidos == []
    assert sobras(tmp_path) == []


def test_espelho_que_nao_e_pasta_e_erro(baixa, tmp_path, monkeypatch):
    monkeypatch.setenv(download.MIRROR_ENV, str(tmp_path / "nada"))
    falha(baixa, tmp_path, s.certo(DADOS), "não é uma pasta", mirror_path="a.bin")


def test_espelho_incompleto_completa_pela_origem(baixa, tmp_path, monkeypatch):
    monkeypatch.setenv(download.MIRROR_ENV, str(tmp_path))
    assert baixa(s.certo(DADOS), mirror_path="a.bin").read_bytes() == DADOS


# --- argumentos, disco e concorrência --------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://x/y", "data:,oi", "exemplo.org/a", "http://", "http://a/b c", "http://é/"]
)
def test_so_http_e_https(url, tmp_path):
    with pytest.raises(ValueError, match="http:// ou https://"):
        download_file(url, tmp_path / "x")


@pytest.mark.parametrize(
    "opcoes", [{"sha256": "abc"}, {"retries": -1}, {"max_bytes": 0}, {"timeout": 0}, {"sha256": RESUMO.upper()}]
)
def test_argumentos_invalidos(opcoes, tmp_path):
    with pytest.raises(ValueError, match=next(iter(opcoes))):
        download_file("http://127.0.0.1:1/x", tmp_path / "x", **opcoes)


def test_pasta_que_nao_se_pode_criar(servidor, tmp_path):
    (tmp_path / "pasta").write_text("sou um arquivo")
    with pytest.raises(DownloadError, match="confira espaço e permissões"):
        download_file(servidor.url("/x"), tmp_path / "pasta" / "x")


def test_os_testes_nao_alcancam_a_internet(tmp_path):
    # 192.0.2.1 é reservado para documentação (RFC 5737); a proibição não pode virar um DownloadError comum.
    with pytest.raises(pytest.fail.Exception, match="o teste tentou usar a rede: '192"):
        download_file("http://192.0.2.1/x", tmp_path / "x")
    with pytest.raises(pytest.fail.Exception, match=r"o teste tentou usar a rede: 'exemplo\.invalid'"):
        download_file("https://exemplo.invalid/x", tmp_path / "x")


def test_sha256_of(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # vetor de teste do FIPS 180-4
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def outro_processo(url: str, destino: Path) -> subprocess.Popen:
    """Baixa `url` num processo novo, sem o `__init__` do pacote, que traria o torch."""
    programa = (
        "import importlib, sys, types\n"
        "pacote = sys.modules['llmdefinitions'] = types.ModuleType('llmdefinitions')\n"
        "pacote.__path__ = [sys.argv[1]]\n"
        "download = importlib.import_module('llmdefinitions.download')\n"
        "print('pronto', flush=True)\n"
        "download.download_file(*sys.argv[2:4], sha256=sys.argv[4], timeout=5, backoff=0.01)\n"
    )
    argumentos = [sys.executable, "-c", programa, str(Path(download.__file__).parent), url, str(destino), RESUMO]
    return subprocess.Popen(argumentos, stdout=subprocess.PIPE, text=True)


def test_processos_simultaneos_nao_se_atrapalham_e_baixam_uma_vez(servidor, tmp_path):
    todos_prontos = threading.Event()

    def responde_quando_todos_pediram(atendente):
        todos_prontos.wait(60)
        s.certo(DADOS)(atendente)

    servidor.rotas["/arquivo"] = responde_quando_todos_pediram
    destino = tmp_path / "arquivo.bin"
    with contextlib.ExitStack() as pilha:
        processos = [pilha.enter_context(outro_processo(servidor.url("/arquivo"), destino)) for _ in range(3)]
        assert [processo.stdout.readline() for processo in processos] == ["pronto\n"] * 3
        time.sleep(0.1)  # o tempo de os outros dois chegarem à trava
        todos_prontos.set()
        assert [processo.wait(60) for processo in processos] == [0, 0, 0]
    assert destino.read_bytes() == DADOS
    assert len(servidor.pedidos) == 1


def test_quem_nao_consegue_a_trava_baixa_num_parcial_avulso(servidor, tmp_path):
    """Um processo suspenso não prende os outros, e ninguém escreve no parcial dele."""
    (tmp_path / "pasta").mkdir()
    destino = tmp_path / "pasta" / "arquivo.bin"
    servidor.rotas["/arquivo"] = s.em_ordem(s.trunca(DADOS, 1000), s.certo(DADOS))
    opcoes = {"sha256": RESUMO, "timeout": 0.1, "retries": 0}
    with download._own_partial(destino, patience=1) as do_outro, ThreadPoolExecutor(1) as linha:
        do_outro.write_bytes(b"do outro")
        with pytest.raises(DownloadError, match="truncado"):
            linha.submit(download_file, servidor.url("/arquivo"), destino, **opcoes).result(30)
        assert sobras(tmp_path) == ["arquivo.bin.parcial"]
        linha.submit(download_file, servidor.url("/arquivo"), destino, **opcoes).result(30)
        assert destino.read_bytes() == DADOS
        assert do_outro.read_bytes() == b"do outro"
        assert sobras(tmp_path) == ["arquivo.bin", "arquivo.bin.parcial"]


def test_processo_morto_no_meio_deixa_o_que_veio_e_o_proximo_retoma(servidor, tmp_path):
    servidor.rotas["/arquivo"] = s.em_ordem(s.trava(DADOS, 196_608), s.certo(DADOS))
    destino = tmp_path / "pasta" / "arquivo.bin"
    parcial, prazo = destino.with_name("arquivo.bin.parcial"), time.monotonic() + 60
    with outro_processo(servidor.url("/arquivo"), destino) as processo:
        while not (parcial.exists() and parcial.stat().st_size > 0) and time.monotonic() < prazo:
            time.sleep(0.01)
        processo.kill()
    ja_veio = os.path.getsize(parcial)
    assert ja_veio > 0
    assert not destino.exists()
    download_file(servidor.url("/arquivo"), destino, sha256=RESUMO, timeout=5)
    assert destino.read_bytes() == DADOS
    assert servidor.pedidos[-1].enviados == len(DADOS) - ja_veio
