"""The reference: every public name is on it, and everything on it has a docstring."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import trl_rlsp

griffe = pytest.importorskip("griffe", reason="the reference needs pip install --group docs")

ROOT = Path(__file__).parent.parent.parent
SHOWN = sorted(
    name
    for page in (ROOT / "docs" / "api").glob("*.md")
    for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.fixture(scope="module")
def package():
    """The package as it is read for the reference: nothing is imported."""
    return griffe.load("trl_rlsp", search_paths=[ROOT / "src"], allow_inspection=False)


def without_docstring(thing):
    """Names of the public functions, classes and methods at and below an object that have no docstring."""
    found = [] if thing.has_docstring else [thing.path]
    if thing.is_module or thing.is_class:
        for name, member in thing.members.items():
            shown = not member.is_alias and (not name.startswith("_") or name == "__call__")
            if shown and (member.is_function or member.is_class):
                found += without_docstring(member)
    return found


@pytest.mark.parametrize("name", SHOWN)
def test_has_docstrings(name, package):
    assert without_docstring(package[name.removeprefix("trl_rlsp.")]) == []


def test_each_public_name_is_shown(package):
    index = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    for name in trl_rlsp.__all__:
        home = re.search(rf"\[`{name}`\]\[(\S+)\]", index)
        assert home, name
        assert home[1] in SHOWN or home[1].rpartition(".")[0] in SHOWN, home[1]


def test_nothing_is_shown_twice():
    assert [name for name in SHOWN if SHOWN.count(name) > 1] == []


def test_a_missing_docstring_is_noticed(tmp_path):
    (tmp_path / "sample.py").write_text(
        '"""Module."""\n\n\nclass A:\n    """A."""\n\n    def bare(self): ...\n\n    def _own(self): ...\n'
    )
    assert without_docstring(griffe.load("sample", search_paths=[tmp_path])) == ["sample.A.bare"]
