use trunkline_testkit::{TestDatabase, eventually};

use crate::house::{BODY, House, Replica, assert_problem};

#[tokio::test]
async fn a_database_that_lets_nobody_in_is_503_until_it_does_again() {
    let house = House::new().await;
    let elsewhere = TestDatabase::new().await;
    let (server, name) = house.database.url().rsplit_once('/').unwrap();
    let (_, server) = server.rsplit_once('@').unwrap();
    elsewhere
        .execute("CREATE ROLE a_receiver LOGIN NOINHERIT PASSWORD 'secret' IN ROLE trunkline_receiver")
        .await;
    let mut settings = house.settings.clone();
    settings.database.url = Some(format!("postgres://a_receiver:secret@{server}/{name}").into());
    let replica = Replica::start(&settings).await;
    let owner = replica.client.bearer(&house.acme.api_key);
    let deliver = async |number: usize| {
        let signed = house.sign(&format!("evt_{number}"));
        replica.client.send(http::Method::POST, "/acme/webhook", BODY, &signed.pairs()).await
    };
    let refusals = [
        ("ALTER ROLE a_receiver NOLOGIN", "ALTER ROLE a_receiver LOGIN"),
        ("ALTER ROLE a_receiver PASSWORD 'rotated'", "ALTER ROLE a_receiver PASSWORD 'secret'"),
        ("ALTER DATABASE {} ALLOW_CONNECTIONS false", "ALTER DATABASE {} ALLOW_CONNECTIONS true"),
        ("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", "GRANT CONNECT ON DATABASE {} TO PUBLIC"),
    ];
    for (number, (refuse, admit)) in refusals.into_iter().enumerate() {
        elsewhere.execute(&refuse.replace("{}", name)).await;
        let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'a_receiver'";
        elsewhere.execute(end).await;
        for _ in 0..3 {
            for reply in [deliver(number).await, owner.get("/acme/received").await] {
                assert_problem(&reply, 503, "database_unavailable");
            }
        }
        elsewhere.execute(&admit.replace("{}", name)).await;
        eventually("it receives again", async || (deliver(number).await.status == 200).then_some(())).await;
    }
    replica.stop().await;
}
