"""Groups that start from a part of a right solution: what is cut off, how much is shown, and that it is remembered."""

from __future__ import annotations

import json

import pytest
from datasets import Dataset
from tiny_grpo import tiny_grpo

from trl_rlsp import RLSPRewards
from trl_rlsp.errors import ConfigError
from trl_rlsp.runs import read_completions
from trl_rlsp.trainers._frontier import Solutions, empty_memory, learn, pieces, share_of

PROMPTS = ["<user> 8 1 9 : 72 <assistant>", "<user> 1 2 : 3 <assistant>"]
SOLVED = ["8 + 9 = 17 no | 8 + 1 = 9 | 8 * 9 = 72 yes \\boxed{ 72 }", "2 - 1 = 1 no | 1 + 2 = 3 yes \\boxed{ 3 }"]


def rate_of(prompt, completions):
    """Right: what ends in a box that the taught model and the solutions fill with the target."""
    return [float(completion.endswith(("{ 72 }", "{ 3 }"))) for completion in completions]


class Verifier:
    __name__ = "outcome_verifier"

    def __init__(self):
        self.calls = []

    def __call__(self, *, prompts, completions, **_):
        self.calls.append((list(prompts), list(completions)))
        return rate_of(prompts, completions)


@pytest.fixture
def build(taught_folder, tmp_path):
    def build(verifier=None, folder="run", **settings):
        given = {"frontier_share": 0.9, "frontier_joint": " | ", "frontier_solutions": "solved", "max_steps": 4}
        given |= {"save_strategy": "steps", "save_steps": 2, "log_completions": False, **settings}
        columns = {"prompt": PROMPTS * 8, "solved": SOLVED * 8}
        return tiny_grpo(tmp_path / folder, taught_folder, RLSPRewards(verifier or Verifier(), []), columns, **given)

    return build


def memory_of(state):
    return state.stateful_callbacks["FrontierStarts"]


@pytest.mark.parametrize(
    ("reasoning", "answer", "prompt", "shown"),
    [
        ("a b\nc d\ne f\n", "7", "", ["a b\n", "c d\n"]),
        ("a b\n\nc d\n\nso\n", "7", "", ["a b\n\n", "c d\n\n"]),
        ("a b | c d | e f ", "7", "", ["a b | ", "c d | "]),
        ("one line alone", "7", "", []),
        ("a b\nit is 7 then\nc d\ne", "7", "", ["a b\n"]),
        ("a b\nit is 17 or 7x then\nc d\ne", "7", "", ["a b\n", "it is 17 or 7x then\n", "c d\n"]),
        ("a b\nit is 7 then\nc d", "7", "Make 7 of it.", ["a b\n", "it is 7 then\n"]),
        ("3 + 4\n( 3 + 4 ) * 2 it is\nc", "(3+4) * 2", "", ["3 + 4\n"]),
        ("plan\n```python\nprint(7)\n```\nbetter\n", "print(8)", "", ["plan\n"]),
    ],
)
def test_pieces(reasoning, answer, prompt, shown):
    assert pieces(reasoning, " | ", answer=answer, prompt=prompt) == shown


def test_the_share_follows_the_solve_rate():
    """A change is (1/2 - rate) / 2, within 0 and 1; a new problem starts at the mean of the last generation."""
    memory = empty_memory()
    assert share_of(memory, "a") == 0.5
    learn(memory, [("a", True, 0.0), ("b", True, 0.25)])  # up by a quarter, and by an eighth
    assert memory == {"typical": 0.6875, "problems": {"a": 0.75, "b": 0.625}}
    assert share_of(memory, "c") == 0.6875
    learn(memory, [("a", True, 0.0), ("a", True, 0.0), ("b", True, 0.5)])
    assert memory == {"typical": 0.8125, "problems": {"a": 1.0, "b": 0.625}}
    for _ in range(3):
        learn(memory, [("b", True, 1.0)])
    assert memory == {"typical": 0.0, "problems": {"a": 1.0, "b": 0.0}}
    learn(memory, [("a", False, 0.25), ("c", False, 0.0)])  # failing without a part changes nothing
    assert memory == {"typical": 0.0, "problems": {"a": 1.0, "b": 0.0}}
    learn(memory, [("a", False, 0.5)])
    assert memory["problems"] == {"a": 0.0, "b": 0.0}


def test_solutions_of_a_column_and_of_a_file(tmp_path):
    rows = Dataset.from_dict({"prompt": ["p", "q"], "one": ["x \\boxed{1}", None], "many": [["x", "y"], []]})
    column = Solutions("one", rows)
    assert [column.of(row) for row in rows] == [["x \\boxed{1}"], []]
    assert [Solutions("many", rows).of(row) for row in rows] == [["x", "y"], []]
    asked = [{"role": "system", "content": "Think."}, {"role": "user", "content": "1 + 2 = ?"}]
    harvested = [
        {"prompt": asked, "reasoning": "Three. \\boxed{3}", "answer": "3"},
        {"prompt": asked, "reasoning": "One more than two", "answer": "3"},
        {"prompt": [{"role": "user", "content": "other"}], "reasoning": "No", "answer": "4"},
    ]
    file = tmp_path / "harvest.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in harvested))
    rows = Dataset.from_dict({"prompt": [asked[1:], [{"role": "user", "content": "unknown"}]]})
    found = Solutions(str(file), rows)
    assert [found.of(row) for row in rows] == [["Three. \\boxed{3}", "One more than two\n\n\\boxed{3}"], []]
    with pytest.raises(ConfigError, match="no problem of the training data has a solution in"):
        Solutions(str(file), rows.select([1]))


def test_what_a_group_is_shown(build):
    verifier = Verifier()
    trainer = build(verifier)
    trainer.train()
    groups = [prompts[start : start + 4] for prompts, _ in verifier.calls if len(prompts) == 8 for start in (0, 4)]
    starts = set()
    for prompts in groups:
        assert prompts == [prompts[0]] * 4
        base = next(prompt for prompt in PROMPTS if prompts[0].startswith(prompt))
        starts.add((PROMPTS.index(base), prompts[0].removeprefix(base)))
    parts = {0: ["", "8 + 9 = 17 no | ", "8 + 9 = 17 no | 8 + 1 = 9 | "], 1: ["", "2 - 1 = 1 no | "]}
    assert starts <= {(problem, text) for problem, texts in parts.items() for text in texts}
    assert any(text for _, text in starts)
    logged = [entry for entry in trainer.state.log_history if "frontier/share" in entry]
    assert logged[0]["frontier/share"] == 0.5
    assert {entry["frontier/draft_tokens"] for entry in logged} == {0}


def test_a_wrong_solution_is_not_shown(build):
    trainer = build()
    rows = [
        {"prompt": PROMPTS[0], "solved": SOLVED[0]},
        {"prompt": PROMPTS[0], "solved": SOLVED[0].replace("{ 72 }", "{ 71 }")},
        {"prompt": PROMPTS[0], "solved": "8 + 9 = 17 no | it ends in 72"},
        {"prompt": PROMPTS[0], "solved": None},
    ]
    trainer._inputs = rows
    trainer._memory["typical"] = 1.0
    assert trainer._led(dict(enumerate(range(4)))) == {0: "8 + 9 = 17 no | 8 + 1 = 9 | "}
    trainer.max_completion_length = 13  # tokens; the first piece has 7, both 13
    assert trainer._led({0: 0}) == {0: "8 + 9 = 17 no | 8 + 1 = 9 | "}
    trainer.max_completion_length = 12
    assert trainer._led({0: 0}) == {0: "8 + 9 = 17 no | "}
    trainer._memory["typical"] = 0.0
    assert trainer._led({0: 0}) == {0: ""}


def test_vllms_context_has_room_for_prompt_prefix_and_completion(build):
    trainer = build(vllm_max_model_length=40)
    assert trainer._room() == 16  # as many as a completion
    trainer.use_vllm, trainer._longest = True, 10
    assert trainer._room() == 40 - 10 - 16
    trainer._longest = 6
    assert trainer._room() == 16


def test_half_of_the_share_is_rounded_by_chance(build):
    trainer = build()
    trainer._inputs = [{"prompt": PROMPTS[1], "solved": SOLVED[1]}]
    found = [trainer._led({group: 0})[group] for group in range(400)]
    assert set(found) == {"", "2 - 1 = 1 no | "}
    assert sum(map(bool, found)) == pytest.approx(200, abs=50)  # 5 standard deviations
    assert found == [trainer._led({group: 0})[group] for group in range(400)]


def test_solve_rates_of_a_generation_move_the_shares(build):
    trainer = build(max_steps=1, save_strategy="no")
    trainer.train()
    verdicts = trainer.reward_funcs[0].reward.calls[-1]
    expected = empty_memory()
    rates = [sum(rate_of(None, verdicts[1][start : start + 4])) / 4 for start in (0, 4)]
    learn(expected, [(*trainer._groups[group], rates[group]) for group in (0, 1)])
    assert memory_of(trainer.state) == expected
    assert len(expected["problems"]) >= 1


def plain(text):
    """Without blanks, and without the special tokens that TRL 1.14 leaves out of the prompts that it logs."""
    return "".join(text.replace("<user>", "").replace("<assistant>", "").split())


def test_what_is_logged_is_whole(build, tmp_path):
    """TRL logs the prompt without the prefix; the texts read from the log begin with it."""
    verifier = Verifier()
    build(verifier, max_steps=3, log_completions=True).train()
    found = read_completions([tmp_path / "run"])
    *_, (prompts, completions) = (call for call in verifier.calls if len(call[0]) == 8)
    last = [item for item in found if item.step == 3]
    wholes = [prompt + text for prompt, text in zip(prompts, completions, strict=True)]
    assert sorted(map(plain, (item.prompt + item.text for item in last))) == sorted(map(plain, wholes))
    assert any(prompt not in PROMPTS for calls, _ in verifier.calls if len(calls) == 8 for prompt in calls)


def test_a_resumed_run_goes_on_exactly(build, tmp_path):
    whole, cut, resumed = Verifier(), Verifier(), Verifier()
    through = build(whole, "whole")
    through.train()
    build(cut, "cut", max_steps=4).train()  # the same; its checkpoint of step 2 is resumed
    again = build(resumed, "cut")
    again.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-2"))
    saved = json.loads((tmp_path / "cut" / "checkpoint-2" / "trainer_state.json").read_text())
    assert saved["stateful_callbacks"]["FrontierStarts"]["problems"]
    assert memory_of(again.state) == memory_of(through.state)
    assert resumed.calls == whole.calls[-len(resumed.calls) :]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frontier_share": 0.0}, "frontier_solutions='solved' needs a frontier_share above 0"),
        (
            {"frontier_solutions": "sovled"},
            r"a column of the training data \(prompt, solved\) or demonstrations, got 'sov",
        ),
    ],
)
def test_settings_without_an_effect_are_refused(build, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)
