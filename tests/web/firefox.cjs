// A headless Firefox by WebDriver BiDi, with what chromium.cjs offers.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');
const WebSocket = require('ws');

// It asks its makers for nothing, and shows pages without a graphics card.
const PREFERENCES = {
  'app.normandy.enabled': false,
  'app.update.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,',
  'toolkit.telemetry.enabled': false,
  'webgl.force-enabled': true,
};

class Firefox {
  static async launch(profile) {
    fs.mkdirSync(profile, { recursive: true });
    const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
    fs.writeFileSync(path.join(profile, 'user.js'), lines.join(''));
    const browser = new Firefox();
    browser.child = spawn(
      process.env.FIREFOX,
      ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0'],
      { env: { ...process.env, HOME: profile }, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const address = await new Promise((resolve, reject) => {
      let text = '';
      browser.child.stderr.setEncoding('utf8').on('data', (more) => {
        text += more;
        const found = /WebDriver BiDi listening on (\S+)/.exec(text);
        if (found) resolve(found[1]);
      });
      browser.child.on('exit', () => reject(new Error(`Firefox has ended: ${text}`)));
    });
    browser.socket = new WebSocket(`${address}/session`);
    await new Promise((resolve, reject) => { browser.socket.on('open', resolve).on('error', reject); });
    browser.socket.on('message', (data) => browser.take(JSON.parse(data)));
    const { capabilities } = await browser.send('session.new', { capabilities: {} });
    browser.name = `${capabilities.browserName}/${capabilities.browserVersion}`;
    await browser.send('session.subscribe', { events: ['log.entryAdded'] });
    return browser;
  }

  constructor() {
    this.waiting = new Map();
    this.pages = new Map();
    this.count = 0;
  }

  take(message) {
    if (message.type === 'event') {
      const { source, text, args = [], level } = message.params;
      const onLine = this.pages.get(source && source.context);
      const words = args.length > 0 ? args.map(({ value, type }) => (value === undefined ? type : value)).join(' ') : text;
      if (onLine) onLine(message.params.type === 'javascript' ? `PAGE ERROR: ${text}` : words, level);
      return;
    }
    const { resolve, reject } = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.type === 'success') resolve(message.result);
    else reject(new Error(`${message.error}: ${message.message}`));
  }

  send(method, params = {}) {
    this.count += 1;
    const id = this.count;
    this.socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve, reject) => { this.waiting.set(id, { resolve, reject }); });
  }

  async version() {
    return this.name;
  }

  async open(url, onLine) {
    const { context } = await this.send('browsingContext.create', { type: 'tab' });
    this.pages.set(context, onLine);
    const page = {
      evaluate: async (expression) => {
        const answer = await this.send('script.evaluate', { expression, target: { context }, awaitPromise: true });
        if (answer.type === 'exception') throw new Error(`${expression}: ${answer.exceptionDetails.text}`);
        return answer.result.value;
      },
      show: () => this.send('browsingContext.activate', { context }),
      close: () => this.send('browsingContext.close', { context }),
      picture: async () => {
        const { data } = await this.send('browsingContext.captureScreenshot', { context });
        return Buffer.from(data, 'base64');
      },
    };
    await page.show();
    await this.send('browsingContext.navigate', { context, url, wait: 'none' });
    return page;
  }

  async close() {
    const ended = new Promise((resolve) => { this.child.on('exit', resolve); });
    await this.send('browser.close').catch(() => {});
    await ended;
  }
}

module.exports = { Firefox };
