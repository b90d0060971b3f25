"""What every source of an object store must hold: subclass BucketContract, give it a stand-in, and run pytest.

class TestCloud(BucketContract):
    refusals: ClassVar = [(403, "AccessDenied")]

    @pytest.fixture
    def buckets(self) -> Iterator[Buckets]:
        with ObjectStore(OBJECTS) as cloud:
            yield Buckets(cloud, partial(settings, cloud), sidecar_cloud)
"""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
from pydantic import ValidationError

from sidecar.plugin import ByteRange, KeepsBytes, SourceChanged, SourceError, SourceTimeout, SupportsCheck
from sidecar.testing.contracts.bucket_case import OBJECTS, OTHER, OWN, BucketCase, Buckets
from sidecar.testing.contracts.source import SourceContract
from sidecar.testing.contracts.source_case import content_at
from sidecar.testing.object_store import ObjectStore, Reply

__all__ = ["OBJECTS", "BucketContract", "Buckets"]

_PAGE = "page.jp2"


class BucketContract(BucketCase, SourceContract):
    """The laws of a source whose objects lie in buckets, beside those of all sources: see `BucketSettings`."""

    def test_prefix_and_suffix(self, buckets: Buckets) -> None:
        """They complete the key, as Cantaloupe's BasicLookupStrategy does, and the suffix names the decoder."""
        buckets.stand_in.put(f"{OWN}/scans/1.jp2", b"one")
        source = buckets.source(path_prefix="scans/", path_suffix=".jp2")
        assert content_at(source, "1") == b"one"
        blob = source.find("1")
        assert blob is not None
        assert blob.name == "scans/1.jp2"
        assert source.find("../page") is None

    def test_other_buckets_only_if_allowed(self, buckets: Buckets) -> None:
        """An identifier names a bucket of the list, without prefix, and no other: the store is not asked for one."""
        source = buckets.source(**buckets.named(others=OTHER), path_prefix="none/")
        scheme = buckets.scheme
        assert content_at(source, f"{scheme}{OTHER}/{_PAGE}") == b"shared"
        buckets.stand_in.requests.clear()
        for place in (f"private/{_PAGE}", f"{OWN}/{_PAGE}", OTHER, f"{OTHER}/", f"/{_PAGE}"):
            assert source.find(f"{scheme}{place}") is None
        assert buckets.stand_in.requests == []

    def test_half_a_scheme_is_a_key(self, buckets: Buckets) -> None:
        """An identifier that begins almost as one that names its bucket leads to an object of that name."""
        identifier = f"{buckets.scheme.removesuffix('/')}x.jp2"
        buckets.stand_in.put(f"{OWN}/{identifier}", b"half")
        assert content_at(buckets.source(), identifier) == b"half"

    def test_only_listed_buckets(self, buckets: Buckets) -> None:
        """Without a bucket of its own, plain identifiers lead nowhere, and nobody is asked."""
        source = buckets.source(**buckets.named("", OTHER))
        assert content_at(source, f"{buckets.scheme}{OTHER}/{_PAGE}") == b"shared"
        buckets.stand_in.requests.clear()
        assert source.find(_PAGE) is None
        assert buckets.stand_in.requests == []

    def test_keys_that_cannot_be(self, buckets: Buckets) -> None:
        """The longest key is found; nobody is asked for a longer one, prefix included."""
        buckets.stand_in.put(f"{OWN}/{self.longest_key}", b"long")
        assert content_at(buckets.source(), self.longest_key) == b"long"
        buckets.stand_in.requests.clear()
        assert buckets.source().find(f"{self.longest_key}x") is None
        assert buckets.source(path_prefix="s").find(self.longest_key) is None
        assert buckets.stand_in.requests == []

    def test_a_missing_bucket_is_not_a_missing_object(self, buckets: Buckets) -> None:
        """A wrong setting must not look like 404s."""
        with pytest.raises(SourceError, match=self.missing_bucket):
            buckets.source(**buckets.named("imgaes")).find(_PAGE)

    def test_not_surely_missing(self, buckets: Buckets) -> None:
        """Whatever else the store refuses with is an error that names its reason, and no missing object."""
        for status, code in self.refusals:
            reply = _error(status, code)
            buckets.stand_in.mischief = lambda _request, _reply, reply=reply: reply  # type: ignore[misc]
            with pytest.raises(SourceError, match=code):
                buckets.source().find(_PAGE)

    def test_whether_it_can_be_read(self, buckets: Buckets) -> None:
        """A check asks each bucket once, and is refused for one that is missing, and if the store fails."""
        source = buckets.source(**buckets.named(others=OTHER))
        assert isinstance(source, SupportsCheck)
        assert source.is_remote
        source.check()
        asked = buckets.stand_in.requests
        assert all(any(f"{bucket}/" in request.key for request in asked) for bucket in (OWN, OTHER))
        assert len(asked) == 2  # noqa: PLR2004  # buckets
        failing = buckets.source(**buckets.named(others=f"{OTHER}, missing"))
        assert isinstance(failing, SupportsCheck)
        with pytest.raises(SourceError, match=self.missing_bucket):
            failing.check()
        asked.clear()
        buckets.stand_in.mischief = lambda _request, _reply: Reply(503)
        with pytest.raises(SourceError):
            source.check()
        assert len(asked) == 1

    def test_kept_blocks_are_counted(self, buckets: Buckets) -> None:
        """What is kept of objects is known, so that it is taken off the memory of responses."""
        source = buckets.source(cache_bytes=12345)
        assert isinstance(source, KeepsBytes)
        assert source.kept_bytes == 12345  # noqa: PLR2004  # as set

    def test_a_wrong_key(self, buckets: Buckets) -> None:
        """The error names the store's reason, and not the key; a check finds it, too."""
        if not self.wrong_key:
            pytest.skip("its settings hold no key")
        source = buckets.source(**self.wrong_key)
        assert isinstance(source, SupportsCheck)
        attempts: Sequence[Callable[[], object]] = (partial(source.find, _PAGE), source.check)
        for attempt in attempts:
            with pytest.raises(SourceError, match=self.key_refused) as caught:
                attempt()
            assert not [secret for secret in self.wrong_key.values() if secret in str(caught.value)]
        shown = repr(buckets.settings(**self.wrong_key))
        assert not [secret for secret in self.wrong_key.values() if secret in shown]

    def test_ranges_of_one_version(self, buckets: Buckets) -> None:
        """Only blocks that are needed are asked for, with If-Match. A mixture of two versions is an error."""
        stand_in = buckets.stand_in
        stand_in.put(f"{OWN}/{_PAGE}", bytes(200_000))
        blob = buckets.source(block_bytes=4096).find(_PAGE)
        assert blob is not None
        blob.read([ByteRange(100_000, 110_000)])
        ranges = [request.headers.get("range") for request in stand_in.requests]
        assert ranges == ["bytes=0-4095", "bytes=98304-110591"]
        assert stand_in.requests[-1].headers.get("if-match") == stand_in.objects[f"{OWN}/{_PAGE}"].etag
        stand_in.put(f"{OWN}/{_PAGE}", b"\1" * 200_000)
        with pytest.raises(SourceChanged):
            blob.read([ByteRange(150_000, 160_000)])

    def test_failures_that_pass(self, buckets: Buckets) -> None:
        """If the store is busy, or a response breaks off, the request is made again."""
        for failure in (_error(503, "SlowDown"), None):
            broken = [failure]

            def once(_: object, reply: Reply, broken: list[Reply | None] = broken) -> Reply:
                return (broken.pop() or replace(reply, cut=2)) if broken else reply

            buckets.stand_in.mischief = once
            assert content_at(buckets.source(attempts=2), _PAGE) == b"page"
            assert not broken

    def test_a_stalled_body(self, buckets: Buckets) -> None:
        """A store that falls silent within a response is not waited for any longer than is set."""
        buckets.stand_in.mischief = lambda _request, reply: replace(reply, cut=2, stall=30)
        with pytest.raises(SourceTimeout):
            buckets.source(timeout=0.2, attempts=1).find(_PAGE)

    def test_rules(self, buckets: Buckets) -> None:
        """A rule leads to a bucket of the list, or to a key of the bucket that is set."""
        rules = f"s:{{name}} -> {buckets.scheme}{OTHER}/{{name}}, {{name}} -> {{name}}"
        source = buckets.source(**buckets.named(others=OTHER), lookup=rules)
        assert [content_at(source, name) for name in (f"s:{_PAGE}", _PAGE)] == [b"shared", b"page"]

    def test_a_lookup(self, buckets: Buckets) -> None:
        """A service names the key, or bucket and key."""
        for place, expected in ((f"{buckets.scheme}{OTHER}/{_PAGE}", b"shared"), (_PAGE, b"page")):
            with ObjectStore() as service:
                body = f'{{"place": "{place}"}}'.encode()
                service.mischief = lambda _request, _reply, body=body: Reply(200, body=body)  # type: ignore[misc]
                asked = {"lookup_url": f"{service.url}/{{identifier}}", "lookup_fields": "place"}
                source = buckets.source(**buckets.named(others=OTHER), **asked)
                assert content_at(source, "0b1d") == expected

    def test_where_a_lookup_cannot_lead(self, buckets: Buckets) -> None:
        """Neither to a bucket that no setting names, nor to none, nor to a URL, though it is one of the store's."""
        with ObjectStore() as service:
            source = buckets.source(lookup_url=f"{service.url}/{{identifier}}")
            url = f"{buckets.stand_in.url}/{OWN}/{_PAGE}"
            for place in (f"{buckets.scheme}private/{_PAGE}", f"{buckets.scheme}/{_PAGE}", url):
                reply = Reply(302, {"Location": place})
                service.mischief = lambda _request, _reply, reply=reply: reply  # type: ignore[misc]
                with pytest.raises(SourceError, match="looked up"):
                    source.find(place)
        assert buckets.stand_in.requests == []

    def test_settings_of_buckets_that_cannot_be(self, buckets: Buckets) -> None:
        """They are found at start."""
        buckets.settings()
        for wrong in (
            *({"endpoint": endpoint} for endpoint in ("host:9000", "http://user@host", "http://host:99999")),
            *(buckets.named(name) for name in ("a/b", "../x")),
            {"concurrency": 0},
            {"lookup": f"{{x}} -> {buckets.scheme}other/{{x}}"},
            {**buckets.named(""), "lookup": "{x} -> {x}"},
        ):
            with pytest.raises(ValidationError):
                buckets.settings(**wrong)

    def test_nothing_set(self, buckets: Buckets) -> None:
        """Without a bucket there is no source, and what it needs is not imported."""
        name = buckets.plugin.__name__
        program = (
            f"import sys, {name}; from sidecar.plugin import Config;"
            f"assert not [*{name}.register_sources(Config.of())];"
            f"loaded = {set(self.libraries)!r} & {{*sys.modules}}; assert not loaded, loaded"
        )
        subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603  # the program above


def _error(status: int, code: str) -> Reply:
    return Reply(status, body=f"<Error><Code>{code}</Code></Error>".encode())
