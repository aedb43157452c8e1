"""Randomised answers: unbiased, permanent, within the budget."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collect import respond
from agent.collect.respond import EPSILON_MONTH_MAX, Responder
from agent.model import Rule
from agent.storage.memory import DictMemory
from tests.agent.collect.build import ns, rule

WEEK_S = 604_800
DAY_S = 86_400
WEEKLY = rule("Test.A", every_s=WEEK_S)
CARS = 12_000


def answer(responder: Responder, truth: int, *, asked: Rule = WEEKLY, k: int = 4, epsilon: float = 1.0, t_s: float = 0) -> int | None:
    return responder.answer(asked, truth, k, epsilon, ns(t_s))


def fleet(truths: list[int], k: int, epsilon: float) -> Counter[int]:
    """What a fleet of cars says whose truths are given."""
    source = random.Random(7)
    said: Counter[int] = Counter()
    for truth in truths:
        one = answer(Responder(DictMemory(), source), truth, k=k, epsilon=epsilon)
        assert one is not None
        said[one] += 1
    return said


def estimate(said: Counter[int], k: int, epsilon: float) -> list[float]:
    """The recipient's unbiased estimate of each share (Kairouz et al. 2016)."""
    total = sum(said.values())
    p = math.exp(epsilon) / (math.exp(epsilon) + k - 1)
    q = 1 / (math.exp(epsilon) + k - 1)
    return [(said[j] / total - q) / (p - q) for j in range(k)]


def sabotage_honesty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Says the truth too seldom: always another bucket."""
    original = Responder.answer
    monkeypatch.setattr(Responder, "answer", lambda self, one, truth, k, eps, t_ns: original(self, one, (truth + 1) % k, k, eps, t_ns))


@pytest.mark.req("R12", "T17", control=sabotage_honesty)
@pytest.mark.parametrize(("k", "epsilon", "shares"), [(4, 1.0, (5, 3, 2, 0)), (5, 0.5, (1, 1, 1, 1, 6)), (2, 1.0, (9, 1))])
def test_the_estimate_is_unbiased(k: int, epsilon: float, shares: tuple[int, ...]) -> None:
    """Over a fleet the estimator finds every share within four standard errors."""
    truths = [j for j, share in enumerate(shares) for _ in range(CARS * share // 10)]
    found = estimate(fleet(truths, k, epsilon), k, epsilon)
    p, q = math.exp(epsilon) / (math.exp(epsilon) + k - 1), 1 / (math.exp(epsilon) + k - 1)
    for share, got in zip(shares, found, strict=True):
        said = share / 10 * p + (1 - share / 10) * q
        assert abs(got - share / 10) < 4 * math.sqrt(said * (1 - said) / CARS) / (p - q)


def sabotage_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Responder, "answer", lambda _, __, truth, *___: truth)


@pytest.mark.req("R12", control=sabotage_plain)
def test_no_answer_is_e_times_more_likely_for_one_truth_than_for_another() -> None:
    """The promise of epsilon = 1, counted; and every answer is possible for every truth."""
    counts = [fleet([truth] * CARS, 4, 1.0) for truth in range(4)]
    for said in range(4):
        often = sorted(count[said] / CARS for count in counts)
        assert often[0] > 0
        assert often[-1] / often[0] < math.e * 1.12


def sabotage_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DictMemory, "get", lambda _, __: None)


@pytest.mark.req("T17", control=sabotage_memory)
def test_the_answer_of_a_period_is_permanent() -> None:
    """Asked a hundred times in its week, also after restarts and for another truth, it stays what it was: nothing averages out."""
    memory = DictMemory()
    first = answer(Responder(memory, random.Random(1)), 2)
    asked = {answer(Responder(memory, random.Random(i)), i % 4, t_s=i * 1000) for i in range(100)}
    assert asked == {first}


def sabotage_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(respond, "EPSILON_MONTH_MAX", 1000.0)


@pytest.mark.req("R12", "T17", control=sabotage_budget)
def test_the_budget_refuses() -> None:
    """A question asked daily is answered four times in thirty days at epsilon 1, then again when the first is over."""
    daily = rule("Test.A", every_s=DAY_S)
    responder = Responder(DictMemory(), random.Random(1))
    given_on = [day for day in range(60) if answer(responder, 1, asked=daily, t_s=day * DAY_S) is not None]
    assert given_on == [0, 1, 2, 3, 30, 31, 32, 33]


@given(st.floats(0.05, 1.0), st.integers(1, 10))
def test_no_thirty_days_cost_more_than_the_budget(epsilon: float, every_days: int) -> None:
    """Whatever the catalogue asks for within its own limits."""
    one = rule("Test.A", every_s=every_days * DAY_S)
    responder = Responder(DictMemory(), random.Random(1))
    answered = [day for day in range(0, 90, every_days) if answer(responder, 0, asked=one, epsilon=epsilon, t_s=day * DAY_S) is not None]
    assert answered
    for day in answered:
        assert sum(day - 30 < other <= day for other in answered) * epsilon <= EPSILON_MONTH_MAX + 1e-6


@pytest.mark.parametrize(("truth", "k", "epsilon"), [(0, 4, 1.01), (0, 4, 5.0), (4, 4, 1.0), (-1, 4, 1.0), (0, 0, 1.0)])
def test_more_than_epsilon_one_and_impossible_truths_are_refused(truth: int, k: int, epsilon: float) -> None:
    """No answer, and none is remembered."""
    memory = DictMemory()
    assert answer(Responder(memory), truth, k=k, epsilon=epsilon) is None
    assert memory.keys() == []


def test_a_question_without_a_period_is_not_answered() -> None:
    """Without `every_s` each asking would be a new answer."""
    assert answer(Responder(DictMemory()), 1, asked=rule("Test.A")) is None


def test_questions_have_answers_of_their_own() -> None:
    """One signal's answer says nothing about another's, and neither uses up the other's budget."""
    responder = Responder(DictMemory(), random.Random(3))
    others = [rule(f"Test.{i}", every_s=WEEK_S) for i in range(40)]
    assert len({answer(responder, 0, asked=one) for one in others}) > 1
    assert all(answer(responder, 0, asked=one, t_s=week * WEEK_S) is not None for one in others for week in range(4))
