// What the scenarios share: a browser with pages, native servers, connections between them, and checks.
'use strict';

const net = require('net');
const { inPage, native } = require('./game.cjs');

const KINDS = ['client', 'buffered'];

function check(condition, message) {
  if (!condition) throw new Error(message);
}

function checkEqual(actual, expected, message) {
  const [a, b] = [actual, expected].map((value) => JSON.stringify(value));
  check(a === b, `${message}: got ${a}, expected ${b}`);
}

function sleep(seconds) {
  return new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
}

// What a game may not print. The engine looks for the library at the start of every web export, and says that it is not there; its own
// class says what it drops; and Firefox calls a connection that was cut an error of the page.
const EXPECTED = /^ERROR: (.*\.gdextension'|.*Dropping data|.*outbound_buffer_size > 0)|^PAGE ERROR: The connection to ws/;

function errorLines(game) {
  const isError = (line) => /^(SCRIPT |USER |PAGE )?ERROR|panicked/.test(line);
  return game.lines.filter((line) => isError(line) && !EXPECTED.test(line));
}

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address();
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}

class Bed {
  // `parts`: the browser, the ports of the site and of the encrypted one, the projects, a folder for pictures.
  constructor(parts) {
    Object.assign(this, parts, { count: 0 });
  }

  // Starts what most scenarios use.
  async start() {
    this.server = await native('server', this.project);
    this.page = await this.open('page');
  }

  open(name, place = this.place) {
    return inPage(this.browser, name, `http://127.0.0.1:${this.site}/${place}`);
  }

  native(name) {
    return native(name, this.project);
  }

  // A server with one client, connected. `kind` is the client's class. `through`: from the server's port to the one that the page connects to.
  async pair(kind, words = {}) {
    const { page = this.page, server = this.server, served = {}, place = 'ws://127.0.0.1', through, ...joined } = words;
    this.count += 1;
    const link = `${kind}_${this.count}`;
    const { port, error } = await server.order('listen', { link, ...served });
    checkEqual(error, 0, `${link}: listen`);
    const url = `${place}:${through ? await through(port) : port}/`;
    const answer = await page.order('join', { link, kind, url, ...joined });
    checkEqual(answer.error, 0, `${link}: join (${answer.why})`);
    await page.event(link, 'connected');
    const { id } = await server.event(link, 'peer_connected');
    return new Pair({ link, kind, id, page, server, port });
  }
}

// The two ends of a connection.
class Pair {
  constructor(parts) {
    Object.assign(this, parts);
  }

  down(name, words, seconds) {
    return this.server.order(name, { link: this.link, peer: this.id, ...words }, seconds);
  }

  up(name, words, seconds) {
    return this.page.order(name, { link: this.link, peer: 1, ...words }, seconds);
  }

  // Waits until an end has received so many RPCs, or no more come. Returns its counts.
  async settled(game, wanted, patience = 2) {
    let counts = await game.order('counts', { link: this.link });
    for (let last = -1, since = Date.now(); counts.received < wanted;) {
      if (counts.received !== last) since = Date.now();
      if (Date.now() - since > patience * 1000) break;
      last = counts.received;
      await sleep(0.1);
      counts = await game.order('counts', { link: this.link });
    }
    return counts;
  }

  // All RPCs have arrived at an end, in order.
  async arrive(game, wanted, patience) {
    const { received, wrong, status, why, close_code: code, close_reason: reason } = await this.settled(game, wanted, patience);
    const state = `status ${status}, close code ${code} "${reason}", ${why || 'no error'}`;
    checkEqual({ received, wrong }, { received: wanted, wrong: 0 }, `${this.link}: RPCs at ${game.name} (${state})`);
  }

  // So many RPCs arrive in each direction.
  async both(count, size) {
    await this.down('burst', { count, size });
    await this.arrive(this.page, count);
    await this.up('burst', { count, size });
    await this.arrive(this.server, count);
  }

  // So many more arrive in each direction, behind those before.
  async more(from, count) {
    await this.down('burst', { from, count, size: 100 });
    await this.arrive(this.page, from + count, 6);
    await this.up('burst', { from, count, size: 100 });
    await this.arrive(this.server, from + count, 6);
  }

  async end() {
    await this.up('free', {});
    await this.down('free', {});
  }
}

module.exports = {
  Bed, KINDS, check, checkEqual, errorLines, freePort, sleep,
};
