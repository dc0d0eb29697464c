"""Typed calls, every patch, a watch, the dynamic client; against the namespace in $NS."""

import os
import threading

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

config.load_kube_config()
ns = os.environ["NS"]
core, apps = client.CoreV1Api(), client.AppsV1Api()


def settings(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"made": "here"}), data=data)


core.create_namespaced_config_map(ns, settings("one", a="1"))
try:
    core.create_namespaced_config_map(ns, settings("one"))
    raise SystemExit("a second object of that name")
except ApiException as error:
    assert error.status == 409, error

# Patches: strategic (the client's default for dicts), json, apply.
assert core.patch_namespaced_config_map("one", ns, {"data": {"b": "2"}}).data == {"a": "1", "b": "2"}
patched = core.patch_namespaced_config_map("one", ns, [{"op": "remove", "path": "/data/a"}])
assert patched.data == {"b": "2"}, patched.data

# A watch from a list's revision sees exactly what comes after it.
listed = core.list_namespaced_config_map(ns, label_selector="made=here")
assert [item.metadata.name for item in listed.items] == ["one"]
seen = []
started = threading.Event()


def follow():
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, ns, label_selector="made=here",
        resource_version=listed.metadata.resource_version, timeout_seconds=30,
    )
    started.set()
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            return


follower = threading.Thread(target=follow)
follower.start()
started.wait(10)
core.create_namespaced_config_map(ns, settings("two"))
core.patch_namespaced_config_map("two", ns, {"metadata": {"labels": {"seen": "yes"}}})
core.delete_namespaced_config_map("two", ns)
follower.join(30)
assert seen == [("ADDED", "two"), ("MODIFIED", "two"), ("DELETED", "two")], seen

# Pages.
for n in range(5):
    core.create_namespaced_config_map(ns, settings(f"page-{n}"))
page = core.list_namespaced_config_map(ns, label_selector="made=here", limit=2)
names = [item.metadata.name for item in page.items]
while page.metadata._continue:
    page = core.list_namespaced_config_map(ns, label_selector="made=here", limit=2, _continue=page.metadata._continue)
    names += [item.metadata.name for item in page.items]
assert names == ["one"] + [f"page-{n}" for n in range(5)], names

# A Deployment, read back through its scale and its status.
pod = {"metadata": {"labels": {"app": "py"}}, "spec": {"containers": [{"name": "c", "image": "registry.example/c:1"}]}}
apps.create_namespaced_deployment(
    ns, {"metadata": {"name": "py"}, "spec": {"selector": {"matchLabels": {"app": "py"}}, "template": pod}})
apps.patch_namespaced_deployment_scale("py", ns, {"spec": {"replicas": 2}})
for event in watch.Watch().stream(apps.list_namespaced_deployment, ns, timeout_seconds=60):
    if event["object"].status.ready_replicas == 2:
        break
else:
    raise SystemExit("never ready")

# The dynamic client: discovery, apply, subresources.
dyn = dynamic.DynamicClient(client.ApiClient())
maps = dyn.resources.get(api_version="v1", kind="ConfigMap")
body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"x": "y"}}
applied = maps.server_side_apply(body=body, name="applied", namespace=ns, field_manager="python")
assert applied.metadata.managedFields[0].operation == "Apply"
assert maps.get(name="applied", namespace=ns).data.x == "y"
maps.delete(name="applied", namespace=ns)
ingresses = dyn.resources.get(api_version="networking.k8s.io/v1", kind="Ingress")
assert ingresses.get(namespace=ns).items == []
assert client.VersionApi().get_code().major == "1"
print("done")
