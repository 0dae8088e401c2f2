"""Texto com uma só grafia: acentos compostos, aspas e espaços uniformes, e UTF-8 lido com a tabela errada, consertado.

Para o modelo, "ação" composto e "ação" decomposto são bytes diferentes, logo tokens diferentes.
"""

from __future__ import annotations

import re
import unicodedata

CODECS = ("cp1252", "latin-1")
# Bytes que a cp1252 deixa sem caractere; quem a usa na prática (os navegadores) põe ali os controles do Latin-1.
_UNASSIGNED = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
_TO_CHAR = {
    "latin-1": [chr(byte) for byte in range(256)],
    "cp1252": [chr(byte) if byte in _UNASSIGNED else bytes([byte]).decode("cp1252") for byte in range(256)],
}
_TO_BYTE = {codec: {char: byte for byte, char in enumerate(chars)} for codec, chars in _TO_CHAR.items()}
_PUNCTUATION = {
    **dict.fromkeys("“”„‟", '"'),
    **dict.fromkeys("‘’‚‛", "'"),
    **dict.fromkeys("‐‑−", "-"),
    "‒": "–",
    "―": "—",
    "…": "...",
    **dict.fromkeys("\r\x0b\x0c\x85\u2028\u2029", "\n"),
}
_JOINERS = "\u200c\u200d"  # juntam letras em outras escritas e compõem emojis


def break_encoding(text: str, codec: str = "cp1252") -> str:
    """O defeito que `repair_mojibake` conserta: os bytes UTF-8 do texto, lidos como se fossem `codec`.

    Parâmetros:
        codec: "cp1252", como o Windows e os navegadores, ou "latin-1".

    Erros:
        ValueError: outra codificação, ou texto com metade de um par substituto.
    """
    if codec not in CODECS:
        raise ValueError(f"codec={codec!r}: esperado um de {CODECS}")
    return "".join(map(_TO_CHAR[codec].__getitem__, text.encode("utf-8")))


def repair_mojibake(text: str) -> str:
    """Desfaz "aÃ§Ã£o" → "ação", linha por linha, só onde a ida e a volta conferem.

    Uma linha é trocada se todos os seus caracteres existem numa das `CODECS`, os bytes que eles representam são UTF-8
    válido, e estragar o resultado de novo devolve a linha original. Um acento legítimo na linha já torna os bytes
    inválidos: texto são não muda, e linha com partes sãs e partes estragadas fica como está. Repete-se para o que foi
    estragado mais de uma vez. Não há conserto para o que se perdeu, como "Ã " que era "à" e teve o espaço inquebrável
    trocado por um comum: consertar vem antes de qualquer outro passo.
    """
    if text.isascii():
        return text
    return "\n".join(map(_repair_line, text.split("\n")))  # splitlines quebraria no controle U+0085, que é parte de "Å"


def _repair_line(line: str) -> str:
    if line.isascii():
        return line
    for codec in CODECS:
        try:
            repaired = bytes(map(_TO_BYTE[codec].__getitem__, line)).decode("utf-8")
        except (KeyError, UnicodeDecodeError):
            continue
        if break_encoding(repaired, codec) == line:
            return _repair_line(repaired)
    return line


class _Table(dict[int, str]):
    """Tabela de `str.translate` que decide cada caractere uma vez, pela categoria Unicode."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if char in _PUNCTUATION:
            value = _PUNCTUATION[char]
        elif category == "Zs" or char == "\t":
            value = " "
        elif (category in {"Cc", "Cf", "Cs"} and char != "\n" and char not in _JOINERS) or char == "\ufeff":
            value = ""  # controles, marcas invisíveis e metades de par substituto
        else:
            value = char
        self[code] = value
        return value


_TABLE = _Table()
_RUN_OF_SPACES = re.compile(r" {2,}")
_BLANK_LINES = re.compile(r"\n{3,}")


def normalize_text(text: str) -> str:
    """Uma só grafia para o mesmo texto; normalizar de novo nada muda.

    Acentos compostos (NFC); aspas retas; hífens especiais viram "-"; reticências viram três pontos; todo espaço é o
    comum, um por vez, e nenhum nas pontas das linhas; no máximo uma linha em branco. Somem controles, hífen opcional,
    espaço de largura zero, marcas de direção e BOM. Travessão e meia-risca ficam: em português o travessão abre a fala.
    """
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").translate(_TABLE))
    lines = (_RUN_OF_SPACES.sub(" ", line).strip(" ") for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
