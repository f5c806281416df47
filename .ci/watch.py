"""Asks every query of dashboards and rules of a running house. Run by .ci/watch: watch.py TRUNKLINE PROMETHEUS"""

import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

ROOT = pathlib.Path(__file__).resolve().parent.parent
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RULES = ROOT / "deploy/alerts/trunkline.rules.yaml"

# As whom people look: a dashboard's login is a member of the first, whoever is on call is the second.
DASHBOARD = "trunkline_reader"
ON_CALL = "oncall_login"

# What `$__rate_interval` stands for here: four scrapes of a second, and some more for a busy machine.
RATE_INTERVAL = "10s"
SCRAPES_MIN = 15
PATIENCE_SECONDS = 90


def fail(message):
    sys.exit(f".ci/watch: {message}")


def wait_for(what, look):
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    fail(f"{what} did not come about in {PATIENCE_SECONDS} s")


# --- the house, and what keeps it busy -------------------------------------------------------------------------------


class Failing(http.server.BaseHTTPRequestHandler):
    """An endpoint that answers 500."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(500)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def request(method, url, key=None, body=None, headers=None):
    headers = {"content-type": "application/json", **(headers or {})}
    if key:
        headers["authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def start_house(trunkline, folder):
    environment = {
        "PATH": os.environ["PATH"],
        # Short, so that there are dead letters to show before the failing endpoint's circuit breaker opens at ten attempts.
        "TRUNKLINE__DELIVERY__RETRY_SCHEDULE": "100ms",
        # Wrong keys are part of the traffic.
        "TRUNKLINE__CLIENTS__FAILED_LOGINS_PER_MINUTE": "0",
    }
    options = ["dev", "--ephemeral", "--data-dir", str(folder), "--api-port", "0", "--receiver-port", "0", "--admin-port", "0"]
    house = subprocess.Popen([trunkline, *options], env=environment, stdout=subprocess.DEVNULL)
    file = folder / "dev.json"

    def is_up():
        if house.poll() is not None:
            fail("the house did not come up")
        return file.exists() and json.loads(file.read_text())

    return house, wait_for("dev.json", is_up)


def begin_traffic(dev, failing_url, is_over):
    """Publishes in every way, well and badly, until it is over."""
    api, key = dev["api_url"], dev["tenants"][0]["api_key"]
    status, body = request("POST", f"{api}/v1/endpoints", key, {"name": "failing", "url": failing_url})
    if status != 201:
        fail(f"no endpoint: {status} {body}")

    def publish():
        number = 0
        while not is_over.is_set():
            number += 1
            kind = {"type": f"order.{'paid' if number % 2 else 'sent'}", "number": number}
            request("POST", f"{api}/v1/events", key, kind)
            request("POST", f"{api}/v1/events", key, kind, {"idempotency-key": f"watch-{number}"})
            request("POST", f"{api}/v1/events/batch", key, {"events": [{"payload": kind}, {"payload": kind}]})
            request("GET", f"{api}/v1/events?limit=1", key)
            request("GET", f"{api}/v1/events", "tl_nobody")
            time.sleep(0.2)

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    return thread


# --- Prometheus --------------------------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Prometheus:
    def __init__(self, program, folder, target):
        self.url = f"http://127.0.0.1:{free_port()}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "trunkline", "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        options = [
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--log.level=error",
        ]
        self.process = subprocess.Popen([program, *options])

    def ask(self, path, **parameters):
        try:
            status, body = request("GET", f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        except OSError:
            return None
        if status == 503:  # it is still starting
            return None
        answer = json.loads(body)
        if status != 200:
            fail(f"Prometheus refuses {parameters}: {answer.get('error')}")
        return answer["data"]

    def is_ready(self):
        counted = self.ask("query", query='sum_over_time(up{job="trunkline"}[5m])')
        return counted and counted["result"] and float(counted["result"][0]["value"][1]) >= SCRAPES_MIN


# --- the checks --------------------------------------------------------------------------------------------------------


def check_pages(admin_url):
    """Both forms of /metrics hold the same, by the library that Prometheus' authors wrote."""
    plain = request("GET", f"{admin_url}/metrics", headers={"accept": "text/plain"})[1].decode()
    opened = request("GET", f"{admin_url}/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})[1].decode()

    def names(families):
        return {sample.name for family in families for sample in family.samples if family.name.startswith("trunkline_")}

    one, other = names(read_text(plain)), names(read_openmetrics(opened))
    if one != other or len(one) < 40:
        fail(f"the two forms of /metrics differ: {one ^ other}")
    print(f"/metrics: {len(one)} names, the same in both forms")
    return one


def check_structure(path, dashboard):
    """What Grafana would quietly pass over or refuse."""
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    ids, taken = set(), set()
    for panel in dashboard["panels"]:
        where = f"{path.name}, panel {panel['title']!r}"
        if panel["id"] in ids:
            fail(f"{where}: its id is another's too")
        ids.add(panel["id"])
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        if place["x"] + place["w"] > 24 or cells & taken:
            fail(f"{where}: lies over another, or beyond the edge")
        taken |= cells
        if panel["type"] == "row":
            continue
        if not panel["description"] or not panel["targets"]:
            fail(f"{where}: no description, or nothing asked")
        for target in panel["targets"]:
            source = target["datasource"]["uid"]
            if source.strip("${}") not in variables:
                fail(f"{where}: its data source {source} is no variable")
    for key in ("uid", "title", "schemaVersion", "time"):
        if not dashboard.get(key):
            fail(f"{path.name}: no {key}")


def queries(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target


def check_metrics_queries(prometheus):
    count = 0
    for path in DASHBOARDS:
        for title, target in queries(json.loads(path.read_text())):
            if "expr" not in target:
                continue
            expression = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
            now = time.time()
            data = prometheus.ask("query_range", query=expression, start=now - 10, end=now, step=1)
            if not data["result"]:
                fail(f"{path.name}, {title!r}: {expression} finds nothing")
            count += 1
    print(f"dashboards: {count} queries, each found something")


def check_rules(prometheus):
    def evaluated():
        groups = prometheus.ask("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

    rules = wait_for("the evaluation of every rule", evaluated)
    for rule in rules:
        if rule["health"] != "ok":
            fail(f"{rule['name']}: {rule.get('lastError')}")
        if rule["state"] == "firing":
            fail(f"{rule['name']} fires although nothing is wrong")
    runbooks = (ROOT / "docs/RUNBOOKS.md").read_text()
    for rule in rules:
        if f"\n## {rule['name']}\n" not in runbooks:
            fail(f"{rule['name']} has no section in docs/RUNBOOKS.md")
        if rule["annotations"]["runbook"] != f"docs/RUNBOOKS.md#{rule['name'].lower()}":
            fail(f"{rule['name']} points elsewhere than to its runbook")
    sections = set(re.findall(r"^## (Trunkline\w+)$", runbooks, re.MULTILINE))
    if extra := sections - {rule["name"] for rule in rules}:
        fail(f"runbooks of alerts that there are not: {extra}")
    print(f"alerts: {len(rules)} rules are evaluated, none fires, each has its runbook")


def check_names(known):
    """Whoever asks for a metric asks for one that there is."""
    for path in [*DASHBOARDS, RULES]:
        asked = set(re.findall(r"\btrunkline_(?:api|worker|receiver|queue|database|partitions|build)_\w+", path.read_text()))
        if unknown := asked - known:
            fail(f"{path.name} asks for {unknown}")


def psql(url, sql, role=None):
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command", sql]
    environment = {**os.environ, "PGOPTIONS": f"-c role={role}"} if role else None
    ran = subprocess.run(["psql", url, *options], capture_output=True, text=True, check=False, env=environment)
    if ran.returncode != 0:
        fail(f"{ran.stderr}\nin {sql}")
    return ran.stdout.splitlines()


def as_grafana(sql, tenant):
    """What Grafana makes of its macros for PostgreSQL."""
    now = time.time()
    moment = lambda seconds: time.strftime("'%Y-%m-%dT%H:%M:%SZ'", time.gmtime(seconds))
    sql = sql.replace("$__timeFrom()", moment(now - 3600)).replace("$__timeTo()", moment(now + 60))
    sql = re.sub(r"\$__timeGroup\(([^,]+), \$__interval\)", r"floor(extract(epoch from \1)/(10))*10", sql)
    sql = sql.replace("${tenant:sqlstring}", f"'{tenant}'")
    if "$" in sql:
        fail(f"a macro that is not known here: {sql}")
    return sql


def check_history_queries(dev):
    tenant, count = dev["tenants"][0]["tenant_id"], 0
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query" and tenant not in psql(dev["database_url"], variable["query"], DASHBOARD):
                fail(f"{path.name}: the variable {variable['name']} does not offer {tenant}")
        for title, target in queries(dashboard):
            if "rawSql" not in target:
                continue
            sql = as_grafana(target["rawSql"], tenant)
            wait_for(f"a row of {path.name}, {title!r}", lambda: psql(dev["database_url"], sql, DASHBOARD))
            # Of a tenant that is not there, nothing of anybody else is shown.
            if rows := psql(dev["database_url"], as_grafana(target["rawSql"], "nobody"), DASHBOARD):
                fail(f"{path.name}, {title!r} shows a stranger {rows}")
            count += 1
    print(f"dashboards: {count} SQL queries, each found something, and nothing of anybody else")


def check_runbook_queries(dev):
    """A person who was woken at night copies them."""
    blocks = re.findall(r"^```sql\n(.*?)^```$", (ROOT / "docs/RUNBOOKS.md").read_text(), re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`(SELECT [^`]*;)`", (ROOT / "docs/RUNBOOKS.md").read_text())
    queries = [sql for sql in blocks + inline if "PID" not in sql]
    # docs/SECURITY.md: oncall_login.
    psql(dev["database_url"], f"CREATE ROLE {ON_CALL} IN ROLE trunkline_operator, trunkline_reader, pg_monitor")
    for sql in queries:
        # What only the owner may do says so.
        psql(dev["database_url"], sql, None if "create_partitions" in sql else ON_CALL)
    print(f"runbooks: {len(queries)} queries run")


def main(trunkline, program):
    endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    is_over, children = threading.Event(), []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            house, dev = start_house(trunkline, folder / "house")
            children.append(house)
            begin_traffic(dev, f"http://127.0.0.1:{endpoint.server_port}/hook", is_over)
            prometheus = Prometheus(program, folder, dev["admin_url"].removeprefix("http://"))
            children.append(prometheus.process)
            for path in DASHBOARDS:
                check_structure(path, json.loads(path.read_text()))
            wait_for("enough scrapes", prometheus.is_ready)
            known = check_pages(dev["admin_url"])
            check_names(known)
            check_metrics_queries(prometheus)
            check_rules(prometheus)
            check_history_queries(dev)
            check_runbook_queries(dev)
        finally:
            is_over.set()
            for child in reversed(children):
                child.send_signal(signal.SIGTERM)
                child.wait(timeout=30)


if __name__ == "__main__":
    main(*sys.argv[1:])
