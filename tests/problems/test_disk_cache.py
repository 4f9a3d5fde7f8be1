"""Values on disk: several processes, damaged files."""

from __future__ import annotations

import logging
import os
import pickle
import sqlite3
import subprocess
import sys

from trl_rlsp.problems import DiskCache, cache_folder

WRITER = """
import sys
from pathlib import Path
from trl_rlsp.problems import DiskCache

cache = DiskCache(Path(sys.argv[1]))
for number in range(40):
    cache.put({f"{sys.argv[2]}-{number}": {"depth": number}, "common": {"depth": 1}})
"""


class TestStored:
    def test_only_what_is_there(self, tmp_path):
        cache = DiskCache(tmp_path / "new" / "grades.sqlite3")
        assert cache.get(["a"]) == {}
        cache.put({"a": {"depth": 3}, "b": {"depth": 4}})
        assert cache.get(["a", "c"]) == {"a": {"depth": 3}}

    def test_newer_replaces_older(self, tmp_path):
        cache = DiskCache(tmp_path / "grades.sqlite3")
        cache.put({"a": 1})
        cache.put({"a": 2})
        assert cache.get(["a"]) == {"a": 2}

    def test_more_keys_than_one_query_takes(self, tmp_path):
        cache = DiskCache(tmp_path / "grades.sqlite3")
        entries = {str(number): number for number in range(2100)}
        cache.put(entries)
        assert cache.get(entries) == entries

    def test_a_copy_reads_the_same_file(self, tmp_path):
        cache = DiskCache(tmp_path / "grades.sqlite3")
        cache.put({"a": 1})
        assert pickle.loads(pickle.dumps(cache)).get(["a"]) == {"a": 1}

    def test_three_processes_at_once(self, tmp_path):
        path = tmp_path / "grades.sqlite3"
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], env=dict(os.environ)) for name in "abc"
        ]
        assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
        found = DiskCache(path).get([f"{name}-{number}" for name in "abc" for number in range(40)])
        assert len(found) == 120
        assert found["b-7"] == {"depth": 7}


class TestDamage:
    def test_a_file_that_is_no_database(self, tmp_path, caplog):
        path = tmp_path / "grades.sqlite3"
        path.write_text("not a database, and long enough to be read as one" * 100)
        with caplog.at_level(logging.WARNING):
            DiskCache(path).put({"a": 1})
            assert DiskCache(path).get(["a"]) == {}
        assert "cannot be written" in caplog.text
        assert "cannot be read" in caplog.text

    def test_a_folder_that_cannot_be_made(self, tmp_path, caplog):
        (tmp_path / "file").write_text("")
        with caplog.at_level(logging.WARNING):
            assert DiskCache(tmp_path / "file" / "grades.sqlite3").get(["a"]) == {}
        assert "cannot be read" in caplog.text

    def test_an_entry_that_is_no_json(self, tmp_path):
        path = tmp_path / "grades.sqlite3"
        cache = DiskCache(path)
        cache.put({"a": 1, "b": 2})
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE entries SET value = '{' WHERE key = 'a'")
        connection.close()
        assert cache.get(["a", "b"]) == {"b": 2}


def test_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TRL_RLSP_CACHE", raising=False)
    assert cache_folder() == tmp_path / "trl_rlsp"
    monkeypatch.setenv("TRL_RLSP_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
