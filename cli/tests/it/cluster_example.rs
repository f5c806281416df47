//! The logins that deploy/kubernetes/postgres makes are enough for every door, and for nobody to be told otherwise.

use crate::installation::Installation;
use crate::process::text;

const CLUSTER: &str = include_str!("../../../deploy/kubernetes/postgres/cluster.yaml");

#[test]
fn the_database_of_the_example_is_migrated_by_its_owner_and_serves_every_door() {
    let mut house = Installation::bare(
        &[("fsync", "on"), ("full_page_writes", "on")],
        &[("TRUNKLINE__SECRETS__KEYS", KEYS)],
    );
    // As CloudNativePG does: the owner, what is asked for after it, the database, and logins. The owner has another name, since
    // trunkline is a superuser here.
    house.execute("CREATE ROLE an_owner LOGIN PASSWORD 'secret'");
    let asked_for: Vec<_> = lines_below("postInitSQL:").collect();
    assert!(asked_for.len() > 5, "{asked_for:?}");
    for sql in asked_for {
        house.execute(&format!("{sql} ").replace(" TO trunkline ", " TO an_owner "));
    }
    house.execute("CREATE DATABASE a_house OWNER an_owner");
    let names = CLUSTER.lines().filter_map(|line| line.trim().strip_prefix("- name: ").map(str::to_owned));
    let granted = CLUSTER.lines().filter_map(|line| line.trim().strip_prefix("inRoles: ["));
    let logins: Vec<(String, &str)> = names.zip(granted.map(|roles| roles.trim_end_matches(']'))).collect();
    assert_eq!(logins.len(), 4, "{logins:?}");
    for (name, roles) in &logins {
        house.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE {roles}"));
    }
    let (_, place) = house.database_url().rsplit_once('@').unwrap();
    let place = place.rsplit_once('/').unwrap().0.to_owned();
    let url = |login: &str| format!("postgres://{login}:secret@{place}/a_house");

    house.set("TRUNKLINE__DATABASE__URL", &url("an_owner"));
    let migrated = house.run(&["migrate"]);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let ended = house.run(&["retention", "--apply"]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    for (door, login) in [("api", "api_login"), ("worker", "worker_login"), ("receiver", "receiver_login")] {
        house.set("TRUNKLINE__DATABASE__URL", &url(login));
        house.start(door).stop();
        // In a pod of any of them nothing is wrong, whatever it may not look at.
        let doctor = house.run(&["doctor"]);
        let (said, complained) = (text(&doctor.stdout), text(&doctor.stderr));
        assert!(doctor.status.success(), "{login}: {said}{complained}");
        let blind = said.contains("this login may not look");
        assert_eq!(blind, door != "api", "{login}: {said}");
        assert_eq!(said.contains("its own sessions only"), door == "receiver", "{login}: {said}");
    }
    // A customer is handed views by the owner, who is no superuser.
    house.execute("CREATE ROLE acme_reader LOGIN PASSWORD 'secret'");
    house.set("TRUNKLINE__DATABASE__URL", &url("an_owner"));
    let made = house.run(&["tenant", "create", "acme", "--target-url", "https://example.com/hook"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let bound =
        house.sql_at(&url("an_owner"), "SELECT trunkline.bind_reader('acme_reader', 'acme')::text || 'done'");
    assert_eq!(bound, "done");
    let seen =
        house.sql_at(&url("acme_reader"), "SELECT string_agg(tenant_id, ' ') FROM trunkline_read.tenants");
    assert_eq!(seen, "acme");
    let seen = house.sql_at(&url("grafana"), "SELECT count(*)::text FROM trunkline_read.events");
    assert_eq!(seen, "0");
}

const KEYS: &str = "test:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// The items of a list of strings.
fn lines_below(head: &str) -> impl Iterator<Item = &'static str> {
    let below = CLUSTER.lines().skip_while(move |line| line.trim() != head).skip(1);
    let list = below.map(str::trim).take_while(|line| line.starts_with("- ") || line.starts_with('#'));
    list.filter_map(|line| line.strip_prefix("- "))
}
