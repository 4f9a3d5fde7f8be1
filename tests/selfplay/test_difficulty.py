"""Difficulty follows the solve rate, by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.problems.data import load_problems
from trl_rlsp.selfplay.difficulty import (
    SEED_STEP,
    Band,
    fresh_problems,
    level_after,
    next_problems,
    recent_solve_rate,
    reseeded,
    solve_rates,
    stored,
)
from trl_rlsp.selfplay.heldout import HeldOut
from trl_rlsp.stages.arguments import ProblemArguments


def row(text):
    return {"prompt": [{"role": "user", "content": text}], "solution": "1"}


class TestRates:
    def test_by_problem_without_what_is_not_scorable(self, judged):
        items = [judged(prompt="a", score=s) for s in (1.0, 0.0, 0.0, None)] + [judged(prompt="b", score=None)]
        assert solve_rates(items) == {"a": pytest.approx(1 / 3)}

    def test_recent_is_the_last_quarter_of_the_steps(self, judged):
        # of 8 steps the last 2: scores 1, 1, 0, 1
        items = [judged(step=step, score=0.0) for step in range(1, 7)]
        items += [judged(step=7, score=1.0), judged(step=7), judged(step=8, score=0.0), judged(step=8)]
        assert recent_solve_rate(items) == 0.75

    def test_recent_of_few_steps_and_of_nothing(self, judged):
        assert recent_solve_rate([judged(step=1, score=0.0), judged(step=2)]) == 1.0
        assert recent_solve_rate([judged(score=None)]) is None
        assert recent_solve_rate([]) is None

    @pytest.mark.parametrize(
        ("level", "rate", "after"), [(0, 0.7, 1), (0, 0.69, 0), (1, 0.9, 2), (2, 1.0, 2), (1, 0.0, 1), (1, None, 1)]
    )
    def test_level(self, level, rate, after):
        assert level_after(level, rate, 0.7, ["hard", "harder"]) == after

    def test_band(self):
        assert [rate in Band(0.1, 0.9) for rate in (0.0, 0.1, 0.5, 0.9, 1.0)] == [False, True, True, True, False]
        with pytest.raises(ConfigError, match=r"0 <= low <= high <= 1, got 0\.9 to 0\.1"):
            Band(0.9, 0.1)


class TestReseeded:
    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("reasoning_gym:countdown", "reasoning_gym:countdown?seed=12"),
            ("reasoning_gym:countdown?seed=3&size=9", "reasoning_gym:countdown?size=9&seed=13"),
        ],
    )
    def test_sources(self, source, wanted):
        assert reseeded(source, 10, seed=2) == wanted

    def test_no_number(self):
        with pytest.raises(ConfigError, match=r"rounds need a generator whose seed is a number, got .*seed=None"):
            reseeded("reasoning_gym:countdown?seed=None", 1)


class TestNext:
    RATES = {"easy": 1.0, "some": 0.5, "never": 0.0}
    SEEN = [row("easy"), row("some"), row("never"), row("unseen")]

    def test_the_band_and_what_is_fresh(self):
        held_out = HeldOut([row("test")])
        fresh = [*self.SEEN, row("new"), row("test"), row("NEW")]
        found = next_problems(self.SEEN, fresh, self.RATES, Band(), held_out)
        assert [line["problem"][0]["content"] for line in found.rows] == ["some", "unseen", "new"]
        assert (found.kept, found.fresh, found.left_out) == (1, 2, 2)

    def test_nothing_left(self):
        with pytest.raises(DataError, match=r"no problem is left for the next round: 2 have a solve rate outside 0.1"):
            next_problems([row("easy"), row("never")], [], self.RATES, Band(), HeldOut([]))

    def test_programs(self):
        with pytest.raises(DataError, match="rounds of self-play need final answers; the outcome of this problem is a"):
            stored({**row("a"), "tests": "[]"})

    @given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1)), st.floats(0, 0.5), st.floats(0.5, 1))
    def test_only_the_band_is_kept(self, rates, low, high):
        seen = [row(text) for text in "abcdef"]
        try:
            found = next_problems(seen, [], rates, Band(low, high), HeldOut([]))
        except DataError:
            assert not any(low <= rate <= high for rate in rates.values())
            return
        kept = {line["problem"][0]["content"] for line in found.rows}
        assert kept == {text for text, rate in rates.items() if low <= rate <= high}
        assert found.kept + found.left_out == len(rates)


class TestFresh:
    COUNTDOWN = "reasoning_gym:countdown?min_numbers=3&max_numbers=3&seed=1&size=3"

    def texts(self, rows):
        return [line["prompt"][-1]["content"] for line in rows]

    def test_a_generator_has_another_seed_each_round(self):
        pytest.importorskip("reasoning_gym")
        source = ProblemArguments(dataset=self.COUNTDOWN, prompt_style="compact")
        second = fresh_problems(source, [], 2, 0, [])
        wanted = load_problems(self.COUNTDOWN.replace("seed=1", f"seed={1 + SEED_STEP}"), prompt_style="compact")
        assert self.texts(second) == self.texts(wanted)
        assert self.texts(fresh_problems(source, [], 3, 0, [])) != self.texts(second)

    def test_a_harder_generator(self):
        pytest.importorskip("reasoning_gym")
        source = ProblemArguments(dataset=self.COUNTDOWN, prompt_style="compact")
        harder = [self.COUNTDOWN.replace("numbers=3", "numbers=4")]
        assert {line["level"] for line in fresh_problems(source, [], 2, 1, harder)} == {"4"}

    def test_a_file_has_what_was_not_seen(self, tmp_path):
        path = tmp_path / "harder.jsonl"
        path.write_text('{"problem": "2 + 2", "answer": "4"}\n')
        source, seen = ProblemArguments(dataset="train.jsonl"), [row("a")]
        assert fresh_problems(source, seen, 2, 0, [str(path)]) == seen
        assert self.texts(fresh_problems(source, seen, 2, 1, [str(path)])) == ["a", "2 + 2"]

    def test_a_generated_problem_comes_back_from_its_file(self, tmp_path):
        pytest.importorskip("reasoning_gym")
        rows = list(load_problems(self.COUNTDOWN, prompt_style="compact"))
        path = tmp_path / "problems.jsonl"
        path.write_text("".join(json.dumps(stored(line)) + "\n" for line in rows))
        assert load_problems(path, system_prompt=None).to_list() == rows
