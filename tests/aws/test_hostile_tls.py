"""An STS that cannot be trusted or reached: it gets no request, and never one in plain text."""

import datetime
import itertools
import socket
import ssl
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from amazon.authority import Authority
from amazon.loopback import tls_context
from hostile import Act, Wire, answered, reset, response
from verdicts import BROKEN, GOOD, HOST, LATE, UNREACHABLE, Trial

DAY = datetime.timedelta(days=1)
OTHER = "sts.us-east-1.amazonaws.com"
# What a TLS client says first: a handshake record.
HANDSHAKE = 22


class Trusted:
    """A trial whose server trusts one more authority, with which a test signs what it likes."""

    def __init__(self, start_trial, stand_in, directory: Path):
        self.authority = Authority()
        self._directory, self._numbers = directory, itertools.count()
        both = directory / "both.pem"
        both.write_bytes(stand_in.ca.read_bytes() + self.authority.pem)
        self.trial: Trial = start_trial(caFile=str(both))

    def context(self, leaf: tuple[bytes, bytes]) -> ssl.SSLContext:
        path = self._directory / f"{next(self._numbers)}.pem"
        path.touch(mode=0o600)
        path.write_bytes(b"".join(leaf))
        return tls_context(path)

    def good(self) -> ssl.SSLContext:
        return self.context(self.authority.leaf([HOST.name]))


@pytest.fixture(scope="module")
def trusted(start_trial, running_stand_in, tmp_path_factory) -> Trusted:
    return Trusted(start_trial, running_stand_in, tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trial(trusted) -> Trial:
    """In the end its STS is honest again, and believed."""
    yield trusted.trial
    trusted.trial.hold_honest_to_grant()


def asks_nothing(trial: Trial, act: Act, verdict=UNREACHABLE) -> None:
    trial.sts.play(act)
    trial.hold_to(verdict)
    assert (trial.sts.connections, trial.sts.requests) == (1, 0)


class TestCertificates:
    def test_a_good_one_of_the_authority_is_asked(self, trusted, trial):
        trial.sts.play(Act(tls=trusted.good()))
        assert trial.server.review(trial.mint()).granted

    @pytest.mark.parametrize(
        "flaw",
        [
            {"names": [OTHER]},
            {"names": ["amazonaws.com"]},
            {"names": ["*.amazonaws.com"]},
            {"names": [f"{HOST.name}.evil.test"]},
            {"begins": -2 * DAY, "ends": -DAY},
            {"begins": DAY, "ends": 2 * DAY},
            {"ca": True},
            {"purpose": ExtendedKeyUsageOID.CLIENT_AUTH},
        ],
        ids=[
            "another host",
            "its domain",
            "a wildcard of two labels",
            "a longer name",
            "expired",
            "not yet valid",
            "an authority's",
            "a client's",
        ],
    )
    def test_with_a_flaw_it_is_not(self, trusted, trial, flaw):
        leaf = trusted.authority.leaf(**{"names": [HOST.name], **flaw})
        asks_nothing(trial, Act(tls=trusted.context(leaf)))

    def test_another_authority_s_is_not(self, trusted, trial):
        asks_nothing(trial, Act(tls=trusted.context(Authority().leaf([HOST.name]))))


class TestVersions:
    @pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
    def test_these_are_spoken(self, trusted, trial, version):
        context = trusted.good()
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        trial.sts.play(Act(tls=context))
        assert trial.server.review(trial.mint()).granted

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
    @pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
    def test_older_ones_are_not(self, trusted, trial, version):
        context = trusted.good()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        asks_nothing(trial, Act(tls=context))

    def test_http_2_is_not_offered(self, trusted, trial):
        spoken = []

        def answer(wire: Wire) -> None:
            spoken.append(wire.connection.selected_alpn_protocol())
            answered(response(GOOD)).answer(wire)

        context = trusted.good()
        context.set_alpn_protocols(["h2", "http/1.1"])
        trial.sts.play(Act(answer, tls=context))
        assert trial.server.review(trial.mint()).granted
        assert len(spoken) == 1 and spoken[0] != "h2"

    def test_a_certificate_of_ours_is_not_given(self, trusted, trial):
        context = trusted.good()
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        asks_nothing(trial, Act(tls=context))

    def test_a_certificate_that_is_asked_for_late_breaks_the_exchange_off(self, trusted, trial):
        context = trusted.good()
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # In TLS 1.3 a client is ready before the server has seen what it lacks.
        asks_nothing(trial, Act(tls=context), BROKEN)


def reading(then) -> tuple[Act, list[bytes]]:
    """Reads what the client says first, and hands it on."""
    first: list[bytes] = []

    def tcp(connection: socket.socket) -> None:
        first.append(connection.recv(4096))
        then(connection)

    return Act(tcp=tcp), first


def await_end(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def flood(connection: socket.socket) -> None:
    record = b"\x16\x03\x03\x40\x00" + b"\x02\x00\xff\xff" + b"x" * (16 * 1024 - 4)
    while True:
        connection.sendall(record)


class TestHandshakes:
    @pytest.mark.parametrize(
        "data",
        [
            response(GOOD),
            b"\x15\x03\x03\x00\x02\x02\x28",
            b"\x16\x03\x03\xff\xff" + b"x" * 0xFFFF,
            b"\x00" * 4096,
            b"",
        ],
        ids=["HTTP in plain text", "an alert", "a record too long", "zeros", "the end"],
    )
    def test_what_is_no_greeting_ends_it(self, trial, data):
        act, first = reading(lambda connection: connection.sendall(data))
        asks_nothing(trial, act)
        assert [said[0] for said in first] == [HANDSHAKE], "a request in plain text"

    def test_a_reset_ends_it(self, trial):
        act, _ = reading(reset)
        asks_nothing(trial, act)

    def test_silence_ends_at_the_limit(self, trial):
        act, _ = reading(await_end)
        asks_nothing(trial, act, LATE)

    def test_a_greeting_without_end_ends(self, trial):
        act, _ = reading(flood)
        asks_nothing(trial, act)
        assert trial.growth < 4 * 1024
