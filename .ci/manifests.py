#!/usr/bin/env python3
"""Checks what deploy/ and docker-compose.yml say, for mistakes that would only show when they are deployed.

    manifests.py TOOLS [--write]     TOOLS is a folder with kubectl and helm (.ci/run makes it); needs .ci/requirements.txt

What it holds:
- kustomize renders the base, both overlays, every component and the database example; helm renders the chart, and the same objects: base and
  the chart's values.yaml, each overlay and the values of its name in the chart's ci/;
- the rules of deploy/alerts are those of the PrometheusRule (--write makes it), which has no other way to them;
- the example of a database has the connections that the production overlay can come to take, and every overlay brings its namespace;
- every object is what each of the Kubernetes versions below knows, no field too many;
- every environment variable named TRUNKLINE__* is a setting that the programs know (crates/boot/src/settings/keys.rs), and
  docs/OPERATIONS.md lists each setting and none besides;
- every pod runs restricted, has probes where it serves, waits for the schema, and is given longer to stop than programs promise;
- liveness asks /healthz, which never touches the database; workers reach no private network; selectors select something;
- compose services have health checks, wait for what they need, are closed to the network, and have time to stop.

What it does not hold: that a cluster's admission rules accept the objects. Objects of KEDA, the
Prometheus and the External Secrets operator are for .ci/npm/operators.mjs; those of CloudNativePG are rendered, and no more.
"""

import ipaddress
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
KUSTOMIZE = ROOT / "deploy" / "kubernetes"
CHART = ROOT / "deploy" / "helm" / "trunkline"
COMPOSE = ROOT / "docker-compose.yml"
KEYS = ROOT / "crates" / "boot" / "src" / "settings" / "keys.rs"
OPERATIONS = ROOT / "docs" / "OPERATIONS.md"
RULES = ROOT / "deploy" / "alerts" / "trunkline.rules.yaml"
RULE_OBJECT = KUSTOMIZE / "components" / "alerts" / "prometheus-rule.yaml"
TOOLS = pathlib.Path(sys.argv[1])

# The first that knows a preStop of sleep, those that most clusters run, and the newest.
KUBERNETES = ["1.30", "1.32", "1.34", "1.36", "1.37"]

# A program that is told to stop is gone within this many seconds, a worker so many after worker.drain.
STOP_SECONDS = 25
AFTER_DRAIN_SECONDS = 3

DOORS = {"api", "worker", "receiver"}

# Where no worker may go; what crates/egress refuses, as far as ranges say it.
PRIVATE = ["10.1.2.3", "100.64.0.1", "127.0.0.1", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255",
           "192.168.1.1", "224.0.0.1", "255.255.255.255", "::1", "fd00:ec2::254", "fe80::1", "ff02::1",
           "64:ff9b::a00:1", "2002:a00:1::", "2001:0:a00:1::"]
PUBLIC = ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"]

problems = []


def expect(holds, what):
    if not holds:
        problems.append(what)


def main():
    if "--write" in sys.argv:
        write_rules()
    rendered = {name: kustomize(name) for name in ("base", "overlays/dev", "overlays/production", "postgres")}
    rendered["every component"] = every_component()
    for name, objects in rendered.items():
        check_known(name, objects)
        check_names(name, objects)
    for name in ("base", "overlays/dev", "overlays/production", "every component"):
        objects = rendered[name]
        check_pods(name, objects)
        check_selectors(name, objects)
        check_network(name, objects)
    for name in ("overlays/dev", "overlays/production", "postgres"):
        expect(any(thing["kind"] == "Namespace" for thing in rendered[name]), f"{name}: no namespace, nothing can be applied")
    check_rules()
    check_connections(rendered["overlays/production"], rendered["postgres"])
    check_base(rendered["base"])
    compare("base", rendered["base"], helm())
    for overlay in ("dev", "production"):
        compare(overlay, rendered[f"overlays/{overlay}"], helm("--values", CHART / "ci" / f"{overlay}.yaml"))
    compose = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    check_compose(compose)
    check_settings(rendered, compose)
    if problems:
        sys.exit("\n".join(problems))
    print(f"manifests: {', '.join(f'{len(objects)} objects in {name}' for name, objects in rendered.items())}, "
          f"known to Kubernetes {', '.join(KUBERNETES)}; the chart is the same; "
          f"{len(compose['services'])} services in compose")


def run(*command):
    ran = subprocess.run(command, check=False, capture_output=True)
    if ran.returncode != 0:
        sys.exit(ran.stderr.decode())
    return [thing for thing in yaml.safe_load_all(ran.stdout) if thing]


def kustomize(name):
    return run(TOOLS / "kubectl", "kustomize", KUSTOMIZE / name)


def every_component():
    """Each of them at once, on the base: no overlay has all."""
    components = [f"../components/{folder.name}" for folder in sorted((KUSTOMIZE / "components").iterdir())]
    with tempfile.TemporaryDirectory(dir=KUSTOMIZE) as folder:
        text = yaml.safe_dump({"resources": ["../base"], "components": components})
        pathlib.Path(folder, "kustomization.yaml").write_text(text, encoding="utf-8")
        return kustomize(pathlib.Path(folder).name)


def helm(*options):
    return run(TOOLS / "helm", "template", "trunkline", CHART, "--namespace", "trunkline", *options)


def check_known(name, objects):
    """Against the schemas of Kubernetes itself, which say nothing of what operators add."""
    for thing in objects:
        if re.search(r"\.(sh|io|com)/", thing["apiVersion"]) and ".k8s.io/" not in thing["apiVersion"]:
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                at = ".".join(str(step) for step in error.path)
                problems.append(f"{name}: {identity(thing)}, Kubernetes {version}: {at}: {error.message}")


def identity(thing):
    return f"{thing['kind']} {thing['metadata']['name']}"


def check_names(name, objects):
    names = [identity(thing) for thing in objects]
    expect(len(names) == len(set(names)), f"{name}: two objects of one kind and name")


def check_base(objects):
    names = {identity(thing) for thing in objects}
    expected = {f"Deployment trunkline-{door}" for door in DOORS}
    expected |= {f"PodDisruptionBudget trunkline-{door}" for door in DOORS}
    expected |= {"Job trunkline-migrate", "CronJob trunkline-retention", "Service trunkline-api", "Service trunkline-receiver"}
    expect(expected <= names, f"base: missing {sorted(expected - names)}")
    for thing in objects:
        expect(thing["kind"] != "Secret", f"base: {identity(thing)}: secrets belong to the overlay")
        expect("namespace" not in thing["metadata"], f"base: {identity(thing)}: a namespace belongs to the overlay")


def check_pods(name, objects):
    for thing in objects:
        if thing["kind"] not in ("Deployment", "Job", "CronJob"):
            continue
        where = f"{name}: {identity(thing)}"
        spec = thing["spec"].get("jobTemplate", thing)["spec"]
        pod = spec["template"]["spec"]
        check_restricted(where, pod)
        if thing["kind"] == "Deployment":
            check_door(where, pod, settings_of(name, objects, pod))
            wait = int(pod["initContainers"][0]["args"][2].removesuffix("m")) * 60
            expect(spec.get("progressDeadlineSeconds", 600) > wait, f"{where}: called failed while it waits for the schema")


def settings_of(name, objects, pod):
    """What its settings say, which are of a name of their own for every content."""
    source = pod["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    found = [thing["data"] for thing in objects if identity(thing) == f"ConfigMap {source}"]
    expect(len(found) == 1, f"{name}: no ConfigMap {source}")
    expect(source != "trunkline-settings", f"{name}: {source} changes under pods of the release before")
    return found[0] if found else {}


def check_restricted(where, pod):
    """What Pod Security's level `restricted` asks for, and a file system that cannot be written to."""
    guard = pod.get("securityContext", {})
    expect(guard.get("runAsNonRoot") is True, f"{where}: may run as root")
    expect(guard.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{where}: any system call")
    expect(pod.get("automountServiceAccountToken") is False, f"{where}: is given a token")
    for container in pod["containers"] + pod.get("initContainers", []):
        guard = container.get("securityContext", {})
        expect(guard.get("readOnlyRootFilesystem") is True, f"{where}: may write to its file system")
        expect(guard.get("allowPrivilegeEscalation") is False, f"{where}: may gain privileges")
        expect(guard.get("capabilities", {}).get("drop") == ["ALL"], f"{where}: keeps capabilities")
        expect(re.search(r"(^|/)trunkline:[^:]+$", container["image"]), f"{where}: image {container['image']}")
        resources = container.get("resources", {})
        expect({"cpu", "memory"} <= set(resources.get("requests", {})), f"{where}: says not what it needs")
        expect("memory" in resources.get("limits", {}), f"{where}: may take all memory")


def check_door(where, pod, settings):
    stop = STOP_SECONDS
    if "worker" in where:
        stop = max(stop, int(settings["TRUNKLINE__WORKER__DRAIN"].removesuffix("s")) + AFTER_DRAIN_SECONDS)
    waits = [container.get("args", [])[:2] for container in pod.get("initContainers", [])]
    expect(["migrate", "--wait"] in waits, f"{where}: does not wait for the schema")
    expect(len(pod.get("topologySpreadConstraints", [])) == 2, f"{where}: not spread over zones and nodes")
    for container in pod["containers"]:
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        given = pod.get("terminationGracePeriodSeconds", 30)
        expect(given > pause + stop, f"{where}: {given} s to stop are too few")
        probes = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
        for probe, path in probes.items():
            expect(container.get(probe, {}).get("httpGet", {}).get("path") == path, f"{where}: {probe}")


def check_selectors(name, objects):
    """What selects pods, selects some of ours."""
    pods = [thing["spec"]["template"]["metadata"]["labels"] for thing in objects if "template" in thing.get("spec", {})]
    for thing in objects:
        spec = thing.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector"))
        if selector is None or thing["kind"] in ("Deployment", "ScaledObject"):
            continue
        wanted = selector.get("matchLabels", selector)
        chosen = [labels for labels in pods if wanted.items() <= labels.items()]
        expect(wanted and chosen, f"{name}: {identity(thing)} selects no pod")
    for thing in objects:
        if thing["kind"] == "Deployment":
            labels = thing["spec"]["template"]["metadata"]["labels"]
            wanted = thing["spec"]["selector"]["matchLabels"]
            expect(wanted.items() <= labels.items(), f"{name}: {identity(thing)} selects others than its own")


def check_network(name, objects):
    policies = {thing["metadata"]["name"]: thing["spec"] for thing in objects if thing["kind"] == "NetworkPolicy"}
    closed = policies.get("trunkline-closed", {})
    expect(set(closed.get("policyTypes", [])) == {"Ingress", "Egress"} and not closed.get("egress"),
           f"{name}: what no policy allows is not forbidden")
    blocks = [peer["ipBlock"] for rule in policies["trunkline-worker"]["egress"] for peer in rule["to"]]
    for address in PRIVATE:
        expect(not is_reached(blocks, address), f"{name}: a worker reaches {address}")
    for address in PUBLIC:
        expect(is_reached(blocks, address), f"{name}: no worker reaches {address}")


def is_reached(blocks, address):
    address = ipaddress.ip_address(address)
    for block in blocks:
        excepted = any(address in ipaddress.ip_network(network) for network in block["except"])
        if address in ipaddress.ip_network(block["cidr"]) and not excepted:
            return True
    return False


def check_rules():
    """The operator's object cannot be made of the file by either tool."""
    rules, thing = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (RULES, RULE_OBJECT))
    expect(thing["spec"] == rules, f"{RULE_OBJECT.name} is not what {RULES.name} says: .ci/manifests.py TOOLS --write")


def write_rules():
    head = RULE_OBJECT.read_text(encoding="utf-8").partition("\nspec:\n")[0]
    rules = "groups:" + RULES.read_text(encoding="utf-8").partition("\ngroups:")[2]
    body = "".join(f"  {line}" if line.strip() else line for line in rules.splitlines(keepends=True))
    RULE_OBJECT.write_text(f"{head}\nspec:\n{body}", encoding="utf-8")


def check_connections(production, postgres):
    """The sum of docs/OPERATIONS.md: every replica that scaling allows, and one more of each during a rollout."""
    found = {identity(thing): thing.get("spec") for thing in production + postgres}
    api = found["HorizontalPodAutoscaler trunkline-api"]["maxReplicas"] + 1
    worker = found["ScaledObject trunkline-worker"]["maxReplicaCount"] + 1
    receiver = found["Deployment trunkline-receiver"]["replicas"] + 1
    needed = api * 27 + worker * 13 + receiver * 10 + 20
    given = int(found["Cluster trunkline-postgres"]["postgresql"]["parameters"]["max_connections"])
    expect(given >= needed, f"postgres: {given} connections, {needed} may be taken")


def compare(name, kustomized, charted):
    """The same objects but for what only one of the two tools makes: namespaces and Secrets, and Helm's own labels."""
    shared = [thing for thing in kustomized if thing["kind"] not in ("Namespace", "Secret")]
    ours = {identity(thing): thing for thing in map(plain, shared)}
    theirs = {identity(thing): thing for thing in map(plain, charted)}
    for missing in sorted(ours.keys() - theirs.keys()):
        problems.append(f"{name}: the chart lacks {missing}")
    for extra in sorted(theirs.keys() - ours.keys()):
        problems.append(f"{name}: only the chart has {extra}")
    for both in sorted(ours.keys() & theirs.keys()):
        for at, here, there in differences("", ours[both], theirs[both]):
            problems.append(f"{name}: {both}{at} is {here!r} by kustomize and {there!r} by helm")


def plain(thing):
    metadata = thing["metadata"]
    metadata.pop("namespace", None)
    for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
        metadata.get("labels", {}).pop(label, None)
    # A chart's settings of earlier releases are kept, as kubectl keeps them anyway.
    metadata.get("annotations", {}).pop("helm.sh/resource-policy", None)
    if not metadata.get("annotations"):
        metadata.pop("annotations", None)
    # A Job cannot be changed: the chart names one for each revision. Each tool has its own hash of settings.
    if thing["kind"] == "Job":
        metadata["name"] = re.sub(r"-\d+$", "", metadata["name"])
    return yaml.safe_load(re.sub(r"trunkline-settings-[a-z0-9]{10}\b", "trunkline-settings", yaml.safe_dump(thing)))


def differences(at, here, there):
    if isinstance(here, dict) and isinstance(there, dict):
        for key in sorted(here.keys() | there.keys()):
            yield from differences(f"{at}.{key}", here.get(key), there.get(key))
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for index, pair in enumerate(zip(here, there)):
            yield from differences(f"{at}[{index}]", *pair)
    elif here != there:
        yield at, here, there


def check_compose(compose):
    services = compose["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            expect(needed in services, f"compose: {name} depends on {needed}, which is not there")
            expect(how["condition"] != "service_started", f"compose: {name} does not wait for {needed}")
        # A step that ends is waited for by its end.
        if service.get("restart") != "no":
            expect("test" in service.get("healthcheck", {}), f"compose: {name} has no health check")
        if "trunkline" in service["image"]:
            grace = int(str(service.get("stop_grace_period", "10s")).removesuffix("s"))
            expect(grace > STOP_SECONDS, f"compose: {name} has {grace} s to stop")
            expect(service.get("read_only") is True, f"compose: {name} may write to its file system")
        expect(not service["image"].endswith(":latest"), f"compose: {name} has no pinned image")
        for port in service.get("ports", []):
            expect(port.startswith("127.0.0.1:"), f"compose: {name} is open to the network at {port}")


def check_settings(rendered, compose):
    """Every TRUNKLINE__* variable must be a setting: the programs refuse to start with one they do not know."""
    keys = re.findall(r'^    "([a-z_.]+)",$', KEYS.read_text(encoding="utf-8"), re.MULTILINE)
    known = {f"TRUNKLINE__{key.replace('.', '__').upper()}" for key in keys}
    expect(len(known) > 10, "no settings found in keys.rs")
    used = {name for service in compose["services"].values() for name in service.get("environment", {})}
    for objects in rendered.values():
        for thing in objects:
            used |= set(thing.get("data", {})) if thing["kind"] == "ConfigMap" else set()
            used |= set(re.findall(r"TRUNKLINE__\w+", yaml.safe_dump(thing)))
    for name in sorted(used):
        expect(not name.startswith("TRUNKLINE__") or name in known, f"{name} is not a setting")
    section = OPERATIONS.read_text(encoding="utf-8").partition("\n## Settings\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([a-z_.]+)` \|", section, re.MULTILINE))
    for key in sorted(set(keys) - listed):
        problems.append(f"docs/OPERATIONS.md does not list the setting {key}")
    for key in sorted(listed - set(keys)):
        problems.append(f"docs/OPERATIONS.md lists {key}, which is no setting")


main()
