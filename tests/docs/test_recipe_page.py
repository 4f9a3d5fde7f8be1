"""docs/recipes.md says of each recipe what the recipe's own files say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
ROWS = {
    cells[1].strip("` "): cells
    for line in (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8").split("## Departures")[0].splitlines()
    if len(cells := line.split("|")) == 7 and "`" in cells[1]
}
FOLDERS = sorted(path.parent for path in (ROOT / "recipes").glob("*/grpo.yaml"))


def test_each_folder_has_a_row():
    assert {path.name for path in FOLDERS} | {"ablations", "accelerate"} == set(ROWS)


@pytest.mark.parametrize("folder", [path for path in FOLDERS if path.name != "quickstart"], ids=lambda path: path.name)
def test_hardware_and_memory_are_those_of_the_header(folder):
    header = " ".join((folder / "grpo.yaml").read_text(encoding="utf-8").replace("#", "").split())
    said = re.search(r"Hardware: (\d x \d+ GB).*? ([\d.]+) GiB(?: a GPU)?(?:, (\d+) with the share of vLLM)?", header)
    assert ROWS[folder.name][4].strip().startswith(said[1])
    assert re.findall(r"[\d.]+", ROWS[folder.name][5]) == [number for number in said.groups()[1:] if number]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_sft_where_there_is_a_file(folder):
    assert (ROWS[folder.name][3].strip() != "none") == (folder / "sft.yaml").exists()
