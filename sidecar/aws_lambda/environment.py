"""Defaults for an environment of AWS Lambda: one process, one request at a time, nobody in front who is believed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from sidecar.config import Values

_MEMORY: Final = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
_MIB: Final = 2**20


def defaults(environment: Mapping[str, str] = os.environ) -> Mapping[str, Values]:
    """Return the layer of settings that a TOML file and variables stand over: origin -> values.

    Responses get half of the memory that the function has, as on other machines. An environment is a virtual machine of
    its own, whose kernel has no Landlock. No front of Lambda is a proxy of ours: nobody's X-Forwarded-* counts, and
    nobody may open the status page.
    """
    settings: dict[str, object] = {"workers": 1, "sandbox": "off", "trusted_proxies": (), "status_networks": ()}
    memory = environment.get(_MEMORY, "")
    if memory.isdecimal():
        settings["memory_bytes"] = int(memory) * _MIB // 2
    return {"AWS Lambda": {"": settings}}
