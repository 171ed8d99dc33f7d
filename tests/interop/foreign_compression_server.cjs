// The server of tests/engine/cases/foreign_compression.gd, with the package `ws`: each path has its own way to negotiate.
'use strict';

const http = require('http');
const { WebSocketServer } = require('ws');
const { args, check, checkEqual, port, run, within } = require('./case.cjs');

const OPTIONS = [
  {},
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverNoContextTakeover: true, clientNoContextTakeover: true },
  { serverNoContextTakeover: false },
  { clientMaxWindowBits: 8 },
  { clientMaxWindowBits: 9 },
  { serverMaxWindowBits: 10 },
  { clientMaxWindowBits: 12, serverMaxWindowBits: 12 },
];
const SHARES = args.mode === '1';
const OFFERS = SHARES
  ? 'permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits, '
    + 'permessage-deflate; client_max_window_bits'
  : 'permessage-deflate; client_max_window_bits';

// What a client gets that offers this: a server that wants to keep its window takes the second offer.
function agreement(option) {
  const takesFirst = SHARES && option.serverNoContextTakeover !== false;
  const serverKeeps = !takesFirst && !option.serverNoContextTakeover;
  const clientKeeps = !SHARES && !option.clientNoContextTakeover;
  return serverKeeps || clientKeeps ? 'dedicated' : 'shared';
}

run(async () => {
  const servers = OPTIONS.map((option) => new WebSocketServer({
    noServer: true,
    maxPayload: 4 << 20,
    perMessageDeflate: { ...option, threshold: 0 },
  }));
  const errors = [];
  const web = http.createServer();
  const finished = new Promise((resolve) => {
    web.on('upgrade', (request, socket, head) => {
      const number = Number(request.url.slice(1));
      checkEqual(request.headers['sec-websocket-extensions'], OFFERS, 'what is offered');
      servers[number].handleUpgrade(request, socket, head, (peer) => {
        check(peer.extensions === 'permessage-deflate', `${request.url}: extensions: ${peer.extensions}`);
        const last = number === OPTIONS.length - 1;
        const sends = OPTIONS[number].clientMaxWindowBits === 8 ? 'plain' : 'compressed';
        peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }));
        peer.on('error', (error) => errors.push(`${request.url}: ${error}`));
        peer.on('close', () => { if (last) resolve(); });
        peer.send(`${agreement(OPTIONS[number])} ${sends} ${last ? 'last' : 'more'}`);
      });
    });
  });
  await within(new Promise((resolve) => { web.listen(port, '127.0.0.1', resolve); }), 'listening');
  console.log('READY');
  await within(finished, 'the last connection', 50);
  checkEqual(errors, [], 'errors');
});
