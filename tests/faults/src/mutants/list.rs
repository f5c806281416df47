//! The mutants. Whoever changes one of these places adapts the text here; `mutants` says which.

/// A way to break the product.
pub(super) struct Mutant {
    pub(super) name: &'static str,
    pub(super) file: &'static str,
    /// What is replaced by what; each stands in the file exactly once.
    pub(super) edits: &'static [(&'static str, &'static str)],
    /// It is part of a statement that is checked when it is compiled.
    pub(super) is_statement: bool,
    /// The scenario that must turn red, and the numbers of which one must be the reason.
    pub(super) caught_by: &'static str,
    pub(super) turns_red: &'static [&'static str],
}

/// No mutant to be caught, but a fault to be survived: the code of an attempt panics over what is in the payload, and says it.
pub(super) const POISONED: Mutant = Mutant {
    name: "an attempt that panics",
    file: "worker/src/attempt.rs",
    edits: &[(
        "    let stopwatch = Instant::now();\n",
        "    let stopwatch = Instant::now();
    let is_poison = |bytes: &bytes::Bytes| bytes.windows(8).any(|word| word == b\"poisoned\");
    assert!(!claimed.payload.as_ref().is_some_and(is_poison), \"{:?}\", claimed.payload);\n",
    )],
    is_statement: false,
    caught_by: "",
    turns_red: &[],
};

pub(super) const ALL: [Mutant; 6] = [
    Mutant {
        name: "no jitter",
        file: "crates/domain/src/retry.rs",
        edits: &[("1.0 - self.jitter + 2.0 * self.jitter * chance", "1.0 + 0.0 * chance")],
        is_statement: false,
        caught_by: "outage_over",
        turns_red: &["longest less shortest wait, % of their length"],
    },
    Mutant {
        name: "acknowledge before COMMIT",
        file: "api/src/ingest/plain.rs",
        edits: &[("        match write(flusher, filters, &part).await {", "        let (later, events) = (flusher.clone(), part.iter().map(|one| one.event.clone()).collect::<Vec<_>>());
        tokio::spawn(async move {
            if let Ok(mut connection) = later.pool.acquire().await {
                let _ = events::publish(&mut connection, &events, filters).await;
            }
        });
        match if true { Ok(Default::default()) } else { write(flusher, filters, &part).await } {")],
        is_statement: false,
        caught_by: "postgres_immediate",
        turns_red: &["sink lost", "receiver lost"],
    },
    Mutant {
        name: "no fence",
        file: "crates/store/src/deliveries/record.rs",
        // The number of an attempt is a second fence, since the worker that retakes it writes it down as abandoned.
        edits: &[
            ("              AND d.lease = e.lease\n", ""),
            ("            FROM recorded\n            RETURNING lane", "            FROM recorded ON CONFLICT DO NOTHING\n            RETURNING lane"),
        ],
        is_statement: true,
        caught_by: "outcome_late",
        turns_red: &["late writes that changed history"],
    },
    Mutant {
        name: "no lease",
        file: "crates/store/src/deliveries/claim.rs",
        edits: &[("(leased_until IS NULL OR ", "(leased_until IS NULL OR true OR ")],
        is_statement: true,
        caught_by: "clock_skewed",
        turns_red: &["sink duplicated"],
    },
    Mutant {
        name: "no SKIP LOCKED",
        file: "crates/store/src/deliveries/claim.rs",
        edits: &[("FOR UPDATE SKIP LOCKED", "FOR UPDATE")],
        is_statement: true,
        caught_by: "rows_locked",
        turns_red: &["not delivered but for the locked ones", "throughput"],
    },
    Mutant {
        name: "attempt not counted",
        file: "crates/store/src/deliveries/claim.rs",
        edits: &[("WHERE ran_out_at IS NOT NULL", "WHERE ran_out_at IS NULL AND false")],
        is_statement: true,
        caught_by: "worker_frozen",
        turns_red: &["abandoned attempts told", "attempts that do not add up"],
    },
];
