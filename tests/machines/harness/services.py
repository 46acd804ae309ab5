"""What a machine's network offers in these tests: an S3 API with the state store, and a web server with nodeup and the assets.

Run inside the bed's network namespace:  python -m tests.machines.harness.services ADDRESS S3_PORT WEB_PORT DIRECTORY
"""

from __future__ import annotations

import functools
import http.server
import logging
import sys
import threading


def serve(address: str, s3_port: int, web_port: int, directory: str) -> None:
    """Serve until the process is ended."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    s3 = make_server(address, s3_port, DomainDispatcherApplication(create_backend_app), threaded=True)
    threading.Thread(target=s3.serve_forever, daemon=True).start()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
    http.server.ThreadingHTTPServer((address, web_port), handler).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
