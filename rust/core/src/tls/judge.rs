//! A certificate verifier for tests that replaces the platform's: it answers late, or rejects every certificate.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Counts the certificates, and answers once it is released.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    asked: AtomicUsize,
    refuses: bool,
    waits: Mutex<bool>,
    released: Condvar,
}

impl Judge {
    pub(crate) fn new(refuses: bool) -> Arc<Self> {
        Arc::new(Self { refuses, ..Self::default() })
    }

    /// Creates a verifier that answers nothing before it is released.
    pub(crate) fn slow(refuses: bool) -> Arc<Self> {
        Arc::new(Self { refuses, waits: Mutex::new(true), ..Self::default() })
    }

    pub(crate) fn release(&self) {
        *self.waits.lock().expect("nobody panics with it") = false;
        self.released.notify_all();
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut waits = self.waits.lock().expect("nobody panics with it");
        while *waits {
            waits = self.released.wait(waits).expect("nobody panics with it");
        }
        if self.refuses {
            return Err(CertificateError::UnknownIssuer.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("signatures are not verified by the platform".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("signatures are not verified by the platform".into()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Vec::new()
    }
}
