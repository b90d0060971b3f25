"""Which identifiers may become part of a remote name at all."""

from __future__ import annotations

import re
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SEPARATOR: Final = re.compile(r"[/\\]")


def is_plain(identifier: str, longest: int) -> bool:
    """Report whether it has 1 to `longest` bytes of UTF-8, no control characters and no `.` or `..` between separators.

    Dots are looked for between backslashes as well: some servers take them for slashes.
    """
    try:
        size = len(identifier.encode())
    except UnicodeEncodeError:  # half a surrogate pair: bytes that were not UTF-8
        return False
    parts = _SEPARATOR.split(identifier)
    return 0 < size <= longest and not _CONTROL.search(identifier) and not {".", ".."} & {*parts}
