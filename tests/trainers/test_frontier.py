"""Groups that start from the policy's own search: what is shown, to whom, and what it costs."""

from __future__ import annotations

import pytest
from tiny_grpo import tiny_grpo

from trl_rlsp import RLSPRewards
from trl_rlsp.errors import ConfigError

PROMPT = "<user> 8 1 9 : 72 <assistant>"
WRONG = "8 + 9 = 17 no"  # what the taught model writes before its wrong answer
JOINT = " | "


class Verifier:
    """Right where the completion ends in one of `right`; keeps what it is asked about."""

    __name__ = "outcome_verifier"

    def __init__(self, *right):
        self.right, self.calls = right, []

    def __call__(self, *, prompts, completions, **_):
        self.calls.append((list(prompts), list(completions)))
        return [float(completion.endswith(self.right)) for completion in completions]


@pytest.fixture
def build(taught_folder, tmp_path):
    def build(verifier, **settings):
        given = {"frontier_share": 0.999, "frontier_depth": 2, "frontier_joint": JOINT, **settings}
        return tiny_grpo(tmp_path, taught_folder, RLSPRewards(verifier, []), {"prompt": [PROMPT] * 16}, **given)

    return build


def groups_of(calls):
    """The prompts of each group in the calls that score a generation of 8."""
    return [prompts[start : start + 4] for prompts, _ in calls if len(prompts) == 8 for start in (0, 4)]


def test_a_group_goes_on_from_the_policys_search_without_its_answer(build):
    verifier = Verifier("\\boxed{ 72 }", "yes")
    trainer = build(verifier)
    trainer.train()
    groups = groups_of(verifier.calls)
    assert len(groups) == 4
    for prompts in groups:
        shown = prompts[0].removeprefix(PROMPT)
        assert prompts == [PROMPT + shown] * 4
        pieces = [piece for piece in shown.split(JOINT) if piece]
        assert len(pieces) <= 2
        assert shown == "".join(piece + JOINT for piece in pieces)
        assert "boxed" not in shown
    assert any(WRONG in prompts[0] for prompts in groups)


def test_what_is_shown_is_in_the_prompt_and_has_no_loss(build):
    trainer = build(Verifier("\\boxed{ 72 }", "yes"))
    batches = []
    score = trainer._generate_and_score_completions

    def kept(inputs):
        batches.append(score(inputs))
        return batches[-1]

    trainer._generate_and_score_completions = kept
    trainer.train()
    decode = trainer.processing_class.batch_decode
    prompts = [text for batch in batches for text in decode(batch["prompt_ids"], skip_special_tokens=True)]
    assert any(text.endswith(f"{WRONG} |") for text in prompts)
    for batch in batches:
        assert batch["completion_mask"].shape == batch["completion_ids"].shape
        texts = decode(batch["completion_ids"], skip_special_tokens=True)
        assert all(len(text.split()) <= 16 for text in texts)


@pytest.mark.parametrize("verifier", [Verifier("", " "), lambda completions, **_: [None] * len(completions)])
def test_nothing_is_shown_where_the_draft_is_right_or_not_scorable(build, verifier):
    trainer = build(verifier)
    trainer.train()
    assert [entry["frontier/groups"] for entry in trainer.state.log_history[:2]] == [0, 0]
    assert set(trainer._prefixes) == {""}


def test_the_tokens_of_the_drafts_are_counted(build):
    verifier = Verifier("\\boxed{ 72 }", "yes")
    trainer = build(verifier)
    trainer.train()
    drafts = [text for prompts, completions in verifier.calls if len(prompts) < 8 for text in completions]
    first = trainer.state.log_history[0]
    assert drafts
    assert 0 < first["frontier/draft_tokens"] <= 2 * 2 * 16  # 2 groups, 2 levels, 16 tokens at most
    assert first["frontier/groups"] in (0, 0.5, 1)


def test_a_share_of_the_groups_is_never_shown_anything(build):
    trainer = build(Verifier("72"), frontier_share=0.5, frontier_depth=3)
    depths = [trainer._depth(group) for group in range(2000)]
    assert depths == [trainer._depth(group) for group in range(2000)]  # so it is after resuming, and on every rank
    assert sum(map(bool, depths)) == pytest.approx(1000, abs=120)  # more than 5 standard deviations
    assert set(depths) == {0, 1, 2, 3}
    trainer.state.global_step = 1
    assert depths != [trainer._depth(group) for group in range(2000)]


def test_off_by_default(build):
    verifier = Verifier("72")
    trainer = build(verifier, frontier_share=0.0)
    trainer.train()
    assert {prompt for prompts, _ in verifier.calls for prompt in prompts} == {PROMPT}
    assert "frontier/groups" not in trainer.state.log_history[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frontier_share": 1.0}, "below 1, and frontier_depth at least 1, got 1.0 and 2"),
        ({"frontier_depth": 0}, "got 0.999 and 0"),
    ],
)
def test_what_cannot_work_is_refused(build, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(Verifier("72"), **settings)


def test_a_suite_is_needed(build, monkeypatch):
    monkeypatch.setattr("trl_rlsp.trainers._frontier.scorers_of", lambda _: [])
    with pytest.raises(ConfigError, match=r"frontier_share=0\.999 does not work with rewards without a suite"):
        build(Verifier("72"))


def test_a_conversation_gets_an_assistant_turn():
    from trl_rlsp.trainers._frontier import _with

    prompt = [{"role": "user", "content": "8 1 9 : 72"}]
    assert _with(prompt, "8 + 9 |") == [*prompt, {"role": "assistant", "content": "8 + 9 |"}]
    assert _with(prompt, "") is prompt
    assert _with("8 1 9 : 72 ", "8 + 9 |") == "8 1 9 : 72 8 + 9 |"


def test_the_end_of_thinking_is_taken_off_too(build):
    trainer = build(Verifier("yes"))
    texts = ["<think> 8 + 9 = 17 </think> \\boxed{ 17 }", "8 + 9 = 17 no \\boxed{ 17 }", "8 + 9 = 17"]
    taken = trainer._without_wrong_answers(texts, [{"prompt": PROMPT}] * 3)
    assert taken == ["<think> 8 + 9 = 17 | ", "8 + 9 = 17 no | ", None]
