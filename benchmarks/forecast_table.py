"""Write the table of docs/forecast.md: forecasts of the end of each committed run of experiments/, and their misses.

python benchmarks/forecast_table.py            # seconds
python benchmarks/forecast_table.py --print    # to the terminal only
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from trl_rlsp.runs import Forecast, forecast

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "forecast.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
RESULTS = ("countdown/results*.json", "equations/results*.json", "jugs/results*.json")
SHARES = (0.25, 0.5, 0.75)
Found = dict[str, Forecast]  # by the name of the run


def runs() -> Iterator[tuple[str, list[float], list[float]]]:
    """Name, tokens and solve rates of each trained run; RL of an arm with and without a stage after it counts once."""
    seen = set()
    for path in sorted(path for pattern in RESULTS for path in (ROOT / "experiments").glob(pattern)):
        grid = path.parent.name + path.stem.removeprefix("results").replace("_", " ", 1).replace("_", " ")
        for run in json.loads(path.read_text(encoding="utf-8"))["runs"]:
            curve = run["curve"]
            pairs = zip(curve.get("tokens", ()), curve.get("accuracy", ()), strict=True)
            known = tuple(pair for pair in pairs if None not in pair)
            if known and known not in seen:
                seen.add(known)
                yield f"{grid}, `{run['arm']}`, {run['seed']}", *map(list, zip(*known, strict=True))


def absolute(misses: Sequence[float | None]) -> str:
    """Mean absolute miss in points."""
    known = [abs(miss) for miss in misses if miss is not None]
    return f"{100 * fmean(known):.1f}" if known else ""


def summary(found: dict[str, Found]) -> Iterator[str]:
    """For each rule: the runs with a forecast, why the others have none, and the misses in points."""
    names = ["fitted to", "runs", "with a forecast", "no rise", "not determined", "too few points"]
    names += ["forecast misses by", "staying, same runs", "staying, all runs", "actual in the interval"]
    yield f"| {' | '.join(names)} |"
    yield "|---|" + "---:|" * 9
    for rule, of_run in found.items():
        given = [one for one in of_run.values() if one.forecast]
        reasons = [
            sum(word in one.reason for one in of_run.values()) for word in ("no rise", "not determined", "needs")
        ]
        held = sum(one.forecast.low <= one.actual <= one.forecast.high for one in given)
        cells = [rule, len(of_run), len(given), *reasons]
        cells += [absolute([one.missed for one in given]), absolute([one.naive_missed for one in given])]
        cells += [absolute([one.naive_missed for one in of_run.values()]), f"{held} of {len(given)}"]
        yield f"| {' | '.join(map(str, cells))} |"


def sentence(found: Found) -> str:
    """The result of the shortest share in words."""
    given = [one for one in found.values() if one.forecast]
    same, every = ([one.naive_missed for one in some] for some in (given, found.values()))
    return (
        f"From their first quarter, {len(given)} of {len(found)} runs get a forecast, which misses by "
        f"{absolute([one.missed for one in given])} points; staying as it is misses by {absolute(same)} points on the "
        f"same runs and by {absolute(every)} on all.\n"
    )


def each(found: dict[float, Found]) -> Iterator[str]:
    """One row for each run: the actual end, and for each share the forecast and both misses."""
    yield "| grid, arm, seed | end | " + " | ".join(f"at {100 * s:.0f} % | miss | staying" for s in SHARES) + " |"
    yield "|---|" + "---:|" * (1 + 3 * len(SHARES))
    for name, first in found[SHARES[0]].items():
        cells = [f"{100 * first.actual:.1f} %"]
        for share in SHARES:
            one = found[share][name]
            why = next((word for word in ("no rise", "not determined") if word in one.reason), f"{one.points} points")
            cells += [one.forecast.percent() if one.forecast else why]
            cells += ["" if miss is None else f"{100 * miss:+.1f}" for miss in (one.missed, one.naive_missed)]
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--print", action="store_true", help="to the terminal only")
    curves = list(runs())
    found = {s: {name: forecast(tokens, rates, share=s) for name, tokens, rates in curves} for s in SHARES}
    rules = {f"{100 * share:.0f} %": of_run for share, of_run in found.items()}
    for share in SHARES[:2]:
        any_width = {name: forecast(tokens, rates, share=share, widest=1) for name, tokens, rates in curves}
        rules[f"{100 * share:.0f} %, however wide"] = any_width
    table = "\n".join([sentence(found[SHARES[0]]), *summary(rules), "", *each(found)])
    if parser.parse_args().print:
        print(table)
        return
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
