r"""The judge against a real HTTP server: grades, failures, the cache, limits, other processes."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import pickle
import threading
import time
from random import Random

import pytest

pytest.importorskip("openai")

from judge_server import GOOD, WORTH, JudgeServer, Step, shown

from trl_rlsp import JudgeExploration, RLSPRewards
from trl_rlsp.errors import ConfigError, MissingDependencyError, ServerError
from trl_rlsp.rewards import Rubric

ASKED = "6 3 2 : 18"
WORKS = [f"try {n} + 3 = {n + 3} , then look again \\boxed{{{n}}}" for n in range(12)]


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    """A cache folder and a key of this test alone."""
    monkeypatch.setenv("TRL_RLSP_CACHE", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def judge(server, **kwargs):
    return JudgeExploration("judge", base_url=getattr(server, "url", server), **{"retries": 0, **kwargs})


def scores(reward, *completions, **kwargs):
    return reward(prompts=[ASKED] * len(completions), completions=completions, **kwargs)


def close_to(*values):
    return [value if value is None else pytest.approx(value) for value in values]


class TestGrades:
    def test_by_hand(self):
        # 0.99 * (6 + 5 + 3 + 6) / 4 / 10 = 0.495
        with JudgeServer() as server:
            assert scores(judge(server), WORKS[0]) == close_to(0.495)

    @pytest.mark.parametrize(("grade", "expected"), [(0, 0.0), (10, 0.99)])
    def test_bounds(self, grade, expected):
        with JudgeServer(Step(json.dumps(dict.fromkeys(GOOD, grade)))) as server:
            assert scores(judge(server), WORKS[0]) == close_to(expected)

    def test_each_completion_gets_its_own(self):
        def by_work(body):
            depth = int(shown(body)["work"].split()[1])  # "try 4 + 3 ..." is graded 4
            return Step(json.dumps({**dict.fromkeys(GOOD, 0), "depth": depth}), delay=0.02 * (4 - depth))

        with JudgeServer(by=by_work) as server:
            values = scores(judge(server), WORKS[3], WORKS[1], WORKS[4], WORKS[0])
        assert values == close_to(0.99 * 3 / 40, 0.99 * 1 / 40, 0.99 * 4 / 40, 0.0)

    def test_own_rubric(self):
        with JudgeServer(Step('{"rigour": 5}')) as server:
            assert scores(judge(server, rubric=Rubric({"rigour": "Justified?"})), WORKS[0]) == close_to(0.495)
            assert "- rigour: Justified?" in server.requests[0]["messages"][0]["content"]

    @pytest.mark.parametrize(
        "text", ["", "\\boxed{18}", "no answer", "a \\boxed{1} b \\boxed{2}", ASKED + "\\boxed{18}"]
    )
    def test_no_effective_reasoning_is_nothing_and_is_not_sent(self, text):
        with JudgeServer() as server:
            assert scores(judge(server), text) == [0.0]
            assert server.requests == []

    def test_equal_work_is_asked_about_once(self):
        with JudgeServer() as server:
            # the final answer is not part of the work
            assert scores(judge(server), "a b c \\boxed{1}", "a b c \\boxed{2}") == close_to(WORTH, WORTH)
            assert len(server.requests) == 1

    def test_without_prompts(self):
        with JudgeServer() as server:
            assert judge(server)(completions=[WORKS[0]]) == close_to(WORTH)
            assert shown(server.requests[0])["problem"] == ""

    def test_empty_batch(self):
        assert judge("http://127.0.0.1:9/v1")(prompts=[], completions=[]) == []

    def test_in_the_suite(self):
        with JudgeServer(Step(), Step("broken")) as server:
            verifier = lambda completions, **kwargs: [1.0] * len(completions)  # noqa: E731
            rewards = RLSPRewards(verifier, [judge(server, concurrency=1)], alpha=0.5)
            assert [scores(part, *WORKS[:2]) for part in rewards] == [
                [1.0, 1.0],
                close_to(WORTH, WORTH),
            ]  # its group's mean


class TestFailures:
    @pytest.mark.parametrize(
        "step",
        [
            Step("I will not answer as JSON."),
            Step('{"diversity": 6, "depth": 5'),
            Step(json.dumps({**GOOD, "depth": 11})),
            Step(json.dumps(GOOD) + json.dumps(dict.fromkeys(GOOD, 10))),
            Step(""),
            Step("no such model", status=404),
            Step("bad key", status=401),
            Step("down", status=503),
            Step(raw="not json"),
            Step(raw="{}"),
            Step(raw='{"choices": []}'),
            Step(raw='{"choices": [{"message": {"content": null}}]}'),
            Step(raw="<html>", headers={"Content-Type": "text/html"}),
        ],
    )
    def test_is_none_and_counted_and_not_remembered(self, step, caplog):
        logged = {}
        with JudgeServer(step) as server, caplog.at_level(logging.WARNING):
            reward = judge(server)
            assert scores(reward, WORKS[0], "\\boxed{1}", log_metric=logged.__setitem__) == [None, 0.0]
            assert (logged["judge/failed"], logged["judge/cached"]) == (1.0, 0.0)
            assert "1 of 1 judge requests failed, the first: " in caplog.text
            sent = len(server.requests)
            scores(reward, WORKS[0])
            assert len(server.requests) > sent

    def test_one_does_not_spoil_the_others(self):
        logged = {}
        with JudgeServer(Step(), Step("broken"), Step(), Step()) as server:
            values = scores(judge(server, concurrency=1), *WORKS[:4], log_metric=logged.__setitem__)
        assert values == close_to(WORTH, None, WORTH, WORTH)
        assert logged["judge/failed"] == 0.25

    def test_errors_of_the_server_pass(self):
        with JudgeServer(Step("oops", status=500), Step()) as server:
            assert scores(judge(server, retries=1), WORKS[0]) == close_to(WORTH)
            assert len(server.requests) == 2

    def test_too_many_requests_waits_as_long_as_told(self):
        with JudgeServer(Step("slow down", status=429, headers={"Retry-After": "1"}), Step()) as server:
            start = time.monotonic()
            assert scores(judge(server, retries=1), WORKS[0]) == close_to(WORTH)
            assert time.monotonic() - start >= 1

    def test_a_request_that_hangs(self):
        with JudgeServer(Step(delay=60), Step()) as server:
            start = time.monotonic()
            assert scores(judge(server, timeout=0.3), WORKS[0]) == [None]
            assert time.monotonic() - start < 30
            assert scores(judge(server, timeout=5), WORKS[0]) == close_to(WORTH)

    def test_a_batch_ends_at_its_deadline_with_what_it_has(self):
        def by_work(body):
            return Step(delay=0 if "try 0 " in shown(body)["work"] else 60)

        with JudgeServer(by=by_work) as server:
            start = time.monotonic()
            values = scores(judge(server, timeout=60, deadline=1), *WORKS[:4])
            assert time.monotonic() - start < 30
        assert values == close_to(WORTH, None, None, None)

    def test_nobody_there(self):
        assert scores(judge("http://127.0.0.1:9/v1"), WORKS[0]) == [None]

    def test_a_server_without_structured_output_is_asked_without(self):
        def by_format(body):
            refused = Step("response_format is not supported", status=400)
            return refused if "response_format" in body else Step(f"Sure! ```json\n{json.dumps(GOOD)}\n```")

        with JudgeServer(by=by_format) as server:
            reward = judge(server)
            assert scores(reward, WORKS[0]) == close_to(WORTH)
            assert scores(reward, WORKS[1]) == close_to(WORTH)
            assert ["response_format" in body for body in server.requests] == [True, False, False]

    def test_a_refusal_for_another_reason_stays_one(self):
        with JudgeServer(Step("context too long", status=400), Step("context too long", status=400), Step()) as server:
            reward = judge(server)
            assert scores(reward, WORKS[0]) == [None]
            assert scores(reward, WORKS[0]) == close_to(WORTH)
            assert "response_format" in server.requests[2]


class TestCache:
    def test_asked_once_in_all(self):
        logged = {}
        with JudgeServer() as server:
            assert scores(judge(server), *WORKS[:2]) == close_to(WORTH, WORTH)
            again = scores(judge(server), *WORKS[:3], log_metric=logged.__setitem__)
            assert again == close_to(WORTH, WORTH, WORTH)
            assert len(server.requests) == 3
        assert logged["judge/cached"] == pytest.approx(2 / 3)
        assert logged["judge/latency"] > 0

    def test_what_changes_the_question_asks_anew(self):
        with JudgeServer() as server:
            scores(judge(server), WORKS[0])
            judge(server)(prompts=["another problem"], completions=[WORKS[0]])
            scores(judge(server, rubric=Rubric(preamble="Be strict.")), WORKS[0])
            scores(judge(server, options={"temperature": 1.0}), WORKS[0])
            scores(JudgeExploration("other", base_url=server.url), WORKS[0])
            assert len(server.requests) == 5

    def test_none(self):
        with JudgeServer() as server:
            for _ in range(2):
                assert scores(judge(server, cache=False), WORKS[0]) == close_to(WORTH)
            assert len(server.requests) == 2

    def test_own_file(self, tmp_path):
        with JudgeServer() as server:
            scores(judge(server, cache=tmp_path / "mine" / "grades.sqlite3"), WORKS[0])
        assert (tmp_path / "mine" / "grades.sqlite3").exists()
        assert not (tmp_path / "judge.cache").exists()


class TestLimits:
    def test_concurrency(self):
        with JudgeServer(Step(delay=0.15)) as server:
            assert scores(judge(server, concurrency=3), *WORKS) == close_to(*[WORTH] * 12)
            assert server.most_active == 3

    def test_long_work_loses_its_middle(self):
        letters = Random(0)
        words, asked = (" ".join("".join(letters.choices("abcdefgh", k=4)) for _ in range(1000)) for _ in range(2))
        with JudgeServer() as server:
            judge(server, max_chars=300)(prompts=[asked], completions=[words + " \\boxed{1}"])
            sent = shown(server.requests[0])
        for text, whole in ((sent["work"], words), (sent["problem"], asked)):
            assert text == f"{whole[:200]}\n[... {len(whole) - 300} characters ...]\n{whole[-100:]}"

    def test_request_options(self):
        with JudgeServer() as server:
            scores(judge(server, options={"max_tokens": None, "max_completion_tokens": 9}), WORKS[0])
            request = server.requests[0]
        assert (request["model"], request["temperature"], request["max_completion_tokens"]) == ("judge", 0.0, 9)
        assert "max_tokens" not in request


class TestWhereItRuns:
    def test_off_the_main_thread(self):
        values = []
        with JudgeServer() as server:
            thread = threading.Thread(target=lambda: values.append(scores(judge(server), WORKS[0])))
            thread.start()
            thread.join(30)
        assert values == [close_to(WORTH)]

    def test_inside_a_running_event_loop(self):
        async def training(server):
            return scores(judge(server), WORKS[0])

        with JudgeServer() as server:
            assert asyncio.run(training(server)) == close_to(WORTH)

    def test_in_a_spawned_process(self):
        with JudgeServer() as server, multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(judge(server), ([ASKED], [WORKS[0]])) == close_to(WORTH)
            assert server.headers[0]["authorization"] == "Bearer sk-of-the-environment"

    def test_two_threads_share_one_judge(self):
        with JudgeServer() as server:
            reward, values = judge(server), []
            threads = [
                threading.Thread(target=lambda part=part: values.append(scores(reward, *part)))
                for part in (WORKS[:6], WORKS[6:])
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
        assert values == [close_to(*[WORTH] * 6)] * 2


class TestKeys:
    def test_argument_before_environment(self):
        with JudgeServer() as server:
            scores(judge(server, api_key="sk-argument"), WORKS[0])
            assert server.headers[0]["authorization"] == "Bearer sk-argument"

    def test_a_server_without_keys_needs_none(self, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY")
        with JudgeServer() as server:
            assert scores(judge(server), WORKS[0]) == close_to(WORTH)

    def test_appears_nowhere(self, tmp_path, caplog):
        with JudgeServer(Step("wrong key sk-argument", status=401), Step()) as server, caplog.at_level(logging.DEBUG):
            reward = judge(server, api_key="sk-argument", concurrency=1)
            scores(reward, *WORKS[:2])
        assert "wrong key ***" in caplog.text
        for text in (repr(reward), repr(reward.client), str(pickle.dumps(reward)), caplog.text):
            assert "sk-argument" not in text
        assert b"sk-argument" not in (tmp_path / "judge.cache").read_bytes()


class TestCheck:
    def test_a_judge_that_answers(self):
        with JudgeServer() as server:
            judge(server).check()
            judge(server).check()
            assert len(server.requests) == 2  # never from the cache

    @pytest.mark.parametrize(
        ("step", "message"),
        [
            (Step("no such model", status=404), r"the judge 'judge' at http://127.* must answer .*no such model"),
            (Step("nonsense"), r"must answer with grades as JSON, got no JSON object in 'nonsense'"),
        ],
    )
    def test_one_that_does_not(self, step, message):
        with JudgeServer(step) as server, pytest.raises(ServerError, match=message):
            judge(server).check()

    def test_nobody_there(self):
        with pytest.raises(ServerError, match=r"at http://127.0.0.1:9/v1 must answer before training .* Connection"):
            judge("http://127.0.0.1:9/v1").check()


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"model": ""}, "model must be the name of the model on the server, got ''"),
            ({"base_url": "localhost:8000"}, "URL must start with http:// or https://, got 'localhost:8000'"),
            ({"concurrency": 0}, "concurrency must be at least 1"),
            ({"retries": -1}, "retries at least 0"),
            ({"timeout": 0}, "timeout must be above 0 seconds"),
            ({"deadline": float("nan")}, "deadline above 0 s; got 16, nan"),
            ({"max_chars": 10}, "max_chars must be at least 100 characters, got 10"),
            ({"rubric": "be strict"}, "rubric must be a Rubric, got 'be strict'"),
        ],
    )
    def test_bad(self, arguments, message):
        with pytest.raises(ConfigError, match=message):
            JudgeExploration(**{"model": "judge", **arguments})

    def test_openai_not_installed(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(MissingDependencyError, match=r"for a judge 'trl-rlsp\[judge\]'"):
            JudgeExploration("judge")

    def test_fixed_name_and_bounded(self):
        assert (JudgeExploration("judge").__name__, JudgeExploration.bounded) == ("judge_exploration", True)
