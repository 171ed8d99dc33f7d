// The gate: stands between the browser's WebSocket and the engine's WebSocketPeer in a web export.
//
// The engine's class drops what does not fit into its buffer, and nothing takes packets while the page is hidden, because no frame runs. The gate
// owns the browser's socket, queues what arrives without loss up to a ceiling, answers the server's `ack?` while the game sleeps, and hands the
// queue to the engine as the game polls. Nothing here throws into the engine: an exception would end the engine's main loop.
//
// gated_transport.gd evaluates this file behind gate_page.js, which it needs. A page whose Content-Security-Policy forbids that can load both as
// scripts before the engine starts. The interface is `window.__bws`; numbers come in by Number(), because some engines pass a BigInt.
// docs/protocol.md describes the words `alive`, `ack?` and `ack`. With gate_session.js, whose place is before or after this file, a connection
// can survive its socket: the engine sees one that stays open.
(function () {
  'use strict';
  const VERSION = 3;
  // No window: the engine runs in a worker, where its callbacks would come too late.
  if (typeof window === 'undefined' || typeof document === 'undefined') return 0;
  if (window.__bws && window.__bws.version === VERSION) return VERSION;
  if (!window.__bwsPage) return 0;
  const { later, cancel, watch, keepAwake } = window.__bwsPage;

  const CONNECTING = 0;
  const OPEN = 1;
  const CLOSING = 2;
  const CLOSED = 3;
  const LOST = 1006; // as a browser calls an end without a Close frame
  const LONGEST_WORD = 256; // characters of a control message
  const TICK = 1000;
  const SLEPT = 2000; // so much later than due, and timers stood still: a frozen page, a suspended machine, a blocked thread
  const SILENT_AT_WAKE = 2500;
  const HIDDEN_AT_WAKE = 5000;
  const ANSWER_AT_WAKE = 3000;
  const WAKES_UNHEARD = 2; // so many sleeps in a row may interrupt the wait for an answer
  const HIDDEN_UNHEARD = 1; // likewise of a session in a hidden page: a mistake does not end it
  const BETWEEN_ACKS = 250;
  const FIRST_ASKS = 2000; // the first answer may have waited for a page that was still loading
  const SESSION_TICK = 250;
  const SESSION_SILENT = 2500; // a session asks a silent server so soon, and gives the socket up so soon, while the page is shown
  const SESSION_LOST = 5000;
  const HIDDEN_SILENT = 5000; // likewise while it is hidden, as a server does
  const HIDDEN_LOST = 15000;
  const LITTLE = 1024; // bytes: as much as some questions, and no data that takes time
  const LONGEST_SILENCE = 60000; // of a session without a heartbeat timeout

  const connections = new Map();
  const encoder = new TextEncoder();
  const now = () => performance.now();
  let lastId = 0;
  let original = null; // the page's WebSocket, while the engine is to get a stand-in

  function withOffer(url, version) {
    const separator = /[?&]$/.test(url) ? '' : url.indexOf('?') < 0 ? '?' : '&';
    return `${url}${separator}godot-multiplayer=${version}`;
  }

  // Words that a game may show to anybody: a path or a query can hold a secret.
  function withoutPaths(words) {
    return words.replace(/(wss?:\/\/[^/?#\s'"]*)\S*?(?=['"]?[.,;:)]*(?:\s|$))/gi, '$1');
  }

  // ---- One connection ----

  class Connection {
    constructor(url, protocols, options) {
      this.url = url;
      this.protocols = protocols;
      this.options = options;
      this.session = null; // what survives a socket
      this.protocol = '';
      this.isUnreliable = false; // the next message
      this.items = []; // strings and ArrayBuffers; those before `next` are handed over
      this.sizes = [];
      this.next = 0;
      this.waitingBytes = 0;
      this.agreed = false; // the server answers `ack?`; text is control from then on
      this.received = 0; // data messages accepted, the peer id included
      this.sent = 0;
      this.bytesIn = 0;
      this.bytesOut = 0;
      this.toClosed = 0;
      this.sentInTask = 0;
      this.openedAt = -1;
      this.heardAt = -1; // anything came
      this.dataAt = -1;
      this.quietFrom = now(); // as heardAt, but set anew after a sleep: time that did not pass for the socket is no silence
      this.askedAt = -1; // -1: no `ack?` is unanswered
      this.lastAskAt = 0;
      this.answers = 0; // to our `ack?`
      this.answerBy = -1; // after a wake: lost when nothing came by then
      this.wokeAt = -Infinity;
      this.wakes = 0; // since anything came
      this.doubted = false; // a deadline has passed at the last tick
      this.ackedAt = -Infinity;
      this.ackTimer = 0;
      this.ackIsAnswer = false;
      this.rtt = -1;
      this.closing = false;
      this.ended = null; // as ending() tells
      this.told = false; // the engine knows of the end
      this.pumped = ''; // state and round trip at the last pump
      this.wake = null;
      this.socket = null;
      this.standIn = makeStandIn(this);
      this.seated = false; // the engine has the stand-in
      try {
        this.adopt(new (original || window.WebSocket)(url, protocols));
      } catch (e) {
        this.end(LOST, '', false, withoutPaths(e.message));
      }
    }

    adopt(socket) {
      this.socket = socket;
      socket.binaryType = 'arraybuffer';
      socket.onopen = () => this.opened();
      socket.onmessage = (event) => this.message(event.data);
      socket.onclose = (event) => {
        if (!this.session || !this.session.survives(event.code)) this.end(event.code, event.reason, event.wasClean, '');
        else this.session.suspend('the connection was lost');
      };
    }

    // 0: messages are not compressed, 1: each by itself, 2: with those before it.
    compression() {
      const agreed = String((this.socket && this.socket.extensions) || '').split('_no_context_takeover');
      return agreed[0].includes('permessage-deflate') ? 2 - Number(agreed.length > 2) : 0;
    }

    // What the engine sees, and the game: not closed before the last message was handed over.
    state() {
      if (this.told) return CLOSED;
      if (this.closing) return CLOSING;
      return this.openedAt < 0 ? CONNECTING : OPEN;
    }

    opened() {
      this.openedAt = this.quietFrom = now();
      this.protocol = this.socket.protocol;
      if (this.standIn.onopen) this.standIn.onopen({});
    }

    message(data) {
      const text = typeof data === 'string';
      const size = text ? encoder.encode(data).length : data.byteLength;
      const first = this.heardAt < 0;
      this.heardAt = now();
      if (this.session) this.session.heard(this.heardAt - this.quietFrom, this.shortest());
      this.quietFrom = this.heardAt;
      this.answerBy = -1;
      this.wakes = 0;
      this.doubted = false;
      this.bytesIn += size;
      if (text && this.agree(data, first)) return;
      if (text && this.agreed) {
        this.control(data);
        return;
      }
      if (size > this.options.largest_message) {
        this.stop(4009, `a message of ${size} bytes came, the limit is ${this.options.largest_message}: raise max_message_size_kb`);
        return;
      }
      const waits = this.items.length - this.next;
      if (waits > 0 && (this.waitingBytes + size > this.options.limit_bytes || waits >= this.options.limit_messages)) {
        this.stop(4013, `more arrived than the game took: ${waits} messages and ${this.waitingBytes} bytes wait`);
        return;
      }
      this.dataAt = this.heardAt;
      this.received += 1;
      this.items.push(data);
      this.sizes.push(size);
      this.waitingBytes += size;
      if (this.session) this.session.took(size);
    }

    // The first messages of a server can agree to what was offered. From then on text is control.
    agree(words, first) {
      const { offer_alive: alive, offer_resume: resume } = this.options;
      if (first && alive && /^alive 1 \d+ \d+( |$)/.test(words)) {
        this.agreed = true;
        keepTime();
        this.ask(); // the first round trip
        return true;
      }
      if (!resume || this.session || this.received > 0) return false;
      this.session = window.__bwsSession.granted(words, this, tools);
      if (!this.session) return false;
      this.agreed = true;
      keepTime();
      return true;
    }

    control(words) {
      if (words.length > LONGEST_WORD) return;
      const counts = /^ack (\d+) (\d+)(?: (\S*)|$)/.exec(words);
      if (words === 'ack?') {
        this.ackIsAnswer = true;
        const wait = this.ackedAt + BETWEEN_ACKS - now();
        if (wait <= 0) this.answer();
        else if (!this.ackTimer) this.ackTimer = setTimeout(() => this.answer(), wait);
      } else if (counts) {
        if (counts[3] !== 'unasked' && this.askedAt >= 0) {
          this.rtt = now() - this.askedAt;
          this.askedAt = -1;
          this.answers += 1;
        }
        if (this.session) this.session.acknowledged(Number(counts[1]), Number(counts[2]));
      } else if (this.session) {
        this.session.control(words);
      }
    }

    say(words) {
      if (this.ended || this.closing || !this.socket || this.socket.readyState !== OPEN) return;
      this.deliver(words, words.length);
    }

    ask() {
      this.lastAskAt = now();
      if (this.askedAt < 0) this.askedAt = this.lastAskAt;
      this.say('ack?');
    }

    answer() {
      clearTimeout(this.ackTimer);
      this.ackTimer = 0;
      this.ackedAt = now();
      const mark = this.ackIsAnswer ? '' : ' unasked';
      this.ackIsAnswer = false;
      // The first data message, the peer id, is not counted.
      const counts = this.session ? this.session.counts() : `${Math.max(0, this.received - 1)} ${this.sent}`;
      this.say(`ack ${counts}${mark}`);
    }

    // The silence that a session survives on a line that is not slow.
    shortest() {
      return document.hidden ? HIDDEN_LOST : SESSION_LOST;
    }

    // The silence that a connection survives, in ms; 0: any.
    patience() {
      const timeout = this.options.heartbeat_timeout;
      if (!this.session) return timeout;
      // Later the server, which notices the loss after HIDDEN_LOST, would keep the session no more.
      const most = HIDDEN_LOST + this.session.timeout / 2;
      return Math.min(timeout > 0 ? timeout : LONGEST_SILENCE, most, this.session.slowed(this.shortest()));
    }

    beat(time) {
      if (!this.agreed || !this.socket || this.ended || this.closing) return;
      const silent = time - this.quietFrom;
      const interval = this.options.heartbeat_interval;
      const timeout = this.patience();
      // While the browser knows itself offline an answer cannot come: then only the usual timeout counts.
      const unanswered = this.answerBy >= 0 && time >= this.answerBy && navigator.onLine !== false;
      const usual = interval > 0 ? interval : this.options.heartbeat_timeout / 3; // a page does not hear the server's pings
      const restless = document.hidden ? HIDDEN_SILENT : SESSION_SILENT;
      const asks = this.session && silent >= restless ? restless : usual;
      if (unanswered || (timeout > 0 && silent >= timeout)) {
        // An answer may wait behind this very timer, when the thread was blocked. The next tick decides.
        if (this.doubted) {
          if (this.session && !unanswered) this.session.noteSilence();
          this.lose(unanswered ? 'the connection was lost while the page slept: the server does not answer'
            : `the connection was lost: nothing came from the server for ${timeout / 1000} s`, true);
        }
        this.doubted = true;
        return;
      }
      this.doubted = false;
      if (asks > 0 && time - this.lastAskAt >= (this.answers < 2 ? Math.min(asks, FIRST_ASKS) : asks)) {
        this.ask(); // on a busy connection as well: the round trip is measured
      }
    }

    // The page can hear again. A socket that died meanwhile may never say so (iOS).
    woke(time, asleep) {
      if (!this.agreed || this.ended || this.closing) return;
      if (!this.socket) {
        this.session.hurry();
        return;
      }
      const silent = time - this.heardAt;
      if (silent > SILENT_AT_WAKE || asleep > HIDDEN_AT_WAKE || this.answerBy >= 0) this.askAfterSleep(time);
      else this.quietFrom = time;
    }

    // The page may sleep again before the answer can come, so each wake waits anew. But timers once per minute are wakes without end.
    askAfterSleep(time) {
      if (time - this.wokeAt >= TICK) { // several events tell of one wake
        this.wokeAt = time;
        this.wakes += 1;
      }
      if (this.wakes <= (this.session && document.hidden ? HIDDEN_UNHEARD : WAKES_UNHEARD)) {
        this.quietFrom = time;
        this.expectAnswer(time);
      }
      this.askedAt = -1; // the time asleep is no round trip
      this.ask();
    }

    expectAnswer(time) {
      const patience = this.patience();
      // A question behind data that waits takes its time, and so does an answer behind a long message.
      const isShort = this.answerBy >= 0 || this.buffered() < LITTLE;
      if (!isShort || patience === 0) return;
      this.answerBy = time + (this.session ? Math.min(patience, this.session.slowed(ANSWER_AT_WAKE)) : ANSWER_AT_WAKE);
    }

    send(data) {
      const isUnreliable = this.isUnreliable;
      this.isUnreliable = false;
      if (this.session && !this.ended && !this.closing) {
        this.session.send(typeof data === 'string' ? encoder.encode(data) : data, !isUnreliable);
        return;
      }
      if (this.ended || this.closing || !this.socket || this.socket.readyState !== OPEN) {
        this.toClosed += 1;
        return;
      }
      const bytes = typeof data === 'string' ? encoder.encode(data) : data;
      if (this.deliver(this.agreed ? bytes : data, bytes.byteLength)) this.sent += 1;
    }

    deliver(data, size) {
      try {
        this.socket.send(data);
      } catch (e) {
        this.lose(`the browser did not accept data: ${e.message}`);
        return false;
      }
      this.bytesOut += size;
      // bufferedAmount falls only between tasks. What this task sent says nothing about the network.
      if (this.sentInTask === 0) Promise.resolve().then(() => { this.sentInTask = 0; });
      this.sentInTask += size;
      return true;
    }

    buffered() {
      return this.ended || !this.socket ? 0 : this.socket.bufferedAmount;
    }

    // Whether a pump has anything to tell.
    hasNews() {
      return this.items.length > this.next || this.buffered() > 0 || this.pumped !== this.brief() || (this.ended !== null && !this.told);
    }

    brief() {
      return `${this.state()} ${this.rtt} ${this.session ? this.session.brief() : '-1 0 0 0'}`;
    }

    close(code, reason) {
      if (this.ended || this.closing) return;
      if (this.session) this.session.sayEnd(code, this.socket);
      this.closing = true;
      if (this.session && !this.socket) this.session.close(code, reason);
      else this.socketClose(code, reason);
    }

    // Ends for a reason of ours. What was accepted stays and is delivered.
    stop(code, words) {
      this.socketClose(code, words);
      this.end(code, words, false, words);
    }

    lose(words, silent = false) {
      if (this.session && this.session.survives(LOST)) {
        this.session.suspend(words);
        return;
      }
      this.socketClose(4000, words);
      this.end(LOST, '', false, words, silent);
    }

    // A page may close with 1000 and 3000..4999 and 123 bytes of reason only; for anything else the browser throws.
    socketClose(code, reason) {
      if (!this.socket) return;
      try {
        this.socket.close(code, reason);
      } catch (e) {
        this.socket.close();
      }
    }

    end(code, reason, clean, words, silent = false) {
      if (this.ended) return;
      this.ended = { code, reason, clean, words, opened: this.openedAt >= 0, silent };
      if (this.socket) this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
      if (this.session) this.session.over();
    }

    // Hands over what fits into `bytes` and `packets`. Answers how many messages, their bytes, and how many of them are texts.
    pump(bytes, packets) {
      let handed = 0;
      let texts = 0;
      let room = bytes;
      while (handed < packets && this.next < this.items.length && this.sizes[this.next] <= room) {
        const data = this.items[this.next];
        const size = this.sizes[this.next];
        this.items[this.next] = undefined;
        this.next += 1;
        this.waitingBytes -= size;
        room -= size;
        try {
          this.standIn.onmessage({ data });
        } catch (e) {
          // Behind the hole nothing may follow.
          room += size;
          this.items = [];
          this.sizes = [];
          this.next = 0;
          this.waitingBytes = 0;
          this.stop(4011, 'the engine could not take a message');
          break;
        }
        handed += 1;
        if (typeof data === 'string') texts += 1;
      }
      if (this.next === this.items.length || (this.next > 4096 && this.next * 2 > this.items.length)) {
        this.items = this.items.slice(this.next);
        this.sizes = this.sizes.slice(this.next);
        this.next = 0;
      }
      if (this.ended && !this.told && this.items.length === 0) {
        this.told = true;
        if (this.standIn.onclose) this.standIn.onclose({ code: this.ended.code, reason: this.ended.reason, wasClean: this.ended.clean });
      }
      this.pumped = this.brief();
      return [handed, bytes - room, texts];
    }
  }

  // What the engine takes for a WebSocket.
  function makeStandIn(connection) {
    return {
      OPEN,
      CLOSING,
      binaryType: '',
      onopen: null,
      onmessage: null,
      onerror: null,
      onclose: null,
      get readyState() { return connection.state(); },
      get protocol() { return connection.protocol; },
      // The engine asks in a hundredth of the time of a call of pump(), so it hears whether one is worth it.
      get bufferedAmount() { return connection.hasNews() ? 1 : 0; },
      send(data) { connection.send(data); },
      close(code, reason) { connection.close(Number(code), String(reason)); },
    };
  }

  const tools = { now, later, cancel, withoutPaths, LOST, OPEN };

  // ---- Time ----

  let timer = null;
  let pace = TICK;
  let tickedAt = 0;
  let tickedWall = 0; // performance.now() stands still in some suspended machines, the wall clock does not

  function keepTime() {
    if (timer) return;
    tickedAt = now();
    tickedWall = Date.now();
    const hasSession = Array.from(connections.values()).some((connection) => connection.session && !connection.ended);
    pace = hasSession ? SESSION_TICK : TICK;
    timer = hasSession ? later(tick, pace) : { id: setTimeout(tick, pace) };
  }

  function tick() {
    timer = null;
    const time = now();
    const gap = Math.max(time - tickedAt, Date.now() - tickedWall);
    for (const connection of connections.values()) {
      if (gap > pace + SLEPT) connection.woke(time, gap);
      connection.beat(time);
    }
    if (Array.from(connections.values()).some((connection) => connection.agreed && !connection.ended)) keepTime();
  }

  watch({
    hidden() {
      for (const connection of connections.values()) if (connection.ackTimer) connection.answer();
    },

    shown(asleep) {
      for (const connection of connections.values()) connection.woke(now(), asleep);
    },

    // Browsers close the sockets of such a page.
    wasPutAway() {
      for (const connection of connections.values()) connection.lose('the connection was lost: the browser had put the page away');
    },

    online() {
      for (const connection of connections.values()) {
        if (!connection.agreed || connection.ended || connection.closing) continue;
        if (!connection.socket) {
          connection.session.hurry();
          continue;
        }
        // Another network: what was silent is likely to be dead.
        if (connection.answerBy >= 0 || connection.session) connection.expectAnswer(now());
        connection.ask();
      }
    },
  });

  // ---- Waking the game while the page is hidden ----

  function wakeAll() {
    // The timers of a page that is hidden for long come once per minute.
    if (timer && now() - tickedAt >= TICK) {
      cancel(timer);
      tick();
    }
    for (const connection of Array.from(connections.values())) {
      try {
        if (connection.wake) connection.wake();
      } catch (e) {
        console.error(e);
      }
    }
  }

  function updateWakes() {
    keepAwake(Array.from(connections.values()).some((connection) => connection.wake) ? wakeAll : null);
  }

  // ---- The interface ----

  window.__bws = {
    version: VERSION,

    // Opens a connection. The answer is its id; what the browser refuses is told by ending(). Until seat() the page's WebSocket is a stand-in.
    // protocols: JSON array. options: JSON object with heartbeat_interval, heartbeat_timeout (ms), offer_alive, offer_resume, largest_message,
    // limit_bytes, limit_messages (of what waits for the game), kept_bytes, kept_messages (of what the server has not acknowledged).
    open(url, protocols, options) {
      const parsed = JSON.parse(options);
      let address = parsed.offer_alive ? withOffer(url, 'alive.v1') : url;
      parsed.offer_resume = Boolean(parsed.offer_resume && window.__bwsSession);
      if (parsed.offer_resume) address = withOffer(address, 'resume.v1');
      const connection = new Connection(address, JSON.parse(protocols), parsed);
      lastId += 1;
      connections.set(lastId, connection);
      original = original || window.WebSocket;
      window.WebSocket = function WebSocket() {
        connection.seated = true;
        return connection.standIn;
      };
      return lastId;
    },

    // The engine has made its WebSocket, in the task of open(): gives the page its own back. False: the engine made none, or another.
    seat(id) {
      if (original) window.WebSocket = original;
      original = null;
      const connection = connections.get(Number(id));
      return Boolean(connection && connection.seated);
    },

    // Hands messages to the engine, whose buffer is empty. Answers fourteen numbers: messages handed over, their bytes, the texts among them,
    // bytes unsent before this task, bytes unsent, messages and bytes that wait here, state, round trip in ms or -1; and of a session how often it
    // has lost its socket (-1: there is no session), how often it has got another, messages and bytes that wait for one, and the bytes among
    // those unsent that were sent before and are sent again.
    pump(id, bytes, packets) {
      const c = connections.get(Number(id));
      if (!c) return `0 0 0 0 0 0 0 ${CLOSED} -1 -1 0 0 0 0`;
      const buffered = c.buffered();
      const handed = c.pump(Number(bytes), Number(packets)).join(' ');
      const unsent = `${Math.max(0, buffered - c.sentInTask)} ${buffered}`;
      return `${handed} ${unsent} ${c.items.length - c.next} ${c.waitingBytes} ${c.brief()} ${c.session ? c.session.again() : 0}`;
    },

    // Starts the closing handshake.
    close(id, code, reason) {
      const connection = connections.get(Number(id));
      if (connection) connection.close(Number(code), String(reason));
    },

    // JSON {code, reason, clean, words, opened, silent}, or "" while the connection goes on.
    ending(id) {
      const connection = connections.get(Number(id));
      return connection && connection.ended ? JSON.stringify(connection.ended) : '';
    },

    // JSON with counts, and ages in ms (-1: never).
    figures(id) {
      const c = connections.get(Number(id));
      if (!c) return '';
      const time = now();
      const age = (since) => (since < 0 ? -1 : time - since);
      return JSON.stringify({
        bytes_in: c.bytesIn,
        bytes_out: c.bytesOut,
        packets_in: c.received,
        packets_out: c.sent,
        packets_to_closed: c.toClosed,
        compression: c.compression(),
        last_receive_msec: age(c.heardAt),
        last_packet_msec: age(c.dataAt),
        connected_msec: age(c.openedAt),
        ...(c.session ? c.session.figures() : {}),
      });
    },

    // Whether a session can be offered.
    can_resume() {
      return Boolean(window.__bwsSession);
    },

    // The next message is unreliable: a session does not send it again.
    unreliable(id) {
      const connection = connections.get(Number(id));
      if (connection) connection.isUnreliable = true;
    },

    // Drops the socket of a session and takes another at once. False: there is no session.
    reconnect(id) {
      const connection = connections.get(Number(id));
      return Boolean(connection && connection.session && connection.session.reconnect());
    },

    heartbeat(id, interval_msec, timeout_msec) {
      const connection = connections.get(Number(id));
      if (!connection) return;
      connection.options.heartbeat_interval = Number(interval_msec);
      connection.options.heartbeat_timeout = Number(timeout_msec);
    },

    // Calls the function every 100 ms while the page is hidden; null: no longer.
    wake(id, callback) {
      const connection = connections.get(Number(id));
      if (!connection) return;
      connection.wake = callback || null;
      updateWakes();
    },

    // The game let go of the connection. The browser still sends what was given to it.
    forget(id) {
      const connection = connections.get(Number(id));
      if (!connection) return;
      connection.close(1000, '');
      connection.end(1000, '', true, '');
      connections.delete(Number(id));
      updateWakes();
    },
  };
  return VERSION;
}());
