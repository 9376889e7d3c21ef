"""A pytest plugin that tells what became of each case of the conformance suite, one line of JSON a case.

It changes two things about a run and nothing about a case: every case gets a bucket prefix of its own, so that
one which leaves buckets behind fails alone, and a case that hangs is ended.
"""

import json
import os
import signal

import pytest

CASE_SECONDS_MAX = int(os.environ["HOLDFAST_CASE_SECONDS_MAX"])
REASON_CHARACTERS_MAX = 400

_results = {}


class CaseTimedOut(BaseException):
    """Not an Exception: the suite catches those when it cleans up."""


def _on_alarm(_signal, _frame):
    raise CaseTimedOut(f"still running after {CASE_SECONDS_MAX} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    import s3tests.functional as suite

    if suite.prefix is not None:
        suite.prefix = suite.choose_bucket_prefix(template="hf-{random}-")
    previous = signal.signal(signal.SIGALRM, _on_alarm)
    signal.alarm(CASE_SECONDS_MAX)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        _write(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    known = _results.setdefault(item.nodeid, {"outcome": "passed", "reason": "", "line": 0, "seconds": 0.0})
    known["seconds"] += report.duration
    if report.skipped and known["outcome"] == "passed":
        known["outcome"] = "skipped"
        known["reason"] = str(call.excinfo.value) if call.excinfo else ""
    if report.failed and known["outcome"] != "failed":
        known["outcome"] = "failed"
        known["when"] = report.when
        known["reason"] = _reason(call.excinfo)
        known["line"] = _line(item, call.excinfo)
    return report


def _reason(excinfo):
    text = f"{excinfo.typename}: {excinfo.value}"
    return " ".join(text.split())[:REASON_CHARACTERS_MAX]


def _line(item, excinfo):
    """The last line of the suite's own code that was reached."""
    suite = str(item.path)
    lines = [entry.lineno + 1 for entry in excinfo.traceback if str(entry.path) == suite]
    return lines[-1] if lines else 0


def _write(item):
    known = _results.pop(item.nodeid, None)
    if known is None:
        return
    known["file"] = item.path.name
    known["case"] = item.name
    known["marks"] = sorted({mark.name for mark in item.iter_markers()})
    known["seconds"] = round(known["seconds"], 2)
    with open(os.environ["HOLDFAST_REPORT"], "a", encoding="utf-8") as out:
        out.write(json.dumps(known) + "\n")
