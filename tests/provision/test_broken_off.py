"""Every file operation of a run fails in turn, or the process is killed there: each file is old or new, and the next run goes on."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import scenarios
from control_plane_host import Host, Ran
from scenarios import Ends, Scenario
from tracing import CHANGING, LOOKING, Call, changes, fail, inside, kill, trace
from tree import difference, untouched

ERRORS = ["EIO", "ENOSPC", "EACCES", "EROFS"]
# Where it is seen what comes of a look that fails, too: it is the same code elsewhere.
LOOKED = [scenarios.FRESH, scenarios.UPDATE, scenarios.BACK]
# What tells two looks at the same thing apart: numbers of processes and descriptors, and what came of it.
LOOK = re.compile(r"^\d+ +|(?<=[(])\d+|= \d+|st_mode.*|stx_.*")


@pytest.fixture
def ends(request, make_host) -> Ends:
    """Of the scenario that the test is parametrized with."""
    scenario = request.param
    return Ends(scenario, make_host(*scenario.arguments))


def calls_of(ends: Ends) -> list[Call]:
    """Of a whole run, those that are about the host."""
    rehearsal = ends.start.copy(ends.start.root.parent / "rehearsal")
    ran, calls = trace(rehearsal, *ends.scenario.command, calls=(*CHANGING, *LOOKING))
    assert ran.status == 0, ran.stderr
    calls = inside(rehearsal, calls)
    rehearsal.remove()
    return calls


def changes_of(ends: Ends) -> list[Call]:
    return [call for call in calls_of(ends) if changes(call) and not call.failed]


def in_turn(ends: Ends, cases: list, judge) -> None:
    """Judges each case on a host of its own; two at a time, which is what the machine has."""

    def one(number_and_case) -> list[str]:
        number, case = number_and_case
        host = ends.start.copy(ends.start.root.parent / f"host-{number}")
        faults = [f"{case}: {fault}" for fault in judge(host, case)]
        host.remove()
        return faults

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = [fault for found in pool.map(one, enumerate(cases)) for fault in found]
    assert cases
    assert not faults, f"{len(faults)} faults in {len(cases)} cases:\n" + "\n".join(faults[:40])


def goes_on(ends: Ends, host: Host) -> list[str]:
    """The next run completes, one more changes nothing, and the way back leads to what was there before."""
    if difference(ends.before, host.tree()) == []:
        # It is where it began: what comes of that has been seen.
        return []
    again = host.run(*ends.scenario.command)
    if again.status != 0:
        return [f"the next run: {again.status} {again.stderr}"]
    faults = [f"after the next run: {fault}" for fault in ends.incomplete(host)]
    if not ends.scenario.back:
        for _ in range(1, ends.scenario.halves):
            host.done("provision")
        faults += [f"the run after that: {fault}" for fault in settled(ends, host)]
        back = host.unprovision()
        if back.status != 0:
            return [*faults, f"unprovision: {back.status} {back.stderr}"]
        faults += [f"after unprovision: {fault}" for fault in ends.not_back(host)]
    return faults


def settled(ends: Ends, host: Host) -> list[str]:
    before = host.tree()
    ran = host.provision(*(word for word in ends.scenario.command[1:] if word not in ("--rotate", "ca", "leaf")))
    faults = [ran.stderr] if ran.status != 0 or ran.report["changed"] else []
    return faults + untouched(before, host.tree())


@pytest.mark.parametrize("ends", scenarios.ALL, indirect=True, ids=lambda scenario: scenario.name)
def test_a_run_that_is_killed_leaves_each_file_old_or_new_and_the_next_one_goes_on(ends):
    def judge(host: Host, call: Call) -> list[str]:
        kill(host, call, *ends.scenario.command)
        return ends.faults(host) + goes_on(ends, host)

    in_turn(ends, changes_of(ends), judge)


@pytest.mark.parametrize("ends", [scenarios.FRESH, scenarios.UNIT], indirect=True, ids=lambda scenario: scenario.name)
def test_a_run_that_is_killed_can_be_taken_back_at_once(ends):
    def judge(host: Host, call: Call) -> list[str]:
        kill(host, call, *ends.scenario.command)
        host.done("unprovision")
        return ends.not_back(host)

    in_turn(ends, changes_of(ends), judge)


@pytest.mark.parametrize("ends", scenarios.ALL, indirect=True, ids=lambda scenario: scenario.name)
def test_a_run_in_which_a_file_operation_fails_leaves_each_file_old_or_new_and_the_next_one_goes_on(ends):
    def judge(host: Host, case: tuple[Call, str]) -> list[str]:
        call, error = case
        before = host.tree()
        ran = fail(host, call, error, *ends.scenario.command)
        faults = ends.faults(host)
        leftovers = [path for path in host.tree() if ".iamgate-" in path]
        faults += [f"left behind: {path}" for path in leftovers]
        faults += told(ends, host, ran)
        if "nothing was changed" in ran.report["msg"]:
            faults += [f"something was changed: {line}" for line in difference(before, host.tree())]
        return faults + goes_on(ends, host)

    calls = [call for call in calls_of(ends) if not call.failed and (changes(call) or ends.scenario in LOOKED)]
    calls = first_and_last(calls)
    cases = [(call, ERRORS[number % len(ERRORS)]) for number, call in enumerate(calls)]
    in_turn(ends, cases, judge)


def first_and_last(calls: list[Call]) -> list[Call]:
    """All changes, but of the same look at the same thing no more than two."""
    first, last = {}, {}
    for call in calls:
        what = (call.name, call.number) if changes(call) else LOOK.sub("", call.text)
        first.setdefault(what, call)
        last[what] = call
    return sorted({*first.values(), *last.values()}, key=calls.index)


def told(ends: Ends, host: Host, ran: Ran) -> list[str]:
    """Either nothing came of the failure, or it is told with its place."""
    report = ran.report
    if ran.status == 0:
        return [f"done, it says: {fault}" for fault in ends.incomplete(host)]
    if ran.status not in (1, 3) or not report["failed"]:
        return [f"status {ran.status}: {report}"]
    named = any(refusal.get("path") for refusal in report.get("refusals", ()))
    return [] if named or str(host.root) in report["msg"] else [f"names no path: {report['msg']}"]
