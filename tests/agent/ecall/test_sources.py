"""agent.ecall.sources: when the own modem is asked for the place."""

from __future__ import annotations

from agent.ecall.sources import ASK_CALM_NS, ASK_NS, CORE, SILENT_NS, Sources

T_NS = 10**12


def test_it_is_asked_as_long_as_core_is_silent() -> None:
    """From the first moment, again and again; and not while core speaks."""
    sources = Sources()
    assert sources.ask_due(T_NS, urgent=False)
    sources.heard_ns[CORE] = T_NS
    assert not sources.ask_due(T_NS + SILENT_NS - 1, urgent=True)
    assert sources.ask_due(T_NS + SILENT_NS, urgent=False)


def test_it_is_asked_more_often_while_a_call_is_on() -> None:
    """Never twice within the pause."""
    sources = Sources()
    due = [sources.ask_due(T_NS + n * ASK_NS // 2, urgent=True) for n in range(5)]
    assert due == [True, False, True, False, True]
    calm = Sources()
    assert [calm.ask_due(T_NS + n * ASK_NS, urgent=False) for n in range(ASK_CALM_NS // ASK_NS + 1)] == [True, *[False] * 4, True]


def test_what_the_modem_told_does_not_count_as_core() -> None:
    """It has to be asked again."""
    sources = Sources({"at": T_NS})
    assert sources.ask_due(T_NS, urgent=False)
