"""`rlsp compare` and `rlsp efficiency` on saved folders."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from trl_rlsp.cli import main
from trl_rlsp.evaluation import ScoredSample, save_evaluation, summarize


def scored(problem, sample, score, tokens):
    return ScoredSample(problem, "text", tokens, True, score, "match", sample, answer="r" if score else "w")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def save(name, scores, tokens, problems_hash="same"):
        samples = [scored(p, i, s, tokens) for p, row in enumerate(scores) for i, s in enumerate(row)]
        figures = replace(summarize(samples), problems_hash=problems_hash)
        save_evaluation(figures, samples, tmp_path / name, {})
        return str(tmp_path / name)

    return {
        "base": save("base", [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], 10),
        "rlsp": save("rlsp", [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]], 25),
        "other": save("other", [[1.0], [1.0]], 10, "other"),
    }


class TestCompare:
    def test_table_and_json(self, runs, capsys, tmp_path):
        output = tmp_path / "new" / "difference.json"
        assert main(["compare", runs["base"], runs["rlsp"], "--output", str(output)]) == 0
        shown = capsys.readouterr().out
        # both problems are solved by one third more
        assert "33.3 % [33.3, 33.3] *" in shown
        assert "15.0 [15.0, 15.0] *" in shown
        figures = json.loads(output.read_text())
        assert figures["maj@3"]["difference"] == {"mean": 0.5, "low": 0.0, "high": 1.0}
        assert (figures["maj@3"]["clear"], figures["tokens"]["clear"]) == (False, True)

    def test_different_problems(self, runs, capsys):
        assert main(["compare", runs["base"], runs["other"]]) == 2
        assert "rlsp compare: DataError: a comparison needs the same problems" in capsys.readouterr().err


class TestEfficiency:
    def test_table_json_and_plot(self, runs, capsys, tmp_path):
        pytest.importorskip("matplotlib")
        given = ["--runs", f"base={runs['base']}", f"rlsp={runs['rlsp']}", "--output_dir", str(tmp_path / "out")]
        assert main(["efficiency", *given]) == 0
        shown = capsys.readouterr().out
        # one search costs 25 tokens and so as much as two samples of the base and a half
        row = next(line for line in shown.splitlines() if " 25.0 │" in line)
        assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
            *("1", "25.0", "83.3 % [66.7, 100.0]", "2", "20.0", "50.0 % [33.3, 66.7]")
        ]
        figures = json.loads((tmp_path / "out" / "efficiency.json").read_text())
        assert [point["tokens"]["mean"] for point in figures["base"]] == [10, 20, 30]
        assert [point["accuracy"]["mean"] for point in figures["rlsp"]] == pytest.approx([5 / 6, 5 / 6, 1.0])
        assert (tmp_path / "out" / "efficiency.png").stat().st_size > 1000

    def test_one_run(self, runs, capsys):
        assert main(["efficiency", "--runs", f"base={runs['base']}"]) == 0
        assert "equal budget" not in capsys.readouterr().out

    @pytest.mark.parametrize("given", [["here"], ["a="], ["=here"], ["a=x", "a=y"]])
    def test_not_name_and_folder(self, capsys, given):
        assert main(["efficiency", "--runs", *given]) == 2
        assert "each of --runs is NAME=FOLDER with a name of its own" in capsys.readouterr().err

    def test_different_problems(self, runs, capsys):
        assert main(["efficiency", "--runs", f"base={runs['base']}", f"other={runs['other']}"]) == 2
        assert "a comparison needs the same problems" in capsys.readouterr().err

    def test_no_matplotlib(self, runs, capsys, monkeypatch, tmp_path):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        given = ["--runs", f"base={runs['base']}", "--output_dir", str(tmp_path / "out")]
        assert main(["efficiency", *given]) == 2
        assert "the plot needs matplotlib: pip install 'trl-rlsp[report]'" in capsys.readouterr().err
