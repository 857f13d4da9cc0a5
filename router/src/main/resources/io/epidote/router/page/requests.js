import { byId, h, setText } from './dom.js';
import { age, ms } from './format.js';
import { detail, lanes } from './timeline.js';

const SHOWN = 25;
const COLUMNS = 10;

/** The table of the last requests. Rows stay as they are; new ones come above them. */
export class Requests {
  constructor() {
    this.body = byId('recent').tBodies[0];
    this.ages = [];
    this.held = [];
    this.open = 0;
  }

  /** Latest first. What somebody reads does not move: while a row is open, new ones wait. */
  add(requests, all) {
    if (all) {
      this.ages.forEach((row) => row.remove());
      this.ages = [];
      this.held = [];
      this.open = 0;
    }
    const now = performance.now();
    this.held = requests.map((request) => ({ request, endedAt: now - request.age_ms })).concat(this.held).slice(0, SHOWN);
    if (this.open === 0) {
      this.release();
    }
    const newer = byId('newer');
    newer.hidden = this.held.length === 0;
    setText(newer, this.held.length < SHOWN
      ? `${this.held.length} newer requests come when the open one is closed.`
      : 'Newer requests come when the open one is closed.');
    byId('no-requests').hidden = this.ages.length > 0;
    this.ages.forEach((row) => setText(row.ago, age(now - row.endedAt)));
  }

  release() {
    for (const { request, endedAt } of this.held.toReversed()) {
      this.ages.unshift(this.row(request, endedAt));
    }
    this.held = [];
    this.ages.splice(SHOWN).forEach((row) => row.remove());
  }

  row(request, endedAt) {
    const timeline = request.timelines[0];
    const ago = h('td', { class: 'n wide' });
    const late = request.on_target === false;
    const good = request.outcome === 'stop' || request.outcome === 'length';
    const button = h('button', { type: 'button', class: 'row', 'aria-expanded': 'false', title: request.id },
      request.id.length > 10 ? `${request.id.slice(0, 9)}…` : request.id);
    const row = h('tr', null,
      h('th', { scope: 'row' }, button),
      ago,
      h('td', { class: 'wide' }, request.model),
      h('td', { class: 'n wide' }, `${request.media}`),
      h('td', { class: 'n wide' }, `${request.prompt_tokens} + ${request.answer_tokens}`),
      h('td', { class: 'n' }, ms(request.ttft_ms)),
      h('td', { class: 'n wide' }, ms(request.tpot_ms)),
      h('td', { class: 'n wide' }, ms(request.total_ms)),
      h('td', { class: good && !late ? '' : 'bad' }, good && late ? `${request.outcome}, late` : request.outcome),
      h('td', null, timeline && timeline.stages.length > 0 ? lanes(timeline, 6) : ''));
    let below;
    button.addEventListener('click', () => {
      if (below) {
        below.remove();
        below = undefined;
        this.open--;
      } else {
        this.open++;
        below = h('tr', { class: 'detail' }, h('td', { colspan: COLUMNS },
          h('p', { class: 'key' }, `${request.id} to ${request.model}. Media items: ${request.media}. Tokens asked: ${request.prompt_tokens}, answered: ${request.answer_tokens}. A token after the first: ${ms(request.tpot_ms)}.`),
          request.timelines.length > 0 ? request.timelines.map(detail) : 'It was not admitted.'));
        row.after(below);
      }
      button.setAttribute('aria-expanded', String(below !== undefined));
    });
    this.body.prepend(row);
    return {
      ago,
      endedAt,
      remove() {
        below?.remove();
        row.remove();
      },
    };
  }
}
