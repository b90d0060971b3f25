"""The contracts of decoders, encoders and sources: test classes to subclass, one module each.

pytest rewrites the assertions of these modules too, so that a failure shows the numbers that were compared.
"""

from __future__ import annotations

import pkgutil

import pytest

# pytest rewrites modules of test folders only, unless it is asked before they are imported.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))
