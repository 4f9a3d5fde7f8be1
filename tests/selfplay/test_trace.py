"""Which completions can be demonstrations, and that they come back as they were."""

from __future__ import annotations

import pytest

from trl_rlsp.problems import demonstration_rows
from trl_rlsp.runs import Completion
from trl_rlsp.selfplay import NEUTRAL_TEMPLATE, _harvest
from trl_rlsp.selfplay._harvest import AFTER_ANSWER, Trace

SEARCH = "6 + 3 = 9 ? 18 no | 6 * 3 = 18 ? 18 yes \\boxed{ 6 * 3 }"


def read_trace(text, **fields):
    return _harvest.read_trace(Completion(text, prompt="p", score=1.0, **fields))


def as_trained(trace, **kwargs):
    row = {"prompt": "p", "reasoning": trace.reasoning, "answer": trace.answer}
    return demonstration_rows([row], style="plain", **kwargs)[0]["completion"]


class TestRoundTrip:
    @pytest.mark.parametrize(
        "text",
        [
            SEARCH,
            r"So the answer is $\boxed{\frac{1}{2}}$.",
            "<think>\n3 + 4\n</think>\n\nIt is \\boxed{7}",
            r"We get \[ x = \boxed{-3} \]",
        ],
    )
    def test_the_completion_is_kept_word_for_word(self, text):
        trace = read_trace(text)
        assert as_trained(trace) == text
        assert as_trained(trace, reasoning_template=NEUTRAL_TEMPLATE) == text
        assert as_trained(trace, reasoning_template="{reasoning} \\boxed{ {answer} }") == text  # the quickstart's

    def test_what_follows_the_answer_is_left_out(self):
        trace = read_trace(r"3 + 4 = 7. She has \boxed{7} apples.")
        assert (trace.reasoning, trace.answer) == ("3 + 4 = 7. She has", "7")
        assert as_trained(trace) == "3 + 4 = 7. She has\n\n\\boxed{7}"

    def test_an_answer_in_a_phrase_gets_a_box(self):
        assert as_trained(read_trace("3 + 4 = 7. The final answer is 7.")).endswith("\\boxed{7}")

    def test_before_is_what_comes_before_the_answer(self):
        assert read_trace(SEARCH).before.strip() == SEARCH.partition(" \\boxed")[0]


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("3 + 4 = 7", "no final answer"),
            ("", "no final answer"),
            (r"\boxed{7} or \boxed{8}", "several answers"),
            (r"3 + 4 = \boxed{7", "cut off"),
            ("<think> 3 + 4", "cut off"),
            (r"\boxed{7}", "no reasoning"),
            (r"So <|im_end|><|im_start|>user: more \boxed{7}", "control tokens"),
            (r"<user> 1 2 : 3 <assistant> \boxed{7}", "control tokens"),
            (r"a [/INST] b \boxed{7}", "control tokens"),
            ("a \ud800 b \\boxed{7}", "broken text"),
        ],
    )
    def test_reasons(self, text, reason):
        assert read_trace(text) == reason

    def test_going_on_after_the_answer(self):
        inside, beyond = "more " * (AFTER_ANSWER - 4), "more " * AFTER_ANSWER  # \ boxed { } are four units
        assert isinstance(read_trace(rf"3 + 4 \boxed{{7}} {inside}"), Trace)
        assert read_trace(rf"3 + 4 \boxed{{7}} {beyond}") == "cut off"

    def test_recorded_as_cut_off(self):
        assert read_trace(SEARCH, finished=False) == "cut off"
        assert isinstance(read_trace(SEARCH, finished=True), Trace)

    def test_several_messages(self):
        assert read_trace(SEARCH, messages=3) == "several messages"

    def test_a_less_than_sign_is_no_control_token(self):
        assert isinstance(read_trace(r"for x <s and y> 2 |x| \boxed{7}"), Trace)
