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
        "sft": save("sft", [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], 20),
        "wide": save("wide", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 20),
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
        # pass@2 of 2, 1 of 3 right: 1 - C(1,2)/C(3,2) = 1 and 1 - C(2,2)/C(3,2) = 2/3; of 3, 2 of 3: 1 and 1
        assert figures["pass@2"]["difference"]["mean"] == pytest.approx(1 / 6)
        assert figures["cover@0.5"]["difference"]["mean"] == 0.5
        assert figures["crossing"] is None
        assert (figures["newly_solved"]["problems"], figures["newly_solved"]["samples"]) == (0, 3)
        assert "newly solved" in shown

    def test_three_models(self, runs, capsys, tmp_path):
        output = tmp_path / "three.json"
        assert main(["compare", runs["base"], runs["sft"], runs["rlsp"], "--output", str(output)]) == 0
        shown = capsys.readouterr().out
        figures = json.loads(output.read_text())
        base, sft, rlsp = (runs[name] for name in ("base", "sft", "rlsp"))
        assert list(figures) == [f"{sft} - {base}", f"{rlsp} - {base}", f"{rlsp} - {sft}"]
        # base and sft solve 2/3, 1/3 and 1, 0: equal at k = 1, and behind from k = 2 is no crossing
        assert figures[f"{sft} - {base}"]["crossing"] is None
        new, lost = (figures[f"{rlsp} - {sft}"][name] for name in ("newly_solved", "lost"))
        # problem 1: 0 of 3 for sft, 2 of 3 for rlsp; 1 - 0.05^(1/3)
        assert (new["problems"], new["known"], new["solved"], lost["problems"]) == (1, 2, 1, 0)
        assert new["upper_bound"] == pytest.approx(0.6316, abs=1e-4)
        assert {k: e["mean"] for k, e in new["pass_at"].items()} == {"1": pytest.approx(2 / 3), "3": 1.0}
        assert "pass@k crosses" not in shown

    def test_a_crossing_is_shown(self, runs, capsys, tmp_path):
        assert main(["compare", runs["wide"], runs["sft"], "--output", str(tmp_path / "c.json")]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        # 1/2 against 1/3 at k = 1, 1/2 against 2/3 at k = 2
        assert f"{runs['sft']} is ahead at k = 1 and {runs['wide']} at k = 2" in shown
        assert "+16.7 [-33.3, +66.7], then -16.7 [-66.7, +33.3] points (not clear" in shown
        assert "×" in shown
        assert json.loads((tmp_path / "c.json").read_text())["crossing"] == {
            **{"k": 2, "before": 1, "rises": False, "clear": False}
        }

    @pytest.mark.parametrize("names", [["base"], ["base", "base"], ["base", "rlsp", "base"]])
    def test_too_few_or_twice(self, runs, capsys, names):
        assert main(["compare", *(runs[name] for name in names)]) == 2
        assert "a comparison needs two or more different folders" in capsys.readouterr().err

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
