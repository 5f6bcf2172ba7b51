//! The admin socket: both ends. One connection carries one command and one reply, each a JSON line of bounded length.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::{AdminCommand, AdminReply};
use crate::error::ServerError;

/// The longest line: a job of the largest size as hex, and some.
const LINE_BYTES_MAX: u64 = 34 << 20;
/// How long an operator's process waits for the reply.
const REPLY_PATIENCE: Duration = Duration::from_secs(60);
/// How long the server waits for a command once somebody is connected.
const COMMAND_PATIENCE: Duration = Duration::from_secs(10);
/// A socket address holds little more than 100 bytes; longer paths go through the folder's descriptor.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// Where the socket of a folder is.
pub fn path(dir: &Path) -> PathBuf {
    dir.join("admin.sock")
}

fn failed(dir: &Path, reason: impl ToString) -> ServerError {
    ServerError::Admin { path: path(dir), reason: reason.to_string() }
}

/// Calls `act` with a path to the folder's socket that is short enough for a socket address.
fn with_short_path<T>(dir: &Path, act: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    let path = path(dir);
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return act(&path);
    }
    let folder = std::fs::File::open(dir)?;
    act(&PathBuf::from(format!("/proc/self/fd/{}/admin.sock", folder.as_raw_fd())))
}

/// Asks the running server of a folder; `None` when none is running.
pub fn ask(dir: &Path, command: &AdminCommand) -> Result<Option<AdminReply>, ServerError> {
    let mut stream = match with_short_path(dir, |path| BlockingStream::connect(path)) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(failed(dir, error)),
    };
    let mut line = serde_json::to_string(command).map_err(|e| failed(dir, e))?;
    line.push('\n');
    let exchange = |stream: &mut BlockingStream| -> std::io::Result<String> {
        stream.set_read_timeout(Some(REPLY_PATIENCE))?;
        stream.set_write_timeout(Some(REPLY_PATIENCE))?;
        stream.write_all(line.as_bytes())?;
        let mut reply = String::new();
        BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut reply)?;
        Ok(reply)
    };
    let reply = exchange(&mut stream).map_err(|e| failed(dir, e))?;
    if reply.is_empty() {
        return Err(failed(dir, "the server closed the connection without a reply"));
    }
    serde_json::from_str(&reply)
        .map(Some)
        .map_err(|e| failed(dir, format!("the reply is not understood: {e}")))
}

/// Opens the socket of the running server, which holds the folder's store and so may replace a stale one.
pub fn listen(dir: &Path) -> Result<UnixListener, ServerError> {
    let path = path(dir);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(ServerError::File { path, source }),
    }
    let listener = with_short_path(dir, |path| UnixListener::bind(path)).map_err(|e| failed(dir, e))?;
    // The folder is entered by its owner only (mode 0700), so nobody slips in before this.
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(ServerError::file(&path))?;
    Ok(listener)
}

/// Reads one command.
pub async fn read_command(stream: &mut UnixStream) -> Result<AdminCommand, String> {
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(stream.take(LINE_BYTES_MAX));
    match tokio::time::timeout(COMMAND_PATIENCE, reader.read_line(&mut line)).await {
        Err(_) => Err("no command within ten seconds".into()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(_)) if !line.ends_with('\n') => {
            Err(format!("expected one line of at most {LINE_BYTES_MAX} bytes, found no end of line"))
        }
        Ok(Ok(_)) => serde_json::from_str(&line).map_err(|e| format!("the command is not understood: {e}")),
    }
}

/// Writes the reply.
pub async fn write_reply(stream: &mut UnixStream, reply: &AdminReply) -> std::io::Result<()> {
    let mut line = serde_json::to_string(reply)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).await?;
    stream.shutdown().await
}
