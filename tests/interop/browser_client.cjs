// The pages of tests/engine/cases/browser.gd, in a headless Chromium that playwright-core drives.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');
const { launch } = require('./chromium.cjs');
const { args, check, checkEqual, port, run } = require('./case.cjs');

const URL = `${args.tls ? 'wss' : 'ws'}://localhost:${port}/chat`;
const SIZES = [0, 1, 125, 126, 60 * 1024];

// Runs in the page.
function chat(url) {
  const socket = new WebSocket(url, ['nonsense', 'chat']);
  socket.binaryType = 'arraybuffer';
  const events = [];
  const waiting = [];
  const note = (event) => {
    events.push(event);
    waiting.splice(0).forEach((wake) => wake());
  };
  socket.onopen = () => note({ kind: 'open', protocol: socket.protocol, extensions: socket.extensions });
  socket.onmessage = ({ data }) => note(typeof data === 'string'
    ? { kind: 'text', text: data }
    : { kind: 'bytes', bytes: Array.from(new Uint8Array(data)) });
  socket.onclose = ({ code, reason, wasClean }) => note({ kind: 'close', code, reason, wasClean });
  window.say = (text) => socket.send(text);
  window.sayBytes = (bytes) => socket.send(new Uint8Array(bytes));
  window.leave = (code, reason) => socket.close(code, reason);
  window.next = async () => {
    while (events.length === 0) await new Promise((wake) => { waiting.push(wake); });
    return events.shift();
  };
}

const CLOSED_BY_PAGE = { kind: 'close', code: 4001, reason: 'adiós', wasClean: true };
const CLOSED_BY_SERVER = { kind: 'close', code: 4002, reason: 'geh, schöner Gast', wasClean: true };
const REFUSED = { kind: 'close', code: 1006, reason: '', wasClean: false };
const SERVER_ENDED = { kind: 'close', code: 1001, reason: '', wasClean: true };
// What the browser shows of the answer to its offer, by `compression_mode`.
const EXTENSIONS = {
  1: 'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
  2: 'permessage-deflate',
};
const OPENED = { kind: 'open', protocol: 'chat', extensions: EXTENSIONS[args.mode] ?? '' };

async function enter(browser, address) {
  const page = await browser.newPage();
  page.setDefaultTimeout(10000);
  await page.goto(address);
  await page.evaluate(chat, URL);
  return page;
}

function next(page) {
  return page.evaluate(() => window.next());
}

// Tells the browser to accept the key of this certificate, and no other.
function trust(certificate) {
  const key = new crypto.X509Certificate(certificate).publicKey;
  const hash = crypto.createHash('sha256').update(key.export({ type: 'spki', format: 'der' }));
  return `--ignore-certificate-errors-spki-list=${hash.digest('base64')}`;
}

run(async () => {
  const site = http.createServer((_, answer) => {
    answer.setHeader('Content-Type', 'text/html');
    answer.end('<!doctype html><title>Chat</title>');
  });
  await new Promise((resolve) => { site.listen(0, 'localhost', resolve); });
  const address = `http://localhost:${site.address().port}/`;
  const flags = [];
  if (args.tls) {
    const strict = await launch([]);
    checkEqual(await next(await enter(strict, address)), REFUSED, 'a certificate that nobody trusts');
    await strict.close();
    flags.push(trust(fs.readFileSync(path.join(args.scratch, 'server.crt'))));
  }
  const browser = await launch(flags);
  console.log(`Chromium ${browser.version()}`);

  const a = await enter(browser, address);
  checkEqual(await next(a), OPENED, 'the first page');
  const b = await enter(browser, address);
  checkEqual(await next(b), OPENED, 'the second page');
  for (const text of ['hello', '', 'grüße, 世界 🙂', 'x'.repeat(60 * 1024)]) {
    await a.evaluate((it) => window.say(it), text);
    checkEqual(await next(b), { kind: 'text', text }, `text of ${text.length}`);
  }
  for (const size of SIZES) {
    const bytes = Array.from({ length: size }, (_, at) => (at * 31 + (at >> 8)) & 255);
    await b.evaluate((them) => window.sayBytes(them), bytes);
    const heard = await next(a);
    check(heard.kind === 'bytes', `${size} bytes came as ${heard.kind}`);
    checkEqual(heard.bytes, bytes, `${size} bytes`);
  }
  await a.evaluate(() => window.leave(4001, 'adiós'));
  checkEqual(await next(a), CLOSED_BY_PAGE, 'the close of the first page');
  await b.evaluate(() => window.say('close me'));
  checkEqual(await next(b), CLOSED_BY_SERVER, 'the close of the server');

  const c = await enter(browser, address);
  checkEqual(await next(c), OPENED, 'the third page');
  await c.goto('about:blank');
  const d = await enter(browser, address);
  checkEqual(await next(d), OPENED, 'the fourth page');
  checkEqual(await next(d), SERVER_ENDED, 'the end of the server');
  await browser.close();
});
