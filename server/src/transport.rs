//! The server's QUIC endpoint. The only file of this crate that names quinn.
//!
//! TLS 1.3 only, no 0-RTT, no resumption (every connection proves its certificate anew), the ring provider by name. A
//! client certificate is optional for TLS and then checked against the federation's authority; which of two protocols a
//! connection speaks (ALPN) decides whether one is required.
//!
//! Every limit is set: quinn's defaults leave receive windows and pending handshakes open-ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use guildhall_shared::digest::Digest;
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{IdleTimeout, VarInt};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

/// Protocol of enrolment: no client certificate.
pub const ALPN_ENROL: &[u8] = b"guildhall-enrol/1";
/// Protocol of sessions: an enrolled client certificate.
pub const ALPN_SESSION: &[u8] = b"guildhall/1";
/// The name in the server's certificate.
pub const SERVER_NAME: &str = "guildhall-server";

/// Unread bytes a stream may hold: 5 MB/s at 50 ms round trip, and all that a waiting upload costs us. Half of the
/// connection's, so that a waiting upload leaves room for control messages.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Unread bytes a connection may hold.
const CONNECTION_WINDOW_BYTES: u32 = 512 << 10;
/// Bytes on their way to a peer, unacknowledged: all that a slow reader costs us.
pub const SEND_WINDOW_BYTES: usize = 256 << 10;
/// Nothing heard for this long: the peer is gone.
const IDLE_TIMEOUT_MS: u32 = 20_000;
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Bytes kept per handshake that is not accepted yet, and for all of them.
const INCOMING_BYTES: u64 = 64 << 10;
const INCOMING_BYTES_TOTAL: u64 = 4 << 20;

/// A failure of the endpoint or of one connection.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The endpoint cannot be set up.
    #[error("the endpoint cannot be set up: {0}")]
    Endpoint(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A handshake failed: wrong certificate, wrong protocol, gone.
    #[error("handshake: {0}")]
    Handshake(String),
    /// The peer's stream ended in the middle of something.
    #[error("the stream ended after {found} of {expected} bytes")]
    Truncated {
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// The stream or its connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
}

fn endpoint(error: impl ToString) -> TransportError {
    TransportError::Endpoint(error.to_string())
}

fn broken(error: impl ToString) -> TransportError {
    TransportError::Broken(error.to_string())
}

/// Code of every close and stop; the reason travels as text.
const CODE: VarInt = VarInt::from_u32(1);

/// The server's credentials.
pub struct Credentials<'a> {
    /// The authority's certificate (DER).
    pub authority: &'a [u8],
    /// The server's certificate (DER).
    pub certificate: &'a [u8],
    /// The server's key (PKCS#8 DER).
    pub key: &'a [u8],
}

fn tls(credentials: &Credentials<'_>) -> Result<rustls::ServerConfig, TransportError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authority = CertificateDer::from(credentials.authority.to_vec());
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(endpoint)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(endpoint)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(credentials.key.to_vec()));
    // The authority is sent along, so that whoever holds an invitation can compare its fingerprint.
    let chain = vec![CertificateDer::from(credentials.certificate.to_vec()), authority];
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(endpoint)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(endpoint)?;
    config.alpn_protocols = vec![ALPN_SESSION.to_vec(), ALPN_ENROL.to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn limits() -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(2))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES as u64)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE));
    transport
}

/// The listening endpoint.
#[derive(Clone, Debug)]
pub struct Listener(quinn::Endpoint);

impl Listener {
    /// Listens on an address. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`TransportError::Endpoint`] for unusable credentials, [`TransportError::Bind`].
    pub fn bind(
        address: SocketAddr,
        credentials: &Credentials<'_>,
        pending_handshakes: usize,
    ) -> Result<Self, TransportError> {
        let crypto = QuicServerConfig::try_from(tls(credentials)?).map_err(endpoint)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        config
            .transport_config(Arc::new(limits()))
            .max_incoming(pending_handshakes)
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
        quinn::Endpoint::server(config, address)
            .map(Listener)
            .map_err(|source| TransportError::Bind { address, source })
    }

    /// Where it listens.
    pub fn local_address(&self) -> Result<SocketAddr, TransportError> {
        self.0.local_addr().map_err(endpoint)
    }

    /// The next connection attempt; `None` once closed.
    pub async fn next(&self) -> Option<Knock> {
        self.0.accept().await.map(Knock)
    }

    /// Closes every connection and waits a moment for the peers to hear it.
    pub async fn close(&self, reason: &str) {
        self.0.close(CODE, reason.as_bytes());
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.wait_idle()).await;
    }
}

/// A connection attempt that was neither accepted nor refused.
pub struct Knock(quinn::Incoming);

impl Knock {
    /// Who, as far as the packet says.
    pub fn address(&self) -> SocketAddr {
        self.0.remote_address()
    }

    /// Whether the address proved that it can receive.
    pub fn is_validated(&self) -> bool {
        self.0.remote_address_validated()
    }

    /// Sends the peer away.
    pub fn refuse(self) {
        self.0.refuse();
    }

    /// Asks the address to prove that it can receive; costs us no memory.
    pub fn validate(self) {
        // A packet that may not be answered with a retry is dropped with the error.
        let _ = self.0.retry();
    }

    /// Completes the handshake.
    ///
    /// # Errors
    /// [`TransportError::Handshake`] for wrong certificates and protocols, and for peers that vanish.
    pub async fn accept(self) -> Result<Connection, TransportError> {
        let handshake = |e: quinn::ConnectionError| TransportError::Handshake(e.to_string());
        let connection = self.0.accept().map_err(handshake)?.await.map_err(handshake)?;
        Ok(Connection(connection))
    }
}

/// A connection whose handshake is complete.
#[derive(Clone, Debug)]
pub struct Connection(quinn::Connection);

impl Connection {
    /// The protocol that was agreed on.
    pub fn protocol(&self) -> Option<Vec<u8>> {
        self.0.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
    }

    /// SHA-256 of the client's certificate, which the authority signed.
    pub fn certificate(&self) -> Option<Digest> {
        let chain = self.0.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        chain.first().map(|certificate| Digest::of_bytes(certificate))
    }

    /// The peer's address.
    pub fn address(&self) -> SocketAddr {
        self.0.remote_address()
    }

    /// The client's control stream.
    pub async fn accept_control(&self) -> Result<(Reader, Writer), TransportError> {
        let (send, receive) = self.0.accept_bi().await.map_err(broken)?;
        Ok((Reader(receive), Writer(send)))
    }

    /// The client's next vector.
    pub async fn accept_vector(&self) -> Result<Reader, TransportError> {
        self.0.accept_uni().await.map(Reader).map_err(broken)
    }

    /// A stream for a vector to the client.
    pub async fn open_vector(&self) -> Result<Writer, TransportError> {
        self.0.open_uni().await.map(Writer).map_err(broken)
    }

    /// Ends the connection.
    pub fn close(&self, reason: &str) {
        self.0.close(CODE, reason.as_bytes());
    }

    /// Returns once the connection has ended.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// The reading half of a stream.
#[derive(Debug)]
pub struct Reader(quinn::RecvStream);

impl Reader {
    /// Fills a part of `buffer`; `None` at the stream's end.
    pub async fn read_some(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, TransportError> {
        self.0.read(buffer).await.map_err(broken)
    }

    /// Tells the peer that the rest is not wanted.
    pub fn stop(&mut self) {
        // Fails only when the stream has ended anyway.
        let _ = self.0.stop(CODE);
    }
}

/// The writing half of a stream.
#[derive(Debug)]
pub struct Writer(quinn::SendStream);

impl Writer {
    /// Writes all of it, as flow control allows.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.0.write_all(bytes).await.map_err(broken)
    }

    /// Says that nothing follows.
    pub fn finish(&mut self) {
        // Fails only when the peer stopped the stream: it does not want to know.
        let _ = self.0.finish();
    }

    /// Returns once the peer's transport has everything, or does not want it.
    pub async fn delivered(&mut self) {
        let _ = self.0.stopped().await;
    }
}
