// The demo's web page (redot_project/web/chat.html) in a headless Chromium, against the demo's own chat room. The
// runner restarts the room when it reads RESTART here. A person named Ada is in the room, and greets everybody who joins.
'use strict';

const { args, check, checkEqual, port, run } = require('./case.cjs');
const { log, open, sees, stateOf } = require('./chat_visit.cjs');
const { launch } = require('./chromium.cjs');

const LONG = 45;

run(async () => {
  const browser = await launch();
  console.log(`Chromium ${browser.version()}`);
  const a = await open(browser, args.page, port, 'Ben');
  await sees(a, 'Ada  hello there');
  checkEqual(await a.locator('#people').innerText(), 'Ada\nBen', 'who is in the room');
  const b = await open(browser, args.page, port, 'Cleo');
  await sees(a, 'Cleo has joined');

  // Both ways between two browsers; Ada's side is in the room's output, which the runner reads.
  await a.fill('#line', 'grüße, <b>世界</b> 🙂');
  await a.press('#line', 'Enter');
  await sees(b, 'Ben  grüße, <b>世界</b> 🙂');
  await sees(a, 'Ben  grüße, <b>世界</b> 🙂');
  await b.fill('#line', 'hello from a page');
  await b.click('#send');
  await sees(a, 'Cleo  hello from a page');
  await b.fill('#line', '   ');
  await b.press('#line', 'Enter');

  // An invalid message closes the connection with a reason, and the page does not try again.
  await b.evaluate("socket.send('nonsense')");
  await b.waitForFunction(() => document.body.dataset.state === 'idle');
  const told = await b.locator('#last').innerText();
  checkEqual(told, 'Closed with code 1008: this is not a chat message', 'the reason on the page');
  await sees(a, 'Cleo has left');

  // After a restart of the server, the page connects again by itself.
  console.log('RESTART');
  await stateOf(a, 'waiting', LONG);
  const broken = await a.locator('#last').innerText();
  check(broken.startsWith('Closed with code 1006: '), `the restart is shown as ${broken}`);
  check(await a.locator('#line').isDisabled(), 'the input is disabled while not connected');
  await stateOf(a, 'open', LONG);
  await sees(a, 'You are back.');
  await a.fill('#line', 'still here');
  await a.press('#line', 'Enter');
  await sees(a, 'Ben  still here');
  const lines = await log(a);
  checkEqual(lines.filter((line) => line === 'Ben  still here').length, 1, 'said once');

  // The page is for telephones as well.
  await a.setViewportSize({ width: 360, height: 640 });
  const overflow = await a.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  check(overflow <= 0, `${overflow} pixels do not fit on a telephone`);
  await a.setViewportSize({ width: 900, height: 640 });
  await a.screenshot({ path: args.picture });

  await a.click('#toggle');
  await stateOf(a, 'idle');
  checkEqual(await a.locator('#last').innerText(), 'Closed with code 1000: bye', 'the close of the page');
  await browser.close();
});
