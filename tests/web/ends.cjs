// Scenarios: connections that fail, end or break, and what the game is told.
'use strict';

const { KINDS, check, checkEqual, sleep } = require('./bed.cjs');
const { inPage } = require('./game.cjs');

const INVALID_PARAMETER = 31;

// A server that is there no more without a word is noticed by its silence.
async function networkGone(bed) {
  const other = await bed.native('stopped server');
  const options = { heartbeat_interval: 1, heartbeat_timeout: 3 };
  const pair = await bed.pair('client', { server: other, served: { options }, options });
  await sleep(1.5);
  other.child.kill('SIGSTOP');
  const began = Date.now();
  const { why } = await pair.page.event(pair.link, 'server_disconnected', 8);
  const took = (Date.now() - began) / 1000;
  other.child.kill('SIGKILL');
  const { peers_timed_out: timedOut } = await pair.page.order('totals', { link: pair.link });
  checkEqual(timedOut, 1, 'peers_timed_out');
  check(took > 1 && took < 5, `noticed after ${took} s`);
  check(why.length > 0, 'no words');
  await pair.up('free', {});
  return `noticed after ${took.toFixed(1)} s: ${why}`;
}

// A page learns of a refusal only that there was one.
async function refused(bed) {
  const figures = [];
  for (const kind of KINDS) {
    const link = `refused_${kind}`;
    const { port } = await bed.server.order('listen', { link, refuse: 403 });
    const url = `ws://127.0.0.1:${port}/`;
    checkEqual((await bed.page.order('join', { link, kind, url })).error, 0, 'join');
    const { why } = await bed.page.event(link, 'connection_failed');
    check(why.length > 20, `why: ${why}`);
    figures.push(why);
    await bed.page.order('free', { link });
    await bed.server.order('free', { link });
  }
  return figures[0];
}

// A browser throws at these codes; the game must not stop.
async function closeCodes(bed) {
  const figures = [];
  for (const [code, seen] of [[1000, 1000], [1001, 4001], [1009, 4009], [1013, 4013], [3000, 3000], [4321, 4321]]) {
    const pair = await bed.pair('client');
    const reason = 'ä'.repeat(61);
    await pair.up('close', { code, reason });
    const request = await pair.server.event(pair.link, 'close_request');
    checkEqual([request.code, request.reason], [seen, reason], `the server's view of ${code}`);
    await pair.server.event(pair.link, 'peer_disconnected');
    const { frames } = await pair.page.order('frames');
    await sleep(0.2);
    check((await pair.page.order('frames')).frames > frames, `no frame after ${code}`);
    await pair.end();
    figures.push(`${code}: ${seen}`);
  }
  return figures.join(', ');
}

// What a browser would throw at is refused with a line that names it.
async function constructorErrors(bed) {
  for (const kind of KINDS) {
    const link = `invalid_${kind}`;
    const url = `ws://127.0.0.1:${bed.site}/`;
    const seen = bed.page.lines.length;
    const { error } = await bed.page.order('join', { link, kind, url, protocols: ['not a token'] });
    checkEqual(error, INVALID_PARAMETER, `${kind}: a subprotocol with spaces`);
    const told = bed.page.lines.splice(seen).filter((line) => /^ERROR.*"not a token"/.test(line));
    check(told.length > 0, `${kind}: no line about it`);
    await bed.page.order('free', { link });
  }
  return 'refused with a line';
}

// A page of https:// cannot use ws://.
async function mixedContent(bed) {
  const page = await inPage(bed.browser, 'https page', `https://game.test:${bed.secureSite}/`);
  const link = 'mixed';
  const { error, why } = await page.order('join', { link, kind: 'client', url: 'ws://game.test:9/' });
  const words = error === 0 ? (await page.event(link, 'connection_failed', 5)).why : why;
  check(/secure|wss/i.test(words), `why: ${words}`);
  await page.page.close();
  return words;
}

// A page of https:// plays over wss://.
async function secure(bed) {
  const page = await inPage(bed.browser, 'secure page', `https://game.test:${bed.secureSite}/`);
  for (const kind of KINDS) {
    const pair = await bed.pair(kind, { page, place: 'wss://game.test', served: { identity: bed.identity } });
    await pair.both(500, 1024);
    await pair.end();
  }
  await page.page.close();
  return '500 of 500 both ways';
}

module.exports = { closeCodes, constructorErrors, mixedContent, networkGone, refused, secure };
