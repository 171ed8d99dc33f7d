//! Verification of a server's certificate: a verifier for rustls, for all kinds of [`Trust`](super::Trust).

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::der::asn1::{Ia5StringRef, ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{self, Decode, Tag, Tagged};
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::time::Validity;

use super::fields::Fields;
use super::key::{self, Version};
use super::platform;

/// Returns a verifier that trusts only these certificates. With `names`, the certificate must also be for the server's name.
pub(super) fn only(
    trusted: Vec<CertificateDer<'static>>,
    names: bool,
    provider: &Arc<CryptoProvider>,
) -> Arc<dyn ServerCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    with(Accepted::Only { trusted, roots, names }, provider)
}

/// Returns a verifier that trusts every certificate. It still checks, where possible, that the remote has the certificate's private key.
pub(super) fn anybody(provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    with(Accepted::Anybody, provider)
}

/// Returns a verifier that trusts what the platform trusts. The platform's verifier is created for the first certificate, because reading
/// the roots takes milliseconds at best.
pub(super) fn platform(provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    with(Accepted::Platform(OnceLock::new()), provider)
}

/// Returns a verifier that uses this one instead of the platform's.
#[cfg(test)]
pub(super) fn as_platform(
    verifier: Arc<dyn ServerCertVerifier>,
    provider: &Arc<CryptoProvider>,
) -> Arc<dyn ServerCertVerifier> {
    with(Accepted::Platform(OnceLock::from(verifier)), provider)
}

fn with(accepted: Accepted, provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Verifier { accepted, provider: Arc::clone(provider) })
}

#[derive(Debug)]
struct Verifier {
    accepted: Accepted,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Accepted {
    /// The engine makes self-signed certificates that are CAs without alternative names. webpki accepts such a certificate
    /// neither as a leaf nor by its name. If the script names exactly this certificate, its dates and its name are verified here.
    Only {
        trusted: Vec<CertificateDer<'static>>,
        roots: RootCertStore,
        names: bool,
    },
    Platform(OnceLock<Arc<dyn ServerCertVerifier>>),
    Anybody,
}

impl Verifier {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        let (trusted, roots, names) = match &self.accepted {
            Accepted::Only { trusted, roots, names } => (trusted, roots, names),
            Accepted::Platform(made) => {
                let verifier = match made.get() {
                    Some(verifier) => verifier,
                    None => {
                        let new = platform::verifier(&self.provider)?;
                        made.get_or_init(|| new)
                    }
                };
                return verifier.verify_server_cert(leaf, intermediates, name, ocsp, now).map(|_| ());
            }
            Accepted::Anybody => return Ok(()),
        };
        let name = names.then_some(name);
        if trusted.iter().any(|trusted| trusted.as_ref() == leaf.as_ref()) {
            return check_by_hand(leaf, name, now);
        }
        if roots.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        name.map_or(Ok(()), |name| verify_server_name(&parsed, name))
    }

    fn is_lenient(&self) -> bool {
        matches!(self.accepted, Accepted::Anybody)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.verify(leaf, intermediates, name, ocsp, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) => {
                let chain: Vec<_> = std::iter::once(leaf).chain(intermediates).collect();
                Err(key::name_the_size(error, &chain))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        key::check_signature(message, certificate, signed, Version::Tls12, algorithms, self.is_lenient())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        key::check_signature(message, certificate, signed, Version::Tls13, algorithms, self.is_lenient())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        if self.is_lenient() {
            // Otherwise a server whose key supports no other scheme ends the handshake.
            schemes.extend(UNCHECKED);
        }
        schemes
    }
}

/// Verifies the dates, and the name if there is one: by the alternative names of the certificate, or by its common name if it has
/// no alternative names.
fn check_by_hand(
    leaf: &CertificateDer<'_>,
    name: Option<&ServerName<'_>>,
    now: UnixTime,
) -> Result<(), Error> {
    let bad = |_| Error::from(CertificateError::BadEncoding);
    let fields = Fields::of(leaf).map_err(bad)?;
    let validity: Validity = fields.validity.decode_as().map_err(bad)?;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    let Some(name) = name else { return Ok(()) };
    let wanted = name.to_str();
    let matches = match alternative_names(&fields).map_err(bad)? {
        Some(SubjectAltName(names)) => names.iter().any(|known| match known {
            GeneralName::DnsName(pattern) => name_matches(pattern.as_str(), &wanted),
            GeneralName::IpAddress(bytes) => address_matches(bytes.as_bytes(), name),
            _ => false,
        }),
        None => {
            let subject: Name = fields.subject.decode_as().map_err(bad)?;
            common_names(&subject).iter().any(|pattern| name_matches(pattern, &wanted))
        }
    };
    if matches { Ok(()) } else { Err(CertificateError::NotValidForName.into()) }
}

fn alternative_names(fields: &Fields<'_>) -> der::Result<Option<SubjectAltName>> {
    let Some(extensions) = fields.extensions()? else { return Ok(None) };
    let extensions: Extensions = extensions.decode_as()?;
    let names = extensions.iter().find(|extension| extension.extn_id == SubjectAltName::OID);
    names.map(|names| SubjectAltName::from_der(names.extn_value.as_bytes())).transpose()
}

/// Compares names as RFC 6125 section 6.4 says: without regard to case, and a star stands for the whole leftmost label.
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
fn common_names(subject: &Name) -> Vec<String> {
    const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
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

/// Signature schemes that cannot be verified here, offered only where every certificate is trusted: P-521, Ed448, RSA keys for
/// PSS alone, SHA-1.
const UNCHECKED: [SignatureScheme; 7] = [
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED448,
    SignatureScheme::Unknown(0x0809),
    SignatureScheme::Unknown(0x080a),
    SignatureScheme::Unknown(0x080b),
    SignatureScheme::RSA_PKCS1_SHA1,
    SignatureScheme::ECDSA_SHA1_Legacy,
];

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
