r"""Every kind of row, every exploration reward, every recipe: rewards that are not constant.

In the code domain every exploration reward was 0 for every program, so that a recipe's two arms were one run.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from trl_rlsp import (
    BehaviourExploration,
    CalculationExploration,
    DiversityExploration,
    JudgeExploration,
    LengthExploration,
    RLSPRewards,
)
from trl_rlsp.stages import RewardArguments

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*/grpo.yaml"))
PROMPT = "Use 6, 3 and 2 to make 18."
REASONING = (
    "Try sums first: 6 + 3 = 9 and 9 + 2 = 11, which is too small.\nWait, let me check products as well: the sum of "
    "six and three is nine, so 9 * 2 = 18 works.\nAlternatively one multiplies the first two, 6 * 3 = 18; two is left."
)
TASK = json.dumps({"name": "countdown", "entry": {"question": PROMPT, "answer": "18", "metadata": {}}})
PROGRAM = "```python\nprint((6 + 3) * 2)\n```"
KINDS = {
    "math": (r"\boxed{18}", {"solution": ["18"] * 3}),
    "code": (PROGRAM, {"tests": ['[{"input": "", "output": "18"}]'] * 3}),
    "gym": (r"\boxed{(6 + 3) * 2}", {"task": [TASK] * 3}),
}

every_kind = pytest.mark.parametrize("kind", KINDS)


class Right:
    """A verifier that asks nobody."""

    __name__ = "outcome_verifier"

    def __call__(self, *, completions, **columns):
        return [1.0, 1.0, 0.0]


def batch(kind, *, thinking=("", "")):
    """A completion that explores, one that only answers, and one that never does."""
    answer, columns = KINDS[kind]
    opened, closed = thinking
    texts = [f"{opened}{REASONING}{closed}\n{answer}", f"{opened}{closed}\n{answer}", f"{opened}{REASONING}"]
    return {"prompts": [PROMPT] * 3, "completions": texts, **columns}


def judge(tmp_path, monkeypatch):
    pytest.importorskip("openai")
    made = JudgeExploration("judge", base_url="http://127.0.0.1:9/v1", cache=str(tmp_path / "grades"))
    graded = dict.fromkeys(made.rubric.dimensions, 5)
    monkeypatch.setattr(JudgeExploration, "_ask", lambda self, works: [])
    monkeypatch.setattr(JudgeExploration, "_graded", lambda self, works, replies: dict.fromkeys(works, graded))
    return made


@every_kind
@pytest.mark.parametrize("thinking", [("", ""), ("<think>\n", "\n</think>\n")], ids=["plain", "thinking"])
@pytest.mark.parametrize("name", ["length", "relative", "calculation", "diversity", "behaviour", "judge"])
def test_every_reward_pays_for_what_explores(tmp_path, monkeypatch, kind, thinking, name):
    rewards = {
        "length": lambda: LengthExploration(C=50),
        "relative": lambda: LengthExploration("relative"),
        "calculation": CalculationExploration,
        "diversity": DiversityExploration,
        "behaviour": lambda: BehaviourExploration(spacing=4),
        "judge": lambda: judge(tmp_path, monkeypatch),
    }
    reward = rewards[name]()
    explored, answered, unfinished = reward(**batch(kind, thinking=thinking))
    assert explored > 0.1
    assert answered < 0.1
    assert unfinished == 0
    suite = RLSPRewards(Right(), [reward], alpha=0.5)
    assert suite[1](**batch(kind, thinking=thinking))[:2] == pytest.approx([explored, answered])


@every_kind
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)
def test_every_recipe(tmp_path, monkeypatch, kind, recipe):
    fields = {
        name: value for name, value in yaml.safe_load(recipe.read_text()).items() if hasattr(RewardArguments, name)
    }
    judge(tmp_path, monkeypatch)
    built = RewardArguments(**{**fields, "judge_cache": str(tmp_path / "grades")}).build()
    suite = RLSPRewards(Right(), built.exploration, alpha=built.schedule, gate=built.gate)
    for column in suite[1:]:
        explored, answered, _ = column(**batch(kind))
        assert explored != answered


class TestEndOfThinking:
    REASONED = r"Maybe \boxed{18}. Hmm, let me try another way: 6 * 3 = 18 and"

    @pytest.mark.parametrize("tag", ["</think>", "</reasoning>", "[/R]"])
    def test_the_tag_reaches_every_part(self, tag):
        suite = RLSPRewards(exploration=[LengthExploration(C=6), CalculationExploration(K=1)], end_of_thinking=tag)
        columns = {"prompts": [PROMPT], "completions": [rf"try \boxed{{7}} , 6 + 3 = 9 {tag} \boxed{{18}}"]}
        verdict, length, calculation = (part(**columns, solution=["18"])[0] for part in suite)
        suite.close()
        assert verdict == 1.0
        assert length > 0
        assert calculation == pytest.approx(0.125 / 2)

    def suite(self, **settings):
        return RLSPRewards(exploration=[LengthExploration(C=6)], **settings)

    def values(self, suite, prompt=PROMPT, **logger):
        texts = [self.REASONED, self.REASONED + r" done.</think> \boxed{18}"]
        found = [part(prompts=[prompt] * 2, completions=texts, solution=["18"] * 2, **logger) for part in suite]
        suite.close()
        return found

    def test_truncated_thinking_is_no_answer_where_it_is_required(self):
        verdicts, lengths = self.values(self.suite(thinking_required=True))
        assert verdicts == [0.0, 1.0]
        assert lengths[0] == 0 < lengths[1]
        assert self.values(self.suite())[0] == [1.0, 1.0]

    def test_it_is_seen_from_a_prompt_that_opens_it(self):
        assert self.values(self.suite(), f"<|User|>{PROMPT}<|Assistant|><think>\n")[0] == [0.0, 1.0]

    def test_it_is_seen_from_the_trainers_template(self):
        class Tokenizer:
            chat_template = "..."

            def apply_chat_template(self, turns, **options):
                return "<|User|>?<|Assistant|>" + ("<think>\n" if options.get("enable_thinking", True) else "")

        class Trainer:
            args, processing_class = None, Tokenizer()

            def log_metric(self, name, value): ...

        prompt = [{"role": "user", "content": PROMPT}]
        assert self.values(self.suite(), prompt, log_metric=Trainer().log_metric)[0] == [0.0, 1.0]
        off = Trainer()
        off.chat_template_kwargs = {"enable_thinking": False}
        assert self.values(self.suite(), prompt, log_metric=off.log_metric)[0] == [1.0, 1.0]
