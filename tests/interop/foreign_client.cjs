// The client of tests/engine/cases/foreign.gd, with the package `ws`.
'use strict';

const WebSocket = require('ws');
const { check, checkEqual, pattern, port, run, within } = require('./case.cjs');

const URL = `ws://127.0.0.1:${port}/path?query=1`;
const SIZES = [0, 1, 125, 126, 65535, 65536, 60 * 1024, 1 << 20];

function open(protocols) {
  const socket = new WebSocket(URL, protocols);
  socket.inbox = [];
  socket.waiting = null;
  socket.on('message', (data, isBinary) => {
    socket.inbox.push({ data, isBinary });
    if (socket.waiting) socket.waiting();
  });
  socket.closed = new Promise((resolve) => {
    socket.on('close', (code, reason) => resolve([code, reason.toString()]));
  });
  const opened = new Promise((resolve, reject) => {
    socket.on('open', () => resolve(socket));
    socket.on('error', reject);
  });
  return within(opened, `connection with ${protocols}`);
}

async function next(socket) {
  while (socket.inbox.length === 0) {
    await within(new Promise((resolve) => { socket.waiting = resolve; }), 'next message');
  }
  return socket.inbox.shift();
}

async function echoes(socket, message, what) {
  const { data, isBinary } = await next(socket);
  checkEqual(isBinary, typeof message !== 'string', `kind of the echo of ${what}`);
  check(Buffer.from(message).equals(data), `echo of ${what}: ${data.length} bytes`);
}

run(async () => {
  const first = await open(['nonsense', 'echo']);
  checkEqual(first.protocol, 'echo', 'subprotocol');
  checkEqual(first.extensions, '', 'extensions: compression was offered');
  for (const text of ['', 'grüße, 世界 🙂', 'x'.repeat(1 << 20)]) {
    first.send(text);
    await echoes(first, text, `text of ${text.length}`);
  }
  for (const size of SIZES) {
    first.send(pattern(size));
    await echoes(first, pattern(size), `${size} bytes`);
  }
  // Fragments that split a letter, a ping between them.
  const bytes = Buffer.from('one, zwö, three');
  const ponged = new Promise((resolve) => { first.on('pong', (data) => resolve(data.toString())); });
  first.send(bytes.subarray(0, 8), { fin: false, binary: false });
  first.ping('between');
  first.send(bytes.subarray(8, 11), { fin: false });
  first.send(bytes.subarray(11), { fin: true });
  await echoes(first, 'one, zwö, three', 'a text in fragments');
  checkEqual(await within(ponged, 'pong'), 'between', 'payload of the pong');
  const large = pattern(1 << 20);
  for (let at = 0; at < large.length; at += 65536) {
    first.send(large.subarray(at, at + 65536), { fin: at + 65536 === large.length });
  }
  await echoes(first, large, '1 MiB in 16 fragments');
  first.close(4001, 'adiós');
  checkEqual(await within(first.closed, 'close'), [4001, 'adiós'], 'own close');

  const second = await open(['echo']);
  second.send('close me');
  checkEqual(await within(second.closed, 'close'), [4002, 'geh, schöner Gast'], 'close of the server');

  const refusal = await open(['nonsense']).then(() => 'no refusal', (error) => error.message);
  checkEqual(refusal, 'Unexpected server response: 400', 'connection with a wrong subprotocol');

  const third = await open(['chess']);
  third.send('end');
  checkEqual(await within(third.closed, 'close'), [1001, ''], 'end of the server');
});
