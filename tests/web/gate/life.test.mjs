// The life of a page: hidden, frozen, put away, asleep.
import assert from 'node:assert/strict';
import test from 'node:test';
import { bytes, connect, connectAgreed, makePage } from './page.mjs';

test('hidden: everything waits, nothing is closed, a waiting answer goes out', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  engine.socket.receive('ack?');
  engine.socket.receive('ack?');
  page.hide();
  page.document.emit('freeze');
  page.window.emit('pagehide', { persisted: false });
  assert.deepEqual(engine.socket.out, ['ack 0 0', 'ack 0 0']);
  for (let i = 0; i < 1000; i += 1) engine.socket.receive(bytes(100));
  page.clock.advance(20000);
  assert.equal(engine.socket.closedWith, null);
  assert.equal(engine.pump(1 << 20, 2000).handed, 1001);
});

for (const [name, sleep] of [
  ['shown again', (page) => { page.hide(); page.clock.block(6000); page.show(); }],
  ['resumed', (page) => { page.document.emit('freeze'); page.clock.block(6000); page.document.emit('resume'); }],
  ['a blocked thread', (page) => { page.clock.block(6000); page.clock.advance(0); }],
  ['a suspended machine', (page) => { page.clock.asleep += 3600000; page.clock.advance(1000); }],
]) {
  test(`${name}: the server is asked, and lost when it does not answer`, () => {
    const page = makePage();
    const engine = connectAgreed(page);
    sleep(page);
    assert.equal(engine.socket.out[0], 'ack?');
    page.clock.advance(2900);
    assert.equal(engine.ending(), '');
    page.clock.advance(3000);
    assert.equal(engine.ending().code, 1006);
    assert.equal(engine.ending().words, 'the connection was lost while the page slept: the server does not answer');
  });

  test(`${name}: any byte shows that the server is there`, () => {
    const page = makePage();
    const engine = connectAgreed(page);
    sleep(page);
    page.clock.advance(2900);
    engine.socket.receive(bytes(1));
    page.clock.advance(15000);
    assert.equal(engine.ending(), '');
  });
}

test('an answer behind the timer counts: the thread was blocked, not the server silent', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.hide();
  page.clock.advance(6000);
  page.show();
  page.clock.advance(2000);
  page.clock.block(1500);
  page.clock.advance(0);
  engine.socket.receive('ack 0 1');
  page.clock.advance(15000);
  assert.equal(engine.ending(), '');
});

test('a short time hidden with data asks nothing', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.hide();
  page.clock.advance(2000);
  engine.socket.receive(bytes(1));
  page.clock.advance(2000);
  page.show();
  assert.deepEqual(engine.socket.out, []);
});

test('a silent time of 3 s while hidden asks', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.hide();
  page.clock.advance(3000);
  page.show();
  assert.deepEqual(engine.socket.out, ['ack?']);
});

test('the time hidden begins with the first sign, and ends when shown', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.hide();
  page.clock.advance(4000);
  page.document.emit('freeze');
  page.clock.advance(2000);
  engine.socket.receive(bytes(1));
  page.show();
  assert.deepEqual(engine.socket.out, ['ack?']);
  engine.socket.receive('ack 0 1');
  page.clock.advance(6000);
  engine.socket.receive(bytes(1));
  page.window.emit('pageshow', { persisted: false });
  assert.deepEqual(engine.socket.out, ['ack?']);
});

for (const [target, away, back] of [['document', 'freeze', 'resume'], ['window', 'pagehide', 'pageshow']]) {
  test(`${away} and ${back} measure the time by the wall clock`, () => {
    const page = makePage();
    const engine = connectAgreed(page);
    page[target].emit(away, { persisted: false });
    page.clock.asleep += 6000;
    page[target].emit(back, { persisted: false });
    assert.deepEqual(engine.socket.out, ['ack?']);
  });
}

test('time asleep is no silence', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.clock.advance(50000);
  page.clock.block(40000);
  page.clock.advance(1500);
  assert.equal(engine.ending(), '');
  engine.socket.receive('ack 0 1');
  page.clock.advance(59000);
  assert.equal(engine.ending(), '');
});

test('timers once per minute, as of a page long hidden, end nothing', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.hide();
  for (let minute = 0; minute < 10; minute += 1) {
    page.clock.block(60000);
    page.clock.advance(0);
    engine.socket.receive('ack 0 1');
  }
  assert.equal(engine.ending(), '');
});

test('while the browser is offline only the usual timeout counts', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.window.navigator.onLine = false;
  page.hide();
  page.clock.block(6000);
  page.show();
  page.clock.advance(30000);
  assert.equal(engine.ending(), '');
  page.window.navigator.onLine = true;
  engine.socket.out.length = 0;
  page.window.emit('online');
  assert.deepEqual(engine.socket.out, ['ack?']);
  page.clock.advance(2900);
  assert.equal(engine.ending(), '');
  page.clock.advance(3000);
  assert.equal(engine.ending().code, 1006);
});

for (const interval of [0, 20000]) {
  test(`after a sleep, a server whose interval is ${interval} ms has 3 s`, () => {
    const page = makePage();
    const engine = connect(page);
    engine.socket.open();
    engine.socket.receive(`alive 1 ${interval} 60000`);
    engine.socket.receive('ack 0 0');
    engine.socket.bufferedAmount = 0;
    page.hide();
    page.clock.block(6000);
    page.show();
    page.clock.advance(2900);
    assert.equal(engine.ending(), '');
    page.clock.advance(3000);
    assert.equal(engine.ending().code, 1006);
  });
}

test('after a sleep, a server that does not read shows itself unasked', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.hide();
  page.clock.block(6000);
  page.show();
  for (let second = 0; second < 30; second += 1) {
    page.clock.advance(1000);
    engine.socket.receive('ack 0 1 unasked');
  }
  assert.equal(engine.ending(), '');
});

test('the page sleeps again before the answer can come: the next wake waits anew', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.hide();
  page.clock.block(6000);
  page.show();
  page.clock.advance(1100);
  page.hide();
  page.clock.block(600000);
  page.show();
  page.clock.advance(2900);
  assert.equal(engine.ending(), '');
  engine.socket.receive('ack 0 1');
  page.clock.advance(19000);
  assert.equal(engine.ending(), '');
});

test('timers once per minute end what is lost', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  page.hide();
  let minutes = 0;
  for (; minutes < 10 && engine.ending() === ''; minutes += 1) {
    page.clock.block(60000);
    page.clock.advance(0);
  }
  assert.equal(minutes, 4);
  assert.equal(engine.ending().code, 1006);
});

test('timers once per minute end what is lost, also behind data that waits', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  engine.socket.bufferedAmount = 100000;
  page.hide();
  for (let minute = 0; minute < 6; minute += 1) {
    page.clock.block(60000);
    page.clock.advance(0);
  }
  assert.equal(engine.ending().words, 'the connection was lost: nothing came from the server for 60 s');
});

test('after a sleep, a question behind data that waits has the usual time', () => {
  const page = makePage();
  const engine = connectAgreed(page);
  engine.socket.bufferedAmount = 100000;
  page.hide();
  page.clock.block(6000);
  page.show();
  page.clock.advance(30000);
  assert.equal(engine.ending(), '');
});

test('a page out of the back/forward cache has lost its sockets', () => {
  const page = makePage();
  const engine = connect(page);
  engine.socket.open();
  page.window.emit('pageshow', { persisted: false });
  assert.equal(engine.pump().state, 1);
  page.window.emit('pageshow', { persisted: true });
  assert.equal(engine.pump().state, 3);
  assert.match(engine.ending().words, /put the page away/);
  assert.equal(engine.ending().silent, false);
});

test('a server without `alive` is neither asked nor lost', () => {
  const page = makePage();
  const engine = connect(page);
  engine.socket.open();
  engine.socket.receive(bytes(4));
  page.hide();
  page.clock.block(600000);
  page.show();
  page.window.emit('online');
  page.clock.advance(600000);
  assert.deepEqual(engine.socket.out, []);
  assert.equal(engine.pump().state, 1);
});
