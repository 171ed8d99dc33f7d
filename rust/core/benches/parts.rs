//! The small parts of a packet's way, each alone.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use websocket_multiplayer_core::bench::{Post, Queue, decode_godot3, encode_godot3, is_state_sync};

fn wire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire");
    group.bench_function("godot3/encode", |bencher| {
        bencher.iter(|| encode_godot3(black_box(77), black_box(-5)));
    });
    let mut message = encode_godot3(77, 1).to_vec();
    message.extend([7; 64]);
    let message = Bytes::from(message);
    group.bench_function("godot3/decode", |bencher| bencher.iter(|| decode_godot3(black_box(&message))));
    group.bench_function("godot4/is_state_sync", |bencher| {
        bencher.iter(|| is_state_sync(black_box(&message)));
    });
    group.finish();
}

fn queue(criterion: &mut Criterion) {
    let queue = Queue::new();
    criterion.bench_function("queue/reserve and release", |bencher| {
        bencher.iter(|| {
            let taken = queue.reserve(black_box(64));
            queue.release(64);
            taken
        });
    });
}

fn mailbox(criterion: &mut Criterion) {
    const BURST: usize = 16;
    let payload = Bytes::from_static(&[7; 64]);
    let mut post = Post::new();
    let mut group = criterion.benchmark_group("mailbox");
    group.throughput(Throughput::Elements(BURST as u64));
    group.bench_function("send", |bencher| bencher.iter(|| post.send(&payload, BURST)));
    group.bench_function("receive", |bencher| bencher.iter(|| post.receive(&payload, BURST)));
    group.finish();
}

criterion_group!(benches, wire, queue, mailbox);
criterion_main!(benches);
