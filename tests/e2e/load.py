"""Callers that go on calling while something changes, and what they were answered."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2


@dataclass(slots=True)
class Answers:
    """What each caller was answered, in order: the body of an answer, or how a call failed."""

    by_caller: list[list[str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """How often each body was the answer."""
        return Counter(body for answers in self.by_caller for body in answers)


@contextmanager
def calling(url: str, api_key: str, *, callers: int = 4, at_most: int = 20_000) -> Iterator[Answers]:
    """Calls `url` from several threads as long as the block runs, each at most `at_most` times."""
    answers = Answers(by_caller=[[] for _ in range(callers)])
    done = threading.Event()

    def call(own: list[str]) -> None:
        with httpx2.Client(headers={"api-key": api_key}, timeout=30, trust_env=False) as client:
            for _ in range(at_most):
                if done.is_set():
                    return
                try:
                    response = client.get(url)
                except httpx2.HTTPError as error:
                    answers.failures.append(repr(error))
                    continue
                if response.status_code == 200:
                    own.append(response.text)
                else:
                    answers.failures.append(f"{response.status_code}: {response.text}")
                # A pause, so that the callers don't take the processor from what they wait for.
                done.wait(0.005)

    threads = [threading.Thread(target=call, args=(own,), daemon=True) for own in answers.by_caller]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join(60)
