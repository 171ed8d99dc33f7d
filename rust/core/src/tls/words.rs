//! Explains failures of TLS in words, with the likely cause.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::wire::proxy_protocol::{self, is_proxy_protocol};

/// The role of the remote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remote {
    Server,
    Client,
}

impl Remote {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "the server",
            Self::Client => "the client",
        }
    }
}

/// Explains why TLS failed. `first` are the first bytes of the remote.
pub(super) fn explain(error: &Error, remote: Remote, first: &[u8]) -> String {
    match error {
        Error::InvalidCertificate(problem) => certificate(problem),
        Error::InvalidMessage(_) if !looks_like_tls(first) => not_tls(remote, first),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => not_tls(remote, first),
        Error::AlertReceived(alert) => self::alert(*alert, remote),
        Error::PeerIncompatible(what) => incompatible(what, remote),
        Error::NoApplicationProtocol => no_application_protocol(remote),
        Error::NoCertificatesPresented => format!("{} presented no certificate", remote.name()),
        other => format!("TLS failed: {other}"),
    }
}

/// The same for errors before there is a remote.
pub(super) fn explain_setup(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(problem) => certificate(problem),
        other => format!("TLS cannot be set up: {other}"),
    }
}

/// Explains that the remote ended the connection during the handshake, without an alert.
pub(super) fn ended(remote: Remote, first: &[u8]) -> String {
    let who = remote.name();
    let cause = match remote {
        Remote::Server if first.is_empty() => "; it may not speak TLS on this port (ws://)",
        Remote::Server => "",
        Remote::Client => "; a browser does so when it does not trust the certificate",
    };
    format!("{who} ended the connection during the TLS handshake{cause}")
}

fn certificate(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet; is this machine's clock right?".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another host name".into()
        }
        CertificateError::UnknownIssuer => {
            "the certificate comes from an unknown issuer; trust it by name if it is yours".into()
        }
        CertificateError::BadSignature => "the certificate's signature is wrong".into(),
        CertificateError::Revoked => "the certificate was revoked".into(),
        CertificateError::BadEncoding => "the certificate cannot be read".into(),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the certificate is signed in a way that is not accepted; SHA-256, SHA-384 and SHA-512 with RSA, P-256, P-384 \
             or Ed25519 are"
                .into()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not meant for servers".into()
        }
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            // webpki's error for a self-signed certificate as the engine makes them, if it is not one of the trusted certificates.
            "CaUsedAsEndEntity" => {
                "the certificate is self-signed and not the one that is trusted (unknown issuer)".into()
            }
            "UnsupportedCertVersion" => "the certificate is of X.509 version 1; it must be of version 3, or be the very \
                                         certificate that is trusted"
                .into(),
            why => format!("the certificate is not accepted: {why}"),
        },
        other => format!("the certificate is not accepted: {other}"),
    }
}

fn alert(alert: AlertDescription, remote: Remote) -> String {
    use AlertDescription as Alert;
    let who = remote.name();
    match (alert, remote) {
        (Alert::HandshakeFailure, Remote::Server) => format!(
            "{who} has no cipher, key exchange or signature in common with us; it may want older ones than TLS 1.2 with \
             ECDHE and AES-GCM, have a key on P-521, or want a certificate from its clients"
        ),
        (Alert::HandshakeFailure, Remote::Client) => format!(
            "{who} has no cipher, key exchange or signature in common with us; TLS 1.2 with ECDHE and AES-GCM or later is \
             needed"
        ),
        (Alert::InsufficientSecurity, _) => format!("{who} requires stronger ciphers than those in common"),
        (Alert::ProtocolVersion, _) => format!("{who} supports neither TLS 1.2 nor TLS 1.3"),
        (Alert::InappropriateFallback, _) => format!("{who} speaks a later version of TLS than was used"),
        (Alert::NoApplicationProtocol, _) => no_application_protocol(remote),
        (Alert::UnrecognisedName, _) => format!("{who} has no certificate for this host name"),
        (Alert::CertificateRequired, _) => {
            format!("{who} wants a certificate from its clients, which is not supported")
        }
        (Alert::UnknownCA, Remote::Client) => format!(
            "{who} does not trust our certificate (unknown issuer); it has to be told to trust it, or the certificates \
             between it and a known authority are missing (ca_chain)"
        ),
        (Alert::UnknownCA, Remote::Server) => {
            format!("{who} does not trust our certificate (unknown issuer)")
        }
        (Alert::CertificateExpired, _) => {
            format!("{who} says that our certificate has expired, or is not valid yet")
        }
        (Alert::CertificateRevoked, _) => format!("{who} says that our certificate was revoked"),
        (Alert::UnsupportedCertificate, _) => {
            format!("{who} does not accept our certificate: its kind or its purpose")
        }
        (Alert::BadCertificate, Remote::Client) => {
            format!("{who} does not accept our certificate: it may be for another host name")
        }
        (Alert::BadCertificate | Alert::CertificateUnknown, _) => {
            format!("{who} does not accept our certificate")
        }
        (Alert::AccessDenied, _) => format!("{who} does not let us in"),
        (
            Alert::DecodeError
            | Alert::DecryptError
            | Alert::DecryptionFailed
            | Alert::BadRecordMac
            | Alert::RecordOverflow
            | Alert::IllegalParameter
            | Alert::UnexpectedMessage
            | Alert::MissingExtension
            | Alert::UnsupportedExtension,
            _,
        ) => format!(
            "{who} could not make sense of our part of TLS ({alert:?}); something in between may change it"
        ),
        (Alert::InternalError, _) => format!("{who} had an internal error in TLS; its log may say more"),
        (Alert::UserCanceled, _) => format!("{who} gave up the TLS handshake"),
        (other, _) => format!("{who} ended TLS: {other:?}"),
    }
}

fn incompatible(what: &PeerIncompatible, remote: Remote) -> String {
    let who = remote.name();
    match what {
        PeerIncompatible::NoCipherSuitesInCommon => format!(
            "{who} has no cipher in common with us; TLS 1.2 with ECDHE and AES-GCM or ChaCha20, or later, is needed"
        ),
        PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::NamedGroupsExtensionRequired => {
            format!("{who} has no key exchange in common with us; X25519, P-256 or P-384 is needed")
        }
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
            format!("{who} accepts no signature that the key of our certificate can make")
        }
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => format!("{who} supports neither TLS 1.2 nor TLS 1.3"),
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            format!("{who} wants a certificate from its clients, which is not supported")
        }
        other => format!("{who} speaks TLS in a way that is not supported ({other:?})"),
    }
}

fn no_application_protocol(remote: Remote) -> String {
    match remote {
        Remote::Server => {
            "the server does not accept http/1.1 as application protocol (ALPN); it may speak HTTP/2 only"
                .into()
        }
        Remote::Client => "the client offers other application protocols (ALPN) than http/1.1".into(),
    }
}

/// Compares the first byte of a record (RFC 8446 section 5.1), and the major version.
fn looks_like_tls(first: &[u8]) -> bool {
    matches!(first, [20..=24] | [20..=24, 3, ..])
}

fn not_tls(remote: Remote, first: &[u8]) -> String {
    let http = |names: &[&[u8]]| names.iter().any(|name| first.starts_with(name));
    match remote {
        Remote::Server if http(&[b"HTTP/"]) => {
            "the server does not speak TLS: it answered in plain HTTP (ws:// instead of wss://?)".into()
        }
        Remote::Client if is_proxy_protocol(first) => {
            format!("the client does not speak TLS: {}", proxy_protocol::UNEXPECTED)
        }
        Remote::Client
            if http(&[b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"DELETE "]) =>
        {
            "the client does not speak TLS: it asked in plain HTTP (ws:// instead of wss://?)".into()
        }
        _ => format!("{} does not speak TLS", remote.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alert_has_words() {
        for code in 0..=255 {
            let alert = AlertDescription::from(code);
            for remote in [Remote::Server, Remote::Client] {
                let text = explain(&Error::AlertReceived(alert), remote, b"\x15\x03\x03");
                assert!(text.starts_with(remote.name()) || alert == AlertDescription::NoApplicationProtocol);
                assert!(!text.contains('\n') && !text.contains("  "), "{text}");
            }
        }
    }

    #[test]
    fn what_is_not_tls_is_named() {
        let error = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        for (remote, first, expected) in [
            (Remote::Server, &b"HTTP/1.1"[..], "plain HTTP"),
            (Remote::Server, b"SSH-2.0-", "the server does not speak TLS"),
            (Remote::Client, b"GET / HT", "plain HTTP"),
            (Remote::Client, b"OPTIONS ", "plain HTTP"),
            (Remote::Client, b"PROXY TC", "PROXY protocol"),
            (Remote::Client, b"\r\n\r\n\0\r\nQ", "PROXY protocol"),
            (Remote::Client, b"\x80.\x01\x03", "the client does not speak TLS"),
        ] {
            let text = explain(&error, remote, first);
            assert!(text.contains(expected) && text.contains("does not speak TLS"), "{text}");
        }
    }
}
