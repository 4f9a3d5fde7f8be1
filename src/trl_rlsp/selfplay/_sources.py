"""What surrounds a harvest: the recorded data of its run, what it must not contain, what it is mixed with.

Every stage leaves `settings.json` in its folder, with paths that do not depend on the current folder; `rlsp eval`
leaves its settings in `metrics.json`. Both are read back here as the dataclasses of `trl_rlsp.stages.arguments`.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.files import read_json
from trl_rlsp.problems import problem_key
from trl_rlsp.runs import question
from trl_rlsp.stages import DemonstrationArguments, ProblemArguments, parse_stage, read_record, settings_of
from trl_rlsp.text import Gram, folded_words, ngrams, read, share_in

if TYPE_CHECKING:
    from trl_rlsp.evaluation import Band

NEUTRAL_TEMPLATE = "{reasoning}\n\n\\boxed{{answer}}"
"""The template under which rows with a whole completion as their reasoning become that completion again."""

NGRAM = 8
"""Words of an n-gram, as in the decontamination of Tülu 3 (2411.15124, section 3.2)."""

OVERLAP = 0.5
"""Share of n-grams above which two problems are taken for the same."""

Source = TypeVar("Source", bound=ProblemArguments)


def source_from(kind: type[Source], settings: Mapping[str, Any], given: Sequence[str] = ()) -> Source:
    """The fields of `kind` among the settings of a stage and the arguments `given`, which win.

    Raises:
        ConfigError: an argument that is no field of `kind`, or a value of the wrong kind.
    """
    names = {field.name for field in dataclasses.fields(kind)}
    own = {name: value for name, value in settings.items() if name in names and value is not None}
    arguments = [f"--{name}={json.dumps(v) if isinstance(v, Mapping) else v}" for name, v in own.items()]
    parsed: Source = parse_stage((kind,), [*arguments, *given], "rlsp harvest")[0]
    return parsed


def _recorded(folder: Path) -> dict[str, Any] | None:
    """The settings that a stage was started with, `None` if it left none."""
    try:
        record = read_record(folder)
    except DataError as error:
        raise DataError(f"{error}; give the data set with --dataset") from error
    return record["settings"] if record else None


def _evaluated(folder: Path) -> dict[str, Any] | None:
    """The settings of an evaluation, with what a preset stands for; `None` if it left none."""
    path = folder / "metrics.json"
    if not path.is_file():
        return None
    try:
        return dict(read_json(path)["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read: give the data set with --dataset ({error!r})") from error


def problem_source(folder: Path, given: Sequence[str] = (), config: str | None = None) -> ProblemArguments | None:
    """The data set that the completions in `folder` were sampled for; `None` if neither run nor caller names one.

    Args:
        folder: of an RL stage, or of an evaluation.
        given: arguments such as `--dataset SOURCE`, which win.
        config: a YAML file to read instead of what the run wrote down.
    """
    if any(argument.partition("=")[0] == "--dataset" for argument in given):
        return source_from(ProblemArguments, {}, given)
    settings = settings_of(["--config", config]) if config else _recorded(folder) or _evaluated(folder) or {}
    source = source_from(ProblemArguments, settings, given)
    return source if source.dataset else None


def demonstration_source(stage: Path) -> tuple[DemonstrationArguments, int] | None:
    """What the SFT stage beside an RL stage was trained on, and its seed; `None` if there is none."""
    settings = _recorded(stage.parent / "sft")
    return (source_from(DemonstrationArguments, settings), int(settings.get("seed", 0))) if settings else None


def evaluation_sources(stage: Path) -> list[ProblemArguments]:
    """The data sets that the evaluations beside an RL stage used, each once."""
    found = [_evaluated(folder) or _recorded(folder) for folder in sorted(stage.parent.glob("eval_*"))]
    sources = [source_from(ProblemArguments, settings) for settings in found if settings is not None]
    return [source for index, source in enumerate(sources) if source not in sources[:index]]


def held_out_source(name: str, style: str) -> ProblemArguments:
    """An evaluation set by its name, `SOURCE` or `SOURCE@SPLIT`; `style` renders generated problems."""
    source, _, split = name.partition("@")
    if not source:
        raise ConfigError(f"--exclude wants a source or SOURCE@SPLIT, got {name!r}")
    style = style if source.startswith("reasoning_gym:") else "task"
    return ProblemArguments(dataset=source, dataset_split=split or None, prompt_style=style)


def trained_on(source: DemonstrationArguments, seed: int) -> list[dict[str, Any]]:
    """Demonstrations as an SFT stage with this seed saw them: `prompt`, `reasoning` (the completion) and `answer`."""
    rows = []
    for row in source.load_rows(seed):
        if "messages" in row:
            prompt, completion = row["messages"][:-1], row["messages"][-1:]
        else:
            prompt, completion = row["prompt"], row["completion"]
        text = completion if isinstance(completion, str) else completion[-1]["content"]
        rows.append({"prompt": prompt, "reasoning": text, "answer": (read(text).answer or "").strip()})
    return rows


class HeldOut:
    """The problems of the evaluation sets, rows of `load_problems`.

    A problem is one of them if it is the same by `problem_key` or as a text without case and blanks, or if one of the
    two shares more than half of its n-grams of 8 words with the other, where both are texts that somebody wrote.
    Generated problems come from one template and are compared by identity alone.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.keys: set[str] = set()
        self.sizes: list[int] = []
        self.where: dict[Gram, list[int]] = {}
        for row in rows:
            keys, grams = _keys_and_grams(row)
            self.keys |= keys
            for gram in grams:
                self.where.setdefault(gram, []).append(len(self.sizes))
            self.sizes.append(len(grams))

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a problem (`prompt`, and `task` where it is generated) is one of them, or close to one."""
        keys, grams = _keys_and_grams(row)
        shared = Counter(number for gram in grams for number in self.where.get(gram, ()))
        close = (count / min(len(grams), self.sizes[number]) > OVERLAP for number, count in shared.items())
        return bool(keys & self.keys) or any(close)


def _keys_and_grams(row: Mapping[str, Any]) -> tuple[set[str], frozenset[Gram]]:
    words = folded_words(question(row["prompt"]))
    return {problem_key(row), " ".join(words)}, frozenset() if row.get("task") else ngrams(words, NGRAM)


class Demonstrated:
    """The demonstrations of a run, and what is new against them.

    A trace is known if one of them has the same text (without case and blanks), or if one for the same problem has more
    than `1 - novelty` of its n-grams of 8 words; with a novelty of 0 n-grams do not count.

    Args:
        rows: `prompt` (text or messages) and `reasoning` (the completion) of each.
        novelty: 0 to 1.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]], *, novelty: float = 0.2) -> None:
        if not 0 <= novelty <= 1:
            raise ConfigError(f"novelty is a share between 0 and 1, got {novelty!r}")
        self.novelty = novelty
        self.texts: set[Gram] = set()
        self.by_problem: dict[str, list[Gram]] = {}
        for row in rows:
            reasoning = folded_words(read(row["reasoning"]).reasoning)
            self.texts.add(reasoning)
            self.by_problem.setdefault(question(row["prompt"]), []).append(reasoning)

    def known(self, prompt: Any, reasoning: str) -> str | None:
        """Why a trace, what stands before its answer, is not new for a prompt (text or messages); `None` if it is."""
        sequence = folded_words(reasoning)
        if sequence in self.texts:
            return "same text as a demonstration"
        grams = ngrams(sequence, NGRAM)
        others = self.by_problem.get(question(prompt), [])
        overlap = max((share_in(grams, ngrams(other, NGRAM)) for other in others), default=0.0)
        return "close to a demonstration" if self.novelty > 0 and overlap > 1 - self.novelty else None


def mixed(
    harvested: Sequence[Mapping[str, Any]], originals: Sequence[Mapping[str, Any]], share: float, seed: int
) -> list[Mapping[str, Any]]:
    """Harvested demonstrations, then as many of the originals, drawn with a seed, as leave them their share.

    Example:
        >>> len(mixed([{"prompt": "a"}], [{"prompt": "b"}, {"prompt": "c"}], 0.5, seed=0))
        2
    """
    if not 0 < share <= 1:
        raise ConfigError(f"harvested_share is above 0 and at most 1, got {share!r}")
    wanted = min(len(originals), int(len(harvested) * (1 - share) / share + 1e-9))
    drawn = sorted(random.Random(seed).sample(range(len(originals)), wanted))
    return [*harvested, *(originals[index] for index in drawn)]


def next_problems(
    problems: Iterable[Mapping[str, Any]], rates: Mapping[str, float], band: Band, held_out: HeldOut
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Choose the problems of a round: those whose solve rate lies in the band, and those that RL has not seen.

    Args:
        problems: of the round before, rows of `load_problems`.
        rates: solve rates of the round before, by `problem_key`.
        band: of solve rates that stay.
        held_out: the problems of the evaluation sets, which never get in.

    Returns:
        Rows of a file that `load_problems` reads back, and how many are retained, unseen, left out.

    Raises:
        DataError: none is left, or problems whose outcome is a program, of which there are no demonstrations.
    """
    chosen: dict[str, Mapping[str, Any]] = {}
    left_out = set()
    for row in problems:
        key = problem_key(row)
        if key in rates and rates[key] not in band:
            left_out.add(key)
        elif key in rates or not held_out.has(row):
            chosen.setdefault(key, row)
    if not chosen:
        raise DataError(
            f"no problem is left for the next round: {len(left_out)} have a solve rate outside {band.low} to "
            f"{band.high}, and RL has seen every other one; widen the band, or take a larger source"
        )
    retained = sum(key in rates for key in chosen)
    counts = {"retained": retained, "unseen": len(chosen) - retained, "left_out": len(left_out)}
    return [_stored(row) for row in chosen.values()], {f"problems_{name}": count for name, count in counts.items()}


def _stored(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `load_problems` as a line of a file that `load_problems` reads back."""
    if row.get("tests") is not None:
        raise DataError("rounds of self-play need final answers; the outcome of this problem is a program with tests")
    return {
        "problem": row["prompt"],
        "answer": row["solution"] or "unknown",  # some tasks give none; their scorer decides
        **{name: row[name] for name in ("task", "level", "subject", "id") if row.get(name) is not None},
    }
