"""What the sidecar reports of itself: metrics, spans, logs and one record for each request.

The lowest room: it imports nothing of the sidecar, so that code anywhere can count, time and log where the work is.
"""
