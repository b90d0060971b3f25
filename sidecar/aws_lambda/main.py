"""What the Lambda runtime imports: `sidecar.aws_lambda.main.handler`. Importing it is the cold start.

Lambda gives an environment whole processors while it imports the handler, and bills requests only for what comes after:
so everything is loaded here, and the first request finds it.
"""

from __future__ import annotations

import gc
import sys

from gevent import monkey

# A collector that runs over what is being loaded finds nothing, and takes a tenth of the start.
gc.disable()
# Before anything imports ssl or starts threads, as gunicorn's worker does it. The runtime has its own client, in C.
monkey.patch_all()
# structlog imports rich if that is installed, for terminals: with what rich imports, a twelfth of the start.
sys.modules["rich"] = None  # type: ignore[assignment]  # what makes an import fail
import structlog  # noqa: E402, F401  # as above

del sys.modules["rich"]

from sidecar.aws_lambda.environment import defaults  # noqa: E402  # as above
from sidecar.aws_lambda.handler import make_handler  # noqa: E402
from sidecar.server.application import get_app  # noqa: E402

handler = make_handler(get_app(defaults()))
# What is loaded stays.
gc.freeze()
gc.enable()
