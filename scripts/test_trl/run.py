"""Run the tests of a TRL source tree with TRL's trainers and with ours, and print where the results differ.

    python scripts/test_trl/run.py /path/to/trl/source [-k EXPRESSION] [--output FOLDER]

Nothing is downloaded: what the tests load from the hub is made on the spot (see `trl_stand_ins`). Differences that are
meant are in `intended.yaml`, each with its reason; any other makes the exit status 1.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import datasets
import trl_stand_ins
import yaml

HERE = Path(__file__).resolve().parent
FILES = ["tests/test_grpo_trainer.py", "tests/test_sft_trainer.py", "tests/test_rewards.py"]
ARMS = ["trl", "ours"]


def main() -> int:
    """Make the stand-ins, run both arms side by side, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="root of a checkout of TRL")
    parser.add_argument("-k", default="", metavar="EXPRESSION", help="as for pytest")
    parser.add_argument("--output", type=Path, help="where results and logs stay (default: a temporary folder)")
    given = parser.parse_args()
    tree, files = given.tree.resolve(), [given.tree.resolve() / file for file in FILES]
    missing = [str(path) for path in files if not path.exists()]
    if missing:
        parser.error(f"not a source tree of TRL: {', '.join(missing)} missing")
    with tempfile.TemporaryDirectory() as temporary:
        output = (given.output or Path(temporary)).resolve()
        output.mkdir(parents=True, exist_ok=True)
        datasets.disable_progress_bars()
        for name, why in trl_stand_ins.make_all(tree, files, Path(temporary)).items():
            print(f"no stand-in for {name}: {why}")
        running = [start(arm, tree, given.k, Path(temporary), output) for arm in ARMS]
        for process in running:
            process.wait()
        theirs, ours = (read(output / f"{arm}.jsonl") for arm in ARMS)
        if not theirs:
            print((output / "trl.log").read_text(encoding="utf-8")[-3000:])
            return 2
    intended = yaml.safe_load((HERE / "intended.yaml").read_text(encoding="utf-8")) or []
    return show(versions(tree), theirs, ours, intended)


def start(arm: str, tree: Path, expression: str, made: Path, output: Path) -> subprocess.Popen:
    """Start pytest in the tree with the plugin; the log goes to a file."""
    results = output / f"{arm}.jsonl"
    results.unlink(missing_ok=True)
    settings = {
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        "TEST_TRL_ARM": arm,
        "TEST_TRL_STAND_INS": str(made),
        "TEST_TRL_RESULTS": str(results),
        "HF_HUB_CACHE": str(made / "hub"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "plugin", "-p", "no:cacheprovider", "-m", "not slow"]
    command += ["-k", expression, f"--basetemp={made / arm}", *FILES]
    with open(output / f"{arm}.log", "w", encoding="utf-8") as log:
        return subprocess.Popen(command, cwd=tree, env=os.environ | settings, stdout=log, stderr=log)


def read(path: Path) -> dict[str, dict]:
    """Test -> its last result; a failure while cleaning up counts."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {line["test"]: line for line in map(json.loads, lines)}


def versions(tree: Path) -> str:
    """Which TRL the tests are of, and which is installed."""
    import trl

    said = tree / "VERSION"
    return f"tests of TRL {said.read_text().strip() if said.exists() else '?'}, installed TRL {trl.__version__}"


def show(title: str, theirs: dict[str, dict], ours: dict[str, dict], intended: list[dict]) -> int:
    """Print counts and differences; 1 if one of them is not intended, or an intended one is no longer there."""
    nothing = {"outcome": "not run", "reason": ""}
    pairs = {test: (theirs.get(test, nothing), ours.get(test, nothing)) for test in {**theirs, **ours}}
    counts = Counter((a["outcome"], b["outcome"]) for a, b in pairs.values())
    print(title)
    for (a, b), count in sorted(counts.items()):
        print(f"  TRL's {a}, ours {b}: {count}")
    unintended, used = 0, set()
    for test, (a, b) in sorted(pairs.items()):
        if a["outcome"] == b["outcome"]:
            continue
        reasons = [entry["reason"] for entry in intended if fnmatch.fnmatchcase(test, entry["test"])]
        used |= {entry["test"] for entry in intended if fnmatch.fnmatchcase(test, entry["test"])}
        unintended += not reasons
        print(f"{'intended' if reasons else 'DIFFERENT'}: {test}: TRL's {a['outcome']}, ours {b['outcome']}")
        print(f"    {reasons[0] if reasons else b['reason'] or a['reason']}")
    print(f"{unintended} unintended differences")
    return 1 if unintended else 0


if __name__ == "__main__":
    raise SystemExit(main())
