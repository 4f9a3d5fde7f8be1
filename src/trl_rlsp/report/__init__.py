"""The report: one self-contained page about one or several runs, with warnings of what it sees."""

from trl_rlsp.report.build import build, write
from trl_rlsp.report.finding import Finding, Thresholds
from trl_rlsp.report.findings import find
from trl_rlsp.report.page import Contents, render
from trl_rlsp.runs.reading import read_run
from trl_rlsp.runs.run import Completion, Evaluated, Run

__all__ = [
    "Completion",
    "Contents",
    "Evaluated",
    "Finding",
    "Run",
    "Thresholds",
    "build",
    "find",
    "read_run",
    "render",
    "write",
]
