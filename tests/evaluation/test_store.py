"""Samples on disk: each once, whatever interrupts the writing."""

from __future__ import annotations

import errno
import fcntl

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.evaluation._store import SAMPLES, SampleStore, read_problems, read_samples
from trl_rlsp.generation import Request, Sample, all_requests

PROBLEMS = Dataset.from_dict(
    {"prompt": [[{"role": "user", "content": "1 + 1 ?"}], "2 ?"][:1] * 2, "solution": ["2"] * 2}
)
SETTINGS = {"temperature": 0.7, "seed": 0}
FIRST = [Sample(0, "três\n\u2028 ✓", 3, False, 0), Sample(0, '"quoted"\r\n', 4, True, 1)]
SECOND = [Sample(1, "", 1, False, 0)]


def store(folder, settings=SETTINGS):
    return SampleStore(folder, settings, PROBLEMS)


class TestSampleStore:
    def test_what_was_written_is_there_again(self, tmp_path):
        with store(tmp_path / "new") as opened:
            assert opened.missing(all_requests(2, 2)) == all_requests(2, 2)
            opened.append(FIRST)
            opened.append(SECOND)
        with store(tmp_path / "new") as again:
            assert list(again.samples.values()) == FIRST + SECOND
            assert again.missing(all_requests(2, 2)) == [Request(1, 1)]
        assert read_samples(tmp_path / "new") == FIRST + SECOND

    def test_each_append_is_on_disk_at_once(self, tmp_path):
        opened = store(tmp_path)
        opened.append(FIRST)
        assert read_samples(tmp_path) == FIRST
        opened.close()

    @given(st.integers(0, 400))
    def test_torn_anywhere(self, tmp_path_factory, cut):
        """A kill leaves the start of what was written: whole lines stay, the torn one is drawn again."""
        folder = tmp_path_factory.mktemp("torn")
        with store(folder) as opened:
            opened.append(FIRST + SECOND)
        content = (folder / SAMPLES).read_bytes()
        (folder / SAMPLES).write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert read_samples(folder) == (FIRST + SECOND)[:whole]
        with store(folder) as again:
            missing = set(again.missing(s.request for s in FIRST + SECOND))
            again.append([s for s in FIRST + SECOND if s.request in missing])
        assert read_samples(folder) == FIRST + SECOND

    def test_other_settings_are_refused_by_name(self, tmp_path):
        with store(tmp_path) as opened:
            opened.append(FIRST)
        with pytest.raises(
            ConfigError, match=r"drawn with other settings \(seed: 0 then, 1 now\): give another output_dir"
        ):
            store(tmp_path, SETTINGS | {"seed": 1})
        with store(tmp_path) as again:  # the refusal has changed nothing and holds no lock
            assert len(again.samples) == 2

    def test_other_settings_before_the_first_sample_are_welcome(self, tmp_path):
        store(tmp_path).close()
        with store(tmp_path, SETTINGS | {"seed": 1}) as opened:
            opened.append(FIRST)
        with pytest.raises(ConfigError, match="seed: 1 then, 0 now"):
            store(tmp_path)

    def test_samples_of_unknown_origin_are_refused(self, tmp_path):
        (tmp_path / SAMPLES).write_text('{"problem": 0}\n')
        with pytest.raises(ConfigError, match=r"no generation\.json with their settings"):
            store(tmp_path)

    def test_two_at_a_time_are_refused(self, tmp_path):
        with store(tmp_path), pytest.raises(ConfigError, match="another process is writing to"):
            store(tmp_path)

    def test_a_file_system_that_cannot_lock_costs_a_warning(self, tmp_path, monkeypatch, caplog):
        """Lustre mounted without flock answers ENOSYS: nobody else is writing."""

        def no_lock(*_):
            raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr(fcntl, "flock", no_lock)
        with store(tmp_path) as opened:
            opened.append(FIRST)
        assert read_samples(tmp_path) == FIRST
        assert "cannot be locked ([Errno 38] Function not implemented)" in caplog.text

    def test_the_problems_lie_beside_them(self, tmp_path):
        store(tmp_path).close()
        assert read_problems(tmp_path).to_list() == PROBLEMS.to_list()


class TestReadSamples:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('{"problem": 0}\n', r"line 1: not a sample \(KeyError\('text'\)\)"),
            ("[]\n", "line 1: not a sample"),
            ('{"a": \n{"problem": 0}\n', "is damaged: .*; delete the folder and evaluate again"),
            (
                '{"problem": 0, "sample": 1, "text": "", "tokens": 1, "truncated": true}\n' * 2,
                "line 2: problem 0, sample 1 is there twice",
            ),
        ],
    )
    def test_damaged(self, tmp_path, content, message):
        (tmp_path / SAMPLES).write_text(content)
        with pytest.raises(DataError, match=message):
            read_samples(tmp_path)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(SourceError, match=r"holds no samples.jsonl: give the output_dir of an `rlsp eval`"):
            read_samples(tmp_path / "no")
