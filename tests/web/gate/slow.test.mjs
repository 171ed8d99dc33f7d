// Sessions on slow lines, in pages that are hidden for long, and behind gateways that are being restarted.
import assert from 'node:assert/strict';
import test from 'node:test';
import { NEXT, bytes, clear, comeBack, connectSession, lose, makePage } from './page.mjs';

// The clock goes on for so long; a connection that was lost comes back at once, and a message comes whenever it is whole after so long.
// Answers how often the connection was lost.
function play(page, engine, time, whole = Infinity) {
  const before = engine.session.suspends;
  let began = page.clock.time;
  for (const end = began + time; page.clock.time < end;) {
    page.clock.advance(50);
    const socket = engine.latest();
    if (socket.readyState === 0) {
      socket.open('godot-resume.v1');
      socket.receive(`resumed 1 ${NEXT} 0`);
      began = page.clock.time;
    } else if (page.clock.time - began >= whole && socket.closedWith === null) {
      socket.receive(bytes(10));
      began = page.clock.time;
    }
    clear(engine.latest());
    engine.pump();
  }
  assert.equal(engine.ending(), '');
  return engine.session.suspends - before;
}

// How long the server is silent when the connection is given up.
function silence(page, engine) {
  engine.latest().receive(bytes(1));
  const [began, before] = [page.clock.time, engine.session.suspends];
  while (engine.session.suspends === before) {
    page.clock.advance(50);
    engine.pump();
    assert.ok(page.clock.time - began < 100000, 'it is never given up');
  }
  return page.clock.time - began;
}

function isAbout(time, expected, what) {
  assert.ok(time >= expected && time <= expected + 600, `${what}: ${time} ms, not ${expected} ms`);
}

test('messages that take 8 s each cost one loss', () => {
  const page = makePage();
  const engine = connectSession(page);
  assert.equal(play(page, engine, 660000, 8000), 1);
  assert.ok(engine.packets.length >= 80);
});

test('a line that is not slow any more is given up after 5 s again', () => {
  const page = makePage();
  const engine = connectSession(page);
  for (const [expected, round] of [[5000, 1], [10000, 2], [20000, 3]]) {
    isAbout(silence(page, engine), expected, `loss ${round}`);
    comeBack(page, engine, 0);
  }
  assert.equal(play(page, engine, 61000, 1000), 0);
  isAbout(silence(page, engine), 20000, 'a minute later');
  comeBack(page, engine, 0);
  assert.equal(play(page, engine, 125000, 1000), 0);
  isAbout(silence(page, engine), 10000, 'two minutes later');
  comeBack(page, engine, 0);
  assert.equal(play(page, engine, 600000, 1000), 0);
  isAbout(silence(page, engine), 5000, 'ten minutes later');
});

test('however often an idle page has lost its connection, it notices in time', () => {
  const page = makePage();
  const engine = connectSession(page);
  for (let round = 0; round < 10; round += 1) {
    // The server notices after 15 s, and keeps the session for 20 s.
    assert.ok(silence(page, engine) <= 15000 + 10000 + 600, `loss ${round}`);
    comeBack(page, engine, 0);
    if (round > 6) page.hide();
  }
});

test('online again with a long queue: the answer has the usual time', () => {
  for (const [waiting, losses] of [[100000, 0], [100, 1]]) {
    const page = makePage();
    const engine = connectSession(page);
    engine.ref.send(bytes(waiting));
    page.window.emit('online');
    page.clock.advance(4000);
    engine.pump();
    assert.equal(engine.session.suspends, losses, `${waiting} bytes`);
    page.clock.advance(1600);
    engine.pump();
    assert.equal(engine.session.suspends, 1, `${waiting} bytes`);
  }
});

test('online again in the middle of a long message: a slow line has more time for the answer', () => {
  const page = makePage();
  const engine = connectSession(page);
  silence(page, engine);
  comeBack(page, engine, 0);
  clear(engine.latest());
  page.window.emit('online');
  page.clock.advance(5700);
  engine.pump();
  assert.equal(engine.session.suspends, 1);
  page.clock.advance(900);
  engine.pump();
  assert.equal(engine.session.suspends, 2);
});

for (const [throttle, most, what] of [['chains', 17000, 'as a server'], ['all', 181000, 'within three minutes']]) {
  test(`a page that is hidden for minutes notices a silent loss ${what}: ${throttle}`, () => {
    const page = makePage();
    const engine = connectSession(page);
    page.hide();
    page.clock.throttle = throttle;
    for (let i = 0; i < 60; i += 1) {
      page.clock.advance(10000);
      engine.socket.receive('ack 0 0 unasked');
      clear(engine.socket);
    }
    engine.pump();
    assert.equal(engine.session.suspends, 0);
    const began = page.clock.time;
    while (engine.session.suspends === 0 && page.clock.time - began < 400000) {
      page.clock.advance(500);
      engine.pump();
    }
    assert.ok(page.clock.time - began <= most, `${page.clock.time - began} ms`);
  });
}

test('shown twice before the answer can come: the second time it has 3 s as well', () => {
  const page = makePage();
  const engine = connectSession(page);
  for (const time of [1000, 2900]) {
    page.hide();
    page.clock.block(60000);
    page.show();
    page.clock.advance(time);
  }
  engine.pump();
  assert.equal(engine.session.suspends, 0);
  page.clock.advance(700);
  engine.pump();
  assert.equal(engine.session.suspends, 1);
});

test('a page that is hidden for minutes tries to come back as often as one that is shown', () => {
  const page = makePage();
  const engine = connectSession(page);
  page.hide();
  page.clock.throttle = 'chains';
  lose(page, engine);
  const before = page.sockets.length;
  page.clock.advance(26000); // each attempt hangs for 5 s
  assert.ok(page.sockets.length - before >= 4, `${page.sockets.length - before} attempts`);
});

test('a gateway that says for 9 s that it is busy throws nobody out', () => {
  for (const [time, ends] of [[9000, false], [15000, true]]) {
    const page = makePage();
    const engine = connectSession(page);
    lose(page, engine);
    const began = page.clock.time;
    const codes = [1011, 1001, 1013];
    for (let i = 0; page.clock.time - began < time && !engine.ending(); i += 1) {
      page.clock.advance(50);
      if (engine.latest().readyState !== 0) continue;
      engine.latest().open('godot-resume.v1');
      engine.latest().shut(codes[i % 3], 'restarting');
    }
    assert.equal(Boolean(engine.ending()), ends);
    if (ends) assert.equal(engine.ending().reason, 'restarting');
    else comeBack(page, engine, 0, NEXT, 5000);
  }
});

test('busy answers are counted in a row', () => {
  const page = makePage();
  const engine = connectSession(page);
  lose(page, engine);
  for (const code of [1013, 1013, 1006, 1013, 1006, 1013]) {
    assert.equal(engine.ending(), '');
    page.clock.advance(3000);
    if (engine.latest().readyState === 3) page.window.emit('online');
    assert.equal(engine.latest().readyState, 0);
    engine.latest().open('godot-resume.v1');
    engine.latest().shut(code);
  }
  assert.equal(engine.ending(), '');
});

test('busy answers are counted anew after each loss', () => {
  const page = makePage();
  const engine = connectSession(page);
  for (const answers of [2, 1]) {
    lose(page, engine);
    for (let i = 0; i < answers; i += 1) {
      page.clock.advance(i === 0 ? 250 : 313);
      engine.latest().open('godot-resume.v1');
      engine.latest().shut(1013);
    }
    assert.equal(engine.ending(), '');
    comeBack(page, engine, 0, NEXT, 650);
    assert.equal(play(page, engine, 20000, 1000), 0);
  }
});

test('an attempt may take as long as the game says, but no longer than a session lasts', () => {
  for (const [time, least, most] of [[0, 4900, 5600], [8000, 7900, 8600], [3e9, 119000, 121000]]) {
    const page = makePage();
    const engine = connectSession(page, { attempt_timeout: time });
    lose(page, engine);
    page.clock.advance(250);
    const [attempt, began] = [engine.latest(), page.clock.time];
    while (attempt.closedWith === null && page.clock.time - began < 200000) page.clock.advance(50);
    assert.ok(page.clock.time - began >= least - 250 && page.clock.time - began <= most, `${time}: ${page.clock.time - began} ms`);
  }
});
