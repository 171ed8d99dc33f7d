// Opening, sending and closing as the engine does them. Nothing throws.
import assert from 'node:assert/strict';
import test from 'node:test';
import { bytes, connect, makePage } from './page.mjs';

test('the engine gets a stand-in, and the page its WebSocket back', () => {
  const page = makePage();
  const real = page.window.WebSocket;
  const engine = connect(page, { offer_alive: false }, 'wss://host/path?a=b', ['one', 'two']);
  assert.equal(page.window.WebSocket, real);
  assert.equal(engine.seated, true);
  assert.equal(page.sockets.length, 1);
  assert.equal(engine.socket.url, 'wss://host/path?a=b');
  assert.deepEqual(Array.from(engine.socket.protocols), ['one', 'two']);
  assert.equal(engine.socket.binaryType, 'arraybuffer');
  assert.equal(engine.ref.readyState, 0);
  engine.socket.open('two');
  assert.equal(engine.opened, 1);
  assert.equal(engine.ref.readyState, engine.ref.OPEN);
  assert.equal(engine.ref.protocol, 'two');
});

test('what was agreed about compression is told', () => {
  const page = makePage();
  for (const [extensions, expected] of [
    [undefined, 0],
    ['', 0],
    ['permessage-deflate', 2],
    ['permessage-deflate; server_no_context_takeover', 2],
    ['permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=15', 1],
  ]) {
    const engine = connect(page);
    engine.socket.extensions = extensions;
    engine.socket.open();
    assert.equal(engine.figures().compression, expected, extensions);
  }
});

test('an engine that made no WebSocket, or another, is noticed', () => {
  const page = makePage();
  const real = page.window.WebSocket;
  page.gate.open('ws://host/', '[]', '{}');
  const id = page.gate.open('ws://host/', '[]', '{}');
  assert.equal(page.sockets.length, 2);
  assert.equal(page.gate.seat(id), false);
  assert.equal(page.window.WebSocket, real);
});

test('the offer is an item of the query', () => {
  const page = makePage();
  const item = 'godot-multiplayer=alive.v1';
  for (const [url, expected] of [
    ['ws://host', `ws://host?${item}`],
    ['ws://host:9080/path', `ws://host:9080/path?${item}`],
    ['ws://host/?a=b', `ws://host/?a=b&${item}`],
    ['ws://host/?', `ws://host/?${item}`],
    ['ws://host/?a&', `ws://host/?a&${item}`],
  ]) assert.equal(connect(page, {}, url).socket.url, expected);
});

test('what the browser refuses is told in its words, at the next poll', () => {
  const page = makePage();
  const engine = connect(page, {}, 'http://host/');
  assert.equal(page.sockets.length, 0);
  assert.equal(engine.closed, null);
  assert.deepEqual(engine.ending(), { code: 1006, reason: '', clean: false, words: "The URL's scheme must be either 'ws' or 'wss'.", opened: false, silent: false });
  engine.ref.send(bytes(1));
  engine.ref.close(1000, '');
  assert.equal(engine.pump().state, 3);
  assert.equal(engine.closed.code, 1006);
});

test('the words of the browser lose the path and the query of the URL', () => {
  const page = makePage();
  for (const [words, expected] of [
    ["The URL 'wss://host:9080/path?ticket=1' is invalid.", "The URL 'wss://host:9080' is invalid."],
    ['Refused: WS://[::1]:9080?ticket=1', 'Refused: WS://[::1]:9080'],
    ['wss://host/?a wss://host#b', 'wss://host wss://host'],
    ["Refused to connect to 'wss://host/O'Brien?ticket=1' because", "Refused to connect to 'wss://host' because"],
    ["at 'wss://host/a?ticket=1', and at wss://host/b.", "at 'wss://host', and at wss://host."],
  ]) {
    page.dialFails = words;
    assert.equal(connect(page, {}, 'wss://host:9080/path?ticket=1').ending().words, expected);
  }
});

test('a connection that fails is closed, not open', () => {
  const engine = connect(makePage());
  engine.socket.shut(1006, '', false);
  assert.equal(engine.ref.readyState, 0);
  assert.equal(engine.pump().state, 3);
  assert.equal(engine.ending().opened, false);
});

test('what the engine sends goes out at once', () => {
  const engine = connect(makePage());
  engine.socket.open();
  engine.ref.send(bytes(3));
  engine.ref.send('text');
  assert.equal(engine.socket.out[0].byteLength, 3);
  assert.equal(engine.socket.out[1], 'text');
  const figures = engine.figures();
  assert.equal(figures.packets_out, 2);
  assert.equal(figures.bytes_out, 7);
});

test('what this task sent is not counted as unsent before it', async () => {
  const engine = connect(makePage());
  engine.socket.open();
  engine.ref.send(bytes(1000));
  assert.deepEqual([engine.pump().unsent, engine.pump().buffered], [0, 1000]);
  await null;
  assert.deepEqual([engine.pump().unsent, engine.pump().buffered], [1000, 1000]);
  engine.ref.send(bytes(500));
  assert.deepEqual([engine.pump().unsent, engine.pump().buffered], [1000, 1500]);
  engine.socket.bufferedAmount = 0;
  await null;
  assert.deepEqual([engine.pump().unsent, engine.pump().buffered], [0, 0]);
});

test('sending to a remote that is gone is counted, and does not throw', () => {
  const engine = connect(makePage());
  engine.ref.send(bytes(1));
  engine.socket.open();
  engine.socket.receive(bytes(1));
  engine.socket.shut(1001);
  assert.equal(engine.ref.readyState, 1);
  engine.ref.send(bytes(1));
  assert.equal(engine.figures().packets_to_closed, 2);
  assert.equal(engine.socket.out.length, 0);
});

test('a browser that does not accept data ends the connection with its words', () => {
  const page = makePage();
  const engine = connect(page);
  engine.socket.open();
  page.sendFails = 'too much';
  engine.ref.send(bytes(1));
  assert.equal(engine.figures().packets_out, 0);
  assert.equal(engine.pump().state, 3);
  assert.match(engine.ending().words, /did not accept data: too much/);
});

test('the end waits for the last message', () => {
  const engine = connect(makePage());
  engine.socket.open();
  for (let i = 0; i < 20; i += 1) engine.socket.receive(bytes(100));
  engine.socket.shut(4001, 'kicked');
  assert.equal(engine.pump(65535, 19).state, 1);
  assert.equal(engine.closed, null);
  assert.equal(engine.pump(65535, 19).state, 3);
  assert.equal(engine.packets.length, 20);
  assert.deepEqual({ ...engine.closed }, { code: 4001, reason: 'kicked', wasClean: true });
  assert.equal(engine.ref.readyState, 3);
});

test('closing: a code or a reason that the browser refuses closes all the same', () => {
  for (const [code, reason] of [[1000, 'bye'], [4000, ''], [1001, ''], [-1, ''], [NaN, ''], [70000, ''], [1000, 'é'.repeat(100)]]) {
    const engine = connect(makePage());
    engine.socket.open();
    engine.ref.close(code, reason);
    assert.equal(engine.socket.readyState, 2, `${code}`);
    assert.equal(engine.ref.readyState, engine.ref.CLOSING);
    engine.ref.send(bytes(1));
    engine.ref.close(1000, '');
    engine.socket.shut(1000);
    assert.equal(engine.pump().state, 3);
  }
});

test('numbers may come as BigInt', () => {
  const page = makePage();
  const engine = connect(page);
  engine.socket.open();
  engine.socket.receive(bytes(1));
  assert.match(page.gate.pump(BigInt(engine.id), 65535n, 512n), /^1 1 /);
  page.gate.heartbeat(BigInt(engine.id), 1000n, 3000n);
  page.gate.close(BigInt(engine.id), 4005n, 'x');
  assert.deepEqual(engine.socket.closedWith, { code: 4005, reason: 'x' });
  page.gate.forget(BigInt(engine.id));
  assert.equal(page.gate.figures(engine.id), '');
});

test('a forgotten connection is closed, and everything answers for an id that is not there', () => {
  const page = makePage();
  const engine = connect(page);
  engine.socket.open();
  page.gate.forget(engine.id);
  assert.equal(engine.socket.closedWith.code, 1000);
  assert.equal(engine.ref.readyState, engine.ref.CLOSING);
  engine.socket.receive(bytes(1));
  for (const id of [engine.id, 99]) {
    assert.equal(engine.pump().state, 3);
    assert.equal(page.gate.seat(id), false);
    for (const name of ['ending', 'figures']) assert.equal(page.gate[name](id), '');
    for (const name of ['close', 'heartbeat', 'wake', 'forget']) page.gate[name](id, 1, 1);
  }
});

test('two connections of one page do not know each other', () => {
  const page = makePage();
  const [a, b] = [connect(page), connect(page)];
  a.socket.open();
  b.socket.open();
  a.socket.receive(bytes(1, 1));
  b.socket.receive(bytes(1, 2));
  a.pump();
  assert.equal(b.packets.length, 0);
  page.gate.forget(a.id);
  b.pump();
  assert.equal(new Uint8Array(b.packets[0])[0], 2);
  assert.equal(b.pump().state, 1);
});

test('the gate is there once, and not where there is no window', () => {
  const page = makePage();
  const { gate } = page;
  assert.equal(page.load(), page.version);
  assert.equal(page.window.__bws, gate);
  page.window.__bws = { version: page.version - 1 };
  page.load();
  assert.equal(page.window.__bws.version, page.version);
});

test('there is no gate without gate_page.js, which keeps its first state', () => {
  const page = makePage({ life: false });
  assert.equal(page.version, 0);
  assert.equal(page.gate, undefined);
  page.loadLife();
  const { __bwsPage: life } = page.window;
  assert.notEqual(page.load(), 0);
  page.loadLife();
  assert.equal(page.window.__bwsPage, life);
});
