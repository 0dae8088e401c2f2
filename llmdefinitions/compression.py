"""Compressores como modelos de linguagem: quantos bits por byte o xz gasta num texto que não viu."""

import lzma


def xz_bits_per_byte(train_text: str, heldout_text: str) -> float:
    """Bits por byte do LZMA2 em `heldout_text`, depois de "ler" `train_text`.

    Comprimir é prever (Shannon, 1948): o tamanho a mais que o segundo texto acrescenta ao primeiro,
    8 · (|xz(treino + teste)| − |xz(treino)|) / bytes do teste, compara-se com os bits por byte de um modelo. O esforço
    é o máximo (preset 9e) e o dicionário alcança os dois textos inteiros; sem cabeçalho, só o fluxo comprimido.

    Parâmetros:
        train_text: texto que o compressor vê antes; vazio mede o teste sozinho.
        heldout_text: texto medido.

    Erros:
        ValueError: `heldout_text` vazio.
    """
    if not heldout_text:
        raise ValueError("heldout_text é vazio: não há byte algum para dividir os bits; passe o texto a medir")
    train, heldout = train_text.encode("utf-8"), heldout_text.encode("utf-8")
    # 4 KiB é o menor dicionário que o formato aceita, e 1,5 GiB o maior.
    dict_size = min(max(len(train) + len(heldout), 4096), 1536 << 20)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": dict_size}]
    before, after = (
        len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters)) for data in (train, train + heldout)
    )
    return 8 * (after - before) / len(heldout)
