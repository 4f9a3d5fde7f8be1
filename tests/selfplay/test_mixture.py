"""The demonstrations before, and the mixture."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation import Band
from trl_rlsp.problems import load_demonstrations, load_problems
from trl_rlsp.selfplay import NEUTRAL_TEMPLATE, HeldOut, mixed, next_problems, solve_rates
from trl_rlsp.selfplay._run import trained_on
from trl_rlsp.stages import DemonstrationArguments, write_record

SYSTEM = [{"role": "system", "content": "Think."}]
USER = [{"role": "user", "content": "What is 3 + 4?"}]


@pytest.fixture
def demonstrations(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"problem": "What is 3 + 4?", "reasoning": "I count.", "answer": "7"}) + "\n")
    return path


def trained(folder, seed=0, **settings):
    """The demonstrations of an SFT stage with these settings, and those that are found beside an RL stage."""
    write_record(folder / "sft", "sft", {"seed": seed, **settings})
    return DemonstrationArguments(**settings).load_rows(seed).to_list(), trained_on(folder / "rlsp")


class TestOriginals:
    TEMPLATE = {"system_prompt": "Think.", "demonstration_template": "<think>{reasoning}</think> \\boxed{{answer}}"}

    @pytest.mark.parametrize("style", ["messages", "prompt_completion"])
    def test_messages(self, demonstrations, tmp_path, style):
        _, found = trained(tmp_path, dataset=str(demonstrations), demonstration_style=style, **self.TEMPLATE)
        assert found == [{"prompt": [*SYSTEM, *USER], "reasoning": "<think>I count.</think> \\boxed{7}", "answer": "7"}]

    @pytest.mark.parametrize("style", ["messages", "prompt_completion", "plain"])
    def test_trained_on_again_they_are_what_they_were(self, demonstrations, tmp_path, style):
        rows, found = trained(tmp_path, dataset=str(demonstrations), demonstration_style=style, **self.TEMPLATE)
        path = tmp_path / "again.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
        again = load_demonstrations(path, style=style, system_prompt=None, reasoning_template=NEUTRAL_TEMPLATE)
        assert again.to_list() == rows

    def test_searches_are_those_of_the_seed(self, tmp_path):
        pytest.importorskip("reasoning_gym")
        settings = {
            "dataset": "reasoning_gym:countdown?min_numbers=3&max_numbers=3&seed=1&size=3",
            "prompt_style": "compact",
            "demonstrations": "search",
            "search_longest": 4,
            "demonstration_template": "{reasoning} \\boxed{ {answer} }",
        }
        rows, found = trained(tmp_path, 5, **settings)
        assert found == trained(tmp_path, 5, **settings)[1] != trained(tmp_path, 6, **settings)[1]
        assert [row["reasoning"] for row in found] == [row["messages"][-1]["content"] for row in rows]
        assert all(row["reasoning"].endswith(f"\\boxed{{ {row['answer']} }}") for row in found)
        assert all(row["prompt"][0]["role"] == "user" for row in found)

    def test_no_stage_before(self, tmp_path):
        assert trained_on(tmp_path / "rlsp") == []


class TestMixed:
    @pytest.mark.parametrize(("share", "most"), [(1.0, 0), (0.5, 3), (0.75, 1), (0.3, 7), (0.1, 20)])
    def test_numbers(self, share, most):
        # 3 harvested: 3 (1 - s) / s originals, as far as there are any: 0, 3, 1, 7, 27 of 20
        rows = mixed([{"n": -1}] * 3, [{"n": n} for n in range(20)], share, seed=0)
        assert [row["n"] for row in rows[:3]] == [-1, -1, -1]
        drawn = [row["n"] for row in rows[3:]]
        assert len(drawn) == len(set(drawn)) == most

    @given(st.integers(0, 9), st.integers(0, 9), st.floats(0.05, 1), st.integers(0, 3))
    def test_the_harvest_keeps_its_share(self, harvested, originals, share, seed):
        rows = mixed([{"h": True}] * harvested, [{"h": False}] * originals, share, seed)
        assert sum(row["h"] for row in rows) == harvested >= share * len(rows) - 1e-6

    def test_the_seed_decides(self):
        originals = [{"n": n} for n in range(100)]
        one, same, other = (mixed([{"n": -1}] * 9, originals, 0.5, seed) for seed in (1, 1, 2))
        assert one == same != other

    @pytest.mark.parametrize("share", [0.0, -1, 1.1])
    def test_range(self, share):
        with pytest.raises(ConfigError, match=f"harvested_share is above 0 and at most 1, got {share}"):
            mixed([], [], share, 0)


def row(text):
    return {"prompt": [{"role": "user", "content": text}], "solution": "1"}


def asked(rows):
    return [line["problem"][0]["content"] for line in rows]


class TestNext:
    RATES = {"easy": 1.0, "some": 0.5, "never": 0.0}
    SEEN = [row("easy"), row("some"), row("never"), row("unseen")]

    def test_rates_by_problem_without_what_is_not_scorable(self, judged):
        items = [judged(prompt="a", score=s) for s in (1.0, 0.0, 0.0, None)] + [judged(prompt="b", score=None)]
        assert solve_rates(items) == {"a": pytest.approx(1 / 3)}

    def test_the_band_and_what_is_unseen(self):
        rows, counts = next_problems(
            [*self.SEEN, row("test"), row("UNSEEN")], self.RATES, Band(), HeldOut([row("test")])
        )
        assert asked(rows) == ["some", "unseen"]
        assert counts == {"problems_retained": 1, "problems_unseen": 1, "problems_left_out": 2}

    def test_nothing_left(self):
        with pytest.raises(DataError, match=r"no problem is left for the next round: 2 have a solve rate outside 0\.1"):
            next_problems([row("easy"), row("never")], self.RATES, Band(), HeldOut([]))

    def test_programs(self):
        with pytest.raises(DataError, match="rounds of self-play need final answers, got a problem whose answer is a"):
            next_problems([{**row("a"), "tests": "[]"}], {}, Band(), HeldOut([]))

    @given(st.lists(st.floats(0, 1), min_size=6, max_size=6), st.floats(0, 0.5), st.floats(0.5, 1))
    def test_only_the_band_stays(self, values, low, high):
        rates = dict(zip("abcdef", values, strict=True))
        try:
            rows, counts = next_problems([row(text) for text in "abcdef"], rates, Band(low, high), HeldOut([]))
        except DataError:
            assert not any(low <= rate <= high for rate in rates.values())
            return
        assert set(asked(rows)) == {text for text, rate in rates.items() if low <= rate <= high}
        assert counts["problems_retained"] + counts["problems_left_out"] == len(rates)

    def test_a_generated_problem_comes_back_from_its_file(self, tmp_path):
        pytest.importorskip("reasoning_gym")
        source = "reasoning_gym:countdown?min_numbers=3&max_numbers=3&seed=1&size=3"
        rows = list(load_problems(source, prompt_style="compact"))
        path = tmp_path / "problems.jsonl"
        written, _ = next_problems(rows, {}, Band(), HeldOut([]))
        path.write_text("".join(json.dumps(line) + "\n" for line in written))
        assert load_problems(path, system_prompt=None).to_list() == rows
