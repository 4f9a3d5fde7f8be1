"""A folder belongs to one run: what it says, who may train in it, and the lock."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.stages import claimed, differences, read_record, refuse_other_run, write_record

SETTINGS = {"model_name_or_path": "m", "dataset": "a.jsonl", "seed": 0, "max_steps": 4}


@pytest.fixture
def trained(tmp_path):
    """The folder of a stage with a checkpoint."""
    folder = tmp_path / "rlsp"
    write_record(folder, "grpo", SETTINGS)
    (folder / "checkpoint-4").mkdir()
    (folder / "checkpoint-4" / "trainer_state.json").write_text("{}")
    return folder


class TestRefuseOtherRun:
    def test_an_empty_folder_is_anybodys(self, tmp_path):
        refuse_other_run(tmp_path / "new", "grpo", SETTINGS, resume=False)

    def test_the_same_run_goes_on_if_it_says_so(self, trained):
        refuse_other_run(trained, "grpo", {**SETTINGS, "max_steps": 9}, resume=True)
        with pytest.raises(
            ConfigError, match="holds checkpoint-4 of an earlier run: --resume_from_checkpoint auto resumes"
        ):
            refuse_other_run(trained, "grpo", SETTINGS, resume=False)

    @pytest.mark.parametrize(
        ("command", "changes", "why"),
        [
            ("grpo", {"dataset": "b.jsonl"}, "dataset: 'a.jsonl' -> 'b.jsonl'"),
            ("grpo", {"model_name_or_path": "n"}, "model_name_or_path: 'm' -> 'n'"),
            ("grpo", {"seed": 1}, "seed: 0 -> 1"),
            ("sft", {}, "of rlsp grpo"),
        ],
    )
    def test_another_run_is_refused_even_if_it_resumes(self, trained, command, changes, why):
        with pytest.raises(ConfigError, match=rf"of another run \({why}\): give another --output_dir"):
            refuse_other_run(trained, command, {**SETTINGS, **changes}, resume=True)

    def test_a_complete_model_without_a_checkpoint(self, tmp_path):
        (tmp_path / "stage.json").write_text("{}")
        with pytest.raises(
            ConfigError, match=r"holds stage\.json of an earlier run: another --output_dir starts a new one"
        ):
            refuse_other_run(tmp_path, "grpo", SETTINGS, resume=True)


class TestRecord:
    def test_paths_follow_the_run_and_no_current_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "data.jsonl").write_text("")
        run = tmp_path / "run"
        write_record(
            run / "rlsp", "grpo", {"model_name_or_path": "run/sft", "dataset": "data.jsonl", "exclude": "math"}
        )
        run.rename(tmp_path / "moved")
        monkeypatch.chdir("/")
        assert read_record(tmp_path / "moved" / "rlsp")["settings"] == {
            "model_name_or_path": str(tmp_path / "moved" / "sft"),
            "dataset": str(tmp_path / "data.jsonl"),
            "exclude": "math",
        }

    def test_one_that_cannot_be_read(self, tmp_path):
        assert read_record(tmp_path) is None
        (tmp_path / "settings.json").write_text("[]")
        with pytest.raises(DataError, match="cannot be read as the settings of a stage"):
            read_record(tmp_path)

    def test_a_path_is_the_same_however_it_is_written(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a").mkdir()
        assert differences({"dataset": "a"}, {"dataset": str(tmp_path / "a")}) == []


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    code = f"""
import sys
from pathlib import Path
from trl_rlsp.stages import claimed
with claimed(Path({str(tmp_path)!r})):
    print("claimed", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "claimed\n"
        with pytest.raises(ConfigError, match=f"process {first.pid} works in "), claimed(tmp_path):
            pass
        first.kill()
    with claimed(tmp_path):
        assert (tmp_path / ".lock").is_file()
