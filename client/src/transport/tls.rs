//! TLS for the two kinds of connection. No signature is checked by hand: rustls and webpki do all of it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use guildhall_shared::digest::Digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use zeroize::Zeroizing;

/// The name in every server certificate; addresses may change, the authority vouches for the role.
pub(crate) const SERVER_NAME: &str = "guildhall-server";

/// What a session proves this client with, and knows the server by.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// The authority's certificate (DER): the only root.
    pub authority: Vec<u8>,
    /// This client's certificate (DER).
    pub certificate: Vec<u8>,
    /// Its key (PKCS#8, DER).
    pub key: Zeroizing<Vec<u8>>,
}

/// TLS for a session: mutual, the authority as the only root. The error is a sentence about this client's files.
pub(super) fn session(credentials: &Credentials, protocol: &[u8]) -> Result<ClientConfig, String> {
    let describe = |error: Error| error.to_string();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(credentials.key.to_vec()));
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(describe)?
        .with_root_certificates(root(&credentials.authority).map_err(describe)?)
        .with_client_auth_cert(vec![CertificateDer::from(credentials.certificate.clone())], key)
        .map_err(describe)?;
    Ok(hardened(config, protocol))
}

/// TLS for an enrolment: the server must present the pinned authority and a certificate that it issued.
pub(super) fn enrolment(authority: Digest, protocol: &[u8]) -> (ClientConfig, Arc<PinnedAuthority>) {
    let pin = Arc::new(PinnedAuthority { authority, provider: provider(), failure: Mutex::new(None) });
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("ring has TLS 1.3 cipher suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&pin) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    (hardened(config, protocol), pin)
}

fn hardened(mut config: ClientConfig, protocol: &[u8]) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn root(authority: &[u8]) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.to_vec()))?;
    Ok(Arc::new(roots))
}

/// Checks that a certificate is issued by the authority, for clients, now, and for this key. The error says what not.
pub(crate) fn check_certificate(credentials: &Credentials) -> Result<(), String> {
    let describe = |error: Error| error.to_string();
    let certificate = CertificateDer::from(credentials.certificate.clone());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(credentials.key.to_vec()));
    let roots = root(&credentials.authority).map_err(describe)?;
    CertifiedKey::from_der(vec![certificate.clone()], key, &provider())
        .and_then(|pair| pair.keys_match())
        .map_err(describe)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| error.to_string())?;
    verifier.verify_client_cert(&certificate, &[], UnixTime::now()).map(|_| ()).map_err(describe)
}

/// Why a server is not the one an invitation names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinFailure {
    /// None of the certificates it presents has the pinned fingerprint.
    Fingerprint {
        /// In the invitation.
        expected: Digest,
    },
    /// It presents the authority's certificate, which is public, but its own was not issued by it.
    NotIssued {
        /// In webpki's words.
        reason: String,
    },
}

impl fmt::Display for PinFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinFailure::Fingerprint { expected } => {
                write!(f, "expected an authority certificate with SHA-256 {expected}, found none")
            }
            PinFailure::NotIssued { reason } => {
                write!(f, "its certificate was not issued by the authority of the invitation ({reason})")
            }
        }
    }
}

/// Accepts a server that presents `[its certificate, the authority's certificate]`, when the latter's SHA-256 is the
/// pinned one and the former was issued by it for [`SERVER_NAME`].
#[derive(Debug)]
pub(super) struct PinnedAuthority {
    authority: Digest,
    provider: Arc<CryptoProvider>,
    failure: Mutex<Option<PinFailure>>,
}

impl PinnedAuthority {
    /// Why the last server was refused, if it was.
    pub fn failure(&self) -> Option<PinFailure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, failure: PinFailure) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|certificate| Digest::of_bytes(certificate) == self.authority);
        let Some(authority) = pinned else {
            self.fail(PinFailure::Fingerprint { expected: self.authority });
            return Err(CertificateError::ApplicationVerificationFailure.into());
        };
        let verified = root(authority)
            .and_then(|roots| {
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider))
                    .build()
                    .map_err(|error| Error::General(error.to_string()))
            })
            .and_then(|verifier| {
                verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
            });
        if let Err(error) = &verified {
            self.fail(PinFailure::NotIssued { reason: error.to_string() });
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
