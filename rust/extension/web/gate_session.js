// Sessions: a connection of gate.js that survives the loss of its socket (docs/protocol.md, "Sessions").
//
// Both ends number their data messages. What was sent is kept until the server has acknowledged it. When the socket is lost, the page opens
// another one, shows the token of the session, and sends what is missing. The engine sees nothing of it: its connection stays open.
//
// A page cannot drop a socket without a Close, which would end the session. It gives one up with GIVE_UP, and does not listen to it any more.
(function () {
  'use strict';
  if (typeof window === 'undefined') return;

  const NAME = 'godot-resume.v1';
  const GIVE_UP = 3012; // as 1012, which a page may not send: the session goes on
  const GONE = 4410;
  const BUSY = [1001, 1011, 1013]; // from a gateway in front of a server that is being restarted
  const LOSSES = [1006, 1012, 1014, 1015]; // no Close at all, gateways that are restarted, TLS
  const ACK_BYTES = 32768;
  const ACK_TIME = 250;
  const FIRST_PAUSE = 250; // before the second attempt; the first comes within as much, at random
  const LONGEST_PAUSE = 4000;
  const ATTEMPT = 5000; // at least: the radio of a phone needs seconds to wake up
  const LONGEST_SESSION = 120000; // no server keeps one longer
  const HURRIED = 1000; // an attempt that has just begun is none that hangs
  const UNKNOWN_MOST = 3; // one such answer may come from another server behind the same name
  const BUSY_LEAST = 10000; // a gateway says so while its server is being restarted
  const CALM = 60000; // a line that does not need the time given to slow ones gets half of it
  const SLOWEST = 4; // doublings of that time, which has other limits as well

  class Session {
    constructor(connection, tools, token, timeout) {
      this.connection = connection;
      this.tools = tools;
      this.token = token;
      this.timeout = timeout; // the server keeps the session for so long without a socket
      // Sent and not acknowledged, in order; null: an unreliable one, of which only the number is left. Those before `first` are gone.
      this.kept = [];
      this.first = 0;
      this.before = 0; // the number of the last message that is gone
      this.written = 0; // the number of the last message that a socket has taken
      this.keptBytes = 0;
      this.writtenBytes = 0; // of those that are kept
      // The last of those written, which the lost socket had not sent: they wait for the next one.
      this.unsent = 0;
      this.unsentBytes = 0;
      this.againUntil = 0; // what is sent again has left when the connection has sent so many bytes
      this.voided = 0; // numbers of the server's that have no message
      this.unackedBytes = 0; // received
      this.dropped = 0;
      this.suspended = false;
      this.suspends = 0;
      this.resumes = 0;
      this.why = '';
      this.until = 0;
      this.pause = 0;
      this.timer = null; // of the next attempt, or of the end of this one
      this.attempt = null;
      this.began = 0;
      this.silences = 0; // losses by silence, less those that were not needed
      this.silentAt = 0; // when they were needed last
      this.spared = false; // the attempt was let live once, because its answer may wait behind a timer
      this.unknown = 0; // such answers, since it was lost
      this.busy = 0; // such answers in a row
      this.busyFrom = 0;
      this.farewell = null; // the game has closed it
      this.isOver = false; // the server has ended it, whatever the code of its Close
    }

    last() {
      return this.before + this.kept.length - this.first;
    }

    received() {
      // The peer id has no number.
      return Math.max(0, this.connection.received - 1) + this.voided;
    }

    counts() {
      this.unackedBytes = 0;
      return `${this.received()} ${this.written}`;
    }

    brief() {
      return `${this.suspends} ${this.resumes} ${this.last() - this.written + this.unsent} ${this.waitingBytes()}`;
    }

    // Those that wait for a socket.
    waitingBytes() {
      return this.keptBytes - this.writtenBytes + this.unsentBytes;
    }

    // Bytes that were sent on a socket before, and have not left on this one. They are in front of all others.
    again() {
      const waiting = this.connection.buffered();
      return Math.max(0, Math.min(waiting, this.againUntil - this.connection.bytesOut + waiting));
    }

    figures() {
      return {
        suspended: Number(this.suspended),
        resumes: this.resumes,
        unacked_bytes: this.writtenBytes - this.unsentBytes,
        unacked_packets: this.written - this.before - this.unsent,
        packets_dropped: this.dropped,
      };
    }

    // ---- What comes ----

    // A message was received.
    took(size) {
      const c = this.connection;
      if (c.received === 1) {
        c.answer(); // the id: the server learns that the session is known here
        return;
      }
      this.unackedBytes += size;
      // Timers of a hidden page are late.
      const isLate = document.hidden && this.tools.now() - c.ackedAt >= ACK_TIME;
      if (this.unackedBytes >= ACK_BYTES || isLate) c.answer();
      else if (!c.ackTimer) c.ackTimer = setTimeout(() => c.answer(), ACK_TIME);
    }

    control(words) {
      if (words.split(' ')[0] === 'end') this.isOver = true;
      const skip = /^skip (\d+)(?: |$)/.exec(words);
      if (!skip) return;
      this.voided += Number(skip[1]);
      this.took(0);
    }

    // The server has received so many messages, and has sent so many.
    acknowledged(received, sent) {
      if (sent !== this.received()) {
        this.connection.stop(4002, `the server has sent ${sent} messages, and ${this.received()} were received: some were lost on the way`);
      } else if (received > this.written) {
        this.connection.stop(4002, `the server acknowledges ${received} messages, and ${this.written} were sent`);
      } else {
        while (this.before < received) this.drop();
        this.shrink();
      }
    }

    // ---- Slow lines ----

    // A message counts when it is whole. A line that was given up, maybe in the middle of one, gets twice the time.
    noteSilence() {
      this.silences = Math.min(this.silences + 1, SLOWEST);
      this.silentAt = this.tools.now();
    }

    slowed(time) {
      const calm = Math.floor((this.tools.now() - this.silentAt) / CALM);
      if (this.silences > 0 && calm > 0) {
        this.silences = Math.max(0, this.silences - calm);
        this.silentAt += calm * CALM;
      }
      return time * 2 ** this.silences;
    }

    // Something came after so much silence.
    heard(silent, shortest) {
      if (this.silences > 0 && silent * 2 > this.slowed(shortest)) this.silentAt = this.tools.now();
    }

    // ---- What is sent ----

    send(bytes, reliable) {
      const c = this.connection;
      const isOpen = !this.suspended && c.socket.readyState === this.tools.OPEN;
      if (!isOpen && !reliable) {
        this.dropped += 1;
        return;
      }
      c.sent += 1;
      this.kept.push(reliable ? bytes : null);
      if (reliable) this.keptBytes += bytes.byteLength;
      if (isOpen) this.write(bytes, reliable);
      const { kept_bytes: most, kept_messages: mostMessages } = c.options;
      // It cannot be sent again, that is all: nobody is closed because much was sent and not acknowledged.
      const waiting = this.suspended ? this.unsentBytes : c.buffered(); // has not left, and so is no reason
      while (this.writtenBytes - waiting > most || this.written - this.unsent - this.before > mostMessages) this.drop();
      this.shrink();
    }

    // Writes the message behind those that were written.
    write(bytes, reliable) {
      if (!this.suspended) this.connection.deliver(bytes, bytes.byteLength);
      // Its number may have arrived nevertheless.
      this.written += 1;
      if (reliable) this.writtenBytes += bytes.byteLength;
    }

    // Forgets the oldest message.
    drop() {
      const bytes = this.kept[this.first];
      this.kept[this.first] = undefined;
      this.first += 1;
      this.before += 1;
      if (!bytes) return;
      this.keptBytes -= bytes.byteLength;
      this.writtenBytes -= bytes.byteLength;
    }

    shrink() {
      if (this.first < this.kept.length && (this.first < 1024 || this.first * 2 < this.kept.length)) return;
      this.kept = this.kept.slice(this.first);
      this.first = 0;
    }

    // ---- Without a socket ----

    // Whether an end of the socket with this code is not the end of the session.
    survives(code) {
      const c = this.connection;
      return LOSSES.includes(code) && c.received > 0 && !this.isOver && !c.closing && !c.ended;
    }

    suspend(words, pause = Math.random() * FIRST_PAUSE) {
      if (this.suspended) {
        this.hurry();
        return;
      }
      const c = this.connection;
      this.suspended = true;
      this.suspends += 1;
      this.why = words;
      this.until = this.tools.now() + this.timeout;
      this.pause = FIRST_PAUSE;
      this.unknown = 0;
      this.busy = 0;
      this.findUnsent();
      giveUp(c.socket);
      c.socket = null;
      clearTimeout(c.ackTimer);
      c.ackTimer = 0;
      c.ackIsAnswer = false;
      c.askedAt = -1;
      c.rtt = -1;
      this.timer = this.tools.later(() => this.dial(), pause);
    }

    // What the socket has not sent waits, and counts as such. It is the end of what was written.
    findUnsent() {
      let room = this.connection.buffered() - this.again();
      for (let at = this.first + this.written - this.before - 1; at >= this.first && room > 0; at -= 1) {
        const size = this.kept[at] ? this.kept[at].byteLength : 0;
        if (size > room) break;
        room -= size;
        this.unsent += 1;
        this.unsentBytes += size;
      }
    }

    dial() {
      const c = this.connection;
      const names = c.protocols.length > 0 ? c.protocols.map((name) => `${NAME}+${name}`) : [NAME];
      this.began = this.tools.now();
      let socket;
      try {
        socket = new window.WebSocket(c.url, names.concat(`${NAME}.${this.token}.${this.received()}`));
      } catch (e) {
        this.failed(this.tools.withoutPaths(e.message));
        return;
      }
      socket.binaryType = 'arraybuffer';
      socket.onmessage = (event) => this.answered(socket, event.data);
      socket.onclose = (event) => this.refused(event);
      this.attempt = socket;
      this.spared = false;
      const time = Math.max(ATTEMPT, c.options.attempt_timeout || 0);
      this.timer = this.tools.later(() => this.late(), Math.min(time, LONGEST_SESSION));
    }

    late() {
      if (this.spare()) this.timer = this.tools.later(() => this.late(), HURRIED);
      else this.failed('the server did not answer');
    }

    // Lets an attempt live once more whose socket is open: when the thread was blocked, the answer waits behind the timer that asks.
    spare() {
      if (!this.attempt || this.attempt.readyState !== this.tools.OPEN || this.spared) return false;
      this.spared = true;
      return true;
    }

    refused({ code, reason, wasClean }) {
      if (this.isFinal(code, reason)) this.connection.end(code, reason, wasClean, '');
      else this.failed(LOSSES.includes(code) ? 'the server cannot be reached' : reason);
    }

    // Whether the Close that answers an attempt is that of the session.
    isFinal(code, reason) {
      if (BUSY.includes(code)) {
        const time = this.tools.now();
        if (this.busy === 0) this.busyFrom = time;
        this.busy += 1;
        return this.busy >= UNKNOWN_MOST && time - this.busyFrom >= BUSY_LEAST;
      }
      this.busy = 0;
      if (code !== GONE || !reason.startsWith('unknown')) return !LOSSES.includes(code);
      this.unknown += 1;
      return this.unknown >= UNKNOWN_MOST;
    }

    failed(words) {
      const c = this.connection;
      this.abandon();
      // Time is given up only after an attempt that began when it was over: a page that slept has made none.
      if (this.farewell || this.began >= this.until) {
        c.end(this.tools.LOST, '', false, this.farewell ? '' : `${this.why}, and it did not come back within ${this.timeout / 1000} s: ${words}`);
        return;
      }
      this.timer = this.tools.later(() => this.dial(), this.pause * (0.75 + Math.random() / 2));
      this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
    }

    // The first message on a new socket.
    answered(socket, data) {
      const c = this.connection;
      const grant = typeof data === 'string' ? /^resumed 1 ([0-9a-f]{48}) (\d+)(?: |$)/.exec(data) : null;
      this.attempt = null;
      this.tools.cancel(this.timer);
      c.adopt(socket);
      const received = grant ? Number(grant[2]) : 0;
      if (!grant) {
        c.stop(4002, 'the server that answered does not know of the session; is it another server?');
      } else if (received < this.before) {
        c.stop(4013, 'messages that the server needs are no longer kept');
      } else if (received > this.last()) {
        c.stop(4002, `the server has received ${received} messages, and ${this.last()} were sent`);
      } else if (this.farewell) {
        this.sayEnd(this.farewell.code, socket);
        c.socketClose(this.farewell.code, this.farewell.reason);
      } else {
        this.token = grant[1];
        this.resume(received);
      }
    }

    resume(received) {
      const c = this.connection;
      this.suspended = false;
      this.resumes += 1;
      c.heardAt = this.tools.now();
      c.quietFrom = c.heardAt;
      c.answerBy = -1;
      c.wakes = 0;
      const waits = this.waitingBytes();
      // Whatever was written on the last socket: this is what has arrived.
      while (this.before < received) this.drop();
      this.written = this.before;
      this.writtenBytes = 0;
      this.unsent = 0;
      this.unsentBytes = 0;
      c.answer();
      if (!this.suspended) c.ask(); // before what takes time
      let again = this.keptBytes - waits;
      let voids = 0;
      // When this socket is lost meanwhile, what an earlier one has sent is no more waiting than it was.
      for (let at = this.first; at < this.kept.length && (again > 0 || !this.suspended); at += 1) {
        const bytes = this.kept[at];
        if (bytes === null) {
          voids += 1;
        } else {
          this.skip(voids);
          voids = 0;
          this.write(bytes, true);
          if (again > 0) this.againUntil = c.bytesOut;
          again -= bytes.byteLength;
        }
      }
      this.skip(voids);
      this.shrink();
    }

    skip(count) {
      if (count === 0) return;
      this.connection.say(`skip ${count}`);
      this.written += count;
    }

    // The network or the page is back: an attempt makes sense now.
    hurry() {
      if (!this.suspended) return;
      this.pause = FIRST_PAUSE;
      if (this.attempt && this.tools.now() - this.began < HURRIED) return;
      if (this.spare()) return;
      this.abandon();
      this.dial();
    }

    reconnect() {
      const c = this.connection;
      if (this.suspended && !this.farewell) {
        this.abandon();
        this.pause = FIRST_PAUSE;
        this.dial();
        return true;
      }
      if (!this.survives(this.tools.LOST)) return false;
      this.suspend('the game has asked for a new connection', 0);
      return true;
    }

    // The game closes it. An attempt that is under way can still tell the server.
    close(code, reason) {
      if (this.attempt) this.farewell = { code, reason };
      else this.connection.end(this.tools.LOST, '', false, '');
    }

    // A game may close with the code that would spare the session.
    sayEnd(code, socket) {
      if (code === GIVE_UP && socket && socket.readyState === this.tools.OPEN) socket.send('end');
    }

    abandon() {
      this.tools.cancel(this.timer);
      this.timer = null;
      if (this.attempt) giveUp(this.attempt);
      this.attempt = null;
    }

    // Nothing of it is left.
    over() {
      const attempt = this.attempt;
      this.attempt = null;
      this.abandon();
      if (attempt) {
        silence(attempt);
        attempt.close(1000);
      }
      this.suspended = false;
      this.kept = [];
      this.first = 0;
      this.before = this.written;
      this.keptBytes = 0;
      this.writtenBytes = 0;
      this.unsent = 0;
      this.unsentBytes = 0;
    }
  }

  function silence(socket) {
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
  }

  // A socket that is still connecting goes without a word.
  function giveUp(socket) {
    silence(socket);
    socket.close(GIVE_UP);
  }

  window.__bwsSession = {
    // The session that a server grants with these words, or null.
    granted(words, connection, tools) {
      const grant = /^session 1 ([0-9a-f]{48}) (\d+)(?: |$)/.exec(words);
      return grant ? new Session(connection, tools, grant[1], Math.min(Number(grant[2]), LONGEST_SESSION)) : null;
    },
  };
}());
