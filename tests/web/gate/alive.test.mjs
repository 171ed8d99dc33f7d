// The words `alive`, `ack?` and `ack`: agreement, answers, round trip and silence.
import assert from 'node:assert/strict';
import test from 'node:test';
import { bytes, connect, connectAgreed, makePage } from './page.mjs';

test('the first message agrees, and is no packet', () => {
  const engine = connect(makePage());
  engine.socket.open();
  engine.socket.receive('alive 1 20000 60000');
  assert.deepEqual(engine.socket.out, ['ack?']);
  engine.socket.receive(bytes(4));
  engine.pump();
  assert.equal(engine.packets.length, 1);
  assert.equal(engine.figures().packets_in, 1);
  assert.equal(engine.figures().packets_out, 0);
});

for (const [name, options, first] of [
  ['not offered', { offer_alive: false }, ['alive 1 20000 60000']],
  ['not first', {}, ['hello', 'alive 1 20000 60000']],
  ['another version', {}, ['alive 2 20000 60000']],
  ['not the word', {}, ['alive 1 x 60000']],
]) {
  test(`no agreement: ${name}`, () => {
    const page = makePage();
    const engine = connect(page, options);
    engine.socket.open();
    first.forEach((text) => engine.socket.receive(text));
    engine.socket.receive('ack?');
    page.clock.advance(200000);
    engine.pump();
    assert.deepEqual(engine.packets, [...first, 'ack?']);
    assert.deepEqual(engine.socket.out, []);
    assert.equal(engine.pump().state, 1);
    assert.equal(page.clock.timers.size, 0);
  });
}

test('an answer before the peer id counts nothing', () => {
  const engine = connect(makePage());
  engine.socket.open();
  engine.socket.receive('alive 1 20000 60000');
  engine.socket.receive('ack?');
  assert.deepEqual(engine.socket.out, ['ack?', 'ack 0 0']);
});

test('text is control from then on: unknown words and long ones are ignored', () => {
  const engine = connectAgreed(makePage());
  engine.socket.receive('ack?');
  for (const text of ['', 'hello', 'ack', 'ack 1', `ack 1 1 ${'x'.repeat(300)}`, 'alive 1 1 1', 'x'.repeat(100000)]) engine.socket.receive(text);
  engine.pump();
  assert.equal(engine.packets.length, 1);
  assert.equal(engine.ending(), '');
  assert.deepEqual(engine.socket.out, ['ack 0 0']);
});

test('an answer that is too long is none', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.clock.advance(21000);
  page.clock.block(75);
  engine.socket.receive(`ack 1 1 ${'x'.repeat(300)}`);
  assert.equal(engine.pump().rtt, 40);
  engine.socket.receive('ack 1 1 and a word of a later version');
  assert.ok(engine.pump().rtt >= 75);
});

test('what a script sends as text goes out as binary', () => {
  const engine = connectAgreed(makePage());
  engine.ref.send('grüße');
  assert.deepEqual(Array.from(new Uint8Array(engine.socket.out[0])), Array.from(new TextEncoder().encode('grüße')));
});

test('ack? is answered at once, with what was received and sent, without the peer id', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.hide();
  engine.socket.receive(bytes(10));
  engine.ref.send(bytes(10));
  engine.ref.send(bytes(10));
  engine.socket.receive('ack?');
  assert.equal(engine.socket.out.pop(), 'ack 1 2');
});

test('many ack? get one answer in 250 ms', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  for (let i = 0; i < 100; i += 1) engine.socket.receive('ack?');
  assert.deepEqual(engine.socket.out, ['ack 0 0']);
  page.clock.advance(249);
  assert.equal(engine.socket.out.length, 1);
  engine.socket.receive(bytes(1));
  page.clock.advance(1);
  assert.deepEqual(engine.socket.out, ['ack 0 0', 'ack 1 0']);
  page.clock.advance(5000);
  assert.equal(engine.socket.out.length, 2);
});

test('the answer tells the round trip', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  assert.equal(engine.pump().rtt, 40);
  page.clock.advance(21000);
  assert.deepEqual(engine.socket.out, ['ack?']);
  page.clock.block(75);
  engine.socket.receive('ack 0 1');
  assert.ok(engine.pump().rtt >= 75);
  const known = engine.pump().rtt;
  page.clock.advance(100);
  engine.socket.receive('ack 0 1');
  assert.equal(engine.pump().rtt, known, 'an answer nobody asked for');
});

test('an ack that nobody asked for is no answer, and a sign of life', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.clock.advance(21000);
  for (let second = 0; second < 100; second += 1) {
    page.clock.advance(1000);
    engine.socket.receive('ack 0 1 unasked');
  }
  assert.equal(engine.ending(), '');
  assert.equal(engine.pump().rtt, 40);
  engine.socket.receive('ack 0 1');
  assert.ok(engine.pump().rtt >= 100000, 'the question was still open');
});

test('an ack is heard, and is no packet', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.clock.advance(5000);
  engine.socket.receive('ack 0 1');
  page.clock.advance(100);
  const { last_receive_msec: heard, last_packet_msec: packet } = engine.figures();
  assert.deepEqual([heard, packet], [100, 7100]);
});

test('a late answer belongs to the first question', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.clock.advance(41000);
  assert.deepEqual(engine.socket.out, ['ack?', 'ack?']);
  engine.socket.receive('ack 0 1');
  assert.ok(engine.pump().rtt > 20000);
});

test('asked once per interval, however much data comes', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  for (let i = 0; i < 100; i += 1) {
    page.clock.advance(1000);
    engine.socket.receive(bytes(1));
    if (i === 30) engine.socket.receive('ack 0 1');
  }
  assert.deepEqual(engine.socket.out, Array(5).fill('ack?'));
  assert.equal(engine.ending(), '');
});

test('the first round trip is soon measured again', () => {
  const page = makePage();
  const engine = connect(page);
  engine.socket.open();
  engine.socket.receive('alive 1 20000 60000');
  page.clock.advance(900);
  engine.socket.receive('ack 0 0');
  assert.equal(engine.pump().rtt, 900);
  page.clock.advance(1150);
  engine.socket.receive('ack 0 0');
  assert.equal(engine.pump().rtt, 50);
  assert.deepEqual(engine.socket.out, ['ack?', 'ack?']);
  page.clock.advance(19000);
  assert.equal(engine.socket.out.length, 2);
});

test('silence: asked after each interval, lost after the timeout', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.clock.advance(59000);
  assert.deepEqual(engine.socket.out, ['ack?', 'ack?']);
  assert.equal(engine.ending(), '');
  page.clock.advance(4000);
  assert.equal(engine.ending().code, 1006);
  assert.equal(engine.ending().words, 'the connection was lost: nothing came from the server for 60 s');
  assert.equal(engine.ending().silent, true);
  assert.equal(engine.socket.readyState, 2);
  assert.equal(engine.pump().state, 3);
  assert.equal(page.clock.timers.size, 0);
});

test('a byte at the last moment counts: the timeout begins anew', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  for (let round = 0; round < 3; round += 1) {
    page.clock.advance(61200);
    engine.socket.receive(bytes(1));
  }
  page.clock.advance(59000);
  assert.equal(engine.ending(), '');
});

test('a lost connection still delivers what it had', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  engine.socket.receive(bytes(7));
  page.clock.advance(70000);
  assert.equal(engine.pump(65535, 1).state, 1);
  assert.equal(engine.pump(65535, 1).state, 3);
  assert.equal(engine.packets.length, 2);
});

test('0 switches off: no question, no end', () => {
  const page = makePage();
  const engine = connectAgreed(page, { heartbeat_interval: 0, heartbeat_timeout: 0 });
  page.clock.advance(600000);
  page.hide();
  page.clock.advance(10000);
  page.show();
  page.clock.advance(600000);
  assert.deepEqual(engine.socket.out, ['ack?']);
  assert.equal(engine.ending(), '');
});

test('without an interval of its own, a client that has a timeout asks three times in it', () => {
  const page = makePage();
  const engine = connectAgreed(page, { heartbeat_interval: 0 });
  for (let second = 0; second < 300; second += 1) {
    page.clock.advance(1000);
    if (engine.socket.out.pop() === 'ack?') engine.socket.receive('ack 0 1');
  }
  assert.equal(engine.ending(), '');
  page.clock.advance(62000);
  assert.equal(engine.ending().code, 1006);
});

test('the times can be changed on the way', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.gate.heartbeat(engine.id, 1000, 3000);
  page.clock.advance(3500);
  assert.deepEqual(engine.socket.out, ['ack?', 'ack?', 'ack?']);
  page.clock.advance(2000);
  assert.equal(engine.ending().code, 1006);
});
