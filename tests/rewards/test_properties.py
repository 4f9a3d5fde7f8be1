"""What a suite of bounded exploration rewards promises, whatever the batch: for each reward, each gate, any alpha."""

from __future__ import annotations

import math

import pytest
from exploration_cases import BOUNDED, NOVEL, RELATIVE
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp import AlphaSchedule, RLSPRewards
from trl_rlsp.rewards._scoring import Part

GATES = ["none", "correct", "incorrect", "adaptive"]
PIECES = ["try", "6 + 3 = 9", "9 * 2 = 18", "6 - 2 = 4", "wait", ".", "\n", "no", "72", "or else", "check", "\u200b"]
REASONING = st.one_of(st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join), st.text(max_size=30))
COMPLETIONS = st.builds(
    lambda verdict, reasoning, answer: f"{verdict} {reasoning} {answer}",
    st.sampled_from(["right", "right", "wrong", "wrong", "?"]),
    REASONING,
    st.sampled_from(["\\boxed{18}", "\\boxed{18} 6 + 2 = 8", ""]),
)
ROWS = st.lists(st.tuples(st.sampled_from(["6 3 2 : 18", "6 3 2 : 9", "6 2 : 4"]), COMPLETIONS), min_size=1, max_size=7)
ALPHAS = st.floats(0.5001, 1)  # nearer to 1/2 the difference is below rounding
PENALTIES = st.floats(0, 1)


class ByFirstWord:
    """A verifier that reads the verdict off the completion's first word; anything else is not scorable."""

    __name__ = "outcome_verifier"

    def __call__(self, *, completions, **kwargs):
        return [{"right": 1.0, "wrong": 0.0}.get(completion.split(" ")[0]) for completion in completions]


def rewards_of(rows, exploration, **arguments):
    suite = RLSPRewards(ByFirstWord(), exploration, **arguments)
    return suite(prompts=[prompt for prompt, _ in rows], completions=[completion for _, completion in rows])


def equal(values):
    """Equal up to the rounding of sums taken in another order."""
    return [None if value is None else pytest.approx(value, abs=1e-12) for value in values]


every_suite = pytest.mark.parametrize(
    "exploration", [*([part] for part in (*BOUNDED, RELATIVE, NOVEL)), BOUNDED], ids=str
)
every_gate = pytest.mark.parametrize("gate", GATES)
few = settings(max_examples=40)


@every_suite
@every_gate
class TestAnyBatch:
    @few
    @given(rows=ROWS, alpha=ALPHAS, length_penalty=PENALTIES)
    def test_correct_outranks_incorrect_in_a_group(self, exploration, gate, rows, alpha, length_penalty):
        values = rewards_of(rows, exploration, alpha=alpha, gate=gate, length_penalty=length_penalty)
        for (prompt, one), right in zip(rows, values, strict=True):
            for (other_prompt, other), wrong in zip(rows, values, strict=True):
                if prompt == other_prompt and one.startswith("right") and other.startswith("wrong"):
                    assert right > wrong

    @few
    @given(rows=ROWS, alpha=st.floats(1e-3, 1), length_penalty=PENALTIES)
    def test_finite_or_none(self, exploration, gate, rows, alpha, length_penalty):
        values = rewards_of(rows, exploration, alpha=alpha, gate=gate, length_penalty=length_penalty)
        assert [value is None for value in values] == [completion.startswith("?") for _, completion in rows]
        assert all(math.isfinite(value) for value in values if value is not None)

    @few
    @given(rows=ROWS, rng=st.randoms())
    def test_permuting_the_batch_permutes_the_rewards(self, exploration, gate, rows, rng):
        order = list(range(len(rows)))
        rng.shuffle(order)
        values = rewards_of(rows, exploration, gate=gate)
        assert rewards_of([rows[i] for i in order], exploration, gate=gate) == equal(values[i] for i in order)

    @few
    @given(rows=ROWS)
    def test_a_groups_rewards_do_not_depend_on_its_neighbours(self, exploration, gate, rows):
        together = rewards_of(rows, exploration, gate=gate)
        for group in {prompt for prompt, _ in rows}:
            alone = rewards_of([row for row in rows if row[0] == group], exploration, gate=gate)
            assert [value for row, value in zip(rows, together, strict=True) if row[0] == group] == equal(alone)


class Extreme:
    """An exploration reward at the edge of what bounded forms can give, with the costs to match."""

    __name__ = "extreme"
    bounded = measures_length = True

    def __init__(self, values, costs):
        self.values, self.known = values, costs

    def __call__(self, *, completions, **kwargs):
        return self.values

    def costs(self, completions, **kwargs):
        return self.known


@every_gate
@given(
    values=st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=6),
    alpha=ALPHAS,
    length_penalty=PENALTIES,
    data=st.data(),
)
def test_correct_outranks_incorrect_for_any_bounded_values(gate, values, alpha, length_penalty, data):
    """The proof in numbers: within a group what a gate pays lies in an interval narrower than 1."""
    costs = data.draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=len(values), max_size=len(values)))
    rows = [("p", data.draw(st.sampled_from(["right", "wrong"]))) for _ in values]
    rewards = rewards_of(rows, [Extreme(values, costs)], alpha=alpha, gate=gate, length_penalty=length_penalty)
    right = [reward for (_, verdict), reward in zip(rows, rewards, strict=True) if verdict == "right"]
    wrong = [reward for (_, verdict), reward in zip(rows, rewards, strict=True) if verdict == "wrong"]
    assert not right or not wrong or min(right) > max(wrong)


@given(st.floats(0.51, 1), st.floats(0.51, 1), st.integers(0, 100), st.sampled_from(["linear", "cosine"]))
def test_a_schedule_above_one_half_never_turns_the_order(start, end, step, shape):
    from types import SimpleNamespace

    suite = RLSPRewards(ByFirstWord(), [Extreme([0.0, 0.999], [0.0, 0.0])], alpha=AlphaSchedule(shape, start, end))
    assert isinstance(suite[1], Part)
    right, wrong = suite(
        completions=["right", "wrong"], trainer_state=SimpleNamespace(global_step=step, max_steps=100, log_history=[])
    )
    assert right > wrong
