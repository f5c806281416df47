//! A way to the database that can lose what is on it.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Carries connections to a server, until it is told to lose them.
pub struct Way {
    url: String,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Fair,
    /// Connections that began before the so-manieth loss carry nothing any more, and are never told.
    Lost(u32),
    /// The same, and no new ones are carried.
    Silent,
}

impl Way {
    /// A way to the server of a database's address.
    ///
    /// # Panics
    /// When the address has no host, or no port is free.
    pub async fn to(url: &str) -> Self {
        let (before, place) = url.rsplit_once('@').unwrap();
        let (server, name) = place.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{before}@{}/{name}", listener.local_addr().unwrap());
        let state = watch::Sender::new(State::Fair);
        tokio::spawn(carry_all(listener, server.to_owned(), state.clone()));
        Self { url, state }
    }

    /// The database's address by this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Loses what is under way without a word; new connections are carried.
    pub fn lose(&self) {
        self.state.send_modify(|state| {
            *state = State::Lost(if let State::Lost(times) = state { *times + 1 } else { 1 });
        });
    }

    /// Carries nothing any more, and says nothing.
    pub fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }
}

async fn carry_all(listener: TcpListener, server: String, state: watch::Sender<State>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let (server, mut state) = (server.clone(), state.subscribe());
        tokio::spawn(async move {
            if *state.borrow_and_update() != State::Silent {
                let mut server = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                    _ = state.changed() => {}
                }
            }
            // The server finds its client gone; the client finds nothing.
            std::future::pending::<()>().await;
        });
    }
}
