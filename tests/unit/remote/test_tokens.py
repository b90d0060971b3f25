"""Tokens: fetched once for all, kept, renewed while the old one is good, and never waited for without an end."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
import structlog

from sidecar.errors import SourceError, SourceTimeout
from sidecar.plugin import RemoteSettings
from sidecar.plugin.remote import Token, Tokens, Transient

LIFE = 3600.0


class Cloud:
    """Gives tokens, numbered, and a clock."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.given = 0
        self.life = LIFE
        self.failures: list[Exception] = []
        self.silence = 0.0

    def __call__(self) -> Token:
        gevent.sleep(self.silence)
        if self.failures:
            raise self.failures.pop()
        self.given += 1
        return Token(f"token-{self.given}", self.now + self.life)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A cloud whose clock is the one."""
    cloud = Cloud()
    monkeypatch.setattr("sidecar.remote.tokens.time.time", lambda: cloud.now)
    return cloud


def tokens(cloud: Callable[[], Token], **more: object) -> Tokens:
    """With little patience."""
    return Tokens("test", cloud, RemoteSettings.model_validate({"timeout": 5, "attempts": 2, **more}))


def test_one_fetch_for_all(cloud: Cloud) -> None:
    """Many that need a token at once wait for one fetch; later ones get what is kept."""
    kept = tokens(cloud)
    jobs = [gevent.spawn(kept.get) for _ in range(20)]
    gevent.joinall(jobs, raise_error=True)
    assert {job.value for job in jobs} == {"token-1"}
    cloud.now += LIFE / 2
    assert (kept.get(), cloud.given) == ("token-1", 1)


def test_renewed_before_its_end(cloud: Cloud) -> None:
    """Near the end of a token those that ask go on with it while one fetch is made for the next."""
    kept = tokens(cloud)
    kept.get()
    cloud.now += LIFE - 200
    assert [kept.get() for _ in range(3)] == ["token-1"] * 3
    gevent.sleep(0.01)
    assert (kept.get(), cloud.given) == ("token-2", 2)


def test_a_short_life(cloud: Cloud) -> None:
    """A token that has little time left is not asked for anew each time: a metadata server gives the same one."""
    cloud.life = 120
    kept = tokens(cloud)
    kept.get()
    cloud.now += 50
    kept.get()
    gevent.sleep(0.01)
    assert cloud.given == 1
    cloud.now += 20
    kept.get()
    gevent.sleep(0.01)
    assert kept.get() == "token-2"


def test_a_renewal_that_fails(cloud: Cloud) -> None:
    """It is logged, the old token serves on, and the next attempt waits a while."""
    kept = tokens(cloud)
    kept.get()
    cloud.now += LIFE - 200
    cloud.failures = [SourceError("the cloud is away")]
    with structlog.testing.capture_logs() as lines:
        kept.get()
        gevent.sleep(0.01)
        assert kept.get() == "token-1"
        gevent.sleep(0.01)
    assert [line["problem"] for line in lines] == ["the cloud is away"]
    assert cloud.given == 1
    cloud.now += 31
    kept.get()
    gevent.sleep(0.01)
    assert kept.get() == "token-2"


def test_an_end_that_was_missed(cloud: Cloud) -> None:
    """A token that has expired is not used: who asks waits, and gets the error if there is no other."""
    kept = tokens(cloud)
    kept.get()
    cloud.now += LIFE
    cloud.failures = [SourceError("refused")]
    with pytest.raises(SourceError, match="refused"):
        kept.get()
    assert kept.get() == "token-2"


def test_another_attempt(cloud: Cloud) -> None:
    """What may pass is tried again."""
    cloud.failures = [Transient(SourceError("busy"))]
    assert tokens(cloud).get() == "token-1"


def test_silence_has_an_end(cloud: Cloud) -> None:
    """A cloud that does not answer is an error after the time that a fetch may take; other greenlets went on."""
    cloud.silence = 60
    turns: list[int] = []

    def others() -> None:
        for turn in range(5):
            turns.append(turn)
            gevent.sleep(0)

    other = gevent.spawn(others)
    with pytest.raises(SourceTimeout, match="test-token"):
        tokens(cloud, timeout=0.2).get()
    assert len(turns) == 5
    other.join()


def test_close_wakes_those_that_wait(cloud: Cloud) -> None:
    """Nobody waits for a token of a source that is closed."""
    cloud.silence = 60
    kept = tokens(cloud)
    job = gevent.spawn(kept.get)
    gevent.sleep(0.01)
    kept.close()
    with pytest.raises(SourceError, match="closed"):
        job.get(timeout=60)


def test_a_token_is_not_shown() -> None:
    """Not where values are shown, in logs and tracebacks."""
    assert "secret" not in repr(Token("secret", 0.0))
