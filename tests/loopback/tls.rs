//! Encrypted connections, and every way in which they fail.

#[cfg(target_os = "linux")]
use std::fs;
use std::io::Write;
use std::net::TcpStream;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SerialNumber, date_time_ymd};
use websocket_multiplayer_core::{
    ClientConfig, Delivery, PeerId, Runtime, ServerConfig, Status, Target, TlsServer, Trust, Url,
};
use x509_cert::der::pem;

use crate::support::{TestPeer, client, client_config, eventually, multiplayer, server, server_with};

/// A certificate as the engine's `Crypto.generate_self_signed_certificate` makes it: a CA, with a common name only.
pub(crate) fn engine_like(name: &str, until: i32) -> (String, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serial_number = Some(SerialNumber::from(vec![0x40; 20]));
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2014, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    signed(params)
}

/// A certificate as certificate authorities make them.
fn ordinary(name: &str) -> (String, String) {
    signed(CertificateParams::new(vec![name.to_owned()]).expect("a name"))
}

fn signed(params: CertificateParams) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    (key.serialize_pem(), certificate.pem())
}

fn tls_server(runtime: &Arc<Runtime>, (key, certificate): &(String, String)) -> TestPeer {
    let tls = TlsServer::new(key, certificate, "").expect("a usable certificate");
    server_with(runtime, ServerConfig { peer: multiplayer(), tls: Some(tls), ..ServerConfig::default() })
}

pub(crate) fn tls_client(
    runtime: &Arc<Runtime>,
    port: u16,
    host: &str,
    trust: Trust<'_>,
    name: Option<&str>,
) -> TestPeer {
    let mut client =
        TestPeer { peer: websocket_multiplayer_core::Peer::new(Arc::clone(runtime)), events: Vec::new() };
    let url = Url::parse(&format!("wss://{host}:{port}/")).expect("a valid URL");
    let tls = Some(runtime.tls_client(trust, name).expect("usable"));
    client.peer.connect(ClientConfig { url, tls, ..client_config(port, multiplayer()) }).expect("it starts");
    client
}

/// Polls until the client is connected or has failed. Returns the reason of a failure.
fn outcome(server: &mut TestPeer, client: &mut TestPeer) -> Result<(), String> {
    eventually("the client is in or not", || {
        server.poll();
        client.poll();
        client.peer.status() != Status::Connecting
    });
    if client.peer.status() == Status::Connected { Ok(()) } else { Err(client.peer.last_error()) }
}

#[test]
fn packets_pass_through_tls_both_ways() {
    let runtime = Runtime::new();
    let identity = engine_like("localhost", 2034);
    let mut server = tls_server(&runtime, &identity);
    let mut client =
        tls_client(&runtime, server.peer.local_port(), "localhost", Trust::Only(&identity.1), None);
    assert_eq!(outcome(&mut server, &mut client), Ok(()));
    let id = PeerId(client.peer.unique_id());
    let sizes = [1, 100, 16_384, 16_385, 65_536, 3];
    for size in sizes {
        client.peer.send(Target::One(PeerId(1)), &vec![size as u8; size], Delivery::Reliable).expect("room");
        eventually("the server is in", || {
            server.poll();
            server.peer.has_peer(id)
        });
        server.peer.send(Target::All, &vec![size as u8; size], Delivery::Reliable).expect("room");
    }
    let (mut up, mut down) = (Vec::new(), Vec::new());
    eventually("all packets", || {
        server.poll();
        client.poll();
        up.extend(server.packets());
        down.extend(client.packets());
        up.len() == sizes.len() && down.len() == sizes.len()
    });
    for (at, size) in sizes.into_iter().enumerate() {
        assert!(
            up[at] == (id, vec![size as u8; size]) && down[at] == (PeerId(1), vec![size as u8; size]),
            "{size}"
        );
    }
    assert!(server.peer.peer(id).expect("connected").requested_url().starts_with("wss://localhost:"));
    // The end was clean.
    client.peer.close();
    eventually("the server hears of it", || {
        server.poll();
        server.connected_ids().is_empty()
    });
    assert!(
        server.events.iter().any(|event| format!("{event:?}").contains("clean: true")),
        "{:?}",
        server.events
    );
}

/// As one in 512 that the engine makes: the first byte of its serial number is a zero that DER forbids. Its own signature, which is wrong here,
/// is not verified, because the client trusts exactly this certificate.
#[test]
fn a_certificate_with_a_wrong_serial_number_serves() {
    let runtime = Runtime::new();
    let (key, certificate) = engine_like("localhost", 2034);
    let (label, mut der) = pem::decode_vec(certificate.as_bytes()).expect("a certificate");
    let tag = der.windows(2).position(|bytes| bytes == [0x02, 20]).expect("a serial number of 20 bytes");
    der[tag + 2..tag + 4].copy_from_slice(&[0, 0x40]);
    let identity = (key, pem::encode_string(label, pem::LineEnding::LF, &der).expect("it fits"));
    let mut server = tls_server(&runtime, &identity);
    let port = server.peer.local_port();
    let mut client = tls_client(&runtime, port, "localhost", Trust::Only(&identity.1), None);
    assert_eq!(outcome(&mut server, &mut client), Ok(()));
    let mut client = tls_client(&runtime, port, "127.0.0.1", Trust::Only(&identity.1), None);
    assert_eq!(outcome(&mut server, &mut client), Err("the certificate is for another host name".into()));
}

#[test]
fn who_is_not_trusted_is_refused_in_words() {
    let runtime = Runtime::new();
    let right = engine_like("game.example", 2034);
    let other = engine_like("game.example", 2034);
    let expired = engine_like("game.example", 2020);
    let plain_name = ordinary("game.example");
    let name = Some("game.example");
    for (identity, trust, name, expected) in [
        (&right, Trust::Only(&right.1), name, ""),
        (&right, Trust::Only(&right.1), None, "another host name"),
        (&right, Trust::Only(&other.1), name, "unknown issuer"),
        (&right, Trust::Only(&plain_name.1), name, "unknown issuer"),
        (&right, Trust::OnlyAnyName(&right.1), None, ""),
        (&right, Trust::OnlyAnyName(&other.1), None, "unknown issuer"),
        (&right, Trust::OnlyAnyName(&plain_name.1), name, "unknown issuer"),
        (&expired, Trust::OnlyAnyName(&expired.1), None, "expired"),
        (&plain_name, Trust::OnlyAnyName(&plain_name.1), None, ""),
        (&right, Trust::Platform, name, "unknown issuer"),
        (&right, Trust::Anybody, None, ""),
        (&expired, Trust::Only(&expired.1), name, "expired"),
        (&expired, Trust::Anybody, name, ""),
        (&plain_name, Trust::Only(&plain_name.1), name, ""),
        (&plain_name, Trust::Only(&plain_name.1), Some("evil.example"), "another host name"),
    ] {
        let mut server = tls_server(&runtime, identity);
        let mut client = tls_client(&runtime, server.peer.local_port(), "127.0.0.1", trust, name);
        match outcome(&mut server, &mut client) {
            Ok(()) => assert_eq!(expected, "", "{trust:?} {name:?} was let in"),
            Err(why) => assert!(
                !expected.is_empty() && why.contains(expected),
                "{name:?}: {why}, expected {expected:?}"
            ),
        }
    }
}

/// Returns a root certificate, and a key with its certificate for `localhost` that the root has signed.
fn rooted() -> (String, (String, String)) {
    let root_key = KeyPair::generate().expect("a key");
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "A root");
    let root_certificate = root.self_signed(&root_key).expect("a certificate").pem();
    let issuer = rcgen::Issuer::new(root, root_key);
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()])
        .expect("a name")
        .signed_by(&key, &issuer)
        .expect("signed");
    (root_certificate, (key.serialize_pem(), leaf.pem()))
}

#[test]
fn a_chain_leads_to_a_trusted_root() {
    let (root, identity) = rooted();
    let runtime = Runtime::new();
    let mut server = tls_server(&runtime, &identity);
    let port = server.peer.local_port();
    let mut client = tls_client(&runtime, port, "localhost", Trust::Only(&root), None);
    assert_eq!(outcome(&mut server, &mut client), Ok(()));
    // The certificate is for another name, which matters or not.
    let mut client = tls_client(&runtime, port, "127.0.0.1", Trust::Only(&root), None);
    let why = outcome(&mut server, &mut client).expect_err("the name is wrong");
    assert!(why.contains("another host name"), "{why}");
    let mut client = tls_client(&runtime, port, "127.0.0.1", Trust::OnlyAnyName(&root), None);
    assert_eq!(outcome(&mut server, &mut client), Ok(()));
    let (stranger, _) = rooted();
    let mut client = tls_client(&runtime, port, "localhost", Trust::OnlyAnyName(&stranger), None);
    let why = outcome(&mut server, &mut client).expect_err("another authority");
    assert!(why.contains("unknown issuer") || why.contains("signature"), "{why}");
}

/// The environment can name the root certificates of a Linux system, so this test needs a process of its own.
#[cfg(target_os = "linux")]
#[test]
fn the_platforms_roots_are_trusted() {
    let (root, identity) = rooted();
    let folder = std::env::temp_dir().join(format!("websocket-roots-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for temporary files");
    for (name, pem) in [("root.pem", &root), ("key.pem", &identity.0), ("leaf.pem", &identity.1)] {
        fs::write(folder.join(name), pem).expect("a temporary file");
    }
    let output = Command::new(std::env::current_exe().expect("this test's program"))
        .args(["--exact", "--ignored", "tls::in_a_process_with_its_own_roots", "--nocapture"])
        .env("SSL_CERT_FILE", folder.join("root.pem"))
        .env(FOLDER, &folder)
        .output()
        .expect("the process starts");
    fs::remove_dir_all(&folder).expect("the folder can go");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[cfg(target_os = "linux")]
const FOLDER: &str = "WEBSOCKET_TEST_ROOTS";

#[cfg(target_os = "linux")]
#[test]
#[ignore = "only as the other half of the_platforms_roots_are_trusted"]
fn in_a_process_with_its_own_roots() {
    let Some(folder) =
        std::env::var_os(FOLDER).filter(|folder| folder != "none").map(std::path::PathBuf::from)
    else {
        return; // All ignored tests run, so the other half runs on its own.
    };
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("written by the other half");
    let runtime = Runtime::new();
    let mut server = tls_server(&runtime, &(read("key.pem"), read("leaf.pem")));
    let port = server.peer.local_port();
    let mut client = tls_client(&runtime, port, "localhost", Trust::Platform, None);
    assert_eq!(outcome(&mut server, &mut client), Ok(()));
    // A root is trusted only for the names in the certificate.
    let mut client = tls_client(&runtime, port, "127.0.0.1", Trust::Platform, None);
    let why = outcome(&mut server, &mut client).expect_err("the name is wrong");
    assert!(why.contains("another host name"), "{why}");
}

/// As in a container without the package of certificates, or if the environment names a missing file.
#[cfg(target_os = "linux")]
#[test]
fn without_the_platforms_roots_a_built_in_list_serves() {
    let output = Command::new(std::env::current_exe().expect("this test's program"))
        .args(["--exact", "--ignored", "tls::in_a_process_without_roots", "--nocapture"])
        .envs([("SSL_CERT_FILE", "/nonexistent/file"), ("SSL_CERT_DIR", "/nonexistent/folder")])
        .env(FOLDER, "none")
        .output()
        .expect("the process starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A logger that counts the warnings about it.
#[cfg(target_os = "linux")]
struct Warnings(AtomicUsize);

#[cfg(target_os = "linux")]
impl log::Log for Warnings {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.level() <= log::Level::Warn && record.args().to_string().contains("ca-certificates") {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn flush(&self) {}
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "only as the other half of without_the_platforms_roots_a_built_in_list_serves"]
fn in_a_process_without_roots() {
    static WARNINGS: Warnings = Warnings(AtomicUsize::new(0));
    if std::env::var_os(FOLDER).is_none_or(|folder| folder != "none") {
        return; // All ignored tests run, so the other half runs on its own.
    }
    log::set_logger(&WARNINGS).expect("nobody else logs in this process");
    log::set_max_level(log::LevelFilter::Warn);
    for _ in 0..2 {
        // Each runtime reads the roots anew.
        let runtime = Runtime::new();
        let mut server = tls_server(&runtime, &ordinary("localhost"));
        let port = server.peer.local_port();
        let mut client = tls_client(&runtime, port, "localhost", Trust::Platform, None);
        let why = outcome(&mut server, &mut client).expect_err("Mozilla does not know it");
        assert!(why.contains("unknown issuer"), "{why}");
    }
    assert_eq!(WARNINGS.0.load(Ordering::SeqCst), 1, "it is said once");
}

#[test]
fn a_certificate_can_be_replaced_while_listening() {
    let runtime = Runtime::new();
    let (old, new) = (engine_like("localhost", 2034), engine_like("localhost", 2034));
    let tls = TlsServer::new(&old.0, &old.1, "").expect("usable");
    let config = ServerConfig { peer: multiplayer(), tls: Some(tls.clone()), ..ServerConfig::default() };
    let mut server = server_with(&runtime, config);
    let port = server.peer.local_port();
    let mut first = tls_client(&runtime, port, "localhost", Trust::Only(&old.1), None);
    assert_eq!(outcome(&mut server, &mut first), Ok(()));
    assert!(tls.replace(&old.0, &new.1, "").is_err(), "a key that does not belong to it");
    tls.replace(&new.0, &new.1, "").expect("usable");
    let mut second = tls_client(&runtime, port, "localhost", Trust::Only(&new.1), None);
    assert_eq!(outcome(&mut server, &mut second), Ok(()));
    first.poll();
    assert_eq!(first.peer.status(), Status::Connected, "who is in stays in");
}

#[test]
fn plain_and_encrypted_do_not_mix() {
    let runtime = Runtime::new();
    let identity = engine_like("localhost", 2034);
    let mut encrypted = tls_server(&runtime, &identity);
    let mut plain_client = client(&runtime, encrypted.peer.local_port(), multiplayer());
    let why = outcome(&mut encrypted, &mut plain_client).expect_err("it cannot get in");
    assert!(why.contains("TLS"), "{why}");
    let mut plain = server(&runtime, multiplayer());
    let mut tls_client = tls_client(&runtime, plain.peer.local_port(), "localhost", Trust::Anybody, None);
    let why = outcome(&mut plain, &mut tls_client).expect_err("it cannot get in");
    assert!(why.contains("does not speak TLS"), "{why}");
    assert!(encrypted.events.is_empty() && plain.events.is_empty());
}

#[test]
fn bad_keys_are_named() {
    let (key, certificate) = ordinary("localhost");
    let (other_key, _) = ordinary("localhost");
    let why = |key: &str, certificate: &str| {
        TlsServer::new(key, certificate, "").expect_err("unusable").to_string()
    };
    assert!(why(&other_key, &certificate).contains("does not belong"));
    assert!(why("", &certificate).contains("no private key"));
    assert!(why(&key, "").contains("no PEM certificate"));
    // The identifier of the curve in a PKCS#8 structure, as in a key on P-521.
    let p521 = "-----BEGIN PRIVATE KEY-----\nMBMCAQAwDgYHKoZIzj0CAQYFK4EEACM=\n-----END PRIVATE KEY-----\n";
    assert!(why(p521, &certificate).contains("P-521"), "{}", why(p521, &certificate));
}

#[test]
fn who_says_nothing_was_not_refused() {
    let runtime = Runtime::new();
    let identity = engine_like("localhost", 2034);
    let mut server = tls_server(&runtime, &identity);
    let port = server.peer.local_port();
    drop(TcpStream::connect(("127.0.0.1", port)).expect("connected"));
    // Clients that connect later were accepted later.
    let mut client = tls_client(&runtime, port, "localhost", Trust::Only(&identity.1), None);
    assert_eq!(outcome(&mut server, &mut client), Ok(()));
    eventually("no handshake is under way", || {
        server.poll();
        server.peer.statistics().pending == 0
    });
    assert_eq!(server.peer.statistics().handshakes_refused, 0);
    let mut half = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    half.write_all(b"\x16\x03").expect("the beginning of a handshake");
    drop(half);
    eventually("it is counted", || server.peer.statistics().handshakes_refused == 1);
}
