"""Short hashes of what an evaluation depends on: the problems, the prompts, the model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from trl_rlsp.problems import problem_key

if TYPE_CHECKING:
    from datasets import Dataset

WEIGHTS = ("*.safetensors", "*.bin")
SETTINGS = ("config.json", "generation_config.json", "adapter_config.json", "tokenizer*.json", "chat_template*")
PIECE = 1 << 20
"""Bytes read at the start, in the middle and at the end of a file of weights; smaller files are read whole."""


def problems_hash(dataset: Dataset) -> str:
    """Hash of the problems and their gold answers, in order; the system message has no part in it."""
    truths = [[row.get(name) for name in ("solution", "task", "tests")] for row in dataset]
    return _hash([problem_key(row) for row in dataset], truths)


def prompts_hash(dataset: Dataset) -> str:
    """Hash of the prompts as they are given to the model, in order."""
    return _hash(dataset["prompt"][:])


def model_hash(name_or_path: str) -> str:
    """Hash of a model's folder, or the hub id itself.

    Args:
        name_or_path: hub id, or folder of a model or of an adapter.

    Returns:
        A text that changes when another model is trained into the same folder, and not when the folder is moved.
    """
    folder = Path(name_or_path)
    if not folder.is_dir():
        return name_or_path
    digest = hashlib.sha256()
    for pattern in (*SETTINGS, *WEIGHTS):
        for path in sorted(folder.glob(pattern)):
            digest.update(path.name.encode())
            for piece in _pieces(path):
                digest.update(piece)
    return digest.hexdigest()[:16]


def _pieces(path: Path) -> list[bytes]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        if size <= 3 * PIECE:
            return [file.read()]
        pieces = [str(size).encode()]
        for start in (0, size // 2, size - PIECE):
            file.seek(start)
            pieces.append(file.read(PIECE))
    return pieces


def _hash(*content: object) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]
