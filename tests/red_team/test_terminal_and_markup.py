"""What data and models write is shown as text: in the terminal, in tables, and in the report."""

from __future__ import annotations

import io

import pyarrow
import pyarrow.parquet
import pytest
from rich.table import Table

from trl_rlsp.cli import main
from trl_rlsp.text import Terminal

ESCAPES = "\x1b]0;OWNED\x07\x1b]52;c;cm0gLXJmIH4=\x07\x1b[2J7"


def shown(*what, **options):
    file = io.StringIO()
    terminal = Terminal(file=file, width=200, force_terminal=True, **options)
    for part in what:
        terminal.print(part)
    return file.getvalue()


def test_escape_sequences_do_not_reach_the_terminal():
    table = Table("level")
    table.add_row(ESCAPES)
    for output in (shown(ESCAPES), shown(table)):
        assert "\x1b]0;" not in output
        assert "\x1b]52" not in output
        assert "\x1b[2J" not in output
        assert "⟨U+001B⟩[2J" in output


def test_markup_of_a_data_set_is_text():
    table = Table("level")
    table.add_row("[/algebra]")
    table.add_row("[red]x")
    assert "[/algebra]" in shown(table, "[/x]")
    assert "[red]x" in shown(table)


def test_own_styles_are_kept():
    file = io.StringIO()
    Terminal(file=file, width=80, force_terminal=True, color_system="standard").print("warning", style="yellow")
    assert file.getvalue() == "\x1b[33mwarning\x1b[0m\n"


@pytest.fixture
def hostile_run(tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u202e" + ESCAPES
    table = {
        "step": [1, 1],
        "prompt": [evil] * 2,
        "completion": [evil + "\\boxed{1}"] * 2,
        "outcome_verifier": [1.0, 0.0],
        "<b>r</b>": [float("inf"), float("-inf")],
        "verdict": [evil, "match"],
        "advantage": [0.1, 0.2],
    }
    (tmp_path / "completions").mkdir()
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "completions" / "completions_00001.parquet")
    return tmp_path


def test_a_reward_that_is_not_finite_does_not_end_the_report(hostile_run, capsys):
    assert main(["report", str(hostile_run), "--no-plots"]) == 0
    assert "\x1b]" not in capsys.readouterr().out
    page = (hostile_run / "report" / "index.html").read_text()
    assert "<script>alert" not in page
    assert "<img" not in page


def test_an_error_with_hostile_text_is_visible(tmp_path, capsys):
    assert main(["report", str(tmp_path / ESCAPES)]) == 2
    assert "\x1b" not in capsys.readouterr().err
