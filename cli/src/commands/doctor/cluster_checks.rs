//! A cluster: are its tables where they should be, and can its nodes be reached? On plain PostgreSQL there is nothing to say.

use secrecy::ExposeSecret as _;
use trunkline_boot::Settings;
use trunkline_store::citus::{self, Standing};
use trunkline_store::{Address, Connection, Purpose, StoreError, pool};

use super::check::{Check, Verdict};

/// A shard with more lanes than twice its share carries more than its node should.
const CROWDED: i64 = 2;

const LANES: i64 = 64;

pub(super) async fn all(connection: &mut Connection, settings: &Settings) -> Result<Vec<Check>, StoreError> {
    if !citus::is_distributed(connection).await? {
        return Ok(Vec::new());
    }
    let standing = citus::standing(connection).await?;
    let mut checks = judge(&standing);
    checks.extend(tenants_pass(settings).await?);
    Ok(checks)
}

fn judge(standing: &Standing) -> Vec<Check> {
    let list = |names: &[String], none: &str| {
        if names.is_empty() { none.to_owned() } else { names.join("; ") }
    };
    let share = LANES.checked_div(standing.shards).unwrap_or(LANES).max(1);
    vec![
        Check::when(
            standing.inactive.is_empty(),
            Verdict::Fail,
            "cluster",
            match standing.inactive.as_slice() {
                [] => format!("Citus {}, {} nodes with shards", standing.version, standing.nodes),
                names => format!("not active: {}", names.join(", ")),
            },
            "bring the node back, then SELECT citus_activate_node(name, port) on the coordinator; what lies on it waits until then",
        ),
        Check::when(
            standing.astray.is_empty(),
            Verdict::Fail,
            "distribution",
            list(&standing.astray, "every table is where it belongs"),
            "run `trunkline migrate --distribute citus` as the owner of the tables, while no door runs",
        ),
        Check::when(
            standing.unplaced == 0,
            Verdict::Fail,
            "placements",
            match standing.unplaced {
                0 => "every shard is on an active node".to_owned(),
                count => format!("{count} shards are on no active node"),
            },
            "bring its node back, or restore it from its backup: nothing else has those rows",
        ),
        Check::when(
            standing.partitions_astray.is_empty(),
            Verdict::Fail,
            "partitions there",
            list(&standing.partitions_astray, "each has its shards"),
            "SELECT create_distributed_table(name, 'lane', colocate_with => 'trunkline.events') on the coordinator for each",
        ),
        Check::when(
            standing.roles_astray.is_empty(),
            Verdict::Fail,
            "roles there",
            list(&standing.roles_astray, "each can log in on the nodes, with its settings"),
            "let a superuser run these statements on the coordinator",
        ),
        Check::when(
            standing.lanes_max <= share * CROWDED,
            Verdict::Warn,
            "lanes by shard",
            format!("{} shards; the fullest has {} of {LANES} lanes", standing.shards, standing.lanes_max),
            "hashing is uneven for so few lanes: SELECT citus_rebalance_start() spreads shards by size over the nodes",
        ),
    ]
}

/// Whether the tenant of a transaction reaches the nodes, in a session as the doors begin theirs.
async fn tenants_pass(settings: &Settings) -> Result<Option<Check>, StoreError> {
    let Ok(url) = settings.require_database_url() else { return Ok(None) };
    let address = Address::new(url.expose_secret(), settings.database.is_pooled()).distributed(true);
    let found = citus::propagates(&mut pool::connect(address, Purpose::Request).await?).await?;
    Ok(Some(Check::when(
        found == "local",
        Verdict::Fail,
        "tenants there",
        format!("citus.propagate_set_commands is {found} in the doors' sessions"),
        "row security on the nodes would see no tenant: does a pooler drop settings? Set database.pooler, or ALTER DATABASE ... SET \
         citus.propagate_set_commands = 'local'",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Standing {
        Standing {
            version: "13.2-1".to_owned(),
            nodes: 4,
            inactive: Vec::new(),
            shards: 16,
            lanes_max: 7,
            astray: Vec::new(),
            unplaced: 0,
            partitions_astray: Vec::new(),
            roles_astray: Vec::new(),
        }
    }

    fn verdicts(standing: &Standing) -> Vec<Verdict> {
        judge(standing).iter().map(|check| check.verdict).collect()
    }

    #[test]
    fn a_sound_cluster_passes_and_each_fault_is_told() {
        assert!(verdicts(&sound()).iter().all(|verdict| *verdict == Verdict::Ok));
        let one = || vec!["events".to_owned()];
        let faults = [
            Standing { inactive: one(), ..sound() },
            Standing { astray: one(), ..sound() },
            Standing { unplaced: 1, ..sound() },
            Standing { partitions_astray: one(), ..sound() },
            Standing { roles_astray: one(), ..sound() },
        ];
        for (place, fault) in faults.iter().enumerate() {
            let failed: Vec<usize> = verdicts(fault)
                .iter()
                .enumerate()
                .filter(|(_, verdict)| **verdict == Verdict::Fail)
                .map(|(place, _)| place)
                .collect();
            assert_eq!(failed, [place], "{fault:?}");
        }
        assert_eq!(verdicts(&Standing { lanes_max: 9, ..sound() })[5], Verdict::Warn);
    }
}
