//! HTTP on the metrics port, as far as a test needs it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long one answer may take: an attempt, not a wait.
const ANSWER: Duration = Duration::from_secs(10);

/// The code and body of a GET.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).map_err(io::Error::other)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("no end of the head"))?;
    let code = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| io::Error::other("no status code"))?;
    assert!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "answers have a length: {head}"
    );
    Ok((code, body.to_owned()))
}

/// `/status`, if the replica answers.
pub(crate) fn status_of(address: SocketAddr) -> Option<Value> {
    let (code, body) = get(address, "/status").ok()?;
    (code == 200).then(|| serde_json::from_str(&body).expect("/status is JSON"))
}
