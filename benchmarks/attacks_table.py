"""Write docs/attacks.md: what every attack of tests/data/attacks.jsonl earns beside its honest completion.

    python benchmarks/attacks_table.py

With the rewards of tests/rewards/exploration_cases.py, in the group that the attack's row describes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trl_rlsp import OutcomeVerifier, RLSPRewards

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "rewards"))

INTRODUCTION = """# Attacks on exploration rewards

Written by `python benchmarks/attacks_table.py` from `tests/data/attacks.jsonl`; `tests/rewards/test_attacks.py` checks
every row. Each attack modifies an honest, right completion and is scored in the same group, together with the same two
wrong completions. A cell is *honest -> attack*; the last column is the whole reward `R / alpha` with all of these
exploration rewards, alpha = 0.8 and `gate="adaptive"`. The constants are small because the texts are short:
{rewards}.

{closed} of {count} attacks gain nothing from any of these rewards. **Open** marks the others.
"""

OUTRO = """
## What is open, and why

Length cannot distinguish new text from new *reasoning*: new words in the problem's own script, or new calculations,
count regardless of their meaning. No word count can prevent this. Three things limit the gain. The bounded form
saturates. With alpha > 0.5, a wrong completion never outranks a right one of its group. `gate="adaptive"` pays length
only as far as the group fails, and charges for every word where it succeeds. An attack that is open for one of these
rewards is mostly not paid by the others, so together they pay only a share; a judge reads the text itself.

Calculations count if they are correct and start from the problem's numbers or from earlier results, so a chain of
pointless sums counts. Each sum must be correct and new, so this attack costs more than filler.

Words of the problem with hyphens or other marks between them count as new words, at most three each, and the bounded
form still saturates. A loop that changes more than a number in each iteration is open in the same way.

The behavior reward counts cues by their position, so a few cues in a new order on separate lines can count, up to its
cap.

Foreign scripts are recognized by comparison with the problem's letters. If a problem has no letters (`8 1 9 : 72`),
every script counts.
"""

Score = Callable[..., Sequence[float | None]]


def in_group(score: Score, attack: dict[str, Any], which: str) -> float:
    """What `score` gives the honest completion or the attack in its group."""
    completions = [*attack["others"], attack[which]]
    count = len(completions)
    columns = {"prompts": [attack["prompt"]] * count, "solution": [attack["solution"]] * count}
    value = score(completions=completions, **columns)[-1]
    assert value is not None, f"{attack['name']}: not scorable"
    return value


def cell(score: Score, attack: dict[str, Any]) -> str:
    """Honest -> attack, marked where the attack gains."""
    honest, attacked = in_group(score, attack, "honest"), in_group(score, attack, "attack")
    shown = f"{honest:.3f} -> {attacked:.3f}"
    return f"{shown} **open**" if attacked > honest + 1e-12 else shown


def main() -> None:
    """Write the table."""
    from exploration_cases import BOUNDED

    lines = (ROOT / "tests/data/attacks.jsonl").read_text(encoding="utf-8").splitlines()
    attacks = [json.loads(line) for line in lines]
    names = [reward.__name__.removesuffix("_exploration") for reward in BOUNDED]
    rows = [f"| kind | attack | what it tries | {' | '.join(names)} | reward |", "|---" * (len(names) + 4) + "|"]
    with OutcomeVerifier() as verifier:
        suite = RLSPRewards(verifier, BOUNDED, gate="adaptive")
        for attack in attacks:
            cells = [cell(score, attack) for score in (*BOUNDED, suite)]
            rows.append(f"| {attack['kind']} | {attack['name']} | {attack['tries']} | {' | '.join(cells)} |")
    closed = sum("**open**" not in row for row in rows[2:])
    introduction = INTRODUCTION.format(
        rewards=",\n".join(f"`{reward!r}`" for reward in BOUNDED), closed=closed, count=len(attacks)
    )
    page = ROOT / "docs/attacks.md"
    _, heading, measured = page.read_text(encoding="utf-8").partition("\n## By training")  # written by hand
    page.write_text("\n".join([introduction, *rows, OUTRO]) + heading + measured, encoding="utf-8")


if __name__ == "__main__":
    main()
