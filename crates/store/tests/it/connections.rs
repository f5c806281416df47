//! Connections that were cut off without a word.

use std::time::Duration;

use trunkline_store::pool::within;
use trunkline_store::wake::{self, Session, Wake};
use trunkline_store::{Purpose, pool, time};
use trunkline_testkit::{TestDatabase, Way, eventually};

#[tokio::test]
async fn a_pool_is_of_use_again_after_all_its_connections_were_cut_off() {
    let database = TestDatabase::new().await;
    let way = Way::to(database.url()).await;
    let pool = pool::open(way.url(), Purpose::Request, 2).unwrap();
    let now = async || time::now(&mut pool.acquire().await?).await;
    let both = tokio::join!(now(), now());
    assert!(both.0.is_ok() && both.1.is_ok());
    way.lose();
    // One finds out and is given up; it takes the idle one with it.
    within(Duration::from_millis(100), now()).await.unwrap_err();
    let began = std::time::Instant::now();
    eventually("the pool is of use again", async || within(Duration::from_millis(100), now()).await.ok())
        .await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    tokio::join!(now(), now()).1.unwrap();
}

/// The server's own limit of a second is on the other side.
#[tokio::test]
async fn no_answer_is_waited_for_without_an_end() {
    let database = TestDatabase::new().await;
    let way = Way::to(database.url()).await;
    let pool = pool::open(way.url(), Purpose::Request, 3).unwrap();
    let (mut one, mut other) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let begun = pool.begin().await.unwrap();
    time::now(&mut one).await.unwrap();
    way.lose();
    let began = std::time::Instant::now();
    let (read, beginning, commit) = tokio::join!(time::now(&mut one), other.begin(), begun.commit());
    assert!(read.is_err() && beginning.is_err() && commit.is_err());
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_session_that_was_cut_off_is_found_out() {
    let database = TestDatabase::new().await;
    let way = Way::to(database.url()).await;
    let mut session = Session::connect(way.url(), 7).await.unwrap().unwrap();
    way.lose();
    let lost = tokio::time::timeout(Duration::from_secs(10), session.next()).await;
    assert!(matches!(lost, Ok(Err(_) | Ok(None))), "somebody tells that it is lost");
}

#[tokio::test]
async fn a_session_does_not_wait_for_the_one_before() {
    let database = TestDatabase::new().await;
    let before = Session::connect(database.url(), 7).await.unwrap().unwrap();
    assert!(Session::connect(database.url(), 7).await.unwrap().is_none(), "its lock is held");
    drop(before);
    eventually("the lock is free", async || Session::connect(database.url(), 7).await.unwrap()).await;
}

/// Also where nothing is notified for longer than it takes to ask.
#[tokio::test]
async fn a_quiet_session_goes_on_and_hears_what_comes() {
    let database = TestDatabase::new().await;
    let mut session = Session::connect(database.url(), 7).await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(6), session.next()).await.unwrap_err();
    wake::notify(&mut database.connect().await, &Wake::Look).await.unwrap();
    assert_eq!(session.next().await.unwrap(), Some(Wake::Look));
}
