"""The contracts catch plugins that break them, and their failures show the numbers that were compared."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

_FILE = Path(__file__).with_name("dishonest.py")
_ROOT = Path(__file__).parents[3]
_TOO_MUCH = r"assert \d{7,} <= \(\d+ \+ 4194304\)"
_SHARE = r"assert 0\.\d+ < 0\.5"

CAUGHT = {
    "TestSaysNothing::test_memory_of_a_read[large]": _TOO_MUCH,
    "TestSaysNothing::test_memory_from_open_to_read[large]": _TOO_MUCH,
    "TestDecodesAll::test_memory_of_a_read[large]": r"(?s)Rect\(x=512, y=512, width=64, height=64\).*" + _TOO_MUCH,
    "TestFetches::test_coded_bytes[large]": r"assert 100\d\d\d <= \(.*65536\)",
    "TestRepeatsItself::test_descriptions[large]": r"assert 1 == 2",
    "TestKeepsGil::test_read_lets_other_threads_go_on[large]": _SHARE,
    "TestBlocksOpen::test_open_does_not_block[large]": _SHARE,
    "TestReadsFileItself::test_no_file_is_read_in_the_event_loop[large]": r"assert 100\d\d\d <= 2048",
    "TestNotReentrant::test_windows_in_greenlets[large]": r"Rect\(.*\) == .*Rect\(",
    "TestUnsafeThreads::test_one_reader_in_threads[large]": r"assert not \[\(\d+, \d+\)",
    "TestDropsIcc::test_profile[large]": r"assert None == b['\"]",
    "TestFailsForGood::test_reads_after_an_error[half]": r"'error'.* != .*'pixels ",
    "TestFailsForGood::test_reads_after_scribbled_bytes[large]": "DecodeError: the library is in an error state",
    "TestPassesOthers::test_encoded_tiles[large]": r"assert \d+\.\d+ <= 2\.0",
    "TestPassesOthers::test_tolerance_of_nothing[large]": r"Rect\(x=\d+, .*\) [!=]= .*Rect\(x=\d+",
    "TestBlind::test_recognizes[large]": "assert False is True",
    "TestCredulous::test_something_else[0]": "assert True is False",
    "TestHidingTiff::test_resident_memory": _TOO_MUCH,
    "TestHidingInPython::test_memory": r"assert \d{7,} <= \(\d+ \+ 65536\)",
    "TestHidingWebp::test_resident_memory": _TOO_MUCH,
    "TestEarlyEnd::test_last_row_missing": "DID NOT RAISE",
    "TestOneAttempt::test_failures_that_pass": "SourceError: cloud: status 503 SlowDown",
    "TestLargeBlocks::test_ranges_of_one_version": r"assert \['bytes=0-65535'.* == \['bytes=0-4095'",
    "TestNoPrefix::test_prefix_and_suffix": "assert None == b'one'",
    "TestNoLookup::test_rules": r"assert \[None, b'page'\] == \[b'shared', b'page'\]",
    "TestNoLookup::test_a_lookup": "assert None == b'shared'",
    "TestOpenToAll::test_other_buckets_only_if_allowed": r"assert RemoteBlob\(.* is None",
    "TestOpenToAll::test_where_a_lookup_cannot_lead": "DID NOT RAISE",
    "TestBucketOfItsOwn::test_only_listed_buckets": r"assert RemoteBlob\(.* is None",
    "TestAnyKey::test_keys_that_cannot_be": r"assert \[Request\(.* == \[\]",
    "TestAnyEndpoint::test_settings_of_buckets_that_cannot_be": "DID NOT RAISE",
    "TestShowsKey::test_a_wrong_key": r"assert not \['mistyped'\]",
    "TestAnyNotFound::test_a_missing_bucket_is_not_a_missing_object": "DID NOT RAISE",
    "TestAnyNotFound::test_not_surely_missing": "DID NOT RAISE",
    "TestUnconditional::test_ranges_of_one_version": r"assert None == '\"\w+\"'",
    "TestHidesFailures::test_a_stalled_body": "DID NOT RAISE",
    "TestHidesFailures::test_kept_blocks_are_counted": "assert 0 == 12345",
    "TestHidesFailures::test_whether_it_can_be_read": "assert False",
}


@pytest.fixture(scope="module")
def failures() -> Mapping[str, str]:
    """Run the dishonest plugins' tests: test → what pytest prints about its failure."""
    command = [sys.executable, "-m", "pytest", "-vv", "--tb=short", "-p", "no:randomly", "-p", "no:cacheprovider"]
    tests = [f"{_FILE}::{test}" for test in CAUGHT]
    done = subprocess.run([*command, *tests], cwd=_ROOT, check=False, capture_output=True, text=True)
    headings = re.split(r"^_+ (Test\w+\.\S+) _+$", done.stdout, flags=re.MULTILINE)
    return {name.replace(".", "::", 1): text for name, text in zip(headings[1::2], headings[2::2], strict=True)}


@pytest.mark.parametrize("test", CAUGHT)
def test_caught(failures: Mapping[str, str], test: str) -> None:
    """The law that the plugin breaks fails, with what was compared."""
    assert test in failures
    assert re.search(CAUGHT[test], failures[test]), failures[test]
