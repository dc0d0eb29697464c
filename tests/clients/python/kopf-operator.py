"""An operator: greetings become ConfigMaps, and their status says so."""

import kopf
import kubernetes


@kopf.on.create("greetings.example.com")
def made(spec, name, namespace, **_):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": spec["text"]}}
    kopf.adopt(body)
    kubernetes.config.load_kube_config()
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, body)
    return {"made": name}


@kopf.on.update("greetings.example.com", field="spec.text")
def changed(new, name, namespace, **_):
    kubernetes.config.load_kube_config()
    kubernetes.client.CoreV1Api().patch_namespaced_config_map(name, namespace, {"data": {"text": new}})


@kopf.on.delete("greetings.example.com")
def gone(name, logger, **_):
    logger.info("goodbye %s", name)
