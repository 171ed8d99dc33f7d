// The client of tests/engine/cases/foreign_compression.gd, with the package `ws`.
'use strict';

const { randomBytes } = require('crypto');
const WebSocket = require('ws');
const { args, check, checkEqual, port, run, within } = require('./case.cjs');

const OFFERS = [
  {},
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverNoContextTakeover: true, clientNoContextTakeover: true },
  { serverMaxWindowBits: 8 },
  { serverMaxWindowBits: 9 },
  { clientMaxWindowBits: 9 },
  { serverMaxWindowBits: 10, clientMaxWindowBits: 11, serverNoContextTakeover: true },
];
// The first offers, with and without takeover of the context, get large messages, too.
const LARGE_OFFERS = 4;
// The sizes of the messages of noise, and of the large ones, of which one is noise, too.
const NOISE = [1, 50, 3000, 40000];
const LARGE = [200 * 1024, 1024 * 1024];
const SHARES = args.mode === '1';

function messages(large) {
  const all = ['', 'x'.repeat(40000), 'é'.repeat(5000), 'grüße, 世界 🙂'];
  for (let tick = 0; tick < 60; tick += 1) {
    all.push(JSON.stringify({ tick, id: 1000 + (tick % 5), place: [(tick * 7) % 50, 1.5] }));
  }
  all.push(...NOISE.map((size) => randomBytes(size)));
  all.push(JSON.stringify([...Array(9000).keys()]));
  // These are compressed and inflated in many pieces, with others behind them.
  for (const size of large ? LARGE : []) {
    const rows = [...Array(size / 32).keys()].map((row) => JSON.stringify({ row, name: 'grüße 🙂' }));
    const text = rows.join(',');
    all.push(text, randomBytes(size), randomBytes(size / 4 * 3).toString('base64'), Buffer.from(text));
  }
  return all;
}

async function talk(offer, large, last) {
  const serverKeeps = !SHARES && !offer.serverNoContextTakeover;
  const clientKeeps = !SHARES && !offer.clientNoContextTakeover;
  const answer = ['permessage-deflate'];
  if (!serverKeeps) answer.push('server_no_context_takeover');
  if (!clientKeeps) answer.push('client_no_context_takeover');
  if (offer.serverMaxWindowBits) answer.push(`server_max_window_bits=${offer.serverMaxWindowBits}`);
  const agreed = serverKeeps || clientKeeps ? 'dedicated' : 'shared';
  // No deflate of zlib has a window of 256 bytes.
  const sent = offer.serverMaxWindowBits === 8 ? 'plain' : 'compressed';
  const sending = messages(large);
  const sum = (sizes) => sizes.reduce((all, size) => all + size, 0);
  const noise = sum(large ? [...NOISE, ...LARGE] : NOISE);
  const all = sum(sending.map((message) => Buffer.byteLength(message)));
  const socket = new WebSocket(`ws://127.0.0.1:${port}/${agreed}/${sent}/${all}/${noise}`, {
    perMessageDeflate: { ...offer, threshold: 0 },
  });
  let answered = null;
  socket.on('upgrade', (response) => { answered = response.headers['sec-websocket-extensions']; });
  // The server looks at its figures when all has come back.
  const late = last ? ['statistics', 'end'] : ['statistics'];
  let received = 0;
  const done = new Promise((resolve, reject) => {
    socket.on('message', (data, isBinary) => {
      const message = sending[received];
      const what = `${JSON.stringify(offer)}: echo ${received}`;
      checkEqual(isBinary, typeof message !== 'string', `${what}: kind`);
      check(Buffer.from(message).equals(data), `${what}: ${data.length} bytes`);
      received += 1;
      if (received < sending.length) return;
      if (late.length === 0) return resolve();
      sending.push(late.shift());
      socket.send(sending.at(-1));
    });
    socket.on('error', reject);
    socket.on('close', (code, reason) => reject(new Error(`closed with ${code} ${reason}`)));
    socket.on('open', () => { for (const message of [...sending]) socket.send(message); });
  });
  await within(done, JSON.stringify(offer));
  checkEqual(answered, answer.join('; '), `answer to ${JSON.stringify(offer)}`);
  socket.removeAllListeners('close');
  socket.close(1000);
}

run(async () => {
  for (const [index, offer] of OFFERS.entries()) await talk(offer, index < LARGE_OFFERS, index === OFFERS.length - 1);
});
