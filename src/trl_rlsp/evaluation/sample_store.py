"""The samples of an evaluation on disk: appended as they come, so that a killed run goes on where it was.

A folder holds `generation.json` (what the samples depend on), `problems.parquet` and `samples.jsonl`, one line
a sample.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.generation.sampling import Request, Sample

if TYPE_CHECKING:
    from datasets import Dataset

GENERATION, PROBLEMS, SAMPLES = "generation.json", "problems.parquet", "samples.jsonl"


class SampleStore:
    """Samples of one run, each (problem, sample) once.

    Args:
        folder: where to write; made if it is not there.
        fingerprint: whatever the samples depend on; a folder that was started with another one is refused.
        problems: written beside the samples, so that they can be scored again without the source.

    Raises:
        ConfigError: the folder holds samples drawn with other settings, or another process is writing to it.
        DataError: `samples.jsonl` is damaged before its last line.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any], problems: Dataset) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = _locked(folder / SAMPLES)
        try:
            started = self._file.tell() > 0
            if started:
                _refuse_other(folder, fingerprint)
            drop_torn_line(folder / SAMPLES)
            self.samples = {sample.request: sample for sample in read_samples(folder)}
        except BaseException:
            self._file.close()
            raise
        if not started:
            write_problems(folder, problems)
        _write(folder / GENERATION, json.dumps(fingerprint, indent=2) + "\n")

    def missing(self, requests: Iterable[Request]) -> list[Request]:
        """Those of the requests that are still to be drawn."""
        return [request for request in requests if request not in self.samples]

    def append(self, samples: Sequence[Sample]) -> None:
        """Write samples to the disk; when this returns, no kill can lose them."""
        lines = "".join(json.dumps(raw_line(sample), ensure_ascii=False) + "\n" for sample in samples)
        self._file.write(lines.encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.samples.update({sample.request: sample for sample in samples})

    def close(self) -> None:
        """Let another process write."""
        self._file.close()

    def __enter__(self) -> SampleStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def raw_line(sample: Sample) -> dict[str, Any]:
    """A sample under the names that it has in `samples.jsonl`."""
    return {
        "problem": sample.prompt_index,
        "sample": sample.sample_index,
        "text": sample.text,
        "tokens": sample.tokens,
        "truncated": sample.truncated,
    }


def read_samples(folder: Path) -> list[Sample]:
    """The completions of a folder, scored or not, also of a run that was cut off.

    Raises:
        SourceError: there is no `samples.jsonl`.
        DataError: a line is not a sample, or a sample is there twice.
    """
    seen: dict[int, int] = {}
    samples: dict[Request, Sample] = {}
    for number, line in enumerate(read_lines(folder), start=1):
        try:
            # Files of the first version have neither `sample` nor `truncated`.
            problem = line["problem"]
            index = line.get("sample", seen.get(problem, 0))
            truncated = line.get("truncated", not line.get("finished", True))
            sample = Sample(problem, line["text"], line["tokens"], truncated, index)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{folder / SAMPLES}, line {number}: not a sample ({error!r})") from error
        if sample.request in samples:
            raise DataError(f"{folder / SAMPLES}, line {number}: problem {problem}, sample {index} is there twice")
        seen[problem] = seen.get(problem, 0) + 1
        samples[sample.request] = sample
    return list(samples.values())


def read_lines(folder: Path) -> list[Any]:
    """The lines of `samples.jsonl` as JSON, without a last one that was cut off.

    Raises:
        SourceError: there is no such file.
        DataError: a line before the last is not JSON.
    """
    path = folder / SAMPLES
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{str(folder)!r} holds no samples.jsonl: give the output_dir of an `rlsp eval`") from error
    lines = content.split(b"\n")[:-1]
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}; delete the folder and evaluate again") from error


def drop_torn_line(path: Path) -> None:
    """Cut off what follows the last line end: a sample that was being written when the process was killed."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def write_problems(folder: Path, problems: Dataset) -> None:
    """Put the problems beside their samples."""
    import pyarrow.parquet as parquet

    parquet.write_table(problems.with_format("arrow")[:], folder / PROBLEMS)


def read_problems(folder: Path) -> Dataset | None:
    """The problems that lie beside the samples; `None` in folders of the first version."""
    import pyarrow.parquet as parquet
    from datasets import Dataset

    path = folder / PROBLEMS
    return Dataset(parquet.read_table(path)) if path.is_file() else None


def read_generation(folder: Path) -> dict[str, Any]:
    """What the samples of a folder were drawn with.

    Raises:
        ConfigError: the folder does not say.
    """
    path = folder / GENERATION
    if not path.is_file():
        raise ConfigError(
            f"{folder} holds samples, but no {GENERATION} that says how they were drawn: give another output_dir, "
            f"or score them again with `rlsp eval --rescore {folder}`"
        )
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _locked(path: Path) -> BinaryIO:
    file = open(path, "ab")  # noqa: SIM115 - held open for the life of the store
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError(
            f"another process is writing to {path.parent}: wait for it, or give another folder"
        ) from error
    file.seek(0, os.SEEK_END)
    return file


def _refuse_other(folder: Path, fingerprint: Mapping[str, Any]) -> None:
    before = read_generation(folder)
    changed = sorted(k for k in {*before, *fingerprint} if before.get(k) != fingerprint.get(k))
    if changed:
        shown = ", ".join(f"{k}: {before.get(k)!r} then, {fingerprint.get(k)!r} now" for k in changed)
        raise ConfigError(
            f"{folder} holds samples that were drawn otherwise ({shown}): give another output_dir, or delete that "
            "folder"
        )


def _write(path: Path, text: str) -> None:
    """Replace a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
