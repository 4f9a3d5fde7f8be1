"""Groups that start where the policy gave up, so that some completions solve problems that are too hard so far.

For a share of the groups the policy drafts one completion. While its answer is wrong, the answer is removed and the
policy is told to continue, up to a random number of times. The draft becomes part of the prompt of the whole group,
where it has no loss and earns no reward. A correct draft is not shown, so easy problems get fewer drafts.
Starting from prefixes follows PrefixRL (2601.18795) and POPE (2601.18779), continuing one's own search Go-Explore.
"""

from __future__ import annotations

import random
from typing import Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards import scorers_of
from trl_rlsp.rewards.batch import gather_ranks
from trl_rlsp.text import kinds_of, read
from trl_rlsp.trainers._fast_step import FastStep, as_reward_arguments


class FrontierStarts(FastStep):
    """Mixin placed before `FastStep`; off if `frontier_share` is 0."""

    _prefixes: list[str] = []  # one for each prompt of the current generation
    _share = 0.0

    def _prepare_frontier(self: Any) -> None:
        """Refuse, after TRL's `__init__`, settings that cannot work."""
        self._share = getattr(self.args, "frontier_share", 0.0)
        if not self._share:
            return
        if not 0 <= self._share < 1 or self.args.frontier_depth < 1:
            rule = "frontier_share is at least 0 and below 1, and frontier_depth at least 1"
            raise ConfigError(f"{rule}, got {self._share!r} and {self.args.frontier_depth!r}")
        reasons = {
            "rollouts by vLLM or by a custom function": self.use_vllm or self.rollout_func is not None,
            "sharded weights (FSDP, DeepSpeed)": self.is_fsdp_enabled or self.is_deepspeed_enabled,
            "tools and environments": self.tools or self.environments is not None,
            "images": self._is_vlm,
            "rewards without a suite": not scorers_of(self.reward_funcs),
        }
        if found := [name for name, holds in reasons.items() if holds]:
            raise ConfigError(f"frontier_share={self._share} does not work with {', '.join(found)}: set it to 0")

    def _tokenize_prompts(self: Any, prompts: list[Any]) -> Any:
        """TRL's method, with drafts appended to some prompts."""
        prompt_ids, *others = super()._tokenize_prompts(prompts)  # type: ignore[misc]
        self._prefixes = []
        if self._share and self.model.training:
            self._prefixes = self._shown(prompt_ids)
            encoded = {text: self._encoded(text) for text in set(self._prefixes)}
            prompt_ids = [[*ids, *encoded[text]] for ids, text in zip(prompt_ids, self._prefixes, strict=True)]
        return prompt_ids, *others

    def _calculate_rewards(self: Any, inputs: Any, prompts: list[Any], *others: Any) -> Any:
        """TRL's method; for the rewards, a draft is part of the prompt."""
        if self._prefixes:
            prompts = [_with(prompt, text) for prompt, text in zip(prompts, self._prefixes, strict=True)]
        return super()._calculate_rewards(inputs, prompts, *others)  # type: ignore[misc]

    def _shown(self: Any, prompt_ids: list[list[int]]) -> list[str]:
        """The draft that the group of each prompt of this rank starts from, `""` for none; a collective operation."""
        size, offset = self.num_generations, self.accelerator.process_index * len(prompt_ids)
        groups = [(offset + row) // size for row in range(len(prompt_ids))]
        depths = {group: self._depth(group) for group in groups}
        firsts = {(offset + row) // size: row for row in range(len(prompt_ids)) if (offset + row) % size == 0}
        drafted, tokens = self._drafted({g: row for g, row in firsts.items() if depths[g]}, depths, prompt_ids)
        _, ranks = gather_ranks([(drafted, tokens, len(firsts))])
        everything = [each for rank in ranks for each in rank]
        found = {group: text for texts, _, _ in everything for group, text in texts.items()}
        counts = {
            "draft_tokens": sum(tokens for _, tokens, _ in everything),
            "groups": sum(map(bool, found.values())) / sum(number for _, _, number in everything),
        }
        for name, value in counts.items():
            self._metrics["train"][f"frontier/{name}"].append(float(value))
        return [found.get(group, "") for group in groups]

    def _depth(self: Any, group: int) -> int:
        """How often a group's draft is continued, equal on every rank; 0 if the group gets no draft."""
        drawn = random.Random(f"{self.args.seed} {self.state.global_step} {group}")
        return drawn.randint(1, self.args.frontier_depth) if drawn.random() < self._share else 0

    def _drafted(
        self: Any, rows: dict[int, int], depths: dict[int, int], prompt_ids: list[list[int]]
    ) -> tuple[dict[int, str], int]:
        """(group -> text that the policy wrote before it gave up, tokens sampled for the drafts), one draft a group."""
        inputs, self._inputs = self._inputs, []  # so that no program is verified early
        found, tokens, level = dict.fromkeys(rows, ""), 0, 0
        while rows := {group: row for group, row in rows.items() if level < depths[group]}:
            level += 1
            asked = [[*prompt_ids[row], *self._encoded(found[group])] for group, row in rows.items()]
            drawn, _ = self._generate_single_turn(asked, None, {}, 1)
            tokens += sum(map(len, drawn))
            pieces = self.processing_class.batch_decode(drawn, skip_special_tokens=True)
            texts = [found[group] + piece for group, piece in zip(rows, pieces, strict=True)]
            taken = self._without_wrong_answers(texts, [inputs[row] for row in rows.values()])
            going = {group: text for group, text in zip(rows, taken, strict=True) if text}
            found |= going
            rows = {group: rows[group] for group in going}
        self._inputs = inputs
        self._drawn_BT = None  # these were of the drafts
        return found, tokens

    def _without_wrong_answers(self: Any, texts: list[str], rows: list[dict[str, Any]]) -> list[str | None]:
        """Each draft up to its answer, plus `frontier_joint`; `None` for one that is right, unfinished or too long."""
        given, scorer = as_reward_arguments(texts, rows), scorers_of(self.reward_funcs)[0]
        scores = scorer.verifier(**given)
        end, taken = scorer.reader.end_of_thinking, []
        for text, score, kind in zip(texts, scores, kinds_of(given, len(texts)), strict=True):
            reading = read(text, kind, end_of_thinking=end)
            reasoning = reading.reasoning.partition(end)[0] if end else reading.reasoning
            going = reasoning.rstrip() + self.args.frontier_joint
            value = getattr(score, "score", score)
            wrong = reading.finished and value is not None and value < 1
            fits = len(self._encoded(going)) <= self.max_completion_length
            taken.append(going if wrong and fits and text.startswith(reasoning) else None)
        return taken

    def _encoded(self: Any, text: str) -> list[int]:
        return self.processing_class(text, add_special_tokens=False)["input_ids"] if text else []


def _with(prompt: Any, text: str) -> Any:
    if not text:
        return prompt
    return prompt + text if isinstance(prompt, str) else [*prompt, {"role": "assistant", "content": text}]
