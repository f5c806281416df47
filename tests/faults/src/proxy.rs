//! A TCP proxy that is a bad network: delays, goes silent, resets, or loses the answer to what was done.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// As much as is carried at one time.
const CHUNK: usize = 64 * 1024;

/// What the network does to every connection, old and new.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    /// Carries everything.
    Fair,
    /// Carries everything, each way this much later.
    Slow(Duration),
    /// Carries nothing and says nothing: connections stay, and new ones are taken and starve.
    Silent,
    /// Carries new connections; those of before stay and starve for ever, while their server finds them gone.
    Gone,
    /// Resets what there is, and whatever comes.
    Reset,
    /// Carries requests; of so many answers that come back, one is thrown away with its connection.
    LosesAnswers { one_in: u64 },
}

/// A proxy on a port of its own.
#[derive(Clone)]
pub(crate) struct Proxy {
    port: u16,
    to: Arc<AtomicU16>,
    weather: watch::Sender<Weather>,
    lost: Arc<AtomicU64>,
}

impl Proxy {
    /// Carries between its port and that of a server on loopback.
    pub(crate) async fn listen(port: u16, to: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let weather = watch::Sender::new(Weather::Fair);
        let proxy = Self { port, to: Arc::new(AtomicU16::new(to)), weather, lost: Arc::default() };
        tokio::spawn(proxy.clone().serve(listener));
        Ok(proxy)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Takes connections from now on to another server on loopback.
    pub(crate) fn lead_to(&self, port: u16) {
        self.to.store(port, Ordering::Relaxed);
    }

    pub(crate) fn turn(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Answers that were thrown away with their connection.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            let Ok((client, _)) = listener.accept().await else { continue };
            tokio::spawn(self.clone().connect(client));
        }
    }

    async fn connect(self, mut client: TcpStream) {
        let weather = self.weather.subscribe();
        let _ = client.set_nodelay(true);
        if *self.weather.borrow() == Weather::Reset {
            // Closing with a linger of zero sends RST.
            let _ = client.set_zero_linger();
            return;
        }
        let to = self.to.load(Ordering::Relaxed);
        let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else { return };
        let _ = server.set_nodelay(true);
        let _ = (client.set_zero_linger(), server.set_zero_linger());
        let is_gone = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            // Whichever direction ends first takes the connection with it.
            tokio::select! {
                () = self.carry(from_client, to_server, Direction::Request) => false,
                () = self.carry(from_server, to_client, Direction::Answer) => false,
                () = turned_to_gone(weather) => true,
            }
        };
        if is_gone {
            drop(server);
            std::future::pending::<()>().await;
        }
    }

    async fn carry(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, direction: Direction) {
        let mut weather = self.weather.subscribe();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = tokio::select! {
                read = from.read(&mut chunk) => read,
                _ = weather.wait_for(|now| *now == Weather::Reset) => return,
            };
            let Ok(count @ 1..) = read else { return };
            // What is under way when the network goes silent waits with the rest.
            let Ok(now) = weather.wait_for(|now| *now != Weather::Silent).await.map(|now| *now) else {
                return;
            };
            match now {
                Weather::Reset => return,
                Weather::Slow(delay) => tokio::time::sleep(delay).await,
                Weather::LosesAnswers { one_in } if direction == Direction::Answer && is_chosen(one_in) => {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                _ => {}
            }
            if to.write_all(&chunk[..count]).await.is_err() {
                return;
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Request,
    Answer,
}

/// Waits until it turns to that: a connection that was made since is not meant.
async fn turned_to_gone(mut weather: watch::Receiver<Weather>) {
    while weather.changed().await.is_ok() {
        if *weather.borrow_and_update() == Weather::Gone {
            return;
        }
    }
    std::future::pending::<()>().await;
}

fn is_chosen(one_in: u64) -> bool {
    rand::random::<u64>().is_multiple_of(one_in.max(1))
}
