// How a script visits the demo's chat page.
'use strict';

const { pathToFileURL } = require('url');
const { fail } = require('./case.cjs');

const TIMEOUT = 20;

// The page as a person opens it: from the disk.
async function open(browser, file, port, name) {
  const page = await browser.newPage({ viewport: { width: 900, height: 640 } });
  page.setDefaultTimeout(TIMEOUT * 1000);
  page.on('pageerror', (error) => fail(`the page of ${name}: ${error.message}`));
  const address = pathToFileURL(file);
  address.searchParams.set('server', `ws://127.0.0.1:${port}`);
  address.searchParams.set('name', name);
  await page.goto(address.href);
  await page.click('#toggle');
  await stateOf(page, 'open');
  return page;
}

async function stateOf(page, wanted, seconds = TIMEOUT) {
  const options = { timeout: seconds * 1000 };
  await page.waitForFunction((state) => document.body.dataset.state === state, wanted, options);
}

function log(page) {
  return page.locator('#log li').evaluateAll((items) => items.map((item) => item.textContent));
}

async function sees(page, line) {
  await page.waitForFunction(
    (text) => [...document.querySelectorAll('#log li')].some((item) => item.textContent === text),
    line,
  ).catch(async () => fail(`never seen: ${line}; the page shows ${JSON.stringify(await log(page))}`));
}

module.exports = { log, open, sees, stateOf };
