"""The command from nothing to the report, at toy size, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

RUN = Path(__file__).resolve().parents[2] / "experiments" / "countdown" / "run.py"
ARMS = ("sft", "bounded_adaptive")


def command(path, *arguments):
    return subprocess.run(
        [sys.executable, str(RUN), "--config", str(path), "--output", str(path.parent / "runs"), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory, experiments, toy):
    """(path of the grid, the finished command): an arm without training, one with, and one that cannot be built."""
    grid = toy(experiments / "countdown" / "grid.yaml")
    broken = {"rewards": {"exploration": [{"type": "NoSuchExploration"}]}}
    grid["arms"] = {**{name: grid["arms"][name] for name in ARMS}, "broken": broken}
    path = tmp_path_factory.mktemp("experiment") / "grid.yaml"
    path.write_text(yaml.safe_dump(grid, sort_keys=False), encoding="utf-8")
    return path, command(path)


@pytest.mark.slow
class TestGrid:
    def test_a_failed_run_is_counted_and_the_others_go_on(self, ran):
        path, done = ran
        assert done.returncode == 1, done.stderr
        results = json.loads((path.parent / "results.json").read_text())
        assert [run["arm"] for run in results["runs"]] == list(ARMS)
        (failed,) = results["failed"]
        assert failed["arm"] == "broken"
        assert "no class 'NoSuchExploration'" in failed["reason"]
        assert "broken" not in results["summary"]

    def test_the_form_of_the_results(self, ran):
        results = json.loads((ran[0].parent / "results.json").read_text())
        start, trained = results["runs"]
        figures = {"pass_at_1", "pass_at_8", "maj_at_8", "mean_tokens", "search_steps", "finished", "sampled_tokens"}
        assert {"arm", "seed", "by_difficulty", *figures} <= set(start)
        assert (start["sampled_tokens"], start["steps"]) == (0, 0)
        # 2 * 16 completions of at most 16 tokens a generation, each for two steps: 600 take two generations or more
        assert 600 <= trained["sampled_tokens"] < 600 + 512
        assert trained["sampled_tokens"] == trained["curve"]["tokens"][-1]
        generations = len(trained["curve"]["accuracy"])
        assert generations >= 2
        assert trained["steps"] == 2 * generations - 1  # the first update of the last one ends the run
        assert trained["curve"]["learning_rate"][0] == 5e-4
        mean, low, high = results["summary"]["sft"]["mean_tokens"]
        assert 0 < low <= mean <= high <= 16

    def test_the_report(self, ran):
        folder = ran[0].parent
        text = (folder / "results.md").read_text()
        assert "2 of 3 runs are complete, 1 failed, 0 were not run." in text
        results = json.loads((folder / "results.json").read_text())
        for run in results["runs"]:  # one seed each
            assert f"| {run['arm']} | {100 * run['pass_at_1']:.1f} |\n" in text
        assert "| broken | not run |" in text
        assert str(folder) not in text
        for name in ("learning", "accuracy", "effort"):
            assert 2_000 < (folder / f"countdown_{name}.png").stat().st_size < 100_000

    def test_again(self, ran):
        """What is complete is not run again; what failed is."""
        path, _ = ran
        before = (path.parent / "runs" / "bounded_adaptive-seed0" / "result.json").stat().st_mtime_ns
        done = command(path)
        assert "2 of 3 runs are complete" in done.stderr
        assert (path.parent / "runs" / "bounded_adaptive-seed0" / "result.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_gpu_grid_at_toy_size(toy_grid, experiments):
    path = toy_grid(experiments / "countdown" / "gpu.yaml", numbers=4)
    done = command(path, "--arms", "sft,verifier_only")
    assert done.returncode == 0, done.stderr
    results = json.loads((path.parent / "results_gpu.json").read_text())
    assert [run["arm"] for run in results["runs"]] == ["sft", "verifier_only"]
    assert "| bounded | not run |" in (path.parent / "results.md").read_text()


@pytest.mark.slow
def test_equations_at_toy_size(toy_grid, experiments):
    """Two stages of SFT, each on its own demonstrations, then an arm."""
    source = "reasoning_gym:simple_equations?min_terms=2&max_terms=2&min_value=1&max_value=9&seed={}&size=200"
    problems = {"train": source.format(1), "held_out": source.format(1000), "test": 20, "validation": 10}
    start = {
        "build": {"hidden_size": 32, "layers": 2},
        "sft": [str(experiments / "equations" / name) for name in ("search.yaml", "impatient.yaml")],
        "demonstrations": [
            {"seed": 0, "per_problem": 1, "mean_attempts": 4, "longest": 8},
            {"seed": 0, "per_problem": 1, "mean_attempts": 2, "longest": 3},
        ],
        "overrides": {"max_steps": 2, "warmup_steps": 0, "per_device_train_batch_size": 8},
    }
    path = toy_grid(experiments / "equations" / "grid.yaml", problems=problems, start=start)
    done = command(path, "--arms", "sft,bounded")
    assert done.returncode == 0, done.stderr
    results = json.loads((path.parent / "results.json").read_text())
    assert "easy" in results["runs"][1]["by_difficulty"]
    stages = [path.parent / "runs" / name / "stage.json" for name in ("start-1", "start")]
    assert [json.loads(stage.read_text())["steps"] for stage in stages] == [2, 2]


def test_without_results_the_report_says_not_run(toy_grid, experiments):
    path = toy_grid(experiments / "countdown" / "gpu.yaml", numbers=4)
    done = command(path, "--summarize")
    assert done.returncode == 0, done.stderr
    text = (path.parent / "results.md").read_text()
    assert "Not run: sft, verifier_only, paper_length_group" in text
    assert not (path.parent / "results_gpu.json").exists()
