//! Link-local addresses, for which the system finds the interface.

use std::net::TcpListener;
use std::sync::Arc;

use websocket_multiplayer_core::{BindAddress, ClientConfig, Peer, Runtime, ServerConfig, Status, Url};

use crate::support::{TestPeer, client_config, eventually, multiplayer};

fn dial(runtime: &Arc<Runtime>, url: &str) -> TestPeer {
    let mut peer = Peer::new(Arc::clone(runtime));
    let url = Url::parse(url).expect(url);
    peer.connect(ClientConfig { url, ..client_config(1, multiplayer()) }).expect("connecting starts");
    TestPeer { peer, events: Vec::new() }
}

/// Returns zones with this machine's address in each; the loopback interface is number 1 on every system.
fn own_addresses() -> Vec<String> {
    let mut urls = vec!["[::1%251]".to_owned(), "[::1%1]".to_owned()];
    // Linux: address, number, prefix, scope, flags and name of each interface. Scope 20 is link-local.
    for line in std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default().lines() {
        let parts: Vec<_> = line.split_whitespace().collect();
        if let [digits, number, _, "20", _, name] = parts[..] {
            let address = u128::from_str_radix(digits, 16).map(std::net::Ipv6Addr::from).expect("an address");
            let number = u32::from_str_radix(number, 16).expect("a number");
            urls.extend([
                format!("[{address}%25{name}]"),
                format!("[{address}%{name}]"),
                format!("[{address}%{number}]"),
            ]);
        }
    }
    urls
}

#[test]
fn an_address_with_a_zone_is_connected_to() {
    if TcpListener::bind("[::1]:0").is_err() {
        // This system has no IPv6.
        return;
    }
    let runtime = Runtime::new();
    let mut server = Peer::new(Arc::clone(&runtime));
    let config = ServerConfig { peer: multiplayer(), bind: BindAddress::Any, ..ServerConfig::default() };
    server.listen(config).expect("any address can be listened on");
    let mut server = TestPeer { peer: server, events: Vec::new() };
    let port = server.peer.local_port();
    for address in own_addresses() {
        let mut client = dial(&runtime, &format!("ws://{address}:{port}/"));
        let before = server.connected_ids().last().copied();
        eventually(&address, || {
            server.poll();
            client.poll();
            assert_eq!(client.peer.last_error(), "", "{address}");
            let last = server.connected_ids().last().copied();
            client.peer.status() == Status::Connected && last.is_some() && last != before
        });
        let id = *server.connected_ids().last().expect("it is in");
        let told = server.peer.peer(id).expect("it is in").requested_url();
        assert!(!told.contains('%'), "the zone is no concern of the server's: {told}");
    }
}

#[test]
fn a_zone_that_is_no_interface_is_named() {
    let runtime = Runtime::new();
    let mut client = dial(&runtime, "ws://[fe80::1%25nosuch0]:1/");
    eventually("it fails", || {
        client.poll();
        client.peer.status() == Status::Disconnected
    });
    let words = client.peer.last_error();
    assert!(words.contains("nosuch0") && words.contains("interface"), "{words}");
}
