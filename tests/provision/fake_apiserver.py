"""Plays kube-apiserver for a run that waits: PORT, CERTIFICATE, KEY, CLIENTS and how it behaves.

It knows nobody but who shows the certificate in CLIENTS, as an API server does where anonymous requests are off.
"""

import http.server
import ssl
import sys

ANSWERS = {"ready": 200, "failing": 500}


def main(port: str, certificate: str, key: str, clients: str, behaviour: str) -> None:
    if behaviour == "dies":
        sys.exit(1)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.connection.getpeercert()
            status = 404 if self.path != "/readyz" else ANSWERS[behaviour] if known else 401
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(clients)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


main(*sys.argv[1:])
