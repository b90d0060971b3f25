"""Where images are: kept, asked for once, and asked for again if they have moved."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from types import ModuleType

import gevent
import pytest
from pydantic import ValidationError

from sidecar.errors import SourceError, SourceTimeout, StartError
from sidecar.plugin import LookupSettings
from sidecar.plugin.remote import Client, Place, Transient, blob_at, places_of
from sidecar.remote import lookup, lookup_function
from sidecar.remote.lookup import AskedPlaces
from sidecar.testing.object_store import ObjectStore, Reply


def given(**more: object) -> LookupSettings:
    """Settings with little patience."""
    return LookupSettings.model_validate({"attempts": 2, "timeout": 5, **more})


class Asked:
    """Answers from a table, and what was asked."""

    def __init__(self, **places: str) -> None:
        self.places = places
        self.asked: list[str] = []
        self.failures: list[Exception] = []

    def __call__(self, identifier: str) -> Place | None:
        self.asked.append(identifier)
        gevent.sleep(0)
        if self.failures:
            raise self.failures.pop()
        return (self.places[identifier],) if identifier in self.places else None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time."""
    now = [1000.0]
    monkeypatch.setattr("sidecar.remote.lookup.monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_a_place_is_kept_for_its_time(clock: Callable[[float], None]) -> None:
    """Within the freshness nobody is asked again, and after it somebody is."""
    asked = Asked(a="there")
    places = AskedPlaces("test", asked, given(lookup_freshness=100))
    assert [places.find("a") for _ in range(3)] == [("there",)] * 3
    clock(99)
    assert places.find("a") == ("there",)
    assert asked.asked == ["a"]
    clock(2)
    assert places.find("a") == ("there",)
    assert asked.asked == ["a", "a"]


def test_absence_is_kept_for_a_moment_only(clock: Callable[[float], None]) -> None:
    """A new image is found soon, and who asks for what is not there does not burden the service."""
    asked = Asked()
    places = AskedPlaces("test", asked, given())
    assert [places.find("a") for _ in range(3)] == [None] * 3
    asked.places["a"] = "there"
    clock(6)
    assert places.find("a") == ("there",)
    assert len(asked.asked) == 2


def test_those_who_come_together_ask_once() -> None:
    """The answer is for all who wait for it."""
    asked = Asked(a="there")
    places = AskedPlaces("test", asked, given())
    jobs = [gevent.spawn(places.find, "a") for _ in range(20)]
    gevent.joinall(jobs, raise_error=True)
    assert {job.value for job in jobs} == {("there",)}
    assert asked.asked == ["a"]


def test_what_is_kept_is_bounded() -> None:
    """However many identifiers there are, and however long, the bytes that are kept have a bound."""
    places = AskedPlaces("test", lambda _: ("x" * 4000,), given())
    for number in range(1000):
        places.find(f"{number}" * 500)
    assert places._kept.currsize <= places.kept_bytes
    assert 0 < len(places._kept) < 1000


def test_an_image_that_has_moved_is_looked_up_again(clock: Callable[[float], None]) -> None:
    """If nothing is at the kept place any more, the new place is asked for, once in a while."""
    asked = Asked(a="old")
    places = AskedPlaces("test", asked, given())
    objects = {"new": "blob"}

    def find(place: Place) -> str | None:
        return objects.get(place[0])

    assert blob_at(places, "a", find) is None
    assert asked.asked == ["a"]
    clock(6)
    asked.places["a"] = "new"
    assert blob_at(places, "a", find) == "blob"
    del asked.places["a"], objects["new"]
    assert blob_at(places, "a", find) is None
    clock(6)
    assert blob_at(places, "a", find) is None
    assert len(asked.asked) == 3


def test_failures_are_tried_again_and_not_kept() -> None:
    """A failure that may pass is tried again; one that remains is an error for those who wait, and for nobody else."""
    asked = Asked(a="there")
    asked.failures = [Transient(SourceError("busy"))]
    places = AskedPlaces("test", asked, given())
    assert places.find("a") == ("there",)
    asked.failures = [SourceError("broken")]
    with pytest.raises(SourceError, match="broken"):
        places.find("b")
    assert places.find("b") is None


def test_the_deadline_holds() -> None:
    """Whoever does not answer in time is given up."""
    places = AskedPlaces("test", lambda _: gevent.sleep(60), given(timeout=0.05))
    with pytest.raises(SourceTimeout, match=r"within 0\.05 s"):
        places.find("a")


@pytest.mark.parametrize("place", ["a/../b", "", "x" * 5000, "a\nb"])
def test_places_that_cannot_be(place: str) -> None:
    """A place that climbs, or is no plain text, is not used."""
    with pytest.raises(SourceError, match="place"):
        AskedPlaces("test", lambda _: (place,), given()).find("a")


def test_parts_of_rules_cannot_climb() -> None:
    """Dots that a rule would put between slashes lead nowhere, though the identifier has none there."""
    settings = given(lookup="x{rest*} -> http://host/base/{rest}")
    places = places_of("test", settings, Client(settings))
    assert places is not None
    assert places.find("x../secret") is None
    assert places.find("xa b?c#d%") == ("http://host/base/a%20b%3Fc%23d%25",)


def ask(store: ObjectStore, reply: Reply, **more: object) -> Place | None:
    """What a service's answer is taken for."""
    store.mischief = lambda _request, _reply: reply
    settings = given(lookup_url=f"{store.url}/where/{{identifier}}", **more)
    places = places_of("test", settings, Client(settings))
    assert places is not None
    return places.find("a/b&c")


def redirect(location: str, status: int = 302) -> Reply:
    """A redirect."""
    return Reply(status, {"Location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_names_the_place(status: int) -> None:
    """Its Location is the place, and nobody goes there; a relative one is relative to the service."""
    with ObjectStore() as store:
        assert ask(store, redirect("https://files.example.org/1.jp2", status)) == ("https://files.example.org/1.jp2",)
        assert ask(store, redirect("/files/1.jp2", status)) == (f"{store.url}/files/1.jp2",)
        assert {request.target for request in store.requests} == {"/where/a%2Fb%26c"}


def test_members_of_an_answer_name_the_place() -> None:
    """Members are found by path, in objects and lists; null means that there is no image."""
    with ObjectStore() as store:
        body = Reply(200, body=b'{"files": [{"url": "https://h/1"}], "bucket": "b", "key": "k", "none": null}')
        assert ask(store, body, lookup_fields="files.0.url") == ("https://h/1",)
        assert ask(store, body, lookup_fields="bucket, key") == ("b", "k")
        assert ask(store, body, lookup_fields="none") is None
        assert ask(store, body, lookup_fields="none, key") is None
        assert store.requests[-1].headers["accept"] == "application/json"


@pytest.mark.parametrize("status", [404, 410])
def test_no_such_image(status: int) -> None:
    """The service says so by its status."""
    with ObjectStore() as store:
        assert ask(store, Reply(status)) is None
        assert ask(store, Reply(status), lookup_fields="url") is None


@pytest.mark.parametrize(
    "reply, more",
    [
        (Reply(200), {}),
        (redirect(""), {}),
        (redirect("https://[broken"), {}),
        (redirect("https://h/1"), {"lookup_fields": "url"}),
        (Reply(200, body=b"https://h/1"), {"lookup_fields": "url"}),
        (Reply(200, body=b"[" * 60_000), {"lookup_fields": "url"}),
        (Reply(200, body=b'{"url": "' + b"x" * 70_000 + b'"}'), {"lookup_fields": "url"}),
        (Reply(200, body=b'{"other": "https://h/1"}'), {"lookup_fields": "url"}),
        (Reply(200, body=b'{"url": {"id": 1}}'), {"lookup_fields": "url"}),
        (Reply(200, body=b'{"url": ""}'), {"lookup_fields": "url"}),
        (Reply(200, body=b'["https://h/1"]'), {"lookup_fields": "1"}),
        (Reply(204), {"lookup_fields": "url"}),
        (Reply(401), {}),
        (Reply(403), {}),
        (Reply(500), {}),
        (Reply(304), {}),
    ],
)
def test_answers_that_are_not_understood(reply: Reply, more: dict[str, object]) -> None:
    """They are errors of the source, so that Cantaloupe answers: never 404."""
    with ObjectStore() as store, pytest.raises(SourceError):
        ask(store, reply, attempts=1, **more)


def test_the_service_gets_its_credentials() -> None:
    """They are sent to the service, and shown nowhere."""
    with ObjectStore() as store:
        ask(store, Reply(404), lookup_authorization="Bearer secret-token")
        assert store.requests[-1].headers["authorization"] == "Bearer secret-token"
    assert "secret-token" not in repr(given(lookup_url="https://h/{identifier}", lookup_authorization="secret-token"))


def test_slashes_for_services_that_want_them() -> None:
    """`{identifier*}` leaves them as they are."""
    with ObjectStore() as store:
        store.mischief = lambda _request, _reply: Reply(404)
        settings = given(lookup_url=f"{store.url}/where/{{identifier*}}/file")
        places = places_of("test", settings, Client(settings))
        assert places is not None
        places.check("a/b?")
        assert store.requests[-1].target == "/where/a/b%3F/file"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], LookupSettings]:
    """Installs something as the entry point `own`."""
    module = ModuleType("own_lookup")
    monkeypatch.setitem(sys.modules, "own_lookup", module)

    def installed(found: object) -> LookupSettings:
        module.find = found  # type: ignore[attr-defined]
        point = EntryPoint("own", "own_lookup:find", lookup_function.GROUP)
        every = EntryPoints([point])
        monkeypatch.setattr(lookup_function, "entry_points", every.select)
        return given(lookup_function="own")

    return installed


def test_a_function_of_the_operators(install: Callable[[object], LookupSettings]) -> None:
    """It returns the place, as a text or a tuple, or None."""
    table = {"a": "https://h/a", "b": ("bucket", "key")}
    settings = install(table.get)
    places = places_of("test", settings, Client(settings))
    assert places is not None
    assert [places.find(identifier) for identifier in "abc"] == [("https://h/a",), ("bucket", "key"), None]


@pytest.mark.parametrize("place", [5, "", (), ("a", 5), ("a", "b", "c"), b"bytes", ["a"]])
def test_a_function_that_returns_something_else(install: Callable[[object], LookupSettings], place: object) -> None:
    """That is an error of the source."""
    settings = install(lambda _identifier: place)
    places = places_of("test", settings, Client(settings))
    assert places is not None
    with pytest.raises(SourceError, match="lookup 'own' returned"):
        places.find("a")


def test_a_function_that_is_not_there(install: Callable[[object], LookupSettings]) -> None:
    """The start fails and names the setting."""
    settings = install("no function")
    with pytest.raises(StartError, match="is no function"):
        places_of("test", settings, Client(settings))
    with pytest.raises(StartError, match=r"LOOKUP_FUNCTION: no entry point 'other'"):
        places_of("test", settings.model_copy(update={"lookup_function": "other"}), Client(settings))


@pytest.mark.parametrize(
    "wrong",
    [
        {"lookup": "no rule"},
        {"lookup": "{host}/{name} -> https://{host}/{name}"},
        {"lookup": "{a} -> https://host{a}/x"},
        {"lookup": "{a} -> https://user@host/{a}"},
        {"lookup": "{a} -> file:///{a}"},
        {"lookup_url": "https://host/where"},
        {"lookup_url": "https://host/{name}"},
        {"lookup_url": "https://{identifier}/"},
        {"lookup_url": "https://host/{identifier}#x"},
        {"lookup_url": "https://host:99999/{identifier}"},
        {"lookup": "{a} -> https://host:0/{a}"},
        {"lookup_fields": "url"},
        {"lookup_authorization": "Bearer secret\n"},
        {"lookup_authorization": "Bearer sécret"},
        {"lookup_url": "https://host/{identifier}", "lookup_function": "own"},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    """They are found at start."""
    with pytest.raises(ValidationError):
        given(**wrong)


def test_several_rules_in_one_variable() -> None:
    """They are separated by a comma and a space, or by line ends; the first that matches counts."""
    rules = given(lookup="a:{x} -> http://h/a/{x}, {x} -> http://h/{x}")
    assert rules.lookup == ("a:{x} -> http://h/a/{x}", "{x} -> http://h/{x}")
    assert given(lookup="\n".join(rules.lookup)).lookup == rules.lookup
    places = lookup.places_of("test", rules, Client(rules))
    assert places is not None
    assert [places.find(identifier) for identifier in ("a:1", "1")] == [("http://h/a/1",), ("http://h/1",)]
