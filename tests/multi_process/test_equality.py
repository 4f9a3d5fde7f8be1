"""Two processes under `accelerate launch` give the rewards and advantages of one, exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest
import torch
from scripted import LAYOUTS, REWARDS, SCRIPT, run_all

CASES = [(reward, layout) for reward in REWARDS for layout in LAYOUTS]
TIMES = ("step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second")
NOT_EXACT = ("entropy", "exploration/failure_rate")  # means of ranks' means, over unlike numbers of tokens and of rows


@pytest.fixture(scope="module")
def runs(tmp_path_factory, model_folder, launch):
    """The folders of all runs: with one process, with two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    running = launch(Path(__file__).with_name("scripted.py"), two, model_folder, cwd=two)
    run_all(one, model_folder)
    output, _ = running.communicate(timeout=300)
    assert running.returncode == 0, output[-3000:]
    return one, two


def completions(folder):
    """All steps' completions, with rewards and advantages as TRL logged them."""
    files = sorted(Path(folder, "completions").glob("*.parquet"))
    return pandas.concat([pandas.read_parquet(file) for file in files], ignore_index=True)


def log_of(folder):
    return json.loads(Path(folder, "log.json").read_text())


@pytest.mark.parametrize(("reward", "layout"), CASES, ids=lambda name: name)
class TestTwoProcesses:
    def test_rewards_and_advantages_are_those_of_one(self, runs, reward, layout):
        one, two = (folder / reward / layout for folder in runs)
        assert (log_of(one)["processes"], log_of(two)["processes"]) == (1, 2)
        expected, found = completions(one), completions(two)
        assert len(expected) == LAYOUTS[layout].batch * LAYOUTS[layout].accumulation * LAYOUTS[layout].steps
        assert expected["advantage"].nunique() > 4
        pandas.testing.assert_frame_equal(found, expected, check_exact=True)

    def test_the_logs_are_those_of_one(self, runs, reward, layout):
        one, two = (log_of(folder / reward / layout)["history"] for folder in runs)
        assert len(one) == LAYOUTS[layout].steps + 1
        for expected, found in zip(one, two, strict=True):
            assert found.keys() == expected.keys()
            compared = expected.keys() - {*TIMES, *NOT_EXACT}
            assert "reward" in compared or "train_loss" in compared
            unknown = {name for name in compared if expected[name] is None}  # accuracy where nothing is scorable
            assert unknown == {name for name in compared if found[name] is None}
            for name in compared - unknown:
                # a loss near 0 is a difference of sums in another order
                assert found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6), name

    def test_the_weights_are_those_of_one(self, runs, reward, layout, model_folder):
        """Sums of float32 in another order; Adam's step of 1e-2 magnifies them where a gradient is near 0."""
        one, two = (torch.load(folder / reward / layout / "weights.pt") for folder in runs)
        for name, expected in one.items():
            torch.testing.assert_close(two[name], expected, rtol=0, atol=1e-4)


class TestByHand:
    def group(self, runs, reward, problem):
        """The two-process rows of one group that lies on both ranks."""
        rows = completions(runs[1] / reward / "one group, half on each rank")
        found = rows[rows["prompt"] == f"<user> {problem} <assistant>"]
        assert len(found) == len(SCRIPT[problem])
        return found

    def test_the_failure_rate_is_the_whole_groups(self, runs):
        """8 9: right, right on the first rank, wrong, no answer on the second: f = 1/2 for all four.

        The third, `8 + 9 = 17 no \\boxed{ 17 }`, has 6 words before its answer and 11 in all, so with C = 6
        E = 6/12 and L = 11/17. Length has half of 0.2/0.8 beside diversity, so with a penalty of 0.5 it earns
        1/8 * (f * E + 1/2 * (1 - f) * (1 - L)) = 1/8 * (1/4 + 1/4 * 6/17). By its own rank's rate, 1, it would be
        1/8 * 1/2 = 0.0625.
        """
        rows = self.group(runs, "adaptive", "8 9 ?")
        assert list(rows["outcome_verifier"]) == [1, 1, 0, 0]
        assert rows["length_exploration"].iloc[2] == pytest.approx((1 / 4 + 1 / 4 * 6 / 17) / 8, abs=1e-6)

    def test_the_baseline_is_the_whole_groups(self, runs):
        """One of four is right, on the second rank; on the first alone the verdicts would cancel."""
        rows = self.group(runs, "none", "1 2 ?")
        total = rows[["outcome_verifier", "length_exploration", "diversity_exploration"]].sum(axis=1)
        assert list(rows["outcome_verifier"]) == [0, 0, 0, 1]
        assert list(rows["advantage"]) == pytest.approx(list(total - total.mean()), abs=1e-6)
        assert rows["advantage"].iloc[0] < -0.2

    def test_alpha_follows_the_same_solve_rate_on_all_ranks(self, runs):
        """alpha = 0.6 + 0.3 * the mean of the accuracies logged so far; what is not scorable has none."""
        history = log_of(runs[1] / "by solve rate" / "one group, half on each rank")["history"][:-1]
        known = []
        for entry in history:
            solved = sum(known) / len(known) if known else 0
            assert entry["exploration/alpha"] == pytest.approx(0.6 + 0.3 * solved, abs=1e-6)
            if entry["rewards/outcome_verifier/mean"] is not None:
                known.append(entry["rewards/outcome_verifier/mean"])
        assert sorted(known) == [0.25, 0.5, 1.0]
