"""Identifier segments, and the URI by which the client knows an image."""

from __future__ import annotations

from fractions import Fraction
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import BadRequest
from sidecar.iiif.identifier import Identifier, IdentifierSyntax, decode
from sidecar.iiif.uri import public_uri
from sidecar.plugin import SidecarError, Unsupported

LAW = settings(deadline=None, derandomize=True)


@pytest.mark.parametrize(
    "segment,name",
    [
        ("a.jp2", "a.jp2"),
        ("a%2Ejp2", "a.jp2"),
        ("folder%2Fa.jp2", "folder/a.jp2"),
        ("folder%2fa.jp2", "folder/a.jp2"),
        ("%252F", "%2F"),
        ("%C3%A9", "é"),
        ("a+b", "a b"),
        ("a%2Bb", "a+b"),
        ("..%2F..%2Fetc%2Fpasswd", "../../etc/passwd"),
        ("a%00b", "a\0b"),
        ("a%0Ab;1", "a\nb;1"),
        ("a;b", "a;b"),
        ("a;", "a;"),
        (";1", ";1"),
        ("a;1;", "a;1;"),
        ("a;99999999999", "a;99999999999"),
        ("a;x:2", "a;x:2"),
        ("a;%D9%A1", "a;\u0661"),
    ],
)
def test_names(segment: str, name: str) -> None:
    """A segment is percent-decoded once; what is no page and no constraint belongs to the name."""
    assert decode(segment) == Identifier(name)


@pytest.mark.parametrize("segment", ["%", "a%2", "%zz", "%e9", "%C3", "%ED%A0%80", "é", "\udce9", "a%u0041"])
def test_what_cannot_be_decoded(segment: str) -> None:
    """Broken escapes and what is not UTF-8 are refused."""
    with pytest.raises(BadRequest, match=r"^identifier: "):
        decode(segment)


@pytest.mark.parametrize(
    "segment,identifier",
    [
        ("a.jp2;1", Identifier("a.jp2", 1)),
        ("a.jp2;1;1:2", Identifier("a.jp2", 1, Fraction(1, 2))),
        ("a.jp2;1:2", Identifier("a.jp2", None, Fraction(1, 2))),
        ("a.jp2%3B2:3", Identifier("a.jp2", None, Fraction(2, 3))),
        ("a;7;1", Identifier("a;7", 1)),
        ("a;1:2;1", Identifier("a;1:2", 1)),
        ("a;1:2;1:3", Identifier("a;1:2", None, Fraction(1, 3))),
    ],
)
def test_pages_and_scale_constraints(segment: str, identifier: Identifier) -> None:
    """Page and scale constraint are found from the right, as StandardMetaIdentifierTransformer does."""
    assert decode(segment) == identifier


@pytest.mark.parametrize(
    "segment,error",
    [
        ("a;2", Unsupported),
        ("a;2;1:2", Unsupported),
        ("a;0", BadRequest),
        ("a;0:2", BadRequest),
        ("a;1:0", BadRequest),
        ("a;3:2", BadRequest),
        ("a;2:4", Unsupported),
        ("a;1:1", Unsupported),
        ("a;01:02", Identifier("a", None, Fraction(1, 2))),
    ],
)
def test_pages_and_constraints_that_are_not_answered(segment: str, error: type[SidecarError] | Identifier) -> None:
    """Other pages and constraints that Cantaloupe redirects are handed over, impossible ones refused."""
    if isinstance(error, Identifier):
        assert decode(segment) == error
    else:
        with pytest.raises(error, match=r"^identifier: "):
            decode(segment)


@pytest.mark.parametrize(
    "segment,substitute,delimiter,identifier",
    [
        ("a~b~c.jp2", "~", ";", Identifier("a/b/c.jp2")),
        ("a%7Eb", "~", ";", Identifier("a/b")),
        ("a:::b", ":::", ";", Identifier("a/b")),
        ("a~1", "", "~", Identifier("a", 1)),
        ("a.1.1:2", "", ".", Identifier("a", 1, Fraction(1, 2))),
        ("a__1", "", "__", Identifier("a", 1)),
        ("a;1", "", "~", Identifier("a;1")),
        ("a;1", "", "", Identifier("a;1")),
    ],
)
def test_settings(segment: str, substitute: str, delimiter: str, identifier: Identifier) -> None:
    """What stands for slashes and what parts pages from names is as it is set."""
    assert decode(segment, substitute, delimiter) == identifier


@LAW
@given(st.text(min_size=1).filter(lambda text: ";" not in text))
def test_any_name_can_be_asked_for(name: str) -> None:
    """Every name, percent-encoded, is read back as it was."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return
    assert decode(quote(name, safe="")) == Identifier(name)


@LAW
@given(st.text(), st.sampled_from(["", "~", "%"]), st.sampled_from(["", ";", "~"]))
def test_any_segment_is_read_or_refused(segment: str, substitute: str, delimiter: str) -> None:
    """Whatever the segment is, the outcome is an identifier or an error of ours that can be shown."""
    try:
        found = decode(segment, substitute, delimiter)
    except SidecarError as error:
        text = str(error)
        assert text.isascii()
    else:
        assert 0 < found.scale <= 1


HOST = {"Host": "localhost:8182"}


@pytest.mark.parametrize(
    "headers,root",
    [
        ({}, "http://localhost:8182"),
        ({"Host": "images.example.org"}, "http://images.example.org"),
        ({"Host": "images.example.org:80"}, "http://images.example.org"),
        ({"Host": "images.example.org:"}, "http://images.example.org"),
        ({"Host": "[::1]:8182"}, "http://[::1]:8182"),
        ({"HOST": "a", "X-FORWARDED-PROTO": "https"}, "https://a"),
        ({"X-Forwarded-Proto": "https"}, "https://localhost"),
        ({"X-Forwarded-Proto": "HTTPS, http", "X-Forwarded-Host": "a.org, b.org"}, "https://a.org"),
        ({"X-Forwarded-Host": "a.org:8080"}, "http://a.org:8080"),
        ({"X-Forwarded-Host": "a.org"}, "http://a.org:8182"),
        ({"X-Forwarded-Host": "https://a.org:1"}, "http://a.org:1"),
        ({"X-Forwarded-Host": "a.org:8080", "X-Forwarded-Port": "8443, 1"}, "http://a.org:8443"),
        ({"X-Forwarded-Host": "a.org", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https"}, "https://a.org"),
        ({"X-Forwarded-Path": "/prefix/"}, "http://localhost:8182/prefix"),
        ({"X-Forwarded-Path": "/"}, "http://localhost:8182"),
        ({"X-Forwarded-Path": "a/b%20c, /d"}, "http://localhost:8182/a/b%20c"),
        ({"X-IIIF-ID": "other", "X-Forwarded-For": "1.2.3.4"}, "http://localhost:8182"),
    ],
)
def test_public_uri(headers: dict[str, str], root: str) -> None:
    """The URI begins as the client's did: by the forwarded headers, else by Host."""
    assert public_uri(2, "a%2Fb;1", HOST | headers) == f"{root}/iiif/2/a%2Fb;1"


def test_base_uri_goes_before_all_headers() -> None:
    """If `base_uri` is set, headers only change the identifier."""
    headers = {"Host": "x", "X-Forwarded-Host": "y", "X-Forwarded-ID": "an%2Fid"}
    assert public_uri(3, "a", headers, base_uri="https://example.org/p/") == "https://example.org/p/iiif/3/an%2Fid"


def test_the_connection_says_the_scheme_where_no_header_does() -> None:
    """Without X-Forwarded-Proto the scheme is that of the connection, and its default port is left out."""
    assert public_uri(3, "a", {"Host": "x:443"}, scheme="https") == "https://x/iiif/3/a"


@pytest.mark.parametrize("name", ["Proto", "Host", "Port", "Path", "ID"])
@pytest.mark.parametrize(
    "value", ["a\r\nX-Injected: 1", "\0", 'a"b', "a b", "<script>", "a>;rel=x", "é", "a\\b", "%zz", "{}", "^", "`"]
)
def test_values_that_could_not_stand_in_a_uri_are_ignored(name: str, value: str) -> None:
    """A forwarded header with control characters, spaces or quotes changes nothing."""
    assert public_uri(2, "a", HOST | {f"X-Forwarded-{name}": value}) == "http://localhost:8182/iiif/2/a"


@pytest.mark.parametrize("host", ["a b", "a/b", "a@b", "<x>", "a:b", "a\r\nb", "é.org", "a:999999"])
def test_a_host_that_is_none(host: str) -> None:
    """RFC 9112 §3.2: a Host header that is no host is 400."""
    with pytest.raises(BadRequest, match=r"^Host: "):
        public_uri(2, "a", {"Host": host})


@LAW
@given(
    st.dictionaries(
        st.sampled_from([f"X-Forwarded-{name}" for name in ("Proto", "Host", "Port", "Path", "ID")]),
        st.one_of(st.text(max_size=20), st.text(alphabet="a.:/,%2;=[]@?#", max_size=12)),
    ),
    st.text(alphabet="aZ09%2F;:<>\"'\\^`{|} \x00\r\n", max_size=12),
)
def test_the_uri_is_one_whatever_headers_say(headers: dict[str, str], segment: str) -> None:
    """No header and no segment puts into the URI what could end a header line, a quoted string or a Link."""
    uri = public_uri(2, segment, HOST | headers)
    assert uri.isascii()
    assert not set(uri) & set(' "<>\\^`{|}\r\n\0?#')
    parts = urlsplit(uri)
    assert parts.scheme in ("http", "https")
    assert parts.hostname
    assert "@" not in parts.netloc
    assert "/iiif/2/" in parts.path


@pytest.mark.parametrize(
    "segment,identifier",
    [
        ("a.svs;label", Identifier("a.svs", associated="label")),
        ("a.svs%3Blabel", Identifier("a.svs", associated="label")),
        ("a.svs;label;1;1:2", Identifier("a.svs", 1, Fraction(1, 2), "label")),
        ("f%2Fa.svs;label;1:2", Identifier("f/a.svs", None, Fraction(1, 2), "label")),
        ("a.svs;macro", Identifier("a.svs;macro")),
        ("a.svs;1;label", Identifier("a.svs;1", associated="label")),
        ("a.svs;Label", Identifier("a.svs;Label")),
        (";label", Identifier(";label")),
        ("label", Identifier("label")),
        ("a.svs;", Identifier("a.svs;")),
    ],
)
def test_images_beside_a_files_own(segment: str, identifier: Identifier) -> None:
    """A name that is allowed, before page and constraint, is that of an image beside the file's own."""
    assert IdentifierSyntax(associated=("label",)).read(segment) == identifier


def test_no_images_beside_a_files_own() -> None:
    """Nothing is split off a name if no name is allowed, or nothing separates."""
    assert IdentifierSyntax().read("a.svs;label") == Identifier("a.svs;label")
    assert IdentifierSyntax(delimiter="", associated=("label",)).read("a.svs;label") == Identifier("a.svs;label")
    found = IdentifierSyntax(delimiter="__", associated=("label",)).read("a.svs__label__1:2")
    assert found == Identifier("a.svs", None, Fraction(1, 2), "label")
