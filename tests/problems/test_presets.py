"""Presets, read through a loader that returns rows shaped as the Hub's."""

from __future__ import annotations

import pytest

from trl_rlsp.problems import PRESETS, find_preset, load_problems

MATH = {"problem": "p", "level": "Level 3", "type": "Algebra", "solution": "Then $\\boxed{x^{2}}$."}
HUB_ROWS = {
    "math": [MATH],
    "math-500": [MATH | {"answer": "x^2", "subject": "Algebra", "unique_id": "test/algebra/1.json"}],
    "aime": [
        {"ID": "1983-1", "Year": 1983, "Problem Number": 1, "Question": "p", "Answer": "60", "Part": None},
        {"ID": "2024-I-1", "Year": 2024, "Problem Number": 1, "Question": "q", "Answer": "204", "Part": "I"},
    ],
    "aime-2024": [
        {
            "id": 60,
            "problem": "p",
            "solution": "long \\boxed{204}",
            "answer": "204",
            "url": "u",
            "year": "2024",
        }
    ],
    "gsm8k": [{"question": "p", "answer": "He has <<3+4=7>>7.\n#### 7"}],
    "code_contests": [
        {
            "name": "76_B. Mice",
            "description": "p",
            "difficulty": 8,
            "public_tests": {"input": ["1\n"], "output": ["2\n"]},
            "private_tests": {"input": ["3\n"], "output": ["4\n"]},
            "generated_tests": {"input": [], "output": []},
            "solutions": {"language": [2, 3], "solution": ["int main(){}", "print(int(input()) + 1)"]},
        }
    ],
    "apps": [
        {
            "problem_id": 0,
            "question": "p",
            "solutions": '["print(1)"]',
            "input_output": '{"inputs": ["1\\n"], "outputs": ["1\\n"]}',
            "difficulty": "interview",
            "url": "u",
            "starter_code": "",
        }
    ],
    "mbpp": [
        {
            "task_id": 1,
            "text": "p",
            "code": "def p(x):\n    return x",
            "test_list": ["assert p(1) == 1"],
            "test_setup_code": "",
            "challenge_test_list": ["assert p(2) == 2"],
        }
    ],
    "humaneval": [
        {
            "task_id": "HumanEval/0",
            "prompt": "p",
            "canonical_solution": "    return x",
            "test": "def check(candidate):\n    assert candidate(1) == 1\n",
            "entry_point": "p",
        }
    ],
}
EXPECTED = {
    "math": {"solution": "x^{2}", "level": "Level 3", "subject": "Algebra"},
    "math-500": {"solution": "x^2", "level": "Level 3", "subject": "Algebra", "id": "test/algebra/1.json"},
    "aime": {"solution": "60", "level": "1", "subject": "1983", "id": "1983-1"},
    "aime-2024": {"solution": "204", "id": "60"},
    "gsm8k": {"solution": "7"},
    "code_contests": {
        "solution": "print(int(input()) + 1)",
        "tests": '[{"input": "1\\n", "output": "2\\n"}, {"input": "3\\n", "output": "4\\n"}]',
        "level": "8",
        "id": "76_B. Mice",
    },
    "apps": {
        "solution": "print(1)",
        "tests": '[{"input": "1\\n", "output": "1\\n"}]',
        "level": "interview",
        "id": "0",
    },
    "mbpp": {
        "solution": "def p(x):\n    return x",
        "tests": '{"tests": ["assert p(1) == 1"], "challenge_test_list": ["assert p(2) == 2"]}',
        "id": "1",
    },
    "humaneval": {
        "solution": "p    return x",
        "tests": '{"tests": "def check(candidate):\\n    assert candidate(1) == 1\\n", "entry_point": "p"}',
        "id": "HumanEval/0",
    },
}


@pytest.fixture
def calls(monkeypatch):
    """Calls of `datasets.load_dataset`, answered with the rows above."""
    import datasets

    seen = []

    def load_dataset(path, **arguments):
        seen.append((path, {name: value for name, value in arguments.items() if value is not None}))
        short_name = next(name for name, preset in PRESETS.items() if preset.hub_id == path)
        return datasets.Dataset.from_list(HUB_ROWS[short_name])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return seen


@pytest.mark.parametrize("name", PRESETS)
def test_rows_of_every_preset(calls, name):
    problems = load_problems(name, system_prompt=None)
    assert len(problems) == 1
    assert problems[0] == {"prompt": [{"role": "user", "content": "p"}], **EXPECTED[name]}


def test_what_is_asked_of_the_hub(calls):
    load_problems("math-500")
    load_problems("openai/GSM8K", split="test")
    load_problems("apps", name="all")
    assert calls == [
        ("HuggingFaceH4/MATH-500", {"split": "test"}),
        ("openai/gsm8k", {"name": "main", "split": "test"}),
        ("codeparrot/apps", {"name": "all", "split": "train", "revision": "refs/convert/parquet"}),
    ]


def test_training_on_aime_leaves_2024_for_the_evaluation(calls):
    assert load_problems("AIME")["id"][:] == ["1983-1"]


def test_an_explicit_map_wins_over_the_preset(calls):
    assert load_problems("math-500", columns={"answer": "solution"})["solution"][:] == ["x^{2}"]


def test_find_preset():
    assert find_preset("huggingfaceh4/math-500") is PRESETS["math-500"]
    assert find_preset("someone/else") is None
