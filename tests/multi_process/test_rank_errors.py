"""What several ranks say at the start, and the error that a failing one hands to its launcher."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from trl_rlsp.commands._train import rank_errors

TRAINING = SimpleNamespace(process_index=0, resume_from_checkpoint=None, output_dir="runs/x")


@pytest.fixture
def error_file(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    return tmp_path / "error.json"


@pytest.mark.usefixtures("error_file")
def test_the_first_rank_says_how_a_run_goes_on(capsys):
    with rank_errors(TRAINING):
        pass
    said = "the same command with --resume_from_checkpoint auto goes on from the last checkpoint in runs/x"
    assert capsys.readouterr().err == f"rlsp: if a rank is lost: {said}\n"
    with rank_errors(SimpleNamespace(process_index=1)):
        pass
    assert capsys.readouterr().err == ""


def test_the_launcher_is_told_the_error(error_file):
    with pytest.raises(RuntimeError, match="out of memory"), rank_errors(TRAINING):
        raise RuntimeError("out of memory")
    assert "out of memory" in json.loads(error_file.read_text())["message"]["message"]


def test_one_process_says_nothing(monkeypatch, capsys):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with rank_errors(TRAINING):
        pass
    assert capsys.readouterr().err == ""
