//! The federation's certificate authority: it certifies the server once and every merchant it enrols.
//! The only file that names rcgen.

use std::path::{Path, PathBuf};

use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};

use crate::error::ServerError;
use crate::store::files;
use crate::transport::SERVER_NAME;

const AUTHORITY_CERTIFICATE: &str = "authority.crt.der";
const AUTHORITY_KEY: &str = "authority.key.der";
const SERVER_CERTIFICATE: &str = "server.crt.der";
const SERVER_KEY: &str = "server.key.der";

/// Certificates are revoked by leaving the roster, not by the calendar: long validity, stated explicitly.
const VALID_FROM_YEAR: i32 = 2025;
const VALID_TO_YEAR: i32 = 2099;

/// The authority's and the server's keys and certificates.
pub struct Authority {
    /// The authority's certificate (DER).
    pub certificate: Vec<u8>,
    /// The server's certificate (DER).
    pub server_certificate: Vec<u8>,
    /// The server's TLS key (PKCS#8 DER).
    pub server_key: Vec<u8>,
    key: KeyPair,
}

/// A signing request that is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the TLS signing request is refused: {0}")]
pub struct SigningRequestError(String);

/// A certificate issued to a merchant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate (DER).
    pub certificate: Vec<u8>,
    /// SHA-256 of its public key (SubjectPublicKeyInfo), to find a key that is used twice.
    pub key: Digest,
}

fn failed(error: rcgen::Error) -> ServerError {
    ServerError::Certificate(error.to_string())
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(VALID_FROM_YEAR, 1, 1);
    params.not_after = date_time_ymd(VALID_TO_YEAR, 12, 31);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn leaf(common_name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = params(common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

impl Authority {
    /// Makes the keys and certificates of a new federation and writes them to `dir`.
    ///
    /// # Errors
    /// [`ServerError::Certificate`], [`ServerError::File`].
    pub fn create(dir: &Path, federation: &Name) -> Result<Self, ServerError> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = params(&format!("{federation} authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(failed)?.der().to_vec();
        let server_key = KeyPair::generate().map_err(failed)?;
        let mut server = leaf(SERVER_NAME, ExtendedKeyUsagePurpose::ServerAuth);
        let name = SERVER_NAME.try_into().map_err(failed)?;
        server.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
        let issuer = Issuer::from_params(&params, &key);
        let server_certificate = server.signed_by(&server_key, &issuer).map_err(failed)?.der().to_vec();
        files::write_secret(&dir.join(AUTHORITY_KEY), key.serialized_der())?;
        files::write_secret(&dir.join(SERVER_KEY), server_key.serialized_der())?;
        files::write_durably(&dir.join(AUTHORITY_CERTIFICATE), &certificate)?;
        files::write_durably(&dir.join(SERVER_CERTIFICATE), &server_certificate)?;
        Ok(Authority { certificate, server_certificate, server_key: server_key.serialize_der(), key })
    }

    /// Reads them back.
    ///
    /// # Errors
    /// [`ServerError::File`], [`ServerError::Key`].
    pub fn load(dir: &Path) -> Result<Self, ServerError> {
        let key_path: PathBuf = dir.join(AUTHORITY_KEY);
        let key = KeyPair::try_from(files::read_secret(&key_path)?.as_slice()).map_err(|_| {
            ServerError::Key { path: key_path, expected: "the authority's key (PKCS#8, DER)" }
        })?;
        Ok(Authority {
            certificate: files::read(&dir.join(AUTHORITY_CERTIFICATE))?,
            server_certificate: files::read(&dir.join(SERVER_CERTIFICATE))?,
            server_key: files::read_secret(&dir.join(SERVER_KEY))?.to_vec(),
            key,
        })
    }

    /// SHA-256 of the authority's certificate: what invitations pin.
    pub fn fingerprint(&self) -> Digest {
        Digest::of_bytes(&self.certificate)
    }

    /// Certifies the key of a signing request for a merchant. Only the key is taken from the request: subject, usage
    /// and validity are the authority's.
    ///
    /// # Errors
    /// [`SigningRequestError`] for a request that does not parse or is not signed by its own key.
    pub fn issue(&self, merchant: &Name, signing_request: &[u8]) -> Result<Issued, SigningRequestError> {
        let refused = |e: rcgen::Error| SigningRequestError(e.to_string());
        let request = CertificateSigningRequestDer::from(signing_request);
        let request = CertificateSigningRequestParams::from_der(&request).map_err(refused)?;
        let authority = CertificateDer::from(self.certificate.as_slice());
        let issuer = Issuer::from_ca_cert_der(&authority, &self.key).map_err(refused)?;
        let params = leaf(merchant.as_str(), ExtendedKeyUsagePurpose::ClientAuth);
        let certificate = params.signed_by(&request.public_key, &issuer).map_err(refused)?.der().to_vec();
        let key = Digest::of_bytes(&request.public_key.subject_public_key_info());
        Ok(Issued { certificate, key })
    }
}
