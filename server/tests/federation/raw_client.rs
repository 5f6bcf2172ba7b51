//! The smallest client: raw QUIC streams and frames, and an honest merchant on top that recomputes every model.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use guildhall_server::{ALPN_ENROL, ALPN_SESSION, SERVER_NAME};
use guildhall_shared::digest::Digest;
use guildhall_shared::frame::{FrameHeader, HEADER_BYTES, frame};
use guildhall_shared::identity::{IdentityKey, PublicKey, SignedRoster};
use guildhall_shared::job::JobSpec;
use guildhall_shared::message::{
    Accept, CatchUp, ClientMessage, EnrolReply, EnrolRequest, Enrolled, EnrolmentMessage, Hello, Invitation,
    Offer, RESULT_KIND, Ready, ResultHeader, ServerMessage, UPDATE_KIND, UpdateHeader, WitnessedHead,
    join_vector, split_vector,
};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::ring::RingVector;
use guildhall_shared::round_parameters::RoundParameters;
use guildhall_shared::tree_head::TreeHead;
use guildhall_shared::wire;
use quinn::crypto::rustls::QuicClientConfig;
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};

use crate::bench::{PATIENCE, Server, name};

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Accepts the server whose chain ends in the certificate the invitation pins.
#[derive(Debug)]
struct Pinned(Digest);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match chain.last() {
            Some(authority) if Digest::of_bytes(authority) == self.0 => Ok(ServerCertVerified::assertion()),
            _ => Err(rustls::Error::General("not the pinned authority".into())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Connects; `certificate` and its key where there are any.
pub async fn connect(
    address: SocketAddr,
    alpn: &[u8],
    authority: Option<&[u8]>,
    pinned: Digest,
    certificate: Option<(&[u8], &KeyPair)>,
) -> Result<(quinn::Endpoint, quinn::Connection), String> {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3");
    let builder = match authority {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(authority.to_vec())).expect("a certificate");
            builder.with_root_certificates(roots)
        }
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned(pinned))),
    };
    let mut config = match certificate {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder
                .with_client_auth_cert(vec![CertificateDer::from(certificate.to_vec())], key)
                .expect("a certificate and its key")
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).expect("TLS 1.3")));
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(address, SERVER_NAME).map_err(|e| e.to_string())?;
    Ok((endpoint, connection.await.map_err(|e| e.to_string())?))
}

/// An enrolled merchant.
pub struct Member {
    pub identity: IdentityKey,
    pub tls: KeyPair,
    pub enrolled: Enrolled,
}

/// Sends a request and returns the reply.
pub async fn ask_to_enrol(invitation: &Invitation, request: EnrolRequest) -> Result<EnrolReply, String> {
    let (_endpoint, connection) =
        connect(invitation.address, ALPN_ENROL, None, invitation.authority, None).await?;
    let (mut send, mut receive) = connection.open_bi().await.map_err(|e| e.to_string())?;
    let bytes = EnrolmentMessage::from(request).to_frame().expect("encodes");
    send.write_all(&bytes).await.map_err(|e| e.to_string())?;
    let (header, body) = read_frame(&mut receive).await?;
    match EnrolmentMessage::from_body(&header, &body).map_err(|e| e.to_string())? {
        EnrolmentMessage::EnrolReply(reply) => Ok(reply),
        other => Err(format!("a reply, found {other:?}")),
    }
}

pub fn enrol_request(invitation: &Invitation, identity: &IdentityKey, tls: &KeyPair) -> EnrolRequest {
    let request = CertificateParams::new(vec![]).expect("legal").serialize_request(tls).expect("encodes");
    EnrolRequest::sign(invitation, name("eu"), identity, request.der().to_vec())
}

impl Member {
    pub async fn enrol(invitation: &Invitation, secret: u8) -> Result<Self, String> {
        let identity = IdentityKey::from_secret(&[secret; 32]);
        let tls = KeyPair::generate().expect("a key");
        match ask_to_enrol(invitation, enrol_request(invitation, &identity, &tls)).await? {
            EnrolReply::Granted(enrolled) => {
                assert_eq!(Digest::of_bytes(&enrolled.authority), invitation.authority);
                Ok(Member { identity, tls, enrolled })
            }
            EnrolReply::Refused(reason) => Err(reason),
        }
    }

    /// Connects with the certificate, as a session.
    pub async fn connect(&self, address: SocketAddr) -> (quinn::Endpoint, quinn::Connection) {
        let certificate = Some((self.enrolled.certificate.as_slice(), &self.tls));
        connect(address, ALPN_SESSION, Some(&self.enrolled.authority), Digest([0; 32]), certificate)
            .await
            .expect("connected")
    }

    /// A session up to the welcome.
    pub async fn open(&self, address: SocketAddr) -> Session<'_> {
        let (endpoint, connection) = self.connect(address).await;
        let (send, receive) = connection.open_bi().await.expect("a stream");
        let mut session = Session {
            member: self,
            endpoint,
            connection,
            send,
            receive,
            roster: None,
            job: None,
            model: None,
            witnessed: Vec::new(),
        };
        session
            .say(Hello {
                federation: self.enrolled.federation,
                roster: None,
                software: name("raw-client"),
                nonce: [1; 32],
            })
            .await;
        match session.hear().await {
            ServerMessage::Welcome(welcome) => session.roster = welcome.roster,
            other => panic!("a welcome, found {other:?}"),
        }
        session
    }

    /// A session that has derived the newest model and said so.
    pub async fn open_ready(&self, address: SocketAddr) -> Session<'_> {
        let mut session = self.open(address).await;
        session.hear_job().await;
        session.catch_up().await;
        session
    }
}

async fn read_frame(receive: &mut quinn::RecvStream) -> Result<(FrameHeader, Vec<u8>), String> {
    let read = async {
        let mut header = [0; HEADER_BYTES];
        receive.read_exact(&mut header).await.map_err(|e| e.to_string())?;
        let header = FrameHeader::parse(&header).map_err(|e| e.to_string())?;
        let mut body = vec![0; header.length as usize];
        receive.read_exact(&mut body).await.map_err(|e| e.to_string())?;
        header.check_body(&body).map_err(|e| e.to_string())?;
        Ok((header, body))
    };
    tokio::time::timeout(PATIENCE, read).await.map_err(|_| "nothing to read".to_owned())?
}

pub struct Session<'a> {
    pub member: &'a Member,
    pub endpoint: quinn::Endpoint,
    pub connection: quinn::Connection,
    pub send: quinn::SendStream,
    pub receive: quinn::RecvStream,
    pub roster: Option<SignedRoster>,
    pub job: Option<guildhall_shared::message::Job>,
    /// The newest version this client derived itself.
    pub model: Option<(u32, ModelState)>,
    /// What the server said it saw of this merchant's ledger.
    pub witnessed: Vec<WitnessedHead>,
}

/// A ledger that grows with every update of the whole test.
pub fn next_head() -> TreeHead {
    static ENTRIES: AtomicU64 = AtomicU64::new(1);
    let size = ENTRIES.fetch_add(1, Ordering::Relaxed);
    TreeHead { size, root: Digest::of("a growing ledger", &[&size.to_le_bytes()]) }
}

impl Session<'_> {
    pub async fn say(&mut self, message: impl Into<ClientMessage>) {
        let bytes = message.into().to_frame().expect("encodes");
        self.send.write_all(&bytes).await.expect("sent");
    }

    pub async fn try_hear(&mut self) -> Result<ServerMessage, String> {
        let (header, body) = read_frame(&mut self.receive).await?;
        ServerMessage::from_body(&header, &body).map_err(|e| e.to_string())
    }

    /// The next message, but for the server's word that it saw this merchant's ledger: that is kept.
    pub async fn hear(&mut self) -> ServerMessage {
        loop {
            match self.try_hear().await.expect("a message") {
                ServerMessage::WitnessedHead(seen) => self.witnessed.push(seen),
                message => return message,
            }
        }
    }

    pub fn key(&self) -> &PublicKey {
        &self.member.enrolled.federation_key
    }

    pub fn roster(&self) -> &SignedRoster {
        self.roster.as_ref().expect("a closed roster")
    }

    pub fn spec(&self) -> JobSpec {
        self.job.as_ref().expect("a job").spec.clone()
    }

    pub async fn hear_job(&mut self) {
        match self.hear().await {
            ServerMessage::Job(job) => {
                job.verify(self.key()).expect("signed");
                assert_eq!(job.roster, self.roster().roster.digest());
                self.model = Some((0, ModelState::initial(&job.spec)));
                self.job = Some(job);
            }
            other => panic!("a job, found {other:?}"),
        }
    }

    /// Derives everything up to the announced version, from wherever the client is.
    pub async fn catch_up(&mut self) {
        let (version, target) =
            (self.model.as_ref().expect("a model").0, self.job.as_ref().expect("a job").version);
        self.say(CatchUp { job: self.spec().digest(), version }).await;
        for _ in version..target {
            self.result().await;
        }
        self.ready().await;
    }

    pub async fn ready(&mut self) {
        let spec = self.spec();
        let (version, model) = self.model.as_ref().expect("a model");
        let ready = Ready { job: spec.digest(), version: *version, model: model.hash(&spec.model()) };
        self.say(ready).await;
    }

    /// Returns once the server knows that this merchant is ready. `Ready` has no answer, and other merchants' connections may
    /// overtake it; what follows it on its own stream may not, and a version that does not exist is refused aloud.
    pub async fn ready_is_known(&mut self, server: &mut Server) {
        let ready = Ready { job: self.spec().digest(), version: 9_999, model: Digest([0; 32]) };
        self.say(ready).await;
        server.refusal("found 9999").await;
    }

    pub fn parameters(&self) -> RoundParameters {
        RoundParameters::derive(&self.spec(), self.roster().roster.len() as u32).expect("fits")
    }

    /// Takes the next result, recomputes the model, compares hashes; returns header and sum.
    pub async fn result(&mut self) -> (ResultHeader, Vec<i64>) {
        let mut stream = tokio::time::timeout(PATIENCE, self.connection.accept_uni())
            .await
            .expect("in time")
            .expect("a stream");
        let (header, body) = read_frame(&mut stream).await.expect("a result");
        assert_eq!(header.kind, RESULT_KIND);
        let (spec, parameters) = (self.spec(), self.parameters());
        let limit = ResultHeader::bytes_max(self.roster().roster.len());
        let (control, words) = split_vector(&body, limit, parameters.vector_bytes()).expect("a vector");
        let result: ResultHeader = wire::decode(control, limit).expect("a header");
        result.verify(self.key()).expect("signed");
        assert_eq!(result.sum, Digest::of_bytes(words));
        let mut sum = RingVector::zero(parameters.ring, parameters.parameters as usize);
        sum.add_bytes(words).expect("the right length");
        let (version, model) = self.model.take().expect("a model");
        assert_eq!(result.version, version + 1);
        let next = model.next(&spec, &sum.centred()).expect("the right shape");
        assert_eq!(result.model, next.hash(&spec.model()), "the client arrives at the signed hash");
        self.model = Some((result.version, next));
        (result, sum.centred())
    }

    pub async fn offer(&mut self) -> Offer {
        let mut message = self.hear().await;
        // An update may have crossed the end of the attempt before.
        while matches!(message, ServerMessage::Receipt(_)) {
            message = self.hear().await;
        }
        match message {
            ServerMessage::Offer(offer) => {
                offer.verify(self.key()).expect("signed");
                assert_eq!(offer.parameters, self.parameters());
                offer
            }
            other => panic!("an offer, found {other:?}"),
        }
    }

    pub async fn accept(&mut self, offer: &Offer) {
        let (spec, roster) = (self.spec(), self.roster().roster.digest());
        let (_, model) = self.model.as_ref().expect("a model");
        let parameters = self.parameters().digest(&spec.digest(), &roster);
        let accept = Accept::sign(offer.sid(), model.hash(&spec.model()), parameters, &self.member.identity);
        self.say(accept).await;
    }

    /// Waits for an offer, accepts, waits for the start of training.
    pub async fn begin(&mut self) -> Offer {
        let offer = self.offer().await;
        self.accept(&offer).await;
        match self.hear().await {
            ServerMessage::Begin(begin) => assert_eq!(begin.sid, offer.sid()),
            other => panic!("the start of training, found {other:?}"),
        }
        offer
    }

    /// The frame of a good update.
    pub fn update_frame(&self, offer: &Offer, value: i64) -> Vec<u8> {
        let mut words = Vec::new();
        self.parameters().ring.write(&vec![value; self.parameters().parameters as usize], &mut words);
        let header =
            UpdateHeader::sign(offer.sid(), Digest::of_bytes(&words), next_head(), &self.member.identity);
        frame(UPDATE_KIND, &join_vector(&wire::encode(&header).expect("encodes"), &words))
    }

    /// Sends bytes on a vector stream of their own. A server that refuses them may stop reading.
    pub async fn send_vector(&mut self, bytes: &[u8]) {
        let mut stream = self.connection.open_uni().await.expect("a stream");
        if stream.write_all(bytes).await.is_ok() {
            let _ = stream.finish();
        }
    }

    pub async fn receipt(&mut self) -> guildhall_shared::message::Verdict {
        match self.hear().await {
            ServerMessage::Receipt(receipt) => receipt.verdict,
            other => panic!("a receipt, found {other:?}"),
        }
    }

    /// A whole round, honestly.
    pub async fn round(&mut self, value: i64) -> (ResultHeader, Vec<i64>) {
        let offer = self.begin().await;
        let update = self.update_frame(&offer, value);
        self.send_vector(&update).await;
        assert_eq!(self.receipt().await, guildhall_shared::message::Verdict::Added);
        let result = self.result().await;
        self.ready().await;
        result
    }
}
