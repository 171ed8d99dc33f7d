//! Whoever decides about certificates in tests: slowly, or against them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Decides, not before it may, and counts.
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

    /// One that says nothing before it is released.
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
