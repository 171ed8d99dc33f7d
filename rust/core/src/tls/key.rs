//! The public keys that webpki does not handle: those of certificates that it cannot read, and those of unsupported sizes.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, SignatureScheme};
use x509_cert::der::asn1::{AnyRef, BitStringRef, UintRef};
use x509_cert::der::{self, Decode, Reader, SliceReader, Tag, Tagged};

use super::fields::{Fields, sequence};

/// The public key of a certificate.
struct PublicKey<'a> {
    /// The content of the `AlgorithmIdentifier`.
    algorithm: &'a [u8],
    bits: &'a [u8],
}

/// The error for an RSA key of an unsupported size.
#[derive(Debug)]
struct RsaSize(usize);

/// The result of checking a signature.
enum Signature {
    Right,
    Wrong,
    /// The signature cannot be checked, for this reason.
    Unknown(Error),
}

/// The version of TLS that a signature was made for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version {
    Tls12,
    Tls13,
}

/// Checks that the remote has the private key of its certificate. Unlike webpki, this reads only the public key, so it also accepts
/// certificates of X.509 version 1, for example. With `lenient`, a signature passes if its key is of a kind or size that cannot be checked
/// here.
pub(super) fn check_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    version: Version,
    algorithms: &WebPkiSupportedAlgorithms,
    lenient: bool,
) -> Result<HandshakeSignatureValid, Error> {
    let usual = match version {
        Version::Tls12 => verify_tls12_signature(message, certificate, signed, algorithms),
        Version::Tls13 => verify_tls13_signature(message, certificate, signed, algorithms),
    };
    let Err(error) = usual else { return usual };
    match look(message, certificate, signed, version, algorithms) {
        Signature::Right => Ok(HandshakeSignatureValid::assertion()),
        Signature::Unknown(_) if lenient => Ok(HandshakeSignatureValid::assertion()),
        Signature::Unknown(why) => Err(why),
        Signature::Wrong => Err(error),
    }
}

fn look(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    version: Version,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Signature {
    let Ok(key) = public_key(certificate) else { return Signature::Wrong };
    if let Some(bits) = key.rsa_bits().filter(|bits| !RSA_BITS.contains(bits)) {
        return Signature::Unknown(rsa_size(bits));
    }
    let known = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let Some((scheme, candidates)) = known else {
        return Signature::Unknown(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    };
    let candidates = match version {
        Version::Tls12 => candidates,
        // RFC 8446 section 4.2.3: the scheme names the curve, and PKCS #1 is for certificates only.
        Version::Tls13 if is_pkcs1(*scheme) => return Signature::Wrong,
        Version::Tls13 => &candidates[..1],
    };
    let mut matching = candidates
        .iter()
        .filter(|candidate| candidate.public_key_alg_id().as_ref() == key.algorithm)
        .peekable();
    if matching.peek().is_none() {
        // Either the key cannot make this kind of signature, or the kind of key is unknown.
        let is_known = algorithms.all.iter().any(|one| one.public_key_alg_id().as_ref() == key.algorithm);
        let why = CertificateError::Other(OtherError(Arc::new(UnknownKey)));
        return if is_known { Signature::Wrong } else { Signature::Unknown(why.into()) };
    }
    if matching.any(|one| one.verify_signature(key.bits, message, signed.signature()).is_ok()) {
        Signature::Right
    } else {
        Signature::Wrong
    }
}

fn is_pkcs1(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
    )
}

/// Replaces webpki's vague error about an RSA key of an unsupported size with one that names the size.
pub(super) fn name_the_size(error: Error, chain: &[&CertificateDer<'_>]) -> Error {
    #[expect(deprecated, reason = "a platform's verifier may still say it this way")]
    let vague = matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::BadSignature
                | CertificateError::UnsupportedSignatureAlgorithm
                | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        )
    );
    let odd = || {
        let keys = chain.iter().filter_map(|certificate| public_key(certificate).ok()?.rsa_bits());
        keys.into_iter().find(|bits| !RSA_BITS.contains(bits))
    };
    if vague && let Some(bits) = odd() { rsa_size(bits) } else { error }
}

/// Returns the size of an RSA key that cannot be used to sign; `None` for any other key.
pub(super) fn odd_private_rsa(key: &PrivateKeyDer<'_>) -> Option<usize> {
    let bits = match key {
        PrivateKeyDer::Pkcs1(key) => modulus_behind_version(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => pkcs8_modulus(key.secret_pkcs8_der()),
        _ => return None,
    };
    bits.ok().filter(|bits| !SIGNING_RSA_BITS.contains(bits))
}

impl PublicKey<'_> {
    fn rsa_bits(&self) -> Option<usize> {
        let kind = AnyRef::decode(&mut SliceReader::new(self.algorithm).ok()?).ok()?;
        if kind.tag() != Tag::ObjectIdentifier || kind.value() != RSA_ENCRYPTION {
            return None;
        }
        let key = AnyRef::decode(&mut SliceReader::new(self.bits).ok()?).ok()?;
        modulus_bits(&mut SliceReader::new(key.value()).ok()?).ok()
    }
}

fn public_key<'a>(certificate: &'a CertificateDer<'_>) -> der::Result<PublicKey<'a>> {
    let key = Fields::of(certificate)?.public_key;
    let mut parts = SliceReader::new(key.value())?;
    let algorithm = sequence(&mut parts)?.value();
    let bits = BitStringRef::decode(&mut parts)?;
    let bits = bits.as_bytes().ok_or_else(|| Tag::BitString.value_error())?;
    Ok(PublicKey { algorithm, bits })
}

fn pkcs8_modulus(der: &[u8]) -> der::Result<usize> {
    let outer = AnyRef::decode(&mut SliceReader::new(der)?)?;
    let mut fields = SliceReader::new(outer.value())?;
    AnyRef::decode(&mut fields)?;
    let algorithm = sequence(&mut fields)?;
    let kind = AnyRef::decode(&mut SliceReader::new(algorithm.value())?)?;
    if kind.value() != RSA_ENCRYPTION {
        return Err(kind.tag().value_error());
    }
    modulus_behind_version(AnyRef::decode(&mut fields)?.value())
}

/// Reads an `RSAPrivateKey` (RFC 8017 appendix A.1.2).
fn modulus_behind_version(der: &[u8]) -> der::Result<usize> {
    let outer = AnyRef::decode(&mut SliceReader::new(der)?)?;
    let mut fields = SliceReader::new(outer.value())?;
    AnyRef::decode(&mut fields)?;
    modulus_bits(&mut fields)
}

fn modulus_bits<'a>(fields: &mut impl Reader<'a>) -> der::Result<usize> {
    let modulus = UintRef::decode(fields)?;
    let bytes = modulus.as_bytes();
    let leading = bytes.first().map_or(0, |first| first.leading_zeros() as usize);
    Ok(bytes.len() * 8 - leading)
}

fn rsa_size(bits: usize) -> Error {
    CertificateError::Other(OtherError(Arc::new(RsaSize(bits)))).into()
}

impl fmt::Display for RsaSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it or its chain has an RSA key of {} bits; {} to {} bits are supported",
            self.0,
            2048,
            RSA_BITS.end()
        )
    }
}

impl std::error::Error for RsaSize {}

/// The error for a kind of key that is not supported.
#[derive(Debug)]
struct UnknownKey;

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its kind of key is not supported; RSA, P-256, P-384 and Ed25519 are")
    }
}

impl std::error::Error for UnknownKey {}

/// Sizes in bits of RSA keys whose signatures can be checked. The smallest size is one that ring rounds up to 2048.
const RSA_BITS: RangeInclusive<usize> = 2041..=8192;
/// Sizes in bits of RSA keys that can sign.
pub(super) const SIGNING_RSA_BITS: [usize; 3] = [2048, 3072, 4096];
/// 1.2.840.113549.1.1.1, as DER.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::sign::any_supported_type;
    use rustls::pki_types::pem::PemObject;
    use rustls::sign::{CertifiedKey, Signer, SigningKey};
    use rustls::version::{TLS12, TLS13};
    use rustls::{SignatureAlgorithm, SupportedProtocolVersion};

    use super::super::stream::tests::shake_hands;
    use super::super::{TlsClient, TlsServer, Trust, self_signed, server_config};
    use super::*;

    /// Signs with a key other than the certificate's.
    #[derive(Debug)]
    struct Impostor(SignatureScheme);

    impl SigningKey for Impostor {
        fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            offered.contains(&self.0).then(|| Box::new(Self(self.0)) as Box<dyn Signer>)
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            match self.0 {
                SignatureScheme::RSA_PSS_SHA256 | SignatureScheme::RSA_PKCS1_SHA256 => {
                    SignatureAlgorithm::RSA
                }
                _ => SignatureAlgorithm::ECDSA,
            }
        }
    }

    impl Signer for Impostor {
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
            Ok(vec![7; 128])
        }

        fn scheme(&self) -> SignatureScheme {
            self.0
        }
    }

    fn certificate(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")
    }

    fn private_key(pem: &str) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("PEM")
    }

    /// Returns the error of a client that connects to a server with this certificate and key.
    fn outcome(
        pem: &str,
        key: Arc<dyn SigningKey>,
        version: &'static SupportedProtocolVersion,
        trust: Trust<'_>,
    ) -> Result<(), String> {
        let identity = CertifiedKey::new(vec![certificate(pem)], key);
        let config = server_config(identity, &[version]).expect("usable");
        let server = TlsServer { config: Arc::new(std::sync::Mutex::new(config)) };
        let client = TlsClient::new(trust, None).expect("usable");
        let mut client = client.session("localhost").expect("a name");
        let mut server = server.session().expect("usable");
        shake_hands(&mut client, &mut server).map_err(|error| client.failure(&error).to_string())
    }

    #[test]
    fn without_verification_every_kind_of_certificate_passes() {
        let rsa = SignatureScheme::RSA_PSS_SHA256;
        let p521 = SignatureScheme::ECDSA_NISTP521_SHA512;
        // No signature of these kinds can be made here; a client that trusts every certificate accepts any.
        for (pem, scheme, said) in
            [(RSA1024, rsa, "RSA key of 1024 bits"), (P521, p521, "accepts no signature that the key")]
        {
            assert_eq!(outcome(pem, Arc::new(Impostor(scheme)), &TLS13, Trust::Anybody), Ok(()), "{said}");
            let why = outcome(pem, Arc::new(Impostor(scheme)), &TLS13, Trust::Only(pem)).expect_err(said);
            assert!(why.contains(said), "{why}");
        }
        let pkcs1 = Arc::new(Impostor(SignatureScheme::RSA_PKCS1_SHA256));
        assert_eq!(outcome(RSA1024, pkcs1, &TLS12, Trust::Anybody), Ok(()));
    }

    #[test]
    fn the_signature_of_a_key_that_can_be_checked_is_checked_for_everybody() {
        let (_, ordinary) = self_signed("localhost");
        for version in [&TLS12, &TLS13] {
            for (pem, scheme) in [
                (RSA2056, SignatureScheme::RSA_PSS_SHA256),
                (RSA8192, SignatureScheme::RSA_PSS_SHA256),
                (VERSION1, SignatureScheme::ECDSA_NISTP256_SHA256),
                (&ordinary, SignatureScheme::ECDSA_NISTP256_SHA256),
            ] {
                for trust in [Trust::Anybody, Trust::Only(pem), Trust::OnlyAnyName(pem)] {
                    let why = outcome(pem, Arc::new(Impostor(scheme)), version, trust);
                    assert!(why.is_err(), "{version:?} {scheme:?} {trust:?}: an impostor is let in");
                }
            }
        }
    }

    #[test]
    fn a_certificate_of_version_1_passes_where_it_is_named_or_nobody_asks() {
        let key = any_supported_type(&private_key(VERSION1_KEY)).expect("P-256");
        let (_, other) = self_signed("localhost");
        for version in [&TLS12, &TLS13] {
            for trust in [Trust::Anybody, Trust::Only(VERSION1), Trust::OnlyAnyName(VERSION1)] {
                assert_eq!(
                    outcome(VERSION1, Arc::clone(&key), version, trust),
                    Ok(()),
                    "{version:?} {trust:?}"
                );
            }
            let why =
                outcome(VERSION1, Arc::clone(&key), version, Trust::Only(&other)).expect_err("a stranger");
            assert!(why.contains("version 1"), "{why}");
        }
    }

    #[test]
    fn sizes_of_keys_are_read() {
        for (pem, bits) in [(RSA1024, Some(1024)), (RSA2056, Some(2056)), (RSA8192, Some(8192)), (P521, None)]
        {
            let certificate = certificate(pem);
            assert_eq!(public_key(&certificate).expect("a certificate").rsa_bits(), bits);
        }
        for (pem, bits) in [(RSA1024_KEY, 1024), (RSA2056_KEY, 2056), (RSA8192_KEY, 8192)] {
            assert_eq!(odd_private_rsa(&private_key(pem)), Some(bits));
        }
        assert_eq!(odd_private_rsa(&private_key(RSA2048_KEY)), None);
        assert_eq!(odd_private_rsa(&private_key(RSA2048_TRADITIONAL_KEY)), None);
        assert_eq!(odd_private_rsa(&private_key(VERSION1_KEY)), None);
    }

    #[test]
    fn a_servers_key_of_an_odd_size_is_named() {
        for (key, pem, bits) in
            [(RSA1024_KEY, RSA1024, 1024), (RSA2056_KEY, RSA2056, 2056), (RSA8192_KEY, RSA8192, 8192)]
        {
            let why = TlsServer::new(key, pem, "").expect_err("it cannot sign").to_string();
            assert!(why.contains(&format!("RSA with {bits} bits")) && why.contains("2048"), "{why}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_key() {
        let whole = certificate(VERSION1);
        assert!(public_key(&whole).is_ok());
        for size in 0..whole.len() {
            assert!(public_key(&CertificateDer::from(&whole[..size])).is_err(), "cut at {size}");
        }
    }

    const RSA1024: &str = include_str!("../../../../tests/engine/tls/odd/rsa1024.crt");
    const RSA1024_KEY: &str = include_str!("../../../../tests/engine/tls/odd/rsa1024.key");
    const RSA2056: &str = include_str!("../../../../tests/engine/tls/odd/rsa2056.crt");
    const RSA2056_KEY: &str = include_str!("../../../../tests/engine/tls/odd/rsa2056.key");
    const RSA8192: &str = include_str!("../../../../tests/engine/tls/odd/rsa8192.crt");
    const RSA8192_KEY: &str = include_str!("../../../../tests/engine/tls/odd/rsa8192.key");
    const VERSION1: &str = include_str!("../../../../tests/engine/tls/odd/version1.crt");
    const VERSION1_KEY: &str = include_str!("../../../../tests/engine/tls/odd/version1.key");
    const P521: &str = include_str!("../../../../tests/engine/tls/p521.crt");
    const RSA2048_KEY: &str = include_str!("../../../../tests/engine/tls/rsa.pkcs8.key");
    const RSA2048_TRADITIONAL_KEY: &str = include_str!("../../../../tests/engine/tls/rsa.traditional.key");
}
