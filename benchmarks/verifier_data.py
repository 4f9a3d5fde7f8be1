"""Wrong verdicts of `OutcomeVerifier` on labeled answers that nobody wrote for it: right ones lost, wrong ones paid.

    python benchmarks/verifier_data.py [FILE ...] [--show 20] [--policy] [--only TEXT]

The files are looked for in $TRL_RLSP_DATA, then in ../shared/data beside the checkout; each is a JSON Lines file whose
rows have `gold`, `completion`, `expected` (1, 0, or null: any) and perhaps `prompt`,
`policy` (reasonable people differ), `kind`, `source`, `note`.

Targets: real outputs no wrong one paid and at most 0.5 % of right ones lost; the hard ones and peers' cases at most 5 %
lost (without policy cases).
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

NAMES = ("math", "minimal", "real_outputs", "real_hard", "peer_math", "gold_rewritten")
DATA = Path(os.environ.get("TRL_RLSP_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

THINKING_IN_PROMPT = "ATTS"
"""Source of rows whose prompts, which the files do not have in their rendered form, ended in an open `<think>`."""


class Checked(NamedTuple):
    """A row and what the verifier says about it."""

    row: dict[str, Any]
    score: float | None
    reason: str

    @property
    def policy(self) -> bool:
        """Whether reasonable people differ about the row."""
        return bool(self.row.get("policy")) or self.row.get("note", "").startswith("policy")

    @property
    def fault(self) -> str | None:
        """`lost`, `paid` or `unscored`; `None`: as expected."""
        expected = self.row["expected"]
        if expected is None or self.score == expected:
            return None
        if self.score is None:
            return "unscored"
        return "lost" if expected else "paid"


def main() -> None:
    """Print a line for each file, and the wrong verdicts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="names like real_hard, or paths; default: all")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print so many wrong verdicts of each file")
    parser.add_argument("--policy", action="store_true", help="show policy cases as well")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose id, source, kind or note has TEXT")
    parser.add_argument("--tail", type=int, default=400, help="characters of the completion that are shown")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    from trl_rlsp.rewards import OutcomeVerifier

    head = ("file", "rows", "right", "lost", "wrong", "paid", "unscored", "policy lost/paid")
    print("{:20} {:>5} {:>5} {:>12} {:>5} {:>4} {:>8} {:>16}".format(*head))
    with OutcomeVerifier(workers=options.workers, batch_seconds=3600) as verifier:
        for path in _paths(options.files):
            if not path.exists():
                print(f"{path.stem:20} not at {path}: set TRL_RLSP_DATA")
                continue
            found = list(check(path, verifier, options.only))
            print(_line(path, found))
            wrong = [c for c in found if c.fault and (options.policy or not c.policy)]
            for checked in wrong[: options.show]:
                _print(checked, options.tail)


def check(path: Path, verifier: Any, only: str = "") -> Iterator[Checked]:
    """The rows of a file with the verifier's score and reason."""
    from trl_rlsp.text import read

    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if only in f"{row['id']} {row.get('source')} {row.get('kind')} {row.get('note')}"]
    columns = {"prompts": [row.get("prompt") or "" for row in rows], "solution": [row["gold"] for row in rows]}
    completions = [row["completion"] for row in rows]
    readings = verifier.reader.read(completions, columns)
    for i in (i for i, row in enumerate(rows) if row.get("source", "").startswith(THINKING_IN_PROMPT)):
        readings[i] = read(completions[i], thinking_required=True)
    verdicts = verifier.verdicts(completions, **columns, readings=readings)
    for row, verdict in zip(rows, verdicts, strict=True):
        yield Checked(row, verdict.score, verdict.reason)


def _paths(names: list[str]) -> list[Path]:
    return [Path(n) if n.endswith(".jsonl") else DATA / f"verifier_{n}.jsonl" for n in names or NAMES]


def _line(path: Path, found: list[Checked]) -> str:
    plain = [c for c in found if not c.policy]
    faults, policy = (Counter(c.fault for c in part) for part in (plain, [c for c in found if c.policy]))
    right, wrong = (sum(c.row["expected"] == label for c in plain) for label in (1, 0))
    lost = f"{faults['lost']} ({faults['lost'] / max(right, 1):.1%})"
    share = f"{policy['lost']}/{policy['paid']} of {policy.total()}"
    name = path.stem.removeprefix("verifier_")
    return (
        f"{name:20} {len(found):5} {right:5} {lost:>12} {wrong:5} {faults['paid']:4} {faults['unscored']:8} {share:>16}"
    )


def _print(checked: Checked, tail: int) -> None:
    row = checked.row
    print(
        f"\n--- {checked.fault} ({checked.reason}) {row['id']} {row.get('source')} {row.get('kind')}: {row.get('note')}"
    )
    print(f"gold {row['gold']!r}, prompt ...{(row.get('prompt') or '')[-150:]!r}")
    print(f"...{str(row['completion'])[-tail:]}")


if __name__ == "__main__":
    main()
