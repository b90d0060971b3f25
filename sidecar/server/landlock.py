"""Landlock, by which a Linux process gives up access to files for good: its three system calls (landlock(7)).

Of the bindings on PyPI none is used. `landlock` (1.0.0.dev5) takes an earlier error of any ctypes call for its own and
knows no ABI later than 5; `py-landlock` (0.1.1) runs a program to find the C library and knows two architectures;
`landlockpy` (0.2.0) is complete, and a few weeks old. What is needed here are these calls, whose numbers and structures
the kernel keeps.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from enum import IntFlag
from pathlib import Path
from typing import Final, NamedTuple

from gevent.monkey import get_original

# The same on every architecture that Linux runs on today (include/uapi/asm-generic/unistd.h).
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_TSYNC: Final = 1 << 3
_SCOPES: Final = 0b11
"""Abstract Unix sockets, and signals to processes outside."""
TSYNC_ABI: Final = 8
"""The first ABI that restricts all threads of a process, not just the calling one."""
SCOPES_ABI: Final = 6


class Access(IntFlag):
    """What may be done to files and folders (`LANDLOCK_ACCESS_FS_*`)."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ: Final = Access.READ_FILE | Access.READ_DIR
WRITE: Final = (
    READ
    | Access.WRITE_FILE
    | Access.TRUNCATE
    | Access.MAKE_REG
    | Access.MAKE_DIR
    | Access.REMOVE_FILE
    | Access.REMOVE_DIR
    | Access.REFER
)
_OF_FILES: Final = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
_SINCE: Final = {Access.REFER: 2, Access.TRUNCATE: 3, Access.IOCTL_DEV: 5}


class Rule(NamedTuple):
    """What remains allowed in a folder and all below it, or for a file. Links are followed once, when it is made."""

    path: Path
    access: Access


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    # Packed in the kernel; without padding between the two, only the length differs, which it does not look at.
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def abi() -> int:
    """Return the kernel's version of Landlock; 0 if it has none, or something forbids its use."""
    try:
        return _call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(rules: Iterable[Rule]) -> None:
    """Forbid the calling thread, all that it starts, and from ABI 8 all threads, whatever no rule allows. For good.

    Raises OSError, FileNotFoundError if there is nothing at the path of a rule.
    """
    version = abi()
    handled = Access(sum(each for each in Access if version >= _SINCE.get(each, 1)))
    attributes = _Ruleset(handled, 0, _SCOPES if version >= SCOPES_ABI else 0)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
    try:
        for rule in rules:
            _allow(ruleset, rule, handled)
        if _libc().prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))):
            raise _error()
        _call(_RESTRICT_SELF, ruleset, _TSYNC if version >= TSYNC_ABI else 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, rule: Rule, handled: Access) -> None:
    descriptor = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    try:
        access = rule.access & handled & (Access(~0) if rule.path.is_dir() else _OF_FILES)
        beneath = _Beneath(access, descriptor)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(beneath), 0)
    finally:
        # gevent's own closes folders when its loop runs, which it does not yet: a hundred would stay open until then.
        get_original("os", "close")(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    """Make a system call. Raises OSError."""
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(_libc().syscall(ctypes.c_long(number), *words))
    if result < 0:
        raise _error()
    return result


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
