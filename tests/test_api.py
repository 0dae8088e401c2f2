"""A interface pública: os nomes, as assinaturas do contrato e o que importar o pacote custa.

Mudar uma linha daqui é mudar a interface: os cadernos e quem usa o módulo precisam continuar funcionando.
"""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import llmdefinitions

PACOTE = Path(llmdefinitions.__file__).parent

# O que o contrato fixa: parâmetros que podem vir por posição, em ordem, com os padrões. O que vier a mais só pode ser
# palavra-chave com padrão.
CONTRATO = {
    "GPTModel": "cfg",
    "generate_text_simple": "model, idx, max_new_tokens, context_size",
    "generate": "model, idx, max_new_tokens, context_size, temperature=0.0, top_k=None, eos_id=None",
    "GPTDatasetV1": "txt, tokenizer, max_length, stride",
    "create_dataloader_v1": (
        "txt, batch_size=4, max_length=256, stride=128, shuffle=True, drop_last=True, num_workers=0"
    ),
    "get_tokenizer": "name='gpt2'",
    "text_to_token_ids": "text, tokenizer",
    "token_ids_to_text": "ids, tokenizer",
    "calc_loss_batch": "x, y, model, device",
    "calc_loss_loader": "loader, model, device, num_batches=None",
    "train_model_simple": (
        "model, train_loader, val_loader, optimizer, device, num_epochs, eval_freq, eval_iter, start_context, tokenizer"
    ),
    "evaluate_model": "model, train_loader, val_loader, device, eval_iter",
    "generate_and_print_sample": "model, tokenizer, device, start_context",
    "plot_losses": "epochs_seen, tokens_seen, train_losses, val_losses",
    "set_device": "use_gpu=True",
    "load_pretrained": "name='mini-pt'",
    "load_weights_into_gpt": "gpt, params",
    "download_and_load_gpt2": "model_size, models_dir",
    "LoRALayer": "in_dim, out_dim, rank, alpha",
    "LinearWithLoRA": "linear, rank, alpha",
    "apply_lora": "model, rank, alpha",
    "merge_lora": "model",
    "format_input": "entry",
    "InstructionDataset": "data, tokenizer",
    "query_model": "prompt, model='llama3', url='http://localhost:11434/api/chat'",
    "generate_model_scores": "json_data, json_key, model='llama3'",
    "custom_collate_fn": ("batch, pad_token_id=50256, ignore_index=-100, allowed_max_length=None, device='cpu'"),
}

# As palavras-chave que o contrato também fixa.
PALAVRAS_DO_CONTRATO = {
    "generate": {"top_p": None, "generator": None, "use_cache": True},
    "generate_model_scores": {"url": "http://localhost:11434/api/chat"},
}

# O resto da interface, congelado por nós: (posicionais, palavras-chave).
CONGELADO = {
    "GPTConfig": (
        (
            "vocab_size, context_length, emb_dim, n_heads, n_layers, drop_rate=0.1, qkv_bias=False, "
            "tie_weights=False, init_std=None"
        ),
        "",
    ),
    "gpt2_config": ("size='124M'", "**changes"),
    "autocast": ("precision, device", ""),
    "available_corpora": ("", ""),
    "load_corpus": ("name", "cache_dir=None, offline=False, n_stories=2000, seed=123"),
    "encode_corpus": ("text_or_documents, tokenizer", "num_threads=None"),
    "split_text": ("txt, train_ratio=0.9", ""),
    "bits_per_byte": ("loss, n_tokens, n_bytes", ""),
    "perplexity": ("loss", ""),
    "distinct_n": ("sequences, n=2", ""),
    "repetition_rate": ("sequences, n=4", ""),
    "training_flops": ("n_params, n_tokens", ""),
    "measure_matmul_flops": ("size=1024, seconds=0.5", "precision='float32', device='cpu'"),
    "CloudCost": ("gpu_hours, gpus_per_server, usd_per_server_hour, brl_per_usd", ""),
    "unmerge_lora": ("model", ""),
    "unload_lora": ("model", "merge=True"),
    "custom_collate_draft_1": ("batch, pad_token_id=50256, device='cpu'", ""),
    "custom_collate_draft_2": ("batch, pad_token_id=50256, device='cpu'", ""),
    "build_adamw": ("model, lr=0.0004, weight_decay=0.1", "betas=(0.9, 0.95)"),
    "warmup_cosine": ("step, total_steps, warmup_steps=0, min_ratio=0.1", ""),
    "save_checkpoint": ("directory, step, model, optimizer=None", "state=None, extra_tensors=None, keep=2"),
    "load_checkpoint": ("path, model, optimizer=None", "with_rng=True, validate=None"),
    "load_latest": ("directory, model, optimizer=None", "validate=None"),
    "save_model": ("model, path", ""),
    "load_model": ("path", ""),
    "save_pretrained": ("model, tokenizer, folder", "dtype=torch.float16, generation=None"),
    "download_file": (
        "url, destination",
        (
            "sha256=None, n_bytes=None, mirror_path=None, timeout=30.0, retries=4, backoff=1.0, "
            "max_bytes=2147483648, progress=True, offline=False"
        ),
    ),
    "plot_next_token": ("tokens, probs", "title='', x_max=None"),
    "use_book_style": ("", ""),
}
EXCECOES = {"CheckpointError", "CorpusUnavailableError", "DownloadError", "ModelUnavailableError"}
DADOS = {"Corpus", "CorpusInfo"}  # montados pelo pacote, nunca pelo leitor
CONSTANTES = {"GPT2_SIZES", "GPT_CONFIG_124M"}


def _partes(nome: str) -> tuple[str, dict[str, object]]:
    """Os parâmetros posicionais, por escrito, e as palavras-chave com os padrões."""
    parametros = inspect.signature(getattr(llmdefinitions, nome)).parameters.values()
    posicionais = [p for p in parametros if p.kind is p.POSITIONAL_OR_KEYWORD]
    resto = {p.name: p for p in parametros if p.kind is not p.POSITIONAL_OR_KEYWORD}
    escritos = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in posicionais)
    for p in resto.values():
        if p.kind is p.VAR_KEYWORD:
            continue
        assert p.kind is p.KEYWORD_ONLY, f"{nome}: *{p.name} deixaria passar argumentos a mais por posição"
        assert p.default is not p.empty, f"{nome}: a palavra-chave {p.name} não tem padrão"
    return escritos, {n: p.default for n, p in resto.items()}


@pytest.mark.parametrize("nome", CONTRATO)
def test_assinatura_do_contrato(nome):
    posicionais, palavras = _partes(nome)
    assert posicionais == CONTRATO[nome]
    fixas = PALAVRAS_DO_CONTRATO.get(nome, {})
    assert fixas.items() <= palavras.items()


@pytest.mark.parametrize("nome", CONGELADO)
def test_assinatura_congelada(nome):
    posicionais, palavras = _partes(nome)
    publicas = [
        f"**{n}" if d is inspect.Parameter.empty else f"{n}={d!r}"
        for n, d in palavras.items()
        if not n.startswith("_")  # um sublinhado é o aviso de que não faz parte da interface
    ]
    assert (posicionais, ", ".join(publicas)) == CONGELADO[nome]


def test_nomes_publicos_congelados():
    esperados = {*CONTRATO, *CONGELADO, *EXCECOES, *DADOS, *CONSTANTES}
    assert set(llmdefinitions.__all__) == esperados


def test_all_em_ordem_sem_repeticao_e_completo():
    # A ordem que o ruff (RUF022) mantém: constantes, classes, funções.
    nomes = llmdefinitions.__all__
    assert len(nomes) == len(set(nomes))
    assert nomes == sorted(nomes, key=lambda n: (0 if n.isupper() else 1 if n[0].isupper() else 2, n))
    modulos = {p.stem for p in PACOTE.glob("*.py")}
    visiveis = {
        n
        for n, valor in vars(llmdefinitions).items()
        if not n.startswith("_") and not (inspect.ismodule(valor) and n in modulos)
    }
    assert visiveis == set(nomes)


def test_importar_tudo_traz_exatamente_os_nomes_publicos():
    espaco: dict = {}
    exec("from llmdefinitions import *", espaco)
    assert set(espaco) - {"__builtins__"} == set(llmdefinitions.__all__)


def _publicos():
    """Toda função, classe e método público de todo módulo do pacote."""
    for arquivo in sorted(PACOTE.glob("*.py")):
        nome = "llmdefinitions" if arquivo.stem == "__init__" else f"llmdefinitions.{arquivo.stem}"
        modulo = importlib.import_module(nome)
        yield nome, modulo
        for n, objeto in vars(modulo).items():
            proprio = getattr(objeto, "__module__", None) == nome and (
                inspect.isclass(objeto) or inspect.isfunction(objeto)
            )
            if n.startswith("_") or not proprio:
                continue
            yield f"{nome}.{n}", objeto
            if inspect.isclass(objeto):
                for m, metodo in vars(objeto).items():
                    if not m.startswith("_") and isinstance(metodo, (property, classmethod, staticmethod)):
                        yield f"{nome}.{n}.{m}", metodo.fget if isinstance(metodo, property) else metodo.__func__
                    elif not m.startswith("_") and inspect.isfunction(metodo):
                        yield f"{nome}.{n}.{m}", metodo


def test_tudo_que_e_publico_tem_docstring():
    publicos = list(_publicos())
    assert len(publicos) > 100  # a busca acha o pacote inteiro
    # `__doc__` direto: `inspect.getdoc` herdaria o de nn.Module, e não diria nada do nosso. A docstring que um
    # dataclass ganha sozinho é a própria assinatura.
    sem = [n for n, o in publicos if not o.__doc__ or o.__doc__.startswith(f"{n.rsplit('.', 1)[-1]}(")]
    assert sem == []


def test_tudo_que_e_publico_tem_tipos():
    sem = []
    for nome, objeto in _publicos():
        if inspect.isfunction(objeto):
            parametros = [p for p in inspect.signature(objeto).parameters.values() if p.name not in ("self", "cls")]
            if any(p.annotation is p.empty for p in parametros) or "return" not in objeto.__annotations__:
                sem.append(nome)
    assert sem == []


def test_generate_e_a_funcao_e_nao_um_modulo():
    assert inspect.isfunction(llmdefinitions.generate)
    # Um arquivo com este nome tomaria, ao ser importado, o lugar da função no pacote.
    assert not list(PACOTE.rglob("generate.py"))
    assert not list(PACOTE.rglob("generate"))


def test_nenhum_modulo_tem_o_nome_de_um_nome_publico():
    assert {p.stem for p in PACOTE.glob("*.py")} & set(llmdefinitions.__all__) == set()


def _noutro_processo(codigo: str) -> str:
    fim = subprocess.run([sys.executable, "-c", codigo], capture_output=True, text=True, timeout=120, cwd=PACOTE.parent)
    assert fim.returncode == 0, fim.stderr
    return fim.stdout.strip()


def test_config_nao_importa_torch():
    # Carregado sozinho: `import llmdefinitions.config` passaria antes pelo __init__, que traz o pacote todo.
    codigo = f"""
import importlib.util, sys
ficha = importlib.util.spec_from_file_location("config", {str(PACOTE / "config.py")!r})
sys.modules["config"] = modulo = importlib.util.module_from_spec(ficha)
ficha.loader.exec_module(modulo)
modulo.gpt2_config("355M")
print(sorted({{nome.partition(".")[0] for nome in sys.modules}} & {{"torch", "numpy", "llmdefinitions"}}))
"""
    assert _noutro_processo(codigo) == "[]"


def test_importar_o_pacote_nao_traz_o_que_e_so_dos_cadernos_nem_avisa():
    # ipywidgets e transformers custam segundos, e só quem os usa deve pagar; do datasets o pacote nem depende.
    codigo = """
import sys, warnings
warnings.simplefilter("error")
import llmdefinitions, llmdefinitions.cleaning, llmdefinitions.dirtying
pesados = {"ipywidgets", "IPython", "transformers", "bncc", "datasets"}
print(sorted({nome.partition(".")[0] for nome in sys.modules} & pesados))
"""
    assert _noutro_processo(codigo) == "[]"


def test_versao_e_a_do_projeto():
    projeto = (PACOTE.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{llmdefinitions.__version__}"' in projeto.splitlines()
