r"""The suite: what it sums to, that it cannot be gamed, and that it goes wherever TRL takes it."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp import LengthExploration, OutcomeVerifier, RLSPRewards
from trl_rlsp.errors import ConfigError

RIGHT = "3 times 4 is 12 . \\boxed{12}"  # 6 words before the answer
WRONG = "3 times 4 is 13 . \\boxed{13}"
SHORT = "\\boxed{12}"  # 0 words before the answer

ALPHAS = st.floats(0.51, 1)
LENGTHS = st.integers(0, 10**6)


def verdict_of(completion):
    """1.0, 0.0 or None by the completion's first word; a stand-in for the verifier."""
    return {"right": 1.0, "wrong": 0.0}.get(completion.split()[0])


class Stub:
    """A verifier that costs nothing and remembers how it was called."""

    __name__ = "outcome_verifier"

    def __init__(self):
        self.calls = []

    def __call__(self, *, completions, **kwargs):
        self.calls.append(kwargs)
        return [verdict_of(completion) for completion in completions]


class Fixed:
    """An exploration reward with given values."""

    def __init__(self, name, values):
        self.__name__, self.values = name, values

    def __call__(self, *, completions, **kwargs):
        return self.values


@pytest.fixture(scope="module")
def rewards():
    suite = RLSPRewards(exploration=[LengthExploration(C=6)], alpha=0.8)
    yield suite
    suite.close()


class TestValues:
    def test_sum_is_the_reward_divided_by_alpha(self, rewards):
        # R = 0.8 * 1 + 0.2 * 0.5 = 0.9, / 0.8 = 1.125; 0.8 * 0 + 0.2 * 0.5 = 0.1, / 0.8 = 0.125; 0.8 / 0.8 = 1
        values = rewards(completions=[RIGHT, WRONG, SHORT], solution=["12"] * 3)
        assert values == pytest.approx([1.125, 0.125, 1.0])

    def test_parts(self, rewards):
        verifier, length = rewards
        columns = {"completions": [RIGHT, WRONG, SHORT], "solution": ["12"] * 3}
        assert verifier(**columns) == [1.0, 0.0, 1.0]
        # (1 - 0.8) / 0.8 = 0.25 times 0.5, 0.5, 0
        assert length(**columns) == pytest.approx([0.125, 0.125, 0.0])

    def test_a_row_that_is_not_scorable_is_none_in_every_part(self, rewards):
        columns = {"completions": [RIGHT, RIGHT], "solution": ["12", None]}
        assert [part(**columns)[1] for part in rewards] == [None, None]
        assert rewards(**columns) == [pytest.approx(1.125), None]

    def test_messages(self, rewards):
        completions = [[{"role": "assistant", "content": RIGHT}]]
        prompts = [[{"role": "user", "content": "What is it?"}]]
        assert rewards(prompts=prompts, completions=completions, solution=["12"]) == [pytest.approx(1.125)]

    def test_exploration_rewards_are_averaged(self):
        suite = RLSPRewards(Stub(), [Fixed("one", [1.0]), Fixed("two", [0.5])], alpha=0.5)
        # scale (1 - 0.5) / 0.5 / 2 = 0.5: 1 + 0.5 * 1 + 0.5 * 0.5
        assert suite(completions=["right"]) == [1.75]

    def test_none_from_exploration_leaves_the_verdict(self):
        suite = RLSPRewards(Stub(), [Fixed("judge", [None, None])])
        assert suite(completions=["right", "wrong"]) == [1.0, 0.0]

    @pytest.mark.parametrize(
        ("gate", "expected"),
        [
            ("none", [1.25, 0.25]),  # 1 + 0.25, 0 + 0.25
            ("correct", [1.25, 0.0]),
            ("incorrect", [1.0, 0.25]),
        ],
    )
    def test_gate(self, gate, expected):
        suite = RLSPRewards(Stub(), [Fixed("bonus", [1.0, 1.0])], alpha=0.8, gate=gate)
        assert suite(completions=["right", "wrong"]) == pytest.approx(expected)

    @pytest.mark.parametrize("arguments", [{"exploration": []}, {"alpha": 1.0}])
    def test_outcome_alone(self, arguments):
        assert RLSPRewards(Stub(), **arguments)(completions=["right \\boxed{1}", "wrong \\boxed{1}"]) == [1.0, 0.0]

    def test_defaults_are_the_papers_alpha_and_the_bounded_length(self):
        suite = RLSPRewards()
        assert (suite.alpha, suite.gate) == (0.8, "none")
        assert isinstance(suite.verifier, OutcomeVerifier)
        assert repr(suite.exploration) == "(LengthExploration(form='bounded', C=1000.0, guarded=True, ngram=6),)"

    def test_empty_batch(self, rewards):
        assert rewards(completions=[], solution=[]) == []


class TestLogging:
    def test_called_as_a_whole_it_logs_its_parts(self, rewards):
        logged = {}
        rewards(completions=[RIGHT, SHORT, WRONG], solution=["12", "12", None], log_metric=logged.__setitem__)
        assert logged["rewards/outcome_verifier/mean"] == 1.0  # (1 + 1) / 2: None is left out
        assert logged["rewards/length_exploration/mean"] == pytest.approx(0.0625)  # (0.125 + 0) / 2
        assert logged["exploration/effective_length"] == 4.0  # (6 + 0 + 6) / 3
        assert logged["verifier/match"] == pytest.approx(2 / 3)

    def test_nothing_scorable_logs_no_mean(self):
        logged = {}
        assert RLSPRewards(Stub())(completions=["?"], log_metric=logged.__setitem__) == [None]
        assert not [name for name in logged if name.startswith("rewards/")]


class TestReadOnly:
    @pytest.mark.parametrize("name", ["gate", "alpha", "exploration", "length_penalty", "anything"])
    def test_attributes_cannot_be_set(self, name):
        suite = RLSPRewards(Stub())
        with pytest.raises(ConfigError, match=f"a suite is read-only, got {name} = 0.3: build a new one"):
            setattr(suite, name, 0.3)

    def test_a_longer_suite_is_a_suite(self):
        suite = RLSPRewards(Stub(), [Fixed("bonus", [1.0])])
        longer = suite + [Fixed("format", [-1.0])]  # noqa: RUF005
        assert isinstance(longer, RLSPRewards)
        assert [part.__name__ for part in longer] == ["outcome_verifier", "bonus", "format"]
        assert longer(completions=["right"]) == [pytest.approx(0.25)]  # 1 + 0.25 - 1
        assert suite(completions=["right"]) == [1.25]
        with pytest.raises(ConfigError, match="two rewards have the name 'bonus'"):
            suite + [Fixed("bonus", [1.0])]  # noqa: RUF005

    def test_the_class_in_place_of_an_object(self):
        """`trl grpo --reward_funcs trl_rlsp.RLSPRewards`."""
        with pytest.raises(ConfigError, match=r"got the class RLSPRewards itself; write `--reward_funcs trl_rlsp.rlsp"):
            RLSPRewards(prompts=["p"], completions=["c"], trainer_state=None)


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"alpha": 0}, "above 0 and at most 1, got 0"),
            ({"alpha": 1.5}, "above 0 and at most 1, got 1.5"),
            ({"alpha": math.nan}, "above 0 and at most 1, got nan"),
            ({"gate": "wrong"}, "gate must be 'none', 'correct', 'incorrect' or 'adaptive', got 'wrong'"),
            ({"length_penalty": -0.1}, "length_penalty must be a weight from 0 to 1, got -0.1"),
            ({"length_penalty": math.nan}, "length_penalty must be a weight from 0 to 1, got nan"),
            (
                {"gate": "adaptive", "exploration": [LengthExploration("paper")]},
                r"gate='adaptive' needs exploration in \[0, 1\), got .*'paper'.*: unbounded",
            ),
            ({"verifier": "exact"}, "a reward must be callable, got 'exact'"),
            ({"exploration": [0.3]}, "a reward must be callable, got 0.3"),
            (
                {"verifier": OutcomeVerifier(end_of_thinking="[/R]"), "end_of_thinking": "[/S]"},
                r"must match those of the given verifier, got Reader\(.*'\[/S\]', .* and Reader\(.*'\[/R\]',",
            ),
            (
                {"exploration": [LengthExploration(C=1), LengthExploration(C=2)]},
                "two rewards have the name 'length_exploration'",
            ),
        ],
    )
    def test_refused(self, arguments, message):
        with pytest.raises(ConfigError, match=message):
            RLSPRewards(**arguments)

    def test_no_column_to_verify_against(self, rewards):
        with pytest.raises(ConfigError, match=r"needs one of the columns solution, task, tests.*received: answer"):
            rewards(completions=[RIGHT], answer=["12"])


class TestProperties:
    @given(ALPHAS, LENGTHS, LENGTHS, st.floats(1, 1e6))
    def test_correct_outranks_incorrect(self, alpha, right_length, wrong_length, constant):
        length = LengthExploration(C=constant)
        values = [length.value(right_length), length.value(wrong_length)]
        right, wrong = RLSPRewards(Stub(), [Fixed("length", values)], alpha=alpha)(completions=["right", "wrong"])
        assert right > wrong

    def test_with_the_papers_form_it_does_not(self):
        """The known inversion: wrong and 4096 long beats right and 200 long, in the paper's alpha form."""
        length = LengthExploration("paper", C=1000)
        suite = RLSPRewards(Stub(), [Fixed("length", [length.value(200), length.value(4096)])], alpha=0.8)
        # 1 + 0.25 * -1000 / 200 = -0.25; 0 + 0.25 * -1000 / 4096 = -0.061
        assert suite(completions=["right", "wrong"]) == pytest.approx([-0.25, -0.06103515625])

    @given(
        st.lists(st.sampled_from(["right", "wrong", "?"]), max_size=8),
        st.lists(st.sampled_from(["try", "add", "3", "4", "=", ".", "so"]), max_size=20).map(" ".join),
        st.floats(1e-3, 1),
        st.sampled_from(["bounded", "paper"]),
        st.sampled_from(["none", "correct", "incorrect"]),
    )
    def test_finite_or_none(self, verdicts, text, alpha, form, gate):
        suite = RLSPRewards(Stub(), [LengthExploration(form)], alpha=alpha, gate=gate)
        values = suite(completions=[f"{verdict} {text} \\boxed{{1}}" for verdict in verdicts])
        assert [value is None for value in values] == [verdict == "?" for verdict in verdicts]
        assert all(math.isfinite(value) for value in values if value is not None)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["right", "wrong", "?"]),
                st.lists(st.sampled_from(["try", "add", "3", "4", "=", "."]), max_size=9),
            ),
            min_size=1,
            max_size=8,
        ),
        st.randoms(),
    )
    def test_permuting_the_batch_permutes_the_rewards(self, rows, rng):
        completions = [f"{verdict} {' '.join(words)} \\boxed{{1}}" for verdict, words in rows]
        order = list(range(len(rows)))
        rng.shuffle(order)
        values = RLSPRewards(Stub())(completions=completions)
        assert RLSPRewards(Stub())(completions=[completions[i] for i in order]) == [values[i] for i in order]

    @given(
        st.lists(st.sampled_from(["try", "add", "3", "4", "=", ".", "so\n"]), min_size=1, max_size=20).map(" ".join),
        st.sampled_from(["right", "wrong"]),
        st.sampled_from(
            [
                lambda reasoning, answer: f"{reasoning}\n{reasoning}\n{reasoning}{answer}",  # said three times
                lambda reasoning, answer: f"{reasoning}{answer} and then a good deal more of new text",
                lambda reasoning, answer: f"{reasoning}{answer}\n\nThe end , with 8 new words in it",
                lambda reasoning, answer: f"{chr(0x200B).join(reasoning)}{answer}",  # invisible between all letters
                lambda reasoning, answer: f"{reasoning.replace(' ', chr(0xFE0F) + ' ')}{answer}",
                lambda reasoning, answer: f"{reasoning}\nWhat is 3 times 4 ?\n{answer}",  # the prompt
                lambda reasoning, answer: f"{reasoning}",  # no answer
                lambda reasoning, answer: f"{reasoning}{answer} \\boxed{{77}}",  # a second answer
            ]
        ),
    )
    def test_no_hack_earns_more_than_the_original(self, reasoning, verdict, hack):
        answer = " \\boxed{12}"
        original, hacked = RLSPRewards(Stub(), alpha=0.8)(
            prompts=["What is 3 times 4 ?"] * 2,
            completions=[f"{verdict}\n{reasoning}{answer}", f"{verdict}\n{hack(reasoning, answer)}"],
        )
        assert hacked <= original


def score_in_child(payload, queue):
    """What an asynchronous trainer's child process does with the rewards it is sent."""
    suite = pickle.loads(payload)
    queue.put(suite(completions=[RIGHT, WRONG, "nothing"], solution=["12"] * 3))
    suite.close()


class TestWhereTRLTakesIt:
    def test_is_a_list_and_each_import_is_a_fresh_one(self):
        from trl_rlsp import rlsp_rewards as first
        from trl_rlsp import rlsp_rewards as second

        assert isinstance(first, list)
        assert first is not second
        assert first[0] is not second[0]
        first.clear()  # TRL keeps and changes the list
        assert [part.__name__ for part in second] == ["outcome_verifier", "length_exploration"]

    def test_names(self):
        suite = RLSPRewards(exploration=[LengthExploration(), Fixed("judge", [])])
        assert suite.__name__ == "rlsp_rewards"
        assert [part.__name__ for part in suite] == ["outcome_verifier", "length_exploration", "judge"]

    def test_repr_shows_the_balance(self):
        assert repr(RLSPRewards(Stub(), [LengthExploration(C=60)])).endswith(
            "0.25 * LengthExploration(form='bounded', C=60, guarded=True, ngram=6)], alpha=0.8, gate='none')"
        )

    def test_pickled_parts_still_share_one_verifier(self):
        copy = pickle.loads(pickle.dumps(RLSPRewards(alpha=0.6, gate="correct")))
        assert copy[0].reward is copy.verifier
        assert copy[0].scorer is copy[1].scorer is copy.scorer
        assert (copy.alpha, copy.gate) == (0.6, "correct")

    def test_in_a_spawned_process(self, rewards):
        rewards(completions=[RIGHT], solution=["12"])  # with workers running and verdicts kept
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        child = context.Process(target=score_in_child, args=(pickle.dumps(rewards), queue))
        child.start()
        try:
            assert queue.get(timeout=120) == pytest.approx([1.125, 0.125, 0.0])
        finally:
            child.join(timeout=30)
        assert child.exitcode == 0

    def test_off_the_main_thread(self, rewards):
        results = []
        batch = [f"on a thread , {i} times \\boxed{{12}}" for i in range(4)]  # nothing of it is in the cache
        thread = threading.Thread(target=lambda: results.extend(rewards[0](completions=batch, solution=["12"] * 4)))
        thread.start()
        thread.join(timeout=60)
        assert results == [1.0] * 4

    def test_without_state_and_loggers(self, rewards):
        for part in rewards:
            assert len(part(prompts=["p"], completions=[RIGHT], completion_ids=[[1]], solution=["12"])) == 1

    def test_closing_twice_and_using_again(self):
        suite = RLSPRewards(exploration=[])
        suite.close()
        assert suite(completions=[RIGHT], solution=["12"]) == [1.0]
        suite.close()
        suite.close()

    def test_close_of_another_verifier_does_nothing(self):
        suite = RLSPRewards(Stub())
        suite.close()
        assert suite(completions=["right"]) == [1.0]
