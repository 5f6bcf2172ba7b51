//! A server that does what a test tells it to, right or wrong.

use std::net::SocketAddr;
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::frame::{HEADER_BYTES, frame};
use guildhall_shared::message::{
    ClientMessage, EnrolReply, EnrolRequest, EnrolmentMessage, RESULT_KIND, ResultHeader, ServerMessage,
    UpdateHeader, join_vector, split_vector,
};
use guildhall_shared::wire;
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, SanType,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;

use super::{ENROLMENT_PROTOCOL, SERVER_NAME, SESSION_PROTOCOL};

/// An authority and what it issues.
pub struct Pki {
    /// Its certificate (DER).
    pub authority: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn leaf(name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    if name == SERVER_NAME {
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    }
    params
}

impl Pki {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = params.self_signed(&key).unwrap().der().to_vec();
        Pki { authority, issuer: Issuer::new(params, key) }
    }

    pub fn fingerprint(&self) -> Digest {
        Digest::of_bytes(&self.authority)
    }

    /// A server's certificate and key.
    pub fn server(&self) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = leaf(SERVER_NAME, ExtendedKeyUsagePurpose::ServerAuth);
        (params.signed_by(&key, &self.issuer).unwrap().der().to_vec(), key.serialize_der())
    }

    /// A merchant's certificate for the key of a signing request.
    pub fn client(&self, signing_request: &[u8]) -> Vec<u8> {
        let der = CertificateSigningRequestDer::from(signing_request);
        let key = CertificateSigningRequestParams::from_der(&der).unwrap().public_key;
        let params = leaf("merchant", ExtendedKeyUsagePurpose::ClientAuth);
        params.signed_by(&key, &self.issuer).unwrap().der().to_vec()
    }
}

/// An endpoint that presents the chain it is given.
pub struct FakeServer {
    endpoint: Endpoint,
    pub address: SocketAddr,
}

impl FakeServer {
    /// An honest one.
    pub fn start(pki: &Pki) -> Self {
        let (certificate, key) = pki.server();
        Self::presenting(pki, vec![certificate, pki.authority.clone()], key, 0)
    }

    /// At a port, with any chain.
    pub fn presenting(pki: &Pki, chain: Vec<Vec<u8>>, key: Vec<u8>, port: u16) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(pki.authority.clone())).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                chain.into_iter().map(CertificateDer::from).collect(),
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)),
            )
            .unwrap();
        tls.alpn_protocols = vec![SESSION_PROTOCOL.to_vec(), ENROLMENT_PROTOCOL.to_vec()];
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = Endpoint::server(config, ([127, 0, 0, 1], port).into()).unwrap();
        let address = endpoint.local_addr().unwrap();
        FakeServer { endpoint, address }
    }

    /// The next connection with its control stream.
    pub async fn accept(&self) -> FakeSession {
        loop {
            let Ok(connection) = self.endpoint.accept().await.unwrap().await else { continue };
            let Ok((send, receive)) = connection.accept_bi().await else { continue };
            return FakeSession { connection, send, receive };
        }
    }

    /// Answers one enrolment, once per call.
    pub async fn enrol(&self, answer: impl FnOnce(EnrolRequest) -> EnrolReply) {
        let mut session = self.accept().await;
        let (header, body) = session.frame().await;
        let EnrolmentMessage::EnrolRequest(request) = EnrolmentMessage::from_body(&header, &body).unwrap()
        else {
            panic!("not a request")
        };
        let frame = EnrolmentMessage::from(answer(request)).to_frame().unwrap();
        session.say_bytes(&frame).await;
        session.connection.closed().await;
    }
}

/// One client's session, from the server's side.
pub struct FakeSession {
    pub connection: Connection,
    send: SendStream,
    receive: RecvStream,
}

impl FakeSession {
    async fn frame(&mut self) -> (super::FrameHeader, Vec<u8>) {
        let mut head = [0; HEADER_BYTES];
        self.receive.read_exact(&mut head).await.unwrap();
        let header = super::FrameHeader::parse(&head).unwrap();
        let mut body = vec![0; header.length as usize];
        self.receive.read_exact(&mut body).await.unwrap();
        (header, body)
    }

    pub async fn hear(&mut self) -> ClientMessage {
        let (header, body) = self.frame().await;
        ClientMessage::from_body(&header, &body).unwrap()
    }

    pub async fn say(&mut self, message: impl Into<ServerMessage>) {
        self.say_bytes(&message.into().to_frame().unwrap()).await;
    }

    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.unwrap();
    }

    pub fn stop_saying(&mut self) {
        self.send.finish().unwrap();
    }

    pub async fn send_result(&self, header: &ResultHeader, words: &[u8]) {
        let body = join_vector(&wire::encode(header).unwrap(), words);
        self.send_stream(&frame(RESULT_KIND, &body)).await;
    }

    /// Any bytes on a stream of their own. The client may stop listening.
    pub async fn send_stream(&self, bytes: &[u8]) {
        let mut stream = self.connection.open_uni().await.unwrap();
        let _ = stream.write_all(bytes).await;
        let _ = stream.finish();
        let _ = stream.stopped().await;
    }

    pub async fn receive_update(&self, vector_bytes: usize) -> (UpdateHeader, Vec<u8>) {
        let mut stream = self.connection.accept_uni().await.unwrap();
        let bytes = stream.read_to_end(1 << 20).await.unwrap();
        let (head, body) = bytes.split_first_chunk::<HEADER_BYTES>().unwrap();
        let header = super::FrameHeader::parse(head).unwrap();
        assert_eq!(header.kind, super::UPDATE_KIND);
        header.check_body(body).unwrap();
        let (control, words) = split_vector(body, UpdateHeader::BYTES, vector_bytes).unwrap();
        (wire::decode(control, UpdateHeader::BYTES).unwrap(), words.to_vec())
    }

    pub fn close(&self, reason: &str) {
        self.connection.close(VarInt::from_u32(1), reason.as_bytes());
    }
}
