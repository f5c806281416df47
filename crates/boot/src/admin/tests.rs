use super::{Admin, ReadinessCheck};
use crate::shutdown::Shutdown;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

async fn get(port: u16, path: &str) -> String {
    send(port, "GET", path).await
}

async fn send(port: u16, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[tokio::test]
async fn readiness_names_what_fails_and_lasts_through_the_drain() {
    let is_up = Arc::new(AtomicBool::new(true));
    let check = ReadinessCheck::new("database", {
        let is_up = Arc::clone(&is_up);
        move || {
            let is_up = is_up.load(Ordering::SeqCst);
            async move { if is_up { Ok(()) } else { Err("connection refused".to_owned()) } }
        }
    });
    let shutdown = Shutdown::new();
    let admin = Admin::bind(ANY_PORT, vec![check], shutdown.clone()).unwrap();
    let port = admin.port();
    let (finish, finished) = oneshot::channel::<u8>();
    let running = tokio::spawn(async move { admin.run_while(finished).await });

    assert!(get(port, "/readyz").await.starts_with("HTTP/1.1 200"));
    is_up.store(false, Ordering::SeqCst);
    let failing = get(port, "/readyz").await;
    assert!(failing.starts_with("HTTP/1.1 503"), "{failing}");
    assert!(failing.contains(r#"{"name":"database","reason":"connection refused"}"#), "{failing}");
    assert!(get(port, "/healthz").await.starts_with("HTTP/1.1 200"));

    is_up.store(true, Ordering::SeqCst);
    shutdown.trigger();
    assert!(get(port, "/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(get(port, "/healthz").await.starts_with("HTTP/1.1 200"));
    finish.send(7).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Ok(7));
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err());
}

#[tokio::test]
async fn its_paths_answer_head_and_say_that_they_answer_nothing_else() {
    let shutdown = Shutdown::new();
    let admin = Admin::bind(ANY_PORT, Vec::new(), shutdown.clone()).unwrap();
    let port = admin.port();
    let running = tokio::spawn(admin.run_until_stopped());
    for path in ["/healthz", "/readyz", "/metrics"] {
        let head = send(port, "HEAD", path).await;
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{path} {head}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let refused = send(port, method, path).await;
            assert!(refused.starts_with("HTTP/1.1 405"), "{method} {path} {refused}");
            assert!(refused.to_lowercase().contains("\r\nallow: get, head\r\n"), "{method} {path} {refused}");
        }
    }
    assert!(send(port, "POST", "/nothing").await.starts_with("HTTP/1.1 404"));
    shutdown.trigger();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn two_listeners_of_one_process_show_the_same_metrics() {
    let shutdown = Shutdown::new();
    let admins = [(); 2].map(|()| Admin::bind(ANY_PORT, Vec::new(), shutdown.clone()).unwrap());
    let ports = admins.each_ref().map(Admin::port);
    let running = admins.map(|admin| tokio::spawn(admin.run_until_stopped()));
    metrics::counter!("boot_test_total").increment(3);
    metrics::histogram!("boot_test_seconds").record(0.004);
    crate::metrics::histogram("boot_test_batch", "how many", &[]).record(3.0);
    for port in ports {
        let page = get(port, "/metrics").await;
        assert!(page.contains(r#"boot_test_batch_bucket{le="4"} 1"#), "{page}");
        assert!(page.contains("boot_test_total 3"), "{page}");
        assert!(page.contains(r#"boot_test_seconds_bucket{le="0.005"} 1"#), "{page}");
    }
    shutdown.trigger();
    for admin in running {
        admin.await.unwrap().unwrap();
    }
}
