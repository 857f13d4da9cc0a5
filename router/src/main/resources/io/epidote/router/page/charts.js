import { h, setText, svg } from './dom.js';
import { axisMs, ms, percent } from './format.js';

const WIDTH = 300;
const HEIGHT = 96;

/** Points this far apart are not joined: nothing is known in between. */
const GAP = 8;

function niceMaximum(value) {
  if (!(value > 0)) {
    return 1;
  }
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

/** From the smallest to the largest value; decades where values span them. */
class Scale {
  constructor(values, maximum, logarithmic) {
    this.logarithmic = logarithmic;
    const known = values.filter((value) => value > 0);
    const largest = Math.max(0, ...known);
    if (logarithmic) {
      this.top = 10 ** Math.ceil(Math.log10(known.length > 0 ? largest : 1000));
      this.bottom = Math.min(this.top / 10, 10 ** Math.floor(Math.log10(known.length > 0 ? Math.min(...known) : 1)));
      this.lines = Math.round(Math.log10(this.top / this.bottom));
    } else {
      this.top = maximum ?? niceMaximum(largest);
      this.bottom = 0;
      this.lines = 2;
    }
  }

  y(value) {
    const share = this.logarithmic
      ? Math.log(Math.max(value, this.bottom) / this.bottom) / Math.log(this.top / this.bottom)
      : value / this.top;
    return HEIGHT - 1 - Math.min(share, 1) * (HEIGHT - 2);
  }
}

/**
 * A chart over the last minutes that is drawn anew with every point.
 *
 * series: [{ name, style, value: point → number or undefined }], the one in front last
 */
export class Chart {
  constructor(title, series, format, { axis = format, maximum, logarithmic = false } = {}) {
    this.title = title;
    this.series = series;
    this.format = format;
    this.axis = axis;
    this.maximum = maximum;
    this.logarithmic = logarithmic;
    this.points = [];
    this.plot = svg('svg', { class: 'plot', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
    this.now = h('span', { class: 'now' });
    this.top = h('span', { class: 'top' });
    this.bottom = h('span', { class: 'bottom' });
    this.element = h('figure', null,
      h('figcaption', null, h('span', null, title), this.now),
      h('div', { class: 'frame' }, this.plot, this.top, this.bottom),
      h('div', { class: 'ends' }, h('span', null, '10 min ago'), h('span', null, 'now')));
    this.plot.addEventListener('pointermove', (event) => this.point(event));
    this.plot.addEventListener('pointerleave', () => {
      this.pointed = undefined;
      this.draw();
    });
  }

  point(event) {
    const box = this.plot.getBoundingClientRect();
    this.pointed = Math.round(((event.clientX - box.left) / box.width) * (this.capacity - 1));
    this.draw();
  }

  show(points, capacity, target) {
    this.points = points;
    this.capacity = capacity;
    this.target = target;
    this.draw();
  }

  x(slot) {
    return (slot / (this.capacity - 1)) * WIDTH;
  }

  rule(style, from, to) {
    return svg('line', { class: style, x1: from[0], y1: from[1], x2: to[0], y2: to[1], 'vector-effect': 'non-scaling-stroke' });
  }

  draw() {
    const first = this.capacity - this.points.length;
    const values = this.series.map((each) => this.points.map(each.value));
    const known = values.flat().filter((value) => value !== undefined);
    const scale = new Scale(this.target === undefined ? known : known.concat(this.target), this.maximum, this.logarithmic);
    const shapes = [];
    for (let line = 0; line <= scale.lines; line++) {
      const y = 1 + (line / scale.lines) * (HEIGHT - 2);
      shapes.push(this.rule('axis', [0, y], [WIDTH, y]));
    }
    if (this.target !== undefined) {
      shapes.push(this.rule('target', [0, scale.y(this.target)], [WIDTH, scale.y(this.target)]));
    }
    this.series.forEach((each, index) => {
      let path = '';
      let last = -Infinity;
      values[index].forEach((value, at) => {
        if (value !== undefined) {
          const to = `${this.x(first + at).toFixed(1)} ${scale.y(value).toFixed(1)}`;
          // A lone point is a line of no length, which round ends make a dot.
          path += at - last > GAP ? `M${to}L${to}` : `L${to}`;
          last = at;
        }
      });
      if (path) {
        shapes.push(svg('path', { class: `line ${each.style}`, d: path }));
      }
    });
    if (this.pointed !== undefined) {
      shapes.push(this.rule('cross', [this.x(this.pointed), 0], [this.x(this.pointed), HEIGHT]));
    }
    this.plot.replaceChildren(...shapes);
    setText(this.top, this.axis(scale.top));
    setText(this.bottom, scale.bottom > 0 ? this.axis(scale.bottom) : '');
    this.tell(values, this.pointed === undefined ? this.latest(values) : this.pointed - first);
  }

  tell(values, at) {
    const told = this.series
      .map((each, index) => `${each.name} ${values[index][at] === undefined ? '–' : this.format(values[index][at])}`.trim())
      .toReversed();
    const when = this.pointed === undefined ? '' : `${Math.round((this.capacity - 1 - this.pointed) * 2)} s ago: `;
    this.now.replaceChildren(when, ...this.series.toReversed().flatMap((each, index) =>
      [this.series.length > 1 ? h('span', { class: `swatch ${each.style}` }) : '', told[index]]));
    this.plot.setAttribute('aria-label', `${this.title}, last: ${told.join(', ')}`);
  }

  /** The last point at which something is known. */
  latest(values) {
    for (let at = this.points.length - 1; at >= 0; at--) {
      if (values.some((each) => each[at] !== undefined)) {
        return at;
      }
    }
    return -1;
  }
}

/** The charts of the page. */
export function charts(into) {
  const ttft = new Chart('Time to first token', [
    { name: 'p95', style: 'series-b', value: (point) => point.ttft_p95_ms },
    { name: 'p50', style: 'series-a', value: (point) => point.ttft_p50_ms }], ms, { axis: axisMs, logarithmic: true });
  const tpot = new Chart('Time per token after it', [
    { name: 'p95', style: 'series-b', value: (point) => point.tpot_p95_ms },
    { name: 'p50', style: 'series-a', value: (point) => point.tpot_p50_ms }], ms, { axis: axisMs, logarithmic: true });
  const attainment = new Chart('Requests within their targets', [
    { name: '', style: 'series-a', value: (point) => point.with_targets > 0 ? point.on_target / point.with_targets : undefined }],
  percent, { maximum: 1 });
  const load = new Chart('Requests at work and waiting', [
    { name: 'waiting', style: 'series-b', value: (point) => point.waiting },
    { name: 'at work', style: 'series-a', value: (point) => point.running }], (value) => `${value}`);
  const rate = new Chart('Ended each second', [
    { name: 'failed', style: 'series-b', value: (point) => point.failed / 2 },
    { name: 'all', style: 'series-a', value: (point) => point.ended / 2 }], (value) => value.toFixed(1), { axis: (value) => `${value}` });
  const kv = new Chart('Use of KV blocks', [
    { name: '', style: 'series-a', value: (point) => point.kv_use }], percent, { maximum: 1 });
  const all = [ttft, tpot, attainment, rate, load, kv];
  into.append(...all.map((chart) => chart.element));
  return {
    show(points, capacity, targets) {
      ttft.show(points, capacity, targets.ttft_ms);
      tpot.show(points, capacity, targets.tpot_ms);
      [attainment, rate, load, kv].forEach((chart) => chart.show(points, capacity));
    },
  };
}
