"""What several ranks say at the start, and the error that a failing one hands to its launcher."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from trl_rlsp.commands import train


@pytest.fixture
def call(tmp_path, monkeypatch):
    """`train` with a trainer that does nothing, or raises `error`."""
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    monkeypatch.setattr("trl_rlsp.commands._train._show_progress", lambda trainer: None)

    def run(*, ranks=2, first=True, error=None):
        def step(*_, **__):
            if error:
                raise error

        accelerator = SimpleNamespace(is_main_process=first, num_processes=ranks)
        state = SimpleNamespace(global_step=1)
        trainer = SimpleNamespace(
            _name="GRPO", accelerator=accelerator, state=state, train=step, save_model=step, save_state=step
        )
        train(trainer, SimpleNamespace(resume_from_checkpoint=None, output_dir=str(tmp_path)))

    return run


def test_the_first_rank_says_how_a_run_goes_on(call, capsys, tmp_path):
    call()
    said = f"the same command with --resume_from_checkpoint auto continues from the last checkpoint in {tmp_path}"
    assert capsys.readouterr().err == f"rlsp: if a rank is lost: {said}\n"
    call(first=False)
    assert capsys.readouterr().err == ""


def test_the_launcher_is_told_the_error(call, tmp_path):
    with pytest.raises(RuntimeError, match="out of memory"):
        call(error=RuntimeError("out of memory"))
    assert "out of memory" in json.loads((tmp_path / "error.json").read_text())["message"]["message"]


def test_one_process_says_nothing(call, capsys):
    call(ranks=1)
    assert capsys.readouterr().err == ""
