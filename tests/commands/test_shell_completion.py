"""The completion script, as a real bash reads it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from trl_rlsp.cli import COMMANDS, main


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    from contextlib import redirect_stdout

    path = tmp_path_factory.mktemp("completion") / "rlsp.bash"
    with open(path, "w") as file, redirect_stdout(file):
        assert main(["completion", "bash"]) == 0
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rlsp ha", "harvest"),
        ("rlsp grpo --alp", "--alpha --alpha_end --alpha_schedule"),
        ("rlsp init --held", "--held_out"),
        ("rlsp unknown --x", ""),
    ],
)
def test_bash(script, words, expected):
    count = len(words.split()) - 1
    ask = f'source {script}; COMP_WORDS=({words}); COMP_CWORD={count}; _rlsp; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_every_command_is_there(script):
    text = script.read_text()
    assert all(f"    {command}) options=" in text for command in COMMANDS)


def test_another_shell(capsys):
    assert main(["completion", "fish"]) == 2
    assert "takes bash or zsh, got 'fish'" in capsys.readouterr().err
