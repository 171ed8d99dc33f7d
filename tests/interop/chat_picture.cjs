// The picture of the demo's chat for the README: the engine's window and a browser's, side by side. The room greets
// whoever comes in, takes a picture of itself and closes.
'use strict';

const fs = require('fs');
const { args, check, port, run } = require('./case.cjs');
const { open, sees } = require('./chat_visit.cjs');
const { launch } = require('./chromium.cjs');

const TALK = [
  [0, 'Hi Ada! I am a page in a browser, without any engine.'],
  [1, 'And I am another one. No library, no build step.'],
  [0, 'What happens when your server restarts?'],
  [1, 'The page waits a moment and comes back by itself.'],
];

function dataUrl(png) {
  return `data:image/png;base64,${png.toString('base64')}`;
}

function side(title, picture) {
  return `<figure><figcaption>${title}</figcaption><img src="${picture}"></figure>`;
}

async function patiently(condition, what) {
  const deadline = Date.now() + 60000;
  while (!condition()) {
    check(Date.now() < deadline, `${what}: not within a minute`);
    await new Promise((wake) => { setTimeout(wake, 200); });
  }
}

run(async () => {
  const browser = await launch();
  const pages = [
    await open(browser, args.page, port, 'Ben'),
    await open(browser, args.page, port, 'Cleo'),
  ];
  await pages[0].setViewportSize({ width: 760, height: 640 });
  for (const [who, text] of TALK) {
    await pages[who].fill('#line', text);
    await pages[who].press('#line', 'Enter');
    await sees(pages[0], `${['Ben', 'Cleo'][who]}  ${text}`);
  }
  await pages[0].mouse.move(0, 0);
  check(!fs.existsSync(args.room), 'the room took its picture before the talk was over');
  const web = await pages[0].screenshot();
  await patiently(() => fs.existsSync(args.room) && fs.statSync(args.room).size > 0, 'the room');
  // It is written in one go, but not in no time.
  await new Promise((wake) => { setTimeout(wake, 500); });
  const room = fs.readFileSync(args.room);

  const sheet = await browser.newPage({ viewport: { width: 1280, height: 600 } });
  await sheet.setContent(`<!doctype html><style>
    body { margin: 0; height: 600px; display: flex; gap: 28px; align-items: center; justify-content: center;
      background: linear-gradient(120deg, #20304f, #1d4a4c); font: 15px system-ui, "DejaVu Sans", sans-serif; }
    figure { margin: 0; width: 590px; border-radius: 12px; overflow: hidden; box-shadow: 0 14px 40px #0009; }
    figcaption { background: #222c42; color: #c9d4ea; padding: 8px 16px; }
    img { display: block; width: 100%; }
  </style>${side('WebSocketServer in Godot', dataUrl(room))}${side('chat.html in Chromium', dataUrl(web))}`);
  await sheet.waitForFunction(() => [...document.images].every((image) => image.complete));
  await sheet.screenshot({ path: args.picture });
  await browser.close();
});
