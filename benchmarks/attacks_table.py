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

Written by `python benchmarks/attacks_table.py` from `tests/data/attacks.jsonl`; `tests/rewards/test_attacks.py` holds
every line to it. Each attack is made from an honest, right completion and scored in the same group, beside the same
two wrong completions. A cell is *honest -> attack*; the last column is the whole reward `R / alpha` with all of these
exploration rewards, alpha = 0.8 and `gate="adaptive"`. The constants are small, to suit short texts:
{rewards}.

{closed} of {count} attacks gain nothing from any of these rewards. **Open** marks the others.
"""

OUTRO = """
## What is open, and why

Length cannot tell new text from new *reasoning*: fresh words in the problem's own script, or fresh calculations, count
whatever they are about. No count of words closes this. What limits the gain: the bounded form saturates; with
alpha > 0.5 no amount of it makes a wrong completion outrank a right one of its group; `gate="adaptive"` pays it only
as far as the group fails, and charges for every word written where it succeeds. What one of these rewards leaves open
here, the others do not pay for, so together they pay a share; a judge reads what was written.

Calculations count where they hold and start from the problem's numbers or from results of such; a chain of sums that
leads nowhere passes. It has to be true, and each must be new, so it costs more than filler does.

Words of the problem with hyphens or signs between them are new words to a counter: three words each, at most, and the
saturation holds. A loop that changes more than a number in each round is open in the same way.

Behaviour counts cues by where they stand, so a few in a new order on lines of their own can count, up to its cap.

Foreign scripts are recognized by the problem's letters; with a problem that has none (`8 1 9 : 72`) every script
counts.
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
