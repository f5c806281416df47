#!/usr/bin/env python3
"""Checks the Kubernetes base and docker-compose.yml for mistakes that would only show when they are deployed.

    manifests.py           needs PyYAML, and kubectl to render the base and the example overlay

What it holds: every environment variable named TRUNKLINE__* is a setting that the programs know (read from
crates/boot/src/settings/keys.rs); the base carries no Secret and no namespace; every pod runs as somebody else than
root on a read-only file system, has probes where it serves, and is given longer to stop than the programs promise;
every Service selects a Deployment; compose services depend on services that exist. Without kubectl it reads the files
that the base lists instead of rendering them, and says so.

What it does not hold: that a cluster's admission rules accept the objects, or that fields have the type that their
API wants; for that there is `kubectl apply --dry-run=server` on a cluster, and `docker compose config`.
"""

import pathlib
import re
import shutil
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = ROOT / "deploy" / "kubernetes" / "base"
EXAMPLE = ROOT / "deploy" / "kubernetes" / "example"
COMPOSE = ROOT / "docker-compose.yml"
KEYS = ROOT / "crates" / "boot" / "src" / "settings" / "keys.rs"

# A program that is told to stop is gone within this many seconds.
STOP_SECONDS = 25

problems = []


def expect(holds, what):
    if not holds:
        problems.append(what)


def main():
    base = render(BASE)
    check_base(base)
    example = render(EXAMPLE) if shutil.which("kubectl") else []
    compose = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    check_compose(compose)
    check_settings(base, compose)
    if problems:
        sys.exit("\n".join(problems))
    print(f"manifests: {len(base)} objects in the base, {len(example)} in the example, "
          f"{len(compose['services'])} services in compose, all as they should be")


def render(folder):
    """The objects of a kustomization."""
    if shutil.which("kubectl"):
        text = subprocess.run(["kubectl", "kustomize", folder], check=True, stdout=subprocess.PIPE).stdout
        return [thing for thing in yaml.safe_load_all(text) if thing]
    print(f"manifests: no kubectl here, so {folder.name} is read and not rendered")
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    return [thing for name in listed for thing in yaml.safe_load_all((folder / name).read_text(encoding="utf-8"))]


def check_base(objects):
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in objects]
    expect(len(names) == len(set(names)), "base: two objects of one kind and name")
    expected = {("Deployment", f"trunkline-{role}") for role in ("api", "worker", "receiver")}
    expected |= {("Job", "trunkline-migrate"), ("Service", "trunkline-api"), ("Service", "trunkline-receiver")}
    expect(expected <= set(names), f"base: missing {sorted(expected - set(names))}")
    components = set()
    for thing in objects:
        where = f"base: {thing['kind']} {thing['metadata']['name']}"
        expect(thing["kind"] != "Secret", f"{where}: secrets belong to the overlay")
        expect("namespace" not in thing["metadata"], f"{where}: a namespace belongs to the overlay")
        if thing["kind"] in ("Deployment", "Job"):
            check_pod(where, thing)
        if thing["kind"] == "Deployment":
            components.add(thing["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"])
    for thing in objects:
        if thing["kind"] == "Service":
            selected = thing["spec"]["selector"]["app.kubernetes.io/component"]
            expect(selected in components, f"base: Service {thing['metadata']['name']} selects no Deployment")


def check_pod(where, thing):
    pod = thing["spec"]["template"]["spec"]
    expect(pod.get("securityContext", {}).get("runAsNonRoot") is True, f"{where}: may run as root")
    for container in pod["containers"]:
        guard = container.get("securityContext", {})
        expect(guard.get("readOnlyRootFilesystem") is True, f"{where}: may write to its file system")
        expect(guard.get("allowPrivilegeEscalation") is False, f"{where}: may gain privileges")
        expect(guard.get("capabilities", {}).get("drop") == ["ALL"], f"{where}: keeps capabilities")
        expect(re.match(r"trunkline(:|$)", container["image"]), f"{where}: image {container['image']}")
        expect("resources" in container, f"{where}: no resources")
        if thing["kind"] == "Deployment":
            pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            given = pod.get("terminationGracePeriodSeconds", 30)
            expect(given > pause + STOP_SECONDS, f"{where}: {given} s to stop are too few")
            for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
                expect(container.get(probe, {}).get("httpGet", {}).get("path") == path, f"{where}: {probe}")


def check_compose(compose):
    services = compose["services"]
    for name, service in services.items():
        for needed in service.get("depends_on", {}):
            expect(needed in services, f"compose: {name} depends on {needed}, which is not there")
        if name != "postgres":
            grace = int(str(service.get("stop_grace_period", "10s")).removesuffix("s"))
            expect(grace > STOP_SECONDS, f"compose: {name} has {grace} s to stop")
        for port in service.get("ports", []):
            expect(port.startswith("127.0.0.1:"), f"compose: {name} is open to the network at {port}")


def check_settings(base, compose):
    """Every TRUNKLINE__* variable must be a setting: the programs refuse to start with one they do not know."""
    known = {f"TRUNKLINE__{key.replace('.', '__').upper()}"
             for key in re.findall(r'^    "([a-z_.]+)",$', KEYS.read_text(encoding="utf-8"), re.MULTILINE)}
    expect(len(known) > 10, "no settings found in keys.rs")
    used = {name for thing in base if thing["kind"] == "ConfigMap" for name in thing["data"]}
    used |= {name for service in compose["services"].values() for name in service.get("environment", {})}
    example = (EXAMPLE / "secret.example.env").read_text(encoding="utf-8")
    used |= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    for name in sorted(used):
        expect(not name.startswith("TRUNKLINE_") or name in known, f"{name} is not a setting")


main()
