// A network between a page and a server, which the test cuts.
'use strict';

const net = require('net');

class Cutter {
  constructor(port) {
    this.port = port;
    this.ways = new Set();
    this.isOffline = false;
    this.requests = []; // what pages have sent first
  }

  static async to(port) {
    const cutter = new Cutter(port);
    cutter.server = net.createServer((page) => cutter.join(page));
    await new Promise((resolve) => { cutter.server.listen(0, '127.0.0.1', resolve); });
    cutter.place = cutter.server.address().port;
    return cutter;
  }

  join(page) {
    if (this.isOffline) {
      page.resetAndDestroy();
      return;
    }
    const server = net.connect(this.port, '127.0.0.1');
    const way = { page, server };
    this.ways.add(way);
    page.once('data', (bytes) => this.requests.push(bytes.toString('latin1')));
    for (const [from, to] of [[page, server], [server, page]]) {
      from.on('error', () => {});
      from.on('close', () => {
        this.ways.delete(way);
        // In silence nobody hears of the other's end.
        if (!way.silent) to.end();
      });
    }
    page.on('data', (bytes) => { if (!way.silent) server.write(bytes); });
    server.on('data', (bytes) => { if (!way.silent) page.write(bytes); });
  }

  // Ends all connections.
  cut(how) {
    for (const { page, server } of this.ways) {
      for (const socket of [page, server]) {
        if (how === 'rst') socket.resetAndDestroy();
        else socket.destroy();
      }
    }
  }

  // Nothing passes any more, and nobody is told. New connections fail until `online`.
  offline() {
    this.isOffline = true;
    for (const way of this.ways) way.silent = true;
  }

  online() {
    this.isOffline = false;
  }

  // The name with the token with which a page came back last.
  lastReturn() {
    const found = this.requests.map((request) => /godot-resume\.v1\.[0-9a-f]{48}\.\d+/.exec(request)).filter((name) => name);
    return found.length > 0 ? found[found.length - 1][0] : '';
  }

  close() {
    this.cut('fin');
    this.server.close();
  }
}

module.exports = { Cutter };
