"""Workers that spin, allocate, crash or lose their parent: the item pays, the pool goes on, nobody is left behind.

Nothing here is decided by a sleep: conditions are polled up to a generous end.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from transforms.worker_pool import Outcome, WorkerPool, WorkerStartError, close_shared_pools, shared_pool

ROOT = Path(__file__).resolve().parent.parent
WORK = "tests.worker_tasks:do"
MEMORY = 600_000_000


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def run(pool: WorkerPool, *items: tuple[str, Any]) -> dict[int, Outcome]:
    lane = pool.open_lane()
    for key, item in enumerate(items):
        lane.submit(key, item)
    done: dict[int, Outcome] = {}
    while lane.in_flight:
        done.update(lane.take(wait=True))
    return done


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(WORK, workers=1, deadline_seconds=30, memory_bytes=MEMORY)
    yield made
    made.close()


@pytest.fixture
def strict_pool() -> Iterator[WorkerPool]:
    made = WorkerPool(WORK, workers=1, deadline_seconds=0.5, memory_bytes=MEMORY)
    yield made
    made.close()


def test_results_come_back_under_their_keys(pool: WorkerPool) -> None:
    done = run(pool, *(("double", n) for n in range(50)))
    assert {key: outcome.value for key, outcome in done.items()} == {n: 2 * n for n in range(50)}
    assert {outcome.kind for outcome in done.values()} == {"ok"}


def test_no_worker_is_started_before_there_is_work(pool: WorkerPool) -> None:
    assert pool.worker_pids() == []
    run(pool, ("double", 1))
    assert len(pool.worker_pids()) == 1


def test_one_worker_serves_wave_after_wave(pool: WorkerPool) -> None:
    pids = {run(pool, ("pid", 0))[0].value for _ in range(5)}
    assert pids == set(pool.worker_pids())


def test_a_queue_gets_a_second_worker_and_never_a_third() -> None:
    pool = WorkerPool(WORK, workers=2, deadline_seconds=30, memory_bytes=MEMORY)
    try:
        done = run(pool, *(("sleep", 0.05) for _ in range(30)))
        assert len(done) == 30
        assert len(pool.worker_pids()) == 2
    finally:
        pool.close()


@pytest.mark.parametrize("what", ["spin", "spin in C"])
def test_an_item_beyond_its_deadline_is_stopped_and_the_others_go_on(strict_pool: WorkerPool, what: str) -> None:
    before = run(strict_pool, ("pid", 0))[0].value
    done = run(strict_pool, (what, None), ("double", 4), ("pid", 0))
    assert done[0].kind == "timeout"
    assert (done[1].kind, done[1].value) == ("ok", 8)
    assert done[2].value != before
    assert wait_until(lambda: not is_alive(before))


def test_starting_a_worker_does_not_count_against_the_deadline() -> None:
    pool = WorkerPool("tests.slow_to_import:do", workers=1, deadline_seconds=0.2, memory_bytes=MEMORY)
    try:
        assert run(pool, ("double", 2))[0] == Outcome("ok", 4)
    finally:
        pool.close()


def test_memory_beyond_the_limit_is_the_items_failure(pool: WorkerPool) -> None:
    done = run(pool, ("allocate", None), ("double", 4))
    assert done[0].kind == "memory"
    assert done[1] == Outcome("ok", 8)


def test_a_worker_that_has_grown_is_replaced_without_harm(pool: WorkerPool) -> None:
    done = run(pool, ("pid", 0), ("allocate and return", 400_000_000), ("pid", 0), ("double", 1))
    assert [done[n].kind for n in range(4)] == ["ok"] * 4
    assert done[0].value != done[2].value


def test_a_large_parent_does_not_make_its_workers_look_large(pool: WorkerPool) -> None:
    large = b"x" * (MEMORY * 2 // 3)
    assert len({run(pool, ("pid", 0))[0].value for _ in range(3)}) == 1
    del large


@pytest.mark.parametrize("item, told", [(("exit", 3), "exit status 3"), (("segfault", None), "SIGSEGV")])
def test_a_crash_is_the_items_failure(pool: WorkerPool, item: tuple[str, Any], told: str) -> None:
    done = run(pool, item, ("double", 4))
    assert done[0].kind == "crash"
    assert told in done[0].message
    assert done[1] == Outcome("ok", 8)


def test_what_the_function_raises_is_told_apart(pool: WorkerPool) -> None:
    done = run(pool, ("reject", None), ("transient", None), ("defect", "x"), ("double", 1))
    assert done[0] == Outcome("rejected", None, "no_article", "nothing here")
    assert done[1] == Outcome("transient", None, "busy", "try later")
    assert done[2].kind == "bug"
    assert done[2].message.startswith("KeyError: 'x' at worker_tasks.py:")
    assert done[3].kind == "ok"


def test_a_worker_that_prints_does_not_disturb_the_pipe(pool: WorkerPool) -> None:
    assert run(pool, ("print", "hello"))[0] == Outcome("ok", "hello")


def test_large_items_cross_the_pipe(pool: WorkerPool) -> None:
    assert run(pool, ("double", b"x" * 20_000_000))[0].value == b"x" * 40_000_000


def test_a_worker_killed_from_outside_costs_one_item_at_most(pool: WorkerPool) -> None:
    run(pool, ("double", 1))
    (pid,) = pool.worker_pids()
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(pid))
    kinds = [outcome.kind for outcome in run(pool, ("double", 1), ("double", 2)).values()]
    assert kinds in (["crash", "ok"], ["ok", "ok"])


@pytest.mark.parametrize("function", ["tests.worker_tasks:nothing", "tests.no_such_module:do"])
def test_workers_that_cannot_start_are_nobodys_dead_letter(function: str) -> None:
    pool = WorkerPool(function, workers=1, deadline_seconds=5, memory_bytes=MEMORY)
    lane = pool.open_lane()
    lane.submit(0, ("double", 1))
    with pytest.raises(WorkerStartError, match=r"do not start: (AttributeError|ModuleNotFoundError)"):
        lane.take(wait=True)
    pool.close()


def test_idle_workers_leave_and_come_back() -> None:
    pool = WorkerPool(WORK, workers=1, deadline_seconds=30, memory_bytes=MEMORY, idle_seconds=0.1)
    try:
        first = run(pool, ("pid", 0))[0].value
        assert wait_until(lambda: not is_alive(first))
        assert run(pool, ("double", 3))[0] == Outcome("ok", 6)
    finally:
        pool.close()


def test_a_lane_that_is_left_keeps_nothing_from_others(pool: WorkerPool) -> None:
    left = pool.open_lane()
    left.submit(0, ("double", 1))
    assert run(pool, ("double", 2)) == {0: Outcome("ok", 4)}


def test_an_outcome_can_be_waited_for_or_given_up(pool: WorkerPool) -> None:
    given_up, waited_for = pool.submit(("sleep", 0.05)), pool.submit(("double", 2))
    assert given_up.cancel()
    assert waited_for.result(60) == Outcome("ok", 4)
    assert pool.submit(("exit", 3)).result(60).kind == "crash"


def test_a_system_that_gives_no_process_is_nobodys_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    pool = WorkerPool(WORK, workers=1, deadline_seconds=5, memory_bytes=MEMORY)
    outcome = pool.submit(("double", 1)).result(60)
    assert outcome.kind == "start"
    assert "Cannot allocate memory" in outcome.message
    pool.close()


def test_closing_ends_the_workers() -> None:
    pool = WorkerPool(WORK, workers=1, deadline_seconds=30, memory_bytes=MEMORY)
    run(pool, ("double", 1))
    pids = pool.worker_pids()
    pool.close()
    assert [pid for pid in pids if is_alive(pid)] == []
    with pytest.raises(WorkerStartError, match="closed"):
        pool.open_lane().submit(0, ("double", 1))


def test_a_process_shares_one_pool_for_the_same_settings() -> None:
    def shared(deadline: float) -> WorkerPool:
        return shared_pool(WORK, workers=1, deadline_seconds=deadline, memory_bytes=MEMORY)

    one = shared(5)
    assert shared(5) is one
    assert shared(6) is not one
    close_shared_pools()
    assert shared(5) is not one


@pytest.mark.parametrize("limits", [{"workers": 0}, {"deadline_seconds": 0}, {"memory_bytes": -1}, {"idle_seconds": 0}])
def test_limits_are_checked(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        WorkerPool(WORK, **{"workers": 1, "deadline_seconds": 1, "memory_bytes": 1, **limits})


PARENT = """
import sys
sys.path.insert(0, {root!r})
from transforms.worker_pool import WorkerPool
pool = WorkerPool({work!r}, workers=2, deadline_seconds=600, memory_bytes={memory})
lane = pool.open_lane()
for n in range(8):
    lane.submit(n, ({what!r}, None))
import time
while len(pool.worker_pids()) < 2:
    time.sleep(0.01)
time.sleep({settle})
print(*pool.worker_pids(), flush=True)
sys.stdin.read()
"""


@pytest.mark.chaos
@pytest.mark.parametrize("what", ["spin", "spin in C"])
def test_a_parent_killed_outright_leaves_no_worker_behind(what: str) -> None:
    script = PARENT.format(root=str(ROOT), work=WORK, memory=MEMORY, what=what, settle=1)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        parent.kill()
        assert wait_until(lambda: not any(map(is_alive, pids)))


def test_a_parent_that_ends_normally_leaves_no_worker_behind() -> None:
    script = PARENT.format(root=str(ROOT), work=WORK, memory=MEMORY, what="spin", settle=0)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.stdin.close()
        assert parent.wait(60) == 0
        assert wait_until(lambda: not any(map(is_alive, pids)))


def test_a_worker_needs_no_beam() -> None:
    """Importing Beam takes seconds: a worker for three pages would cost more than the pages."""
    code = "import sys, transforms.extract_core, transforms.worker_pool; print('apache_beam' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
