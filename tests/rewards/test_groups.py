"""Groups: their identity, and that they are whole when they are split over processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.batch import Batch, gather_groups, gather_ranks, group_keys

KEYS = st.lists(st.sampled_from("abc"), max_size=10)


class Pixels:
    """Something with bytes, as an image in a prompt has."""

    def __init__(self, content):
        self.content = content

    def tobytes(self):
        return self.content


class TestKeys:
    def test_the_prompt_decides(self):
        one, two, again = group_keys(["1 + 2", "3 + 4", "1 + 2"], {})
        assert one == again != two
        assert len(one) == 32

    @pytest.mark.parametrize("column", ["tests", "task", "solution"])
    def test_each_problem_column_is_part_of_it(self, column):
        keys = group_keys(["p"] * 3, {column: ["1", "2", "1"]})
        assert keys[0] == keys[2] != keys[1]

    def test_other_columns_are_not(self):
        one, two = group_keys(["p", "p"], {"level": [1, 2], "completion_ids": [[1], [2]], "trainer_state": None})
        assert one == two

    def test_messages_by_their_content(self):
        first = [{"role": "user", "content": "1 + 2"}]
        same = [{"content": "1 + 2", "role": "user"}]
        other = [{"role": "system", "content": "1 + 2"}]
        keys = group_keys([first, same, other], {})
        assert keys[0] == keys[1] != keys[2]

    def test_images_by_their_bytes(self):
        prompts = [[{"role": "user", "content": [{"image": Pixels(content)}]}] for content in (b"1", b"1", b"2")]
        keys = group_keys(prompts, {})
        assert keys[0] == keys[1] != keys[2]

    def test_a_column_is_not_mistaken_for_a_longer_prompt(self):
        assert group_keys(["p, 1"], {}) != group_keys(["p"], {"solution": ["1"]})

    def test_equal_in_another_process_with_another_hash_seed(self):
        code = (
            "from trl_rlsp.rewards.batch import group_keys; print(group_keys(['ü', '1'], {'tests': [{'a', 'b'}, 2]}))"
        )
        shown = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for seed in ("1", "2")
        }
        assert shown == {str(group_keys(["ü", "1"], {"tests": [{"b", "a"}, 2]}))}

    def test_no_prompts(self):
        with pytest.raises(ConfigError, match="a group is the completions of one prompt, got no prompts"):
            group_keys(None, {"solution": ["1"]})

    def test_a_column_of_another_length(self):
        with pytest.raises(ConfigError, match="2 prompts need 2 values in each column, got 1"):
            group_keys(["p", "q"], {"solution": ["1"]})


class TestOneProcess:
    def test_by_hand(self):
        keys, values = ["a", "b", "a", "c"], [1, 2, 3, 4]
        assert gather_groups(keys, values) == {"a": [1, 3], "b": [2], "c": [4]}
        assert gather_ranks(values) == [values]
        assert Batch(keys, [], {"prompts": keys}).members(values) == [[1, 3], [2], [1, 3], [4]]

    @given(KEYS, KEYS)
    def test_neighbours_change_nothing(self, keys, others):
        beside = [key.upper() for key in others]
        alone = gather_groups(keys, list(range(len(keys))))
        assert [len(alone[key]) for key in keys] == [keys.count(key) for key in keys]
        together = gather_groups(keys + beside, list(range(len(keys) + len(beside))))
        assert {key: together[key] for key in keys} == alone

    def test_values_of_another_number(self):
        with pytest.raises(ValueError, match="zip"):
            gather_groups(["a", "b"], [1])


TWO_RANKS = """
import json, sys
import torch.distributed as dist
from trl_rlsp.rewards.batch import gather_groups

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
keys, values = [["a", "a", "b"], ["b", "c", "b", "a"]][rank], [[1, 2, 3], [4, 5, 6, 7]][rank]
print(json.dumps([gather_groups(keys, values), gather_groups(keys[rank:rank], [])]))
dist.destroy_process_group()
"""


def run_ranks(code, tmp_path, *arguments, count=2):
    """What `count` processes that run `code` print; each gets its rank and the file where they meet."""
    store = tmp_path / "store"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path[1:], str(Path(__file__).parent)])}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), str(store), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        ended = [process.communicate(timeout=300) for process in running]
    finally:
        for process in running:
            process.kill()
    for process, (_, errors) in zip(running, ended, strict=True):
        assert process.returncode == 0, errors
    return [output.strip().splitlines()[-1] for output, _ in ended]


def test_two_processes_see_whole_groups(tmp_path):
    # a: 1, 2 on the first rank, 7 on the second; b: 3 | 4, 6; c: | 5
    for printed in run_ranks(TWO_RANKS, tmp_path):
        assert json.loads(printed) == [{"a": [1, 2, 7], "b": [3, 4, 6], "c": [5]}, {}]
