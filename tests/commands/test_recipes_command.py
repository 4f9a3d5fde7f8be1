"""`rlsp recipes` and `rlsp recipes copy`, as a person sees them."""

from __future__ import annotations

import pytest

from trl_rlsp.cli import main
from trl_rlsp.pipeline import recipe_names


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory and a terminal of 200 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


class TestList:
    def test_a_line_for_each_recipe(self, capsys):
        assert main(["recipes"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["recipe", "purpose", "hardware"]
        assert [line.split()[0] for line in lines[1 : 1 + len(recipe_names())]] == recipe_names()
        assert lines[1].startswith("quickstart ")
        assert "the whole pipeline on a laptop's CPU, measured" in lines[1]
        assert lines[1].rstrip().endswith("2 CPU cores")

    def test_says_what_comes_next(self, capsys):
        main(["recipes"])
        assert capsys.readouterr().out.splitlines()[-1] == (
            "rlsp run NAME runs one; rlsp recipes copy NAME makes a copy to change, also of ablations and accelerate."
        )


class TestCopy:
    def test_a_recipe(self, capsys, place):
        assert main(["recipes", "copy", "quickstart"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "quickstart copied to recipes/quickstart",
            "next: change it, then rlsp run recipes/quickstart",
        ]
        assert (place / "recipes/quickstart/base/model.safetensors").is_file()

    def test_a_companion_cannot_be_run_next(self, capsys, place):
        assert main(["recipes", "copy", "accelerate", "--to", "launch"]) == 0
        assert capsys.readouterr().out == "accelerate copied to launch\n"
        assert (place / "launch/ddp.yaml").is_file()

    def test_twice(self, capsys, place):
        main(["recipes", "copy", "quickstart"])
        (place / "recipes/quickstart/sft.yaml").write_text("changed: true\n")
        assert main(["recipes", "copy", "quickstart"]) == 2
        assert "'recipes/quickstart' exists and is not overwritten" in capsys.readouterr().err
        assert (place / "recipes/quickstart/sft.yaml").read_text() == "changed: true\n"

    def test_a_typo(self, capsys):
        assert main(["recipes", "copy", "quickstrat"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("rlsp recipes: SourceError: 'quickstrat' is neither a folder nor a shipped recipe")
        assert "(did you mean 'quickstart'?)" in error
        for name in recipe_names():
            assert name in error

    @pytest.mark.parametrize("arguments", [["copy"], ["remove", "quickstart"]])
    def test_what_it_cannot_read(self, capsys, arguments):
        assert main(["recipes", *arguments]) == 2
        assert "rlsp recipes takes nothing, or copy NAME" in capsys.readouterr().err


def test_run_with_a_typo(capsys):
    assert main(["run", "quick-start"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("rlsp run: SourceError: 'quick-start' is neither a folder nor a shipped recipe")
    assert "(did you mean 'quickstart'?)" in error
