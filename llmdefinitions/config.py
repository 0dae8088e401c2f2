"""Configuração do modelo GPT: os hiperparâmetros, os tamanhos publicados e a validação deles.

Não importa torch: ler ou conferir uma configuração não deve custar segundos de importação.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

#: Alvo que a entropia cruzada do PyTorch ignora: o das posições que não contam na perda.
IGNORE_INDEX = -100


@dataclass(frozen=True)
class GPTConfig:
    """Hiperparâmetros de um :class:`~llmdefinitions.GPTModel`.

    Os sete primeiros campos são as chaves do dicionário usado no livro de origem; os dois últimos são
    extensões cujo padrão mantém o comportamento dele.

    Atributos:
        vocab_size: tamanho do vocabulário, V (tokens).
        context_length: maior entrada que o modelo aceita (tokens).
        emb_dim: largura do modelo, D.
        n_heads: número de cabeças de atenção, H; D tem de ser múltiplo de H.
        n_layers: número de blocos, L.
        drop_rate: probabilidade de dropout, em [0, 1).
        qkv_bias: se as projeções de consulta, chave e valor têm viés (o GPT-2 publicado tem).
        tie_weights: se a saída usa a mesma matriz dos embeddings de tokens (Press & Wolf, 2017).
        init_std: desvio da inicialização normal do GPT-2 (0,02 lá); `None` mantém a inicialização padrão
            do PyTorch, a do livro de origem.

    Erros:
        ValueError: valor fora do domínio; a mensagem diz o valor, o esperado e o remédio.
    """

    vocab_size: int
    context_length: int
    emb_dim: int
    n_heads: int
    n_layers: int
    drop_rate: float = 0.1
    qkv_bias: bool = False
    tie_weights: bool = False
    init_std: float | None = None

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: esperado um inteiro maior que zero.")
        if self.emb_dim % self.n_heads:
            raise ValueError(
                f"emb_dim={self.emb_dim} não é múltiplo de n_heads={self.n_heads}: cada cabeça recebe "
                "emb_dim / n_heads dimensões; mude um dos dois."
            )
        if not _is_number(self.drop_rate) or not 0.0 <= self.drop_rate < 1.0:
            raise ValueError(f"drop_rate={self.drop_rate!r}: esperado um número em [0, 1).")
        for name in ("qkv_bias", "tie_weights"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}: esperado True ou False.")
        if self.init_std is not None and not (_is_number(self.init_std) and self.init_std > 0):
            raise ValueError(f"init_std={self.init_std!r}: esperado um número maior que zero, ou None.")
        if self.tie_weights and self.init_std is None:
            raise ValueError(
                "tie_weights=True com init_std=None: os embeddings padrão do PyTorch têm desvio 1 e, usados "
                "como saída, dariam perdas iniciais enormes; use init_std=0.02, como o GPT-2."
            )

    @classmethod
    def from_dict(cls, cfg: Mapping[str, Any] | GPTConfig) -> GPTConfig:
        """Converte o dicionário do livro de origem em `GPTConfig`, recusando chaves erradas ou ausentes."""
        if isinstance(cfg, GPTConfig):
            return cfg
        if not isinstance(cfg, Mapping):
            raise TypeError(f"configuração do tipo {type(cfg).__name__}: esperado um dicionário ou um GPTConfig.")
        valid = [f.name for f in fields(cls)]
        unknown = sorted(set(cfg) - set(valid))
        if unknown:
            raise ValueError(f"chave desconhecida: {', '.join(unknown)}. As válidas são: {', '.join(valid)}.")
        missing = [name for name in valid[:5] if name not in cfg]
        if missing:
            raise ValueError(f"chave ausente: {', '.join(missing)}. As válidas são: {', '.join(valid)}.")
        return cls(**cfg)

    def to_dict(self) -> dict[str, Any]:
        """Dicionário com todos os campos, pronto para JSON."""
        return asdict(self)

    @property
    def head_dim(self) -> int:
        """Dimensões por cabeça, D / H."""
        return self.emb_dim // self.n_heads


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


#: Configuração dos capítulos: GPT-2 pequeno com contexto curto, como nas fontes do curso.
GPT_CONFIG_124M: dict[str, Any] = {
    "vocab_size": 50257,
    "context_length": 256,
    "emb_dim": 768,
    "n_heads": 12,
    "n_layers": 12,
    "drop_rate": 0.1,
    "qkv_bias": False,
}

#: Dimensões dos quatro GPT-2 publicados (Radford et al., 2019); os nomes seguem os arquivos da OpenAI.
GPT2_SIZES: dict[str, dict[str, int]] = {
    "124M": {"emb_dim": 768, "n_layers": 12, "n_heads": 12},
    "355M": {"emb_dim": 1024, "n_layers": 24, "n_heads": 16},
    "774M": {"emb_dim": 1280, "n_layers": 36, "n_heads": 20},
    "1558M": {"emb_dim": 1600, "n_layers": 48, "n_heads": 25},
}


def gpt2_config(size: str = "124M", **changes: Any) -> GPTConfig:
    """Configuração de um GPT-2 publicado (contexto 1024, viés em QKV), com as mudanças pedidas.

    Erros:
        ValueError: tamanho desconhecido; a mensagem lista os válidos.
    """
    if size not in GPT2_SIZES:
        raise ValueError(f"tamanho {size!r} desconhecido. Os válidos são: {', '.join(GPT2_SIZES)}.")
    base = {"vocab_size": 50257, "context_length": 1024, "drop_rate": 0.0, "qkv_bias": True}
    return GPTConfig.from_dict({**base, **GPT2_SIZES[size], **changes})
