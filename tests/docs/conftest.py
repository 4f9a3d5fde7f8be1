"""Where the code of the documentation runs: a folder with links to what a clone has, and stand-ins for the Hub."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hub_stand_ins import fill_cache, read_two, train_on_cpu

ROOT = Path(__file__).parent.parent.parent
CLONED = ("Makefile", "README.md", "benchmarks", "constraints.txt", "docs", "experiments", "pyproject.toml", "recipes")


@pytest.fixture(scope="session")
def hub_cache(tmp_path_factory):
    """A cache folder of the Hub with the models that pages name."""
    folder = tmp_path_factory.mktemp("hub")
    fill_cache(folder)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The present folder: a clone, with the quickstart's models under `runs/` and one recipe's files at the top."""
    monkeypatch.chdir(tmp_path)
    for name in CLONED:
        (tmp_path / name).symlink_to(ROOT / name)
    quickstart = ROOT / "recipes" / "quickstart"
    for name in ("sft.yaml", "grpo.yaml", "eval.yaml", "base"):
        (tmp_path / name).symlink_to(quickstart / name)
    runs = tmp_path / "runs" / "quickstart-seed0"
    runs.mkdir(parents=True)
    for name in ("sft", "rlsp"):
        (runs / name).symlink_to(quickstart / "base")
    before = dict(os.environ)
    yield tmp_path
    for name in set(os.environ) - set(before):
        monkeypatch.delenv(name)


@pytest.fixture
def hub(hub_cache, monkeypatch):
    """Models and data sets by their names on the Hub, and a machine without a GPU."""
    import huggingface_hub.constants
    import transformers

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub_cache))
    monkeypatch.setattr("trl_rlsp.problems.data.read_hub", read_two)
    made = transformers.TrainingArguments.__post_init__

    def make(settings):
        train_on_cpu(settings)
        made(settings)

    monkeypatch.setattr(transformers.TrainingArguments, "__post_init__", make)


def pytest_terminal_summary(terminalreporter):
    """Say how much of the documentation's code was run, and what was not."""
    module = sys.modules.get("test_code_blocks")
    if module is not None and module.PAGES:
        terminalreporter.write_line(module.summary())
