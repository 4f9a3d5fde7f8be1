"""Where a completion's answer is, by hand-made completions; linear time on hostile ones."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError
from trl_rlsp.text import completion_text, kinds_of, read, thinking_is_open
from trl_rlsp.text._completion import KINDS

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    "case", json.loads((DATA / "verifier_formats.json").read_text()), ids=lambda case: case["name"]
)
def test_shapes_of_completions(case):
    answer = read(case["completions"][0]).answer
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
    parsed = read(completion)
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
        (r"$\boxed{4} \mod 7$", "4"),
        (r"$\boxed{4} (\text{mod } 7)$", "4"),
        (r"$r = \boxed{10}\%$", r"10\%"),
        (r"$\boxed{12} = 3 \cdot 4$", "12"),
        (r"\[\begin{aligned} x &= 3 + 9 \\ &= \boxed{12}. \end{aligned}\]", "12"),
        ("\\[\n\\begin{aligned}\nx &= 3 + 9 \\\\\n&= \\boxed{12}.\n\\end{aligned}\n\\]", "12"),
        (r"\[x = \boxed{12}, \quad y = 3\]", "12"),
        (r"$$\boxed{12} \text{ where } x > 0$$", "12"),
        (r"$\text{Area: } \boxed{12}$", "12"),
        (r"$a = 3, \boxed{7}$", "7"),
        (r"\boxed{\text{The answer is } 12}", "12"),
        (r"\boxed{The answer is 12}", "12"),
        (r"\boxed{\text{There are } 12 \text{ ways}}", r"12 \text{ ways}"),
        (r"\boxed{\text{Final answer: } \frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{x = 12 \text{ is the answer}}", "x = 12"),
        (r"\boxed{\text{The answer is not } 12}", r"\text{The answer is not } 12"),
        (r"- \boxed{7}", "7"),  # a list's bullet, not a sign
        (r"Step 2: \boxed{7}", "7"),
        (r"**\boxed{12}**", "12"),
        (r"\boxed{7}!", "7"),
        (r"$\boxed{7}!$", "7!"),
    ],
)
def test_what_stands_around_a_box_belongs_to_it(completion, answer):
    parsed = read(completion).answer
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
    parsed = read(completion)
    assert (parsed.answer, parsed.reason, parsed.finished) == (None, reason, False)


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"So $\boxed{7}$. Let me look again: 3 + 5 is one more, so $\boxed{8}$.", "8"),
        ("It is \\boxed{7}.\n\nWait, I forgot the last case.\n\n\\boxed{8}", "8"),
        (r"\boxed{7} is wrong. \boxed{8}", "8"),
        (r"\boxed{7}, no wait, \boxed{8}", "8"),
        (r"First $a = \boxed{3}$, and therefore $2a = \boxed{6}$.", "6"),
        ("\\boxed{3}\n\n**Final Answer**\n\n\\boxed{6}", "6"),
        (r"The claim was $\boxed{1}$, which is incorrect. Corrected: $\boxed{-3}$", "-3"),
        ("<answer>5</answer> That was too quick, there are two more cases. <answer>6</answer>", "6"),
        ("\\boxed{5}\nActually I was asked for the sum: <answer>6</answer>", "6"),
        (r"\boxed{5}, not \boxed{6}", "5"),
        (r"\boxed{5} rather than $\boxed{6}$.", "5"),
        ("Final answer: 12.\n\nI checked it again and one root is extraneous.\n\nFinal answer: 13.", "13"),
    ],
)
def test_the_last_answer_counts(completion, answer):
    assert read(completion).answer == answer


@pytest.mark.parametrize(
    ("completion", "rivals"),
    [
        (r"\boxed{7} or \boxed{8}", ("7", "8")),
        (r"\boxed{7}\boxed{8}\boxed{9}", ("7", "8", "9")),
        (r"The values are $\boxed{7}$, $\boxed{8}$.", ("7", "8")),
        ("\\boxed{7}\n\n\\boxed{8}", ("7", "8")),
        ("- \\boxed{7}\n- \\boxed{8}\n- \\boxed{7}", ("7", "8")),
        ("| even | \\boxed{7} |\n| odd | \\boxed{8} |", ("7", "8")),
        ("## Case 1\n\\boxed{7}\n## Case 2\n\\boxed{8}", ("7", "8")),
        ("Answer 1: \\boxed{7}.\nAlternatively, for those who read it the other way round: \\boxed{8}.", ("7", "8")),
        (r"\boxed{7} if $x$ is positive and \boxed{8} if it is negative", ("7", "8")),
        (r"\boxed{5}. I looked again for a while, so it is \boxed{7} or \boxed{8}", ("7", "8")),
        (r"\boxed{7} or 8", ("7", "8")),
        (r"$\boxed{7}$ or maybe $8$", ("7", "8")),
        ("<answer>7</answer><answer>8</answer>", ("7", "8")),
        (r"\boxed{8} no. The final answer is $7$.", ("8", "7")),
    ],
)
def test_hedging_is_no_answer(completion, rivals):
    reading = read(completion)
    assert (reading.answer, reading.reason, reading.rivals) == (None, "several_answers", rivals)


def test_a_dump_of_boxes_is_its_last_statement():
    dump = "".join(
        f"Perhaps it has {n} sides, as one could believe from the drawing. \\boxed{{{n}}}\n" for n in range(99)
    )
    assert read(dump).answer == "98"
    assert read("\n".join(f"\\boxed{{{n}}}" for n in range(99))).reason == "several_answers"


@pytest.mark.parametrize(
    "completion",
    [
        r"\boxed{1\frac{4}{5}}, as an improper fraction \boxed{\frac{9}{5}}",
        r"\boxed{1.8} or $\boxed{\dfrac95}$",
        r"$x = \boxed{9/5}$. The final answer is $x = 1.8$.",
        r"\boxed{\frac95} or $1.8$",
        r"\boxed{\frac95} (or 1.8)",
    ],
)
def test_obviously_equal_answers_are_one(completion):
    assert read(completion).finished


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("**Final Answer:**\n\n\\[\n\\boxed{28}\n\\]", "28"),
        ("### ✅ Final Answer:\n\n$$\n\\boxed{28}\n$$\n\nThere are **no errors**. The final answer is correct.", "28"),
        ("#### Step 1: add\n\n20 + 8 = 28\n\n#### Step 2: box\n\\boxed{28}", "28"),
        ("The total is \\boxed{28}.\n\n#### Why this works\n\nAddition is what was asked for.", "28"),
        (r"I put the final answer in \boxed{}. 20 + 8 = 28, hence \boxed{28}.", "28"),
        ("\\boxed{28}\n\n**Corrected final answer within \\boxed{}:**\n\n\\boxed{28}", "28"),
        (r"Your answer goes into \boxed{answer}: \boxed{28}", "28"),
        (r"So $\boxed{28}$, as wanted in `\boxed{}`.", "28"),
        ("The final answer: the sum of both is 28.\n\n\\boxed{28}", "28"),
        (r"So \boxed{28}. Therefore the final answer is indeed 28.", "28"),
        (r"\boxed{28}. The final answer is twenty-eight, and I am sure of it.", "28"),
        ("So \\boxed{28}.\nFinal Answer: The final answer is $28$. I hope it is correct.", "28"),
        ("Final Answer: The final answer is $28$. I hope it is correct.", "28"),
        ('Final Answer: The final answer is "even". I hope it is correct.', "even"),
        ("FINAL ANSWER:\n<answer>\n28\n</answer>", "28"),
        ("<answer>So we have $x = \\boxed{28}$.</answer>", "28"),
        (r"The answer is $20 + 8 = \boxed{28}$", "28"),
    ],
)
def test_a_phrase_beside_a_mark_is_no_second_answer(completion, answer):
    assert read(completion).answer == answer


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("**Answer**\n28", "28"),
        ("**Final Answer:**\n\n\\[\n28\n\\]", "28"),
        ("Answer $28$", "28"),
        ("Answer \\[ 28 \\]", "28"),
        ("The answer to the whole question is 28.", "28"),
        ("Final Answer: The largest $n$ is 28.", "28"),
        ("Thus $x \\le 28$ is our answer.", "x \\le 28"),
        ("Then **28** is the final answer.", "28"),
        ("The answer is 28, not 29.", "28"),
        ("The answer is 28 because 20 + 8 = 28.", "28"),
        ("The answer is $\\$28$.", "\\$28"),
        ("The answers are 3 and 5.", "3 and 5"),
        ("The answer is 28. I have checked it twice: the answer is correct.", "28"),
        ("20 + 8 = 28 #### 28", "28"),
        ("#### 28\n\nQuestion: a shop sells three pens for four dollars each. How much is that?", "28"),
    ],
)
def test_phrases(completion, answer):
    assert read(completion).answer == answer


@pytest.mark.parametrize(
    "completion",
    [
        "#### Step 1\n20 + 8 = 28",
        "If 28 is the answer, the sum is even.",
        "final_answer = compute(20)\nprint(final_answer)",
        "To find the answer\nwe add both numbers.",
        "The final answer is correct.",
    ],
)
def test_no_phrases(completion):
    assert read(completion).reason == "no_answer"


@pytest.mark.parametrize(
    "after",
    [
        ". This is not a coincidence.",
        "$, which is not prime.",
        ". It wasn't hard!",
        ". Isn't that nice?",
        ". That is not all: the other root is extraneous.",
        ". No errors were found.",
        ". This is correct.",
        r" $\blacksquare$",
    ],
)
def test_an_innocent_next_sentence_takes_nothing_back(after):
    assert read(rf"\boxed{{12}}{after}").answer == "12"


@pytest.mark.parametrize(
    "after",
    [
        ". This is not correct.",
        ". That can't be right.",
        ", which isn't the answer.",
        ". Hmm, that is wrong.",
        " -- wait, that's wrong.",
        ", but this is clearly false.",
        ". No. I give up.",
        " is obviously not the answer",
    ],
)
def test_an_answer_taken_back_is_none(after):
    assert read(rf"\boxed{{12}}{after}").reason == "no_answer"


def test_the_end_of_thinking_is_an_option():
    completion = r"\boxed{7} [/R] \boxed{8}"
    assert read(completion, end_of_thinking="[/R]").answer == "8"
    assert read(completion, end_of_thinking=None).reason == "several_answers"


def test_thinking_that_had_to_end():
    thinking = r"Maybe \boxed{7}. Hmm, let me try another way: so"
    assert read(thinking).answer == "7"
    assert read(thinking, thinking_required=True).reason == "unfinished"
    assert read(f"{thinking}</think> \\boxed{{8}}", thinking_required=True).answer == "8"
    assert read("```python\nprint(1)\n```", "code", thinking_required=True).reason == "unfinished"
    message = {"role": "assistant", "reasoning_content": thinking, "content": r"\boxed{8}"}
    assert read([message], thinking_required=True).answer == "8"  # the server has split off the reasoning
    assert read([{**message, "content": ""}], thinking_required=True).reason == "unfinished"


class Template:
    """A tokenizer's chat template, as far as `thinking_is_open` needs one."""

    chat_template = "..."

    def apply_chat_template(self, turns, *, tokenize, add_generation_prompt, enable_thinking=True):
        assert (tokenize, add_generation_prompt) == (False, True)
        return f"<user>{turns[0]['content']}<assistant>" + ("<think>\n" if enable_thinking else "<think>\n\n</think>\n")


def test_whether_the_prompt_opens_the_thinking():
    assert thinking_is_open(Template())
    assert not thinking_is_open(Template(), enable_thinking=False)
    assert not thinking_is_open(Template(), "[/R]")
    assert not thinking_is_open(Template(), None)
    assert thinking_is_open("2 + 2? [R]", "[/R]")
    assert not thinking_is_open("What does <think> mean?<assistant>")
    assert not thinking_is_open(object())  # a tokenizer without a chat template


def test_kinds():
    columns = {"solution": ["1", "2", "3"], "task": [None, "{}", None], "tests": None, "level": [1, 2, 3]}
    assert kinds_of(columns, 3) == ["math", "gym", "math"]
    assert kinds_of({}, 2) == ["math", "math"]
    assert kinds_of({"tests": ["a"], "task": ["b"]}, 1) == ["code"]
    with pytest.raises(ConfigError, match="prose"):
        read("a", "prose")
    assert list(KINDS) == ["code", "gym", "math"]


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("```python\na\n```\ntext\n```py\nb\n```", "b\n"),
        ("```\na\n```\n```cpp\nb\n```", "a\n"),
        ("```python\na\n```\n```python\nb", "a\n"),
        ("~~~python\r\na\r\n~~~", "a\n"),
        ("  ```python\n  a\n    b\n  ```", "a\n  b\n"),
        ("````python\n```\na\n```\n````", "```\na\n```\n"),
        ("<think>```python\na\n```</think>\n```python\nb\n```", "b\n"),
        ("```python\na\n```\n```python\n\n```", None),
        (r"\boxed{7}", None),
    ],
)
def test_programs(completion, program):
    assert read(completion, "code").answer == program


def test_reasoning_ends_where_the_first_answer_begins():
    assert read(r"a b \boxed{1} c d").reasoning == "a b "
    assert read(r"a b \boxed{1}. c so \boxed{2} d").reasoning == r"a b \boxed{1}. c so "  # it looked again
    assert read(r"a b \boxed{1}. c so \boxed{1} d").reasoning == "a b "  # it only said it again
    assert read(r"a b \boxed{1} or \boxed{2}").reasoning == "a b "
    assert read("no answer at all").reasoning == "no answer at all"
    assert read(r"<think>x \boxed{7} y</think> so \boxed{7}").reasoning == r"<think>x \boxed{7} y</think> so "
    assert read("It is odd. The answer is 7.").reasoning.startswith("It is odd.")


def test_reasoning_holds_earlier_turns_and_reasoning_fields():
    turns = [
        {"role": "assistant", "reasoning_content": "why", "content": "first"},
        {"role": "tool", "content": "tool output"},
        {"role": "assistant", "content": r"then \boxed{7}"},
    ]
    assert read(turns).reasoning == "why\nfirst\nthen "


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
    started = time.process_time()
    read(completion)
    assert time.process_time() - started < 3.0  # 0.1 s of one core; a quadratic scan takes minutes


@given(st.text(alphabet="\\boxed{}<>/answer think$-7 .=", max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_an_answer_or_a_reason(text):
    parsed = read(text)
    assert (parsed.answer is None) == (parsed.reason is not None)
    assert parsed.text == text
    assert text.startswith(parsed.reasoning)


@given(
    st.from_regex(r"[0-9a-z+*/ ]{1,20}", fullmatch=True).filter(lambda s: s.strip()), st.text("abc. \n", max_size=50)
)
def test_a_boxed_answer_is_found_after_any_prose(answer, prose):
    assert read(f"{prose} \\boxed{{{answer}}}").answer == answer.strip()


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6))
def test_string_and_message_agree(words):
    text = " ".join(words) + r" \boxed{7}"
    assert read(text) == read([{"role": "assistant", "content": text}])
