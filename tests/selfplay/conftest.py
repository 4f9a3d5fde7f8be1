"""Judged completions, built from few words."""

from __future__ import annotations

import pytest

from trl_rlsp.problems import problem_key
from trl_rlsp.runs import Completion


@pytest.fixture(scope="session")
def judged():
    """Build a judged completion: a right one of the problem `What is 3 + 4?`, unless told otherwise."""

    def build(text=r"3 + 4 = 7 \boxed{7}", *, prompt="What is 3 + 4?", score=1.0, **fields):
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        reason = "match" if score == 1.0 else "mismatch"
        given = {"prompt": messages, "problem": problem_key({"prompt": messages}), "score": score, "reason": reason}
        return Completion(**{"text": text, "step": 1, "file": "f", **given, **fields})

    return build
