"""The demonstrations before, and the mixture."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError
from trl_rlsp.problems.demonstrations import load_demonstrations
from trl_rlsp.selfplay.originals import NEUTRAL_TEMPLATE, mixed, original_rows
from trl_rlsp.stages.arguments import DemonstrationArguments

SYSTEM = [{"role": "system", "content": "Think."}]
USER = [{"role": "user", "content": "What is 3 + 4?"}]


@pytest.fixture
def demonstrations(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"problem": "What is 3 + 4?", "reasoning": "I count.", "answer": "7"}) + "\n")
    return path


class TestOriginals:
    @pytest.mark.parametrize("style", ["messages", "prompt_completion"])
    def test_messages(self, demonstrations, style):
        source = DemonstrationArguments(
            dataset=str(demonstrations),
            system_prompt="Think.",
            demonstration_style=style,
            demonstration_template="<think>{reasoning}</think> \\boxed{{answer}}",
        )
        completion = "<think>I count.</think> \\boxed{7}"
        assert original_rows(source, 0) == [{"prompt": [*SYSTEM, *USER], "reasoning": completion, "answer": "7"}]

    @pytest.mark.parametrize("style", ["messages", "prompt_completion", "plain"])
    def test_trained_on_again_they_are_what_they_were(self, demonstrations, tmp_path, style):
        source = DemonstrationArguments(
            dataset=str(demonstrations),
            system_prompt="Think.",
            demonstration_style=style,
            demonstration_template="<think>{reasoning}</think> \\boxed{{answer}}",
        )
        path = tmp_path / "again.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in original_rows(source, 0)))
        again = load_demonstrations(path, style=style, system_prompt=None, reasoning_template=NEUTRAL_TEMPLATE)
        assert again.to_list() == source.load_rows(0).to_list()

    def test_searches_are_those_of_the_seed(self):
        pytest.importorskip("reasoning_gym")
        source = DemonstrationArguments(
            dataset="reasoning_gym:countdown?min_numbers=3&max_numbers=3&seed=1&size=3",
            prompt_style="compact",
            demonstrations="search",
            search_longest=4,
            demonstration_template="{reasoning} \\boxed{ {answer} }",
        )
        rows = original_rows(source, 5)
        assert rows == original_rows(source, 5) != original_rows(source, 6)
        assert all(row["reasoning"].endswith(f"\\boxed{{ {row['answer']} }}") for row in rows)
        assert all(row["prompt"][0]["role"] == "user" for row in rows)


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
