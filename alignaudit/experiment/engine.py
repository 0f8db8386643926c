"""Running the graph of a study: ready stages go to worker processes, finished ones never run again.

Correctness lives in the store alone (content-addressed, committed by one rename); this module
only decides what runs when. Workers are single-threaded processes, one per GPU where there are any.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import queue
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from alignaudit.core.plan import Stage, StudyPlan
from alignaudit.core.store import Store
from alignaudit.core.study import Data
from alignaudit.errors import AlignAuditError, DamagedRecordError, InterruptedRunError, SetupError
from alignaudit.experiment.context import Context
from alignaudit.experiment.execute import execute

__all__ = ["Event", "Machine", "find_machine", "repair", "run_plan"]

WIND_DOWN_S = 240.0  # a state of XLM-R-large is 7 GB; SLURM gives notice of minutes
_PRIORITY = ("pretrain", "intermediate", "target", "untrained", "baselines", "measure")
_VARIABLES = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # what torch asks for deterministic matrix products on a GPU
}


@dataclass(frozen=True, slots=True)
class Machine:
    """Where stages run.

    Attributes
    ----------
    devices
        One entry per worker process: ``cpu`` or ``cuda:<index>``.
    keep_every_s
        Seconds between two kept training states.
    """

    devices: tuple[str, ...]
    keep_every_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell the user: a stage was ``started``, made ``progress``, or ``finished``."""

    kind: str
    label: str
    done: int = 0
    total: int = 0
    loss: float = float("nan")


def find_machine(device: str = "auto", workers: int | None = None, keep_every_s: float = 60.0) -> Machine:
    """Return the devices to run on: every GPU, or else as many CPU workers as there are cores.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    workers
        Number of worker processes; at most 8 CPU workers by default.
    keep_every_s
        Seconds between two kept training states.

    Raises
    ------
    SetupError
        If ``cuda`` is asked for and there is none.
    """
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if device == "cuda" and gpus == 0:
        raise SetupError(
            "no CUDA device.", where="--device cuda", hint="Use --device cpu, or check the driver."
        )
    if gpus:
        return Machine(tuple(f"cuda:{index % gpus}" for index in range(workers or gpus)), keep_every_s)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(("cpu",) * (workers or min(cores, 8)), keep_every_s)


def repair(plan: StudyPlan, store: Store) -> list[str]:
    """Check every finished stage of a plan and move damaged ones aside, so that they run again.

    Returns
    -------
    list of str
        One sentence per damaged stage.
    """
    store.sweep()
    said = []
    for stage in plan.stages:
        if store.has(stage.key):
            shutil.rmtree(store.work(stage.key), ignore_errors=True)
            try:
                store.verify(stage.key)
            except DamagedRecordError as error:
                kept = store.set_aside(stage.key)
                said.append(f"{stage.label}: {error} Kept in {kept}; the stage runs again.")
    return said


def run_plan(
    plan: StudyPlan,
    store: Store,
    data: Data,
    machine: Machine,
    *,
    journal: Path | None = None,
    tell: Callable[[Event], None] | None = None,
) -> int:
    """Run every stage that is not finished yet and return how many were run.

    Parameters
    ----------
    plan
        The graph.
    store
        Finished and unfinished stages.
    data
        The study's ``[data]`` table.
    machine
        Worker processes and devices.
    journal
        A file that gets one JSON line per started and finished stage.
    tell
        Called in this process with progress.

    Raises
    ------
    InterruptedRunError
        On Ctrl-C or SIGTERM; training states are kept, the same call resumes.
    SetupError
        If a worker process died (killed, out of memory), or the disk is full.
    AlignAuditError
        Whatever a stage raised, with the stage's name.
    """
    say = _Teller(journal, tell)
    pending = {stage.key: stage for stage in plan.stages if not store.has(stage.key)}
    if not pending:
        return 0
    _check_disk(store.root)
    total = len(pending)
    stage = next(iter(pending.values()))
    with _pool(machine) as (pool, messages, stop):
        running: dict[Future[None], Stage] = {}
        try:
            while pending or running:
                for stage in _ready(pending, store)[: len(machine.devices) - len(running)]:
                    del pending[stage.key]
                    say(Event("started", stage.label), stage.key)
                    with _interrupts_blocked():  # a worker started here must not be hit while it imports
                        future = pool.submit(_work, stage, store.root, data, machine.keep_every_s)
                    running[future] = stage
                if not running:
                    stage = next(iter(pending.values()))
                    raise DamagedRecordError(
                        "a stage it builds on is gone.", hint="Run the same command again."
                    )
                finished, _ = wait(running, timeout=0.3, return_when=FIRST_COMPLETED)
                say.drain(messages)
                for future in finished:
                    stage = running.pop(future)
                    future.result()
                    say(Event("finished", stage.label, total - len(pending) - len(running), total), stage.key)
        except BaseException as error:
            _wind_down(running, stop)
            raise _in_words(error, stage) from error
    return total


def _in_words(error: BaseException, stage: Stage) -> BaseException:
    if isinstance(error, KeyboardInterrupt | InterruptedRunError):
        return InterruptedRunError(
            "stopped; finished stages and training states are kept.", hint="Run the same command to resume."
        )
    if isinstance(error, BrokenProcessPool):
        return SetupError(
            "a worker process died (killed, or out of memory).",
            where=stage.label,
            hint="Finished stages are kept: run again to resume, with fewer --workers if memory is short.",
        )
    if isinstance(error, torch.OutOfMemoryError):
        return SetupError(
            "the GPU's memory is full.",
            where=stage.label,
            hint="Raise optimisation.micro_batches, or lower measure.batch_size or max_length.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SetupError(
            "the disk is full.", where=stage.label, hint="Free some space and run the same command again."
        )
    if isinstance(error, AlignAuditError):
        place = f"{stage.label}: {error.where}" if error.where else stage.label
        return type(error)(error.what, where=place, hint=error.hint)
    return error


def _ready(pending: Mapping[str, Stage], store: Store) -> list[Stage]:
    ready = [stage for stage in pending.values() if all(store.has(parent) for parent in stage.parents)]
    return sorted(ready, key=lambda stage: _PRIORITY.index(stage.kind))


def _wind_down(running: Mapping[Future[None], Stage], stop: Any) -> None:
    """Ask the workers to keep their state, and give them time to write it (Ctrl-C again cuts it short)."""
    stop.set()
    for future in running:
        future.cancel()
    with suppress(KeyboardInterrupt):
        wait(running, timeout=WIND_DOWN_S)


def _check_disk(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if free < 2**24:
        raise SetupError(f"{free / 2**20:.0f} MB are free.", where=str(root), hint="Free some disk space.")


class _Teller:
    """Passes events on, and writes started and finished stages to the journal."""

    def __init__(self, journal: Path | None, tell: Callable[[Event], None] | None) -> None:
        self.journal = journal
        self.tell = tell

    def __call__(self, event: Event, key: str) -> None:
        if self.journal:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            line = {"time": round(time.time(), 3), "event": event.kind, "stage": event.label, "key": key}
            with self.journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if self.tell:
            self.tell(event)

    def drain(self, messages: Any) -> None:
        """Pass on what the workers said since the last call."""
        while True:
            try:
                event = messages.get_nowait()
            except (queue.Empty, OSError, EOFError):
                return
            if self.tell:
                self.tell(event)


# --------------------------------------------------------------------------- worker processes


@dataclass(slots=True)
class _Worker:
    """What a worker process was given when it started."""

    device: str = "cpu"
    messages: Any = None
    stop: Any = None


_WORKER = _Worker()  # one per process, filled by _start_worker


@contextmanager
def _pool(machine: Machine) -> Iterator[tuple[ProcessPoolExecutor, Any, Any]]:
    """Start one process per device; on the way out none survives."""
    context = multiprocessing.get_context("spawn")
    devices, messages, stop = context.Queue(), context.Queue(), context.Event()
    for device in machine.devices:
        devices.put(device)
    with _environment(_VARIABLES), _terminated_as_interrupt():
        pool = ProcessPoolExecutor(
            len(machine.devices),
            mp_context=context,
            initializer=_start_worker,
            initargs=(devices, messages, stop),
        )
        try:
            yield pool, messages, stop
        finally:
            processes = list((getattr(pool, "_processes", None) or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.join(2 if stop.is_set() else 5)
                if process.is_alive():
                    process.kill()
            for channel in (devices, messages):
                channel.cancel_join_thread()
                channel.close()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that worker processes read when they start, then put them back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Hold back Ctrl-C; processes started meanwhile inherit that until they say otherwise."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM (SLURM's notice) like Ctrl-C while workers run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start_worker(devices: Any, messages: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent decides: it asks, then kills
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _WORKER.device, _WORKER.messages, _WORKER.stop = devices.get(), messages, stop


def _die_with_parent() -> None:
    """End this worker when its parent is gone, so that it does not train on unseen."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(stage: Stage, root: Path, data: Data, keep_every_s: float) -> None:
    last = time.monotonic()

    def progress(done: int, total: int, loss: float) -> None:
        nonlocal last
        if time.monotonic() - last >= 1.0:
            last = time.monotonic()
            _WORKER.messages.put(Event("progress", stage.label, done, total, loss))

    execute(stage, Context(Store(root), data, _WORKER.device, keep_every_s, progress, _WORKER.stop.is_set))
