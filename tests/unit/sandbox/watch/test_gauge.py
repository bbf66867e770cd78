"""What one process uses, read from /proc."""

import mmap
import os
import subprocess
import sys
import threading

from cloudserve.sandbox.watch.gauge import Gauge, parent_of

MEBIBYTE = 1024 * 1024


def test_memory_grows_with_what_a_process_holds() -> None:
    """Touched pages count."""
    gauge = Gauge(os.getpid())
    before = gauge.memory_kib()
    # A mapping of its own: what the allocator hands out may be memory that this process held before.
    with mmap.mmap(-1, 32 * MEBIBYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        held.write(b"x" * 32 * MEBIBYTE)
        assert gauge.memory_kib() - before > 24 * 1024
    gauge.close()


def test_processor_time_and_threads_are_told() -> None:
    """Of all threads, and of children once they were waited for."""
    gauge = Gauge(os.getpid())
    before = gauge.look()
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert gauge.look().threads == before.threads + 1
    done.set()
    thread.join()
    subprocess.run([sys.executable, "-c", "for _ in range(3_000_000): pass"], check=True)
    assert gauge.look().cpu_seconds > before.cpu_seconds
    gauge.close()


def test_a_process_that_has_ended_uses_nothing() -> None:
    """Whether it ended before the first look or after it; another with its number is not taken for it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        gauge = Gauge(process.pid)
        assert gauge.memory_kib() > 0
        process.communicate(b"\n")
    for ended in (gauge, Gauge(process.pid), Gauge(2**22 + 1)):
        assert (ended.memory_kib(), ended.look()) == (0, (0.0, 0))
        ended.close()


def test_a_thread_is_no_process() -> None:
    """It has a number among the processes, but no parent of its own."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None
    assert parent_of(thread.native_id) == 0
    done.set()
    thread.join()
    assert parent_of(os.getpid()) == os.getppid()
