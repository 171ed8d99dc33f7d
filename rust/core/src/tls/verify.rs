//! Who is trusted.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::TlsError;

/// The platform's roots.
#[cfg(not(target_os = "android"))]
pub(super) fn platform(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(provider))
        .map_err(|error| TlsError(format!("the platform's trusted certificates cannot be used: {error}")))?;
    Ok(Arc::new(verifier))
}

/// The roots that browsers trust: the platform's are out of reach.
#[cfg(target_os = "android")]
pub(super) fn platform(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let verifier = builder
        .build()
        .map_err(|error| TlsError(format!("the built-in trusted certificates cannot be used: {error}")))?;
    Ok(verifier)
}

/// These certificates and nothing else.
pub(super) fn only(
    trusted: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let by_root = if roots.is_empty() {
        None
    } else {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        Some(
            builder
                .build()
                .map_err(|error| TlsError(format!("the trusted certificate cannot be used: {error}")))?,
        )
    };
    Ok(Arc::new(Named { trust: Accepted::Only { trusted, by_root }, provider: Arc::clone(provider) }))
}

/// Anybody: only that the remote has the key of the certificate that it shows is checked.
pub(super) fn anybody(provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Named { trust: Accepted::Anybody, provider: Arc::clone(provider) })
}

/// Decides as the script has named it; that the remote has the key of the certificate that it shows is always checked.
#[derive(Debug)]
struct Named {
    trust: Accepted,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Accepted {
    /// The engine's own self-signed certificates are CAs without alternative names, which webpki takes neither as a leaf nor
    /// by name. One that the script itself names is as good as it gets: its dates and its name are checked here.
    Only {
        trusted: Vec<CertificateDer<'static>>,
        by_root: Option<Arc<WebPkiServerVerifier>>,
    },
    Anybody,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Accepted::Only { trusted, by_root } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        if trusted.iter().any(|trusted| trusted.as_ref() == leaf.as_ref()) {
            return check_by_hand(leaf, name, now).map(|()| ServerCertVerified::assertion());
        }
        match by_root {
            Some(by_root) => by_root.verify_server_cert(leaf, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Dates, and the name: by the alternative names where there are any, else by the common name.
fn check_by_hand(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let certificate = certificate.tbs_certificate;
    if now.as_secs() < certificate.validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > certificate.validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    let wanted = name.to_str();
    let alternatives = certificate.get::<SubjectAltName>().map_err(|_| CertificateError::BadEncoding)?;
    let matches = match alternatives {
        Some((_, SubjectAltName(names))) => names.iter().any(|known| match known {
            GeneralName::DnsName(pattern) => name_matches(pattern.as_str(), &wanted),
            GeneralName::IpAddress(bytes) => address_matches(bytes.as_bytes(), name),
            _ => false,
        }),
        None => common_names(&certificate.subject).iter().any(|pattern| name_matches(pattern, &wanted)),
    };
    if matches { Ok(()) } else { Err(CertificateError::NotValidForName.into()) }
}

/// RFC 6125 section 6.4: without regard to case; a star stands for the whole leftmost label.
fn name_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) =
        (pattern.trim_end_matches('.').to_ascii_lowercase(), name.trim_end_matches('.').to_ascii_lowercase());
    match pattern.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => pattern == name,
    }
}

fn address_matches(bytes: &[u8], name: &ServerName<'_>) -> bool {
    match name {
        ServerName::IpAddress(address) => match std::net::IpAddr::from(*address) {
            std::net::IpAddr::V4(address) => address.octets() == bytes,
            std::net::IpAddr::V6(address) => address.octets() == bytes,
        },
        _ => false,
    }
}

/// The common names of a subject, whatever string type they have.
fn common_names(subject: &x509_cert::name::Name) -> Vec<String> {
    const COMMON_NAME: x509_cert::der::oid::ObjectIdentifier =
        x509_cert::der::oid::ObjectIdentifier::new_unwrap("2.5.4.3");
    let attributes =
        subject.0.iter().flat_map(|set| set.0.iter()).filter(|attribute| attribute.oid == COMMON_NAME);
    let texts = attributes.filter_map(|attribute| {
        let value = &attribute.value;
        match value.tag() {
            Tag::Utf8String => Utf8StringRef::try_from(value).ok().map(|text| text.as_str().to_owned()),
            Tag::PrintableString => {
                PrintableStringRef::try_from(value).ok().map(|text| text.as_str().to_owned())
            }
            Tag::Ia5String => Ia5StringRef::try_from(value).ok().map(|text| text.as_str().to_owned()),
            _ => None,
        }
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_one_label() {
        for (pattern, name, expected) in [
            ("game.example", "GAME.example.", true),
            ("*.example", "a.example", true),
            ("*.example", "a.b.example", false),
            ("*.example", "example", false),
            ("*.example", ".example", false),
            ("a.example", "b.example", false),
        ] {
            assert_eq!(name_matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
