// Scenario: the demo's own web export.
'use strict';

const fs = require('fs');
const path = require('path');
const {
  check, errorLines, freePort, sleep,
} = require('./bed.cjs');
const { inPage, start } = require('./game.cjs');

// A page joins the demo's server, and plays by itself among its bots.
async function demo(bed) {
  const port = await freePort();
  const server = start('demo server', bed.demoProject, ['server', 'bots=3', `port=${port}`]);
  await server.line(/^READY/, 60);
  const query = new URLSearchParams([
    ['pack', 'demo'], ['arg', 'client'], ['arg', 'window'], ['arg', 'auto'], ['arg', 'name=Webby'], ['arg', 'say=hello from a page'],
    ['arg', `url=ws://127.0.0.1:${port}`],
  ]);
  const game = await inPage(bed.browser, 'demo', `http://127.0.0.1:${bed.site}/?${query}`, /^Godot|^Redot/);
  await server.line(/^Webby joined as peer/, 30);
  await sleep(4);
  fs.writeFileSync(path.join(bed.scratch, 'demo.png'), await game.page.picture());
  const bad = [...errorLines(game), ...game.lines.filter((line) => line.startsWith('DEMO'))];
  check(bad.length === 0, bad.slice(0, 3).join(' / '));
  await game.page.close();
  await server.line(/^Webby left/, 10);
  server.child.kill();
  return 'joined, played and left';
}

module.exports = { demo };
