#!/bin/sh
# What Lambda runs: the server that the web adapter asks, or the handler.
if [ -n "$STREAMING" ]; then
    export AWS_LWA_PORT="${AWS_LWA_PORT:-8080}" AWS_LWA_INVOKE_MODE=response_stream
    export AWS_LWA_READINESS_CHECK_PATH=/sidecar/health
    export SIDECAR_BIND="127.0.0.1:$AWS_LWA_PORT" SIDECAR_WORKERS=1 SIDECAR_WORKER_BIND=off SIDECAR_SANDBOX=off
    exec sidecar serve
fi
exec python -m awslambdaric sidecar.aws_lambda.main.handler
