//! Converts the engine's keys, certificates and TLS options to PEM for the core.

use std::sync::atomic::{AtomicBool, Ordering};

use godot::builtin::GString;
use godot::classes::{CryptoKey, Engine, FileAccess, ProjectSettings, TlsOptions, X509Certificate};
use godot::obj::{Gd, Singleton};
use websocket_multiplayer_core::{TlsClient, TlsError, TlsServer, Trust, Url};

use crate::report::warning;

/// The trust settings of a client that connects to this URL; `None` without TLS.
///
/// Like all functions of this file it can make the engine print a line, which can run a script: nothing may be borrowed.
pub(crate) fn for_url(
    url: &str,
    trust: impl FnOnce() -> Result<TlsClient, TlsError>,
) -> Option<Result<TlsClient, TlsError>> {
    Url::parse(url).is_ok_and(|url| url.secure).then(trust)
}

/// The key and certificates of a server.
pub(crate) struct Identity {
    pub(crate) private_key: Option<Gd<CryptoKey>>,
    pub(crate) ssl_certificate: Option<Gd<X509Certificate>>,
    pub(crate) ca_chain: Option<Gd<X509Certificate>>,
}

impl Identity {
    /// Reads the key and the certificates; returns `None` (no TLS) unless both are set. Nothing may be borrowed: the engine may print a
    /// line about a file that it cannot read.
    pub(crate) fn read(&self) -> Result<Option<TlsServer>, TlsError> {
        match (&self.private_key, &self.ssl_certificate) {
            (Some(key), Some(certificate)) => server(key, certificate, self.ca_chain.as_ref()).map(Some),
            _ => Ok(None),
        }
    }
}

/// Makes a server's identity from the 3.x properties.
pub(crate) fn server(
    key: &Gd<CryptoKey>,
    certificate: &Gd<X509Certificate>,
    chain: Option<&Gd<X509Certificate>>,
) -> Result<TlsServer, TlsError> {
    TlsServer::new(&key_pem(key), &pem(certificate)?, &chain_pem(chain)?)
}

/// Replaces a server's identity for new connections.
pub(crate) fn replace(
    server: &TlsServer,
    key: &Gd<CryptoKey>,
    certificate: &Gd<X509Certificate>,
    chain: Option<&Gd<X509Certificate>>,
) -> Result<(), TlsError> {
    server.replace(&key_pem(key), &pem(certificate)?, &chain_pem(chain)?)
}

/// Makes a server's identity from `TLSOptions.server()`.
pub(crate) fn server_options(options: &Gd<TlsOptions>) -> Result<TlsServer, TlsError> {
    let key = options.get_private_key().map(|key| key_pem(&key)).unwrap_or_default();
    let certificate = chain_pem(options.get_own_certificate().as_ref())?;
    TlsServer::new(&key, &certificate, "")
}

/// The trust settings of a client, from the 3.x properties. As in 3.x, the trusted certificate is ignored without verification.
pub(crate) fn client(verify: bool, trusted: Option<&Gd<X509Certificate>>) -> Result<TlsClient, TlsError> {
    if verify { trusting(trusted, "") } else { crate::entry::runtime().tls_client(Trust::Anybody, None) }
}

/// The trust settings of a client, from `TLSOptions.client()` or `TLSOptions.client_unsafe()`.
pub(crate) fn client_options(options: &Gd<TlsOptions>) -> Result<TlsClient, TlsError> {
    let trusted = options.get_trusted_ca_chain();
    if !options.is_unsafe_client() {
        return trusting(trusted.as_ref(), &options.get_common_name_override().to_string());
    }
    let runtime = crate::entry::runtime();
    match trusted {
        // As in the engine, with a chain only the host name is not checked.
        Some(trusted) => runtime.tls_client(Trust::OnlyAnyName(&pem(&trusted)?), None),
        None => runtime.tls_client(Trust::Anybody, None),
    }
}

fn trusting(trusted: Option<&Gd<X509Certificate>>, name: &str) -> Result<TlsClient, TlsError> {
    let name = (!name.is_empty()).then_some(name);
    let runtime = crate::entry::runtime();
    match trusted {
        Some(trusted) => runtime.tls_client(Trust::Only(&pem(trusted)?), name),
        None => match bundle_override() {
            Some(bundle) => runtime.tls_client(Trust::Only(&bundle), name),
            None => runtime.tls_client(Trust::Platform, name),
        },
    }
}

/// The project's own list of trusted certificates, which replaces the platform's list, as in the engine.
fn bundle_override() -> Option<String> {
    let path =
        ProjectSettings::singleton().get_setting_with_override(BUNDLE_OVERRIDE).try_to::<GString>().ok()?;
    if path.is_empty() {
        return None;
    }
    let text = FileAccess::get_file_as_string(&path).to_string();
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        if WARNED.swap(true, Ordering::Relaxed) {
            return None;
        }
        warning(&format!(
            "WebSocket: project setting {BUNDLE_OVERRIDE} is {path}, in which there are no certificates. Using the certificates that the \
             platform trusts."
        ));
        return None;
    }
    Some(text)
}

fn key_pem(key: &Gd<CryptoKey>) -> String {
    key.clone().save_to_string().to_string()
}

/// The PEM text of an optional chain; empty if there is none.
fn chain_pem(chain: Option<&Gd<X509Certificate>>) -> Result<String, TlsError> {
    chain.map_or_else(|| Ok(String::new()), pem)
}

/// The PEM text of all certificates of an object. Engines up to 4.6 return the first certificate as often as there are certificates, so
/// the others are read from the file of the resource.
fn pem(certificate: &Gd<X509Certificate>) -> Result<String, TlsError> {
    let text = quietly_saved(certificate);
    let given = blocks(&text);
    let is_whole = given.len() < 2 || given.iter().any(|one| *one != given[0]);
    if is_whole {
        return Ok(text);
    }
    let path = certificate.get_path();
    let file =
        if path.is_empty() { String::new() } else { FileAccess::get_file_as_string(&path).to_string() };
    let found = blocks(&file);
    if found.len() == given.len() && found[0] == given[0] {
        return Ok(file);
    }
    Err(TlsError::new(format!(
        "the X509Certificate holds {} certificates, and this engine hands out only the first; load the file with \
         load(\"res://...crt\"), or set the object's resource_path to it, or put the further ones into ca_chain",
        given.len()
    )))
}

/// The text of `save_to_string()`. Engines up to 4.6 take the zero byte at its end for a part of the text, and print "Unicode parsing error"
/// for each certificate, which looks like a broken certificate and is none.
fn quietly_saved(certificate: &Gd<X509Certificate>) -> String {
    let mut certificate = certificate.clone();
    let mut engine = Engine::singleton();
    let prints_errors = engine.is_printing_error_messages();
    engine.set_print_error_messages(false);
    let text = certificate.save_to_string().to_string();
    engine.set_print_error_messages(prints_errors);
    // An empty object: the engine says why it has no text.
    if blocks(&text).is_empty() { certificate.save_to_string().to_string() } else { text }
}

/// The base64 text of each certificate, without white space.
fn blocks(pem: &str) -> Vec<String> {
    let parts = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    let inside = parts.filter_map(|part| part.split_once("-----END CERTIFICATE-----"));
    inside.map(|(inside, _)| inside.split_whitespace().collect()).collect()
}

/// The warning is printed once, not for each attempt to connect.
static WARNED: AtomicBool = AtomicBool::new(false);

const BUNDLE_OVERRIDE: &str = "network/tls/certificate_bundle_override";
