"""Files, folders and the Hub: rows with the number of their line, and errors that name the place."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.problems._tables import read_file, read_hub
from trl_rlsp.problems.data import load_problems, read_table

ROWS = [{"problem": "1 + 1?", "answer": "2"}, {"problem": "2 + 2?", "answer": "4"}]


@pytest.fixture
def write(tmp_path):
    def _write(name: str, content: str | bytes):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.jsonl", "\n".join(json.dumps(row) for row in ROWS)),
            ("bom.jsonl", "\ufeff" + "\r\n".join(json.dumps(row) for row in ROWS)),
            ("a.JSONL", "\n\n".join(json.dumps(row) for row in ROWS) + "\n\n"),
            ("a.json", json.dumps(ROWS, indent=1)),
            ("lines.json", "\n".join(json.dumps(row) for row in ROWS)),
            ("wrapped.json", json.dumps({"version": 1, "data": ROWS})),
            ("a.csv", "problem,answer\r\n1 + 1?,2\r\n2 + 2?,4\r\n"),
        ],
    )
    def test_text(self, write, name, content):
        assert read_file(write(name, content)).rows == ROWS

    def test_parquet(self, tmp_path):
        from datasets import Dataset

        Dataset.from_list(ROWS).to_parquet(tmp_path / "a.parquet")
        table = read_file(tmp_path / "a.parquet")
        assert list(table.rows) == ROWS
        assert table.place(1) == "row 2 of a.parquet"
        assert list(table.only(["answer", "level"]).select([1]).rows) == [{"answer": "4"}]

    def test_one_object_is_one_row(self, write):
        assert read_file(write("one.json", json.dumps(ROWS[0]))).rows == ROWS[:1]

    def test_blank_lines_keep_their_number(self, write):
        table = read_file(write("a.jsonl", f"\n{json.dumps(ROWS[0])}\n\n{json.dumps(ROWS[1])}\n"))
        assert [table.place(index) for index in (0, 1)] == ["line 2 of a.jsonl", "line 4 of a.jsonl"]
        assert table.select([1]).place(0) == "line 4 of a.jsonl"

    def test_multi_line_csv_cells(self, write):
        table = read_file(write("a.csv", 'problem,answer\n"two\nlines",2\n"x ""y""",3\n'))
        assert table.rows == [{"problem": "two\nlines", "answer": "2"}, {"problem": 'x "y"', "answer": "3"}]

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), min_size=1))
    def test_any_text_survives_jsonl(self, tmp_path_factory, rows):
        path = tmp_path_factory.mktemp("jsonl") / "any.jsonl"
        path.write_text(
            "\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8", errors="replace"
        )
        assert len(read_file(path).rows) == len(rows)


class TestBrokenFiles:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            (
                "a.jsonl",
                '{"a": 1}\n{"a": \n',
                "line 2 of a.jsonl is not valid JSON: Expecting value at column",
            ),
            ("a.jsonl", '{"a": 1}\n\n[1]\n', "line 3 of a.jsonl must be a JSON object"),
            ("a.jsonl", '{"a": 1}\n' + "[" * 100_000, "line 2 of a.jsonl is"),
            (
                "a.json",
                '[{"a": 1},\n {"a": }]',
                "a.json is not valid JSON: Expecting value at line 2, column 8",
            ),
            ("a.json", '{"a": 1}\n{"a": }', "line 2 of a.json is not valid JSON"),
            ("a.json", '[{"a": 1}, 2]', "row 2 of a.json must be a JSON object"),
            ("a.json", "3", "a.json must hold a list of objects, got int"),
            ("a.csv", "a,b\n1,2\n3\n", "line 3 of a.csv must have 2 fields"),
            ("a.csv", "a,b\n1,2,3\n", "line 2 of a.csv must have 2 fields"),
            ("a.csv", 'a,b\n1,"2\n', "line 2 of a.csv is not valid CSV"),
            ("a.parquet", "no", "a.parquet is not a readable Parquet file"),
            ("a.jsonl", b'{"a": "\xff"}\n', "a.jsonl must be UTF-8 text"),
            ("a.jsonl", "", "at least one row, a.jsonl is empty"),
            ("a.json", " \n", "at least one row, a.json is empty"),
            ("a.json", "[]", "at least one row, a.json is empty"),
            ("a.csv", "a,b\n", "at least one row, a.csv is empty"),
        ],
    )
    def test_message(self, write, name, content, message):
        with pytest.raises(DataError, match=re.escape(message)):
            read_file(write(name, content))

    def test_unknown_extension(self, write):
        with pytest.raises(ConfigError, match=r"must end in one of .jsonl, .json, .csv, .parquet, got 'a.txt'"):
            load_problems(write("a.txt", "hello"))


class TestHub:
    def test_a_local_folder_stands_in_for_a_hub_id(self, tmp_path):
        for split, rows in (("train", ROWS), ("test", ROWS[:1])):
            (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        assert len(load_problems(str(tmp_path))) == 2
        assert len(load_problems(str(tmp_path), split="test")) == 1
        assert load_problems(str(tmp_path), split="train[:1]")["solution"][:] == ["2"]

    def test_a_folder_saved_by_datasets(self, tmp_path):
        from datasets import Dataset, DatasetDict

        Dataset.from_list(ROWS).save_to_disk(tmp_path / "one")
        DatasetDict(a=Dataset.from_list(ROWS), b=Dataset.from_list(ROWS[:1])).save_to_disk(tmp_path / "two")
        table = read_table(tmp_path / "one")
        assert list(table.rows) == ROWS
        assert table.columns == ["problem", "answer"]
        assert (list(table.select([1]).rows), table.select([1]).numbers) == (ROWS[1:], [2])
        assert list(read_table(tmp_path / "two", split="b").rows) == ROWS[:1]
        with pytest.raises(ConfigError, match=r"has the splits a, b, got None: name one of them with split="):
            read_table(tmp_path / "two")

    def test_unknown_split(self, tmp_path):
        (tmp_path / "train.jsonl").write_text(json.dumps(ROWS[0]))
        with pytest.raises(SourceError, match=r"split 'dev' could not be loaded.*"):
            load_problems(str(tmp_path), split="dev")

    def test_empty_split(self, monkeypatch):
        monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: [])
        with pytest.raises(DataError, match=r"at least one row, me/empty is empty"):
            load_problems("me/empty")

    @pytest.mark.parametrize("error", [ConnectionError("Couldn't reach 'me/data' on the Hub"), ValueError("x\ny")])
    def test_unreachable_hub_names_the_id_and_the_way_out(self, monkeypatch, error):
        import datasets

        def refuse(*_, **__):
            raise error

        monkeypatch.setattr(datasets, "load_dataset", refuse)
        with pytest.raises(SourceError, match=r"'me/data', name 'main' could not be loaded: .*to_json\('rows.jsonl'\)"):
            read_hub("me/data", name="main")
