"""What tiles cost on AWS Lambda and on a small machine: a sum of measured times and of prices, all of them inputs.

    python examples/lambda/price.py --tile-seconds 0.007 --start-seconds 0.85

Prices change and differ between regions: put yours in. The defaults are those of us-east-1 before taxes, as others
state them (docs/operate/lambda.md says who). Not in the sum: transfer to clients, requests to S3, free tiers,
discounts, load balancers.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Final

PRICES_OF: Final = "us-east-1, as others stated them in 2026; put yours in"
_HOURS: Final = 730
"""Hours of a month, on average."""


@dataclass(frozen=True)
class Function:
    """A function: what it costs, and how long it works."""

    gb_second: float = 0.0000133334
    request: float = 0.20 / 1e6
    memory_gb: float = 1769 / 1024
    tile_seconds: float = 0.007
    """Of a warm function: processor time where it waits for nothing, plus what it waits for S3."""
    start_seconds: float = 0.85
    """Billed for container images always, for managed runtimes since August 2025."""
    starts: float = 0.01
    """Cold starts for each request."""

    @property
    def tile(self) -> float:
        """Dollars for a tile."""
        billed = self.tile_seconds + self.starts * self.start_seconds
        return self.request + billed * self.memory_gb * self.gb_second


@dataclass(frozen=True)
class Machine:
    """A virtual machine that runs all the time."""

    hour: float = 0.0336
    processors: int = 2
    load: float = 0.1
    """The part of the time for which its processors work: viewers do not come all day."""
    tile_seconds: float = 0.007

    @property
    def tile(self) -> float:
        """Dollars for a tile."""
        return self.hour / 3600 / (self.processors * self.load / self.tile_seconds)

    @property
    def month(self) -> float:
        """Dollars for a month."""
        return self.hour * _HOURS


def break_even(function: Function, machine: Machine) -> float:
    """Return the tiles a month from which the machine costs less."""
    return machine.month / function.tile


def main() -> None:
    """Print the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {**vars(Function()), **vars(Machine())}
    for name, default in numbers.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    given = vars(parser.parse_args())
    function = Function(**{name: given[name] for name in vars(Function())})
    machine = Machine(**{name: given[name] for name in vars(Machine())})
    print(f"prices: {PRICES_OF}")  # noqa: T201  # a script
    print(f"function: {1 / function.tile:12,.0f} tiles a dollar")  # noqa: T201
    print(f"machine:  {1 / machine.tile:12,.0f} tiles a dollar at {machine.load:.0%} of its processors")  # noqa: T201
    print(f"the machine costs less from {break_even(function, machine):,.0f} tiles a month on")  # noqa: T201


if __name__ == "__main__":
    main()
