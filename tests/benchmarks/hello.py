"""The least that Falcon, gunicorn and gevent take for a request: an application that says hello."""

from __future__ import annotations

import falcon


class Hello:
    """Answers with a constant."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer a request."""
        resp.data = b"hello"


app: falcon.App[falcon.Request, falcon.Response] = falcon.App()
app.add_route("/hello", Hello())
