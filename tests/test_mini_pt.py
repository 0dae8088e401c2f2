"""O modelo que vem no pacote: é o que a ficha diz, carrega nos três lugares e cumpre o que o livro promete dele."""

import json
from pathlib import Path

import pytest
import torch

from llmdefinitions import generate, load_corpus, load_pretrained, text_to_token_ids
from llmdefinitions.evaluation import repetition_rate
from llmdefinitions.model_card import card_text
from llmdefinitions.pretrain_data import training_split
from llmdefinitions.pretrain_report import PROMPTS, SAMPLING
from llmdefinitions.recipe import Recipe, load_recipe
from llmdefinitions.scaling import fit_power_law
from llmdefinitions.scoring import score_documents, total_bits_per_byte
from llmdefinitions.stories import sample_stories, story_entropy
from llmdefinitions.tokenizer import eos_id

transformers = pytest.importorskip("transformers")

RAIZ = Path(__file__).parent.parent
PASTA = RAIZ / "llmdefinitions" / "assets" / "mini-pt"
MEDIDAS = json.loads((PASTA / "medidas.json").read_text(encoding="utf-8"))
ARQUIVOS = {
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"),
    *("README.md", "observacoes.md", "medidas.json", "escala.json"),
}


@pytest.fixture(scope="module")
def mini():
    return load_pretrained("mini-pt")


def test_a_pasta_tem_o_que_deve_e_cabe_em_25_mb():
    assert {p.name for p in PASTA.iterdir()} >= ARQUIVOS
    assert sum(p.stat().st_size for p in PASTA.iterdir()) <= 25e6


def test_foi_treinado_com_a_receita_embutida():
    assert Recipe(**MEDIDAS["receita"]) == load_recipe("mini-pt")


def test_o_que_o_livro_promete_esta_nas_medidas():
    assert MEDIDAS["bits_por_byte"]["machado"] <= 1.70
    base = MEDIDAS["linhas_de_base"]
    assert MEDIDAS["bits_por_byte"]["machado"] < min(base["kneser_ney"], base["xz"])
    assert 0 <= MEDIDAS["historias"]["excesso"] <= 0.05


def test_a_lei_de_escala_sai_dos_treinos_gravados_e_o_maior_e_este_modelo():
    escala = json.loads((PASTA / "escala.json").read_text(encoding="utf-8"))
    assert escala["tokens"] == sorted(set(escala["tokens"]))
    assert len(escala["tokens"]) >= 5
    assert escala["tokens"][-1] == Recipe(**MEDIDAS["receita"]).tokens
    for nome in ("machado", "historias"):
        medidas, lei = escala[nome]["medidas"], escala[nome]["lei"]
        assert medidas[-1] == MEDIDAS["bits_por_byte"][nome]
        assert medidas == sorted(medidas, reverse=True)
        refeita = fit_power_law(escala["tokens"], medidas)
        curta = fit_power_law(escala["tokens"][:-1], medidas[:-1])
        # O otimizador para em 1e-8 do custo; duas versões do scipy podem parar em lugares um pouco diferentes.
        for tokens in escala["tokens"]:
            assert refeita(tokens) == pytest.approx(lei["piso"] + lei["escala"] * tokens ** -lei["expoente"], rel=1e-3)
        assert curta(escala["tokens"][-1]) == pytest.approx(escala[nome]["previsto_pelos_curtos"], rel=1e-2)
    # Em Machado, a lei dos treinos curtos previu o longo, de oito vezes mais tokens.
    assert escala["machado"]["previsto_pelos_curtos"] == pytest.approx(escala["machado"]["medidas"][-1], rel=0.02)


def test_os_mesmos_logits_no_transformers_e_os_mesmos_tokens_no_pipeline(mini):
    modelo, tokenizador = mini
    deles = transformers.GPT2LMHeadModel.from_pretrained(PASTA).eval()
    ids = text_to_token_ids(" ".join(PROMPTS), tokenizador)
    with torch.no_grad():
        # float32 dos dois lados, com os mesmos pesos: só muda a ordem das somas, em logits de ordem 10.
        torch.testing.assert_close(modelo(ids), deles(ids).logits, rtol=1e-4, atol=1e-4)
    gerador = transformers.pipeline("text-generation", model=str(PASTA))
    saida = gerador(PROMPTS[3], max_new_tokens=20, do_sample=False, return_tensors=True)[0]["generated_token_ids"]
    comeco = text_to_token_ids(PROMPTS[3], tokenizador)
    assert list(saida) == generate(modelo, comeco, 20, 256, eos_id=eos_id(tokenizador))[0].tolist()


def test_a_gulosa_com_rascunho_e_a_de_token_a_token(mini):
    """Um modelo treinado repete, e é aí que o rascunho acerta: o texto tem de ser o mesmo."""
    modelo, tokenizador = mini
    for comeco in PROMPTS[:4]:
        ids = text_to_token_ids(comeco, tokenizador)
        assert torch.equal(generate(modelo, ids, 80, 256), generate(modelo, ids, 80, 256, use_cache=False))


def test_as_sorteadas_da_ficha_nao_entram_em_ciclo_e_se_repetem_com_a_semente(mini):
    modelo, tokenizador = mini
    assert [a["prompt"] for a in MEDIDAS["amostras"]] == list(PROMPTS)
    assert len(PROMPTS) == 20
    for numero, amostra in enumerate(MEDIDAS["amostras"]):
        assert amostra["repeticao"] < 0.2  # nos primeiros 40 tokens
        if numero % 5 == 0:
            fim = eos_id(tokenizador)
            idx = torch.cat([torch.tensor([[fim]]), text_to_token_ids(amostra["prompt"], tokenizador)], dim=1)
            gerador = torch.Generator().manual_seed(numero)
            novos = generate(modelo, idx, 40, 256, eos_id=fim, generator=gerador, **SAMPLING)[
                0, idx.shape[1] :
            ].tolist()
            assert repetition_rate([novos], 4) < 0.2


def test_a_ficha_conta_o_que_deve():
    ficha = (PASTA / "README.md").read_text(encoding="utf-8")
    for trecho in (
        "## Dados",
        "## Receita",
        "## Treino",
        "## Medidas",
        "## Amostras",
        "## Licença",
        "Energia estimada",
    ):
        assert trecho in ficha
    notas, escala = ((PASTA / nome).read_text(encoding="utf-8") for nome in ("observacoes.md", "escala.json"))
    assert ficha == card_text(MEDIDAS, notas.strip(), json.loads(escala))


def test_historias_novas_perto_da_entropia_exata(mini):
    modelo, tokenizador = mini
    historias = sample_stories(150, seed=987_654)  # semente que nenhum treino usou
    pontos = score_documents(modelo, [h.text for h in historias], tokenizador)
    # Comparada, história a história, com o −ln p da gramática: o sorteio destas 150 quase se cancela.
    excesso = sum(p.nats + h.log_prob for p, h in zip(pontos, historias, strict=True)) / len(historias)
    assert 0 < excesso <= 0.06 * story_entropy()  # o da ficha, com a folga da amostra


def test_obra_separada_de_machado(mini, espelho, monkeypatch):
    modelo, tokenizador = mini
    monkeypatch.setenv("LLMDEFINITIONS_ESPELHO", str(espelho))
    _, separadas = training_split(load_corpus("machado"), load_recipe("mini-pt"))
    trechos = [obra[:8000] for obra in separadas[:6]]
    assert total_bits_per_byte(score_documents(modelo, trechos, tokenizador)) <= 1.75  # começos: menos contexto
