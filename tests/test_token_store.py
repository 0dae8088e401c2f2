"""Arquivo de tokens: ida e volta, janelas, arquivos estragados, quedas no meio da escrita e memória limitada."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdefinitions import token_store
from llmdefinitions.token_store import TokenStore, write_tokens

IDS = np.arange(1000) % 300
RAIZ = Path(__file__).parent.parent
# Um pacote vazio no lugar do de verdade: o módulo só precisa do numpy, e importar o torch levaria segundos.
SEM_TORCH = f"""
import os, sys, types
import numpy as np
pacote = types.ModuleType("llmdefinitions")
pacote.__path__ = [{str(RAIZ / "llmdefinitions")!r}]
sys.modules["llmdefinitions"] = pacote
from llmdefinitions.token_store import TokenStore, write_tokens
caminho = sys.argv[1]
"""
MORRE = """
def pedacos():
    yield np.arange(300)
    os._exit(9)
write_tokens(caminho, pedacos(), 300)
"""
LEITOR = "print(TokenStore(caminho).read(np.arange(0, 990, 7), 10).sum())"
MEMORIA = """
def memoria(qual):
    return next(int(linha.split()[1]) >> 10 for linha in open("/proc/self/status") if linha.startswith(qual))

pedaco = np.arange(1 << 20, dtype=np.int64) % 65536  # 2 MB no arquivo
antes = memoria("VmRSS")
loja = write_tokens(caminho, (pedaco for _ in range(128)), 65536)
escrita = memoria("VmHWM") - antes
gerador = np.random.default_rng(0)
for _ in range(60):
    comecos = gerador.integers(0, len(loja) - 257, 64)
    assert np.array_equal(loja.read(comecos, 257)[:, 0], comecos % 65536)
print(escrita, memoria("VmHWM") - antes)
"""


def em_outro_processo(codigo: str, caminho: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", SEM_TORCH + codigo, str(caminho)],
        timeout=300,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def arquivo(tmp_path: Path) -> Path:
    write_tokens(tmp_path / "corpus", [IDS], 300, n_documents=3)
    return tmp_path / "corpus"


# --- ida e volta -----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.data(), st.sampled_from([2, 65_536, 65_537, 1 << 32]))
def test_o_arquivo_tem_os_ids_em_little_endian_e_a_leitura_os_devolve(data, vocab_size):
    pedaco = st.lists(st.integers(0, vocab_size - 1) | st.just(vocab_size - 1), max_size=12)
    pedacos = data.draw(st.lists(pedaco, min_size=1, max_size=5).filter(any))
    todos = [i for p in pedacos for i in p]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as pasta:  # o Windows não apaga o que está mapeado
        caminho = Path(pasta, "x")
        loja = write_tokens(caminho, (np.array(p, dtype=np.int64) for p in pedacos), vocab_size)
        letra = "H" if vocab_size <= 65_536 else "I"
        assert Path(pasta, "x.tokens").read_bytes() == struct.pack(f"<{len(todos)}{letra}", *todos)
        assert loja.read(np.array([0]), len(todos)).tolist() == [todos]
        assert len(loja) == len(todos)
        assert len(TokenStore(caminho, verify=True)) == len(todos)


def test_em_pedacos_ou_de_uma_vez_sai_o_mesmo(tmp_path):
    write_tokens(tmp_path / "um", [IDS], 300)
    write_tokens(tmp_path / "muitos", np.array_split(IDS, 37), 300)
    assert (tmp_path / "um.tokens").read_bytes() == (tmp_path / "muitos.tokens").read_bytes()
    assert (tmp_path / "um.json").read_bytes() == (tmp_path / "muitos.json").read_bytes()


def test_a_ficha_guarda_os_fatos_e_eles_nao_trocam_o_que_e_dela(tmp_path):
    loja = write_tokens(tmp_path / "x", [IDS], 300, n_documents=7, titulo="ação", sha256="outro", n_tokens=1)
    assert (loja.info["n_documents"], loja.info["titulo"]) == (7, "ação")
    assert (loja.info["n_tokens"], loja.info["vocab_size"], loja.info["dtype"]) == (1000, 300, "<u2")
    assert len(TokenStore(tmp_path / "x", verify=True)) == 1000


def test_so_um_pedaco_e_pedido_por_vez(tmp_path):
    gravados = []

    def pedacos() -> Iterator[np.ndarray]:
        for i in range(3):
            gravados.append(i)
            yield np.array([i])

    write_tokens(tmp_path / "x", pedacos(), 3)
    assert gravados == [0, 1, 2]


@pytest.mark.parametrize(
    ("pedacos", "mensagem"),
    [
        ([np.array([0, 1, 300])], "ids de 0 a 300 e vocab_size=300: use o vocabulário"),
        ([np.array([5]), np.array([-1, 2])], "ids de -1 a 2 e vocab_size=300"),
        ([], "nenhum token a gravar"),
        ([np.array([], dtype=np.int64), []], "nenhum token a gravar"),
        ([np.array([0.5, 1.0])], r"pedaço \(2,\) de float64: esperado um vetor \(n,\) de ids inteiros"),
        ([np.array([[1, 2]])], r"pedaço \(1, 2\) de int64"),
        ([np.array([True])], r"pedaço \(1,\) de bool"),
    ],
)
def test_ids_que_nao_servem_nao_deixam_nada(tmp_path, pedacos, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        write_tokens(tmp_path / "x", pedacos, 300)
    assert list(tmp_path.iterdir()) == []


# --- arquivos estragados ---------------------------------------------------------------------------


def _trunca(caminho: Path) -> None:
    os.truncate(f"{caminho}.tokens", 1999)


def _cresce(caminho: Path) -> None:
    os.truncate(f"{caminho}.tokens", 2002)


def _troca_ficha(**mudancas: object):
    def estraga(caminho: Path) -> None:
        ficha = json.loads(Path(f"{caminho}.json").read_text(encoding="utf-8"))
        Path(f"{caminho}.json").write_text(json.dumps({**ficha, **mudancas}), encoding="utf-8")

    return estraga


def _escreve_ficha(conteudo: bytes):
    return lambda caminho: Path(f"{caminho}.json").write_bytes(conteudo)


@pytest.mark.parametrize(
    ("estraga", "mensagem"),
    [
        (_trunca, r"1999 bytes, esperado 2000 \(1000 tokens de 2 bytes\): o arquivo está truncado"),
        (_cresce, "2002 bytes, esperado 2000"),
        (_troca_ficha(n_tokens=999), r"2000 bytes, esperado 1998"),
        (_troca_ficha(dtype="<u4"), r"esperado 4000 \(1000 tokens de 4 bytes\)"),
        (_troca_ficha(dtype="<f2"), "não é a ficha de um arquivo de tokens"),
        (_troca_ficha(dtype=["<u2"]), "não é a ficha de um arquivo de tokens"),
        (_troca_ficha(n_tokens="1000"), "falta n_tokens"),
        (_troca_ficha(n_tokens=0), "falta n_tokens"),
        (_troca_ficha(sha256=None, vocab_size=None), "falta vocab_size, sha256"),
        (_escreve_ficha(b"{'dtype'"), "não é um arquivo de tokens legível.*apague-o e prepare"),
        (_escreve_ficha(b"\xff\xfe\x00"), "não é um arquivo de tokens legível"),
        (_escreve_ficha(b"null"), "não é a ficha"),
        (_escreve_ficha(b'{"model": "gpt2"}'), "não é a ficha"),
        (lambda caminho: os.unlink(f"{caminho}.json"), "não é um arquivo de tokens legível"),
        (lambda caminho: os.unlink(f"{caminho}.tokens"), "não é um arquivo de tokens legível"),
    ],
)
def test_arquivo_estragado_nao_abre(arquivo, estraga, mensagem):
    estraga(arquivo)
    with pytest.raises(ValueError, match=mensagem):
        TokenStore(arquivo)


def test_um_byte_trocado_so_se_percebe_com_verify(arquivo):
    conteudo = bytearray(Path(f"{arquivo}.tokens").read_bytes())
    conteudo[700] ^= 1
    Path(f"{arquivo}.tokens").write_bytes(conteudo)
    assert len(TokenStore(arquivo)) == 1000
    with pytest.raises(ValueError, match=r"sha256.*esperado.*o conteúdo mudou"):
        TokenStore(arquivo, verify=True)


# --- quedas no meio da escrita ---------------------------------------------------------------------


def _pedacos_que_caem() -> Iterator[np.ndarray]:
    yield np.array([1, 2, 3])
    raise KeyboardInterrupt


def test_interrompido_nao_deixa_nada(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_tokens(tmp_path / "x", _pedacos_que_caem(), 300)
    assert list(tmp_path.iterdir()) == []


def test_interrompido_o_arquivo_antigo_continua_inteiro(arquivo):
    with pytest.raises(KeyboardInterrupt):
        write_tokens(arquivo, _pedacos_que_caem(), 300)
    assert TokenStore(arquivo, verify=True).read(np.array([0]), 1000)[0].tolist() == IDS.tolist()
    assert sorted(p.name for p in arquivo.parent.iterdir()) == ["corpus.json", "corpus.tokens"]


@pytest.mark.skipif(os.name == "nt", reason="no Windows um arquivo mapeado não pode ser substituído")
@pytest.mark.parametrize("onde", ["antes da troca", "entre os tokens e a ficha"])
def test_queda_na_troca_deixa_um_arquivo_que_nao_abre(arquivo, monkeypatch, onde):
    # Mesmo número de tokens: com a ficha antiga ao lado, o tamanho não denunciaria a mistura.
    def cai(*_: object) -> None:
        raise OSError("faltou luz")

    if onde == "antes da troca":
        monkeypatch.setattr(token_store.os, "replace", cai)
    else:
        monkeypatch.setattr(token_store, "write_json", cai)
    with pytest.raises(OSError, match="faltou luz"):
        write_tokens(arquivo, [IDS[::-1]], 300)
    with pytest.raises(ValueError, match="não é um arquivo de tokens legível"):
        TokenStore(arquivo)
    monkeypatch.undo()
    refeito = write_tokens(arquivo, [IDS[::-1]], 300)
    assert refeito.read(np.array([0]), 3).tolist() == [IDS[::-1][:3].tolist()]


def test_processo_morto_no_meio_nao_deixa_nada_que_abra_e_a_vez_seguinte_limpa(tmp_path):
    # Matar é o sistema que faz: nem `finally` roda. Aqui o processo some com _exit no meio do iterador.
    morto = em_outro_processo(MORRE, tmp_path / "x")
    assert morto.returncode == 9, morto.stderr
    assert [p.suffix for p in tmp_path.iterdir()] == [".parcial"]
    with pytest.raises(ValueError, match="não é um arquivo de tokens legível"):
        TokenStore(tmp_path / "x")
    write_tokens(tmp_path / "x", [IDS], 300)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.json", "x.tokens"]


# --- janelas ---------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(st.data(), st.integers(1, 40))
def test_cada_janela_e_um_pedaco_da_sequencia(loja, data, comprimento):
    comecos = data.draw(st.lists(st.integers(0, 1000 - comprimento), max_size=30))
    lidas = loja.read(np.array(comecos, dtype=np.int64), comprimento)
    assert lidas.dtype == np.int64
    assert lidas.shape == (len(comecos), comprimento)
    assert lidas.tolist() == [IDS[c : c + comprimento].tolist() for c in comecos]


@pytest.fixture(scope="module")
def loja(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return write_tokens(tmp_path_factory.mktemp("loja") / "x", [IDS], 300)


def test_janelas_nas_beiradas(loja):
    assert loja.read(np.array([0, 999]), 1).tolist() == [[IDS[0]], [IDS[999]]]
    assert loja.read(np.array([0]), 1000)[0].tolist() == IDS.tolist()


@pytest.mark.parametrize(
    ("comecos", "comprimento", "mensagem"),
    [
        ([-1], 5, "janelas de -1 a 4 num arquivo de 1000 tokens"),
        ([0, 996], 5, "janelas de 0 a 1001 num arquivo de 1000 tokens: diminua o contexto"),
        ([1000], 1, "janelas de 1000 a 1001"),
        ([0], 1001, "janelas de 0 a 1001"),
        ([0], 0, "length=0: esperado um inteiro ≥ 1"),
        ([], -3, "length=-3"),
    ],
)
def test_janelas_fora_do_arquivo(loja, comecos, comprimento, mensagem):
    with pytest.raises(ValueError, match=mensagem):
        loja.read(np.array(comecos, dtype=np.int64), comprimento)


def test_comecos_em_int32_nao_dao_a_volta(loja):
    ultimo = np.array([np.iinfo(np.int32).max], dtype=np.int32)
    with pytest.raises(ValueError, match="janelas de 2147483647 a 2147483652"):
        loja.read(ultimo, 5)


def test_a_copia_nao_muda_o_arquivo(loja):
    lida = loja.read(np.array([10]), 5)
    lida[:] = 0
    assert loja.read(np.array([10]), 5).tolist() == [IDS[10:15].tolist()]


# --- memória e processos ---------------------------------------------------------------------------


def test_outro_processo_le_o_mesmo_arquivo_ao_mesmo_tempo(arquivo):
    loja = TokenStore(arquivo)
    antes = loja.read(np.arange(0, 990, 7), 10).sum()
    outro = em_outro_processo(LEITOR, arquivo)
    assert int(outro.stdout) == antes == loja.read(np.arange(0, 990, 7), 10).sum()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="mede a memória por /proc, que é do Linux")
def test_a_memoria_nao_cresce_com_o_arquivo(tmp_path):
    medido = em_outro_processo(MEMORIA, tmp_path / "x")
    shutil.rmtree(tmp_path)
    escrita, total = map(int, medido.stdout.split())
    # Arquivo de 256 MB. Medido: 12 MB para escrever e 20 para ler; sem devolver as páginas, a leitura passa de 200.
    assert escrita < 40
    assert total < 80
