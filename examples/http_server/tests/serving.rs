//! Serves a router on a real socket: slow handlers, the limit of connections, the signal to stop.

#![allow(clippy::disallowed_methods, reason = "sockets take real time")]

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo, routing::get};
use http_server::{Limits, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

const SHORT: Duration = Duration::from_millis(200);
const SLOW: Duration = Duration::from_millis(1_500);

/// Far more than a busy machine needs.
const GIVE_UP: Duration = Duration::from_secs(60);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

async fn start(limits: Limits) -> Running {
    let app = Router::new()
        .route("/slow", get(async || sleep(SLOW).await))
        .route("/hangs", get(std::future::pending::<()>))
        .route("/peer", get(async |peer: ConnectInfo<SocketAddr>| peer.0.ip().to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, (stop, stopped)) = (listener.local_addr().unwrap(), oneshot::channel());
    let server = tokio::spawn(serve(listener, app, limits, async {
        let _ = stopped.await;
    }));
    Running { address, stop, server }
}

async fn send(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// Everything until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    timeout(GIVE_UP, stream.read_to_string(&mut text)).await.expect("closed").unwrap();
    text
}

#[tokio::test]
async fn a_slow_answer_is_not_cut_off_and_then_the_idle_connection_is_closed() {
    let limits =
        Limits { first_request: SHORT, idle: SHORT, body_pause: SHORT, ..Limits::default() };
    let running = start(limits).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    send(&mut stream, "/slow").await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_request_without_an_answer_in_time_gets_408() {
    let running = start(Limits { request: SHORT, idle: SHORT, ..Limits::default() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    send(&mut stream, "/hangs").await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_another_one_ends() {
    let running = start(Limits { connections: 1, first_request: SLOW, ..Limits::default() }).await;
    // The first connection sends nothing. It is closed after a while, and then the second one is answered.
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut second = TcpStream::connect(running.address).await.unwrap();
    second.write_all(b"GET /peer HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut byte = [0];
    assert!(timeout(SHORT, second.read(&mut byte)).await.is_err(), "is answered at once");
    assert_eq!(rest(&mut silent).await, "");
    let answer = rest(&mut second).await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_stop_finishes_running_requests_and_closes_idle_connections() {
    let running = start(Limits { shutdown: GIVE_UP, ..Limits::default() }).await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    send(&mut idle, "/peer").await;
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    send(&mut busy, "/slow").await;
    sleep(SHORT).await;
    running.stop.send(()).unwrap();
    rest(&mut idle).await;
    assert!(rest(&mut busy).await.starts_with("HTTP/1.1 200 OK\r\n"));
    timeout(GIVE_UP, running.server).await.expect("ends").unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_the_limit() {
    let running = start(Limits { shutdown: SHORT, ..Limits::default() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    send(&mut stream, "/hangs").await;
    sleep(SHORT).await;
    running.stop.send(()).unwrap();
    timeout(GIVE_UP, running.server).await.expect("ends").unwrap();
}
