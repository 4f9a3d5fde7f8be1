"""Rows kept on disk."""

from __future__ import annotations

import pytest

from trl_rlsp.problems import disk_cache as cache
from trl_rlsp.problems.disk_cache import cache_folder, cached_rows

ROWS = [{"a": 1, "b": ["ü", None]}]


class Maker:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return ROWS


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_RLSP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "WORTH_STORING_S", 0.0)
    return tmp_path / "cache"


def test_made_once_per_key():
    make = Maker()
    assert [cached_rows({"seed": 1}, make), cached_rows({"seed": 1}, make)] == [ROWS, ROWS]
    assert make.calls == 1
    cached_rows({"seed": 2}, make)
    assert make.calls == 2


def test_quick_rows_are_not_stored(folder, monkeypatch):
    monkeypatch.setattr(cache, "WORTH_STORING_S", 60.0)
    assert cached_rows({"seed": 1}, Maker()) == ROWS
    assert not folder.exists()


def test_a_damaged_file_costs_only_time(folder, caplog):
    folder.mkdir()
    (folder / "problems.sqlite").write_bytes(b"not a database, and long enough to be read as one" * 100)
    assert cached_rows({"seed": 1}, Maker()) == ROWS
    assert "cannot be read" in caplog.text


def test_a_folder_that_cannot_be_written_costs_only_time(folder):
    folder.write_text("a file in the way")
    assert cached_rows({"seed": 1}, Maker()) == ROWS


def test_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("TRL_RLSP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "trl_rlsp"
