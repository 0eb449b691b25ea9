"""Three control planes of one cluster."""

import json

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
