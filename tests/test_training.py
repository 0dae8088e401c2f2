"""Treino: o laço contra um laço de referência bit a bit, a linha de log, os números do contrato e cada opção."""

import itertools
import math
import re

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from modelos import carregador, ids_sorteados, iguais, modelo_pequeno, pares, pesos, um_fio  # noqa: F401
from torch import nn
from torch.utils.data import DataLoader

from llmdefinitions import (
    GPT_CONFIG_124M,
    GPTModel,
    build_adamw,
    calc_loss_batch,
    calc_loss_loader,
    create_dataloader_v1,
    evaluate_model,
    generate_and_print_sample,
    get_tokenizer,
    split_text,
    train_model_simple,
    warmup_cosine,
)
from llmdefinitions.run import TrainingRun

LINHA = re.compile(r"Ep (\d+) \(Step (\d{6})\): Train loss (\d+\.\d{3}), Val loss (\d+\.\d{3})")


def adamw(modelo: nn.Module, lr: float = 1e-2) -> torch.optim.Optimizer:
    return torch.optim.AdamW(modelo.parameters(), lr=lr, weight_decay=0.1)


def treina(modelo, treino=None, validacao=None, otimizador=None, epocas=2, *, eval_freq=3, eval_iter=2, **opcoes):
    treino = carregador() if treino is None else treino
    validacao = carregador(4, embaralha=False, semente=5) if validacao is None else validacao
    otimizador = adamw(modelo) if otimizador is None else otimizador
    return train_model_simple(
        modelo, treino, validacao, otimizador, "cpu", epocas, eval_freq, eval_iter, "", None, **opcoes
    )


# --- perdas


def test_perda_igual_a_definicao():
    modelo = modelo_pequeno().eval()
    x, y = ids_sorteados(3, 7), ids_sorteados(3, 7, semente=8)
    probs = torch.softmax(modelo(x).detach().double(), dim=-1)
    esperada = -sum(math.log(probs[b, t, y[b, t]]) for b in range(3) for t in range(7)) / 21
    # float32 contra float64: eps relativo de 1,2e-7 em cada um dos 61 termos da soma.
    assert calc_loss_batch(x, y, modelo, "cpu").item() == pytest.approx(esperada, rel=1e-6)


def test_alvos_menos_100_nao_contam():
    modelo = modelo_pequeno().eval()
    x, y = ids_sorteados(2, 6), ids_sorteados(2, 6, semente=8)
    mascarado = y.clone()
    mascarado[:, 3:] = -100
    esperada = calc_loss_batch(x[:, :3], y[:, :3], modelo, "cpu")  # causal: cortar o fim não muda o começo
    torch.testing.assert_close(calc_loss_batch(x, mascarado, modelo, "cpu"), esperada, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("num_batches", "usados"), [(None, 6), (1, 1), (4, 4), (6, 6), (99, 6)])
def test_media_dos_primeiros_lotes(num_batches, usados):
    modelo, dados = modelo_pequeno().eval(), carregador(embaralha=False)
    perdas = [calc_loss_batch(x, y, modelo, "cpu").item() for x, y in dados]
    medida = calc_loss_loader(dados, modelo, "cpu", num_batches)
    assert medida == pytest.approx(sum(perdas[:usados]) / usados, rel=1e-12)
    assert len(perdas) == 6


def test_loader_vazio_e_erro_e_nao_nan():
    with pytest.raises(ValueError, match="o loader não tem nenhum lote"):
        calc_loss_loader([], modelo_pequeno(), "cpu")


@pytest.mark.parametrize("num_batches", [0, -1])
def test_numero_de_lotes_invalido(num_batches):
    with pytest.raises(ValueError, match=f"num_batches={num_batches}: esperado um inteiro ≥ 1"):
        calc_loss_loader(carregador(), modelo_pequeno(), "cpu", num_batches)


def test_avaliacao_sem_dropout_nem_gradiente_e_o_modo_volta():
    modelo = modelo_pequeno(drop_rate=0.5).train()
    modelo.trf_blocks[1].eval()
    modos = [m.training for m in modelo.modules()]
    treino, validacao = carregador(embaralha=False), carregador(4, embaralha=False, semente=5)
    medidas = evaluate_model(modelo, treino, validacao, "cpu", 2)
    assert [m.training for m in modelo.modules()] == modos
    modelo.eval()
    assert medidas == (calc_loss_loader(treino, modelo, "cpu", 2), calc_loss_loader(validacao, modelo, "cpu", 2))
    assert all(p.grad is None for p in modelo.parameters())


def test_o_modo_volta_mesmo_se_a_avaliacao_falha():
    modelo = modelo_pequeno().train()
    with pytest.raises(ValueError, match="nenhum lote"):
        evaluate_model(modelo, carregador(), [], "cpu", 1)
    assert all(m.training for m in modelo.modules())


def test_bfloat16_fica_perto_de_float32_com_gradientes_em_float32():
    modelo = modelo_pequeno().eval()
    x, y = ids_sorteados(8, 12), ids_sorteados(8, 12, semente=8)
    exata = calc_loss_batch(x, y, modelo, "cpu")
    aproximada = calc_loss_batch(x, y, modelo, "cpu", precision="bfloat16")
    # bfloat16 tem 8 bits de mantissa: cada logit, de ordem 1, erra ~2^-8, e a média dos alvos erra menos que um deles.
    assert 0 < abs(aproximada.item() - exata.item()) < 2**-8
    aproximada.backward()
    assert {p.grad.dtype for p in modelo.parameters()} == {torch.float32}


# --- laço


def laco_de_referencia(modelo, treino, validacao, otimizador, epocas, eval_freq, eval_iter):
    """O laço das fontes, na ordem em que elas consomem o gerador: época, passo, avaliação."""

    def media(dados):
        escolhidos = itertools.islice(dados, eval_iter)
        perdas = [nn.functional.cross_entropy(modelo(x).flatten(0, 1), y.flatten()).item() for x, y in escolhidos]
        return sum(perdas) / len(perdas)

    perdas_treino, perdas_val, vistos, tokens, passo = [], [], [], 0, -1
    for _ in range(epocas):
        modelo.train()
        for x, y in treino:
            otimizador.zero_grad()
            nn.functional.cross_entropy(modelo(x).flatten(0, 1), y.flatten()).backward()
            otimizador.step()
            tokens, passo = tokens + x.numel(), passo + 1
            if passo % eval_freq == 0:
                modelo.eval()
                with torch.no_grad():
                    perdas_treino.append(media(treino))
                    perdas_val.append(media(validacao))
                vistos.append(tokens)
                modelo.train()
    return perdas_treino, perdas_val, vistos


@pytest.mark.parametrize("gerador_proprio", [False, True])
@pytest.mark.parametrize("com_checkpoint", [False, True])
def test_bit_a_bit_igual_ao_laco_de_referencia(gerador_proprio, com_checkpoint, tmp_path):
    def executa(laco, **opcoes):
        modelo = modelo_pequeno(21)
        otimizador = adamw(modelo)
        opcoes_do_loader = {"generator": torch.Generator().manual_seed(4)} if gerador_proprio else {}
        treino, validacao = carregador(13, drop_last=False, **opcoes_do_loader), carregador(5, semente=5)
        return laco(modelo, treino, validacao, otimizador, **opcoes), pesos(modelo), torch.get_rng_state()

    def nosso(modelo, treino, validacao, otimizador, **opcoes):
        return treina(modelo, treino, validacao, otimizador, **opcoes)

    opcoes = {"checkpoint_dir": tmp_path, "checkpoint_every": 1} if com_checkpoint else {}
    listas, finais, rng = executa(nosso, epocas=2, **opcoes)
    listas_ref, finais_ref, rng_ref = executa(laco_de_referencia, epocas=2, eval_freq=3, eval_iter=2)
    assert listas == listas_ref
    assert iguais(finais, finais_ref)
    assert torch.equal(rng, rng_ref)
    assert listas[2] == [16, 64, 104, 152, 200]  # lotes de 2×8, e de 1×8 no fim de cada época de 7 passos


def test_o_modelo_treina_com_dropout_mesmo_se_chega_em_eval(capsys):
    finais = []
    for chega_em_treino in (True, False):
        modelo = modelo_pequeno(drop_rate=0.3).train(chega_em_treino)
        treina(modelo)
        assert modelo.training
        finais.append(pesos(modelo))
    assert iguais(*finais)


def test_linha_de_log_e_amostra_de_cada_epoca(capsys):
    modelo, tokenizador = modelo_pequeno(vocab_size=50257, emb_dim=8, n_heads=2), get_tokenizer("gpt2")
    dados = carregador(6)
    train_model_simple(modelo, dados, dados, adamw(modelo), "cpu", 2, 2, 1, "Era uma vez", tokenizador)
    linhas = capsys.readouterr().out.splitlines()
    casadas = [(i, LINHA.fullmatch(linha)) for i, linha in enumerate(linhas)]
    passos = [(i, int(m[1]), int(m[2])) for i, m in casadas if m]
    assert [(epoca, passo) for _, epoca, passo in passos] == [(1, 0), (1, 2), (2, 4)]  # 3 passos por época
    amostras = [i for i, m in casadas if not m]
    assert amostras == [2, 4]
    assert all(linhas[i].startswith("Era uma vez") for i in amostras)


def test_uma_entrada_por_avaliacao_nas_tres_listas(capsys):
    perdas_treino, perdas_val, vistos = treina(modelo_pequeno(), epocas=3, eval_freq=4)
    assert vistos == [16 * (passo + 1) for passo in range(0, 18, 4)]
    assert len(perdas_treino) == len(perdas_val) == len(vistos) == 5
    impressas = [(float(m[3]), float(m[4])) for m in LINHA.finditer(capsys.readouterr().out)]
    assert impressas == [(round(a, 3), round(b, 3)) for a, b in zip(perdas_treino, perdas_val, strict=True)]


def test_o_treino_aprende_a_repetir(capsys):
    dados = DataLoader(pares(1) * 4, batch_size=4)
    modelo = modelo_pequeno(drop_rate=0.0)
    perdas, _, _ = treina(modelo, dados, dados, epocas=80, eval_freq=79, eval_iter=1)
    assert perdas[0] > 2
    assert perdas[-1] < 0.05  # uma só janela de 8 tokens: decorá-la tem de ser fácil


def test_barra_de_progresso_so_quando_pedida(capsys):
    treina(modelo_pequeno(), progress=True)
    saida = capsys.readouterr()
    assert "passo" in saida.err
    assert len(LINHA.findall(saida.out)) == 4  # as linhas de log seguem inteiras na saída padrão
    treina(modelo_pequeno(), progress=False)
    assert capsys.readouterr().err == ""
    treina(modelo_pequeno())  # sem terminal, não há barra
    assert capsys.readouterr().err == ""


def test_amostra_e_devolvida_numa_linha_e_o_modo_volta(capsys):
    class Quebras(nn.Module):
        """Só escreve quebras de linha (id 198 no GPT-2)."""

        pos_emb = nn.Embedding(16, 1)

        def forward(self, ids):
            return nn.functional.one_hot(torch.full_like(ids, 198), 50257).float()

    modelo = Quebras().train()
    amostra = generate_and_print_sample(modelo, get_tokenizer("gpt2"), "cpu", "Fim.", max_new_tokens=3)
    assert amostra == "Fim.   "
    assert capsys.readouterr().out == "Fim.   \n"
    assert modelo.training


# --- opções


@given(total=st.integers(1, 200), aquecimento=st.integers(0, 199), minimo=st.floats(0, 1))
def test_aquecimento_e_cosseno(total, aquecimento, minimo):
    assume(aquecimento < total)
    fatores = [warmup_cosine(passo, total, aquecimento, minimo) for passo in range(total)]
    subida, descida = fatores[:aquecimento], fatores[aquecimento:]
    assert subida == pytest.approx([(i + 1) / aquecimento for i in range(aquecimento)])
    assert descida[0] == pytest.approx(1.0)
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(descida))
    assert all(minimo - 1e-12 <= f <= 1 + 1e-12 for f in descida)
    if len(descida) > 1:
        assert descida[-1] == pytest.approx(minimo, abs=1e-12)
    if len(descida) % 2 and len(descida) > 1:  # no meio da descida o cosseno está a meio caminho
        assert descida[len(descida) // 2] == pytest.approx((1 + minimo) / 2)


@pytest.mark.parametrize(
    "argumentos", [(-1, 10), (10, 10), (0, 0), (0, 10, 10), (0, 10, -1), (0, 10, 0, -0.1), (0, 10, 0, 1.1)]
)
def test_agenda_com_argumentos_invalidos(argumentos):
    with pytest.raises(ValueError, match=r"esperado 0 ≤ step < total_steps"):
        warmup_cosine(*argumentos)


class Espiao(torch.optim.SGD):
    """Guarda as taxas e a norma do gradiente em cada passo."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.taxas, self.normas = [], []

    def step(self, closure=None):
        self.taxas.append([g["lr"] for g in self.param_groups])
        grads = [p.grad for g in self.param_groups for p in g["params"]]
        self.normas.append(torch.stack([g.norm() for g in grads]).norm().item())
        return super().step(closure)


def test_a_agenda_multiplica_a_taxa_de_base_sem_acumular(capsys):
    modelo = modelo_pequeno()
    matrizes, vetores = ([p for p in modelo.parameters() if (p.ndim > 1) is sim] for sim in (True, False))
    otimizador = Espiao([{"params": matrizes, "lr": 0.1}, {"params": vetores, "lr": 0.02}])

    def agenda(passo, total):
        assert total == 12
        return 0.5 ** (passo % 3)

    esperadas = [[0.1 * 0.5 ** (i % 3), 0.02 * 0.5 ** (i % 3)] for i in range(12)]
    treina(modelo, otimizador=otimizador, lr_factor=agenda)
    assert otimizador.taxas == esperadas
    assert [g["lr"] for g in otimizador.param_groups] == [0.1, 0.02]
    treina(modelo, otimizador=otimizador, lr_factor=agenda)  # um segundo treino parte da mesma base
    assert otimizador.taxas == esperadas * 2


def test_a_taxa_de_base_volta_mesmo_se_o_treino_falha(capsys):
    modelo = modelo_pequeno()
    otimizador = adamw(modelo, lr=0.01)

    def agenda(passo, total):
        if passo == 4:
            raise KeyboardInterrupt
        return 0.1

    with pytest.raises(KeyboardInterrupt):
        treina(modelo, otimizador=otimizador, lr_factor=agenda)
    assert otimizador.param_groups[0]["lr"] == 0.01


def test_corte_do_gradiente(capsys):
    livre, cortado = (Espiao(modelo_pequeno(3).parameters(), lr=0.0) for _ in range(2))
    for otimizador, limite in ((livre, None), (cortado, 0.25)):
        modelo = modelo_pequeno(3, drop_rate=0.0)
        otimizador.param_groups[0]["params"] = list(modelo.parameters())
        treina(modelo, carregador(embaralha=False), otimizador=otimizador, max_grad_norm=limite)
    assert min(livre.normas) > 0.25
    assert cortado.normas == pytest.approx([0.25] * 12, rel=1e-4)  # o corte divide por norma + 1e-6


def test_corte_folgado_nao_muda_nada(capsys):
    finais = []
    for limite in (None, 1e6):
        modelo = modelo_pequeno(3)
        treina(modelo, max_grad_norm=limite)
        finais.append(pesos(modelo))
    assert iguais(*finais)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.integers(1, 4))
def test_paciencia_conta_avaliacoes_seguidas_sem_melhora(perdas, paciencia):
    melhor, sem_melhora, esperado = math.inf, 0, None
    for i, perda in enumerate(perdas):
        sem_melhora = 0 if perda < melhor else sem_melhora + 1
        melhor = min(melhor, perda)
        if sem_melhora >= paciencia:
            esperado = i
            break
    modelo = nn.Linear(1, 1)
    run = TrainingRun(modelo, adamw(modelo), DataLoader([0]), 1, None)
    parou = None
    for i, perda in enumerate(perdas):
        run.record(0.0, float(perda))
        if run.stopped_early(paciencia):
            parou = i
            break
    assert parou == esperado
    assert not run.stopped_early(None)


def test_parada_antecipada(capsys):
    # Taxa alta e alvos sorteados: a validação piora logo; a paciência conta avaliações seguidas sem melhora.
    modelo = modelo_pequeno()
    _, validacao, vistos = treina(modelo, otimizador=adamw(modelo, 0.05), epocas=20, eval_freq=2, patience=3)
    melhor = validacao.index(min(validacao))
    assert len(validacao) == melhor + 1 + 3 < 60
    saida = capsys.readouterr().out
    ultimo = vistos[-1] // 16 - 1
    assert f"Parada antecipada no passo {ultimo}: 3 avaliações sem melhora na validação." in saida


def test_sem_motivo_a_parada_antecipada_nao_acontece(capsys):
    dados = DataLoader(pares(1) * 4, batch_size=4)
    modelo = modelo_pequeno(drop_rate=0.0)
    _, validacao, _ = treina(modelo, dados, dados, adamw(modelo, 1e-3), epocas=30, eval_freq=1, eval_iter=1, patience=1)
    assert len(validacao) == 30
    assert "Parada antecipada" not in capsys.readouterr().out


def test_treino_em_bfloat16_acompanha_o_de_float32(capsys):
    perdas = {}
    for precisao in ("float32", "bfloat16"):
        modelo = modelo_pequeno(drop_rate=0.0)
        perdas[precisao] = treina(modelo, otimizador=adamw(modelo, 1e-3), precision=precisao)[0]
        assert {p.dtype for p in modelo.parameters()} == {torch.float32}
    assert perdas["bfloat16"] != perdas["float32"]
    # 12 passos com erro relativo de ~2^-8 em cada gradiente; as perdas são de ordem 4.
    assert perdas["bfloat16"] == pytest.approx(perdas["float32"], abs=0.05)


def test_adamw_fundido_decai_so_as_matrizes():
    modelo = modelo_pequeno(qkv_bias=True)
    modelo.tok_emb.weight.requires_grad_(False)
    otimizador = build_adamw(modelo, lr=3e-4, weight_decay=0.2)
    com, sem = otimizador.param_groups
    assert (com["weight_decay"], sem["weight_decay"], com["lr"], com["fused"]) == (0.2, 0.0, 3e-4, True)
    assert {p.ndim for p in com["params"]} == {2}
    assert {p.ndim for p in sem["params"]} == {1}
    assert len(com["params"]) + len(sem["params"]) == len(list(modelo.parameters())) - 1


@pytest.mark.parametrize(
    ("opcoes", "mensagem"),
    [
        ({"epocas": 0}, "num_epochs=0: esperado um inteiro ≥ 1"),
        ({"eval_freq": 0}, "eval_freq=0: esperado"),
        ({"eval_iter": 0}, "eval_iter=0: esperado"),
        ({"patience": 0}, "patience=0: esperado"),
        ({"checkpoint_every": 0}, "checkpoint_every=0: esperado"),
        ({"precision": "fp16"}, "precision='fp16': esperado um de float32, bfloat16, auto"),
        ({"treino": DataLoader([])}, "o loader de treino não tem nenhum lote"),
        ({"treino": carregador(3, lote=4, drop_last=True)}, "o loader de treino não tem nenhum lote"),
        ({"validacao": DataLoader([])}, "o loader de validação não tem nenhum lote"),
    ],
)
def test_argumento_invalido_antes_de_mudar_o_modelo(opcoes, mensagem):
    modelo = modelo_pequeno()
    antes = pesos(modelo)
    with pytest.raises(ValueError, match=mensagem):
        treina(modelo, **opcoes)
    assert iguais(pesos(modelo), antes)


# --- números do contrato em The Verdict (medidos na implementação de origem com torch 2.13.0, em CPU)


@pytest.fixture
def verdict(espelho):
    treino, validacao = split_text((espelho / "the-verdict.txt").read_text(encoding="utf-8"))
    torch.manual_seed(123)
    return (
        create_dataloader_v1(treino, 2, 256, 256, shuffle=True, drop_last=True),
        create_dataloader_v1(validacao, 2, 256, 256, shuffle=False, drop_last=False),
    )


@pytest.mark.lento
@pytest.mark.corpora_reais
def test_contrato_perdas_iniciais_em_the_verdict(verdict):
    treino, validacao = verdict
    assert [tuple(x.shape) for x, _ in treino] == [(2, 256)] * 9
    assert [tuple(x.shape) for x, _ in validacao] == [(2, 256)]
    torch.manual_seed(123)
    modelo = GPTModel(GPT_CONFIG_124M).eval()
    with torch.no_grad():
        medidas = [calc_loss_loader(dados, modelo, "cpu") for dados in verdict]
    # Em outra CPU muda a ordem das somas em float32 (512 alvos × 50.257 logits): eps de 1,2e-7, com folga de 8 vezes.
    assert medidas == pytest.approx([10.98758347829183, 10.98110580444336], rel=1e-6)


@pytest.mark.lento
@pytest.mark.corpora_reais
def test_contrato_primeiro_passo_em_the_verdict(verdict):
    # As outras 17 linhas são conferidas por `make reproducao`: cada passo aqui custaria dez segundos.
    treino, validacao = verdict
    torch.manual_seed(123)
    modelo = GPTModel(GPT_CONFIG_124M)
    otimizador = torch.optim.AdamW(modelo.parameters(), lr=4e-4, weight_decay=0.1)
    x, y = next(iter(treino))
    modelo.train()
    calc_loss_batch(x, y, modelo, "cpu").backward()
    otimizador.step()
    perdas = evaluate_model(modelo, treino, validacao, "cpu", 5)
    assert [f"{perda:.3f}" for perda in perdas] == ["9.781", "9.933"]
