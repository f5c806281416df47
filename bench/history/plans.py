#!/usr/bin/env python3
"""Asks the twenty questions of docs/DATA_MODEL.md of a database filled by fill.sql and writes the plans to docs/PLANS.md.

    psql -d big -c 'CREATE ROLE dba LOGIN; GRANT trunkline_reader TO dba' && bench/history/plans.py big dba

psql finds the server by its usual variables. Each question is asked twice, so that what is written is the second time: with
what it reads in memory, where a database of this size mostly is. It fails when a plan reads a whole table of history.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TENANT = "tenant-000"
LINES_MAX = 40


def psql(database, sql, role=None):
    login = f"SET SESSION AUTHORIZATION {role};" if role else ""
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database]
    return subprocess.run(command, input=login + sql, text=True, capture_output=True, check=True).stdout


def questions():
    text = (ROOT / "docs/DATA_MODEL.md").read_text()
    return re.findall(r"^### (Q\d+)\. (.*?)\n.*?```sql\n(.*?)\n```", text, re.M | re.S)


def read_in_full(plan, today):
    """By table, of how many partitions every row was read; those of the coming days have none."""
    scans = re.findall(r"Seq Scan on (events|payloads|deliveries|attempts)_(\d{8})[^\n]*\(actual", plan)
    found = {}
    for table, _ in {(table, day) for table, day in scans if day <= today}:
        found[table] = found.get(table, 0) + 1
    return found


def main(database, role):
    days = int(psql(database, "SELECT count(*) FROM trunkline.history_partitions WHERE from_day <= current_date"))
    counts = psql(
        database,
        "SELECT string_agg(to_char(n, 'FM999,999,999') || ' ' || t, ', ') FROM (VALUES"
        " ((SELECT count(*) FROM trunkline.events), 'events'),"
        " ((SELECT count(*) FROM trunkline.deliveries), 'deliveries'),"
        " ((SELECT count(*) FROM trunkline.attempts), 'attempts')) AS c (n, t)",
    ).strip()
    today = psql(database, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')").strip()
    version = psql(database, "SHOW server_version").split()[0]
    event = psql(database, f"SELECT event_id FROM trunkline.events WHERE tenant_id = '{TENANT}' ORDER BY event_id DESC LIMIT 1").strip()
    table, plans, failed = [], [], False
    for number, question, query in questions():
        query = query.rstrip(";").replace("acme", TENANT).replace("01a20ada-2c00-7abc-8123-456789abcdef", event)
        explain = f"SET timezone = 'UTC'; SET jit = off; {query}; EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, SUMMARY ON) {query};"
        plan = "\n" + psql(database, explain, role)
        plan = plan[plan.rindex("\n", 0, plan.index("(actual")) + 1 :]
        took = float(re.search(r"Execution Time: ([\d.]+) ms", plan)[1]) + float(re.search(r"Planning Time: ([\d.]+) ms", plan)[1])
        full = read_in_full(plan, today)
        failed |= any(count >= days for count in full.values())
        reads = ", ".join(f"{count} of {days} days of {name}" for name, count in full.items()) or "by index"
        # Partitions that were not touched say nothing.
        lines = [line for line in plan.strip("\n").splitlines() if "(never executed)" not in line]
        # The days look alike.
        if len(lines) > LINES_MAX:
            lines = lines[:LINES_MAX] + [f"... {len(lines) - LINES_MAX} lines more, most of them the same for other days"]
        table.append(f"| [{number}](#{number.lower()}) | {question} | {took:,.0f} ms | {reads} |")
        plans.append(f"## {number}\n\n{question}\n\n```text\n" + "\n".join(lines).rstrip() + "\n```\n")
        print(f"{number:4} {took:9,.1f} ms  {reads}")
    head = f"""# Plans of the twenty questions

What PostgreSQL does to answer each question of [DATA_MODEL.md](DATA_MODEL.md#twenty-questions), on {counts}, over {days} days,
of 200 tenants, of which the one that is asked about has about a sixth. PostgreSQL {version} on two shared cores, asked as a member of
`trunkline_reader`; the time is planning and running, the second time. Made by `bench/history/fill.sql` and `bench/history/plans.py`.

"By index" = no partition is read as a whole. Where a day is, the question is about that day.

| | question | time | reads |
|---|---|---|---|
"""
    (ROOT / "docs/PLANS.md").write_text(head + "\n".join(table) + "\n\n" + "\n".join(plans))
    if failed:
        sys.exit("a question reads a whole table of history")


main(*sys.argv[1:3])
