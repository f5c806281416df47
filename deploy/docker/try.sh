#!/usr/bin/env bash
# Shows docker-compose.yml at work with a real Docker Engine: brings everything up, goes through the README's demonstration
# (by one api and then by the other), takes everything down and up again, and finds what was there.
#
#     deploy/docker/try.sh                                 # everything
#     deploy/docker/try.sh api api-2 worker receiver       # without Prometheus and Grafana, where an image cannot be had
#
# SKIP_BUILD=1 takes the image that is there. Needs docker with compose v2, curl and python3. Needs a fresh house, too: it ends
# at once where this project's volumes exist. It takes everything down in the end, volumes included. COMPOSE_PROJECT_NAME=other
# keeps it apart from another house's data; a house that is up has to go down first, because both have the same ports and network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-trunkline-try}
operator=${TRUNKLINE_OPERATOR_KEY:-laptop-only-operator-key}
receiver=http://127.0.0.1:8081

say() { printf '\n== %s\n' "$*"; }

# The value at a path of the JSON document on standard input, such as events.0.status
at() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for step in sys.argv[1].split("."):
    value = value[int(step)] if step.isdigit() else value[step]
print(value)' "$1"
}

ask() { curl -sS --fail-with-body --max-time 10 "$@"; }

tenant() {
    local api=$1 path=$2
    shift 2
    ask "$api$path" -H "Authorization: Bearer $key" "$@"
}

# Asks until an event stands as it should, for 20 s at most.
until_event() {
    local api=$1 event=$2 wanted=$3 seen=
    for _ in $(seq 100); do
        seen=$(tenant "$api" "/v1/events/$event" | python3 -c 'import json, sys
event = json.load(sys.stdin)["event"]
print(event["status"], event["attempts"])')
        if [[ $seen == "$wanted" ]]; then
            echo "event $event: $seen"
            return
        fi
        sleep 0.2
    done
    echo "event $event is $seen, not $wanted" >&2
    return 1
}

# Two apis, two workers, a receiver, each found by its name and read; for 60 s at most.
until_scraped() {
    local wanted=$1 seen=0
    for _ in $(seq 120); do
        seen=$(ask 'http://127.0.0.1:9090/api/v1/query?query=sum(up)' | python3 -c 'import json, sys
result = json.load(sys.stdin)["data"]["result"]
print(result[0]["value"][1] if result else 0)')
        if [[ $seen == "$wanted" ]]; then
            echo "$seen doors"
            return
        fi
        sleep 0.5
    done
    echo "$seen doors, not $wanted" >&2
    return 1
}

demonstration() {
    local api=$1 event
    ask -X POST "$receiver/test-tenant/disable" && echo
    event=$(tenant "$api" /v1/events -H 'Content-Type: application/json' -d '{"type":"order.paid","order":1001}' | at event_id)
    until_event "$api" "$event" 'FAILED 1'
    ask -X POST "$receiver/test-tenant/enable" && echo
    tenant "$api" "/v1/events/$event/retry" -X POST && echo
    until_event "$api" "$event" 'DELIVERED 2'
    delivered+=("$event")
}

cleanup() {
    if (($? != 0)); then docker compose logs --tail 30 || true; fi
    docker compose down --volumes --timeout 30 || true
}

if [[ -n $(docker volume ls --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME") ]]; then
    echo "there is a house of the name $COMPOSE_PROJECT_NAME already; take it down, or set COMPOSE_PROJECT_NAME" >&2
    exit 2
fi
trap cleanup EXIT

say "build, and up: $(docker compose version)"
[[ -n ${SKIP_BUILD:-} ]] || docker compose build migrate
docker compose up --wait "$@"
docker compose ps --all --format 'table {{.Service}}\t{{.Status}}'

say "a tenant"
key=$(ask http://127.0.0.1:8080/v1/tenants -H "Authorization: Bearer $operator" -H 'Content-Type: application/json' \
    -d '{"tenant_id":"test-tenant","target_url":"http://receiver.trunkline.test:8081/test-tenant/webhook"}' | at api_key)

delivered=()
for port in 8080 8090; do
    say "the README's demonstration, by port $port"
    demonstration "http://127.0.0.1:$port"
done

if [[ -n $(docker compose ps --quiet prometheus) ]]; then
    say "what Prometheus sees"
    until_scraped 5
fi

say "down, and up again"
docker compose down --timeout 30
docker compose up --wait "$@"
for event in "${delivered[@]}"; do
    until_event http://127.0.0.1:8080 "$event" 'DELIVERED 2'
done
ask "$receiver/test-tenant/received" -H "Authorization: Bearer $key" && echo

say "the image"
image=${TRUNKLINE_IMAGE:-trunkline:dev}
docker image ls "$image"
container=$(docker create "$image")
docker cp "$container:/usr/share/trunkline/sbom.cdx.json" - | tar --extract --to-stdout |
    python3 -c 'import json, sys; print(len(json.load(sys.stdin)["components"]), "components in its bill of materials")'
docker rm "$container" >/dev/null
if docker run --rm --entrypoint sh "$image" -c true 2>/dev/null; then
    echo "it has a shell, which it should not" >&2
    exit 1
fi
docker run --rm --read-only --cap-drop ALL "$image" --version

say "all as it should be"
