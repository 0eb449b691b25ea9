"""What needs the API server to be started again; at last it is as it was before us."""

import http.client
import ssl

from cryptography import x509

import door
import installation
from hosts import await_that

CA = f"{installation.WEBHOOK}/ca.pem"
LEAF = f"{installation.STATE}/cert.pem"


def authorities(host) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(host.path(CA).read_bytes())


def issuer(host) -> x509.Certificate:
    """The CA that signed the leaf."""
    leaf = x509.load_pem_x509_certificate(host.path(LEAF).read_bytes())
    for ca in authorities(host):
        try:
            leaf.verify_directly_issued_by(ca)
        except Exception:  # noqa: BLE001, the library has several
            continue
        return ca
    raise AssertionError("no CA of the bundle signed the leaf")


def test_rotating_the_ca_restarts_the_api_server_once_and_refuses_nobody(installed, sign_in, note):
    [old] = authorities(installed)
    starts, interrupted = installed.starts("kube-apiserver"), []

    def unless_the_api_server_is_away() -> str | None:
        try:
            refusal = sign_in(installed)
        except (OSError, ssl.SSLError, http.client.HTTPException) as fault:
            interrupted.append(fault)
            return None
        # Somebody whom we let in, and an API server that has just started and does not know its roles yet.
        if refusal and "status=403" in refusal:
            interrupted.append(refusal)
            return None
        return refusal

    ours = installed.process("iamgate")
    with door.signing_in(4, unless_the_api_server_is_away) as logins:
        rotated = installation.provision(installed, "--rotate=ca", "--wait", "--rollback")
    note(f"`iamgate provision --rotate ca --wait` took {rotated.ran.seconds:.0f} s")
    note(f"{logins.number - len(interrupted)} logins meanwhile")
    both = authorities(installed)
    assert old in both and len(both) == 2
    assert issuer(installed) != old
    assert installed.starts("kube-apiserver") == starts + 1
    assert installed.process("iamgate") == ours
    # First both are trusted, by an API server that has read them, and then the certificate is the new one's.
    order = list(rotated.changes)
    assert order.index(CA) < order.index(installation.API_SERVER) < order.index(LEAF), order
    # Connections that were there before prove nothing about the new certificate.
    installed.run("kill", "-9", ours[0])
    await_that(lambda: installed.process("iamgate") not in (None, ours) and installation.answers(installed))
    assert await_that(lambda: sign_in(installed) is None)


def test_unprovisioning_leaves_the_control_plane_as_it_was(installed, before, bed, sign_in, provisioned, note):
    manifest = provisioned.report["diff"]
    first = next(diff["before"] for diff in manifest if diff["before_header"].startswith(installation.API_SERVER))
    starts = installed.starts("kube-apiserver")
    gone = installation.unprovision(installed, "--wait", "--rollback")
    note(f"`iamgate unprovision --wait` took {gone.ran.seconds:.0f} s")
    assert installed.path(installation.API_SERVER).read_text() == first
    assert installation.tree(installed) == before
    assert installed.starts("kube-apiserver") == starts + 1
    await_that(lambda: installed.process("iamgate") is None, why="our pod is gone")
    assert "status=401" in sign_in(installed)
    assert installation.unprovision(installed).report["changed"] is False
