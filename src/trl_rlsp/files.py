"""Atomic file writes: a file is written completely or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trl_rlsp.errors import DataError


def atomic_write(path: Path, text: str | Iterable[str]) -> None:
    """Write a string or pieces of one to a UTF-8 file, completely or not at all; creates the parent folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with open(part, "w", encoding="utf-8") as file:
        file.writelines([text] if isinstance(text, str) else text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def write_json(path: Path, content: Any) -> None:
    """Write JSON-serializable values as one indented JSON document."""
    atomic_write(path, json.dumps(content, indent=2) + "\n")


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines, ASCII only, so that no completion can break the file's encoding."""
    atomic_write(path, (json.dumps(row) + "\n" for row in rows))


def read_json(path: Path, **options: Any) -> dict[str, Any]:
    """Read a file that holds one JSON object; `options` go to `json.loads`. DataError if that is not possible."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), **options)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content
