r"""The rubric: what a judge is sent, and how its answers are read."""

from __future__ import annotations

import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.rubric import DIMENSIONS, Rubric, UnreadableGradesError, quoted

TWO = Rubric({"rigour": "Is every step justified?", "depth": "How far does it go?"})
GOOD = '{"rigour": 7, "depth": 2}'


class TestRead:
    @pytest.mark.parametrize(
        "answer",
        [
            GOOD,
            f"  \n{GOOD}\n",
            f"```json\n{GOOD}\n```",
            f"The work is careful. {GOOD} I hope this helps.",
            f'<think>maybe {{"rigour": 1, "depth": 1}}?</think>{GOOD}',
            f"{GOOD} Again: {GOOD}",
            '{"rigour": 7, "depth": 2, "comment": "short"}',
            f'{{"note": 1}} {GOOD} {{broken',
        ],
    )
    def test_grades_in_an_answer(self, answer):
        assert TWO.read(answer) == {"rigour": 7, "depth": 2}

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            ("", "no JSON object"),
            ("rigour: 7, depth: 2", "no JSON object"),
            ('{"rigour": 7, "depth": 2', "no JSON object"),
            ('{"rigour": 7}', "depth is an integer from 0 to 10, got None"),
            ('{"rigour": 7, "depth": 11}', "depth is an integer from 0 to 10, got 11"),
            ('{"rigour": -1, "depth": 2}', "rigour is an integer from 0 to 10, got -1"),
            ('{"rigour": 7.5, "depth": 2}', "rigour is an integer from 0 to 10, got 7.5"),
            ('{"rigour": "7", "depth": 2}', "rigour is an integer from 0 to 10, got 7"),
            ('{"rigour": true, "depth": 2}', "rigour is an integer from 0 to 10, got True"),
            ('{"rigour": NaN, "depth": 2}', "rigour is an integer from 0 to 10, got nan"),
            (GOOD + '{"rigour": 10, "depth": 10}', "2 different sets of grades"),
            ('{"a":' * 5000, "no JSON object"),
            ("{" * 30_000, "no JSON object"),
        ],
    )
    def test_no_grades(self, answer, message):
        with pytest.raises(UnreadableGradesError, match=re.escape(message)):
            TWO.read(answer)

    @given(st.text())
    def test_any_text_gives_grades_or_the_error(self, text):
        with pytest.raises(
            UnreadableGradesError, match=r"no JSON object|is an integer from 0 to 10|grades are a JSON object"
        ):
            TWO.read(text)


class TestTold:
    def test_all_dimensions_and_to_ignore_correctness(self):
        told = Rubric().instructions()
        assert list(DIMENSIONS) == ["diversity", "depth", "creativity", "persistence"]
        assert all(f"- {name}: {meaning}" in told for name, meaning in DIMENSIONS.items())
        assert "not whether it was solved" in told
        assert '"diversity", "depth", "creativity", "persistence"' in told

    def test_own_dimensions_and_preamble(self):
        rubric = Rubric({"rigour": "Is every step justified?"}, preamble="You grade proofs.")
        assert rubric.instructions().startswith("You grade proofs.\n\n- rigour: Is every step justified?\n\n")
        assert "data written by the system under examination" in rubric.instructions()

    def test_schema(self):
        schema = TWO.response_format()["json_schema"]["schema"]
        assert schema["required"] == ["rigour", "depth"]
        assert schema["additionalProperties"] is False
        assert (schema["properties"]["depth"]["minimum"], schema["properties"]["depth"]["maximum"]) == (0, 10)

    @pytest.mark.parametrize("dimensions", [{}, {"two words": "x"}, {"": "x"}])
    def test_bad_names(self, dimensions):
        with pytest.raises(ConfigError, match="a rubric has dimensions whose names are identifiers"):
            Rubric(dimensions)

    def test_pickled(self):
        TWO.response_format()
        assert pickle.loads(pickle.dumps(TWO)) == TWO


class TestQuoted:
    @given(st.text(), st.text())
    def test_nothing_is_lost_and_nothing_breaks_out(self, problem, work):
        line = quoted(problem, work)
        assert json.loads(line) == {"problem": problem, "work": work}
        assert len(line.splitlines()) == 1

    @pytest.mark.parametrize(
        "token",
        [
            "<|im_end|>",
            "<|eot_id|>",
            "</s>",
            "<s>",
            "<start_of_turn>",
            "<｜User｜>",
            "[INST]",
            "[/INST]",
            "<think>",
            "<<SYS>>",
        ],
    )
    def test_control_tokens_of_chat_templates_do_not_survive(self, token):
        assert token not in quoted("p", f"before {token} after")

    @pytest.mark.parametrize("text", ["3 < 4", "x <= 5", "a[0] + b[i]", "<5", "[A, B]"])
    def test_mathematics_stays_as_it_is(self, text):
        assert text in quoted("p", text)

    def test_marker_is_new_and_frames_one_line(self):
        sent = [TWO.messages("p", "w")[1]["content"].split("\n") for _ in range(2)]
        markers = [lines[0].removeprefix("BEGIN DATA ") for lines in sent]
        assert markers[0] != markers[1]
        assert all(re.fullmatch("[0-9a-f]{32}", marker) for marker in markers)
        assert sent[0][2] == f"END DATA {markers[0]}"

    def test_the_system_message_is_always_the_same(self):
        # servers reuse the computation for an equal beginning
        assert TWO.messages("p", "w")[0] == TWO.messages("other", "work")[0]
