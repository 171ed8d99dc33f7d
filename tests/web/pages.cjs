// Scenarios: pages with a content security policy, with two clients, and with multiplayer APIs of branches.
'use strict';

const { checkEqual } = require('./bed.cjs');

// Without eval nothing arrives twice or out of order, and a loss is told.
async function strictPolicy(bed) {
  const page = await bed.open('strict page', 'strict/');
  const evaluated = await page.page.evaluate('try { new Function("return 1")() } catch (error) { 0 }');
  checkEqual(evaluated, 0, 'the page has no policy');
  const pair = await bed.pair('client', { page });
  await pair.both(500, 1024);
  await pair.end();
  await page.page.close();
  return 'both ways';
}

async function twoClients(bed) {
  const pairs = [await bed.pair('client'), await bed.pair('buffered'), await bed.pair('client', { root: true })];
  await Promise.all(pairs.flatMap((pair) => [
    pair.down('stream', { rate: 200, size: 300, seconds: 2 }),
    pair.up('stream', { rate: 100, size: 300, seconds: 2 }),
  ]));
  for (const pair of pairs) {
    await pair.arrive(pair.page, 400);
    await pair.arrive(pair.server, 200);
  }
  // One that ends does not take the others along.
  await pairs[0].up('close', {});
  await pairs[0].server.event(pairs[0].link, 'peer_disconnected');
  await pairs[1].down('burst', { count: 10, size: 10, from: 400 });
  await pairs[1].arrive(pairs[1].page, 410);
  for (const pair of pairs) await pair.end();
  return 'three at a time';
}

module.exports = { strictPolicy, twoClients };
