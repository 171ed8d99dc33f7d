// A session that has lost its socket: what counts as a loss, attempts, their ends, and what is sent again.
import assert from 'node:assert/strict';
import test from 'node:test';
import { NEXT, TOKEN, bytes, clear, comeBack, connect, connectSession, lose, makePage, words } from './page.mjs';

for (const [code, name] of [[1006, 'lost'], [1012, 'a gateway is restarted'], [1014, 'a bad gateway'], [1015, 'TLS']]) {
  test(`the session goes on: ${code}, ${name}`, () => {
    const page = makePage();
    const engine = connectSession(page);
    engine.socket.shut(code);
    assert.equal(engine.ending(), '');
    comeBack(page, engine, 0);
    assert.deepEqual(engine.session, { suspends: 1, resumes: 1, held: 0, heldBytes: 0 });
    assert.equal(engine.pump().state, 1);
    assert.equal(engine.closed, null);
  });
}

for (const code of [1000, 1001, 1005, 1009, 1011, 1013, 4001, 4410]) {
  test(`the server has ended the session: ${code}`, () => {
    const page = makePage();
    const engine = connectSession(page);
    engine.socket.shut(code, 'why');
    assert.deepEqual([engine.ending().code, engine.ending().reason], [code, 'why']);
    page.clock.advance(20000);
    assert.equal(page.sockets.length, 1);
    assert.equal(page.clock.timers.size, 0);
  });
}

test('who has no id yet has nothing to come back to', () => {
  const engine = connect(makePage(), { offer_resume: true });
  engine.socket.open();
  engine.socket.receive('alive 1 1 1');
  engine.socket.receive(`session 1 ${TOKEN} 20000`);
  engine.socket.shut(1006);
  assert.equal(engine.ending().code, 1006);
});

test('an attempt shows the token and what was received, in a subprotocol, to the same URL', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.socket.receive(bytes(1));
  engine.socket.receive(bytes(1));
  lose(page, engine);
  page.clock.advance(250);
  assert.equal(engine.latest().url, engine.socket.url);
  assert.deepEqual(Array.from(engine.latest().protocols), ['godot-resume.v1', `godot-resume.v1.${TOKEN}.2`]);
  assert.equal(engine.latest().binaryType, 'arraybuffer');
});

test('the subprotocols of the game are offered in disguise, and the engine sees the first one', () => {
  const page = makePage();
  const engine = connectSession(page, {}, ['a', 'b']);
  lose(page, engine);
  page.clock.advance(250);
  assert.deepEqual(Array.from(engine.latest().protocols), ['godot-resume.v1+a', 'godot-resume.v1+b', `godot-resume.v1.${TOKEN}.0`]);
  engine.latest().open('godot-resume.v1+a');
  engine.latest().receive(`resumed 1 ${NEXT} 0`);
  assert.equal(engine.ref.protocol, 'a');
});

test('an ack comes first, then what is missing, then what waits; void numbers in one word', () => {
  const page = makePage();
  const engine = connectSession(page);
  const unreliable = (value) => { page.gate.unreliable(engine.id); engine.ref.send(bytes(1, value)); };
  engine.ref.send(bytes(1, 1));
  engine.ref.send(bytes(1, 2));
  unreliable(3);
  unreliable(4);
  engine.ref.send(bytes(1, 5));
  unreliable(6);
  assert.deepEqual(words(engine.socket), ['1', '2', '3', '4', '5', '6']);
  engine.socket.receive(bytes(1));
  lose(page, engine);
  engine.ref.send(bytes(1, 7));
  unreliable(8);
  comeBack(page, engine, 1);
  assert.deepEqual(words(engine.latest()), ['ack 1 1 unasked', 'ack?', '2', 'skip 2', '5', 'skip 1', '7']);
  engine.ref.send(bytes(1, 9));
  engine.latest().receive(bytes(1, 77));
  page.clock.advance(250);
  assert.deepEqual(words(engine.latest()).slice(7), ['9', 'ack 2 8 unasked']);
  assert.equal(engine.figures().packets_dropped, 1, 'numbers are for what had a socket, or is to be sent');
  engine.latest().receive('ack 8 2');
  assert.equal(engine.ending(), '');
  assert.equal(engine.figures().unacked_packets, 0);
  engine.pump();
  assert.deepEqual(engine.packets.map((data) => new Uint8Array(data)[0]), [0, 77]);
});

test('what the server has received although it was not known to be written is not sent again', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.ref.send(bytes(10, 1));
  lose(page, engine);
  engine.ref.send(bytes(10, 2));
  comeBack(page, engine, 2);
  assert.deepEqual(words(engine.latest()), ['ack 0 2 unasked', 'ack?']);
  assert.deepEqual([engine.figures().unacked_packets, engine.figures().unacked_bytes], [0, 0]);
  assert.deepEqual(engine.session, { suspends: 1, resumes: 1, held: 0, heldBytes: 0 });
});

test('a server that needs what is forgotten has lost the session', () => {
  const page = makePage();
  const engine = connectSession(page, { kept_messages: 10 });
  for (let i = 0; i < 20; i += 1) engine.ref.send(bytes(1));
  lose(page, engine);
  comeBack(page, engine, 9);
  assert.deepEqual([engine.ending().code, engine.ending().words], [4013, 'messages that the server needs are no longer kept']);
  assert.equal(engine.latest().closedWith.code, 4013);
});

test('a server that has received what was not sent is another one', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  comeBack(page, engine, 1);
  assert.deepEqual([engine.ending().code, engine.ending().words], [4002, 'the server has received 1 messages, and 0 were sent']);
});

test('a socket that is given up is told so, and nothing of it is heard any more', () => {
  const page = makePage();
  const engine = connectSession(page);
  page.clock.advance(6000);
  assert.deepEqual(engine.socket.closedWith, { code: 3012, reason: undefined });
  engine.socket.receive(bytes(1));
  engine.socket.shut(1000);
  assert.equal(engine.figures().packets_in, 1);
  assert.equal(engine.ending(), '');
});

test('attempts: at once within 0.25 s, then after 0.25, 0.5, 1, 2, 4, 4 s, a quarter more or less', () => {
  for (const [random, factor] of [[0.5, 1], [0, 0.75], [0.999999, 1.25]]) {
    const page = makePage();
    page.random = random;
    const engine = connectSession(page);
    lose(page, engine);
    const start = page.clock.time;
    const times = [];
    while (times.length < 7) {
      page.clock.advance(1);
      if (page.sockets.length === times.length + 2) {
        times.push(page.clock.time);
        engine.latest().shut(1006);
      }
    }
    assert.ok(times[0] - start <= 250);
    const pauses = times.slice(1).map((time, i) => time - times[i]);
    [250, 500, 1000, 2000, 4000, 4000].forEach((pause, i) => assert.ok(Math.abs(pauses[i] - pause * factor) < 3, `${pauses}`));
  }
});

test('an attempt that hangs is given up after 5 s, or a second later if its socket is open, and never used', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  page.clock.advance(250);
  const attempt = engine.latest();
  attempt.open('godot-resume.v1');
  page.clock.advance(4800);
  assert.equal(attempt.closedWith, null);
  page.clock.advance(900);
  assert.equal(attempt.closedWith, null);
  page.clock.advance(400);
  assert.equal(attempt.closedWith.code, 3012);
  attempt.receive(`resumed 1 ${NEXT} 0`);
  engine.pump();
  assert.equal(engine.session.resumes, 0);
  page.clock.advance(250);
  assert.equal(page.sockets.length, 3);
  assert.ok(engine.latest().protocols[1].includes(TOKEN), 'the server still takes the old token');
});

test('an attempt that the browser refuses is one that fails', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  page.dialFails = 'no more sockets';
  page.clock.advance(1000);
  page.dialFails = '';
  assert.equal(engine.ending(), '');
  page.clock.advance(4000);
  assert.equal(page.sockets.length, 2);
});

test('the words of the browser for such an attempt lose the query of the URL', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  page.dialFails = 'no more sockets for ws://host:1/?ticket=1';
  page.clock.advance(200000);
  assert.match(engine.ending().words, /no more sockets for ws:\/\/host:1$/);
});

for (const [name, code, reason] of [['kicked meanwhile', 4001, 'kicked'], ['ended', 4410, 'ended: too late'], ['1000', 1000, '']]) {
  test(`the server has ended it while the page was away: ${name}`, () => {
    const page = makePage();
    const engine = connectSession(page);
    lose(page, engine);
    page.clock.advance(250);
    engine.latest().open('godot-resume.v1');
    engine.latest().shut(code, reason);
    assert.deepEqual([engine.ending().code, engine.ending().reason], [code, reason]);
    page.clock.advance(30000);
    assert.equal(page.sockets.length, 2);
    assert.equal(page.clock.timers.size, 0);
  });
}

test('a server that does not know the session may be another one behind the name: three times', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    assert.equal(engine.ending(), '');
    page.clock.advance(1000);
    assert.equal(page.sockets.length, 1 + attempt);
    engine.latest().open('godot-resume.v1');
    engine.latest().shut(4410, 'unknown: this server does not know the session');
  }
  assert.equal(engine.ending().code, 4410);
  page.clock.advance(30000);
  assert.equal(page.sockets.length, 4);
});

for (const first of ['alive 1 20000 60000', `session 1 ${NEXT} 1000`, `resumed 2 ${NEXT} 0`, 'hello', bytes(4)]) {
  test(`a first message that gives nothing back ends the session: ${typeof first === 'string' ? first.slice(0, 9) : 'an id'}`, () => {
    const page = makePage();
    const engine = connectSession(page);
    lose(page, engine);
    page.clock.advance(250);
    engine.latest().open('godot-resume.v1');
    engine.latest().receive(first);
    assert.equal(engine.ending().words, 'the server that answered does not know of the session; is it another server?');
    assert.equal(engine.latest().closedWith.code, 4002);
  });
}

test('time is up after an attempt that began when it was over', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.socket.receive(bytes(1));
  lose(page, engine);
  const start = page.clock.time;
  while (engine.ending() === '') {
    page.clock.advance(50);
    if (engine.latest().readyState === 0) engine.latest().shut(1006);
    assert.ok(page.clock.time - start < 26000);
  }
  assert.ok(page.clock.time - start >= 20000);
  const { code, words: why } = engine.ending();
  assert.equal(code, 1006);
  assert.equal(why, 'the connection was lost, and it did not come back within 20 s: the server cannot be reached');
  assert.equal(engine.pump().state, 3);
  assert.equal(engine.packets.length, 1, 'what had come is delivered first');
  page.clock.advance(60000);
  assert.equal(page.clock.timers.size, 0);
});

test('a page that slept through the time makes one more attempt', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  page.clock.block(3600000);
  page.clock.advance(0);
  assert.equal(engine.ending(), '');
  assert.equal(page.sockets.length, 2);
  engine.latest().open('godot-resume.v1');
  engine.latest().receive(`resumed 1 ${NEXT} 0`);
  engine.pump();
  assert.equal(engine.session.resumes, 1);
});

for (const [name, wake] of [
  ['online', (page) => page.window.emit('online')],
  ['shown', (page) => { page.hide(); page.show(); }],
  ['resumed', (page) => page.document.emit('resume')],
  ['out of the cache', (page) => page.window.emit('pageshow', { persisted: true })],
  ['asked for by the game', (page, engine) => page.gate.reconnect(engine.id)],
]) {
  test(`while it is away, ${name}: an attempt at once, and the pauses are short again`, () => {
    const page = makePage();
    const engine = connectSession(page);
    lose(page, engine);
    for (let i = 0; i < 6; i += 1) {
      page.clock.advance(i < 5 ? 2600 : 0);
      if (engine.latest().readyState === 0) engine.latest().shut(1006);
    }
    const before = page.sockets.length;
    wake(page, engine);
    assert.equal(page.sockets.length, before + 1);
    engine.latest().shut(1006);
    page.clock.advance(313);
    assert.equal(page.sockets.length, before + 2);
  });
}

test('several signs of one wake make one attempt, and one that hangs is replaced', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  page.clock.advance(250);
  const attempt = engine.latest();
  page.window.emit('online');
  page.document.emit('resume');
  assert.equal(page.sockets.length, 2);
  page.clock.advance(1000);
  page.window.emit('online');
  page.window.emit('pageshow', {});
  assert.equal(page.sockets.length, 3);
  assert.equal(attempt.closedWith.code, 3012);
});

test('reconnect: the socket is dropped and replaced at once', () => {
  const page = makePage();
  const engine = connectSession(page);
  assert.equal(page.gate.reconnect(engine.id), true);
  assert.equal(engine.socket.closedWith.code, 3012);
  page.clock.advance(0);
  assert.equal(page.sockets.length, 2);
  engine.latest().open('godot-resume.v1');
  engine.latest().receive(`resumed 1 ${NEXT} 0`);
  engine.pump();
  assert.deepEqual([engine.session.suspends, engine.session.resumes], [1, 1]);
  assert.equal(page.gate.reconnect(12345), false);
});

for (const [name, sleep] of [
  ['hidden for 6 s', (page) => { page.hide(); page.clock.advance(6000); page.show(); }],
  ['frozen for 6 s', (page) => { page.document.emit('freeze'); page.clock.block(6000); page.document.emit('resume'); }],
  ['a suspended machine', (page) => { page.clock.asleep += 3600000; page.clock.advance(250); }],
  ['silent and online again', (page) => { page.hide(); page.clock.advance(4000); page.show(); page.window.emit('online'); }],
]) {
  test(`${name}: the server is asked, and has 3 s`, () => {
    const page = makePage();
    const engine = connectSession(page, { heartbeat_timeout: 0 });
    sleep(page);
    assert.equal(words(engine.socket)[0], 'ack?');
    page.clock.advance(2900);
    engine.pump();
    assert.equal(engine.session.suspends, 0);
    page.clock.advance(700);
    engine.pump();
    assert.equal(engine.session.suspends, 1);
    assert.equal(engine.ending(), '');
  });
}

test('a page out of the cache has lost its socket', () => {
  const page = makePage();
  const engine = connectSession(page);
  page.window.emit('pagehide', { persisted: true });
  page.clock.block(60000);
  page.window.emit('pageshow', { persisted: true });
  comeBack(page, engine, 0);
  assert.equal(engine.session.resumes, 1);
});

test('a browser that accepts no data has lost the socket; the message is sent on the next one', () => {
  const page = makePage();
  const engine = connectSession(page);
  page.sendFails = 'no';
  engine.ref.send(bytes(1, 5));
  page.sendFails = '';
  engine.pump();
  assert.equal(engine.session.suspends, 1);
  comeBack(page, engine, 0);
  assert.deepEqual(words(engine.latest()), ['ack 0 0 unasked', 'ack?', '5']);
});

test('a socket that ends during the sending-again is lost as any other', () => {
  const page = makePage();
  const engine = connectSession(page);
  for (let i = 1; i < 4; i += 1) engine.ref.send(bytes(1, i));
  lose(page, engine);
  page.clock.advance(250);
  engine.latest().open('godot-resume.v1');
  page.sendFails = 'no';
  engine.latest().receive(`resumed 1 ${NEXT} 1`);
  page.sendFails = '';
  engine.pump();
  assert.deepEqual([engine.session.suspends, engine.session.resumes], [2, 1]);
  comeBack(page, engine, 1);
  assert.deepEqual(words(engine.latest()), ['ack 0 1 unasked', 'ack?', '2', '3']);
  assert.ok(engine.latest().protocols[1].startsWith(`godot-resume.v1.${NEXT}.`), 'with the newest token');
});

test('between the end of a socket and the event that tells of it, messages keep their numbers', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.ref.send(bytes(1, 1));
  engine.socket.readyState = 3;
  engine.ref.send(bytes(1, 2));
  page.gate.unreliable(engine.id);
  engine.ref.send(bytes(1, 3));
  lose(page, engine);
  comeBack(page, engine, 1);
  assert.deepEqual(words(engine.latest()), ['ack 0 1 unasked', 'ack?', '2']);
  assert.equal(engine.figures().packets_dropped, 1);
});

test('a game that leaves while it is away has left', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  engine.ref.close(1000, 'bye');
  assert.equal(engine.pump().state, 3);
  page.clock.advance(60000);
  assert.equal(page.sockets.length, 1);
  assert.equal(page.clock.timers.size, 0);
});

test('a game that leaves during an attempt says so on it', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  page.clock.advance(250);
  engine.ref.close(4005, 'bye');
  assert.equal(engine.pump().state, 2);
  page.window.emit('online');
  engine.latest().open('godot-resume.v1');
  engine.latest().receive(`resumed 1 ${NEXT} 0`);
  assert.deepEqual(engine.latest().closedWith, { code: 4005, reason: 'bye' });
  engine.latest().shut(4005, 'bye');
  assert.equal(engine.pump().state, 3);
  assert.equal(engine.closed.code, 4005);
  assert.equal(page.sockets.length, 2);
});

test('a game that leaves during an attempt that fails has left', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  page.clock.advance(250);
  engine.ref.close(1000, '');
  engine.latest().shut(1006);
  assert.equal(engine.pump().state, 3);
  page.clock.advance(60000);
  assert.equal(page.sockets.length, 2);
});

test('a session that is forgotten leaves nothing behind', () => {
  for (const opens of [false, true]) {
    const page = makePage();
    const engine = connectSession(page);
    lose(page, engine);
    page.clock.advance(250);
    if (opens) engine.latest().open('godot-resume.v1');
    page.gate.forget(engine.id);
    assert.equal(engine.latest().closedWith.code, 1000);
    assert.equal(engine.latest().onmessage, null);
    page.clock.advance(60000);
    assert.deepEqual([page.sockets.length, page.clock.timers.size], [2, 0]);
  }
});

test('an answer that was due on the last socket is none on the next', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.socket.receive(bytes(1));
  page.clock.advance(250);
  engine.socket.receive('ack?');
  lose(page, engine);
  comeBack(page, engine, 0);
  page.clock.advance(1000);
  assert.deepEqual(words(engine.latest()), ['ack 1 0 unasked', 'ack?']);
});

test('a socket that is lost while the game closes it has ended', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.ref.close(1000, '');
  engine.socket.shut(1006);
  assert.equal(engine.pump().state, 3);
  page.clock.advance(20000);
  assert.equal(page.sockets.length, 1);
});

test('servers that do not know the session are counted anew after each loss', () => {
  const page = makePage();
  const engine = connectSession(page);
  for (let round = 0; round < 3; round += 1) {
    lose(page, engine);
    for (let i = 0; i < 2; i += 1) {
      page.clock.advance(i === 0 ? 250 : 313);
      engine.latest().open('godot-resume.v1');
      engine.latest().shut(4410, 'unknown');
    }
    page.clock.advance(400);
    comeBack(page, engine, 0);
  }
  assert.equal(engine.session.resumes, 3);
});

test('an attempt that began in time and ends too late is not the last one', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  page.clock.advance(14000); // an attempt hangs for 5 s
  while (engine.latest().readyState !== 0) page.clock.advance(10);
  const before = page.sockets.length;
  page.clock.block(7000);
  engine.latest().shut(1006);
  assert.equal(engine.ending(), '');
  page.clock.advance(5000);
  assert.equal(page.sockets.length, before + 1);
  engine.latest().shut(1006);
  assert.equal(engine.ending().code, 1006);
});

test('the clocks begin anew on another socket', () => {
  for (const [name, before] of [
    ['long away', () => {}],
    ['asked at a wake', (page) => { page.hide(); page.clock.advance(6000); page.show(); }],
    ['asked at several wakes', (page) => { for (let i = 0; i < 3; i += 1) { page.hide(); page.clock.block(6000); page.show(); } }],
  ]) {
    const page = makePage();
    const engine = connectSession(page, { heartbeat_interval: 0, heartbeat_timeout: 0 });
    before(page);
    lose(page, engine);
    page.clock.advance(250);
    engine.latest().shut(1006);
    page.window.emit('online');
    page.clock.advance(4000);
    engine.latest().open('godot-resume.v1');
    engine.latest().receive(`resumed 1 ${NEXT} 0`);
    page.clock.advance(4500);
    engine.pump();
    assert.equal(engine.session.suspends, 1, name);
    clear(engine.latest()); // data that waits would give the server more time
    page.hide();
    page.clock.advance(6000);
    clear(engine.latest());
    page.show();
    page.clock.advance(2900);
    engine.pump();
    assert.equal(engine.session.suspends, 1, name);
    page.clock.advance(700);
    engine.pump();
    assert.equal(engine.session.suspends, 2, name);
  }
});

test('a socket that follows a silent one is doubted before it is given up', () => {
  const page = makePage();
  const engine = connectSession(page);
  page.clock.advance(5700);
  engine.pump();
  assert.equal(engine.session.suspends, 1);
  engine.latest().open('godot-resume.v1');
  engine.latest().receive(`resumed 1 ${NEXT} 0`);
  page.clock.advance(4700);
  page.clock.block(500);
  page.clock.advance(0);
  engine.latest().receive('ack 0 0');
  page.clock.advance(1000);
  engine.pump();
  assert.equal(engine.session.suspends, 1);
});

test('when the thread was blocked, the answer of an attempt is heard before it is given up', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  page.clock.advance(250);
  const attempt = engine.latest();
  attempt.open('godot-resume.v1');
  page.clock.block(6000); // the answer waits behind the timers
  assert.equal(attempt.closedWith, null);
  attempt.receive(`resumed 1 ${NEXT} 0`);
  engine.pump();
  assert.equal(engine.session.resumes, 1);
});

test('no server keeps a session for more than two minutes', () => {
  const page = makePage();
  const engine = connect(page, { offer_resume: true });
  engine.socket.open();
  engine.socket.receive('alive 1 1 1');
  engine.socket.receive(`session 1 ${TOKEN} 99999999999999`);
  engine.socket.receive('7');
  engine.pump();
  engine.socket.shut(1006);
  for (let i = 0; i < 200 && engine.ending() === ''; i += 1) {
    page.clock.advance(1000);
    if (engine.latest().readyState === 0) engine.latest().shut(1006);
  }
  assert.equal(engine.ending().code, 1006);
});

test('a server that says `end` has ended the session, whatever the code is', () => {
  for (const word of ['end', 'end of the world']) {
    const page = makePage();
    const engine = connectSession(page);
    engine.socket.receive(word);
    engine.socket.shut(1012, 'kicked');
    assert.deepEqual([engine.ending().code, engine.ending().reason], [1012, 'kicked']);
    page.clock.advance(20000);
    assert.equal(page.sockets.length, 1);
  }
});

test('a game may close with the code that gives a socket up', () => {
  const page = makePage();
  const engine = connectSession(page);
  engine.ref.close(3012, 'bye');
  assert.deepEqual(words(engine.socket), ['end']);
  assert.deepEqual(engine.socket.closedWith, { code: 3012, reason: 'bye' });
  const other = connectSession(page);
  lose(page, other);
  page.clock.advance(250);
  other.ref.close(3012, 'bye');
  other.latest().open('godot-resume.v1');
  other.latest().receive(`resumed 1 ${NEXT} 0`);
  assert.deepEqual(words(other.latest()), ['end']);
  const third = connectSession(page);
  third.ref.close(4000, 'bye');
  assert.deepEqual(words(third.socket), []);
});
