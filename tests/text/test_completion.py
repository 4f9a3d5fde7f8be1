"""Where a completion's answer is, by hand-made completions; linear time on hostile ones."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.text.completion import completion_text, parse_completion

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    "case", json.loads((DATA / "verifier_formats.json").read_text()), ids=lambda case: case["name"]
)
def test_shapes_of_completions(case):
    answer = parse_completion(case["completions"][0]).answer
    assert (answer == "4") == bool(case["expected"])


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        (None, ""),
        ([], ""),
        ("plain", "plain"),
        ({"role": "assistant", "content": "one"}, "one"),
        ([{"content": "no role"}], "no role"),
        ([{"role": "user", "content": "only the user"}], ""),
        ([{"role": "assistant", "content": None, "tool_calls": []}], ""),
        ([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image"}, "b"]}], "ab"),
        ([{"role": "assistant", "content": "a"}, {"role": "tool", "content": "t"}], "a"),
        (
            [
                {"role": "assistant", "content": "a"},
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": "b"},
            ],
            "b",
        ),
    ],
)
def test_text_of_the_last_assistant_message(completion, text):
    assert completion_text(completion) == text


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"So $x = \boxed{7}$.", "7"),
        (r"\boxed{ ( 8 - 1 ) * 9 }", "( 8 - 1 ) * 9"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\fbox{7}", "7"),
        (r"\boxed 7", "7"),
        (r"\boxed{\boxed{7}}", "7"),
        (r"\boxed{7} and again \boxed{7}", "7"),
        (r"\boxed{\text{a } b \}}", r"\text{a } b \}"),
        ("<answer> 7 </answer>", "7"),
        (r"<answer>\boxed{7}</answer>", "7"),
        ("The answer is 7.", "7"),
        ("The answer is $3.5$ cm.", "3.5 cm"),
        ("**Final Answer:** 42", "42"),
        ("Final answer: $42$. I hope it is correct.", "42"),
        ("#### 1,200", "1,200"),
        ("The answer is 4. No: 2 + 3 = 5, so the answer is 5.", "5"),
        (r"The answer is 4? Let me see. So \boxed{5}", "5"),
    ],
)
def test_answers(completion, answer):
    parsed = parse_completion(completion)
    assert parsed.answer == answer
    assert parsed.finished
    assert parsed.reason is None


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"-\boxed{7}", "-7"),
        (r"$x = -\boxed{7}$", "-7"),
        (r"$2\boxed{7}$", "2(7)"),
        (r"\sqrt{\boxed{7}}", r"\sqrt{(7)}"),
        (r"$\frac{1}{\boxed{7}}$", r"\frac{1}{(7)}"),
        (r"\boxed{7}\%", r"7\%"),
        (r"$\boxed{5}\text{ km}$", r"5\text{ km}"),
        (r"$\boxed{90}^\circ$", r"90^\circ"),
        (r"\boxed{7} \times 2", r"7\times 2"),
        (r"$3 \cdot 4 = \boxed{12}$", "12"),
        (r"$\boxed{4} \pmod 7$", "4"),
        (r"- \boxed{7}", "7"),  # a list's bullet, not a sign
        (r"Step 2: \boxed{7}", "7"),
        (r"**\boxed{12}**", "12"),
        (r"\boxed{7}!", "7"),
        (r"$\boxed{7}!$", "7!"),
    ],
)
def test_what_stands_around_a_box_belongs_to_it(completion, answer):
    parsed = parse_completion(completion).answer
    assert parsed is not None
    assert parsed.replace(" ", "") == answer.replace(" ", "")


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("", "no_answer"),
        ("I do not know the answer, it could be $7$", "no_answer"),
        (r"\boxed{}", "no_answer"),
        (r"\boxed{7} is wrong", "no_answer"),
        (r"the answer is not \boxed{7}", "no_answer"),
        (r"\boxed{7}, no wait", "no_answer"),
        (r"<think>maybe \boxed{7}</think> I cannot solve this.", "no_answer"),
        (r"\boxed{1} \boxed{2}", "several_answers"),
        (r"\boxed{7}\boxed{}", "no_answer"),
        (r"\boxed{8} no. The final answer is $7$.", "several_answers"),
        (r"The final answer is $7$. \boxed{8}", "several_answers"),
        ("Final answer: 1. Final answer: 2.", "several_answers"),
        (r"<think> maybe \boxed{7}", "unfinished"),
        (r"<think>a</think> b <think> \boxed{7}", "unfinished"),
        (r"\boxed{7} so \boxed{8", "unfinished"),
        ("<answer>7", "unfinished"),
    ],
)
def test_no_answer(completion, reason):
    parsed = parse_completion(completion)
    assert (parsed.answer, parsed.reason, parsed.finished) == (None, reason, False)


def test_several_boxes_are_a_list_where_a_list_is_wanted():
    assert parse_completion(r"\boxed{1} and \boxed{2}", allow_list=True).answer == "1, 2"
    assert parse_completion(r"\boxed{1}\boxed{}", allow_list=True).reason == "no_answer"


def test_the_delimiter_is_an_option():
    completion = r"\boxed{7} [/R] \boxed{8}"
    assert parse_completion(completion, delimiter="[/R]").answer == "8"
    assert parse_completion(completion, delimiter=None).reason == "several_answers"


def test_reasoning_ends_where_the_first_answer_begins():
    assert parse_completion(r"a b \boxed{1} c d").reasoning == "a b "
    assert parse_completion(r"a b \boxed{1} c \boxed{2}").reasoning == "a b "
    assert parse_completion("no answer at all").reasoning == "no answer at all"
    assert (
        parse_completion(r"<think>x \boxed{7} y</think> so \boxed{7}").reasoning == r"<think>x \boxed{7} y</think> so "
    )
    assert parse_completion("It is odd. The answer is 7.").reasoning.startswith("It is odd.")


def test_reasoning_holds_earlier_turns_and_reasoning_fields():
    turns = [
        {"role": "assistant", "reasoning_content": "why", "content": "first"},
        {"role": "tool", "content": "tool output"},
        {"role": "assistant", "content": r"then \boxed{7}"},
    ]
    assert parse_completion(turns).reasoning == "why\nfirst\nthen "


@pytest.mark.parametrize(
    "completion",
    [
        r"\[ \boxed{ " * 20_000,
        r"\boxed{" * 50_000 + "}" * 50_000,
        r"$\boxed{1}$ and " * 20_000,
        "the answer is " * 30_000,
        "<answer>" * 50_000,
        "final " * 50_000 + "answer",
        "$" * 200_000 + r"\boxed{1}",
        "-" * 200_000 + r"\boxed{1}",
        "{" * 200_000 + r"\boxed{7}" + "\\" * 100_000,
    ],
    ids=lambda text: text[:12],
)
def test_hostile_completions_take_linear_time(completion):
    started = time.perf_counter()
    parse_completion(completion)
    assert time.perf_counter() - started < 3.0  # 0.1 s on an idle core; a quadratic scan takes minutes


@given(st.text(alphabet="\\boxed{}<>/answer think$-7 .=", max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_an_answer_or_a_reason(text):
    parsed = parse_completion(text)
    assert (parsed.answer is None) == (parsed.reason is not None)
    assert parsed.text == text
    assert text.startswith(parsed.reasoning)


@given(
    st.from_regex(r"[0-9a-z+*/ ]{1,20}", fullmatch=True).filter(lambda s: s.strip()), st.text("abc. \n", max_size=50)
)
def test_a_boxed_answer_is_found_after_any_prose(answer, prose):
    assert parse_completion(f"{prose} \\boxed{{{answer}}}").answer == answer.strip()


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6))
def test_string_and_message_agree(words):
    text = " ".join(words) + r" \boxed{7}"
    assert parse_completion(text) == parse_completion([{"role": "assistant", "content": text}])
