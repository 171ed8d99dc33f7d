// Scenarios: what arrives, in a page that is shown and in one that is hidden.
'use strict';

const { KINDS, check, checkEqual, sleep } = require('./bed.cjs');

const ALL = [...KINDS, 'engine'];
const BURST = { count: 500, size: 1024 };

// Runs the same with each class. The engine's own one shows that the addon's classes are not merely lucky.
async function each(kinds, run) {
  const figures = [];
  for (const kind of kinds) figures.push(`${kind} ${await run(kind)}`);
  return figures.join(', ');
}

// What the addon's classes must not lose, and the engine's own one does (in Firefox not each time).
async function judge(bed, pair, game, sent) {
  if (pair.kind !== 'engine') {
    await pair.arrive(game, sent);
    return sent;
  }
  const { received } = await pair.settled(game, sent);
  check(received < sent || bed.isFirefox, 'the engine\'s own class lost nothing: this scenario proves nothing');
  return received;
}

async function burstDown(bed) {
  return each(ALL, async (kind) => {
    const pair = await bed.pair(kind);
    await pair.down('burst', BURST);
    const arrived = await judge(bed, pair, pair.page, BURST.count);
    await pair.end();
    return `${arrived} of ${BURST.count}`;
  });
}

async function burstUp(bed) {
  return each(ALL, async (kind) => {
    const pair = await bed.pair(kind);
    checkEqual((await pair.up('burst', BURST)).failed, 0, `${kind}: RPCs that were refused`);
    const arrived = await judge(bed, pair, pair.server, BURST.count);
    await pair.end();
    return `${arrived} of ${BURST.count}`;
  });
}

// The page reads the RPCs of the frame in which it is sent away, and hears why.
async function kick(bed) {
  return each(ALL, async (kind) => {
    const pair = await bed.pair(kind);
    await pair.down('burst', { count: 20, size: 100, code: 4002, reason: 'geh, schöner Gast' });
    const event = await pair.page.event(pair.link, 'server_disconnected');
    const arrived = await judge(bed, pair, pair.page, 20);
    if (kind !== 'engine') {
      const { close_code: code, close_reason: reason } = event;
      checkEqual({ code, reason }, { code: 4002, reason: 'geh, schöner Gast' }, `${kind}: the close`);
    }
    await pair.end();
    return `${arrived} of 20`;
  });
}

// A page behind another one gets nothing to run, and everything that was sent to it when it is shown again.
async function hidden(bed) {
  // Enough for the engine's buffer of 64 KiB to be too small.
  const [seconds, size] = bed.long ? [70, 100] : [20, 400];
  const pairs = [];
  for (const kind of ALL) pairs.push(await bed.pair(kind));
  const cover = await bed.browser.open('about:blank', () => {});
  const streams = pairs.map((pair) => pair.down('stream', { rate: 20, size, seconds }, seconds + 20));
  const sent = await Promise.all(streams);
  await bed.page.page.show();
  const figures = [];
  for (const [at, pair] of pairs.entries()) {
    check(sent[at].there, `${pair.link}: the server lost the page while it was hidden`);
    const arrived = await judge(bed, pair, pair.page, sent[at].sent);
    figures.push(`${pair.kind} ${arrived} of ${sent[at].sent}`);
    await pair.end();
  }
  await cover.close();
  return figures.join(', ');
}

// The mean of the lower three quarters: what other processes do to the rest is not the page's.
function undisturbed(times) {
  const kept = times.sort((a, b) => a - b).slice(0, Math.ceil(times.length * 0.75));
  return (kept.reduce((sum, time) => sum + time, 0) / kept.length).toFixed(1);
}

// The time that an RPC costs the page, in and out, and that a poll without any takes, beside the engine's own class. Figures, and no judgement.
async function cost(bed) {
  const [rounds, count, size] = [40, 100, 100];
  return each(['client', 'engine', 'client', 'engine'], async (kind) => {
    const pair = await bed.pair(kind);
    await pair.page.order('measure', { link: pair.link });
    const out = [];
    for (let round = 0; round < rounds; round += 1) {
      const from = round * count;
      await pair.down('burst', { count, size, from });
      out.push((await pair.up('burst', { count, size, from })).usec / count);
      await pair.arrive(pair.page, from + count);
      await pair.arrive(pair.server, from + count);
    }
    const { polls } = await pair.page.order('measured', { link: pair.link });
    await pair.end();
    const busy = polls.filter(([brought]) => brought >= count / 2).map(([brought, usec]) => usec / brought);
    const idle = polls.filter(([brought]) => brought === 0).map(([, usec]) => usec);
    const [costIn, costOut, costIdle] = [busy, out, idle].map(undisturbed);
    return `${costIn} µs in, ${costOut} µs out, ${costIdle} µs a poll without any`;
  });
}

// What waits for a page that is shown again does not take all the time of one frame.
async function manyWaiting(bed) {
  const count = 60000;
  // A browser that gets no processor for a second must not be closed as too slow.
  const pair = await bed.pair('client', { served: { options: { overflow_grace: 60 } } });
  const cover = await bed.browser.open('about:blank', () => {});
  for (let sent = 0; sent < count; sent += 2000) {
    await pair.down('burst', { count: 2000, size: 8, from: sent });
    await sleep(0.1);
  }
  await sleep(2);
  await pair.page.order('frames').catch(() => {});
  await bed.page.page.show();
  await sleep(0.2);
  await pair.page.order('frames');
  await pair.arrive(pair.page, count, 10);
  const { longest } = await pair.page.order('frames');
  // Not the time, which on a busy machine says nothing about the game.
  const { most_in_frame: most } = await pair.page.order('counts', { link: pair.link });
  check(most < count / 2, `${most} of them were handled in one frame`);
  await pair.end();
  await cover.close();
  return `${count} RPCs, at most ${most} in a frame, longest frame ${Math.round(longest)} ms`;
}

// More than a hidden page may keep ends the connection with words, after all that was kept.
async function tooMuchWaiting(bed) {
  const pair = await bed.pair('client');
  const cover = await bed.browser.open('about:blank', () => {});
  const count = 20 * 32;
  for (let sent = 0; sent < count; sent += 32) {
    await pair.down('burst', { count: 32, size: 32768, from: sent });
    await sleep(0.05);
  }
  await sleep(1);
  await bed.page.page.show();
  const { why, close_code: code } = await pair.page.event(pair.link, 'server_disconnected', 30);
  const { received, wrong, bytes } = await pair.page.order('counts', { link: pair.link });
  checkEqual(wrong, 0, 'RPCs out of order');
  check(bytes > 15 * 2 ** 20 && bytes <= 16 * 2 ** 20, `${bytes} bytes of ${received} RPCs were kept`);
  check(/\d/.test(why), `why: ${why}`);
  await pair.end();
  await cover.close();
  return `${(bytes / 2 ** 20).toFixed(1)} MiB kept, then ${code}: ${why}`;
}

// A game that polls and takes nothing gets no more than a hidden page may keep either, and may still take what was kept.
async function notTaken(bed) {
  // The server must not be the first to lose patience.
  const pair = await bed.pair('client', { served: { options: { overflow_grace: 60 } } });
  await pair.up('deafen', { deaf: true });
  const isClosed = () => pair.server.events.some(({ link, what }) => link === pair.link && what === 'peer_disconnected');
  for (let sent = 0; sent < 20 * 32 && !isClosed(); sent += 32) {
    await pair.down('burst', { count: 32, size: 32768, from: sent });
    // As fast as the page takes it, which on a busy machine is slow.
    while (!isClosed() && (await pair.down('statistics', {})).queued_out_bytes > 0) await sleep(0.05);
  }
  const { code } = await pair.server.event(pair.link, 'close_request');
  checkEqual(code, 4013, 'the close');
  await pair.up('deafen', { deaf: false });
  await pair.page.event(pair.link, 'server_disconnected', 30);
  const { wrong, bytes } = await pair.page.order('counts', { link: pair.link });
  checkEqual(wrong, 0, 'RPCs out of order');
  // In the gate, fetched from it, and ready for the game.
  check(bytes > 16 * 2 ** 20 && bytes <= 18.5 * 2 ** 20, `${bytes} bytes were kept`);
  await pair.end();
  return `${(bytes / 2 ** 20).toFixed(1)} MiB kept, then ${code}`;
}

// A server whose game takes nothing does not read a page's question after its sleep, and is not given up.
async function notRead(bed) {
  const pair = await bed.pair('client');
  await pair.down('deafen', { deaf: true });
  await pair.up('burst', { count: 500, size: 1024 });
  const cover = await bed.browser.open('about:blank', () => {});
  await sleep(9);
  await bed.page.page.show();
  // Without a sign of life it would be lost after 3 s.
  await sleep(6);
  const { status, why } = await pair.page.order('counts', { link: pair.link });
  checkEqual({ status, why }, { status: 2, why: '' }, 'the page after its sleep');
  await pair.down('deafen', { deaf: false });
  await pair.arrive(pair.server, 500);
  await pair.end();
  await cover.close();
  return 'kept, 500 of 500';
}

module.exports = { burstDown, burstUp, cost, hidden, kick, manyWaiting, notRead, notTaken, tooMuchWaiting };
