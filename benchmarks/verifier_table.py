"""Our verdicts beside those of TRL's `accuracy_reward` on every case of the test corpus; writes the table in
docs/verifier.md: how often each is wrong, and the cases on which the two differ.

    python benchmarks/verifier_table.py            # minutes: TRL hangs on some of them
    python benchmarks/verifier_table.py --print    # to the terminal only

TRL's reward runs in a process of its own, on that process's main thread with its timeouts on, one case at a time; a
case that kills the process or does not return within 30 s is noted as such, and the rest goes on in a new process.
"""

from __future__ import annotations

import argparse
import json
import resource
import selectors
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
DOCUMENT = ROOT / "docs" / "verifier.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
PATIENCE = 30.0  # seconds TRL may take for one case
MEMORY = 4 << 30  # bytes of address space for TRL's process

Case = dict[str, Any]


def main() -> None:
    """Judge all cases by both, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the table instead of writing it")
    parser.add_argument("--serve-trl", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_trl:
        serve_trl()
        return
    cases = all_cases()
    text = render(cases, judge_ours(cases), judge_trl(cases))
    if options.print:
        print(text)
        return
    head, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def all_cases() -> list[Case]:
    """Every case of the corpus: name, gold, completion, expected score (absent where only returning counts)."""
    cases = []
    for number, row in enumerate(_lines("verifier_forms.jsonl")):
        cases.append(row | {"name": f"forms-{number:03}"})
    for row in _lines("verifier_math.jsonl") + _lines("verifier_minimal.jsonl"):
        cases.append({key: value for key, value in row.items() if value is not None} | {"name": row["id"]})
    for row in json.loads((DATA / "verifier_formats.json").read_text()):
        case = {"gold": row["gold"], "completion": row["completions"][0], "expected": row["expected"]}
        cases.append(case | {"name": row["name"], "as_it_is": True})
    for row in _lines("verifier_stress.jsonl"):
        cases.append({"name": row["name"], "gold": row["gold"], "completion": row["completion"]})
    return cases


def _lines(name: str) -> list[Case]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def judge_ours(cases: list[Case]) -> list[tuple[str, float]]:
    """(verdict, seconds) of this package for each case, checked one by one."""
    from trl_rlsp.rewards import OutcomeVerifier

    judged = []
    with OutcomeVerifier() as verifier:
        verifier.verdicts([r"\boxed{x+x}"], solution=["2x"])
        for case in cases:
            started = time.perf_counter()
            verdict = verifier.verdicts([case["completion"]], solution=[case["gold"]])[0]
            judged.append((f"{_score(verdict.score)} {verdict.reason}", time.perf_counter() - started))
    return judged


def judge_trl(cases: list[Case]) -> list[tuple[str, float]]:
    """(verdict, seconds) of TRL's `accuracy_reward` for each case, whatever happens to its process."""
    judged: list[tuple[str, float]] = []
    while len(judged) < len(cases):
        server = subprocess.Popen(
            [sys.executable, __file__, "--serve-trl"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            while len(judged) < len(cases):
                judged.append(ask(server, cases[len(judged)]))
                if judged[-1][0] in ("hangs", "process dies"):
                    break
        finally:
            server.kill()
            server.wait()
    return judged


def ask(server: subprocess.Popen[bytes], case: Case) -> tuple[str, float]:
    """One case's verdict from a serving process."""
    assert server.stdin is not None
    assert server.stdout is not None
    started = time.perf_counter()
    try:
        completion = case["completion"]
        if isinstance(completion, str) and not case.get("as_it_is"):  # plain strings are a case of their own
            completion = [{"role": "assistant", "content": completion}]
        server.stdin.write(json.dumps([completion, case["gold"]]).encode() + b"\n")
        server.stdin.flush()
    except BrokenPipeError:
        return "process dies", 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(server.stdout, selectors.EVENT_READ)
        answered = selector.select(PATIENCE)
    seconds = time.perf_counter() - started
    if not answered:
        return "hangs", seconds
    line = server.stdout.readline()
    return (json.loads(line), seconds) if line else ("process dies", seconds)


def serve_trl() -> None:
    """Read cases, write TRL's verdicts."""
    from trl.rewards import accuracy_reward

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    accuracy_reward([[{"role": "assistant", "content": r"$\boxed{x}$"}]], ["$x$"])
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        completion, gold = json.loads(line)
        try:
            verdict = _score(accuracy_reward([completion], [gold])[0])
        except Exception as error:  # what a run would end with is what the table shows
            verdict = f"raises {type(error).__name__}"
        print(json.dumps(verdict), file=answers, flush=True)


def _score(score: float | None) -> str:
    return "None" if score is None else f"{score:g}"


def render(cases: list[Case], ours: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> str:
    """The summary and the table, in Markdown."""
    rows = []
    for case, (our, our_seconds), (their, their_seconds) in zip(cases, ours, theirs, strict=True):
        if our.split()[0] == their:
            continue
        expected = f"{case['expected']:g}{'*' if case.get('policy') else ''}" if "expected" in case else ""
        cells = [case["name"], _code(case["gold"]), _code(case["completion"]), expected]
        cells += [_timed(our, our_seconds), _timed(their, their_seconds)]
        rows.append("| " + " | ".join(cells) + " |")
    head = "| case | gold | completion | expected | ours | TRL |\n|---|---|---|---|---|---|"
    return "\n".join([summary(cases, ours, theirs), "", head, *rows])


def summary(cases: list[Case], ours: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> str:
    """How often each is wrong, and how long each took."""
    lines = ["| | ours | TRL |", "|---|---|---|"]
    counts = [_count(cases, judged) for judged in (ours, theirs)]
    lines += [f"| {name} | {counts[0][name]} | {counts[1][name]} |" for name in counts[0]]
    return "\n".join(lines)


def _count(cases: list[Case], judged: list[tuple[str, float]]) -> dict[str, int | str]:
    tally: Counter[str] = Counter()
    for case, (verdict, _) in zip(cases, judged, strict=True):
        expected = case.get("expected")
        if expected is not None and not case.get("policy"):
            tally["right" if expected else "wrong"] += 1
            accepted = verdict.split()[0] == "1"
            tally["false positive"] += accepted and not expected
            tally["false negative"] += bool(expected and not accepted)
    return {
        "wrong completions scored 1 (cases without *)": f"{tally['false positive']} of {tally['wrong']}",
        "right completions not scored 1": f"{tally['false negative']} of {tally['right']}",
        "raises": sum(verdict.startswith("raises") for verdict, _ in judged),
        "process dies or never returns": sum(verdict in ("hangs", "process dies") for verdict, _ in judged),
        "takes over 2.5 s": sum(seconds > 2.5 for _, seconds in judged),
        "slowest, s": f"{max(seconds for _, seconds in judged):.1f}",
    }


def _timed(verdict: str, seconds: float) -> str:
    return f"{verdict}, {seconds:.1f} s" if seconds >= 1 else verdict


def _code(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    text = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
    text = text if len(text) <= 70 else f"{text[:45]} … {text[-20:]}"
    return (
        f"<code>{text.replace('&', '&amp;').replace('<', '&lt;').replace('|', '&#124;').replace('*', '&#42;')}</code>"
    )


if __name__ == "__main__":
    main()
