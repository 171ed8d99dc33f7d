//! Whom the platform trusts.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::key::{self, Version};

/// The platform's verifier. It is made when it has to decide for the first time: to find the roots takes milliseconds at best.
#[derive(Debug)]
pub(super) struct Platform {
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Arc<dyn ServerCertVerifier>>,
}

impl Platform {
    pub(super) fn new(provider: &Arc<CryptoProvider>) -> Arc<Self> {
        Arc::new(Self { provider: Arc::clone(provider), verifier: OnceLock::new() })
    }

    fn verifier(&self) -> Result<&Arc<dyn ServerCertVerifier>, Error> {
        if let Some(verifier) = self.verifier.get() {
            return Ok(verifier);
        }
        let made = verifier(&self.provider)?;
        Ok(self.verifier.get_or_init(|| made))
    }
}

impl ServerCertVerifier for Platform {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(leaf, intermediates, name, ocsp, now).map_err(|error| {
            let chain: Vec<_> = std::iter::once(leaf).chain(intermediates).collect();
            key::name_the_size(error, &chain)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        key::check_signature(message, certificate, signed, Version::Tls12, algorithms, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        key::check_signature(message, certificate, signed, Version::Tls13, algorithms, false)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Windows and Apple's systems decide themselves.
#[cfg(any(windows, target_vendor = "apple"))]
fn verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    Ok(Arc::new(rustls_platform_verifier::Verifier::new(Arc::clone(provider))?))
}

/// Elsewhere there are files with roots, or there are none: in a container, or by a wrong setting.
#[cfg(not(any(windows, target_vendor = "apple", target_os = "android")))]
fn verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    match rustls_platform_verifier::Verifier::new(Arc::clone(provider)) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(error) => {
            static SAID: std::sync::Once = std::sync::Once::new();
            SAID.call_once(|| {
                log::warn!(
                    "this system has no certificates of authorities ({error}): the list of Mozilla's that is built in \
                     serves instead; install the package ca-certificates to have them up to date"
                );
            });
            built_in(provider)
        }
    }
}

/// The platform's are out of reach.
#[cfg(target_os = "android")]
fn verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    built_in(provider)
}

/// The roots that browsers trust.
#[cfg(not(any(windows, target_vendor = "apple")))]
fn built_in(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
        .map_err(|error| Error::General(format!("the built-in trusted certificates cannot be used: {error}")))
}
