"""O experimento de dez minutos: o que ele grava num modelo minúsculo, e se o registro guardado é coerente."""

import json
import sys
from pathlib import Path

import pytest
from modelos import modelo_pequeno, um_fio  # noqa: F401

from llmdefinitions import load_pretrained, save_pretrained
from llmdefinitions.bpe import train_bpe
from llmdefinitions.download import sha256_of
from llmdefinitions.instruction_data import load_instructions
from llmdefinitions.instruction_report import METRICS, gains

RAIZ = Path(__file__).resolve().parent.parent
# No fim da lista: ferramentas/site.py não pode passar à frente do `site` da biblioteca padrão.
sys.path.append(str(RAIZ / "ferramentas"))

import experimentos_sft  # noqa: E402

CORES = ("azul", "roxo", "bege", "rosa")


def itens(n: int, parte: str) -> list[dict]:
    cores = [CORES[i % 4] for i in range(n)]
    comuns = {"input": "", "categoria": "cor", "parte": parte}
    return [{"instruction": f"Diga {cor}.", "output": cor, **comuns} for cor in cores]


PARTES = {"treino": itens(12, "treino"), "validacao": itens(4, "validacao"), "teste": itens(4, "teste")}
CURTAS = experimentos_sft.SFTOptions(batch_size=4, epochs=2, precision="float32", swap=0.0)


@pytest.fixture(scope="module")
def tokenizador():
    return train_bpe([f"Pedido: Diga {cor}.\nResposta: {cor}" for cor in CORES], 280)


@pytest.fixture
def modelo():
    return modelo_pequeno(2, vocab_size=280, context_length=64)


def test_o_treino_principal_diz_o_que_fez_e_nao_mexe_no_modelo_de_partida(modelo, tokenizador, monkeypatch):
    monkeypatch.setitem(experimentos_sft.LORA, "rank", 2)
    antes = {nome: peso.clone() for nome, peso in modelo.state_dict().items()}
    resultado, respostas = experimentos_sft.principal(modelo, modelo, tokenizador, PARTES, 60.0, CURTAS)
    assert all((peso == antes[nome]).all() for nome, peso in modelo.state_dict().items())
    assert resultado["parou_por"] == "passos"
    assert list(resultado["adaptadores"]) == ["lora", "lora_4_bits"]
    for campo, adaptador in resultado["adaptadores"].items():
        assert 0 < adaptador["parametros_treinados"] < modelo.count_parameters()
        assert adaptador["passos"] == resultado["passos"]
        assert all(isinstance(r[f"resposta_{campo}"], str) for r in respostas)
    assert resultado["validacao"][0][0] == 0
    assert resultado["validacao"][-1][0] == resultado["passos"]
    assert {nome: len(linhas) for nome, linhas in resultado["medidas"].items()} == dict.fromkeys(METRICS, 2)
    assert [r["output"] for r in respostas] == [e["output"] for e in PARTES["teste"]]
    assert json.loads(json.dumps(resultado)) == resultado


def test_copiar_treina_uma_copia(modelo, tokenizador, monkeypatch):
    monkeypatch.setattr(experimentos_sft, "PASSOS_DE_COPIA", 3)
    partida, registro = experimentos_sft.copiar(modelo, tokenizador, 60.0)
    assert registro.steps == 3
    assert any((a != b).any() for a, b in zip(modelo.parameters(), partida.parameters(), strict=True))


def test_empacotar_mede_os_tres_casos(modelo, tokenizador):
    medido = experimentos_sft.empacotar(modelo, tokenizador, PARTES, 0.05, rodadas=2)
    assert [len(linha["rodadas"]) for linha in medido["linhas"]] == [2, 2, 2]
    primeira, segunda = (linha["tokens_por_segundo"] for linha in medido["linhas"][:2])
    assert medido["vezes"] == pytest.approx(primeira / segunda, abs=1e-3)


def test_mascara_compara_as_mesmas_sementes(modelo, tokenizador, monkeypatch):
    monkeypatch.setattr(experimentos_sft, "SEMENTES", (1, 2))
    monkeypatch.setattr(experimentos_sft, "EPOCAS_CURTAS", 1)
    efeito = experimentos_sft.mascara(modelo, tokenizador, PARTES, 60.0, CURTAS)
    assert efeito["sementes"] == [1, 2]
    assert {nome: len(valores) for nome, valores in efeito["perda_de_validacao"].items()} == {
        "mascara": 2,
        "modelagem": 2,
    }
    exata = {nome: i["estimate"] for nome, i in efeito["exata"].items()}
    assert exata["diferenca"] == pytest.approx(exata["mascara"] - exata["modelagem"])


def test_o_comando_grava_os_dois_arquivos_com_a_ficha(modelo, tokenizador, monkeypatch, tmp_path, capsys):
    pasta = save_pretrained(modelo, tokenizador, tmp_path / "modelo")
    falso = {"metas": {"exata": {"valor": 0.1, "minimo": 0.3, "atingida": False}}}

    def experimentar(modelo, tokenizador, segundos, curto, guardar):
        guardar([{"a": 1}])
        return falso

    monkeypatch.setattr(experimentos_sft, "experimentar", experimentar)
    argumentos = ["--modelo", str(pasta), "--destino", str(tmp_path / "fora"), "--segundos", "5"]
    assert experimentos_sft.main(argumentos) == 0
    assert sorted(p.name for p in (tmp_path / "fora").iterdir()) == ["respostas-sft.json", "sft.json"]
    gravado = json.loads((tmp_path / "fora" / "sft.json").read_text(encoding="utf-8"))
    assert gravado["metas"] == falso["metas"]
    assert gravado["modelo"]["sha256"] == sha256_of(pasta / "model.safetensors")
    assert "--segundos 5" in gravado["comando"]
    assert "exata: 0.100 (meta 0.3; não)" in capsys.readouterr().out


# --- o registro que vem no pacote


@pytest.fixture(scope="module")
def gravado() -> dict:
    return json.loads((experimentos_sft.DESTINO / "sft.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def respostas() -> list[dict]:
    return json.loads((experimentos_sft.DESTINO / "respostas-sft.json").read_text(encoding="utf-8"))


def test_o_registro_e_do_modelo_embutido(gravado):
    assert gravado["modelo"]["sha256"] == sha256_of(experimentos_sft.MODELO / "model.safetensors"), (
        "o modelo embutido mudou depois do experimento: rode ferramentas/experimentos_sft.py de novo"
    )
    assert gravado["modelo"]["parametros"] == load_pretrained()[0].count_parameters()


def test_as_respostas_sao_as_do_teste_na_ordem(respostas):
    teste = [e for e in load_instructions() if e["parte"] == "teste"]
    campos = ("instruction", "input", "output", "categoria")
    assert [[r[c] for c in campos] for r in respostas] == [[e[c] for c in campos] for e in teste]


def test_as_medidas_gravadas_saem_das_respostas_gravadas(gravado, respostas):
    teste = [e for e in load_instructions() if e["parte"] == "teste"]
    antes, depois = ([r[campo] for r in respostas] for campo in ("resposta_base", "model_response"))
    for medida in ("exata", "aceita", "forma"):
        for refeito, guardado in zip(
            gains(teste, antes, depois, metric=medida), gravado["principal"]["medidas"][medida], strict=True
        ):
            assert refeito.category == guardado["category"]
            assert refeito.after.estimate == pytest.approx(guardado["after"]["estimate"])
            assert refeito.gain.estimate == pytest.approx(guardado["gain"]["estimate"])


def test_os_adaptadores_partem_do_mesmo_modelo_com_o_mesmo_tempo(gravado, respostas):
    teste = [e for e in load_instructions() if e["parte"] == "teste"]
    for campo, adaptador in gravado["principal"]["adaptadores"].items():
        assert adaptador["segundos_de_treino"] <= gravado["principal"]["segundos_pedidos"]
        antes, depois = ([r[c] for r in respostas] for c in ("resposta_base", f"resposta_{campo}"))
        refeito = gains(teste, antes, depois, metric="aceita")[0]
        assert refeito.after.estimate == pytest.approx(adaptador["medidas"]["aceita"][0]["after"]["estimate"])


def test_o_ganho_gravado_exclui_o_zero_e_as_metas_dizem_a_verdade(gravado):
    total = gravado["principal"]["medidas"]["exata"][0]
    assert total["gain"]["low"] > 0
    for nome in ("exata", "forma"):
        assert gravado["metas"][nome]["valor"] == gravado["principal"]["medidas"][nome][0]["after"]["estimate"]
    assert gravado["metas"]["empacotar"]["valor"] == gravado["empacotar"]["vezes"]
    assert all(meta["atingida"] == (meta["valor"] >= meta["minimo"]) for meta in gravado["metas"].values())
