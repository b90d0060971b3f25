"""AWS Lambda: the worker's application behind a handler, without gunicorn.

The handler is `sidecar.aws_lambda.main.handler`. Answers that are too large for it are streamed by the AWS Lambda Web
Adapter in front of `sidecar serve`, which needs nothing of this; see docs/operate/lambda.md.
"""
