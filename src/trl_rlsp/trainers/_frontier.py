"""Groups that start from a prefix, so that some completions solve problems that are too hard so far.

The prefix becomes part of the prompt of the whole group, where it has no loss and earns no reward. It is one of two:

- where the policy gave up: it drafts one completion; while its answer is wrong, the answer is removed and the policy is
  told to continue, up to a random number of times. A correct draft is not shown, so easy problems get fewer drafts;
- the leading part of a right solution. As in AdaBack (2506.18110), each problem has a share of its own that grows after
  failure and shrinks after success. Here it moves in proportion to the distance of the solve rate from one half, where
  a group teaches most. A problem seen for the first time starts where the others stand, because in a short run most
  problems are seen once.

Starting from prefixes follows PrefixRL (2601.18795), POPE (2601.18779) and QuestA (2507.13266), continuing one's own
search Go-Explore.
"""

from __future__ import annotations

import logging
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, takewhile
from typing import Any

from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.problems import load_demonstrations, problem_key
from trl_rlsp.rewards import scorers_of
from trl_rlsp.rewards.batch import gather_ranks, group_keys, mean
from trl_rlsp.text import folded_words, kinds_of, ngrams, prompt_text, read
from trl_rlsp.trainers._fast_step import FastStep, as_reward_arguments

log = logging.getLogger(__name__)

FIRST_SHARE = 0.5  # the share shown before any group has been scored
TARGET_RATE = 0.5  # the solve rate at which the share stays as it is
SHARE_STEP = 0.5  # change of the share for each unit of distance from the target


class FrontierStarts(FastStep):
    """Mixin placed before `FastStep`; off if `frontier_share` is 0."""

    _prefixes: list[str] = []  # one for each prompt of the current generation
    _share = 0.0
    _longest = 0  # tokens of the longest prompt of the current generation
    _solutions: Solutions | None = None
    _groups: dict[int, tuple[str, bool]] = {}  # group -> its problem, and whether a part of a solution could be shown

    def _prepare_frontier(self: Any) -> None:
        """Refuse, after TRL's `__init__`, settings that cannot work."""
        self._share, source = (getattr(self.args, f"frontier_{name}", None) for name in ("share", "solutions"))
        if not self._share:
            if source:
                raise ConfigError(f"frontier_solutions={source!r} needs a frontier_share above 0, got {self._share!r}")
            return
        if not 0 <= self._share < 1 or self.args.frontier_depth < 1:
            rule = "frontier_share is at least 0 and below 1, and frontier_depth at least 1"
            raise ConfigError(f"{rule}, got {self._share!r} and {self.args.frontier_depth!r}")
        reasons = {
            "rollouts by a custom function": self.rollout_func is not None,
            "drafts from sharded weights (FSDP, DeepSpeed)": self._is_sharded and not source,
            "tools and environments": self.tools or self.environments is not None,
            "images": self._is_vlm,
            "rewards without a suite": (self._outcome_place() is None) if source else not scorers_of(self.reward_funcs),
        }
        if conflicts := [name for name, holds in reasons.items() if holds]:
            raise ConfigError(f"frontier_share={self._share} does not work with {', '.join(conflicts)}: set it to 0")
        if source:
            self._solutions = Solutions(source, self.train_dataset)

    def _tokenize_prompts(self: Any, prompts: list[Any]) -> Any:
        """TRL's method, with prefixes appended to some prompts."""
        prompt_ids, *others = super()._tokenize_prompts(prompts)  # type: ignore[misc]
        self._prefixes, self._groups = [], {}
        if self._share and self.model.training:
            self._prefixes = self._shown(prompt_ids)
            encoded = {text: self._encoded(text) for text in set(self._prefixes)}
            prompt_ids = [[*ids, *encoded[text]] for ids, text in zip(prompt_ids, self._prefixes, strict=True)]
        return prompt_ids, *others

    def _calculate_rewards(self: Any, inputs: Any, prompts: list[Any], *others: Any) -> Any:
        """TRL's method; for the rewards, a prefix is part of the prompt. The solve rates move the shares shown."""
        if self._share:  # also in evaluation, since TRL logs one table
            self._log_completion_extra("prefix", self._prefixes or [""] * len(prompts))
        if self._prefixes:
            prompts = [_with(prompt, text) for prompt, text in zip(prompts, self._prefixes, strict=True)]
        rewards = super()._calculate_rewards(inputs, prompts, *others)  # type: ignore[misc]
        if self._groups:
            size, verdicts = self.num_generations, rewards[:, self._outcome_place()].tolist()  # of all ranks
            rates = {
                group: mean(None if math.isnan(v) else v for v in verdicts[group * size : (group + 1) * size])
                for group in self._groups
            }
            learn(self._memory, [(*self._groups[group], rate) for group, rate in rates.items() if rate is not None])
        return rewards

    @property
    def _memory(self: Any) -> dict[str, Any]:
        """The shares shown; what stands here is part of each checkpoint's trainer_state.json."""
        return self.state.stateful_callbacks.setdefault(FrontierStarts.__name__, empty_memory())

    def _shown(self: Any, prompt_ids: list[list[int]]) -> list[str]:
        """The prefix that the group of each prompt of this rank starts from, `""` for none; a collective operation."""
        self._longest = max(map(len, prompt_ids))
        size, offset = self.num_generations, self.accelerator.process_index * len(prompt_ids)
        groups = [(offset + row) // size for row in range(len(prompt_ids))]
        depths = {group: self._depth(group) for group in groups}
        firsts = {(offset + row) // size: row for row in range(len(prompt_ids)) if (offset + row) % size == 0}
        chosen = {group: row for group, row in firsts.items() if depths[group]}
        tokens, problems = 0, {}
        if self._solutions:
            own, problems = self._led(chosen), self._problems(firsts)
        else:
            own, tokens = self._drafted(chosen, depths, prompt_ids)
        everything = [each for (each,) in gather_ranks([(own, tokens, len(firsts), problems)])]
        prefixes = {group: text for texts, _, _, _ in everything for group, text in texts.items()}
        self._groups = {group: (key, group in prefixes) for *_, keys in everything for group, key in keys.items()}
        drawn = sum(number for _, _, number, _ in everything)
        share = {"share": self._memory["typical"]} if self._solutions else {}
        metrics = {"draft_tokens": sum(tokens for _, tokens, _, _ in everything), **share}
        self._log_metrics("frontier", {**metrics, "groups": sum(map(bool, prefixes.values())) / drawn})
        return [prefixes.get(group, "") for group in groups]

    def _depth(self: Any, group: int) -> int:
        """How often a group's draft is continued, equal on every rank; 0 if the group gets no prefix."""
        drawn = self._random(group)
        return drawn.randint(1, self.args.frontier_depth) if drawn.random() < self._share else 0

    def _random(self: Any, *names: Any) -> random.Random:
        return random.Random(" ".join(map(str, (self.args.seed, self.state.global_step, *names))))

    def _problems(self: Any, rows: dict[int, int]) -> dict[int, str]:
        """group -> the key of its problem."""
        given = as_reward_arguments([], [self._inputs[row] for row in rows.values()]) if rows else {"prompts": []}
        return dict(zip(rows, group_keys(given["prompts"], given), strict=True))

    def _led(self: Any, rows: dict[int, int]) -> dict[int, str]:
        """group -> the leading part of a right solution of its problem; groups without one are left out."""
        known = {group: found for group, row in rows.items() if (found := self._solutions.of(self._inputs[row]))}
        draws = {group: self._random(group, "solution") for group in known}
        texts, inputs = [draws[g].choice(known[g]) for g in known], [self._inputs[rows[g]] for g in known]
        keys, found = self._problems(rows), {}
        for group, row, (answer, reasoning, score) in zip(known, inputs, self._judged(texts, inputs), strict=True):
            if answer is None or score != 1:
                continue
            joint, prompt = self.args.frontier_joint, prompt_text(row["prompt"])
            parts = pieces(reasoning, joint, answer=answer, prompt=prompt)
            lengths = accumulate(len(self._encoded(part)) for part in parts)
            most = sum(length <= self._room() for length in lengths)
            share = share_of(self._memory, keys[group])
            found[group] = "".join(parts[: int(share * most + draws[group].random())])
        return found

    def _drafted(
        self: Any, rows: dict[int, int], depths: dict[int, int], prompt_ids: list[list[int]]
    ) -> tuple[dict[int, str], int]:
        """(group -> text that the policy wrote before it gave up, tokens sampled for the drafts), one draft a group."""
        inputs, self._inputs = self._inputs, []  # so that no program is verified early
        drafts, tokens, level = dict.fromkeys(rows, ""), 0, 0
        while drawn := self._continued([[*prompt_ids[row], *self._encoded(drafts[g])] for g, row in rows.items()]):
            level += 1
            tokens += sum(map(len, drawn))
            written = self.processing_class.batch_decode(drawn, skip_special_tokens=True)[: len(rows)]
            texts = [drafts[group] + piece for group, piece in zip(rows, written, strict=True)]
            taken = self._without_wrong_answers(texts, [inputs[row] for row in rows.values()])
            going = {group: text for group, text in zip(rows, taken, strict=True) if text}
            drafts |= going
            rows = {group: rows[group] for group in going if level < depths[group]}
        self._inputs = inputs
        self._drawn_BT = None  # these were of the drafts
        return drafts, tokens

    def _continued(self: Any, asked: list[list[int]]) -> list[list[int]]:
        """A completion of each of these token ids; of a shared engine every rank asks for equally many."""
        if self._shares_engine():
            most = max((each for (each,) in gather_ranks([asked])), key=len)
            asked = [*asked, *most[len(asked) :]]
        return self._generate_single_turn(asked, None, {}, 1)[0] if asked else []

    def _shares_engine(self: Any) -> bool:
        """Whether the ranks sample from one engine, in calls that all of them make."""
        return self.use_vllm and (self.args.vllm_mode == "server" or self.args.vllm_tensor_parallel_size > 1)

    def _room(self: Any) -> int:
        """Most tokens of a prefix: those of a completion, if vLLM's context also has room for prompt and completion."""
        context = self.args.vllm_max_model_length if self.use_vllm else None
        most = self.max_completion_length
        return min(most, context - self._longest - most) if context else most

    def _without_wrong_answers(self: Any, texts: list[str], rows: list[dict[str, Any]]) -> list[str | None]:
        """Each draft up to its answer, plus `frontier_joint`; `None` for one that is right, unfinished or too long."""
        taken: list[str | None] = []
        for answer, reasoning, score in self._judged(texts, rows):
            going = reasoning.rstrip() + self.args.frontier_joint
            wrong = answer is not None and score is not None and score < 1
            fits = len(self._encoded(going)) <= self._room()
            taken.append(going if wrong and fits else None)
        return taken

    def _judged(
        self: Any, texts: list[str], rows: list[dict[str, Any]]
    ) -> Iterator[tuple[str | None, str, float | None]]:
        """For the text of a completion of each row: the answer, the reasoning that the text begins with, the score."""
        if not texts:
            return
        given, scorer = as_reward_arguments(texts, rows), scorers_of(self.reward_funcs)[0]
        end, scores = scorer.reader.end_of_thinking, scorer.verifier(**given)
        for text, score, kind in zip(texts, scores, kinds_of(given, len(texts)), strict=True):
            reading = read(text, kind, end_of_thinking=end)
            reasoning = reading.reasoning.partition(end)[0] if end else reading.reasoning
            answer = reading.answer if text.startswith(reasoning) else None
            yield answer, reasoning, getattr(score, "score", score)

    def _encoded(self: Any, text: str) -> list[int]:
        return self.processing_class(text, add_special_tokens=False)["input_ids"] if text else []


def _with(prompt: Any, text: str) -> Any:
    if not text:
        return prompt
    return prompt + text if isinstance(prompt, str) else [*prompt, {"role": "assistant", "content": text}]


class Solutions:
    """Solutions in a column of the training data (a text or several), or from a source of `load_demonstrations`."""

    def __init__(self, source: str, rows: Any) -> None:
        columns = getattr(rows, "column_names", None) or ()
        self.column = source if source in columns else None
        self.texts: dict[str, list[str]] = {}
        if self.column is not None:
            return
        try:
            demonstrations = load_demonstrations(source, style="prompt_completion", drop_invalid=True)
        except SourceError as error:
            rule = f"frontier_solutions is a column of the training data ({', '.join(columns)}) or demonstrations"
            raise ConfigError(f"{rule}, got {source!r}: {error}") from error
        for row in demonstrations:
            self.texts.setdefault(problem_key(row), []).append(row["completion"][0]["content"])
        self._report(source, rows)

    def _report(self, source: str, rows: Any) -> None:
        """Log how many of the training problems have a solution; ConfigError if none has."""
        if not hasattr(rows, "__len__"):
            return
        having = sum(problem_key({"prompt": prompt}) in self.texts for prompt in rows["prompt"])
        if not having:
            message = f"no problem of the training data has a solution in {source!r}"
            raise ConfigError(f"{message}: problems are compared by their last user message, or name a column")
        log.info("%s has solutions of %d of the %d training problems", source, having, len(rows))

    def of(self, row: Mapping[str, Any]) -> list[str]:
        """The solutions of a row of the training data, in a fixed order."""
        if self.column is None:
            return self.texts.get(problem_key({"prompt": row["prompt"]}), [])
        solutions = row.get(self.column) or []
        return [solutions] if isinstance(solutions, str) else list(solutions)


def pieces(reasoning: str, joint: str, *, answer: str, prompt: str) -> list[str]:
    r"""What may be shown of the reasoning before an answer, cut after each line and each `joint`.

    The last piece is left out, and so is everything from the first one on that states the answer (unless the prompt
    does) or opens a block of code.

    >>> pieces("8 + 9 = 17 | 8 * 9 = 72 | 72 it is", " | ", answer="72", prompt="Make it.")
    ['8 + 9 = 17 | ']
    """
    parts = re.split(rf"(?<=\n)(?!\n)|(?<={re.escape(joint)})", reasoning.rstrip())[:-1]
    hidden = folded_words(answer)
    stated = hidden in ngrams(folded_words(prompt), len(hidden))

    def allowed(piece: str) -> bool:
        return "```" not in piece and (stated or hidden not in ngrams(folded_words(piece), len(hidden)))

    return list(takewhile(allowed, parts))


def empty_memory() -> dict[str, Any]:
    """What `share_of` and `learn` remember, for JSON: the share of each problem, and the mean of the last ones."""
    return {"typical": FIRST_SHARE, "problems": {}}


def share_of(memory: Mapping[str, Any], problem: str) -> float:
    """How much is shown of a solution of a problem, from 0 to 1."""
    return memory["problems"].get(problem, memory["typical"])


def learn(memory: dict[str, Any], groups: Iterable[tuple[str, bool, float]]) -> None:
    """Move the shares by the groups of a generation: problem, whether it could be shown a part, and its solve rate.

    A problem that is solved at the target rate without being shown anything is not shown anything again, until a group
    that could be shown a part fails.
    """
    moved = {}
    for problem, led, rate in groups:
        if led:
            share = share_of(memory, problem) + SHARE_STEP * (TARGET_RATE - rate)
            moved[problem] = memory["problems"][problem] = min(max(share, 0.0), 1.0)
        elif rate >= TARGET_RATE:
            memory["problems"][problem] = 0.0
    if moved:
        memory["typical"] = sum(moved.values()) / len(moved)
