#!/usr/bin/env bash
# Prints what the programs of the image are made of, as a CycloneDX 1.5 document: each crate that is linked in, with its
# version, licence and package URL. Needs nothing but cargo and the lock file; two runs print the same bytes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# `cargo tree` says "name vVERSION (where)"; ours have no place in a registry, and so no package URL.
crates() {
    cargo tree --locked --edges normal --prefix none --no-dedupe --format '{p}|{l}' \
        --package trunkline-cli --package trunkline-api --package trunkline-worker --package trunkline-receiver |
        grep . | sort --unique
}

# A licence that is one expression of SPDX stays one; what an old crate writes as MIT/Apache-2.0 means OR.
crates | awk -F'|' '
    BEGIN {
        printf "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"version\":1,"
        printf "\"metadata\":{\"component\":{\"type\":\"application\",\"name\":\"trunkline\"}},\"components\":["
    }
    {
        split($1, words, " "); name = words[1]; version = substr(words[2], 2); licence = $2
        gsub("/", " OR ", licence); gsub("\"", "", licence)
        printf "%s\n{\"type\":\"library\",\"name\":\"%s\",\"version\":\"%s\"", (NR > 1 ? "," : ""), name, version
        if (name !~ /^trunkline/) printf ",\"purl\":\"pkg:cargo/%s@%s\"", name, version
        if (licence != "") printf ",\"licenses\":[{\"expression\":\"%s\"}]", licence
        printf "}"
    }
    END { print "\n]}" }'
