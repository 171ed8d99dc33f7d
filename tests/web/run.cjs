// Runs the scenarios in one headless browser. Arguments: firefox (some of them, instead of all in Chromium), project=, demo=, packs=, engine=, identity=, scratch=, long, only=NAME.
'use strict';

const fs = require('fs');
const path = require('path');
const { Bed, errorLines } = require('./bed.cjs');
const { Chromium } = require('./chromium.cjs');
const { Firefox } = require('./firefox.cjs');
const { serve } = require('./site.cjs');

const scenarios = {
  ...require('./traffic.cjs'), ...require('./ends.cjs'), ...require('./pages.cjs'), ...require('./sessions.cjs'),
  ...require('./demo.cjs'),
};
const IN_FIREFOX = ['burstDown', 'burstUp', 'hidden', 'kick', 'closeCodes', 'constructorErrors', 'networkGone', 'sessionCut'];
const args = Object.fromEntries(process.argv.slice(2).map((word) => {
  const at = word.indexOf('=');
  return at < 0 ? [word, true] : [word.slice(0, at), word.slice(at + 1)];
}));

async function main() {
  const folders = { engine: args.engine, pack: args.packs };
  const [key, cert] = ['pkcs8.key', 'crt'].map((ending) => fs.readFileSync(path.join(args.identity, `p256.${ending}`)));
  const site = await serve(folders);
  const secureSite = await serve(folders, { key, cert });
  const flags = ['--ignore-certificate-errors', '--host-resolver-rules=MAP game.test 127.0.0.1'];
  const profile = path.join(args.scratch, 'profile');
  fs.rmSync(profile, { recursive: true, force: true });
  const browser = args.firefox ? await Firefox.launch(profile) : new Chromium(profile, flags);
  console.log(await browser.version());
  const { project, demo: demoProject, scratch } = args;
  const bed = new Bed({
    browser, site, secureSite, identity: path.join(args.identity, 'p256'), project, demoProject, scratch, long: Boolean(args.long),
    isFirefox: Boolean(args.firefox),
    // Without a graphics card, Firefox has no WebGL.
    place: args.firefox ? '?headless' : '',
  });
  await bed.start();
  let failed = 0;
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (args.only && !name.includes(args.only)) continue;
    if (args.firefox && !IN_FIREFOX.includes(name)) continue;
    const began = Date.now();
    const took = () => `(${((Date.now() - began) / 1000).toFixed(1)} s)`;
    try {
      const figures = await scenario(bed);
      console.log(`SCENARIO OK ${name} ${took()}: ${figures}`);
    } catch (error) {
      failed += 1;
      console.log(`SCENARIO FAILED ${name} ${took()}: ${error.message}`);
      // The next one gets a page that works.
      await bed.page.page.close().catch(() => {});
      bed.page = await bed.open(`page after ${name}`);
    }
  }
  await bed.page.page.show();
  fs.writeFileSync(path.join(scratch, args.firefox ? 'firefox.png' : 'page.png'), await bed.page.page.picture());
  for (const game of [bed.server, bed.page]) {
    const lines = errorLines(game);
    if (lines.length > 0) {
      failed += 1;
      console.log(`SCENARIO FAILED error lines of the ${game.name}: ${lines.slice(0, 5).join(' / ')}`);
    }
  }
  await browser.close();
  bed.server.child.kill();
  process.exit(failed > 0 ? 1 : 0);
}

main().catch((error) => {
  console.log(`SCENARIO FAILED run: ${error.stack}`);
  process.exit(1);
});
