"""The demonstrations that a run was trained on, as rows that can be compared, and mixed with a harvest."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.stages.arguments import DemonstrationArguments
from trl_rlsp.text.completion import parse_completion

NEUTRAL_TEMPLATE = "{reasoning}\n\n\\boxed{{answer}}"
"""The template under which rows with a whole completion as their reasoning become that completion again."""


def original_rows(source: DemonstrationArguments, seed: int) -> list[dict[str, Any]]:
    """Demonstrations as an SFT stage saw them.

    Args:
        source: its data fields.
        seed: its seed, which decides the searches that were written.

    Returns:
        Rows `prompt` (text or messages), `reasoning` (the whole completion) and `answer`.
    """
    rows = []
    for row in source.load_rows(seed):
        if "messages" in row:
            prompt, completion = row["messages"][:-1], row["messages"][-1]["content"]
        else:
            prompt, completion = row["prompt"], row["completion"]
            completion = completion if isinstance(completion, str) else completion[-1]["content"]
        answer = parse_completion(completion).answer
        rows.append({"prompt": prompt, "reasoning": completion, "answer": (answer or "").strip()})
    return rows


def mixed(
    harvested: Sequence[Mapping[str, Any]], originals: Sequence[Mapping[str, Any]], share: float, seed: int
) -> list[Mapping[str, Any]]:
    """Harvested demonstrations with as many of the originals as leave them their share.

    Args:
        harvested: H rows, all of which stay.
        originals: rows to draw from, without replacement.
        share: least share of harvested rows, above 0, at most 1; 1 leaves the originals out.
        seed: of the draw.

    Returns:
        At most H / share rows, the harvested first.

    Raises:
        ConfigError: a share out of its range.

    Example:
        >>> len(mixed([{"prompt": "a"}], [{"prompt": "b"}, {"prompt": "c"}], 0.5, seed=0))
        2
    """
    if not 0 < share <= 1:
        raise ConfigError(f"harvested_share is above 0 and at most 1, got {share!r}")
    wanted = min(len(originals), int(len(harvested) * (1 - share) / share + 1e-9))
    drawn = sorted(random.Random(seed).sample(range(len(originals)), wanted))
    return [*harvested, *(originals[index] for index in drawn)]
