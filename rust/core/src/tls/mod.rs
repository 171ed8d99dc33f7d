//! TLS: makes configurations from the PEM texts that scripts pass, and explains failures in words.

mod fields;
#[cfg(test)]
pub(crate) mod judge;
mod key;
mod platform;
pub(crate) mod stream;
mod verify;
mod words;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::SupportedProtocolVersion;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

pub(crate) use stream::TlsSession;
use words::explain_setup;

/// Why TLS cannot be set up.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

impl TlsError {
    /// Creates an error with this explanation.
    pub fn new(why: String) -> Self {
        Self(why)
    }
}

/// A server's key and certificate; they can be replaced while it listens.
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<Mutex<Arc<rustls::ServerConfig>>>,
}

/// How a client decides whether it talks to the right server.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<rustls::ClientConfig>,
    /// The verifier may block for a long time.
    apart: bool,
    name: Option<ServerName<'static>>,
}

/// Which servers a client trusts.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// The platform's root certificates; where it has none, those of Mozilla's list.
    Platform,
    /// Only these certificates (PEM), as roots or as the server's own certificate.
    Only(&'a str),
    /// The same, but the server's certificate may be for any name.
    OnlyAnyName(&'a str),
    /// Every server, with any certificate. The connection is encrypted, but the server is not authenticated.
    Anybody,
}

/// The last client configurations, by what they trust. A configuration remembers sessions, so that the next connection to a server can
/// resume one. A session is never resumed under a different trust.
#[derive(Default)]
pub(crate) struct TlsClients(Mutex<Vec<Remembered>>);

struct Remembered {
    trust: &'static str,
    pem: String,
    config: Arc<rustls::ClientConfig>,
}

impl TlsServer {
    /// Creates a configuration from a private key and a certificate with its chain, all as PEM. `chain` is sent after the certificates in
    /// `certificate`.
    ///
    /// # Errors
    /// [`TlsError`]: a missing key or certificate, an unsupported kind of key, a key that does not belong to the certificate.
    pub fn new(key: &str, certificate: &str, chain: &str) -> Result<Self, TlsError> {
        let config = server_config(certified_key(key, certificate, chain)?, rustls::DEFAULT_VERSIONS)?;
        Ok(Self { config: Arc::new(Mutex::new(config)) })
    }

    /// Replaces the key and the certificate for new connections. They resume no session that began with the old ones.
    ///
    /// # Errors
    /// As [`new`](Self::new); the old key and certificate stay in use.
    pub fn replace(&self, key: &str, certificate: &str, chain: &str) -> Result<(), TlsError> {
        let new = server_config(certified_key(key, certificate, chain)?, rustls::DEFAULT_VERSIONS)?;
        *lock(&self.config) = new;
        Ok(())
    }

    pub(crate) fn session(&self) -> Result<TlsSession, String> {
        let config = Arc::clone(&lock(&self.config));
        let session = rustls::ServerConnection::new(config).map_err(|error| explain_setup(&error))?;
        Ok(TlsSession::new(session.into()))
    }
}

impl TlsClient {
    /// Creates a client. `name_override` is the expected name of the server, instead of the URL's host.
    ///
    /// # Errors
    /// [`TlsError`]: no certificate in `trust`, an invalid name.
    pub fn new(trust: Trust<'_>, name_override: Option<&str>) -> Result<Self, TlsError> {
        let name = name_override.map(server_name).transpose()?;
        Ok(Self { config: client_config(trust)?, apart: trust.may_take_long(), name })
    }

    /// Creates a client whose certificates are checked by this verifier instead of the platform's.
    #[cfg(test)]
    pub(crate) fn judged_by(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let verifier = verify::as_platform(verifier, &provider);
        let config = with_verifier(verifier, provider).expect("usable");
        Self { config, apart: true, name: None }
    }

    pub(crate) fn session(&self, host: &str) -> Result<TlsSession, String> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(host).map_err(|error| error.to_string())?,
        };
        let session = rustls::ClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|error| explain_setup(&error))?;
        Ok(TlsSession::new(session.into()).apart(self.apart))
    }
}

impl Trust<'_> {
    fn may_take_long(self) -> bool {
        matches!(self, Self::Platform)
    }
}

impl TlsClients {
    /// As [`TlsClient::new`], but with the remembered sessions of an earlier client with the same trust.
    pub(crate) fn client(
        &self,
        trust: Trust<'_>,
        name_override: Option<&str>,
    ) -> Result<TlsClient, TlsError> {
        let name = name_override.map(server_name).transpose()?;
        let (kind, pem) = match trust {
            Trust::Platform => ("platform", ""),
            Trust::Only(pem) => ("only", pem),
            Trust::OnlyAnyName(pem) => ("only, any name", pem),
            Trust::Anybody => ("anybody", ""),
        };
        let mut known = lock(&self.0);
        let found = known.iter().position(|one| one.trust == kind && one.pem == pem);
        let one = match found {
            Some(at) => known.remove(at),
            None => Remembered { trust: kind, pem: pem.to_owned(), config: client_config(trust)? },
        };
        let config = Arc::clone(&one.config);
        if known.len() == REMEMBERED {
            known.remove(0);
        }
        known.push(one);
        Ok(TlsClient { config, apart: trust.may_take_long(), name })
    }
}

fn server_config(
    identity: CertifiedKey,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| TlsError(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = ring::Ticketer::new().map_err(|error| TlsError(error.to_string()))?;
    Ok(Arc::new(config))
}

fn client_config(trust: Trust<'_>) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = match trust {
        Trust::Platform => verify::platform(&provider),
        Trust::Only(pem) => verify::only(certificates(pem, TRUSTED)?, true, &provider),
        Trust::OnlyAnyName(pem) => verify::only(certificates(pem, TRUSTED)?, false, &provider),
        Trust::Anybody => verify::anybody(&provider),
    };
    with_verifier(verifier, provider)
}

fn with_verifier(
    verifier: Arc<dyn ServerCertVerifier>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is never printed.
        f.debug_struct("TlsServer").finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A key and a certificate for tests, in PEM.
#[cfg(test)]
pub(crate) fn self_signed(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    (made.signing_key.serialize_pem(), made.cert.pem())
}

fn certified_key(key: &str, certificate: &str, chain: &str) -> Result<CertifiedKey, TlsError> {
    let mut certificates = certificates(certificate, "the certificate")?;
    if !chain.trim().is_empty() {
        certificates.extend(self::certificates(chain, "ca_chain")?);
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| TlsError(format!("it contains no private key: {error}")))?;
    let der = key.secret_der();
    if der.windows(SECP521R1.len()).any(|window| window == SECP521R1) {
        return Err(TlsError("the private key is on the curve P-521; use RSA, P-256 or P-384".into()));
    }
    let key = ring::sign::any_supported_type(&key).map_err(|error| {
        TlsError(match key::odd_private_rsa(&key) {
            Some(bits) => format!(
                "the private key is RSA with {bits} bits; RSA with 2048, 3072 or 4096 bits, P-256 and P-384 can be used"
            ),
            None => {
                format!("this private key cannot be used (RSA, P-256 and P-384 can): {error}")
            }
        })
    })?;
    let certified = CertifiedKey::new(certificates, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError("the private key does not belong to the certificate".into()))
        }
        Err(error) => Err(TlsError(explain_setup(&error))),
    }
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        // The engine's certificate object returns an empty text if nothing was loaded.
        Ok(found) if !found.is_empty() && found.iter().all(|one| !one.is_empty()) => Ok(found),
        Ok(_) => Err(TlsError(format!("{what} holds no PEM certificate"))),
        Err(error) => Err(TlsError(format!("{what} cannot be read: {error}"))),
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| TlsError(format!("{name:?} is not a host name that a certificate can have")))
}

/// A panic while the lock was held leaves a valid value, because each change is one store.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How error texts name a certificate in `Trust`.
const TRUSTED: &str = "the trusted certificate";
/// Configurations that a process remembers, each with its sessions. A game needs one or two.
const REMEMBERED: usize = 8;
/// HTTP/1.1, because this library does not support the upgrade in later versions.
const ALPN: &[u8] = b"http/1.1";
/// The object identifier of the curve P-521, as DER.
const SECP521R1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
