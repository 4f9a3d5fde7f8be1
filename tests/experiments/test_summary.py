from __future__ import annotations

import json

import pytest
import yaml

from countdown import schedule
from countdown.grid import load_grid
from countdown.report import rate_cell
from countdown.runner import by_difficulty, curve, problem_table
from countdown.summary import arm_summary, bar, comparisons, equal_votes
from countdown.tuning import choose, write_rates
from trl_rlsp.countdown import count_attempts
from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation import ScoredSample

BANDS = {"easy": 5, "hard": None}


def sample(problem, answer, score, *, tokens=10, steps=2):
    search = " | ".join(["1 + 2 = 3 ? 4 no"] * steps)
    text = f"{search} \\boxed{{ {answer} }}" if answer else search
    return ScoredSample(problem, text, tokens, answer is not None, score, "")


@pytest.fixture
def table():
    """Two problems with 8 samples each: 6 right of one answer and 2 without; 2 right, 3 + 3 wrong ones."""
    first = [sample(0, "1 + 2", 1.0)] * 3 + [sample(0, "2 + 1", 1.0)] * 3 + [sample(0, None, 0.0, tokens=30)] * 2
    second = (
        [sample(1, "3", 1.0, steps=6)] * 2 + [sample(1, "4", 0.0, steps=6)] * 3 + [sample(1, "5", 0.0, steps=6)] * 3
    )
    from countdown.domain import canonical

    return problem_table([*second, *first], [3.0, 8.0], canonical, count_attempts)


class TestProblemTable:
    def test_figures_by_hand(self, table):
        assert table["pass_at_1"] == [6 / 8, 2 / 8]
        assert table["pass_at_8"] == [1.0, 1.0]
        assert table["mean_tokens"] == [(6 * 10 + 2 * 30) / 8, 10]
        assert table["search_steps"] == [2, 6]
        assert table["finished"] == [6 / 8, 1]

    def test_votes_of_equal_expressions_add_up(self, table):
        assert table["majority"][0][7] == 1.0
        assert table["majority"][1][7] == 0.0  # 3 + 3 wrong votes tie above 2 right ones
        assert table["majority"][1][0] == 0.25  # one vote is one sample

    def test_not_scorable_is_not_wrong(self):
        # 1 of 7 known is right; pass@8 needs 8 known
        samples = [sample(0, "3", 1.0), sample(0, "4", None), *[sample(0, "5", 0.0)] * 6]
        found = problem_table(samples, [1.0], str, count_attempts)
        assert found["pass_at_1"] == [1 / 7]
        assert found["pass_at_8"] == [None]

    def test_by_difficulty(self, table):
        found = by_difficulty(table, BANDS)
        assert found["easy"]["problems"] == found["hard"]["problems"] == 1
        assert (found["easy"]["pass_at_1"], found["hard"]["pass_at_1"]) == (0.75, 0.25)
        assert list(by_difficulty(table, {"all": None})) == ["all"]


def test_curve_keeps_what_is_not_finite_unknown():
    history = [
        {"sampled_tokens": 100, "entropy": float("nan"), "rewards/length_exploration/mean": 0.123456},
        {"train_runtime": 3.0},
    ]
    found = curve(history)
    assert found["tokens"] == [100]
    assert found["entropy"] == found["accuracy"] == [None]
    assert found["length_exploration"] == [0.1235]


def flat(accuracy, *, steps, votes=None, tokens=60.0, problems=60):
    """The table of an arm that is the same on every problem; every second problem is hard."""
    steps = [float(step) for step in steps for _ in range(problems // 2)]
    return {
        "difficulty": [1.0] * (problems // 2) + [9.0] * (problems // 2),
        "pass_at_1": [accuracy] * problems,
        "pass_at_8": [1.0] * problems,
        "majority": [votes or [accuracy] * 8] * problems,
        "mean_tokens": [tokens] * problems,
        "search_steps": steps,
        "finished": [1.0] * problems,
    }


class TestBar:
    def summarized(self, **changes):
        tables = {
            "sft": [flat(0.3, steps=(2, 3), votes=[0.3, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6])],
            "verifier_only": [flat(0.5, steps=(2, 3))],
            "bounded": [flat(0.52, steps=(3, 5), tokens=100)],
            "bounded_adaptive": [flat(0.6, steps=(2, 6), tokens=100)],
            **changes,
        }
        summary = {arm: arm_summary(own, BANDS) for arm, own in tables.items()}
        compared = comparisons(tables, summary)
        return bar(summary, compared), compared, summary

    def test_met(self):
        found, compared, _ = self.summarized()
        assert found["best"] == "bounded_adaptive"
        assert found["met"] is True
        assert compared["minus_verifier_only"]["bounded_adaptive"] == [0.1, 0.1, 0.1]
        # 100 tokens against 60: 2 votes of the SFT model, 0.4
        assert compared["minus_sft_majority"]["bounded_adaptive"] == {"k": 2, "difference": [0.2, 0.2, 0.2]}

    def test_four_points_are_not_enough(self):
        found, *_ = self.summarized(bounded_adaptive=[flat(0.54, steps=(2, 6))])
        assert found["beats_verifier_only"]["met"] is False
        assert found["beats_sft_majority"]["met"] is True
        assert found["met"] is False

    def test_votes_may_win(self):
        found, *_ = self.summarized(bounded_adaptive=[flat(0.6, steps=(2, 6), tokens=240)])  # 4 votes: 0.6
        assert found["beats_sft_majority"]["met"] is False

    def test_effort_that_falls(self):
        found, _, summary = self.summarized(bounded_adaptive=[flat(0.6, steps=(6, 2))])
        assert summary["bounded_adaptive"]["effort_rank_correlation"][0] == pytest.approx(-1, abs=1e-5)
        assert found["effort_rises_with_difficulty"]["met"] is False

    def test_an_arm_with_fewer_seeds_is_not_the_best(self):
        accuracy = {"sft": 0.3, "verifier_only": 0.5, "bounded": 0.56}
        tables = {arm: [flat(value, steps=(2, 3))] * 2 for arm, value in accuracy.items()}
        found, *_ = self.summarized(**tables, bounded_adaptive=[flat(0.9, steps=(2, 6))])
        assert found["best"] == "bounded"

    def test_not_computed_without_the_baseline(self):
        assert bar({"sft": {}, "bounded": {}}, {}) is None


@pytest.mark.parametrize(("tokens", "votes"), [(30, 1), (60, 1), (61, 2), (120, 2), (10_000, 8)])
def test_votes_at_equal_budget_cost_at_least_as_much(tokens, votes):
    assert equal_votes(tokens, 60.0, 8) == votes


class TestChoose:
    def test_waits_for_all_rates(self):
        assert choose([{"rate": 1e-4, "pass_at_1": 0.4}], wanted=2) is None

    def test_a_failed_rate_is_not_a_number(self):
        assert choose([{"rate": 1e-4, "pass_at_1": 0.0}, {"rate": 3e-4, "pass_at_1": None}], wanted=2) == 1e-4
        assert choose([{"rate": 1e-4, "pass_at_1": None}], wanted=1) is None

    def test_the_lower_of_equals(self):
        assert choose([{"rate": 3e-4, "pass_at_1": 0.4}, {"rate": 1e-4, "pass_at_1": 0.4}], wanted=2) == 1e-4

    def test_the_mean_over_seeds_decides(self):
        # means 0.25 and 0.3: the best single run is of the other rate
        tried = [(1e-4, 0.5), (3e-4, 0.3), (1e-4, 0.0), (3e-4, 0.3)]
        assert choose([{"rate": rate, "pass_at_1": value} for rate, value in tried], wanted=4) == 3e-4

    def test_a_rate_with_a_failed_seed_is_out(self):
        tried = [(1e-4, 0.2), (3e-4, 0.9), (1e-4, 0.2), (3e-4, None)]
        assert choose([{"rate": rate, "pass_at_1": value} for rate, value in tried], wanted=4) == 1e-4


def test_the_cell_of_a_learning_rate():
    runs = [
        {"rate": 1e-4, "pass_at_1": 0.1, "mean_tokens": 50.0, "finished": 1.0},
        {"rate": 1e-4, "pass_at_1": 0.2, "mean_tokens": 70.0, "finished": 0.5},
        {"rate": 3e-4, "pass_at_1": 0.3, "mean_tokens": 90.0, "finished": 0.9},
        {"rate": 3e-4, "pass_at_1": None, "reason": "diverged"},
        {"rate": 5e-4, "pass_at_1": None, "reason": "diverged"},
    ]
    assert rate_cell(runs, 1e-4) == "15.0 (10.0, 20.0); 60, 75 %"
    assert rate_cell(runs, 3e-4) == "failed (30.0, failed); 90, 90 %"
    assert rate_cell(runs, 5e-4) == "failed (failed)"
    assert rate_cell(runs, 1e-3) == "not run"


class TestSchedule:
    @pytest.fixture
    def grid(self, toy_grid, experiments):
        return load_grid(toy_grid(experiments / "countdown" / "grid.yaml", seeds=[0, 1]))

    def test_a_result_of_other_settings_is_not_complete(self, grid, tmp_path):
        run = schedule.reported_runs(grid, tmp_path, "start")[1]
        run.folder.mkdir()
        (run.folder / "result.json").write_text(json.dumps({"fingerprint": run.fingerprint}))
        assert schedule.complete(run)
        other = schedule.reported_runs(grid, tmp_path, "another start")[1]
        assert other.folder == run.folder
        assert not schedule.complete(other)

    def test_a_cut_off_result_is_not_complete(self, grid, tmp_path):
        run = schedule.reported_runs(grid, tmp_path, "start")[0]
        run.folder.mkdir()
        (run.folder / "result.json").write_text('{"fingerpr')
        assert not schedule.complete(run)

    def test_all_arms_of_a_seed_come_before_the_next_seed(self, grid, tmp_path):
        runs = schedule.reported_runs(grid, tmp_path, "start")
        assert [run.seed for run in runs] == [0] * len(grid.arms) + [1] * len(grid.arms)
        assert len({run.folder for run in runs}) == len(runs)

    def test_tuning_is_the_same_for_every_trained_arm(self, grid, tmp_path):
        runs = schedule.tuning_runs(grid, tmp_path, "start")
        assert {run.arm for run in runs} == set(grid.arms) - {"sft"}
        assert {(run.split, run.budget) for run in runs} == {("validation", 600)}
        assert [run.seed for run in runs] == [100] * (len(runs) // 2) + [101] * (len(runs) // 2)
        assert len({run.folder for run in runs}) == len(runs) == 2 * 3 * (len(grid.arms) - 1)

    def test_tuned_rates_are_used(self, grid, tmp_path):
        assert grid.rate(grid.arms["bounded"]) == (5e-4, False)
        before = schedule.reported_runs(grid, tmp_path, "start")
        for run in schedule.tuning_runs(grid, tmp_path, "start"):
            run.folder.mkdir(parents=True)
            figures = {"pass_at_1": 0.3 if run.rate > 5e-4 else 0.2, "mean_tokens": 1, "finished": 1, "steps": 1}
            result = {"fingerprint": run.fingerprint, "sampled_tokens": 1, **figures}
            if run.arm == "bounded":
                (run.folder / "result.json").write_text(json.dumps(result))
        write_rates(grid, schedule.tuning_runs(grid, tmp_path, "start"))
        assert grid.rate(grid.arms["bounded"]) == (1e-3, True)
        after = schedule.reported_runs(grid, tmp_path, "start")
        changed = [new.arm for old, new in zip(before, after, strict=True) if old.fingerprint != new.fingerprint]
        assert set(changed) == {"bounded"}

    def test_rates_of_another_grid(self, grid, experiments, tmp_path):
        """`grid` lies in `tmp_path` and has results.json beside it."""
        (tmp_path / "learning_rates.json").write_text(json.dumps({"bounded": {"chosen": 2e-4, "tried": []}}))
        rates = {"default": 5e-4, "tuned_for": "grid.yaml"}
        (tmp_path / "second.yaml").write_text(yaml.safe_dump({"like": "grid.yaml", "learning_rates": rates}))
        second = load_grid(tmp_path / "second.yaml")
        assert second.rate(second.arms["bounded"]) == (2e-4, True)
        assert second.rate(second.arms["verifier_only"]) == (5e-4, False)
        with pytest.raises(ConfigError, match=r"rates of countdown are those of grid.yaml: tune that"):
            schedule.tune(second, tmp_path)

    def test_each_committed_grid_has_a_file_of_rates_of_its_own(self, experiments):
        names = ("countdown/grid.yaml", "countdown/gpu.yaml")
        files = [load_grid(experiments / name).rates_file for name in names]
        assert [file.name for file in files] == ["learning_rates.json", "learning_rates_gpu.json"]

    def test_unknown_arm(self, grid, tmp_path):
        with pytest.raises(ConfigError, match=r"unknown arm 'bonded': the grid has sft, verifier_only"):
            schedule.run_grid(grid, tmp_path, arms=["bonded"])


class TestLoadGrid:
    def test_like_another_one(self, toy_grid, experiments, tmp_path):
        whole = load_grid(toy_grid(experiments / "countdown" / "grid.yaml"))
        own = "training: {max_steps: 3, steps_per_generation: null}"
        (tmp_path / "more.yaml").write_text(f"like: grid.yaml\nname: more\n{own}\narms: [sft, bounded]\n")
        more = load_grid(tmp_path / "more.yaml")
        assert (more.name, more.budget, list(more.arms)) == ("more", whole.budget, ["sft", "bounded"])
        shared = {name: value for name, value in whole.training.items() if name != "steps_per_generation"}
        assert (more.training, more.arms["bounded"]) == ({**shared, "max_steps": 3}, whole.arms["bounded"])

    def test_like_another_one_with_an_arm_that_it_lacks(self, toy_grid, experiments, tmp_path):
        toy_grid(experiments / "countdown" / "grid.yaml")
        (tmp_path / "more.yaml").write_text("like: grid.yaml\narms: [sft, bonded]\n")
        with pytest.raises(ConfigError, match=r"more.yaml: unknown arm 'bonded': there are sft, verifier_only"):
            load_grid(tmp_path / "more.yaml")

    @pytest.mark.parametrize("content", ["", "- 1\n", "a: [\n"])
    def test_not_a_grid(self, tmp_path, content):
        (tmp_path / "grid.yaml").write_text(content)
        with pytest.raises(ConfigError, match="no experiment at"):
            load_grid(tmp_path / "grid.yaml")

    def test_a_field_too_many(self, toy_grid, experiments):
        path = toy_grid(experiments / "countdown" / "grid.yaml", budgets=3)
        with pytest.raises(ConfigError, match=r"unknown fields \['budgets'\]"):
            load_grid(path)

    def test_tuning_seed_among_the_reported(self, toy_grid, experiments):
        path = toy_grid(experiments / "countdown" / "grid.yaml", seeds=[0, 100])
        with pytest.raises(ConfigError, match=r"tuning seed 100 is among the reported seeds"):
            load_grid(path)

    @pytest.mark.parametrize("bands", [{"easy": 9}, {"easy": 9, "medium": 8, "hard": None}, {}])
    def test_bands_that_do_not_rise(self, toy_grid, experiments, bands):
        path = toy_grid(experiments / "countdown" / "grid.yaml", bands=bands)
        with pytest.raises(ConfigError, match=r"bands are rising upper ends"):
            load_grid(path)
