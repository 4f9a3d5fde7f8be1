"""`rlsp report`: files, names, and what it refuses."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.cli import main
from trl_rlsp.errors import ConfigError
from trl_rlsp.report import build

BATCH = [("1 + 1 ?", "\\boxed{2}", 1.0, "match")]
HISTORY = [{"step": i, "reward": 0.1, "frac_reward_zero_std": 1.0} for i in range(1, 5)]


@pytest.fixture
def folder(tmp_path, write_evaluation, write_training):
    write_evaluation(tmp_path / "mine" / "eval_SFT", [("0", "text", 0.0)])
    write_evaluation(tmp_path / "mine" / "eval_RLSP", [("0", "text", 1.0)])
    write_training(tmp_path / "mine" / "rlsp", {1: BATCH}, HISTORY)
    return tmp_path / "mine"


class TestFiles:
    def test_into_the_run(self, folder, capsys):
        assert main(["report", str(folder), "--no-plots"]) == 0
        assert sorted(path.name for path in (folder / "report").iterdir()) == ["index.html", "report.json"]
        shown = capsys.readouterr().out.replace("\n", " ")
        assert "warning mine: Most groups have equal rewards and give no gradient." in shown
        figures = json.loads((folder / "report" / "report.json").read_text())
        assert [warning["kind"] for warning in figures["warnings"]] == ["zero_variance"]
        (run,) = figures["runs"]
        assert run["evaluations"]["RLSP"]["pass_at_1"] == {"mean": 0.5, "low": 0.4, "high": 0.6}
        assert figures["charts"]["reward"]["lines"][0]["y"] == [0.1] * 4

    def test_plots(self, folder, tmp_path):
        pytest.importorskip("matplotlib")
        assert main(["report", str(folder), "--output", str(tmp_path / "out")]) == 0
        charts = json.loads((tmp_path / "out" / "report.json").read_text())["charts"]
        assert {path.stem for path in (tmp_path / "out" / "plots").iterdir()} == set(charts)

    def test_a_report_is_no_part_of_the_next_report(self, folder):
        for _ in range(2):
            assert main(["report", str(folder), "--no-plots"]) == 0
        figures = json.loads((folder / "report" / "report.json").read_text())
        assert list(figures["runs"][0]["evaluations"]) == ["SFT", "RLSP"]


class TestSeveral:
    def test_names_tell_runs_apart(self, folder, tmp_path, write_training, monkeypatch):
        other = write_training(tmp_path / "other" / "mine", {1: BATCH}, HISTORY)
        monkeypatch.chdir(tmp_path)
        assert main(["report", str(folder), str(other), "--no-plots"]) == 0
        figures = json.loads((tmp_path / "report" / "report.json").read_text())
        assert [run["name"] for run in figures["runs"]] == [f"{tmp_path.name}/mine", "other/mine"]

    def test_twice_the_same(self, folder, capsys):
        assert main(["report", str(folder), f"{folder}/"]) == 2
        assert "ConfigError: a run is given twice" in capsys.readouterr().err


class TestRefused:
    def test_no_run(self, tmp_path, capsys):
        assert main(["report", str(tmp_path)]) == 2
        assert "SourceError" in capsys.readouterr().err

    def test_limit(self, folder, capsys):
        assert main(["report", str(folder), "--limit", "0"]) == 2
        assert "at least 1; got 0" in capsys.readouterr().err

    def test_equal_names(self, make_run):
        with pytest.raises(ConfigError, match="one or more runs with different names, got"):
            build([make_run("a"), make_run("a")])
        with pytest.raises(ConfigError, match="one or more runs with different names, got"):
            build([])
