#!/usr/bin/env python3
"""The Postman collection: every route of the api, with assertions, in an order in which it can be run.

    .ci/postman.py                     write docs/trunkline.postman_collection.json anew
    .ci/postman.py --check             fail if it is not what this file says
    .ci/postman.py --covers OPENAPI    fail if a route of that OpenAPI document is in no request, or a request is of no route

A route is added below, where it fits the story; a request sees what the ones before it left in variables.
"""

import json
import pathlib
import sys

COLLECTION = pathlib.Path(__file__).parent.parent / "docs" / "trunkline.postman_collection.json"
PREFIX = "/v1"

TENANT, OPERATOR, NOBODY = "{{api_key}}", "{{operator_key}}", None

# How often a request that waits for something is sent again; newman pauses between two by --delay-request.
PATIENCE = 100


def request(name, method, route, status, *, path=None, body=None, auth=TENANT, headers=None, tests=(), again_until=None):
    """One request. `route` is as the OpenAPI document has it; `path` fills it in, and may have a query."""
    statuses = status if isinstance(status, list) else [status]
    script = [f'pm.test("answers {" or ".join(map(str, statuses))}", () => pm.expect(pm.response.code).to.be.oneOf({statuses}));']
    if again_until:
        script = [
            f"const tries = Number(pm.variables.get('tries') || 0) + 1;",
            f"if (!({again_until}) && tries < {PATIENCE}) {{",
            "    pm.collectionVariables.set('tries', tries);",
            "    pm.execution.setNextRequest(pm.info.requestName);",
            "    return;",
            "}",
            "pm.collectionVariables.unset('tries');",
            f"pm.test({json.dumps(again_until)}, () => pm.expect({again_until}).to.be.true);",
        ] + script
    if any(code >= 400 for code in statuses):
        script.append("if (pm.response.code >= 400) {")
        script.append('    pm.test("is a problem", () => pm.expect(pm.response.headers.get("content-type")).to.eql("application/problem+json"));')
        script.append("}")
    script += tests
    where = path or route
    url, _, query = where.partition("?")
    base = "{{receiver_url}}" if route.startswith("receiver ") else "{{api_url}}"
    url = url.removeprefix("receiver ")
    parts = {"raw": base + url + ("?" + query if query else ""), "host": [base], "path": url.strip("/").split("/")}
    if query:
        pairs = [pair.partition("=") for pair in query.split("&")]
        parts["query"] = [{"key": key, "value": value} for key, _, value in pairs]
    made = {"method": method, "url": parts, "header": [], "description": f"{method} {route}"}
    if auth:
        made["auth"] = {"type": "bearer", "bearer": [{"key": "token", "value": auth, "type": "string"}]}
    else:
        made["auth"] = {"type": "noauth"}
    if body is not None:
        made["header"].append({"key": "Content-Type", "value": "application/json"})
        made["body"] = {"mode": "raw", "raw": body if isinstance(body, str) else json.dumps(body)}
    for key, value in (headers or {}).items():
        made["header"].append({"key": key, "value": value})
    return {"name": name, "request": made, "event": [{"listen": "test", "script": {"type": "text/javascript", "exec": script}}]}


def keep(variable, expression):
    return f"pm.collectionVariables.set('{variable}', {expression});"


def holds(what, expression):
    return f"pm.test({json.dumps(what)}, () => pm.expect({expression}).to.be.true);"


def equals(expression, value):
    return f"pm.test({json.dumps(expression + ' is ' + json.dumps(value))}, () => pm.expect({expression}).to.eql({json.dumps(value)}));"


ANSWER = "pm.response.json()"

DESCRIPTION = [
    request("The OpenAPI document", "GET", "/v1/openapi.json", 200, auth=NOBODY, tests=[holds("it is OpenAPI 3.1", f"{ANSWER}.openapi.startsWith('3.1')")]),
    request("Swagger UI", "GET", "/v1/docs", 200, auth=NOBODY),
    request("Redoc", "GET", "/v1/redoc", 200, auth=NOBODY),
    request("Without a key nothing is shown", "GET", "/v1/events", 401, auth=NOBODY, tests=[equals(f"{ANSWER}.code", "unauthenticated")]),
]

TENANTS = [
    request(
        "Create a tenant", "POST", "/v1/tenants", 201, auth=OPERATOR,
        body='{"tenant_id": "postman-{{$timestamp}}", "target_url": "{{receiver_url}}/test-tenant/webhook"}',
        tests=[
            keep("tenant_id", f"{ANSWER}.tenant_id"), keep("api_key", f"{ANSWER}.api_key"), keep("endpoint_id", f"{ANSWER}.endpoint_id"),
            holds("the secret is shown this once", f"{ANSWER}.webhook_secret.startsWith('whsec_')"),
        ],
    ),
    request("List tenants", "GET", "/v1/tenants", 200, path="/v1/tenants?limit=100", auth=OPERATOR, tests=[holds("there are some", f"{ANSWER}.tenants.length > 0")]),
    request(
        "Change a tenant", "PATCH", "/v1/tenants/{tenant_id}", 200, path="/v1/tenants/{{tenant_id}}", auth=OPERATOR,
        body='{"target_url": "{{receiver_url}}/{{tenant_id}}/webhook"}', tests=[holds("it says so", f"{ANSWER}.message.includes('updated')")],
    ),
    request(
        "Set how much a tenant may publish", "PATCH", "/v1/tenants/{tenant_id}", 200, path="/v1/tenants/{{tenant_id}}", auth=OPERATOR,
        body={"rate_per_second": 500, "burst": 700}, tests=[equals(f"{ANSWER}.tenant.rate_per_second", 500), equals(f"{ANSWER}.tenant.burst", 700)],
    ),
    request("A tenant does not set it itself", "PATCH", "/v1/tenants/current", 403, body={"burst": 1000}, tests=[equals(f"{ANSWER}.code", "operator_only")]),
    request("Show a tenant", "GET", "/v1/tenants/{tenant_id}", 200, path="/v1/tenants/{{tenant_id}}", auth=OPERATOR, tests=[holds("it is that one", f"{ANSWER}.tenant.tenant_id === pm.variables.get('tenant_id')")]),
    request("Suspend a tenant", "POST", "/v1/tenants/{tenant_id}/suspend", 200, path="/v1/tenants/{{tenant_id}}/suspend", auth=OPERATOR, tests=[equals(f"{ANSWER}.status", "SUSPENDED")]),
    request("Resume a tenant", "POST", "/v1/tenants/{tenant_id}/resume", 200, path="/v1/tenants/{{tenant_id}}/resume", auth=OPERATOR, tests=[equals(f"{ANSWER}.status", "ACTIVE")]),
    request("See who switched what", "GET", "/v1/audit", 200, path="/v1/audit?tenant_id={{tenant_id}}&limit=10", auth=OPERATOR, tests=[equals(f"{ANSWER}.entries[0].action", "tenant.resume"), holds("by an operator", f"{ANSWER}.entries[0].actor.startsWith('operator:')")]),
    request("Show one's own tenant", "GET", "/v1/tenants/current", 200, tests=[holds("without secrets", "!pm.response.text().includes('whsec_')")]),
    request("Change one's own tenant", "PATCH", "/v1/tenants/current", 200, body='{"webhook_secret": "a-secret-of-our-own-choice"}', tests=[holds("it says so", f"{ANSWER}.message.includes('updated')")]),
    request("A tenant's key opens no operator's route", "GET", "/v1/tenants", 403, tests=[equals(f"{ANSWER}.code", "operator_only")]),
]

KEYS = [
    request("Create an API key", "POST", "/v1/api-keys", 201, body={"name": "reader", "scopes": ["read"]}, tests=[keep("key_id", f"{ANSWER}.key_id"), holds("it is shown", f"{ANSWER}.api_key.startsWith('tl_')")]),
    request("List API keys", "GET", "/v1/api-keys", 200, tests=[holds("without themselves", f"{ANSWER}.api_keys.every(key => !key.api_key)")]),
    request("Revoke an API key", "DELETE", "/v1/api-keys/{key_id}", 200, path="/v1/api-keys/{{key_id}}", tests=[holds("it has a time", f"!!{ANSWER}.api_key.revoked_at")]),
]

TYPES = [
    request(
        "Describe an event type", "PUT", "/v1/event-types/{type}", [200, 201], path="/v1/event-types/order.paid",
        body={"description": "Money came.", "schema": {"type": "object", "required": ["order"]}}, tests=[equals(f"{ANSWER}.event_type.type", "order.paid")],
    ),
    request("List event types", "GET", "/v1/event-types", 200, tests=[equals(f"{ANSWER}.total_count", 1)]),
    request("Show an event type", "GET", "/v1/event-types/{type}", 200, path="/v1/event-types/order.paid", tests=[equals(f"{ANSWER}.event_type.enforced", False)]),
    request("Delete an event type", "DELETE", "/v1/event-types/{type}", 204, path="/v1/event-types/order.paid"),
]

EVENTS = [
    request("Switch the reference receiver off", "POST", "receiver /{tenant_id}/disable", 200, path="receiver /{{tenant_id}}/disable"),
    request(
        "Publish an event", "POST", "/v1/events", 201, body={"type": "order.paid", "order": {"id": 42}}, headers={"Idempotency-Key": "{{tenant_id}}-1"},
        tests=[keep("event_id", f"{ANSWER}.event_id"), equals(f"{ANSWER}.status", "PENDING"), holds("it says where", "pm.response.headers.get('location').endsWith(pm.response.json().event_id)")],
    ),
    request(
        "The same key gets the first answer again", "POST", "/v1/events", 201, body={"type": "order.paid", "order": {"id": 42}}, headers={"Idempotency-Key": "{{tenant_id}}-1"},
        tests=[holds("it says so", "pm.response.headers.get('idempotency-replayed') === 'true'"), holds("it is the first", f"{ANSWER}.event_id === pm.variables.get('event_id')")],
    ),
    request("What is no JSON object is refused", "POST", "/v1/events", 422, body="[1]", tests=[equals(f"{ANSWER}.code", "invalid_payload")]),
    request("Publish a batch", "POST", "/v1/events/batch", 201, body={"events": [{"type": "a", "payload": {"n": 1}}, {"type": "b", "payload": {"n": 2}}]}, tests=[holds("a result each", f"{ANSWER}.events.length === 2")]),
    request("The first attempt fails", "GET", "/v1/events/{event_id}", 200, path="/v1/events/{{event_id}}", again_until=f"{ANSWER}.event.status === 'FAILED'", tests=[holds("the receiver was off", f"{ANSWER}.event.error_message.includes('503')")]),
    request("List an event's attempts", "GET", "/v1/events/{event_id}/attempts", 200, path="/v1/events/{{event_id}}/attempts", tests=[holds("the request is shown, masked", f"{ANSWER}.attempts[0].request.headers.some(header => header.name === 'webhook-signature' && header.value === '***')")]),
    request("List events", "GET", "/v1/events", 200, path="/v1/events?status=FAILED&payload=order.id:42&limit=10", tests=[equals(f"{ANSWER}.total_count", 1)]),
    request("An unknown parameter is refused", "GET", "/v1/events", 400, path="/v1/events?colour=red", tests=[equals(f"{ANSWER}.code", "invalid_query")]),
    request("Switch the reference receiver on", "POST", "receiver /{tenant_id}/enable", 200, path="receiver /{{tenant_id}}/enable"),
    request("Retry an event", "POST", "/v1/events/{event_id}/retry", 200, path="/v1/events/{{event_id}}/retry", tests=[equals(f"{ANSWER}.status", "PENDING")]),
    request("Show an event", "GET", "/v1/events/{event_id}", 200, path="/v1/events/{{event_id}}", again_until=f"{ANSWER}.event.status === 'DELIVERED'", tests=[equals(f"{ANSWER}.event.attempts", 2)]),
    request("Change an event: only failed ones are retried", "PATCH", "/v1/events/{event_id}", 400, path="/v1/events/{{event_id}}", body={"status": "PENDING"}, tests=[equals(f"{ANSWER}.code", "not_retryable")]),
    request("Publish an event for later", "POST", "/v1/events", 201, body={"type": "order.later"}, headers={"Trunkline-Deliver-At": "{{tomorrow}}"}, tests=[keep("later_id", f"{ANSWER}.event_id")]),
    request("Cancel an event", "DELETE", "/v1/events/{event_id}", 200, path="/v1/events/{{later_id}}", tests=[equals(f"{ANSWER}.cancelled", 1)]),
    request("An event that does not exist", "GET", "/v1/events/{event_id}", 404, path="/v1/events/evt_01a20ada2c007abc8123456789abcdef", tests=[equals(f"{ANSWER}.code", "event_not_found")]),
]

READING = [
    request("Export events", "GET", "/v1/events/export", 200, path="/v1/events/export?type=order.paid", tests=[holds("one JSON document a line", "pm.response.text().trim().split('\\n').every(line => JSON.parse(line).event_id)")]),
    request("Show statistics", "GET", "/v1/stats", 200, path="/v1/stats?bucket=1h", tests=[holds("buckets without gaps", f"{ANSWER}.buckets.every((bucket, at, all) => at === 0 || bucket.starts_at === all[at - 1].ends_at)")]),
]

DEAD_LETTERS = [
    request("List dead letters", "GET", "/v1/dead-letters", 200, tests=[equals(f"{ANSWER}.total_count", 0)]),
    request("Requeue dead letters", "POST", "/v1/dead-letters/requeue", 200, body={"type": "order.paid"}, tests=[equals(f"{ANSWER}.requeued", 0)]),
    request("Purge dead letters", "POST", "/v1/dead-letters/purge", 200, body={}, tests=[equals(f"{ANSWER}.purged", 0)]),
]

ERASURES = [
    request("Erase an event's payload", "DELETE", "/v1/events/{event_id}/content", 200, path="/v1/events/{{event_id}}/content", tests=[keep("erasure_id", f"{ANSWER}.erasure_id"), holds("its hash stays", f"{ANSWER}.payload_sha256.length === 64")]),
    request("List the receipts of an erasure", "GET", "/v1/erasures/{erasure_id}", 200, path="/v1/erasures/{{erasure_id}}", tests=[equals(f"{ANSWER}.total_count", 1)]),
    request("Count what a predicate would erase", "POST", "/v1/erasures", 200, body={"payload": "n:2", "dry_run": True}, tests=[equals(f"{ANSWER}.would_erase", 1)]),
    request("Erase payloads by predicate", "POST", "/v1/erasures", 200, body={"payload": "n:2"}, tests=[equals(f"{ANSWER}.erased", 1)]),
]

ENDPOINT = f"({ANSWER}.endpoint || {ANSWER})"

ENDPOINTS = [
    request(
        "Create an endpoint", "POST", "/v1/endpoints", 201, body='{"name": "second", "url": "{{receiver_url}}/{{tenant_id}}/webhook/second", "event_types": ["invoice.*"]}',
        tests=[keep("second_id", f"{ENDPOINT}.endpoint_id")],
    ),
    request("List endpoints", "GET", "/v1/endpoints", 200, tests=[equals(f"{ANSWER}.endpoints.length", 2)]),
    request("Show an endpoint", "GET", "/v1/endpoints/{endpoint_id}", 200, path="/v1/endpoints/{{second_id}}", tests=[holds("without its secret", "!pm.response.text().includes('whsec_')")]),
    request("Change an endpoint", "PATCH", "/v1/endpoints/{endpoint_id}", 200, path="/v1/endpoints/{{second_id}}", body={"description": "invoices only"}, tests=[equals(f"{ENDPOINT}.description", "invoices only")]),
    request("Pause an endpoint", "POST", "/v1/endpoints/{endpoint_id}/pause", 200, path="/v1/endpoints/{{second_id}}/pause"),
    request("Resume an endpoint", "POST", "/v1/endpoints/{endpoint_id}/resume", 200, path="/v1/endpoints/{{second_id}}/resume"),
    request("Disable an endpoint", "POST", "/v1/endpoints/{endpoint_id}/disable", 200, path="/v1/endpoints/{{second_id}}/disable", tests=[equals(f"{ENDPOINT}.enabled", False)]),
    request("Enable an endpoint", "POST", "/v1/endpoints/{endpoint_id}/enable", 200, path="/v1/endpoints/{{second_id}}/enable", tests=[equals(f"{ENDPOINT}.enabled", True)]),
    request("Rotate an endpoint's secret", "POST", "/v1/endpoints/{endpoint_id}/rotate-secret", 200, path="/v1/endpoints/{{second_id}}/rotate-secret", body={}, tests=[holds("the new one is shown this once", "pm.response.text().includes('whsec_')")]),
    request("Test an endpoint", "POST", "/v1/endpoints/{endpoint_id}/test", [200, 202], path="/v1/endpoints/{{second_id}}/test", tests=[holds("an event was sent", f"{ANSWER}.event_id.startsWith('evt_')")]),
    request("Show an endpoint's statistics", "GET", "/v1/endpoints/{endpoint_id}/stats", 200, path="/v1/endpoints/{{second_id}}/stats", tests=[holds("it is that one", f"{ANSWER}.endpoint_id === pm.variables.get('second_id')")]),
    request("Set the operational endpoint", "PUT", "/v1/tenants/current/operational-endpoint", 201, body='{"url": "{{receiver_url}}/{{tenant_id}}/webhook/operational"}', tests=[holds("its secret is shown this once", "pm.response.text().includes('whsec_')")]),
    request("Show the operational endpoint", "GET", "/v1/tenants/current/operational-endpoint", 200, tests=[equals(f"{ENDPOINT}.operational", True)]),
    request("Remove the operational endpoint", "DELETE", "/v1/tenants/current/operational-endpoint", 200),
    request("Delete an endpoint", "DELETE", "/v1/endpoints/{endpoint_id}", 200, path="/v1/endpoints/{{second_id}}"),
]

MATCHING = [
    request("Try out an event", "POST", "/v1/match", 200, body={"type": "order.paid", "payload": {"order": 1}}, tests=[equals(f"{ANSWER}.matching", 1)]),
    request("Explain an event", "GET", "/v1/events/{event_id}/explain", 200, path="/v1/events/{{event_id}}/explain"),
    request("Retry a delivery: only failed ones are retried", "POST", "/v1/events/{event_id}/deliveries/{endpoint_id}/retry", 400, path="/v1/events/{{event_id}}/deliveries/{{endpoint_id}}/retry"),
]

REPLAYS = [
    request("Count what a replay would do", "POST", "/v1/replays", 200, body={"status": "DELIVERED", "type": "order.paid", "dry_run": True}, tests=[equals(f"{ANSWER}.counted", 1)]),
    request("Start a replay", "POST", "/v1/replays", 201, body={"status": "DELIVERED", "type": "order.paid", "rate": 1}, tests=[keep("replay_id", f"{ANSWER}.replay_id")]),
    request("List replays", "GET", "/v1/replays", 200, tests=[equals(f"{ANSWER}.replays.length", 1)]),
    request("Pause a replay", "POST", "/v1/replays/{replay_id}/pause", [200, 409], path="/v1/replays/{{replay_id}}/pause"),
    request("Resume a replay", "POST", "/v1/replays/{replay_id}/resume", [200, 409], path="/v1/replays/{{replay_id}}/resume"),
    request("Show a replay", "GET", "/v1/replays/{replay_id}", 200, path="/v1/replays/{{replay_id}}", tests=[holds("it tells its progress", f"{ANSWER}.progress >= 0")]),
    request("Cancel a replay", "DELETE", "/v1/replays/{replay_id}", [200, 409], path="/v1/replays/{{replay_id}}"),
]

THE_END = [
    request("Delete a tenant", "DELETE", "/v1/tenants/{tenant_id}", 200, path="/v1/tenants/{{tenant_id}}", auth=OPERATOR, again_until=f"{ANSWER}.more === false", tests=[equals(f"{ANSWER}.status", "DELETED")]),
    request("Its key is refused", "GET", "/v1/events", 401, tests=[equals(f"{ANSWER}.code", "unauthenticated")]),
]

FOLDERS = [
    ("Description", DESCRIPTION), ("Tenants", TENANTS), ("API keys", KEYS), ("Event types", TYPES), ("Events", EVENTS),
    ("Reading", READING), ("Dead letters", DEAD_LETTERS), ("Matching", MATCHING), ("Replays", REPLAYS), ("Endpoints", ENDPOINTS), ("Erasures", ERASURES), ("The end of a tenant", THE_END),
]


def collection():
    tomorrow = ["pm.collectionVariables.set('tomorrow', new Date(Date.now() + 86400000).toISOString());"]
    names = ["tenant_id", "api_key", "endpoint_id", "key_id", "event_id", "later_id", "erasure_id", "second_id", "replay_id", "tomorrow"]
    return {
        "info": {
            "name": "Trunkline",
            "description": "Every route, in an order that can be run: against `trunkline dev`, with operator_key from its dev.json. "
            "Made by .ci/postman.py; change it there.",
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "variable": [
            {"key": "api_url", "value": "http://127.0.0.1:8080"},
            {"key": "receiver_url", "value": "http://127.0.0.1:8081"},
            {"key": "operator_key", "value": ""},
            *({"key": name, "value": ""} for name in names),
        ],
        "event": [{"listen": "prerequest", "script": {"type": "text/javascript", "exec": tomorrow}}],
        "item": [{"name": name, "item": items} for name, items in FOLDERS],
    }


def covers(openapi):
    described = {
        f"{method.upper()} {path}"
        for path, item in json.loads(pathlib.Path(openapi).read_text())["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    }
    requested = {item["request"]["description"] for _, items in FOLDERS for item in items}
    # What describes itself is in no description.
    itself = {"GET /v1/openapi.json", "GET /v1/docs", "GET /v1/redoc"}
    missing = described - requested
    unknown = {one for one in requested if PREFIX in one} - described - itself
    for one in sorted(missing):
        print(f"in no request: {one}", file=sys.stderr)
    for one in sorted(unknown):
        print(f"of no route: {one}", file=sys.stderr)
    return not missing and not unknown


def main(arguments):
    text = json.dumps(collection(), indent=1, ensure_ascii=False) + "\n"
    if arguments[:1] == ["--covers"] and len(arguments) == 2:
        return 0 if covers(arguments[1]) else 1
    if arguments == ["--check"]:
        if COLLECTION.read_text() == text:
            return 0
        print(f"{COLLECTION} is not what .ci/postman.py says: run it and commit the result", file=sys.stderr)
        return 1
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    COLLECTION.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
