"""O módulo do livro *LLMs na Prática*: só reexporta os nomes públicos."""

from .chat import query_model
from .checkpoint import CheckpointError, load_checkpoint, load_latest, load_model, save_checkpoint, save_model
from .config import GPT2_SIZES, GPT_CONFIG_124M, GPTConfig, gpt2_config
from .corpora import Corpus, CorpusInfo, CorpusUnavailableError, available_corpora, load_corpus
from .costs import CloudCost, measure_matmul_flops, training_flops
from .data import GPTDatasetV1, create_dataloader_v1, split_text
from .device import autocast, set_device
from .download import DownloadError, download_file
from .evaluation import bits_per_byte, distinct_n, perplexity, repetition_rate
from .generation import generate, generate_text_simple
from .gpt2_params import load_weights_into_gpt
from .hub import ModelUnavailableError
from .instruction import (
    InstructionDataset,
    custom_collate_draft_1,
    custom_collate_draft_2,
    custom_collate_fn,
    format_input,
)
from .judge import generate_model_scores
from .lora import LinearWithLoRA, LoRALayer, apply_lora, merge_lora, unload_lora, unmerge_lora
from .model import GPTModel
from .plots import plot_losses, plot_next_token, use_book_style
from .pretrained import download_and_load_gpt2, load_pretrained, save_pretrained
from .tokenizer import encode_corpus, get_tokenizer, text_to_token_ids, token_ids_to_text
from .training import (
    build_adamw,
    calc_loss_batch,
    calc_loss_loader,
    evaluate_model,
    generate_and_print_sample,
    train_model_simple,
    warmup_cosine,
)

__version__ = "0.1.0"

__all__ = [
    "GPT2_SIZES",
    "GPT_CONFIG_124M",
    "CheckpointError",
    "CloudCost",
    "Corpus",
    "CorpusInfo",
    "CorpusUnavailableError",
    "DownloadError",
    "GPTConfig",
    "GPTDatasetV1",
    "GPTModel",
    "InstructionDataset",
    "LinearWithLoRA",
    "LoRALayer",
    "ModelUnavailableError",
    "apply_lora",
    "autocast",
    "available_corpora",
    "bits_per_byte",
    "build_adamw",
    "calc_loss_batch",
    "calc_loss_loader",
    "create_dataloader_v1",
    "custom_collate_draft_1",
    "custom_collate_draft_2",
    "custom_collate_fn",
    "distinct_n",
    "download_and_load_gpt2",
    "download_file",
    "encode_corpus",
    "evaluate_model",
    "format_input",
    "generate",
    "generate_and_print_sample",
    "generate_model_scores",
    "generate_text_simple",
    "get_tokenizer",
    "gpt2_config",
    "load_checkpoint",
    "load_corpus",
    "load_latest",
    "load_model",
    "load_pretrained",
    "load_weights_into_gpt",
    "measure_matmul_flops",
    "merge_lora",
    "perplexity",
    "plot_losses",
    "plot_next_token",
    "query_model",
    "repetition_rate",
    "save_checkpoint",
    "save_model",
    "save_pretrained",
    "set_device",
    "split_text",
    "text_to_token_ids",
    "token_ids_to_text",
    "train_model_simple",
    "training_flops",
    "unload_lora",
    "unmerge_lora",
    "use_book_style",
    "warmup_cosine",
]
