// A page without a browser: what gate.js and gate_page.js use of it, with a clock that moves only when a test moves it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import vm from 'node:vm';

const FOLDER = new URL('../../../rust/extension/web/', import.meta.url);
const SOURCE = new URL('gate.js', FOLDER);
const PAGE = new URL('gate_page.js', FOLDER);
const SESSION = new URL('gate_session.js', FOLDER);

export const DEFAULTS = {
  heartbeat_interval: 20000,
  heartbeat_timeout: 60000,
  offer_alive: true,
  offer_resume: false,
  kept_bytes: 4 * 1024 * 1024,
  kept_messages: 65536,
  largest_message: 65536,
  limit_bytes: 16 * 1024 * 1024,
  limit_messages: 65536,
};

class Clock {
  constructor() {
    this.time = 1000;
    this.asleep = 0; // the wall clock goes on while performance.now() stands still
    this.timers = new Map();
    this.lastId = 0;
    this.throttle = ''; // 'chains': as in a page that is hidden for minutes; 'all': no browser is known to be so strict
    this.level = 0; // how many timers have set each other in a row
  }

  set(call, given, repeat) {
    const wait = given < 2 ** 31 ? given : 0; // more overflows in a browser
    this.lastId += 1;
    const level = this.level + 1;
    const second = this.throttle === 'all' || (this.throttle === 'chains' && level >= 5) ? 60000 : 1000;
    const due = this.throttle === '' ? this.time + wait : Math.ceil((this.time + wait) / second) * second;
    this.timers.set(this.lastId, { call, due, wait, repeat, level });
    return this.lastId;
  }

  // A task that is no timer.
  post(call) {
    this.lastId += 1;
    this.timers.set(this.lastId, { call, due: this.time, level: 0 });
  }

  // Runs what is due within this time, each at its own moment.
  advance(milliseconds) {
    const end = this.time + milliseconds;
    for (;;) {
      const due = Array.from(this.timers).filter(([, timer]) => timer.due <= end).sort((a, b) => a[1].due - b[1].due)[0];
      if (!due) break;
      this.time = Math.max(this.time, due[1].due);
      this.fire(...due);
    }
    this.time = end;
  }

  // The thread stands still: timers are late.
  block(milliseconds) {
    this.time += milliseconds;
  }

  fire(id, timer) {
    if (timer.repeat) Object.assign(timer, { due: this.time + timer.wait });
    else this.timers.delete(id);
    this.level = timer.level;
    timer.call();
    this.level = 0;
  }
}

class Target {
  constructor() {
    this.listeners = [];
  }

  addEventListener(name, call) {
    this.listeners.push([name, call]);
  }

  emit(name, event = {}) {
    for (const [one, call] of this.listeners) if (one === name) call(event);
  }
}

// As a browser's: what it refuses it throws.
function socketClass(page) {
  return class FakeSocket {
    constructor(url, protocols) {
      if (page.dialFails) throw new Error(page.dialFails);
      const parsed = new URL(url);
      if (!['ws:', 'wss:'].includes(parsed.protocol)) throw new SyntaxError(`The URL's scheme must be either 'ws' or 'wss'.`);
      Object.assign(this, { url, protocols, readyState: 0, protocol: '', bufferedAmount: 0, out: [], closedWith: null });
      page.sockets.push(this);
    }

    send(data) {
      if (this.readyState === 0) throw new Error('InvalidStateError');
      if (page.sendFails) throw new Error(page.sendFails);
      this.out.push(data);
      this.bufferedAmount += data.byteLength === undefined ? data.length : data.byteLength;
    }

    close(code, reason) {
      if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) throw new Error('InvalidAccessError');
      if (reason !== undefined && new TextEncoder().encode(reason).length > 123) throw new Error('SyntaxError');
      if (this.readyState < 2) this.readyState = 2;
      this.closedWith = { code, reason };
    }

    // What the network does.
    open(protocol = '') {
      this.protocol = protocol;
      this.readyState = 1;
      if (this.onopen) this.onopen();
    }

    receive(data) {
      if (this.onmessage) this.onmessage({ data });
    }

    shut(code, reason = '', wasClean = true) {
      this.readyState = 3;
      if (this.onclose) this.onclose({ code, reason, wasClean });
    }
  };
}

export function makePage({ workers = true, sessions = true, life = true } = {}) {
  const clock = new Clock();
  const page = { clock, sockets: [], workers: [], sendFails: '', dialFails: '', random: 0.5 };
  const document = Object.assign(new Target(), { hidden: false });
  const window = Object.assign(new Target(), {
    document,
    console,
    TextEncoder,
    Promise,
    Math: Object.create(Math, { random: { value: () => page.random } }),
    performance: { now: () => clock.time },
    Date: { now: () => 1e12 + clock.time + clock.asleep },
    navigator: { onLine: true },
    setTimeout: (call, wait) => clock.set(call, wait, false),
    setInterval: (call, wait) => clock.set(call, wait, true),
    clearTimeout: (id) => clock.timers.delete(id),
    clearInterval: (id) => clock.timers.delete(id),
    MessageChannel: class {
      constructor() {
        this.port1 = { onmessage: null };
        this.port2 = { postMessage: (data) => clock.post(() => this.port1.onmessage({ data })) };
      }
    },
    Blob: class { constructor(parts) { this.text = parts.join(''); } },
    URL: { createObjectURL: (blob) => blob.text, revokeObjectURL() {} },
    Worker: class {
      constructor(text) {
        if (!workers) throw new Error('SecurityError');
        Object.assign(this, { text, ended: false });
        page.workers.push(this);
      }

      terminate() { this.ended = true; }
    },
  });
  window.window = window;
  window.WebSocket = socketClass(page);
  page.window = window;
  page.document = document;
  const run = (source) => vm.runInContext(fs.readFileSync(source, 'utf8'), page.context, { filename: source.pathname });
  page.load = () => run(SOURCE);
  page.context = vm.createContext(window);
  if (sessions) run(SESSION);
  page.loadLife = () => run(PAGE);
  if (life) page.loadLife();
  page.version = page.load();
  page.gate = window.__bws;
  page.hide = () => { document.hidden = true; document.emit('visibilitychange'); };
  page.show = () => { document.hidden = false; document.emit('visibilitychange'); };
  return page;
}

// What gated_transport.gd and the engine do to open a connection. `engine` is what the engine's class would hold.
export function connect(page, options = {}, url = 'ws://host:9080/', protocols = []) {
  const { gate, window } = page;
  const id = gate.open(url, JSON.stringify(protocols), JSON.stringify({ ...DEFAULTS, ...options }));
  const engine = { id, packets: [], opened: 0, closed: null };
  engine.ref = new window.WebSocket('ws://127.0.0.1:9');
  engine.ref.binaryType = 'arraybuffer';
  engine.ref.onopen = () => { engine.opened += 1; };
  engine.ref.onmessage = (event) => engine.packets.push(event.data);
  engine.ref.onclose = (event) => { engine.closed = event; };
  engine.seated = gate.seat(id);
  engine.socket = page.sockets[page.sockets.length - 1];
  engine.pump = (bytes = 65535, packets = 512) => {
    const numbers = gate.pump(id, bytes, packets).split(' ').map(Number);
    const [handed, handedBytes, texts, unsent, buffered, messages, waiting, state, rtt, suspends, resumes, held, heldBytes, again] = numbers;
    engine.session = { suspends, resumes, held, heldBytes };
    engine.again = again;
    return { handed, handedBytes, texts, unsent, buffered, messages, waiting, state, rtt };
  };
  engine.ending = () => { const text = gate.ending(id); return text && JSON.parse(text); };
  engine.figures = () => JSON.parse(gate.figures(id));
  return engine;
}

// A connection whose server agreed to `alive`, with the two first `ack?` answered after 40 ms.
export function connectAgreed(page, options = {}) {
  const engine = connect(page, options);
  engine.socket.open();
  engine.socket.receive('alive 1 20000 60000');
  page.clock.advance(40);
  engine.socket.receive('ack 0 0');
  engine.socket.receive(bytes(4));
  page.clock.advance(2000);
  engine.socket.receive('ack 0 0');
  engine.socket.out.length = 0;
  engine.socket.bufferedAmount = 0;
  return engine;
}

export function bytes(size, first = 0) {
  const data = new Uint8Array(size);
  if (size > 0) data[0] = first;
  return data.buffer;
}

export const TOKEN = '0123456789abcdef'.repeat(3);

// A connection whose server has granted a session of 20 s and sent an id, with nothing waiting.
export function connectSession(page, options = {}, protocols = []) {
  const engine = connect(page, { offer_resume: true, ...options }, 'ws://host:9080/', protocols);
  engine.socket.open(protocols[0] || '');
  engine.socket.receive('alive 1 20000 60000');
  engine.socket.receive(`session 1 ${TOKEN} 20000`);
  engine.socket.receive(bytes(4));
  engine.socket.receive('ack 0 0');
  page.clock.advance(2000);
  engine.socket.receive('ack 0 0');
  engine.pump();
  engine.packets.length = 0;
  clear(engine.socket);
  // The socket of the present attempt.
  engine.latest = () => page.sockets[page.sockets.length - 1];
  return engine;
}

export function clear(socket) {
  socket.out.length = 0;
  socket.bufferedAmount = 0;
}

// What went out, in words: text as it is, data by its first byte.
export function words(socket) {
  return socket.out.map((data) => (typeof data === 'string' ? data : String(new Uint8Array(data)[0])));
}

// The token of the next socket.
export const NEXT = 'fedcba9876543210'.repeat(3);

export function lose(page, engine) {
  engine.latest().shut(1006, '', false);
  engine.pump();
}

// The next attempt is made and reaches the server, which has received so many.
export function comeBack(page, engine, received, token = NEXT, within = 250) {
  const before = page.sockets.length;
  page.clock.advance(within);
  assert.equal(page.sockets.length, before + 1);
  engine.latest().open('godot-resume.v1');
  engine.latest().receive(`resumed 1 ${token} ${received}`);
  engine.pump();
}
