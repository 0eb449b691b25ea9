//! Where an answer ends, and what becomes of one that does not say, says it twice, or goes on.

use super::*;

#[tokio::test]
async fn an_answer_that_is_none_or_breaks_off_is_broken() {
    for text in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "<html></html>\r\n\r\n",
    ] {
        let stub = Stub::new(Act::Send(text)).await;
        let fault = ask(&stub.sts(PATIENCE)).await;
        assert_eq!(fault, Err(StsUnavailable::Broken), "{text:?}");
        assert_eq!(stub.requests().len(), 1, "asked again: {text:?}");
    }
}

#[tokio::test]
async fn an_answer_that_says_in_two_ways_where_it_ends_is_broken() {
    const CHUNKS: &str = "2\r\n{}\r\n0\r\n\r\n";
    let with =
        |lines: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}").leak() as &_;
    let good = Stub::new(Act::Send(with("transfer-encoding: Chunked\r\n", CHUNKS))).await;
    assert_eq!(ask(&good.sts(PATIENCE)).await.unwrap().body, b"{}");
    for (lines, body) in [
        ("content-length: 2\r\ncontent-length: 3\r\n", "{}"),
        ("content-length: 2, 3\r\n", "{}"),
        ("content-length: -2\r\n", "{}"),
        ("content-length: +2\r\n", "{}"),
        ("content-length: 18446744073709551618\r\n", "{}"),
        ("content-length: 2\r\ntransfer-encoding: chunked\r\n", CHUNKS),
        ("transfer-encoding: chunked\r\ncontent-length: 2\r\n", CHUNKS),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", CHUNKS),
        ("transfer-encoding: chunked, chunked\r\n", CHUNKS),
        ("transfer-encoding: gzip, chunked\r\n", CHUNKS),
        ("transfer-encoding: identity\r\n", "{}"),
        ("transfer-encoding: \r\n", "{}"),
    ] {
        let stub = Stub::new(Act::Send(with(lines, body))).await;
        let fault = ask(&stub.sts(PATIENCE)).await;
        assert_eq!(fault, Err(StsUnavailable::Broken), "{lines:?}");
        assert_eq!(stub.requests().len(), 1, "asked again: {lines:?}");
    }
}

#[tokio::test]
async fn what_follows_an_answer_answers_nothing() {
    const HONEST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    for more in
        ["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[1]", "HTTP/1.1 100 x\r\n\r\n", "\r\n"]
    {
        let stub = Stub::new(Act::Stall(format!("{HONEST}{more}").leak())).await;
        let sts = stub.sts(PATIENCE);
        for asked in 1..4 {
            assert_eq!(ask(&sts).await.unwrap().body, b"{}", "{more:?}");
            // The stub takes the next connection only when this one has ended.
            assert_eq!(stub.requests().len(), asked, "{more:?}");
        }
    }
}

#[tokio::test]
async fn headers_without_end_are_broken() {
    let stub =
        Stub::new(Act::Repeat("HTTP/1.1 200 OK\r\n", "x: yyyyyyyyyyyyyyyyyyyyyyyy\r\n")).await;
    assert_eq!(ask(&stub.sts(PATIENCE)).await, Err(StsUnavailable::Broken));
}
