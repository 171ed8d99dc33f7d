// The server of tests/engine/cases/foreign.gd, with the package `ws`.
'use strict';

const { WebSocketServer } = require('ws');
const { checkEqual, port, run, within } = require('./case.cjs');

run(async () => {
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port,
    // Only those who ask for compression get it.
    perMessageDeflate: true,
    maxPayload: 4 << 20,
    handleProtocols: (protocols) => (protocols.has('echo') ? 'echo' : false),
    verifyClient: ({ req }, answer) => answer(req.headers['x-test'] === 'yes', 401, 'Go away'),
  });
  // By connection, in the order in which they came: a later one may end sooner.
  const ends = [];
  const errors = [];
  let connections = 0;
  let ended = 0;
  const finished = new Promise((resolve) => {
    server.on('connection', (socket, request) => {
      const number = connections;
      connections += 1;
      checkEqual(request.url, '/some/path?x=1', 'path');
      socket.on('message', (data, isBinary) => {
        const text = isBinary ? '' : data.toString();
        if (text === 'close me') {
          socket.close(4002, 'geh, schöner Gast');
        } else if (text === 'vanish') {
          socket.terminate();
        } else if (text === 'fragments') {
          const bytes = Buffer.from('one, zwö, three');
          socket.send(bytes.subarray(0, 8), { fin: false, binary: false });
          socket.ping('between');
          socket.send(bytes.subarray(8, 11), { fin: false });
          socket.send(bytes.subarray(11), { fin: true });
        } else {
          socket.send(data, { binary: isBinary });
        }
      });
      socket.on('error', (error) => errors.push(String(error)));
      socket.on('close', (code, reason) => {
        ends[number] = [code, reason.toString()];
        ended += 1;
        if (ended === 3) resolve();
      });
    });
  });
  await within(new Promise((resolve) => { server.on('listening', resolve); }), 'listening');
  console.log('READY');
  await within(finished, 'three connections', 40);
  checkEqual(errors, [], 'errors');
  checkEqual(ends, [[4001, 'adiós'], [4002, 'geh, schöner Gast'], [1006, '']], 'ends');
});
