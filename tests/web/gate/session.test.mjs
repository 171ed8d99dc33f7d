// A session that has its socket: the offer, the grant, numbers, acknowledgements, and what is kept.
import assert from 'node:assert/strict';
import test from 'node:test';
import { TOKEN, bytes, clear, connect, connectSession, makePage, words } from './page.mjs';

test('a session is offered by an item of its own, if the game asks for one', () => {
  const page = makePage();
  const [alive, resume] = ['godot-multiplayer=alive.v1', 'godot-multiplayer=resume.v1'];
  for (const [options, query] of [
    [{ offer_resume: true }, `?a&${alive}&${resume}`],
    [{ offer_resume: true, offer_alive: false }, `?a&${resume}`],
    [{}, `?a&${alive}`],
  ]) assert.equal(connect(page, options, 'ws://host/?a').socket.url, `ws://host/${query}`);
  assert.equal(page.gate.can_resume(), true);
});

test('without the script of sessions none is offered', () => {
  const page = makePage({ sessions: false });
  const engine = connect(page, { offer_resume: true });
  assert.equal(engine.socket.url, 'ws://host:9080/?godot-multiplayer=alive.v1');
  assert.equal(page.gate.can_resume(), false);
  assert.equal(page.gate.reconnect(engine.id), false);
});

test('the grant is no packet, and is confirmed as soon as the id is there', () => {
  const engine = connect(makePage(), { offer_resume: true });
  engine.socket.open();
  engine.socket.receive('alive 1 20000 60000');
  engine.socket.receive(`session 1 ${TOKEN} 20000 and a later word`);
  clear(engine.socket);
  engine.socket.receive(bytes(4));
  assert.deepEqual(words(engine.socket), ['ack 0 0 unasked']);
  engine.pump();
  assert.equal(engine.packets.length, 1);
});

test('a server without heartbeats can grant a session', () => {
  const page = makePage();
  const engine = connect(page, { offer_resume: true });
  engine.socket.open();
  engine.socket.receive(`session 1 ${TOKEN} 20000`);
  engine.socket.receive(bytes(4));
  engine.pump();
  assert.equal(engine.packets.length, 1);
  page.clock.advance(3000);
  assert.ok(words(engine.socket).includes('ack?'));
});

for (const [name, options, messages] of [
  ['not offered', {}, ['alive 1 1 1', `session 1 ${TOKEN} 20000`]],
  ['behind the id', { offer_resume: true }, ['alive 1 1 1', bytes(4), `session 1 ${TOKEN} 20000`]],
  ['behind another text', { offer_resume: true }, ['hello', `session 1 ${TOKEN} 20000`]],
  ['another version', { offer_resume: true }, ['alive 1 1 1', `session 2 ${TOKEN} 20000`]],
  ['no token', { offer_resume: true }, ['alive 1 1 1', `session 1 ${TOKEN.slice(1)}X 20000`]],
]) {
  test(`no session: ${name}`, () => {
    const page = makePage();
    const engine = connect(page, options);
    engine.socket.open();
    messages.forEach((message) => engine.socket.receive(message));
    engine.socket.receive(bytes(4));
    engine.pump();
    assert.equal(page.gate.reconnect(engine.id), false);
    engine.socket.shut(1006);
    engine.pump();
    assert.equal(engine.closed.code, 1006);
    page.clock.advance(20000);
    assert.equal(page.sockets.length, 1);
  });
}

test('what was received is acknowledged after 250 ms, whether the game has taken it or not', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.ref.send(bytes(1, 7));
  engine.socket.receive(bytes(10));
  page.clock.advance(100);
  engine.socket.receive(bytes(10));
  page.clock.advance(149);
  assert.deepEqual(words(engine.socket), ['7']);
  page.clock.advance(1);
  assert.deepEqual(words(engine.socket), ['7', 'ack 2 1 unasked']);
  page.clock.advance(2000);
  assert.equal(engine.socket.out.length, 2, 'once');
});

test('32 KiB are acknowledged at once', () => {
  const engine = connectSession(makePage());
  engine.socket.receive(bytes(16384));
  engine.socket.receive(bytes(16383));
  assert.deepEqual(words(engine.socket), []);
  engine.socket.receive(bytes(1));
  assert.deepEqual(words(engine.socket), ['ack 3 0 unasked']);
});

test('an answer is no less one because an ack was due', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.socket.receive(bytes(1));
  page.clock.advance(250);
  engine.socket.receive(bytes(1));
  engine.socket.receive('ack?');
  page.clock.advance(250);
  engine.socket.receive(bytes(1));
  page.clock.advance(250);
  assert.deepEqual(words(engine.socket), ['ack 1 0 unasked', 'ack 2 0', 'ack 3 0 unasked']);
});

test('acknowledgements are not acknowledged', () => {
  const page = makePage();
  const engine = connectSession(page);
  for (let i = 0; i < 8; i += 1) {
    engine.socket.receive('ack 0 0 unasked');
    page.clock.advance(250);
  }
  assert.deepEqual(words(engine.socket), []);
});

test('a hidden page acknowledges when something comes: its timers are late', () => {
  const page = makePage();
  const engine = connectSession(page);
  page.hide();
  for (let i = 0; i < 3; i += 1) {
    page.clock.block(200); // no timer runs
    engine.socket.receive(bytes(1));
  }
  assert.deepEqual(words(engine.socket), ['ack 1 0 unasked', 'ack 3 0 unasked']);
});

test('a page that is frozen has acknowledged everything', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.socket.receive(bytes(1));
  page.document.emit('freeze');
  assert.deepEqual(words(engine.socket), ['ack 1 0 unasked']);
});

test('void numbers count as received', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.socket.receive('skip 2');
  page.clock.advance(250);
  assert.deepEqual(words(engine.socket), ['ack 2 0 unasked']);
  clear(engine.socket);
  engine.socket.receive(bytes(1));
  engine.socket.receive('skip 3');
  engine.socket.receive('skip x');
  engine.socket.receive(bytes(1));
  page.clock.advance(250);
  assert.deepEqual(words(engine.socket), ['ack 7 0 unasked']);
  assert.equal(engine.figures().packets_in, 3, 'they are no packets');
  engine.socket.receive('ack 0 7');
  assert.equal(engine.ending(), '');
});

for (const [name, words_, sentence] of [
  ['messages were lost on the way', 'ack 0 2', 'the server has sent 2 messages, and 1 were received: some were lost on the way'],
  ['more are acknowledged than sent', 'ack 2 1', 'the server acknowledges 2 messages, and 1 were sent'],
]) {
  test(`${name}: the session ends, with words`, () => {
    const page = makePage();
    const engine = connectSession(page);
    engine.ref.send(bytes(1));
    engine.socket.receive(bytes(1));
    engine.socket.receive(words_);
    assert.deepEqual([engine.ending().code, engine.ending().words], [4002, sentence]);
    assert.equal(engine.socket.closedWith.code, 4002);
    page.clock.advance(20000);
    assert.equal(page.sockets.length, 1);
  });
}

test('what was sent is kept until it is acknowledged', () => {
  const engine = connectSession(makePage());
  for (const size of [10, 20, 30]) engine.ref.send(bytes(size));
  const kept = () => [engine.figures().unacked_packets, engine.figures().unacked_bytes];
  assert.deepEqual(kept(), [3, 60]);
  engine.socket.receive('ack 2 0 unasked');
  assert.deepEqual(kept(), [1, 30]);
  engine.socket.receive('ack 1 0 unasked');
  assert.deepEqual(kept(), [1, 30], 'a smaller number is an old one');
  engine.socket.receive('ack 3 0');
  assert.deepEqual(kept(), [0, 0]);
  assert.equal(engine.figures().packets_out, 3);
});

test('an unreliable message leaves its number only', () => {
  const page = makePage();
  const engine = connectSession(page);
  page.gate.unreliable(engine.id);
  engine.ref.send(bytes(10));
  engine.ref.send(bytes(20));
  assert.equal(engine.socket.out.length, 2);
  assert.deepEqual([engine.figures().unacked_packets, engine.figures().unacked_bytes], [2, 20]);
});

test('the oldest are forgotten above either limit, and the connection goes on', () => {
  for (const [options, left] of [[{ kept_bytes: 100 }, 10], [{ kept_messages: 7 }, 7]]) {
    const engine = connectSession(makePage(), options);
    // Nothing waits in the browser.
    Object.defineProperty(engine.socket, 'bufferedAmount', { get: () => 0, set: () => {} });
    for (let i = 0; i < 5000; i += 1) engine.ref.send(bytes(10));
    assert.equal(engine.figures().unacked_packets, left);
    assert.equal(engine.figures().unacked_bytes, left * 10);
    assert.equal(engine.ending(), '');
    engine.socket.receive('ack 5000 0');
    assert.deepEqual([engine.ending(), engine.figures().unacked_packets], ['', 0]);
  }
});

test('a silent server is asked every 2.5 s and lost after 5 s, while the page is shown', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.socket.receive('ack 0 0 unasked');
  page.clock.advance(2300);
  assert.deepEqual(words(engine.socket), []);
  page.clock.advance(700);
  assert.deepEqual(words(engine.socket), ['ack?']);
  page.clock.advance(1900);
  engine.pump();
  assert.equal(engine.session.suspends, 0);
  page.clock.advance(700);
  engine.pump();
  assert.equal(engine.session.suspends, 1);
  assert.equal(engine.pump().state, 1, 'the engine sees nothing of it');
});

test('a heartbeat_timeout of less than 5 s holds, and 0 does not switch this off', () => {
  for (const [timeout, least, most] of [[3000, 2900, 3600], [0, 4900, 5700]]) {
    const page = makePage();
    const engine = connectSession(page, { heartbeat_timeout: timeout, heartbeat_interval: 0 });
    engine.socket.receive('ack 0 0 unasked');
    page.clock.advance(least);
    engine.pump();
    assert.equal(engine.session.suspends, 0);
    page.clock.advance(most - least);
    engine.pump();
    assert.equal(engine.session.suspends, 1);
  }
});

test('a hidden page asks after 5 s of silence, and gives up after 15 s', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.socket.receive('ack 0 0 unasked');
  page.hide();
  page.clock.advance(4500);
  assert.deepEqual(words(engine.socket), []);
  page.clock.advance(1000);
  assert.deepEqual(words(engine.socket), ['ack?']);
  page.clock.advance(9000);
  engine.pump();
  assert.equal(engine.session.suspends, 0);
  page.clock.advance(1500);
  engine.pump();
  assert.equal(engine.session.suspends, 1);
});

test('any byte shows that the server is there', () => {
  const page = makePage();
  const engine = connectSession(page);
  for (let i = 0; i < 20; i += 1) {
    page.clock.advance(4000);
    engine.socket.receive('ack 0 0 unasked');
  }
  engine.pump();
  assert.equal(engine.session.suspends, 0);
});
