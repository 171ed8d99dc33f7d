// The server of `cargo xtask bench --only compression` with the package `ws`: what rust/core/examples/echo.rs does.
//
// Arguments, as those of the example: the port, `wait`, and how messages are compressed: off, shared (without context takeover) or dedicated.
'use strict';

const { WebSocketServer } = require('ws');

const [port, , how] = process.argv.slice(2);
const LEVEL = 1 << 20;
const forgets = how === 'shared';
const perMessageDeflate = how !== 'off' && {
  serverNoContextTakeover: forgets,
  clientNoContextTakeover: forgets,
  threshold: 16,
};

let lastSmall = null;
const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(port), maxPayload: 8 << 20, perMessageDeflate,
});
server.on('listening', () => console.log(`echoes on port ${port}`));
server.on('connection', (client) => {
  client.on('error', (error) => console.log(`a client: ${error}`));
  client.on('message', (data) => {
    if (data.length < LEVEL) {
      lastSmall = client;
      client.send(data);
      return;
    }
    for (const other of server.clients) if (other !== lastSmall) other.send(data);
  });
});
