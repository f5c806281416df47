//! A server of a test's own, which keeps what it is sent: an endpoint, or a collector of traces.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::process::eventually;

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Caught {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Caught {
    /// A header; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(one, _)| one == name).map_or("", |(_, value)| value)
    }
}

/// Listens until the test's process ends.
#[derive(Clone)]
pub(crate) struct Catcher {
    port: u16,
    caught: Arc<Mutex<Vec<Caught>>>,
}

impl Catcher {
    /// One that answers with these statuses in turn, and 200 from then on.
    pub(crate) fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let catcher = Self { port: listener.local_addr().unwrap().port(), caught: Arc::default() };
        let (caught, statuses) = (catcher.caught.clone(), statuses.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (caught, statuses) = (caught.clone(), statuses.clone());
                // A connection's end, however it comes, ends its thread.
                thread::spawn(move || serve(&stream, &caught, &statuses));
            }
        });
        catcher
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What has come so far.
    pub(crate) fn all(&self) -> Vec<Caught> {
        self.caught.lock().unwrap().clone()
    }

    /// Waits until so many have come.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Caught> {
        eventually(&format!("{count} requests"), || Some(self.all()).filter(|all| all.len() >= count))
    }
}

fn serve(stream: &TcpStream, caught: &Mutex<Vec<Caught>>, statuses: &[u16]) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = || -> Option<String> {
            let mut line = String::new();
            let read = reader.read_line(&mut line).ok()?;
            (read > 0).then(|| line.trim_end().to_owned())
        };
        let path = line()?.split(' ').nth(1)?.to_owned();
        let mut headers = Vec::new();
        while let Some(text) = line().filter(|text| !text.is_empty()) {
            let (name, value) = text.split_once(':')?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Caught { path, headers, body: Vec::new() };
        let length = request.header("content-length").parse().unwrap_or(0);
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body).ok()?;
        let status = {
            let mut caught = caught.lock().unwrap();
            caught.push(request);
            statuses.get(caught.len() - 1).copied().unwrap_or(200)
        };
        let mut stream = stream;
        write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
