import { h, svg } from './dom.js';
import { bytes, ms } from './format.js';

const WIDTH = 1000;

/**
 * Where the bars of a stage are, in milliseconds from the request's arrival. Nodes tell durations,
 * not times, because clocks differ; what is known of order puts them in place: encode begins when
 * the request was admitted, prefill ends with the first token, decode begins with it. What
 * overlapped with the stage before lies before the last input, the rest behind it.
 */
export function bars(stage, timeline) {
  const total = timeline.total_ms;
  const first = timeline.ttft_ms > 0 ? timeline.ttft_ms : total;
  const later = stage.compute_ms - stage.overlapped_compute_ms;
  let computeAt;
  let input;
  if (stage.stage === 'encode') {
    input = timeline.router_ms;
    computeAt = input + stage.queue_ms;
  } else if (stage.stage === 'prefill') {
    computeAt = first - later;
    input = computeAt - stage.handoff_ms;
  } else {
    input = first;
    computeAt = first + stage.handoff_ms;
  }
  const made = [];
  const add = (kind, from, length) => {
    const start = Math.min(Math.max(0, from), total);
    const end = Math.min(Math.max(start, from + length), total);
    if (end > start) {
      made.push({ kind, from: start, to: end });
    }
  };
  const begun = stage.overlapped_compute_ms > 0 ? input - stage.overlapped_compute_ms : computeAt;
  add('queue', begun - stage.queue_ms, stage.queue_ms);
  add('compute', input - stage.overlapped_compute_ms, stage.overlapped_compute_ms);
  add('compute', computeAt, later);
  add('transfer', input - stage.overlapped_transfer_ms, stage.transfer_ms);
  return made;
}

function lane(stage, timeline, height, top) {
  const scale = WIDTH / Math.max(timeline.total_ms, 0.001);
  const thin = Math.max(2, Math.round(height * 0.3));
  return [
    svg('rect', { class: 'fill-track', x: 0, y: top, width: WIDTH, height }),
    svg('rect', { class: 'fill-router', x: 0, y: top, width: Math.min(WIDTH, timeline.router_ms * scale), height }),
    bars(stage, timeline).map((bar) => svg('rect', {
      class: `fill-${bar.kind}`,
      x: bar.from * scale,
      y: bar.kind === 'transfer' ? top + height - thin : top,
      width: Math.max(1.5, (bar.to - bar.from) * scale),
      height: bar.kind === 'transfer' ? thin : height - thin,
    })),
  ];
}

/** All stages of a request, one lane each. */
export function lanes(timeline, height) {
  const step = height + 2;
  const total = Math.max(1, timeline.stages.length) * step - 2;
  const scale = WIDTH / Math.max(timeline.total_ms, 0.001);
  const said = timeline.stages
    .map((stage) => `${stage.stage} on ${stage.node}: queue ${ms(stage.queue_ms)}, compute ${ms(stage.compute_ms)}, transfer ${ms(stage.transfer_ms)}`)
    .join('; ');
  const picture = svg('svg', {
    class: 'lanes', viewBox: `0 0 ${WIDTH} ${total}`, height: total, preserveAspectRatio: 'none', role: 'img',
    'aria-label': said || 'no stage was at work' },
  timeline.stages.map((stage, index) => lane(stage, timeline, height, index * step)),
  timeline.ttft_ms > 0 ? svg('rect', { class: 'fill-first', x: Math.min(WIDTH - 2, timeline.ttft_ms * scale), y: 0, width: 2, height: total }) : null);
  return picture;
}

const WORK = { encode: 'tiles', prefill: 'prompt tokens', decode: 'tokens' };

/** The lanes with all numbers. */
export function detail(timeline) {
  const summary = [
    timeline.topology,
    `admitted after ${ms(timeline.router_ms)}`,
    timeline.ttft_ms > 0 ? `first token after ${ms(timeline.ttft_ms)}` : 'no token',
    timeline.predicted_ttft_ms > 0 ? `predicted ${ms(timeline.predicted_ttft_ms)}` : '',
    `total ${ms(timeline.total_ms)}`,
    timeline.recoveries > 0 ? `${timeline.recoveries} stages lost and run again` : '',
    timeline.expected_late ? 'expected to be late' : '',
  ].filter((part) => part).join(', ');
  return h('div', { class: 'timeline-detail' },
    lanes(timeline, 12),
    h('div', { class: 'scroll', role: 'region', 'aria-label': 'Stages of the request', tabindex: 0 },
      h('table', null,
        h('thead', null, h('tr', null,
          ['stage', 'node', 'weights'].map((name) => h('th', { scope: 'col' }, name)),
          ['queue', 'compute', 'transfer', 'overlapped', 'moved', 'done', 'cached'].map((name) => h('th', { scope: 'col', class: 'n' }, name)))),
        h('tbody', null, timeline.stages.map((stage) => h('tr', null,
          h('th', { scope: 'row' }, stage.stage),
          h('td', null, stage.node),
          h('td', null, stage.precision + (stage.kv_wire === 'int8' ? ', KV int8' : '')),
          h('td', { class: 'n' }, ms(stage.queue_ms)),
          h('td', { class: 'n' }, ms(stage.compute_ms)),
          h('td', { class: 'n' }, ms(stage.transfer_ms)),
          h('td', { class: 'n' }, ms(stage.overlapped_compute_ms + stage.overlapped_transfer_ms)),
          h('td', { class: 'n' }, bytes(stage.bytes_moved)),
          h('td', { class: 'n' }, `${stage.units} ${WORK[stage.stage] ?? ''}`),
          h('td', { class: 'n' }, `${stage.cached_units}`)))))),
    h('p', { class: 'key' }, summary));
}
