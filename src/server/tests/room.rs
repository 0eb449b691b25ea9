//! Where there is no room for all: who stays, who goes, and that nobody waits for those who stall.

use rustls::pki_types::ServerName;

use super::*;

fn kept_alive(body: &str) -> String {
    request("POST", "/authenticate", body).replace("connection: close\r\n", "")
}

/// A connection that asked `body` and has its answer.
async fn asked(server: &Server, body: &str) -> TlsStream<TcpStream> {
    let mut stream = server.connect().await;
    ask_again(&mut stream, body).await;
    stream
}

async fn ask_again(stream: &mut TlsStream<TcpStream>, body: &str) {
    stream.write_all(kept_alive(body).as_bytes()).await.unwrap();
    assert!(until(stream, body).await.starts_with("HTTP/1.1 200 OK"));
}

async fn until_counted(server: &Server, line: &str) {
    let counted = async {
        while !server.counted(line) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted).await.unwrap_or_else(|_| panic!("{line} never came"));
}

#[tokio::test]
async fn with_all_seats_taken_a_stranger_gives_way_and_health_still_answers() {
    let server = Server::start(Options::default()).await;
    server.limits.lock().unwrap().connections = 2;
    let mut known = asked(&server, GRANT).await;
    let mut stranger = asked(&server, "denied").await;
    let mut third = asked(&server, "denied").await;
    assert_eq!(to_end(&mut stranger).await, "");
    assert!(server.counted("connections_refused_total{port=\"tls\"} 1"));
    assert_eq!(server.ask_plain(&request("GET", "/healthz", "")).await.0, 200);
    ask_again(&mut known, "again").await;
    ask_again(&mut third, "again").await;
    assert_eq!(*server.echo.known.lock().unwrap(), [false, false, false, true, false]);
    drop((known, third));
    until_counted(&server, "connections{port=\"tls\"} 0").await;
}

#[tokio::test]
async fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let server = Server::start(Options::default()).await;
    let mut known = asked(&server, GRANT).await;
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_eq!(server.ask(&request("POST", "/authenticate", "review")).await.0, 200);
    ask_again(&mut known, "again").await;
    until_counted(&server, "connections{port=\"tls\"} 127").await;
}

#[tokio::test]
async fn who_waits_for_our_answer_is_not_sent_away() {
    let server = Server::start(Options::default()).await;
    server.limits.lock().unwrap().connections = 1;
    let mut waiting = server.connect().await;
    waiting.write_all(kept_alive("wait").as_bytes()).await.unwrap();
    server.echo.arrived().await;
    let mut newcomer = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(to_end(&mut newcomer).await, "");
    server.echo.go.add_permits(1);
    assert!(until(&mut waiting, "wait").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn among_those_who_are_known_the_one_at_rest_for_longest_gives_way() {
    let server = Server::start(Options::default()).await;
    server.limits.lock().unwrap().connections = 2;
    let (mut first, mut second) = (asked(&server, GRANT).await, asked(&server, GRANT).await);
    ask_again(&mut first, "again").await;
    assert_eq!(server.ask(&request("POST", "/authenticate", "review")).await.0, 200);
    assert_eq!(to_end(&mut second).await, "");
    ask_again(&mut first, "again").await;
}

#[tokio::test]
async fn a_full_health_port_leaves_the_webhook_alone_and_is_not_full_for_long() {
    let server = Server::start(Options::default()).await;
    let mut held = Vec::new();
    for _ in 0..limits::HEALTH_CONNECTIONS {
        held.push(TcpStream::connect(server.health_address).await.unwrap());
    }
    assert_eq!(server.ask_plain(&request("GET", "/healthz", "")).await.0, 200);
    assert_eq!(to_end(&mut held[0]).await, "");
    assert_eq!(server.ask(&request("POST", "/authenticate", "review")).await.0, 200);
}

#[tokio::test]
async fn of_bodies_that_do_not_end_the_largest_give_way() {
    let server = Server::start(Options::default()).await;
    let head = "POST /authenticate HTTP/1.1\r\nhost: x\r\ncontent-length: 65536\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..limits::BODIES.strangers / 65_000 {
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&[b'x'; 65_000]).await.unwrap();
        held.push(stream);
    }
    // The last bytes have been read once somebody has had to leave for these.
    let mut one_more = server.connect().await;
    one_more.write_all(head.as_bytes()).await.unwrap();
    one_more.write_all(&[b'x'; 60_000]).await.unwrap();
    until_counted(&server, "connections_refused_total{port=\"tls\"} 1").await;
    assert_eq!(server.ask(&request("POST", "/authenticate", "review")).await.0, 200);
    one_more.write_all(&[b'x'; 5_536]).await.unwrap();
    assert!(until(&mut one_more, &"x".repeat(65_536)).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn answers_that_nobody_takes_are_counted_and_the_one_who_has_most_leaves() {
    for window in [0, 1] {
        the_one_with_most_untaken_leaves(window).await;
    }
}

async fn the_one_with_most_untaken_leaves(window: u32) {
    let server = Server::start(Options::default()).await;
    let (hoarder, other) = (server.http2_with_window(Some(window)), server.http2());
    let answer = "x".repeat(60_000);
    let mut untaken = Vec::new();
    for _ in 0..limits::BODIES.strangers / answer.len() {
        let asking = hoarder.post(server.url("/authenticate")).body(answer.clone()).send();
        untaken.push(asking.await.unwrap());
    }
    assert_eq!(server.ask(&request("POST", "/authenticate", "review")).await.0, 200);
    assert!(server.counted("connections_refused_total{port=\"tls\"} 0"));

    let taken = other.post(server.url("/authenticate")).body(answer.clone()).send().await.unwrap();
    assert_eq!(taken.text().await.unwrap(), answer);
    assert!(server.counted("connections_refused_total{port=\"tls\"} 1"));
    for answer in untaken {
        assert!(answer.bytes().await.is_err_and(|error| error.is_decode() || error.is_body()));
    }
}

#[tokio::test]
async fn of_strangers_that_speak_http2_one_gives_way_where_they_have_half_of_the_seats() {
    let server = Server::start(Options::default()).await;
    server.limits.lock().unwrap().connections = 4;
    let refused = |count| format!("connections_refused_total{{port=\"tls\"}} {count}");
    let mut clients = Vec::new();
    for body in [GRANT, "review", "review"] {
        let client = server.http2();
        let asking = client.post(server.url("/authenticate")).body(body).send();
        assert_eq!(asking.await.unwrap().status(), 200);
        clients.push(client);
    }
    assert!(server.counted(&refused(0)));
    let third = server.http2().post(server.url("/authenticate")).body("review").send();
    assert_eq!(third.await.unwrap().status(), 200);
    assert!(server.counted(&refused(1)));
    assert_eq!(server.ask(&request("POST", "/authenticate", "review")).await.0, 200);
    assert!(server.counted(&refused(1)), "there is a seat left for HTTP/1");
}

#[tokio::test]
async fn stalled_handshakes_take_no_place_from_others() {
    // They would stall for longer than anybody waits.
    let deadlines = Deadlines { handshake: PATIENCE * 3, ..Deadlines::default() };
    let server = Server::start(Options { deadlines, ..Options::default() }).await;
    server.limits.lock().unwrap().handshakes = 1;
    let config = Arc::new(server.client_config(b"http/1.1"));
    let mut held = Vec::new();
    for whole in [false, true].repeat(16) {
        let name = ServerName::try_from("localhost").unwrap();
        let mut hello = Vec::new();
        let mut client = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
        client.write_tls(&mut hello).unwrap();
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(if whole { &hello } else { &hello[..6] }).await.unwrap();
        if whole {
            // The server has said its part; now it is for us to go on.
            assert_eq!(timeout(PATIENCE, tcp.read_u8()).await.unwrap().unwrap(), 0x16);
        }
        held.push(tcp);
    }
    assert_eq!(server.ask(&request("POST", "/authenticate", "review")).await.0, 200);
}
