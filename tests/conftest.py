"""Fixtures that more than one test module uses: a tiny model on disk, and the commands run for real."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import settings

settings.register_profile("shared_machine", deadline=None)
settings.load_profile("shared_machine")

for _name, _value in {
    "OMP_NUM_THREADS": "1",  # two threads are slower than one for models this small
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(_name, _value)


@pytest.fixture(scope="session")
def tokenizer():
    """The word-level tokenizer of the quickstart."""
    from trl_rlsp.tiny import build_tokenizer

    return build_tokenizer()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A random Llama, 2 layers of width 32, saved with its tokenizer."""
    from trl_rlsp.tiny import build_model, build_tokenizer

    folder = tmp_path_factory.mktemp("tiny_model")
    build_model(hidden_size=32, layers=2).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def run_rlsp():
    """`python -m trl_rlsp ARGUMENTS` in a process of its own; text of both streams is captured."""

    def run(*arguments, cwd, timeout=300, **environment):
        return subprocess.run(
            [sys.executable, "-m", "trl_rlsp", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
