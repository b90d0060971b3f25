"""nginx in front of a peer: as the sidecar's own site sets it, so that HTTP costs each of them the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Final

from tests.nginx.servers import NginxServer, free_port

CONFIGURATION: Final = """
$USER
daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    upstream peer { $SERVERS $KEPT }
    server {
        listen 127.0.0.1:$PORT;
        location ~ ^/iiif/2/(.*)$$ { $PASS }
    }
}
"""
HTTP: Final = """proxy_pass http://peer; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $http_host; proxy_read_timeout 300s; proxy_max_temp_file_size 256m;
    proxy_buffer_size 32k; proxy_buffers 32 32k; proxy_busy_buffers_size 64k;"""
FASTCGI: Final = """fastcgi_pass peer; fastcgi_read_timeout 300s; fastcgi_max_temp_file_size 256m;
    fastcgi_buffer_size 32k; fastcgi_buffers 32 32k; fastcgi_busy_buffers_size 64k;
    fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri;
    fastcgi_param QUERY_STRING IIIF=$1; fastcgi_param SERVER_PROTOCOL $server_protocol;
    fastcgi_param HTTP_HOST $http_host; fastcgi_param SERVER_NAME $server_name;"""
"""A connection for each request: a process of iipsrv that kept one would serve nobody else meanwhile."""


def front(folder: Path, addresses: Sequence[str], locations: str = HTTP) -> NginxServer:
    """Return an nginx, to be started, that passes all requests to one of some addresses."""
    port = free_port()
    values = {
        "USER": "user root;" if os.geteuid() == 0 else "",
        "SERVERS": " ".join(f"server {address} max_fails=0;" for address in addresses),
        "KEPT": "keepalive 32; keepalive_timeout 4s;" if locations == HTTP else "",
        "PORT": str(port),
        "PASS": locations,
    }
    return NginxServer(folder, port, Template(CONFIGURATION).substitute(values))
