// A headless Chromium, as every script that drives one starts it.
'use strict';

const { chromium } = require('playwright-core');

function launch(flags = []) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    headless: true,
    args: [
      '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', ...flags,
    ],
    // Where everything runs as root there is no sandbox to be had.
    chromiumSandbox: process.getuid() !== 0,
    timeout: 30000,
  });
}

module.exports = { launch };
