"""One small addon, and the channel that lists it; real clusters have a dozen, made of templates that are kops' own."""

from __future__ import annotations

import hashlib

from agents.documents import dump_yaml

NAME = "limit-range.addons.k8s.io"
MANIFEST = f"{NAME}/v1.5.0.yaml"


def addon_manifest() -> bytes:
    """Return a LimitRange that gives containers in the default namespace a tenth of a core."""
    labels = {"addon.kops.k8s.io/name": NAME, "app.kubernetes.io/managed-by": "kops", "k8s-addon": NAME}
    document = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"labels": labels, "name": "limits", "namespace": "default"},
        "spec": {"limits": [{"defaultRequest": {"cpu": "100m"}, "type": "Container"}]},
    }
    return dump_yaml(document).encode()


def bootstrap_channel() -> dict[str, object]:
    """Return the channel: a list of manifests with the hashes of their bytes."""
    addon = {
        "manifest": MANIFEST,
        "manifestHash": hashlib.sha256(addon_manifest()).hexdigest(),
        "name": NAME,
        "selector": {"k8s-addon": NAME},
    }
    return {"kind": "Addons", "metadata": {"name": "bootstrap"}, "spec": {"addons": [addon]}}
