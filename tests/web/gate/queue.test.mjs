// Nothing is lost up to the ceilings, and above them nothing of what was accepted.
import assert from 'node:assert/strict';
import test from 'node:test';
import { bytes, connect, connectAgreed, makePage } from './page.mjs';

test('messages wait until the engine takes them, and come in order', () => {
  const engine = connect(makePage());
  engine.socket.open();
  for (let i = 0; i < 500; i += 1) engine.socket.receive(bytes(1024, i % 256));
  assert.equal(engine.packets.length, 0);
  assert.deepEqual(engine.pump(10 * 1024, 512), { handed: 10, handedBytes: 10240, texts: 0, state: 1, unsent: 0, buffered: 0, messages: 490, waiting: 490 * 1024, rtt: -1 });
  assert.equal(engine.pump(1024 * 1024, 100).handed, 100);
  engine.socket.receive('text');
  assert.deepEqual([engine.pump().texts, engine.pump(1 << 20).texts], [0, 1]);
  assert.equal(engine.packets.length, 501);
  assert.equal(engine.packets.pop(), 'text');
  engine.packets.forEach((packet, i) => assert.equal(new Uint8Array(packet)[0], i % 256));
  assert.equal(engine.pump().waiting, 0);
});

test('a pump hands over what fits into the buffer, and no more', () => {
  const engine = connect(makePage());
  engine.socket.open();
  for (const size of [100, 900, 1, 0, 0]) engine.socket.receive(bytes(size));
  assert.equal(engine.pump(1000, 512).handed, 2);
  assert.equal(engine.pump(0, 512).handed, 0);
  assert.equal(engine.pump(1, 2).handed, 2);
  assert.equal(engine.pump(1, 2).handed, 1);
  assert.deepEqual(engine.packets.map((packet) => packet.byteLength), [100, 900, 1, 0, 0]);
});

test('the engine hears in place of the bytes that wait whether a pump has anything to tell', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  const isNews = () => {
    const answer = engine.ref.bufferedAmount === 1;
    engine.pump();
    return answer;
  };
  assert.deepEqual([isNews(), isNews()], [true, false]);
  engine.socket.receive(bytes(1));
  assert.deepEqual([isNews(), isNews()], [true, false]);
  page.clock.advance(21000);
  engine.socket.bufferedAmount = 0;
  engine.socket.receive('ack 0 1');
  assert.deepEqual([isNews(), isNews()], [true, false], 'a round trip');
  engine.socket.bufferedAmount = 7;
  assert.deepEqual([isNews(), isNews()], [true, true], 'unsent bytes');
  engine.socket.bufferedAmount = 0;
  engine.socket.shut(1000);
  assert.equal(isNews(), true, 'the end');
});

test('the size of a text is that of its UTF-8', () => {
  const engine = connect(makePage());
  engine.socket.open();
  engine.socket.receive('grüße 🙂');
  assert.equal(engine.pump(11, 1).handed, 0);
  assert.equal(engine.pump(12, 1).handed, 1);
});

test('60,000 waiting messages are worked off without a pause of the kind that a shift of each would make', () => {
  const engine = connect(makePage());
  engine.socket.open();
  for (let i = 0; i < 60000; i += 1) engine.socket.receive(bytes(20, i % 256));
  const start = process.hrtime.bigint();
  let pumps = 0;
  while (engine.pump().handed > 0) pumps += 1;
  assert.equal(engine.packets.length, 60000);
  assert.equal(pumps, Math.ceil(60000 / 512));
  assert.ok(process.hrtime.bigint() - start < 2_000_000_000n);
  engine.packets.forEach((packet, i) => assert.equal(new Uint8Array(packet)[0], i % 256));
});

for (const [name, options, size] of [['bytes', { limit_bytes: 1000 }, 100], ['messages', { limit_messages: 10 }, 1]]) {
  test(`more than the ceiling of ${name} ends the connection, after what was accepted was delivered`, () => {
    const engine = connect(makePage(), options);
    engine.socket.open();
    for (let i = 0; i < 12; i += 1) engine.socket.receive(bytes(size, i));
    assert.equal(engine.socket.closedWith.code, 4013);
    assert.match(engine.socket.closedWith.reason, /^more arrived than the game took: 10 messages and/);
    assert.equal(engine.pump(65535, 9).state, 1);
    assert.equal(engine.closed, null);
    assert.deepEqual(engine.pump(), { handed: 1, handedBytes: size, texts: 0, state: 3, unsent: 0, buffered: 0, messages: 0, waiting: 0, rtt: -1 });
    assert.deepEqual(engine.packets.map((packet) => new Uint8Array(packet)[0]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.equal(engine.closed.code, 4013);
    assert.equal(engine.ending().words, engine.socket.closedWith.reason);
    engine.socket.receive(bytes(1));
    assert.equal(engine.pump().handed, 0);
  });
}

test('exactly the ceilings pass', () => {
  const engine = connect(makePage(), { limit_bytes: 1000, limit_messages: 10, largest_message: 100 });
  engine.socket.open();
  for (let round = 0; round < 3; round += 1) {
    for (let i = 0; i < 10; i += 1) engine.socket.receive(bytes(100));
    while (engine.pump(250, 512).handed > 0);
  }
  assert.equal(engine.packets.length, 30);
  assert.equal(engine.ending(), '');
});

test('a message that is larger than allowed ends the connection', () => {
  const engine = connect(makePage(), { largest_message: 100 });
  engine.socket.open();
  engine.socket.receive(bytes(100));
  engine.socket.receive(bytes(101));
  assert.equal(engine.socket.closedWith.code, 4009);
  assert.equal(engine.pump().handed, 1);
  assert.equal(engine.closed.code, 4009);
  assert.match(engine.ending().words, /101 bytes .* 100: raise max_message_size_kb/);
});

test('when the engine cannot take a message nothing follows the hole', () => {
  const engine = connect(makePage());
  engine.socket.open();
  for (let i = 0; i < 3; i += 1) engine.socket.receive(bytes(1, i));
  const take = engine.ref.onmessage;
  engine.ref.onmessage = (event) => {
    if (engine.packets.length === 1) throw new Error('out of memory');
    take(event);
  };
  assert.equal(engine.pump().handed, 1);
  assert.equal(engine.closed.code, 4011);
  assert.equal(engine.pump().handed, 0);
});
