"""Problems drawn by their solve rates: the value of a group by hand, what is drawn, and the same after resuming."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
import torch
from tiny_grpo import tiny_grpo

from trl_rlsp import RLSPRewards
from trl_rlsp.errors import ConfigError
from trl_rlsp.trainers._visits import SolveRates, gain

PROBLEMS = [f"<user> {numbers} : 72 <assistant>" for numbers in ("8 1 9", "1 2", "3 4", "5 6", "7 8", "9 1")]


def moment(a, b, right, wrong):
    """E[p^right (1 - p)^wrong] under Beta(a, b): products of a (a + 1) ..., as fractions."""
    value = Fraction(1)
    for step in range(right):
        value *= a + step
    for step in range(wrong):
        value *= b + step
    for step in range(right + wrong):
        value /= a + b + step
    return value


def counted(*pairs, size=8):
    """Rates of problems of which so many of so many tries were right."""
    rates = SolveRates(len(pairs), half_life=1e9)
    rates.add((place, float(turn < right)) for place, (right, tries) in enumerate(pairs) for turn in range(tries))
    return rates


def test_the_value_of_a_group_of_a_problem_never_tried():
    """Beta(1/2, 1/2), two completions: 1/16 - (15/8 * 3/4) / 120 - (1/2 * 105/16) / 120 = 3/128."""
    half = torch.tensor([0.5], dtype=torch.float64)
    assert gain(half, half, 1, 2).item() == pytest.approx(3 / 128)


def test_a_known_rate_has_the_value_of_the_paper():
    rate, many = 0.05, 1e7
    right, wrong = (torch.tensor([many * each], dtype=torch.float64) for each in (rate, 1 - rate))
    for groups in (1, 2):
        expected = rate * 0.95**2 * (1 - rate ** (8 * groups) - 0.95 ** (8 * groups))
        assert gain(right, wrong, groups, 8).item() == pytest.approx(expected, rel=1e-4)


def test_the_mean_outcome_counts_as_one_try():
    """8 of 8, 4 of 8, 0 of 8: the mean, with one right and one wrong added, is 13/26."""
    right, wrong = counted((8, 8), (4, 8), (0, 8)).beta()
    assert right.tolist() == pytest.approx([8.5, 4.5, 0.5])
    assert wrong.tolist() == pytest.approx([0.5, 4.5, 8.5])


def test_three_problems_are_drawn_in_proportion_to_their_values():
    rates, size = counted((8, 8), (2, 8), (0, 8)), 4
    mean = Fraction(11, 26)
    values = []
    for right in (8, 2, 0):
        a, b = mean + right, 1 - mean + 8 - right
        values.append(moment(a, b, 1, 2) - moment(a, b, 5, 2) - moment(a, b, 1, 6))
    shares = [float(value / sum(values)) for value in values]
    assert shares[1] > 0.6 > 0.2 > shares[2] > shares[0] > 0.01  # rare ones most, the others less, but not never
    drawn = Counter(rates.draw(generation, 1, size, seed=0)[0] for generation in range(3000))
    for problem, share in enumerate(shares):
        assert drawn[problem] / 3000 == pytest.approx(share, abs=0.045)  # 5 standard deviations


def test_a_second_group_goes_where_it_still_adds_something():
    """At p = 1/2, sixteen tries find hardly more than eight; at p = 1/50, right ones almost twice as often."""
    rates = counted((5000, 10000), (200, 10000))
    both = [rates.draw(generation, 2, 8, seed=0) for generation in range(2000)]
    after = {first: Counter(second for begun, second in both if begun == first) for first in (0, 1)}
    medium = [Fraction(1, 2) ** 3 * (1 - 2 * Fraction(1, 2) ** (8 * groups)) for groups in (1, 2)]
    rare = [0.02 * 0.98**2 * (1 - 0.98 ** (8 * groups)) for groups in (1, 2)]
    added = float(medium[1] - medium[0])
    assert after[0][0] / after[0].total() == pytest.approx(added / (added + rare[0]), abs=0.06)
    assert after[0][0] / after[0].total() < 0.4 < float(medium[0]) / (float(medium[0]) + rare[0])


def test_a_verdict_fades():
    rates = SolveRates(1, half_life=2)
    rates.add([(0, 1.0)] * 4)
    rates.add([])
    rates.add([(0, 0.5)])
    assert rates.right_N.item() == pytest.approx(4 / 2 + 0.5)
    assert rates.tries_N.item() == pytest.approx(4 / 2 + 1)


def test_what_was_drawn_stays_drawn():
    rates = SolveRates(50, half_life=20)
    first, second = (rates.draw(generation, 4, 8, seed=3) for generation in (0, 1))
    assert rates.draw(1, 4, 8, seed=3) is second
    rates.add([(second[0], 1.0)] * 8)
    again = SolveRates(50, half_life=20)
    again.load(rates.state())
    assert [again.draw(generation, 4, 8, seed=3) for generation in (0, 1)] == [first, second]
    assert [rates.draw(g, 4, 8, seed=3) for g in (2, 3)] == [again.draw(g, 4, 8, seed=3) for g in (2, 3)]
    assert again.draw(0, 4, 8, seed=3) == [0] * 4  # passed over after resuming


def verdicts(*, prompts, completions, **columns):
    """Right for about half of the completions of the problems with an 8, not scorable for those with a 5."""
    assert set(columns) == {"completion_ids", "solution", "trainer_state", "log_extra", "log_metric"}
    rows = zip(prompts, completions, strict=True)
    return [None if "5" in prompt else float("8" in prompt and len(text) % 2 == 0) for prompt, text in rows]


@pytest.fixture
def build(taught_folder, tmp_path):
    def build(folder="run", reward=verdicts, rows=48, **settings):
        given = {"steps_per_generation": 2, "max_completion_length": 8, "max_steps": 8, "learning_rate": 1e-3}
        given |= {"visit_by_solve_rate": True, **settings}
        rewards = reward if isinstance(reward, list) else RLSPRewards(reward, [])
        columns = {"prompt": (PROBLEMS * rows)[:rows], "solution": ["72"] * rows}
        return tiny_grpo(tmp_path / folder, taught_folder, rewards, columns, **given)

    return build


def drawn_by(trainer):
    """Prompts of the groups of each generation of a run that is still to be started."""
    seen, score = [], trainer._generate_and_score_completions

    def kept(inputs):
        seen.append([row["prompt"] for row in inputs[::4]])
        return score(inputs)

    trainer._generate_and_score_completions = kept
    return seen


def test_the_run_learns_which_problems_to_visit(build):
    trainer = build(rows=6, max_steps=40, learning_rate=0.0)
    seen = drawn_by(trainer)
    trainer.train()
    assert len(seen) == 20
    assert all(len(groups) == 4 for groups in seen)
    assert trainer._rates.tries_N[3] > 0 == trainer._rates.right_N[3]  # never scorable
    late = Counter(prompt for groups in seen[8:] for prompt in groups)
    assert late[PROBLEMS[0]] + late[PROBLEMS[4]] > 0.6 * late.total()  # of these two of six, about half are right
    first, last = (trainer.state.log_history[place] for place in (0, 38))
    assert first["visits/new"] == 1
    assert last["visits/new"] == 0
    assert first["visits/solve_rate"] != last["visits/solve_rate"]
    assert first["visits/repeated"] == 1 - len(set(seen[0])) / 4


@pytest.mark.parametrize(
    "settings",
    [
        {"save_steps": 4},
        {"save_steps": 4, "rows": 12},  # six updates an epoch: in the middle of one
        {"save_steps": 6, "rows": 12},  # at its end
        {"save_steps": 4, "steps_per_generation": 1, "gradient_accumulation_steps": 2},  # two generations an update
    ],
    ids=str,
)
def test_a_resumed_run_draws_the_same(build, settings):
    saving = {"save_strategy": "steps", "save_only_model": False, "visit_half_life": 3.0, **settings}
    whole = build("whole", **saving)
    seen = drawn_by(whole)
    whole.train()
    resumed = build("resumed", **saving)
    again = drawn_by(resumed)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-{settings['save_steps']}")
    assert again == seen[-len(again) :]
    assert 0 < len(again) < len(seen)
    assert torch.equal(whole._rates.tries_N, resumed._rates.tries_N)
    assert torch.equal(whole._rates.right_N, resumed._rates.right_N)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_completions_of_a_draft_do_not_count(build):
    drafts = {"frontier_share": 0.999, "frontier_joint": " | ", "max_completion_length": 16}
    trainer = build(reward=lambda prompts, **_: [0.0] * len(prompts), rows=1, max_steps=2, **drafts)
    trainer.train()
    share = trainer.state.log_history[0]["frontier/groups"]
    assert share > 0
    assert trainer._rates.tries_N.item() == 16 * (1 - share)


def test_off_by_default(build):
    trainer = build(visit_by_solve_rate=False, max_steps=2)
    trainer.train()
    assert trainer.train_dataset.column_names == ["prompt", "solution"]
    assert "visits/new" not in trainer.state.log_history[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"visit_half_life": 0}, r"number of generations above 0, got 0"),
        (
            {"dataloader_num_workers": 1},
            r"does not work with dataloader_num_workers, which fetch ahead: set it to false",
        ),
        ({"ignore_data_skip": True}, r"does not work with ignore_data_skip"),
        ({"reward": [verdicts]}, r"does not work with rewards without a suite's parts"),
    ],
    ids=["half-life", "fetching ahead", "skipped data", "plain reward"],
)
def test_what_cannot_work_is_refused(build, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)
