//! The verifier of the platform, with the certificate authorities that the operating system trusts.

use std::sync::Arc;

use rustls::Error;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;

/// On Windows and Apple's systems, the system verifies certificates.
#[cfg(any(windows, target_vendor = "apple"))]
pub(super) fn verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    Ok(Arc::new(rustls_platform_verifier::Verifier::new(Arc::clone(provider))?))
}

/// On other systems the roots are in files. A container may have none, and a wrong setting may hide them.
#[cfg(not(any(windows, target_vendor = "apple", target_os = "android")))]
pub(super) fn verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    match rustls_platform_verifier::Verifier::new(Arc::clone(provider)) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(error) => {
            static WARNED: std::sync::Once = std::sync::Once::new();
            WARNED.call_once(|| {
                log::warn!(
                    "this system has no certificates of authorities ({error}); Mozilla's list, which is built in, is used \
                     instead. Install the package ca-certificates to get current ones"
                );
            });
            built_in(provider)
        }
    }
}

/// Android's roots are accessible from Java only, which this library does not call.
#[cfg(target_os = "android")]
pub(super) fn verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    built_in(provider)
}

/// The roots of Mozilla's list, which browsers trust.
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
