"""Values on disk: several processes, damaged files."""

from __future__ import annotations

import logging
import os
import pickle
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
        cache = DiskCache(tmp_path / "new" / "grades")
        assert cache.get(["a"]) == {}
        cache.put({"a": {"depth": 3}, "b": {"depth": 4}})
        assert cache.get(["a", "c"]) == {"a": {"depth": 3}}

    def test_newer_replaces_older(self, tmp_path):
        cache = DiskCache(tmp_path / "grades")
        cache.put({"a": 1})
        cache.put({"a": 2})
        assert cache.get(["a"]) == {"a": 2}

    def test_a_copy_reads_the_same_file(self, tmp_path):
        cache = DiskCache(tmp_path / "grades")
        cache.put({"a": 1})
        assert pickle.loads(pickle.dumps(cache)).get(["a"]) == {"a": 1}

    def test_three_processes_at_once(self, tmp_path):
        path = tmp_path / "grades"
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], env=dict(os.environ)) for name in "abc"
        ]
        assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
        found = DiskCache(path).get([f"{name}-{number}" for name in "abc" for number in range(40)])
        assert len(found) == 120
        assert found["b-7"] == {"depth": 7}


class TestDamage:
    def test_a_folder_in_its_place(self, tmp_path, caplog):
        with caplog.at_level(logging.WARNING):
            DiskCache(tmp_path).put({"a": 1})
            assert DiskCache(tmp_path).get(["a"]) == {}
        assert "cannot be written" in caplog.text
        assert "cannot be read" in caplog.text

    def test_a_folder_that_cannot_be_made(self, tmp_path, caplog):
        (tmp_path / "file").write_text("")
        with caplog.at_level(logging.WARNING):
            DiskCache(tmp_path / "file" / "grades").put({"a": 1})
        assert "cannot be written" in caplog.text

    def test_a_line_that_was_cut_off_costs_itself_alone(self, tmp_path):
        path = tmp_path / "grades"
        path.write_bytes(b'\xff\x00\nb {"depth": ')
        cache = DiskCache(path)
        cache.put({"a": 1})
        assert cache.get(["a", "b"]) == {"a": 1}


def test_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TRL_RLSP_CACHE", raising=False)
    assert cache_folder() == tmp_path / "trl_rlsp"
    monkeypatch.setenv("TRL_RLSP_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
