"""The book of requests: what workers read of each other, whole or not at all, and how much it may become."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from sidecar.observability import request_book
from sidecar.observability.request_book import RECENT, RUNNING, SLOW, SUFFIX, Page, RequestBook, forget


def record(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "path": f"/iiif/3/{name}", **more}


def ids(records: Any) -> set[str]:
    return {each["id"] for each in records}


def write(folder: Path) -> None:
    """What another worker does."""
    book = RequestBook(folder, lambda: {"budget": 7})
    book.begin(lambda: record("theirs-under-way"))
    book.end(book.begin(lambda: record("theirs")), record("theirs"), 0.5)
    book.refresh()


def written_by_another(folder: Path) -> int:
    """Let another process write a book, and return its id."""
    process = multiprocessing.get_context("fork").Process(target=write, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == 0
    return int(process.pid or 0)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_read_each_other(tmp_path: Path) -> None:
    """A worker reads what another has under way, what was over last, and its state; not of one that has ended."""
    pid = written_by_another(tmp_path)
    own = RequestBook(tmp_path)
    own.end(own.begin(lambda: record("ours")), record("ours"), 0.1)
    mine, theirs = own.pages()
    assert (ids(mine.recent), ids(mine.slow), mine.state["pid"]) == ({"ours"}, {"ours"}, os.getpid())
    assert (ids(theirs.running), ids(theirs.recent)) == ({"theirs-under-way"}, {"theirs"})
    assert (theirs.state["pid"], theirs.state["running"], theirs.state["budget"]) == (pid, 1, 7)
    forget(tmp_path, pid)
    assert [page.state["pid"] for page in own.pages()] == [os.getpid()]


def test_the_latest_and_the_slowest_stay() -> None:
    """Of many requests the latest stay, and the slowest, however long ago within their time."""
    book = RequestBook()
    for number in range(3 * RECENT):
        name = f"{number:04}"
        book.end(book.begin(dict), record(name), seconds=100 - number)
    page = book.pages()[0]
    assert ids(page.recent) == {f"{number:04}" for number in range(2 * RECENT, 3 * RECENT)}
    assert ids(page.slow) == {f"{number:04}" for number in range(SLOW)}


def test_the_slowest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was slow a long time ago gives its place to one that is less slow now."""
    book = RequestBook()
    for number in range(SLOW):
        book.end(book.begin(dict), record(f"old{number}"), seconds=60)
    later = time.monotonic() + request_book.SLOW_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    book.end(book.begin(dict), record("new"), seconds=0.2)
    assert "new" in ids(book.pages()[0].slow)


def test_more_than_can_be_shown_is_counted() -> None:
    """Of very many requests under way the first are shown, and all are counted."""
    book = RequestBook()
    for number in range(RUNNING + 5):
        book.begin(lambda number=number: record(f"{number:04}"))  # type: ignore[misc]  # mypy has no type for it
    page = book.pages()[0]
    assert ids(page.running) == {f"{number:04}" for number in range(RUNNING)}
    assert page.state["running"] == RUNNING + 5


def test_a_long_path_is_shortened() -> None:
    """A record fits its place whatever a client sends; the rest of it is as it was."""
    book = RequestBook()
    book.end(book.begin(dict), record("x", problem="p" * 160) | {"path": "/\0" * 5000}, 1)
    (kept,) = book.pages()[0].recent
    assert kept["problem"] == "p" * 160
    assert kept["path"].startswith("/\0/\0")
    assert kept["path"].endswith("…")


def test_what_is_half_written_is_not_read(tmp_path: Path) -> None:
    """A place whose content does not have its checksum is left out, and so is a book that is too short."""
    book = RequestBook(tmp_path)
    for name in ("first", "second"):
        book.end(book.begin(dict), record(name), 0)
    book.refresh()
    content = bytearray((tmp_path / f"{os.getpid()}{SUFFIX}").read_bytes())
    at = content.index(b"first")
    content[at : at + 5] = b"fir\0\0"
    (tmp_path / f"1{SUFFIX}").write_bytes(content)
    (tmp_path / f"2{SUFFIX}").write_bytes(b"\1")
    pages: list[Page] = [*book.pages()]
    assert ids(pages[0].recent) == {"first", "second"}
    assert [ids(page.recent) for page in pages[1:]] == [{"second"}]


def test_no_place_on_the_disk(tmp_path: Path) -> None:
    """A worker without a place for its book serves, and shows its own requests."""
    book = RequestBook(tmp_path / "absent")
    book.end(book.begin(dict), record("ours"), 0.1)
    assert ids(book.pages()[0].recent) == {"ours"}
