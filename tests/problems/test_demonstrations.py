r"""(problem, reasoning, answer) -> training rows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, DataError, MissingColumnError, SourceError
from trl_rlsp.problems import DEFAULT_SYSTEM_PROMPT, completion_text, demonstration_rows, load_demonstrations
from trl_rlsp.text import read

ROW = {"problem": "3 + 4?", "reasoning": "3 + 4 = 7.", "answer": "7"}
COMPLETION = "3 + 4 = 7.\n\n\\boxed{7}"
THINK = "<think>\n{reasoning}\n</think>\n\n\\boxed{{answer}}"


class TestCompletionText:
    @pytest.mark.parametrize(
        ("reasoning", "answer", "completion"),
        [
            ("3 + 4 = 7.", "7", COMPLETION),
            ("3 + 4 = 7.", 7, COMPLETION),
            ("3 + 4 = 7.", "\\boxed{7}", COMPLETION),
            ("3 + 4 = 7.\n#### 7", "3 + 4 = 7.\n#### 7", COMPLETION),
            ("So \\boxed{7}.", "7", "So \\boxed{7}."),
            ("So $\\boxed{ 7 }$.  ", "7", "So $\\boxed{ 7 }$."),
            ("So \\[\\boxed{7}.\\]", "7", "So \\[\\boxed{7}.\\]"),
            ("So \\boxed{\\frac{1}{2}}", None, "So \\boxed{\\frac{1}{2}}"),
            ("\\boxed{7} it is, I checked.", "7", "\\boxed{7} it is, I checked.\n\n\\boxed{7}"),
            ("Write {answer} and {reasoning}.", "7", "Write {answer} and {reasoning}.\n\n\\boxed{7}"),
        ],
    )
    def test_one_answer_at_the_end(self, reasoning, answer, completion):
        assert completion_text(reasoning, answer) == completion

    def test_a_box_inside_the_thinking_is_repeated_outside(self):
        text = completion_text("So \\boxed{7}.", "7", THINK)
        assert text == "<think>\nSo \\boxed{7}.\n</think>\n\n\\boxed{7}"
        assert read(text).answer == "7"

    def test_template_with_spaces_around_the_answer(self):
        assert completion_text("1 + 2 = 3 ? 3 yes", "1 + 2", "{reasoning} \\boxed{ {answer} }") == (
            "1 + 2 = 3 ? 3 yes \\boxed{ 1 + 2 }"
        )

    @pytest.mark.parametrize(
        ("reasoning", "answer", "message"),
        [
            ("", "7", "the reasoning is empty"),
            (None, "7", "the reasoning is empty"),
            ("3 + 4 = 7.", None, "neither an answer nor a box"),
            ("So \\boxed{8}.", "7", r"no single answer \(several_answers\)"),
            ("Either \\boxed{7} or \\boxed{8}.", "8", r"no single answer \(several_answers\)"),
        ],
    )
    def test_errors(self, reasoning, answer, message):
        with pytest.raises(DataError, match=message):
            completion_text(reasoning, answer)

    @pytest.mark.parametrize("letter", ["e", "d", "x", "b", "o"])
    def test_an_answer_whose_letter_is_in_the_word_boxed(self, letter):
        assert completion_text(f"So it is $\\boxed{{{letter}}}$.", letter) == f"So it is $\\boxed{{{letter}}}$."
        longer = f"It is \\boxed{{{letter}}}. Now the check."
        assert completion_text(longer, letter) == f"{longer}\n\n\\boxed{{{letter}}}"

    @settings(deadline=None)
    @given(st.text(alphabet="ab 1+=\n.", min_size=1).filter(str.strip), st.integers(-999, 999))
    def test_what_is_put_in_the_box_is_what_the_verifier_reads(self, reasoning, answer):
        for template in (THINK, "{reasoning}\n\n\\boxed{{answer}}"):
            assert read(completion_text(reasoning, answer, template)).answer == str(answer)


class TestStyles:
    prompt = ({"role": "system", "content": DEFAULT_SYSTEM_PROMPT}, {"role": "user", "content": "3 + 4?"})
    reply = ({"role": "assistant", "content": COMPLETION},)

    def test_messages(self):
        assert demonstration_rows([ROW]) == [{"messages": [*self.prompt, *self.reply]}]

    def test_prompt_completion(self):
        expected = {"prompt": list(self.prompt), "completion": list(self.reply)}
        assert demonstration_rows([ROW], style="prompt_completion") == [expected]

    def test_plain(self):
        (row,) = demonstration_rows([ROW], style="plain", system_prompt=None)
        assert row == {"prompt": "3 + 4?\n\n", "completion": COMPLETION}

    def test_a_prompt_is_used_as_it_is(self):
        messages = [{"role": "user", "content": "1 2 : 3"}]
        given_messages = {"prompt": messages, "reasoning": "1 + 2 = 3", "answer": "1 + 2"}
        given_text = given_messages | {"prompt": "1 2 : 3 "}
        assert demonstration_rows([given_messages], style="prompt_completion")[0]["prompt"] == messages
        assert demonstration_rows([given_text], style="plain")[0]["prompt"] == "1 2 : 3 "
        assert demonstration_rows([given_text])[0]["messages"][0] == {"role": "user", "content": "1 2 : 3 "}

    def test_unknown_style(self):
        with pytest.raises(ConfigError, match=r"style must be 'messages', .*got 'chat'"):
            demonstration_rows([ROW], style="chat")

    @pytest.mark.parametrize("template", ["{reasoning}", "\\boxed{{answer}}", "%s %s"])
    def test_template_without_both_fields(self, template):
        with pytest.raises(ConfigError, match=r"a template needs \{reasoning\} and \{answer\}"):
            demonstration_rows([ROW], reasoning_template=template)

    def test_bad_row_names_its_number_and_can_be_skipped(self):
        rows = [ROW, ROW | {"reasoning": " "}, ROW | {"problem": None}]
        with pytest.raises(DataError, match="demonstration 2: the reasoning is empty"):
            demonstration_rows(rows)
        with pytest.raises(DataError, match="demonstration 1: the problem is empty"):
            demonstration_rows(rows[2:])
        assert len(demonstration_rows(rows, drop_invalid=True)) == 1


class TestLoad:
    def load(self, tmp_path, rows, **arguments):
        path = tmp_path / "d.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        return load_demonstrations(path, **arguments)

    def test_columns_by_name(self, tmp_path):
        assert self.load(tmp_path, [ROW])[0]["messages"][-1] == {"role": "assistant", "content": COMPLETION}

    def test_math_shaped_rows(self, tmp_path):
        row = {"problem": "p", "solution": "Then $\\boxed{7}$.", "answer": "7"}
        (loaded,) = self.load(tmp_path, [row], style="plain")
        assert loaded["completion"] == "Then $\\boxed{7}$."

    def test_gsm8k_shaped_rows(self, tmp_path):
        row = {"question": "p", "answer": "3 + 4 = 7.\n#### 7"}
        columns = {"reasoning": "answer", "answer": "answer"}
        (loaded,) = self.load(tmp_path, [row], style="plain", columns=columns)
        assert loaded["completion"] == COMPLETION

    def test_limit_is_a_seeded_sample(self, tmp_path):
        rows = [ROW | {"problem": f"p{n}"} for n in range(30)]
        one, two = (self.load(tmp_path, rows, limit=5, seed=seed, style="plain")["prompt"][:] for seed in (1, 2))
        assert len(one) == 5
        assert one != two

    def test_errors_name_the_line(self, tmp_path):
        with pytest.raises(DataError, match=r"demonstration on line 2 of d.jsonl: the reasoning is empty"):
            self.load(tmp_path, [ROW, ROW | {"reasoning": ""}])
        with pytest.raises(DataError, match=r"no row of d.jsonl is a demonstration"):
            self.load(tmp_path, [ROW | {"reasoning": ""}], drop_invalid=True)

    def test_missing_column(self, tmp_path):
        with pytest.raises(MissingColumnError, match="no column for the reasoning; it has problem, answer"):
            self.load(tmp_path, [{"problem": "p", "answer": "1"}])

    def test_missing_file(self):
        with pytest.raises(SourceError, match=r"there is none at 'd.jsonl'"):
            load_demonstrations("d.jsonl")


def test_written_out_search_becomes_demonstrations():
    search = pytest.importorskip("trl_rlsp.countdown.search")
    metadata = {"entry": {"metadata": {"numbers": [6, 3, 2], "target": 18}}}
    problem = {"prompt": [{"role": "user", "content": "6 3 2 : 18"}], "task": json.dumps(metadata)}
    traces = search.search_demonstrations([problem], per_problem=5)
    rows = demonstration_rows(traces, style="prompt_completion", reasoning_template="{reasoning} \\boxed{ {answer} }")
    for trace, row in zip(traces, rows, strict=True):
        assert row["prompt"] == problem["prompt"]
        assert read(row["completion"]).answer == trace["answer"]
