"""Worker processes that can be killed: bounded time and memory for work that cannot be trusted.

A pool runs one function, named by its import path, on one item at a time in each of its processes. Items and results
are plain values and cross a socket pair as pickles. Whatever an item does (spin, allocate, crash) costs that item
and a new process; the pool goes on.

Decisions:
    Own processes on a pipe instead of concurrent.futures: its children survive a killed parent, and one crash breaks
    its whole pool. Here the kernel ends a worker with its parent (PR_SET_PDEATHSIG), the end of the pipe does so
    elsewhere, and an alarm set for each item ends one that hangs as an orphan.

    One thread for each worker owns it from birth to death. The kernel's signal is tied to the *thread* that started
    the process, so the threads that call `submit` (a runner's, short-lived) must not be it.

    Workers start when there is work for them: the first with the first item, another when items queue up. They are
    kept for later waves and leave after `idle_seconds` without work.

    The clock of an item starts when a worker that has said it is ready gets it: starting Python and importing takes
    longer than most items.

Limits: the memory limit is on address space (RLIMIT_AS); where the system has none, only the deadline holds.
"""

import atexit
import collections
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Optional

START_SECONDS = 120.0  # a cold disk and a busy machine; measured 0.5 s
_START_ATTEMPTS = 3
_BOOT = (
    "import sys, json; s = json.loads(sys.argv[1]); sys.path[:] = s['path']; "
    "from transforms.worker_pool import serve; serve(s)"
)
_PR_SET_PDEATHSIG = 1
_KEPT_FREE_BYTES = 1 << 20  # given back when memory runs out, so that the worker can still say so


class Outcome(NamedTuple):
    """What became of one item.

    `kind`: ok (`value` is the function's result), rejected and transient (it raised an IngestError: `reason` and
    `message` are its own), bug (it raised anything else), timeout, memory, crash (the worker died).
    """

    kind: str
    value: Any = None
    reason: str = ""
    message: str = ""


class WorkerStartError(RuntimeError):
    """Workers cannot start at all (import path wrong, installation broken): no item is to blame."""


class Lane:
    """One caller's way into a pool: what it submits comes back to it alone, in any order.

    Not shared between threads. Leaving a lane with items under way is allowed; their results are dropped.
    """

    def __init__(self, pool: "WorkerPool") -> None:
        self._pool = pool
        self._done: queue.SimpleQueue[tuple[Any, Outcome]] = queue.SimpleQueue()
        self.in_flight = 0

    def submit(self, key: Any, item: Any) -> None:
        """Queue `item`; its outcome comes back under `key`, which stays in this process."""
        data = pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)
        self.in_flight += 1
        self._pool.enqueue(_Task(key, data, self._done.put))

    def take(self, *, wait: bool = False, timeout_seconds: Optional[float] = None) -> list[tuple[Any, Outcome]]:
        """Return what has finished; with `wait` at least one, if anything is under way, unless the time is over.

        Raises:
            WorkerStartError: the pool cannot start its workers.
        """
        done: list[tuple[Any, Outcome]] = []
        while self.in_flight:
            try:
                key, outcome = self._done.get(wait and not done, timeout_seconds)
            except queue.Empty:
                break
            self.in_flight -= 1
            if outcome.kind == "start":
                raise WorkerStartError(outcome.message)
            done.append((key, outcome))
        return done


class _Task(NamedTuple):
    key: Any
    data: bytes
    done: Callable[[tuple[Any, Outcome]], None]


class WorkerPool:
    """Up to `workers` processes that run `function` on items.

    Args:
        function: ``module:name`` of a function of one plain value; workers import nothing else.
        workers: the most processes at a time, at least 1.
        deadline_seconds: wall time for one item; the worker is killed after it.
        memory_bytes: the address space of a worker, all in all.
        idle_seconds: a worker without work leaves after this time.
    """

    def __init__(
        self, function: str, *, workers: int, deadline_seconds: float, memory_bytes: int, idle_seconds: float = 300.0
    ) -> None:
        if ":" not in function:
            raise ValueError(f"function must be 'module:name', got {function!r}")
        if workers < 1 or deadline_seconds <= 0 or memory_bytes <= 0 or idle_seconds <= 0:
            raise ValueError(
                f"limits must be positive, got {workers=} {deadline_seconds=} {memory_bytes=} {idle_seconds=}"
            )
        self.function, self.workers = function, workers
        self.deadline_seconds, self.memory_bytes, self.idle_seconds = deadline_seconds, memory_bytes, idle_seconds
        self._tasks: queue.SimpleQueue[Optional[_Task]] = queue.SimpleQueue()
        self._left: collections.deque[Lane] = collections.deque()
        self._lock = threading.Lock()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._keepers = 0
        self._idle = 0
        self._closed = False

    def open_lane(self, *, resume: bool = False) -> Lane:
        """Return a way into this pool: a new one, or with `resume` one that was left, if there is one."""
        if resume:
            with contextlib.suppress(IndexError):
                return self._left.popleft()
        return Lane(self)

    def leave(self, lane: Lane) -> None:
        """Leave a lane with what is under way in it to whoever resumes it."""
        self._left.append(lane)

    def submit(self, item: Any) -> "Future[Outcome]":
        """Queue `item` and return what will hold its outcome, of kind ``start`` where workers cannot start at all."""
        future: Future[Outcome] = Future()

        def done(keyed: tuple[Any, Outcome]) -> None:
            if future.set_running_or_notify_cancel():
                future.set_result(keyed[1])

        self.enqueue(_Task(None, pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL), done))
        return future

    def enqueue(self, task: _Task) -> None:
        """Queue a task and see that somebody will do it (for `Lane`)."""
        with self._lock:
            if self._closed:
                raise WorkerStartError("the worker pool is closed")
            self._tasks.put(task)
            waiting = self._tasks.qsize()
            # A new worker costs about twenty pages of work: only a queue beyond the present ones is worth it.
            if self._keepers < self.workers and (self._keepers == 0 or waiting > self._idle + 1):
                self._keepers += 1
                threading.Thread(target=self._keep_worker, name="newsbeam-worker", daemon=True).start()

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers now alive."""
        with self._lock:
            return [p.pid for p in self._processes.values() if p.poll() is None]

    def close(self) -> None:
        """End all workers at once; items under way come back as crashed."""
        with self._lock:
            self._closed = True
            for _ in range(self._keepers):
                self._tasks.put(None)
            processes = list(self._processes.values())
        for process in processes:
            process.kill()
            process.wait()

    # One thread runs this for each worker.
    def _keep_worker(self) -> None:
        worker: Optional[_Worker] = None
        try:
            while True:
                task = self._next_task()
                if task is None:
                    return
                outcome, worker = self._run(task, worker)
                task.done((task.key, outcome))
        finally:
            if worker is not None:
                self._end(worker)

    def _next_task(self) -> Optional[_Task]:
        with self._lock:
            self._idle += 1
        try:
            task = self._tasks.get(timeout=self.idle_seconds)
        except queue.Empty:
            task = None
        with self._lock:
            self._idle -= 1
            if task is None:
                # Under the lock of `enqueue`: a task that came in meanwhile either is seen here or starts a new keeper.
                with contextlib.suppress(queue.Empty):
                    task = None if self._closed else self._tasks.get_nowait()
            if task is None:
                self._keepers -= 1
        return task

    def _run(self, task: _Task, worker: Optional["_Worker"]) -> tuple[Outcome, Optional["_Worker"]]:
        if worker is None:
            try:
                worker = self._start()
            except WorkerStartError as error:
                return Outcome("start", message=str(error)), None
        try:
            worker.pipe.send_bytes(task.data)
            if not worker.pipe.poll(self.deadline_seconds):
                self._end(worker)
                return Outcome("timeout", message=f"no result within {self.deadline_seconds:g} s"), None
            outcome, keep = pickle.loads(worker.pipe.recv_bytes())  # noqa: S301 - our own process wrote it
        except (OSError, EOFError) as error:
            code = self._end(worker)
            told = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            return Outcome("crash", message=f"the worker process ended with {told} ({type(error).__name__})"), None
        if not keep:
            self._end(worker)
            return Outcome(*outcome), None
        return Outcome(*outcome), worker

    def _start(self) -> "_Worker":
        said = ""
        for _ in range(_START_ATTEMPTS):
            try:
                ours, theirs = Pipe()
            except OSError as error:
                said = str(error)
                continue
            path = [os.path.abspath(p) if p else os.getcwd() for p in sys.path]
            settings = {
                "path": path, "fd": theirs.fileno(), "parent": os.getpid(), "function": self.function,
                "memory_bytes": self.memory_bytes, "alarm_seconds": 2 * self.deadline_seconds + 5,
            }  # fmt: skip
            try:
                with theirs:
                    process = subprocess.Popen(  # noqa: S603 - our own interpreter on our own module
                        [sys.executable, "-c", _BOOT, json.dumps(settings)],
                        pass_fds=[theirs.fileno()],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                    )
            except OSError as error:  # no memory or no file descriptor for a process
                ours.close()
                said = str(error)
                continue
            worker = _Worker(process, ours)
            with self._lock:
                closed = self._closed
                self._processes[process.pid] = process
            try:
                if not closed and ours.poll(START_SECONDS):
                    said = pickle.loads(ours.recv_bytes())  # noqa: S301 - our own process wrote it
                    if said == "ready":
                        return worker
            except (OSError, EOFError):
                said = "it ended while starting"
            self._end(worker)
            if closed:
                break
        raise WorkerStartError(f"worker processes for {self.function} do not start: {said or 'no answer'}")

    def _end(self, worker: "_Worker") -> int:
        worker.pipe.close()
        worker.process.kill()
        code = worker.process.wait()
        with self._lock:
            self._processes.pop(worker.process.pid, None)
        return code


class _Worker(NamedTuple):
    process: "subprocess.Popen[bytes]"
    pipe: Connection


_shared: dict[tuple[Any, ...], WorkerPool] = {}
_shared_lock = threading.Lock()


def shared_pool(function: str, *, workers: int, deadline_seconds: float, memory_bytes: int) -> WorkerPool:
    """Return this process's pool with these settings: one for all threads and waves, ended at exit."""
    key = (os.getpid(), function, workers, deadline_seconds, memory_bytes)
    with _shared_lock:
        pool = _shared.get(key)
        if pool is None:
            pool = WorkerPool(function, workers=workers, deadline_seconds=deadline_seconds, memory_bytes=memory_bytes)
            _shared[key] = pool
        return pool


@atexit.register
def close_shared_pools() -> None:
    """End the workers of all shared pools of this process; a later `shared_pool` starts afresh."""
    with _shared_lock:
        pools = [_shared.pop(key) for key in list(_shared) if key[0] == os.getpid()]
    for pool in pools:
        pool.close()


# --- the worker's side --------------------------------------------------------------------------------------------


def serve(settings: dict[str, Any]) -> None:
    """Be a worker: answer items on the pipe until it ends. Runs in the worker process only."""
    _die_with(settings["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    # The default action of SIGALRM ends the process even inside C code: the bound of an orphan that hangs.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with Connection(settings["fd"]) as pipe:
        try:
            function = _imported(settings["function"])
        except Exception as error:
            pipe.send_bytes(pickle.dumps(f"{type(error).__name__}: {error}"))
            return
        limited = _limit_memory(settings["memory_bytes"])
        # Items make many objects and few cycles: looking for these as often as by default takes a sixth of the time.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        try:
            pipe.send_bytes(pickle.dumps("ready"))
            while True:
                data = pipe.recv_bytes()
                signal.setitimer(signal.ITIMER_REAL, settings["alarm_seconds"])
                outcome, keep = _answer(function, data)
                signal.setitimer(signal.ITIMER_REAL, 0)
                # A heap that has grown so far does not shrink again: the parent starts a new worker.
                keep = keep and not (limited and _peak_bytes() > settings["memory_bytes"] // 2)
                pipe.send_bytes(pickle.dumps((tuple(outcome), keep), protocol=pickle.HIGHEST_PROTOCOL))
                if not keep:
                    return
        except (EOFError, OSError):
            return  # the parent closed the pipe or died


def _answer(function: Callable[[Any], Any], data: bytes) -> tuple[Outcome, bool]:
    """Run the function; return its outcome and whether this process is fit for another item."""
    reserve: Optional[bytearray] = bytearray(_KEPT_FREE_BYTES)
    try:
        return Outcome("ok", function(pickle.loads(data))), True  # noqa: S301 - our own parent wrote it
    except MemoryError:
        reserve = None
        return Outcome("memory", message="the memory limit of a worker was reached"), False
    except Exception as error:
        kinds = {c.__name__ for c in type(error).__mro__}
        reason, message = getattr(error, "reason", ""), getattr(error, "message", str(error))
        if "IngestError" in kinds:
            return Outcome("transient" if "TransientError" in kinds else "rejected", None, reason, message), True
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        line = f" at {os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}" if where else ""
        return Outcome("bug", None, "bug", f"{type(error).__name__}: {error}{line}"), True
    finally:
        del reserve


def _imported(path: str) -> Callable[[Any], Any]:
    module, _, name = path.partition(":")
    function: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
    return function


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process with the thread that started it; a no-op where it cannot."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it died before the kernel was asked


def _limit_memory(memory_bytes: int) -> bool:
    import resource  # not on every system

    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    except (ValueError, OSError):
        return False
    return True


def _peak_bytes() -> int:
    # Not ru_maxrss: Linux hands on the parent's peak across fork and exec; a large parent would retire every worker.
    try:
        with open("/proc/self/status", "rb") as status:
            return next((int(line.split()[1]) * 1024 for line in status if line.startswith(b"VmHWM")), 0)
    except OSError:
        return 0
