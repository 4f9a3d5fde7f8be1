"""Relative paths of the recipes are those of the repository; what is written goes elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder with a link to the recipes, which is the present one; the environment is put back."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    before = dict(os.environ)
    yield tmp_path
    for name in set(os.environ) - set(before):
        monkeypatch.delenv(name)
