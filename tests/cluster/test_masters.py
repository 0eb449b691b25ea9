"""Three control planes of one cluster, over one etcd: an API server and an iamgate on each."""

import contextlib
import json

import door
import installation
from conftest import CLUSTER
from hosts import await_that


def test_three_hosts_are_one_cluster(masters):
    for host in masters:
        nodes = host.kubectl("get", "nodes", "-o", "json").json["items"]
        assert sorted(node["metadata"]["name"] for node in nodes) == [host.name for host in masters]
    first, *others = masters
    written = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "written"}, "data": {"by": first.name}}
    assert first.kubectl("apply", "-f", "-", given=json.dumps(written)).status == 0
    for host in others:
        await_that(lambda host=host: host.kubectl("get", "configmap", "written").status == 0)


def test_a_host_with_another_cluster_id_shows_in_the_reports(masters, binary, running_stand_in, mappings):
    for host, cluster_id in zip(masters, (CLUSTER, CLUSTER, "another.example.com"), strict=True):
        installation.put_program(host, binary)
        installation.configure(host, cluster_id, running_stand_in, mappings)
    first, second, third = (installation.provision(host, "--check").report["fingerprint"] for host in masters)
    assert first == second != third
    installation.configure(masters[2], CLUSTER, running_stand_in, mappings)
    assert installation.provision(masters[2], "--check").report["fingerprint"] == first


def test_hosts_change_one_after_the_other_while_people_sign_in_through_the_rest(
    masters, binary, running_stand_in, mappings, sign_in, kubectl_signs_in, note
):
    done, seconds, fingerprints, logins = [], [], set(), 0
    for host in masters:
        installation.put_program(host, binary)
        installation.configure(host, CLUSTER, running_stand_in, mappings)
    for host in masters:
        with contextlib.ExitStack() as stack:
            through = [
                stack.enter_context(door.signing_in(1, lambda other=other, way=way: way(other)))
                for other in done
                for way in (sign_in, kubectl_signs_in)
            ]
            run = installation.provision(host, "--wait", "--rollback")
        logins += sum(callers.number for callers in through)
        fingerprints.add(run.report["fingerprint"])
        seconds.append(run.ran.seconds)
        done.append(host)
    note(f"{' + '.join(f'{one:.0f}' for one in seconds)} s; {logins} logins through the others meanwhile")
    assert len(fingerprints) == 1
    for host in masters:
        assert (host.starts("kube-apiserver"), host.starts("iamgate")) == (2, 1)
        assert sign_in(host) is None
        assert kubectl_signs_in(host) is None
