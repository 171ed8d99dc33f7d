// Scenarios: pages that lose their connection and come back as the same peer.
'use strict';

const { KINDS, check, checkEqual, sleep } = require('./bed.cjs');
const { Cutter } = require('./cutter.cjs');

const SERVED = { options: { resume_timeout: 20 } };
const OPTIONS = { resume_enabled: true };

// A pair with a network in between that can be cut.
async function pairOver(bed, kind, words = {}) {
  let cutter;
  const pair = await bed.pair(kind, {
    served: SERVED, options: OPTIONS, ...words, through: async (port) => { cutter = await Cutter.to(port); return cutter.place; },
  });
  pair.cutter = cutter;
  return pair;
}

function told(game, link, what) {
  return game.events.filter((event) => event.link === link && event.what === what).length;
}

// Nobody heard of an end, both ends heard of each loss in pairs, and the page is the peer that it was.
async function isStillThere(pair, least) {
  const { id, status } = await pair.page.order('counts', { link: pair.link });
  checkEqual({ id, status }, { id: pair.id, status: 2 }, `${pair.link}: the page`);
  const { peers } = await pair.server.order('counts', { link: pair.link });
  checkEqual(peers, [pair.id], `${pair.link}: the server's peers`);
  const { resumes, suspended } = await pair.up('statistics', {});
  check(resumes >= least && suspended === 0, `${pair.link}: ${resumes} returns, suspended ${suspended}`);
  const counts = {};
  for (const game of [pair.page, pair.server]) {
    checkEqual(told(game, pair.link, 'peer_disconnected'), 0, `${pair.link}: peer_disconnected at the ${game.name}`);
    const [lost, back] = ['peer_suspended', 'peer_resumed'].map((what) => told(game, pair.link, what));
    check(lost === back && lost >= 1, `${pair.link}: ${game.name} heard of ${lost} losses and ${back} returns`);
    counts[game.name] = back;
  }
  return resumes;
}

async function done(pair) {
  await pair.end();
  pair.cutter.close();
}

// The connection is cut once per second while both ends send.
async function sessionCut(bed) {
  const figures = [];
  for (const kind of bed.isFirefox ? ['client'] : KINDS) {
    const pair = await pairOver(bed, kind);
    const words = { rate: 50, size: 300, seconds: 5 };
    const streams = Promise.all([pair.down('stream', words), pair.up('stream', words)]);
    for (const how of ['rst', 'fin', 'rst', 'fin']) {
      await sleep(1);
      pair.cutter.cut(how);
    }
    const sent = await streams;
    checkEqual(sent.map(({ there }) => there), [true, true], `${pair.link}: both ends are there`);
    await pair.arrive(pair.page, sent[0].sent, 6);
    await pair.arrive(pair.server, sent[1].sent, 6);
    figures.push(`${kind} ${await isStillThere(pair, 3)} returns, ${sent[0].sent} + ${sent[1].sent} RPCs`);
    await done(pair);
  }
  return figures.join(', ');
}

// Nothing passes for 10 s, and the browser knows it.
async function sessionOffline(bed) {
  const pair = await pairOver(bed, 'client');
  const words = { rate: 20, size: 300, seconds: 14 };
  const streams = Promise.all([pair.down('stream', words, 30), pair.up('stream', words, 30)]);
  await sleep(1);
  pair.cutter.offline();
  await pair.page.page.setOffline(true);
  await pair.page.event(pair.link, 'peer_suspended', 20);
  const { queued_out_packets: waiting, suspended } = await pair.up('statistics', {});
  check(suspended === 1, 'the page is suspended');
  await sleep(4);
  pair.cutter.online();
  await pair.page.page.setOffline(false);
  const began = Date.now();
  await pair.page.event(pair.link, 'peer_resumed', 20);
  const took = Date.now() - began;
  const sent = await streams;
  await pair.arrive(pair.page, sent[0].sent, 6);
  await pair.arrive(pair.server, sent[1].sent, 6);
  await isStillThere(pair, 1);
  await done(pair);
  return `back ${took} ms after the network, ${waiting} packets waited at first`;
}

// A phone that is locked: the page is hidden, its connection is cut, and replaced while it is hidden.
async function sessionHidden(bed) {
  const pair = await pairOver(bed, 'client');
  const cover = await bed.browser.open('about:blank', () => {});
  const stream = pair.down('stream', { rate: 20, size: 400, seconds: bed.long ? 70 : 20 }, 90);
  await sleep(4);
  pair.cutter.cut('rst');
  await sleep(8);
  pair.cutter.cut('fin');
  const { sent, there } = await stream;
  check(there, 'the server has lost the page');
  const { unacked_packets: unacked } = await pair.down('statistics', {});
  await bed.page.page.show();
  await pair.arrive(pair.page, sent, 6);
  await pair.up('burst', { count: 100, size: 100 });
  await pair.arrive(pair.server, 100, 6);
  const resumes = await isStillThere(pair, 2);
  await cover.close();
  await done(pair);
  check(unacked < 100, `${unacked} packets were unacknowledged although the page was there`);
  return `${sent} of ${sent}, ${resumes} returns, ${unacked} packets unacknowledged behind the last`;
}

// The page is hidden, and finds a dead connection when it is shown.
async function sessionWake(bed) {
  const pair = await pairOver(bed, 'client');
  const cover = await bed.browser.open('about:blank', () => {});
  await pair.down('burst', { count: 50, size: 100 });
  await sleep(1);
  pair.cutter.offline();
  await pair.down('burst', { count: 50, size: 100, from: 50 });
  await sleep(6);
  pair.cutter.online();
  await bed.page.page.show();
  const began = Date.now();
  await pair.arrive(pair.page, 100, 12);
  const took = Date.now() - began;
  check(took < 10000, `it took ${took} ms`);
  await isStillThere(pair, 1);
  await cover.close();
  await done(pair);
  return `back ${took} ms after it was shown`;
}

// A server that gives none, and a page that asks for none.
async function sessionNone(bed) {
  for (const words of [{ served: {} }, { options: {} }]) {
    const pair = await pairOver(bed, 'client', words);
    pair.cutter.cut('rst');
    await pair.page.event(pair.link, 'server_disconnected', 20);
    await pair.server.event(pair.link, 'peer_disconnected', 20);
    checkEqual(told(pair.page, pair.link, 'peer_suspended'), 0, 'peer_suspended');
    await done(pair);
  }
  return 'the loss is the end';
}

// The game's subprotocol stays what it is; `reconnect()` replaces the connection; a token that was used is worth nothing.
async function sessionToken(bed) {
  const protocols = ['game.v1'];
  const pair = await pairOver(bed, 'client', { protocols, served: { ...SERVED, protocols } });
  for (let time = 0; time < 2; time += 1) {
    checkEqual((await pair.up('reconnect', {})).error, 0, 'reconnect()');
    await pair.more(time * 10, 10);
  }
  checkEqual((await pair.down('statistics', {})).protocol, 'game.v1', 'the subprotocol at the server');
  checkEqual((await pair.up('statistics', {})).protocol, 'game.v1', 'the subprotocol in the page');
  const name = pair.cutter.lastReturn();
  check(name.length > 60, 'no token has passed');
  const closed = await bed.page.page.evaluate(`new Promise((resolve) => {
    const socket = new WebSocket('ws://127.0.0.1:${pair.cutter.place}/', ['godot-resume.v1+game.v1', '${name}']);
    socket.onclose = (event) => resolve([event.code, event.reason]);
  })`);
  checkEqual(closed, [4410, 'unknown: this server does not know the session'], 'the answer to a used token');
  await pair.more(20, 10);
  const resumes = await isStillThere(pair, 2);
  checkEqual(resumes, 2, 'returns');
  await done(pair);
  return 'a used token is answered with 4410';
}

// A player who is sent away while away, or comes too late, is told.
async function sessionGone(bed) {
  const kicked = await pairOver(bed, 'client');
  kicked.cutter.offline();
  kicked.cutter.cut('rst');
  await kicked.server.event(kicked.link, 'peer_suspended', 20);
  await kicked.page.event(kicked.link, 'peer_suspended', 20);
  await kicked.down('burst', { count: 0, size: 0, code: 4001, reason: 'asleep' });
  kicked.cutter.online();
  const { close_code: code, close_reason: reason } = await kicked.page.event(kicked.link, 'server_disconnected', 20);
  checkEqual([code, reason], [4001, 'asleep'], 'what the page is told');
  await done(kicked);
  const late = await pairOver(bed, 'client', { served: { options: { resume_timeout: 1 } } });
  late.cutter.offline();
  late.cutter.cut('rst');
  await late.server.event(late.link, 'peer_disconnected', 20);
  const { why } = await late.page.event(late.link, 'server_disconnected', 20);
  await done(late);
  return why;
}

module.exports = {
  sessionCut, sessionGone, sessionHidden, sessionNone, sessionOffline, sessionToken, sessionWake,
};
