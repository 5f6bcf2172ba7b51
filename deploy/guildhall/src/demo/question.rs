//! One question to a served model over plain HTTP on loopback.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::error::{CommandError, Context as _};

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Posts a JSON body and reads a JSON answer.
pub fn post(address: SocketAddr, path: &str, body: &Value) -> Result<Value, CommandError> {
    let what = format!("asking the served model at {address}");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).context(&what)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).context(&what)?;
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).context(&what)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).context(&what)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| CommandError::message(format!("{what}: not an HTTP answer")))?;
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        return Err(CommandError::message(format!("{what}: expected 200, found {status:?}: {body}")));
    }
    serde_json::from_str(body).context(&what)
}
