// Uses the router's page as people do, in a real Chromium, and prints what it found as JSON.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const [url, picture, question] = process.argv.slice(2);
const executablePath = execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim();
const found = { hosts: [], console: [], unnamed: [], faint: [], unseen: [], wide: [] };
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.setDefaultTimeout(20000);
  page.on('request', (request) => found.hosts.push(new URL(request.url()).host || new URL(request.url()).protocol));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !found.mayFail) {
      found.console.push(message.text());
    }
  });
  page.on('pageerror', (error) => found.console.push(error.message));
  await page.goto(url);
  await page.waitForSelector('#nodes tbody tr');
  found.nodes = await page.locator('#nodes tbody th').allTextContents();
  found.models = await page.locator('#model option').allTextContents();

  await byKeyboard(page);
  await streams(page);
  await looks(page, 'answered');
  await readsRequests(page);
  await takesPictures(page);
  await stops(page);
  await tellsErrors(page);
  await looks(page, 'failed');
  found.body = await page.evaluate(() => document.documentElement.outerHTML);
} finally {
  await browser.close();
}
console.log(JSON.stringify(found));

/** Goes through the whole page with the tab key: what it stops at, and whether one sees where. */
async function byKeyboard(page) {
  found.stops = [];
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const at = document.activeElement;
      const style = getComputedStyle(at);
      return {
        name: at === document.body ? '' : at.id || at.getAttribute('aria-label') || at.textContent.trim(),
        seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
      };
    });
    if (!stop.name) {
      break;
    }
    found.stops.push(stop.name);
    if (!stop.seen) {
      found.unseen.push(stop.name);
    }
  }
}

/** Asks with nothing but keys, after the file was chosen, and watches the answer grow. */
async function streams(page) {
  await page.setInputFiles('#files', picture);
  await page.evaluate(() => {
    window.grown = 0;
    new MutationObserver(() => window.grown++).observe(document.getElementById('answer'), { childList: true });
  });
  await page.focus('#question');
  await page.keyboard.type(question);
  await page.keyboard.press('Control+Enter');
  await page.waitForSelector('#own-timeline table');
  await page.waitForFunction(() => !document.getElementById('send').disabled);
  found.answer = await page.locator('#answer').textContent();
  found.phase = await page.locator('#phase').textContent();
  found.grown = await page.evaluate(() => window.grown);
  found.stages = await page.locator('#own-timeline tbody th').allTextContents();
  found.bars = await page.locator('#own-timeline .fill-compute').count();
  found.measures = await page.locator('#measures').textContent();
}

/** The request is in the table; its row opens by key. */
async function readsRequests(page) {
  const button = page.locator('#recent button').first();
  await button.waitFor();
  await button.focus();
  await page.keyboard.press('Enter');
  await page.waitForSelector('#recent .detail table');
  found.expanded = await button.getAttribute('aria-expanded');
  found.detail = await page.locator('#recent .detail').innerText();
  await page.keyboard.press('Enter');
  found.closed = await page.locator('#recent .detail').count();
  // A point of a chart comes every two seconds.
  await page.waitForFunction(() => document.querySelector('#charts path.line') !== null);
  found.charts = await page.locator('#charts svg').evaluateAll((all) => all.map((each) => each.getAttribute('aria-label')));
}

/** A picture that is pasted, one that is dropped, and something that is none. */
async function takesPictures(page) {
  await page.click('#pictures button');
  found.removed = await page.locator('#pictures li').count();
  const bytes = [...readFileSync(picture)];
  await page.evaluate((content) => {
    const held = (name, type) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(content)], name, { type }));
      return data;
    };
    document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: held('pasted.png', 'image/png'), bubbles: true, cancelable: true }));
    const place = document.getElementById('drop');
    place.dispatchEvent(new DragEvent('drop', { dataTransfer: held('dropped.png', 'image/png'), bubbles: true, cancelable: true }));
    window.pictures = document.querySelectorAll('#pictures li').length;
    place.dispatchEvent(new DragEvent('drop', { dataTransfer: held('notes.txt', 'text/plain'), bubbles: true, cancelable: true }));
  }, bytes);
  found.pictures = await page.evaluate(() => window.pictures);
  found.noPicture = await page.locator('#problem').textContent();
}

/** An answer that is stopped before its first token. */
async function stops(page) {
  let ask;
  await page.route('**/v1/chat/completions', (route) => {
    ask = route;
  });
  await page.focus('#question');
  await page.keyboard.press('Control+Enter');
  await page.waitForFunction(() => document.getElementById('phase').textContent.startsWith('Waiting'));
  found.stoppable = await page.isEnabled('#stop');
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.getElementById('phase').textContent.startsWith('Stopped'));
  found.stopProblem = await page.locator('#problem').textContent();
  await ask.abort().catch(() => {});
  await page.unroute('**/v1/chat/completions');
}

async function tellsErrors(page) {
  // The browser writes every answer of 400 and above to its console.
  found.mayFail = true;
  await page.locator('summary').click();
  await page.fill('#temperature', '9');
  await page.click('#send');
  await page.waitForFunction(() => document.getElementById('problem').textContent.includes('HTTP 400'));
  found.refused = await page.locator('#problem').textContent();
  found.role = await page.locator('#problem').getAttribute('role');
}

/** Names, contrast in both schemes, and width. */
async function looks(page, when) {
  const client = await page.context().newCDPSession(page);
  const { nodes } = await client.send('Accessibility.getFullAXTree');
  const controls = ['button', 'link', 'textbox', 'combobox', 'spinbutton', 'checkbox', 'listbox', 'image', 'img', 'region', 'disclosureTriangle'];
  found.controls = nodes.filter((node) => !node.ignored && controls.includes(node.role?.value)).length;
  nodes
    .filter((node) => !node.ignored && controls.includes(node.role?.value) && !node.name?.value)
    .forEach((node) => found.unnamed.push(`${when}: ${node.role.value}`));
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    found.faint.push(...(await page.evaluate(faintTexts)).map((text) => `${when}, ${colorScheme}: ${text}`));
    found[colorScheme] = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  }
  for (const width of [360, 768, 1400]) {
    await page.setViewportSize({ width, height: 900 });
    if (await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)) {
      found.wide.push(`${when}: ${width}`);
    }
  }
}

/** Texts whose contrast is below 4.5 by WCAG 2.2's formula. Runs in the page. */
function faintTexts() {
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] === 1) {
        return color;
      }
    }
    return [255, 255, 255];
  };
  const faint = [];
  const check = (element, color, text) => {
    const [a, b] = [luminance(parse(color)), luminance(background(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) {
      faint.push(`${text.trim().slice(0, 30)}: ${contrast.toFixed(2)}`);
    }
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    if (text.data.trim() && element.checkVisibility() && !['SCRIPT', 'NOSCRIPT'].includes(element.tagName)) {
      check(element, getComputedStyle(element).color, text.data);
    }
  }
  for (const field of document.querySelectorAll('input, textarea, select')) {
    check(field, getComputedStyle(field).color, field.id);
    if (field.placeholder) {
      check(field, getComputedStyle(field, '::placeholder').color, field.placeholder);
    }
  }
  return faint;
}
