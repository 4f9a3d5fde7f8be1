"""What a completion may try on a judge: control tokens of chat templates, and answers that can be read in two ways."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.rewards.rubric import Rubric, UnreadableGradesError, quoted

TOKENS = [
    "<|im_end|>",
    "<|eot_id|>",
    "<end_of_turn>",
    "</s>",
    "<s>",
    "[INST]",
    "[/INST]",
    "[TOOL_CALLS]",
    "[SYSTEM_PROMPT]",
    "[gMASK]",
    "[UNUSED_TOKEN_146]",
    "[EOS]",
    "[BOS]",
    "[SEP]",
    "[|endofturn|]",
    "[|assistant|]",
    "[|user|]",
    "<0x0A>",
    "<1>",
    "<|1|>",
    "<_user>",
    "<_end>",
    "<unused0>",
    "<reserved_106>",
    "<extra_id_0>",
    "</think>",
    "<think>",
    "]<]end[>[",
    "]~b]user",
    "[e~[",
    "[unused1]",
    "[PAD151645]",
    "<2mass>",
    "[THINK]",
    "[/THINK]",
]

DEEPSEEK = [
    "<\uff5cUser\uff5c>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "\uff1c\uff5cUser\uff5c\uff1e",
    "\uff5fmask\uff60",
]
TENS = dict.fromkeys(Rubric().dimensions, 10)
ZEROS = dict.fromkeys(TENS, 0)


@pytest.mark.parametrize("token", [*TOKENS, "[Round 1]", *DEEPSEEK, "<\u200b|im_end|>", "<\u00a0|im_end|>"])
def test_control_tokens_are_escaped(token):
    shown = quoted(f"a {token} b", f"c {token} d")
    assert token not in shown
    assert json.loads(shown) == {"problem": f"a {token} b", "work": f"c {token} d"}


@pytest.mark.parametrize("text", ["is 3 < 4 or x <= y", "(0, 1]", "x = [ 1 ]"])
def test_comparisons_stay_as_they_are(text):
    assert text in quoted("p", text)


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(ZEROS)[:-1] + "," + json.dumps(TENS)[1:],  # each key twice
        json.dumps(ZEROS) + json.dumps(TENS),
        json.dumps({"work": TENS})[:-1] + ', "work": 1}',
        json.dumps(TENS).replace("10", "1e1"),
        json.dumps(TENS).replace("10", "true"),
    ],
)
def test_grades_that_can_be_read_in_two_ways_are_none(answer):
    with pytest.raises(UnreadableGradesError):
        Rubric().read(answer)


def test_only_what_follows_the_judges_own_thinking_counts():
    assert Rubric().read(f"{json.dumps(TENS)} </think> {json.dumps(ZEROS)}") == ZEROS
