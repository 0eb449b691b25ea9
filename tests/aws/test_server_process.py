"""The server's two ports as a peer meets them: TLS, HTTP, limits, certificates, a slow STS, the end."""

import contextlib
import functools
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

import token_text
from amazon import hosts, sts
from amazon.accounts import Keys
from amazon.authority import Authority
from amazon.loopback import Answer, Received, Service
from server_process import (
    LIVE_SECONDS,
    PATIENCE_SECONDS,
    Client,
    Server,
    asked,
    await_that,
    configuration,
    rendered,
)
from stand_in import ACCOUNT
from webhook import HOST, signed

# `server.limits`, as they are without a word in the file.
CONNECTIONS, BODY_BYTES = 128, 64 * 1024
# For a TLS greeting, for the first request's head, and for a body; and some more, for a busy machine.
GREETING_SECONDS, HEAD_SECONDS, BODY_SECONDS, GRACE_SECONDS = 5, 10, 10, 3
STS_SECONDS = 4
NOT_OURS = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrIn0.c2ln"


@pytest.fixture
def start(start):
    return functools.partial(start, arguments=("--log-verbosity=trace",))


@pytest.fixture
def server(start) -> Server:
    return start()


class Gate:
    """An STS that answers only while the gate is open, and tells who has come."""

    def __init__(self, aws):
        self._answer = aws.sts.answer
        self._changed = threading.Condition()
        self._open, self._came = False, 0
        self._service = Service(self._pass, aws.ca.with_name("server.pem"))

    @property
    def settings(self) -> dict[str, str]:
        return {HOST.name: self._service.address}

    @property
    def came(self) -> int:
        with self._changed:
            return self._came

    def await_came(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._came >= number, PATIENCE_SECONDS), self._came

    def open(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def close(self) -> None:
        self.open()
        self._service.close()
        assert self._service.record.faults == []

    def _pass(self, received: Received) -> Answer:
        with self._changed:
            self._came += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._open, PATIENCE_SECONDS)
        return self._answer(received)


@pytest.fixture
def gate(aws):
    gate = Gate(aws)
    yield gate
    gate.close()


@pytest.fixture
def gated(start, gate, aws) -> Server:
    return start(sts={"connectTo": gate.settings, "caFile": str(aws.ca)})


class Asking(threading.Thread):
    """One review under way, on a connection of its own."""

    def __init__(self, server: Server, token: str):
        super().__init__(daemon=True)
        self._client, self._token = server.client(), token
        self._review, self.seconds = None, 0.0
        self.start()

    def run(self) -> None:
        began = time.monotonic()
        with contextlib.suppress(OSError), self._client:
            self._review = self._client.review(self._token)
        self.seconds = time.monotonic() - began

    @property
    def review(self):
        self.join(PATIENCE_SECONDS)
        assert self._review is not None, "no answer"
        return self._review


def leaf(authority: Authority, purpose: x509.ObjectIdentifier) -> tuple[bytes, bytes, int]:
    """Certificate, key, serial number."""
    certificate, key = authority.leaf(["localhost", "127.0.0.1"], purpose=purpose)
    return certificate, key, x509.load_pem_x509_certificate(certificate).serial_number


def write_key(path: Path, pem: bytes, mode: int = 0o600) -> None:
    """Whole, with its mode from the beginning, in the old one's place."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_bytes(pem)
    temporary.chmod(mode)
    temporary.rename(path)


def raw(server: Server, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """A TLS connection on which a test says what it likes."""
    plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)
    return (context or server.tls()).wrap_socket(plain, server_hostname="127.0.0.1")


def head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode()


def status_line(connection) -> str:
    """Of the answer that comes now; empty when the server closed the connection without one."""
    try:
        return connection.recv(4096).decode().partition("\r\n")[0]
    except (ConnectionError, ssl.SSLEOFError):
        return ""


class TestTls:
    @pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
    @pytest.mark.parametrize("protocol", ["http/1.1", "h2", None])
    def test_it_speaks_what_is_offered(self, server, version, protocol):
        context = server.tls()
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        if protocol:
            context.set_alpn_protocols([protocol])
        with raw(server, context) as connection:
            assert connection.version() == version.replace("_", ".")
            assert connection.selected_alpn_protocol() == protocol

    def test_with_a_choice_it_takes_http_2(self, server):
        context = server.tls()
        context.set_alpn_protocols(["http/1.1", "h2"])
        with raw(server, context) as connection:
            assert connection.selected_alpn_protocol() == "h2"

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
    @pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
    def test_older_versions_are_refused(self, server, version):
        context = server.tls()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        with pytest.raises(ssl.SSLError) as refused:
            raw(server, context)
        # The greeting of an old version lacks what the new ones need, which is noticed first.
        assert refused.value.reason in ("TLSV1_ALERT_PROTOCOL_VERSION", "SSLV3_ALERT_HANDSHAKE_FAILURE")
        server.await_log("TLS handshake failed")

    def test_plain_http_is_not_answered(self, server):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP" not in connection.recv(4096)

    def test_an_api_server_may_keep_its_connection(self, server, mint):
        with server.client() as client:
            first = client.socket
            for _ in range(20):
                assert client.review(mint()).user["username"] == "process"
            assert client.socket is first
        assert server.metric('aws_iam_authenticator_connections{port="tls"}') <= 1

    def test_a_review_over_http_2(self, server, mint):
        curl = shutil.which("curl")
        if not curl or "HTTP2" not in subprocess.run([curl, "-V"], capture_output=True, text=True, check=True).stdout:
            pytest.skip("no curl that speaks HTTP/2 here")
        token = mint()
        server.remember(token)
        command = [curl, "--silent", "--http2", "--noproxy", "*", "--cacert", server.state / "cert.pem"]
        command += ["--header", "Content-Type: application/json", "--write-out", "\n%{http_version} %{http_code}"]
        command += ["--data-binary", "@-", f"https://127.0.0.1:{server.port}/authenticate"]
        told = subprocess.run(command, input=asked(token), capture_output=True, timeout=PATIENCE_SECONDS, check=True)
        body, _, versions = told.stdout.decode().rpartition("\n")
        assert versions == "2 200"
        assert json.loads(body)["status"]["user"]["username"] == "process"


class TestClientCertificates:
    @pytest.fixture
    def demanding(self, start, tmp_path):
        self.authority = Authority()
        ca = tmp_path / "client-ca.pem"
        ca.write_bytes(self.authority.pem)
        return start(clientCAFile=str(ca))

    def context(self, server, authority, directory: Path) -> ssl.SSLContext:
        certificate, key, _ = leaf(authority, ExtendedKeyUsageOID.CLIENT_AUTH)
        path = directory / "client.pem"
        path.touch(mode=0o600)
        path.write_bytes(certificate + key)
        context = server.tls()
        context.load_cert_chain(path)
        return context

    @pytest.mark.parametrize(
        ("version", "alert"),
        [("TLSv1_2", "SSLV3_ALERT_HANDSHAKE_FAILURE|CERTIFICATE_REQUIRED"), ("TLSv1_3", "CERTIFICATE_REQUIRED")],
    )
    def test_without_one_there_is_no_connection(self, demanding, version, alert):
        context = demanding.tls()
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        # In TLS 1.3 a client is ready before the server has seen what it lacks.
        with pytest.raises(ssl.SSLError) as refused, raw(demanding, context) as connection:
            connection.recv(1)
        assert re.search(alert, refused.value.reason)

    def test_one_of_another_authority_does_not_do(self, demanding, tmp_path):
        context = self.context(demanding, Authority(), tmp_path)
        with pytest.raises(ssl.SSLError) as refused, raw(demanding, context) as connection:
            connection.recv(1)
        assert re.search("ALERT", refused.value.reason)

    def test_with_one_reviews_are_answered(self, demanding, mint, tmp_path):
        with Client(demanding, self.context(demanding, self.authority, tmp_path)) as client:
            assert client.review(mint()).granted

    def test_the_health_port_asks_for_none(self, demanding):
        assert demanding.health("/readyz").status == 200

    def test_a_new_authority_is_live_without_a_restart(self, demanding, mint, tmp_path):
        other = Authority("next authority")
        context = self.context(demanding, other, tmp_path)
        (tmp_path / "client-ca.pem").write_bytes(other.pem)

        def let_in() -> bool:
            try:
                with Client(demanding, context) as client:
                    return client.review(mint()).granted
            except OSError:
                return False

        await_that(let_in)
        old = self.context(demanding, self.authority, tmp_path)
        with pytest.raises(ssl.SSLError, match="ALERT"), raw(demanding, old) as connection:
            connection.recv(1)


class TestBodies:
    @pytest.mark.parametrize("length", [BODY_BYTES - 1, BODY_BYTES])
    def test_a_body_within_the_limit_is_read(self, server, length):
        body = asked(NOT_OURS, padding=1)
        body = asked(NOT_OURS, padding=1 + length - len(body))
        assert len(body) == length
        with server.client() as client:
            assert client.post(body).reason is None

    def test_one_byte_more_is_refused_before_it_is_sent(self, server):
        with raw(server) as connection:
            connection.sendall(head("/authenticate", f"Content-Length: {BODY_BYTES + 1}"))
            assert status_line(connection) == "HTTP/1.1 413 Payload Too Large"

    def test_a_body_in_chunks_is_read(self, server, mint):
        with server.client() as client:
            token = mint()
            server.remember(token)
            body = asked(token)
            chunks = iter([body[:7], body[7:300], body[300:]])
            assert client.post(chunks, encode_chunked=True).user["username"] == "process"

    def test_a_byte_too_many_in_chunks_is_refused(self, server):
        body = asked(NOT_OURS, padding=BODY_BYTES)
        with raw(server) as connection:
            connection.sendall(head("/authenticate", "Transfer-Encoding: chunked"))
            with contextlib.suppress(OSError):
                connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            assert status_line(connection) == "HTTP/1.1 413 Payload Too Large"

    def test_headers_beyond_the_limit_are_refused(self, server):
        with raw(server) as connection:
            connection.sendall(head("/authenticate", "X: " + "x" * 9 * 1024, "Content-Length: 0"))
            assert status_line(connection) == "HTTP/1.1 431 Request Header Fields Too Large"

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[",
            b"null",
            b"[]",
            b'["authentication.k8s.io/v1","TokenReview",{"token":"x"}]',
            b'[null,null,["x"]]',
            b'{"kind":"Pod"}',
            b'{"kind":"tokenreview","spec":{"token":"x"}}',
            b'{"apiVersion":"authentication.k8s.io/v2","spec":{"token":"x"}}',
            b'{"spec":{"token":1}}',
            b'{"spec":["x"]}',
            b'{"spec":{"token":"x","token":"x"}}',
            b'{"spec":{"token":"x"},"spec":{"token":"x"}}',
            b'{"spec":{"token":"x"}}{"spec":{"token":"x"}}',
            b'{"spec":{"token":"\\ud800"}}',
            b'{"spec":{"token":"a\nb"}}',
            b"\xff",
            b'\xef\xbb\xbf{"spec":{"token":"x"}}',
            '{"spec":{"token":"x"}}'.encode("utf-16"),
        ],
    )
    def test_what_is_no_token_review_is_a_bad_request(self, server, body):
        with server.client() as client:
            reply = client.post(body)
            assert (reply.status, reply.body["text"]) == (400, "expected a request body to be a TokenReview\n")
            assert client.post(asked(NOT_OURS)).status == 200

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
    def test_other_methods_are_not_allowed(self, server, method):
        with raw(server) as connection:
            connection.sendall(head("/authenticate", "Content-Length: 0").replace(b"POST", method.encode()))
            assert status_line(connection) == "HTTP/1.1 405 Method Not Allowed"

    @pytest.mark.parametrize("path", ["/", "/authenticate/", "//authenticate", "/Authenticate", "/%61uthenticate"])
    def test_other_paths_are_not_found(self, server, path):
        with server.client() as client:
            assert client.post(asked(NOT_OURS), path).status == 404


def test_who_says_half_a_sentence_is_cut_off_and_others_are_not(server, mint):
    """All kinds of slowness at once: each costs its whole deadline."""
    began = time.monotonic()
    silent = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS + GRACE_SECONDS)
    half_hello = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS + GRACE_SECONDS)
    half_hello.sendall(b"\x16\x03\x01\x02\x00\x01")
    speechless, slow_head, slow_body, slow_chunks = (raw(server) for _ in range(4))
    slow_head.sendall(b"POST /authenticate HTTP/1.1\r\nHo")
    slow_body.sendall(head("/authenticate", "Content-Length: 1000") + b'{"kind":')
    slow_chunks.sendall(head("/authenticate", "Transfer-Encoding: chunked") + b'8\r\n{"kind":\r\n')
    with server.client() as honest:
        for connection in (silent, half_hello):
            with contextlib.suppress(ConnectionError):
                connection.recv(1)
            assert GREETING_SECONDS - 1 < time.monotonic() - began < GREETING_SECONDS + GRACE_SECONDS
            assert honest.review(mint()).granted
        assert [status_line(one) for one in (slow_body, slow_chunks)] == ["HTTP/1.1 408 Request Timeout"] * 2
        assert time.monotonic() - began < BODY_SECONDS + GRACE_SECONDS
        assert [status_line(one) for one in (speechless, slow_head)] in (["", ""], ["", "HTTP/1.1 408 Request Timeout"])
        assert HEAD_SECONDS - 1 < time.monotonic() - began < HEAD_SECONDS + GRACE_SECONDS
        assert honest.review(mint()).granted
    for connection in (silent, half_hello, speechless, slow_head, slow_body, slow_chunks):
        connection.close()
    await_that(lambda: server.metric('aws_iam_authenticator_connections{port="tls"}') == 0)


def test_of_too_many_connections_the_stranger_at_rest_for_longest_is_closed(server, mint):
    refused = 'aws_iam_authenticator_connections_refused_total{port="tls"}'
    context = server.tls()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server, context)) for _ in range(CONNECTIONS)]
        for client in clients:
            assert client.post(asked(NOT_OURS)).reason is None
        assert clients[0].review(mint()).granted
        new = [stack.enter_context(Client(server, context)) for _ in range(3)]
        assert all(client.review(mint()).granted for client in new)
        assert server.metric(refused) == 3
        assert server.health("/readyz").status == 200
        assert clients[0].review(mint()).granted
        for client in clients[1:4]:
            assert client.socket.recv(1) == b""
        assert all(client.post(asked(NOT_OURS)).reason is None for client in clients[4:])
    server.await_log("closed a connection to make room")


class TestLeaf:
    @pytest.fixture
    def state(self, tmp_path):
        """A state directory with a leaf of a private CA; `self.trust` trusts that CA."""
        self.authority = Authority()
        state = tmp_path / "state"
        state.mkdir()
        self.trust = ssl.create_default_context(cadata=self.authority.pem.decode())
        self.serial = self.renew(state)
        return state

    def renew(self, state: Path, mode: int = 0o600) -> int:
        certificate, key, serial = leaf(self.authority, ExtendedKeyUsageOID.SERVER_AUTH)
        write_key(state / "cert.pem", certificate, 0o644)
        write_key(state / "key.pem", key, mode)
        return serial

    def presented(self, server: Server) -> int:
        with Client(server, self.trust) as client:
            assert client.get("/healthz").status == 200
            return client.serial

    def test_a_renewed_leaf_is_served_to_new_connections_and_old_ones_go_on(self, state, start, mint):
        server = start()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(server, self.trust)) for _ in range(4)]
            kept = [client.socket for client in clients]
            serials = [self.serial]
            for _ in range(3):
                serials.append(self.renew(state))
                written = time.monotonic()
                await_that(lambda: self.presented(server) == serials[-1])
                assert time.monotonic() - written < LIVE_SECONDS + 0.5, "live too late"
                assert all(client.review(mint()).granted for client in clients)
            assert [client.socket for client in clients] == kept
            assert {client.serial for client in clients} == {serials[0]}
        assert len(set(serials)) == 4
        server.await_log("certificate reloaded")

    def test_the_metric_tells_when_the_leaf_ends(self, state, start):
        server = start()
        leaf = x509.load_pem_x509_certificate((state / "cert.pem").read_bytes())
        expiry = server.metric("aws_iam_authenticator_certificate_expiry_timestamp_seconds")
        assert expiry == leaf.not_valid_after_utc.timestamp()

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
    def test_a_key_that_others_can_read_is_refused_at_the_start(self, state, start, mode):
        (state / "key.pem").chmod(mode)
        with pytest.raises(AssertionError, match=f"a key that its owner alone can read, found mode 0?{mode:04o}"):
            start()

    def test_such_a_key_is_not_taken_at_a_reload(self, state, start):
        server = start()
        self.renew(state, mode=0o644)
        server.await_log("certificate not reloaded.*a key that its owner alone can read, found mode 0644")
        assert self.presented(server) == self.serial
        renewed = self.renew(state)
        await_that(lambda: self.presented(server) == renewed)

    def test_such_a_key_is_taken_once_it_is_closed(self, state, start):
        server = start()
        renewed = self.renew(state, mode=0o644)
        server.await_log("certificate not reloaded.*found mode 0644")
        (state / "key.pem").chmod(0o600)
        await_that(lambda: self.presented(server) == renewed, 2 * LIVE_SECONDS)

    @pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
    def test_half_a_pair_is_not_taken(self, state, start, name):
        server = start()
        certificate, key, _ = leaf(self.authority, ExtendedKeyUsageOID.SERVER_AUTH)
        write_key(state / name, {"cert.pem": certificate, "key.pem": key}[name])
        server.await_log("certificate not reloaded; the old one stays")
        assert self.presented(server) == self.serial

    def test_a_deleted_pair_stays_in_use(self, state, start, mint):
        server = start()
        for name in ("cert.pem", "key.pem"):
            (state / name).unlink()
        server.await_log("certificate not reloaded; the old one stays")
        with Client(server, self.trust) as client:
            assert client.review(mint()).granted
        renewed = self.renew(state)
        await_that(lambda: self.presented(server) == renewed)


class TestSlowSts:
    def test_reviews_of_one_token_ask_once(self, gated, gate, mint):
        token = mint()
        crowd = [Asking(gated, token) for _ in range(8)]
        gate.await_came(1)
        await_that(lambda: gated.metric('aws_iam_authenticator_connections{port="tls"}') == len(crowd))
        # All have asked; what they sent is read before what comes now.
        for _ in range(5):
            assert gated.review(NOT_OURS).reason is None
        gate.open()
        assert {one.review.user["username"] for one in crowd} == {"process"}
        assert gate.came == 1

    def test_nothing_is_kept_for_the_next_review(self, gated, gate, mint):
        gate.open()
        token = mint()
        assert gated.review(token).granted and gated.review(token).granted
        assert gate.came == 2

    def test_who_leaves_takes_the_answer_from_nobody(self, gated, gate, mint):
        token = mint()
        leaver = raw(gated)
        body = asked(token)
        leaver.sendall(head("/authenticate", f"Content-Length: {len(body)}") + body)
        gate.await_came(1)
        stays = Asking(gated, token)
        await_that(lambda: gated.metric('aws_iam_authenticator_connections{port="tls"}') == 2)
        for _ in range(5):
            assert gated.review(NOT_OURS).reason is None
        leaver.close()
        await_that(lambda: gated.metric('aws_iam_authenticator_connections{port="tls"}') == 1)
        gate.open()
        assert stays.review.granted
        assert gate.came == 1

    def test_beyond_the_limit_there_are_too_many(self, start, gate, aws, mint):
        server = start(sts={"connectTo": gate.settings, "caFile": str(aws.ca)}, limits={"stsInFlight": 2})
        first = [Asking(server, mint()) for _ in range(2)]
        gate.await_came(2)
        began = time.monotonic()
        busy = server.review(mint())
        # It waits half a second for its turn.
        assert time.monotonic() - began < 1
        assert (busy.status, busy.body["reason"]) == (429, "TooManyRequests")
        assert "retry-after" not in busy.headers
        # What needs no STS is answered all the same.
        assert server.review("k8s-aws-v1.AAAA").reason == "token_malformed"
        gate.open()
        assert all(one.review.granted for one in first)
        assert server.review(mint()).granted
        counted = 'aws_iam_authenticator_authenticate_latency_seconds_count{result="sts_throttling"}'
        assert server.metric(counted) == 1

    def test_an_sts_that_hangs_is_given_up_in_time(self, gated, gate, mint):
        asking = Asking(gated, mint())
        hung = asking.review
        assert (hung.status, hung.body["reason"]) == (504, "Timeout")
        assert "retry-after" not in hung.headers
        assert STS_SECONDS - 0.5 < asking.seconds < STS_SECONDS + 1.5
        gate.open()
        assert gated.review(mint()).granted

    def test_an_sts_that_is_not_there_is_no_denial(self, start, aws, mint):
        with socket.socket() as taken:
            # Bound and not listening: whoever connects is refused.
            taken.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            server = start(sts={"connectTo": {HOST.name: address}, "caFile": str(aws.ca)})
            review = server.review(mint())
        assert (review.status, review.body["reason"]) == (504, "Timeout")
        assert "retry-after" not in review.headers
        failures = f'aws_iam_authenticator_sts_connection_failures_total{{StsRegion="{HOST.region}"}}'
        assert server.metric(failures) == 1


class TestEnd:
    def test_a_review_in_flight_is_finished(self, gated, gate, mint):
        asking = Asking(gated, mint())
        gate.await_came(1)
        gated.terminate()
        gated.await_log("shutting down")

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", gated.port), PATIENCE_SECONDS).close()
                return False
            except ConnectionRefusedError:
                return True

        await_that(refused)
        gate.open()
        assert asking.review.user["username"] == "process"
        assert gated.ended() == 0
        assert gated.lines('msg="stopped"') or gated.lines("msg=stopped"), gated.log

    def test_one_that_hangs_is_not_waited_for_longer_than_it_may_take(self, gated, gate, mint):
        asking = Asking(gated, mint())
        gate.await_came(1)
        gated.terminate()
        began = time.monotonic()
        assert gated.ended() == 0
        assert time.monotonic() - began < 5 + GRACE_SECONDS
        assert asking.review.status == 504

    def test_idle_connections_do_not_delay_it(self, server, mint):
        with server.client() as client:
            assert client.review(mint()).granted
            with raw(server):
                began = time.monotonic()
                server.terminate()
                assert server.ended() == 0
                assert time.monotonic() - began < 3


class TestHealth:
    @pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
    def test_it_is_well(self, server, path):
        for reply in (server.health(path), self.over_tls(server, path)):
            assert (reply.status, reply.body["text"]) == (200, "ok")
            assert reply.headers["content-type"] == "text/plain; charset=utf-8"

    @pytest.mark.parametrize("path", ["/", "/healthz/", "/metrics/", "/authenticate", "/debug/pprof", "/../metrics"])
    def test_other_paths_are_not_found(self, server, path):
        assert server.health(path).status == 404

    def test_metrics_are_in_the_classic_format_on_both_ports(self, server):
        for reply in (server.health("/metrics"), self.over_tls(server, "/metrics")):
            assert reply.status == 200
            assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert reply.body["text"].endswith("\n") and "# EOF" not in reply.body["text"]

    def over_tls(self, server, path):
        with server.client() as client:
            return client.get(path)

    def test_the_health_port_has_seats_of_its_own(self, server, mint):
        with contextlib.ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.health_port), PATIENCE_SECONDS))
            assert server.review(mint()).granted
        refused = 'aws_iam_authenticator_connections_refused_total{port="health"}'
        assert await_that(lambda: _value(server, refused)) >= 24

    def test_a_taken_health_port_does_not_stop_sign_in(self, start, mint):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = start(healthAddress=f"127.0.0.1:{taken.getsockname()[1]}")
            server.await_log("healthz server exited")
            assert server.health_port is None
            assert server.review(mint()).granted

    def test_under_the_reference_s_name_every_path_is_well(self, binary, aws, tmp_path):
        link, state = tmp_path / "aws-iam-authenticator", tmp_path / "state"
        link.symlink_to(binary)
        state.mkdir()
        config = tmp_path / "config.yaml"
        config.write_text(rendered(configuration(tmp_path, aws)))
        server = Server([link, "server", "--config", config], state)
        for path in ("/", "/healthz", "/anything"):
            assert server.health(path).body["text"] == "ok"
        server.stop()


def _value(server: Server, name: str) -> float | None:
    """While no seat is free there is no answer."""
    try:
        return server.metric(name)
    except OSError:
        return None


# Name, type and labels with the values that they may have: an interface that dashboards and alerts of others read.
RESULTS = {"success", "malformed_request", "invalid_token", "sts_error", "sts_throttling", "uknown_user"}
REGIONS = {host.region for host in hosts.ALL} | {"other"}
METRICS = {
    "authenticate_latency_seconds": ("histogram", {"result": RESULTS}),
    "sts_responses_total": ("counter", {"ResponseCode": {"200", "400", "403", "500", "503"}, "StsRegion": REGIONS}),
    "sts_connection_failures_total": ("counter", {"StsRegion": REGIONS}),
    "sts_throttling_total": ("counter", {"StsRegion": REGIONS}),
    "ec2_describe_instances_calls_total": ("counter", {}),
    "configmap_watch_failures_total": ("counter", {}),
    "dynamicfile_failures_total": ("counter", {}),
    "dynamic_e2e_latency_seconds": ("histogram", {"type": {"dynamic_file", "dynamic_backend_mode"}}),
    "dynamic_file_enabled": ("gauge", {}),
    "dynamic_file_only": ("gauge", {}),
    "config_last_reload_successful": ("gauge", {}),
    "config_last_reload_success_timestamp_seconds": ("gauge", {}),
    "certificate_expiry_timestamp_seconds": ("gauge", {}),
    "connections": ("gauge", {"port": {"tls", "health"}}),
    "connections_refused_total": ("counter", {"port": {"tls", "health"}}),
}
BUCKETS = {
    "authenticate_latency_seconds": "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 +Inf".split(),
    "dynamic_e2e_latency_seconds": "1 3 5 10 15 20 30 60 +Inf".split(),
}


class Told:
    """The metrics, read as Prometheus reads the classic format."""

    def __init__(self, text: str):
        self.types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        self.helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
        self.series: dict[str, list[dict[str, str]]] = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, labels = re.fullmatch(r"([a-z0-9_]+)(?:\{(.*)\})? \S+", line).groups()
                self.series.setdefault(name, []).append(dict(re.findall(r'(\w+)="([^"]*)"', labels or "")))


def test_refusals_of_all_kinds_tell_metrics_as_they_are_known_and_no_secret(start, aws, mint, tmp_path):
    server = start()
    good = mint()
    assert server.review(good).granted
    # Refused by the server.
    for spoiled in (
        token_text.with_parameter(good, "X-Amz-Date", "20200101T000000Z"),
        token_text.with_host(good, "sts.evil.test"),
        token_text.with_suffix(good, "&x=y"),
        good + "=",
        good[:-3],
        good.replace("v1", "v2", 1),
        "k8s-aws-v1." + good,
    ):
        assert not server.review(spoiled).granted
    # Refused by STS.
    assert server.review(mint("another-cluster")).reason == "cluster_id_mismatch_or_bad_signature"
    unknown = Keys("ASIAUNKNOWNUNKNOWN22", "x" * 40, "y" * 343)
    stranger = signed(unknown)
    assert server.review(stranger).reason == "access_key_unknown"
    role = aws.directory.add_role("Process", ACCOUNT)
    expired = aws.directory.open_session(role, "jane")
    aws.directory.expire(expired)
    late = signed(expired.keys)
    assert server.review(late).reason == "credentials_expired"
    # Not mapped.
    nobody = aws.directory.open_session(aws.directory.add_role("Nobody", ACCOUNT), "jane")
    unmapped = signed(nobody.keys)
    assert server.review(unmapped).reason == "identity_not_mapped"
    # Not decided.
    for outage, status in ((sts.THROTTLED, 429), (sts.INTERNAL, 504), (sts.UNAVAILABLE, 504)):
        aws.sts.break_with(outage)
        assert server.review(mint()).status == status
    aws.sts.break_with(None)
    # Not asked in the right way: a token where none is looked for.
    with server.client() as client:
        assert client.post(good.encode()).status == 400
        assert client.post(b'{"spec":{"token":"%s"' % good.encode()).status == 400
        assert client.get(f"/authenticate?token={good}").status == 405
        assert client.get(f"/{good}").status == 404
    with raw(server) as connection:
        connection.sendall(head("/authenticate", f"Authorization: Bearer {good}", "Content-Length: 1x"))
        assert status_line(connection) == "HTTP/1.1 400 Bad Request"

    told = Told(server.metrics())
    prefix = "aws_iam_authenticator_"
    ours = {name.removeprefix(prefix): kind for name, kind in told.types.items() if name.startswith(prefix)}
    seen = {name for name in METRICS if name in ours}
    # What never happened has no series yet; all but a failed connection has happened here.
    assert set(METRICS) - seen <= {"sts_connection_failures_total"}
    assert ours == {name: METRICS[name][0] for name in seen}
    assert told.helps.keys() == told.types.keys()
    for name in seen:
        kind, labels = METRICS[name]
        if kind == "histogram":
            for suffix in ("_count", "_sum"):
                assert_labels(told.series[prefix + name + suffix], labels)
            buckets = told.series[f"{prefix}{name}_bucket"]
            assert_labels(buckets, {**labels, "le": set(BUCKETS[name])})
            (label, values) = next(iter(labels.items()))
            for value in values:
                assert [one["le"] for one in buckets if one[label] == value] == BUCKETS[name]
        else:
            assert_labels(told.series[prefix + name], labels)
    count = f"{prefix}authenticate_latency_seconds_count"
    counts = {result: server.metric(f'{count}{{result="{result}"}}') for result in RESULTS}
    assert counts == {
        "success": 1,
        # The last question was no HTTP; nobody reviewed it.
        "malformed_request": 3,
        "invalid_token": 7,
        "sts_error": 5,
        "sts_throttling": 1,
        "uknown_user": 1,
    }
    # The fixture's end looks for every token in the log and in the metrics.
    assert server.lines("access denied")


def assert_labels(series: list[dict[str, str]], labels: dict[str, set[str]]) -> None:
    for one in series:
        assert one.keys() == labels.keys()
        assert all(value in labels[name] for name, value in one.items()), one


def test_what_callers_choose_cannot_break_a_log_line(server, aws):
    # As far as STS lets a session name go, and beyond.
    role = aws.directory.add_role("Process", ACCOUNT)
    for name in ("a b=c", 'quote"d', "line\nbreak level=error", "\x1b[31mred", "back\\slash", "\u202eright-to-left"):
        session = aws.directory.open_session(role, name)
        server.review(signed(session.keys))
    for line in server.log.splitlines():
        assert re.match(r'time="[^"]+" level=(error|warning|info|debug|trace) msg=', line), line
        assert line.isprintable(), repr(line)
    # What they chose is told all the same, where STS could have said it: quoted.
    for session in (r'session="quote\"d"', r'session="back\\slash"'):
        assert len(server.lines(session)) == 1, session


def test_the_environment_and_the_command_line_hold_no_secret(server, mint):
    token = mint()
    assert server.review(token).granted
    for name in ("cmdline", "environ"):
        server.refuse_secrets(Path(f"/proc/{server.process.pid}/{name}").read_text())
    assert os.stat(server.state / "key.pem").st_mode & 0o777 == 0o600
