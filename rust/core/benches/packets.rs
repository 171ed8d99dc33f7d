//! The whole way of a packet between a connection's bytes and the game, in memory.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use websocket_multiplayer_core::bench::{ServerInMemory, client_frame, encode_godot3};
use websocket_multiplayer_core::{Delivery, Target, TlsServer, WireFormat};

fn receive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive");
    group.throughput(Throughput::Elements(BURST as u64));
    for (name, tls) in [("plain", false), ("tls", true)] {
        for size in [64, 1024] {
            let mut server = ServerInMemory::new(WireFormat::Godot4, tls.then(identity));
            server.connect();
            let frames = client_frame(&vec![7; size]).repeat(BURST);
            // With TLS the client's encryption is in it, too.
            group.bench_function(format!("{name}/{size}"), |bencher| {
                bencher.iter(|| {
                    server.say(0, &frames);
                    server.drive();
                    take(&mut server)
                });
            });
        }
    }
    group.finish();
}

fn send(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send");
    group.throughput(Throughput::Elements(BURST as u64));
    for (name, tls) in [("plain", false), ("tls", true)] {
        for size in [64, 1024] {
            let mut server = ServerInMemory::new(WireFormat::Godot4, tls.then(identity));
            let id = server.connect();
            let mut payload = vec![7_u8; size];
            group.bench_function(format!("{name}/{size}"), |bencher| {
                bencher.iter(|| {
                    for _ in 0..BURST {
                        payload[0] = payload[0].wrapping_add(1);
                        server
                            .peer()
                            .send(Target::One(id), &payload, Delivery::Reliable)
                            .expect("there is room");
                    }
                    server.drive();
                    server.clear_output()
                });
            });
        }
    }
    group.finish();
}

fn broadcast(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("broadcast");
    for clients in [10, 100] {
        let mut server = ServerInMemory::new(WireFormat::Godot4, None);
        for _ in 0..clients {
            server.connect();
        }
        group.throughput(Throughput::Elements(clients));
        group.bench_function(format!("{clients} clients"), |bencher| {
            bencher.iter(|| {
                server.peer().send(Target::All, &[7; 256], Delivery::Reliable).expect("there is room");
                server.drive();
                server.clear_output()
            });
        });
    }
    group.finish();
}

fn relay(criterion: &mut Criterion) {
    let mut server = ServerInMemory::new(WireFormat::Godot3, None);
    let [from, to] = [server.connect(), server.connect()];
    let mut message = encode_godot3(from.0, to.0).to_vec();
    message.extend([7; 64]);
    let frames = client_frame(&message).repeat(BURST);
    let mut group = criterion.benchmark_group("relay");
    group.throughput(Throughput::Elements(BURST as u64));
    group.bench_function("64", |bencher| {
        bencher.iter(|| {
            server.say(0, &frames);
            server.drive();
            server.clear_output()
        });
    });
    group.finish();
}

fn join(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("join");
    for (name, tls) in [("plain", None), ("tls", Some(identity()))] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || ServerInMemory::new(WireFormat::Godot4, tls.clone()),
                ServerInMemory::connect,
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn take(server: &mut ServerInMemory) -> usize {
    let server = server.peer();
    server.begin_poll();
    while server.next_event(false).is_some() {}
    std::iter::from_fn(|| server.pop_packet()).count()
}

fn identity() -> TlsServer {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    TlsServer::new(&key.signing_key.serialize_pem(), &key.cert.pem(), "").expect("its own key")
}

const BURST: usize = 16;

criterion_group!(benches, receive, send, broadcast, relay, join);
criterion_main!(benches);
