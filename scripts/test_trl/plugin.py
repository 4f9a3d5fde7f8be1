"""A pytest plugin that runs TRL's tests offline, with TRL's trainers or with ours in their place.

Settings come from the environment: `TEST_TRL_ARM` ("trl" or "ours"), `TEST_TRL_STAND_INS` (the folder that
`trl_stand_ins.make_all` filled) and `TEST_TRL_RESULTS` (a file that gets one line of JSON per test).
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import datasets
import pytest
import trl  # before the tests' own folder is on the path, so that the installed one is tested
from trl_stand_ins import load_dataset

OFFLINE = (
    "no stand-in for",
    "couldn't connect to",
    "offline mode",
    "outgoing traffic has been disabled",
    "Cannot find the requested files in the disk cache",
    "is not a local folder and is not a valid model identifier",
    "not a valid model identifier listed on",
)
"""What is said, somewhere in the chain of causes, when a test needs something of the hub that has no stand-in."""

datasets.load_dataset = functools.partial(load_dataset, Path(os.environ["TEST_TRL_STAND_INS"]) / "datasets")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put our trainers where the test modules have TRL's."""
    if os.environ["TEST_TRL_ARM"] != "ours":
        return
    from trl_rlsp import RLSPGRPOTrainer, RLSPSFTTrainer

    for module in {item.module for item in items}:
        for name, ours in {"GRPOTrainer": RLSPGRPOTrainer, "SFTTrainer": RLSPSFTTrainer}.items():
            if getattr(module, name, None) is getattr(trl, name):
                setattr(module, name, ours)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """Skip a test that needs something of the hub."""
    try:
        return (yield)
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if any(words in str(cause) for words in OFFLINE):
                pytest.skip(f"needs the hub: {str(cause).splitlines()[0]}")
            cause = cause.__cause__ or cause.__context__
        raise


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the outcome of a test, or of the preparation that did not let it run."""
    if report.when != "call" and report.outcome == "passed":
        return
    if isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = crash.message if crash else str(report.longrepr or "")
    line = {"test": report.nodeid, "outcome": report.outcome, "reason": reason.split("\n")[0][:300]}
    with open(os.environ["TEST_TRL_RESULTS"], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
