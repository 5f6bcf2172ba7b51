//! QUIC: the only file of this crate that names quinn.
//!
//! TLS 1.3 only, mutual, no resumption and so no 0-RTT, no datagrams, few streams, bounded windows. Lengths are
//! checked before a body is allocated, and every body has a deadline.

mod tls;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use guildhall_shared::frame::{FrameError, FrameHeader, HEADER_BYTES, LengthRule};
use guildhall_shared::message::{
    ClientMessage, EnrolReply, EnrolRequest, EnrolmentMessage, MessageError, RESULT_KIND, ResultHeader,
    ServerMessage, UPDATE_KIND, UpdateHeader, join_vector, split_vector,
};
use guildhall_shared::wire::{self, WireError};
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig, VarInt};

pub use tls::PinFailure;
pub(crate) use tls::{Credentials, SERVER_NAME, check_certificate};

const ENROLMENT_PROTOCOL: &[u8] = b"guildhall-enrol/1";
const SESSION_PROTOCOL: &[u8] = b"guildhall/1";

const IDLE_TIMEOUT_MS: u32 = 20_000;
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole enrolment.
const ENROL_TIMEOUT: Duration = Duration::from_secs(30);
/// A control message, from its header to its last byte, and a control message's way out.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(30);
/// What a vector may take beyond its length at the minimum rate.
const VECTOR_TIMEOUT: Duration = Duration::from_secs(30);
/// Slower peers are cut off.
const VECTOR_BYTES_PER_SECOND_MIN: u64 = 64 << 10;

const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const SERVER_STREAMS_MAX: u32 = 4;

/// A connection that failed or broke the rules.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Keys or certificates that TLS does not take. This client is to blame.
    #[error("this client's own keys or certificates cannot be used: {0}")]
    Credentials(String),
    /// The socket.
    #[error("cannot open a UDP socket: {0}")]
    Socket(#[source] std::io::Error),
    /// The server does not answer in time.
    #[error("{address} does not answer within {} s: is the server running, and does a firewall block UDP?", CONNECT_TIMEOUT.as_secs())]
    NoAnswer {
        /// Asked.
        address: SocketAddr,
    },
    /// The server's certificate is not the one the invitation pins.
    #[error(
        "{address} does not prove to be the server of the invitation: {failure}. Someone may be in the middle: \
         compare the fingerprint with the server's operator over another channel, and do not go on"
    )]
    WrongServer {
        /// Asked.
        address: SocketAddr,
        /// In what way.
        failure: PinFailure,
    },
    /// The handshake failed or the connection broke.
    #[error("the connection to {address} failed: {reason}")]
    Connection {
        /// Peer.
        address: SocketAddr,
        /// In TLS's or QUIC's words.
        reason: String,
    },
    /// The peer stopped in the middle of something.
    #[error("the server stopped in the middle of {what}")]
    Interrupted {
        /// Of what.
        what: &'static str,
    },
    /// Too slow.
    #[error("{what} took longer than {seconds} s")]
    TooSlow {
        /// What.
        what: &'static str,
        /// Allowed.
        seconds: u64,
    },
    /// A frame or message that is refused.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A result before its length is known.
    #[error("the server sent a result before any job was open")]
    EarlyResult,
}

impl From<FrameError> for TransportError {
    fn from(error: FrameError) -> Self {
        TransportError::Message(error.into())
    }
}

impl From<WireError> for TransportError {
    fn from(error: WireError) -> Self {
        TransportError::Message(error.into())
    }
}

/// How long a result may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResultLimits {
    /// n.
    pub merchants: usize,
    /// Bytes of the words, exactly.
    pub vector_bytes: usize,
}

/// A session's connection. Clones are the same connection.
#[derive(Clone)]
pub(crate) struct Link {
    // Kept so that the socket lives as long as the link.
    _endpoint: Endpoint,
    connection: Connection,
    address: SocketAddr,
}

/// The client's half of the control stream.
pub(crate) struct ControlSender(SendStream);

/// The server's half of the control stream.
pub(crate) struct ControlReceiver(RecvStream);

/// Opens a session with mutual TLS.
pub(crate) async fn connect(address: SocketAddr, credentials: &Credentials) -> Result<Link, TransportError> {
    let tls = tls::session(credentials, SESSION_PROTOCOL).map_err(TransportError::Credentials)?;
    open(address, tls).await
}

/// Enrols over a connection that is pinned to the authority of the invitation.
pub(crate) async fn enrol(
    address: SocketAddr,
    authority: guildhall_shared::digest::Digest,
    request: EnrolRequest,
) -> Result<EnrolReply, TransportError> {
    let (tls, pin) = tls::enrolment(authority, ENROLMENT_PROTOCOL);
    let link = open(address, tls).await.map_err(|error| match pin.failure() {
        Some(failure) => TransportError::WrongServer { address, failure },
        None => error,
    })?;
    let reply = within("the enrolment", ENROL_TIMEOUT, ask_to_enrol(&link, request)).await;
    link.close("done");
    reply
}

async fn ask_to_enrol(link: &Link, request: EnrolRequest) -> Result<EnrolReply, TransportError> {
    let (mut send, mut receive) = link.connection.open_bi().await.map_err(|e| link.broken(&e))?;
    let frame = EnrolmentMessage::from(request).to_frame()?;
    send.write_all(&frame).await.map_err(|_| link.lost("the enrolment request"))?;
    let _ = send.finish();
    let (header, body) = read_frame(&mut receive, EnrolmentMessage::limit)
        .await?
        .ok_or_else(|| link.lost("the enrolment reply"))?;
    match EnrolmentMessage::from_body(&header, &body)? {
        EnrolmentMessage::EnrolReply(reply) => Ok(reply),
        EnrolmentMessage::EnrolRequest(_) => Err(FrameError::Type(header.kind).into()),
    }
}

async fn open(address: SocketAddr, tls: rustls::ClientConfig) -> Result<Link, TransportError> {
    let quic = quinn::crypto::rustls::QuicClientConfig::try_from(tls)
        .map_err(|error| TransportError::Credentials(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(quic));
    config.transport_config(Arc::new(limits()));
    let local: SocketAddr = match address {
        SocketAddr::V4(a) if a.ip().is_loopback() => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(a) if a.ip().is_loopback() => (Ipv6Addr::LOCALHOST, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = Endpoint::client(local).map_err(TransportError::Socket)?;
    let broken = |reason: String| TransportError::Connection { address, reason };
    let connecting =
        endpoint.connect_with(config, address, SERVER_NAME).map_err(|error| broken(error.to_string()))?;
    let connection = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| TransportError::NoAnswer { address })?
        .map_err(|error| broken(error.to_string()))?;
    Ok(Link { _endpoint: endpoint, connection, address })
}

fn limits() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(SERVER_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .datagram_receive_buffer_size(None);
    config
}

impl Link {
    /// Opens the control stream.
    pub async fn open_control(&self) -> Result<(ControlSender, ControlReceiver), TransportError> {
        let (send, receive) = self.connection.open_bi().await.map_err(|e| self.broken(&e))?;
        // Control messages go before vectors.
        let _ = send.set_priority(1);
        Ok((ControlSender(send), ControlReceiver(receive)))
    }

    /// Waits for the server's next result stream and reads it. `limits` is asked once the stream is there.
    ///
    /// # Shapes
    /// The words are exactly `vector_bytes` long; every length is checked before it is allocated.
    pub async fn next_result(
        &self,
        limits: impl Fn() -> Option<ResultLimits>,
    ) -> Result<(ResultHeader, Vec<u8>), TransportError> {
        let mut stream = self.connection.accept_uni().await.map_err(|e| self.broken(&e))?;
        let mut head = [0; HEADER_BYTES];
        let what = "a result";
        within(what, CONTROL_TIMEOUT, async {
            stream.read_exact(&mut head).await.map_err(|_| self.lost(what))
        })
        .await?;
        let header = FrameHeader::parse(&head)?;
        let limits = limits().ok_or(TransportError::EarlyResult)?;
        check_result_length(&header, limits)?;
        let allowed = vector_timeout(u64::from(header.length));
        let mut body = vec![0; header.length as usize];
        within(what, allowed, async { stream.read_exact(&mut body).await.map_err(|_| self.lost(what)) })
            .await?;
        header.check_body(&body)?;
        let control_max = ResultHeader::bytes_max(limits.merchants);
        let (control, words) = split_vector(&body, control_max, limits.vector_bytes)?;
        let result: ResultHeader = wire::decode(control, control_max)?;
        let from = body.len() - words.len();
        body.drain(..from);
        Ok((result, body))
    }

    /// Sends an update on a stream of its own and waits until the server has all of it.
    pub async fn upload(&self, header: &UpdateHeader, words: &[u8]) -> Result<(), TransportError> {
        let body = join_vector(&wire::encode(header)?, words);
        let frame = FrameHeader::of(UPDATE_KIND, &body).to_bytes();
        let mut stream = self.connection.open_uni().await.map_err(|e| self.broken(&e))?;
        let lost = |_| self.lost("an update");
        // The server takes uploads in turn: flow control may hold this one back for as long as the round lasts.
        stream.write_all(&frame).await.map_err(lost)?;
        stream.write_all(&body).await.map_err(lost)?;
        let _ = stream.finish();
        let _ = stream.stopped().await;
        Ok(())
    }

    /// Ends the connection; the reason reaches the server.
    pub fn close(&self, reason: &str) {
        self.connection.close(VarInt::from_u32(0), reason.as_bytes());
    }

    /// Waits a moment until the farewell has left.
    pub async fn drained(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self._endpoint.wait_idle()).await;
    }

    fn broken(&self, error: &quinn::ConnectionError) -> TransportError {
        TransportError::Connection { address: self.address, reason: error.to_string() }
    }

    /// Why a stream ended early: the connection's reason, if it has one.
    fn lost(&self, what: &'static str) -> TransportError {
        match self.connection.close_reason() {
            Some(reason) => self.broken(&reason),
            None => TransportError::Interrupted { what },
        }
    }
}

impl ControlSender {
    /// Sends one message.
    pub async fn send(&mut self, message: &ClientMessage) -> Result<(), TransportError> {
        let frame = message.to_frame()?;
        let what = "a control message";
        let write =
            async { self.0.write_all(&frame).await.map_err(|_| TransportError::Interrupted { what }) };
        within(what, CONTROL_TIMEOUT, write).await
    }
}

impl ControlReceiver {
    /// Waits for the next message.
    pub async fn next(&mut self, link: &Link) -> Result<ServerMessage, TransportError> {
        let frame = read_frame(&mut self.0, ServerMessage::limit).await;
        let frame = frame.map_err(|error| match error {
            TransportError::Interrupted { what } => link.lost(what),
            other => other,
        })?;
        let (header, body) = frame.ok_or_else(|| link.lost("the session"))?;
        Ok(ServerMessage::from_body(&header, &body)?)
    }
}

/// Reads one frame; `None` when the stream ends before its first byte.
async fn read_frame(
    stream: &mut RecvStream,
    limit: impl Fn(u16) -> Result<LengthRule, FrameError>,
) -> Result<Option<(FrameHeader, Vec<u8>)>, TransportError> {
    let what = "a message";
    let mut head = [0; HEADER_BYTES];
    // Between messages the server may be silent for as long as the connection lives.
    let first = stream.read(&mut head).await.map_err(|_| TransportError::Interrupted { what })?;
    let Some(first) = first else { return Ok(None) };
    let rest = async {
        let interrupted = |_| TransportError::Interrupted { what };
        stream.read_exact(&mut head[first..]).await.map_err(interrupted)?;
        let header = FrameHeader::parse(&head)?;
        header.check_length(limit(header.kind)?)?;
        let mut body = vec![0; header.length as usize];
        stream.read_exact(&mut body).await.map_err(interrupted)?;
        Ok((header, body))
    };
    within(what, CONTROL_TIMEOUT, rest).await.map(Some)
}

/// 4 bytes, the control part, and exactly the words.
fn check_result_length(header: &FrameHeader, limits: ResultLimits) -> Result<(), FrameError> {
    if header.kind != RESULT_KIND {
        return Err(FrameError::Type(header.kind));
    }
    let (found, least) = (header.length as usize, 4 + limits.vector_bytes);
    let most = least + ResultHeader::bytes_max(limits.merchants);
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let expected = if found < least {
        LengthRule::Exactly(u32::try_from(least).unwrap_or(u32::MAX))
    } else {
        LengthRule::AtMost(u32::try_from(most).unwrap_or(u32::MAX))
    };
    Err(FrameError::Length { kind: header.kind, expected, found: header.length })
}

fn vector_timeout(bytes: u64) -> Duration {
    VECTOR_TIMEOUT + Duration::from_secs(bytes / VECTOR_BYTES_PER_SECOND_MIN)
}

async fn within<T>(
    what: &'static str,
    allowed: Duration,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    let late = TransportError::TooSlow { what, seconds: allowed.as_secs() };
    tokio::time::timeout(allowed, work).await.unwrap_or(Err(late))
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
