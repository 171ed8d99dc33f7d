// Any cut at any time: a server after docs/protocol.md, a network that fails, and games that send. Each seed is one run.
import assert from 'node:assert/strict';
import test from 'node:test';
import { connect, makePage } from './page.mjs';

const SEEDS = Number(process.env.GATE_SEEDS || 300);
const RETURN = 'godot-resume.v1.';

// mulberry32
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

const encode = (value) => new Uint32Array([value]).buffer;
const decode = (data) => new Uint32Array(data)[0];

// The server's end of one session. What it sends on a socket waits in `down` until the network takes it along.
class Server {
  constructor(random) {
    this.random = random;
    this.token = this.newToken();
    this.next = null;
    this.link = null; // that it reads
    this.received = 0;
    this.values = [];
    this.sent = []; // null: unreliable
    this.written = 0;
  }

  newToken() {
    return Array.from({ length: 48 }, () => Math.floor(this.random() * 16).toString(16)).join('');
  }

  begin(link) {
    this.link = link;
    link.down.push('alive 1 20000 60000', `session 1 ${this.token} 60000`, encode(77));
  }

  send(value, reliable) {
    if (!this.link && !reliable) return;
    this.sent.push(reliable ? value : null);
    if (!this.link) return;
    this.link.down.push(encode(value));
    this.written += 1;
  }

  acknowledge() {
    if (this.link) this.link.down.push(`ack ${this.received} ${this.written} unasked`);
  }

  // A request reaches the server. False: it does not know the token.
  request(link, token, received) {
    if (token !== this.token && token !== this.next) return false;
    assert.ok(received <= this.sent.length, 'it has received what was not sent');
    if (token === this.next) [this.token, this.next] = [this.next, null];
    if (!this.next) this.next = this.newToken();
    this.link = link; // what the last one still holds is unread
    link.down.push(`resumed 1 ${this.next} ${this.received}`);
    this.written = received;
    for (const value of this.sent.slice(received)) {
      link.down.push(value === null ? 'skip 1' : encode(value));
      this.written += 1;
    }
    return true;
  }

  take(message) {
    if (typeof message !== 'string') {
      this.received += 1;
      this.values.push(decode(message));
      return;
    }
    const [word, first, second] = message.split(' ');
    if (word === 'skip') {
      this.received += Number(first);
    } else if (word === 'ack?') {
      this.link.down.push(`ack ${this.received} ${this.written}`);
    } else {
      assert.equal(word, 'ack');
      assert.equal(Number(second), this.received, 'the page has sent what was not received');
      assert.ok(Number(first) <= this.written, 'the page has received what was not written');
      if (this.next) [this.token, this.next] = [this.next, null];
    }
  }
}

function storm(seed) {
  const random = generator(seed);
  const chance = (share) => random() < share;
  const page = makePage();
  page.random = random();
  const engine = connect(page, { offer_resume: true, heartbeat_timeout: 20000 });
  const server = new Server(random);
  const links = [];
  const games = { sent: [], reliable: new Set(), next: 1, server: [], serverReliable: new Set() };
  const linkOf = (socket) => ({ socket, up: 0, down: [], asked: false, silent: false, dead: false });
  const watch = () => { while (links.length < page.sockets.length) links.push(linkOf(page.sockets[links.length])); };
  const cut = (link, told) => {
    link.dead = !told;
    link.silent = true;
    if (told && link.socket.readyState !== 3) link.socket.shut(1006, '', false);
    if (server.link === link && chance(0.5)) server.link = null;
  };
  // One message, or one step of a handshake, on one connection.
  const move = (link) => {
    if (link.silent) return;
    const { socket } = link;
    if (!link.asked) {
      link.asked = true;
      const name = socket.protocols.find((one) => one.startsWith(RETURN));
      socket.open(socket.protocols[0] || '');
      if (!name) {
        server.begin(link);
        return;
      }
      const [token, received] = name.slice(RETURN.length).split('.');
      if (!server.request(link, token, Number(received))) socket.shut(4410, 'unknown: x');
    } else if (chance(0.5) && link.up < socket.out.length) {
      const message = socket.out[link.up];
      link.up += 1;
      if (server.link === link) server.take(message);
    } else if (link.down.length > 0) {
      socket.receive(link.down.shift());
    }
  };
  const play = () => {
    const value = games.next;
    games.next += 1;
    const reliable = chance(0.7);
    if (chance(0.5)) {
      if (!reliable) page.gate.unreliable(engine.id);
      engine.ref.send(encode(value));
      games.sent.push(value);
      if (reliable) games.reliable.add(value);
    } else {
      server.send(value, reliable);
      games.server.push(value);
      if (reliable) games.serverReliable.add(value);
    }
  };
  const pumpAll = () => { while (engine.pump().handed > 0); };
  watch();
  for (let i = 0; i < 8; i += 1) move(links[0]);
  while (engine.figures().packets_in === 0) move(links[0]);
  for (let step = 0; step < 600; step += 1) {
    watch();
    const link = chance(0.8) ? links[links.length - 1] : links[Math.floor(random() * links.length)];
    const dice = random();
    if (dice < 0.53) move(link);
    else if (dice < 0.55) server.acknowledge();
    else if (dice < 0.75) play();
    else if (dice < 0.9) page.clock.advance(random() * 300);
    else if (dice < 0.93) page.clock.advance(random() * 4000);
    else if (dice < 0.95) cut(link, chance(0.6));
    else if (dice < 0.96) page.gate.reconnect(engine.id);
    else if (dice < 0.97) page.window.emit('online');
    else if (dice < 0.98) { if (page.document.hidden) page.show(); else page.hide(); }
    else if (dice < 0.985) page.clock.block(random() * 3000);
    else pumpAll();
  }
  // The network holds from now on.
  if (page.document.hidden) page.show();
  for (let round = 0; round < 400; round += 1) {
    watch();
    for (const link of links) for (let i = 0; i < 20; i += 1) move(link);
    page.clock.advance(100);
    pumpAll();
  }
  assert.equal(engine.ending(), '');
  assert.equal(engine.pump().state, 1);
  const check = (values, sent, reliable, whose) => {
    let at = 0;
    for (const value of values) {
      const found = sent.indexOf(value, at);
      assert.ok(found >= 0, `${whose}: ${value} came twice, or out of order`);
      at = found + 1;
    }
    const came = new Set(values);
    for (const value of reliable) assert.ok(came.has(value), `${whose}: ${value} is lost`);
  };
  check(server.values, games.sent, games.reliable, 'server');
  check(engine.packets.slice(1).map(decode), games.server, games.serverReliable, 'page');
  assert.equal(engine.figures().packets_out, server.received);
  return engine.session.resumes;
}

test(`any cut at any time loses nothing, doubles nothing, and changes no order (${SEEDS} seeds)`, () => {
  let resumes = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    try {
      resumes += storm(seed);
    } catch (error) {
      error.message = `seed ${seed}: ${error.message}`;
      throw error;
    }
  }
  assert.ok(resumes > SEEDS * 3, `${resumes} returns`);
});
