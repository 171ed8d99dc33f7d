// A headless Chromium by its DevTools protocol, without a library: those keep every page visible.
'use strict';

const { spawn } = require('child_process');

const FLAGS = [
  '--headless=new', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--window-size=700,450',
  '--mute-audio', '--remote-debugging-pipe',
];

class Chromium {
  constructor(profile, flags = []) {
    const words = [...FLAGS, `--user-data-dir=${profile}`, ...flags];
    // Where everything runs as root there is no sandbox to be had.
    if (process.getuid() === 0) words.push('--no-sandbox');
    this.child = spawn(process.env.CHROMIUM, words, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    this.waiting = new Map();
    this.pages = new Map();
    this.count = 0;
    let rest = Buffer.alloc(0);
    this.child.stdio[4].on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      for (let at = rest.indexOf(0); at >= 0; at = rest.indexOf(0)) {
        this.take(JSON.parse(rest.subarray(0, at)));
        rest = rest.subarray(at + 1);
      }
    });
    this.child.on('exit', () => {
      for (const { reject } of this.waiting.values()) reject(new Error('the browser has ended'));
    });
  }

  take(message) {
    if (message.id) {
      const { resolve, reject } = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (message.error) reject(new Error(message.error.message));
      else resolve(message.result);
    } else if (this.pages.has(message.sessionId)) {
      this.pages.get(message.sessionId)(message.method, message.params);
    }
  }

  send(method, params = {}, sessionId = undefined) {
    this.count += 1;
    const id = this.count;
    this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => { this.waiting.set(id, { resolve, reject }); });
  }

  async version() {
    return (await this.send('Browser.getVersion')).product;
  }

  // Opens a page in front of the others, which are hidden from then on.
  async open(url, onLine) {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const text = ({ value, description }) => String(value === undefined ? description : value);
    this.pages.set(sessionId, (method, params) => {
      if (method === 'Runtime.consoleAPICalled') onLine(params.args.map(text).join(' '), params.type);
      if (method === 'Runtime.exceptionThrown') {
        const { exception, text: words } = params.exceptionDetails;
        onLine(`PAGE ERROR: ${exception ? exception.description || exception.value : words}`, 'error');
      }
      if (method === 'Inspector.targetCrashed') onLine('PAGE ERROR: the page has crashed', 'error');
    });
    const page = {
      evaluate: async (expression) => {
        const { result, exceptionDetails } = await this.send(
          'Runtime.evaluate',
          { expression, returnByValue: true, awaitPromise: true, allowUnsafeEvalBlockedByCSP: false },
          sessionId,
        );
        if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.text}`);
        return result.value;
      },
      show: () => this.send('Target.activateTarget', { targetId }),
      close: () => this.send('Target.closeTarget', { targetId }),
      setOffline: (offline) => this.send(
        'Network.emulateNetworkConditions',
        { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 },
        sessionId,
      ),
      picture: async () => {
        const { data } = await this.send('Page.captureScreenshot', {}, sessionId);
        return Buffer.from(data, 'base64');
      },
    };
    for (const domain of ['Runtime', 'Page', 'Inspector', 'Network']) await this.send(`${domain}.enable`, {}, sessionId);
    await page.show();
    await this.send('Page.navigate', { url }, sessionId);
    return page;
  }

  async close() {
    const ended = new Promise((resolve) => { this.child.on('exit', resolve); });
    await this.send('Browser.close').catch(() => {});
    await ended;
  }
}

module.exports = { Chromium };
