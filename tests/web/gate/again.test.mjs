// What a session sends again, and what waits for a socket: what counts as waiting, as sent and as unacknowledged.
import assert from 'node:assert/strict';
import test from 'node:test';
import { NEXT, bytes, clear, comeBack, connectSession, lose, makePage, words } from './page.mjs';

test('what waits for a socket is told, and is not forgotten', () => {
  const page = makePage();
  const engine = connectSession(page, { kept_bytes: 100, kept_messages: 10 });
  for (let i = 0; i < 20; i += 1) engine.ref.send(bytes(10, i));
  clear(engine.socket); // sent
  lose(page, engine);
  for (let i = 20; i < 60; i += 1) engine.ref.send(bytes(10, i));
  engine.pump();
  assert.deepEqual([engine.session.held, engine.session.heldBytes], [40, 400]);
  assert.deepEqual([engine.figures().unacked_packets, engine.figures().unacked_bytes, engine.figures().suspended], [10, 100, 1]);
  comeBack(page, engine, 10);
  assert.equal(words(engine.latest()).length, 52);
  assert.deepEqual([engine.session.held, engine.figures().suspended, engine.figures().resumes], [0, 0, 1]);
});

test('what is sent again counts once towards what is kept', () => {
  const page = makePage();
  const engine = connectSession(page, { kept_bytes: 505 });
  for (let i = 0; i < 50; i += 1) engine.ref.send(bytes(10));
  lose(page, engine);
  comeBack(page, engine, 0);
  clear(engine.latest());
  engine.ref.send(bytes(5));
  clear(engine.latest());
  engine.ref.send(bytes(1));
  assert.equal(engine.figures().unacked_packets, 52);
  clear(engine.latest());
  engine.ref.send(bytes(1));
  assert.equal(engine.figures().unacked_packets, 52);
});

test('what is sent again and has not left is not forgotten', () => {
  const page = makePage();
  const engine = connectSession(page, { kept_bytes: 500 });
  for (let i = 0; i < 30; i += 1) engine.ref.send(bytes(10));
  clear(engine.socket);
  lose(page, engine);
  for (let i = 0; i < 40; i += 1) engine.ref.send(bytes(10)); // held: 700 bytes in all
  comeBack(page, engine, 0);
  engine.ref.send(bytes(10));
  assert.equal(engine.figures().unacked_packets, 71);
});

test('the round trip is measured on the new socket', () => {
  const page = makePage();
  const engine = connectSession(page, { heartbeat_interval: 2000 });
  while (engine.socket.out.length === 0) page.clock.advance(10);
  page.clock.block(20);
  engine.socket.receive('ack 0 0');
  assert.ok(engine.pump().rtt >= 20);
  clear(engine.socket);
  while (engine.socket.out.length === 0) page.clock.advance(10);
  assert.deepEqual(words(engine.socket), ['ack?'], 'nobody answers this one');
  lose(page, engine);
  assert.equal(engine.pump().rtt, -1, 'that socket is gone');
  comeBack(page, engine, 0);
  assert.equal(engine.pump().rtt, -1);
  assert.deepEqual(words(engine.latest()), ['ack 0 0 unasked', 'ack?'], 'at once');
  page.clock.block(60);
  engine.latest().receive('ack 0 0');
  const { rtt } = engine.pump();
  assert.ok(rtt >= 60 && rtt <= 62, `${rtt}`);
});

test('what the lost socket had not sent waits for the next one', () => {
  const page = makePage();
  const engine = connectSession(page);
  for (let i = 0; i < 10; i += 1) engine.ref.send(bytes(100, i));
  engine.socket.bufferedAmount = 350; // six have left, a part of the seventh as well
  lose(page, engine);
  assert.deepEqual([engine.session.held, engine.session.heldBytes], [3, 300]);
  assert.deepEqual([engine.figures().unacked_packets, engine.figures().unacked_bytes], [7, 700]);
  engine.ref.send(bytes(100, 10));
  engine.pump();
  assert.deepEqual([engine.session.held, engine.session.heldBytes], [4, 400]);
  assert.deepEqual([engine.figures().unacked_packets, engine.figures().unacked_bytes], [7, 700], 'not those that were never sent');
  comeBack(page, engine, 2);
  assert.deepEqual(words(engine.latest()).slice(2), ['2', '3', '4', '5', '6', '7', '8', '9', '10']);
  const front = 'ack 0 2 unasked'.length + 'ack?'.length;
  assert.equal(engine.pump().buffered, 900 + front);
  assert.equal(engine.again, 500 + front, 'five were sent before');
  engine.ref.send(bytes(100, 11));
  engine.pump();
  assert.equal(engine.again, 500 + front, 'what is sent now is behind them');
  engine.latest().bufferedAmount -= front + 450;
  engine.pump();
  assert.equal(engine.again, 50);
  engine.latest().bufferedAmount -= 50;
  engine.pump();
  assert.equal(engine.again, 0);
  engine.latest().bufferedAmount = 0;
  engine.ref.send(bytes(1000));
  engine.pump();
  assert.equal(engine.again, 0, 'what comes later is not sent again');
});

test('what was never sent is not forgotten, however much was before it', () => {
  const page = makePage();
  const engine = connectSession(page, { kept_bytes: 1000 });
  for (let i = 0; i < 15; i += 1) engine.ref.send(bytes(100, i));
  engine.socket.bufferedAmount = 900; // six have left
  lose(page, engine);
  engine.ref.send(bytes(100, 15));
  comeBack(page, engine, 0);
  assert.equal(engine.ending(), '');
  assert.equal(words(engine.latest()).length, 18);
});

test('lost again while it is sent again: only what was never sent waits', () => {
  for (const [left, throws] of [[0, false], [250, false], [0, true]]) {
    const page = makePage();
    const engine = connectSession(page);
    for (let i = 0; i < 8; i += 1) engine.ref.send(bytes(100, i));
    clear(engine.socket); // sent
    lose(page, engine);
    for (let i = 8; i < 10; i += 1) engine.ref.send(bytes(100, i));
    page.clock.advance(250);
    engine.latest().open('godot-resume.v1');
    page.sendFails = throws ? 'no' : '';
    engine.latest().receive(`resumed 1 ${NEXT} 1`);
    page.sendFails = '';
    if (!throws) {
      engine.pump();
      engine.latest().bufferedAmount -= left;
      lose(page, engine);
    }
    engine.pump();
    assert.deepEqual([engine.session.suspends, engine.session.held, engine.session.heldBytes], [2, 2, 200], `${left} ${throws}`);
    comeBack(page, engine, 2);
    assert.deepEqual(words(engine.latest()).slice(2), ['2', '3', '4', '5', '6', '7', '8', '9']);
    assert.ok(engine.again > 600 && engine.again < 640, `${engine.again}`);
  }
});

test('losses in a row do not let more and more be kept', () => {
  const page = makePage();
  const engine = connectSession(page, { kept_bytes: 1000 });
  const waits = () => { const { buffered } = engine.pump(); return buffered + engine.session.heldBytes - engine.again; };
  const fill = () => { for (let i = 0; i < 20 && waits() + 100 <= 1000; i += 1) engine.ref.send(bytes(100)); };
  let most = 0;
  for (let round = 0; round < 6; round += 1) {
    fill();
    lose(page, engine);
    fill();
    comeBack(page, engine, 0); // nothing of it arrives
    fill();
    most = Math.max(most, engine.pump().buffered);
    engine.latest().bufferedAmount = Math.max(0, engine.latest().bufferedAmount - 500);
  }
  assert.equal(engine.ending(), '');
  assert.ok(most < 2100, `${most}`);
});
