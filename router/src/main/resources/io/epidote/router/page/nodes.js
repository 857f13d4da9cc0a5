import { byId, h, setText, svg } from './dom.js';
import { age, bytes, count, ms, percent } from './format.js';

const SHOWN_ADAPTERS = 16;
const SHOWN_OPTIONS = 3;
const TIERS = ['hot', 'warm', 'cold'];

/** How much of a pool is in use, and how much is kept for later requests. */
function meter(pool) {
  if (!pool) {
    return '–';
  }
  const used = (100 * pool.used) / pool.total;
  const cached = (100 * pool.cached) / pool.total;
  return [
    svg('svg', { class: 'meter', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      svg('rect', { class: 'fill-used', width: used, height: 8 }),
      svg('rect', { class: 'fill-cached', x: used, width: cached, height: 8 })),
    `${count(pool.used)}${pool.cached > 0 ? ` + ${count(pool.cached)}` : ''} of ${count(pool.total)}`,
  ];
}

function backlog(node) {
  const parts = [];
  if (node.encode?.waiting_tiles > 0) {
    parts.push(`${count(node.encode.waiting_tiles)} ${node.encode.waiting_tiles === 1 ? 'tile' : 'tiles'}`);
  }
  if (node.prefill?.waiting_tokens > 0) {
    parts.push(`${count(node.prefill.waiting_tokens)} prompt tokens`);
  }
  if (node.decode?.answers > 0) {
    parts.push(`${count(node.decode.answers)} ${node.decode.answers === 1 ? 'answer' : 'answers'}`);
  }
  return parts.join(', ') || '–';
}

function line(fixed, unit) {
  return fixed > 0 ? `${ms(fixed)} + ${ms(unit)}` : ms(unit);
}

function cost(node) {
  const parts = [];
  if (node.encode?.tile_ms > 0) {
    parts.push(h('div', null, `${ms(node.encode.tile_ms)} a tile`));
  }
  if (node.prefill && node.prefill.step_ms + node.prefill.token_ms > 0) {
    parts.push(h('div', null, `${line(node.prefill.step_ms, node.prefill.token_ms)} a token`));
  }
  if (node.decode && node.decode.step_ms + node.decode.answer_ms > 0) {
    parts.push(h('div', null, `${line(node.decode.step_ms, node.decode.answer_ms)} an answer`));
  }
  return parts.length > 0 ? parts : '–';
}

/** E, P, D, or some of them together. */
function role(node) {
  return ['encode', 'prefill', 'decode'].filter((stage) => node.stages.includes(stage)).map((stage) => stage[0].toUpperCase()).join('');
}

/** The precision of the weights, of each part where they differ. */
function weights(node) {
  const precisions = new Set(node.weights.map((group) => group.precision));
  return precisions.size > 1
    ? node.weights.map((group) => `${group.name} ${group.precision}`).join(', ')
    : [...precisions].join('') || '–';
}

function row(node) {
  const trouble = node.fault ? `unhealthy: ${node.fault}` : node.draining ? 'draining' : '';
  return h('tr', null,
    h('th', { scope: 'row' }, node.id, trouble ? h('span', { class: 'bad' }, ` ${trouble}`) : null),
    h('td', { title: node.stages.join(', ') }, role(node) + (node.role_generation > 0 ? `, changed ${node.role_generation}×` : '')),
    h('td', { class: 'n' }, `${node.running}`),
    h('td', { class: 'n' }, `${node.queued}`),
    h('td', { class: 'n' }, `${node.awaiting}`),
    h('td', null, meter(node.kv), node.swap?.used > 0 ? `, ${node.swap.used} swapped` : ''),
    h('td', null, meter(node.media)),
    h('td', null, backlog(node)),
    h('td', null, cost(node)),
    h('td', null, weights(node)),
    h('td', { class: 'n', title: node.address }, bytes(node.resident_bytes)));
}

/** Adapters by node. Of many, those that are in use or near it. */
function adapters(nodes) {
  const holders = nodes.filter((node) => node.adapters.length > 0);
  const byName = new Map();
  for (const node of holders) {
    for (const adapter of node.adapters) {
      const known = byName.get(adapter.name) ?? { name: adapter.name, kind: adapter.kind, requests: 0, tiers: new Map() };
      known.requests += adapter.requests;
      known.tiers.set(node.id, adapter.tier);
      byName.set(adapter.name, known);
    }
  }
  if (byName.size === 0) {
    return [];
  }
  const warmth = (adapter) => Math.min(...[...adapter.tiers.values()].map((tier) => TIERS.indexOf(tier)));
  const all = [...byName.values()].sort((a, b) =>
    warmth(a) - warmth(b) || b.requests - a.requests || a.name.localeCompare(b.name));
  const shown = all.slice(0, SHOWN_ADAPTERS);
  const table = h('table', null,
    h('thead', null, h('tr', null,
      h('th', { scope: 'col' }, 'adapter'),
      h('th', { scope: 'col' }, 'kind'),
      h('th', { scope: 'col', class: 'n' }, 'requests'),
      holders.map((node) => h('th', { scope: 'col' }, node.id)))),
    h('tbody', null,
      shown.map((adapter) => h('tr', null,
        h('th', { scope: 'row' }, adapter.name),
        h('td', null, adapter.kind),
        h('td', { class: 'n' }, `${adapter.requests}`),
        holders.map((node) => h('td', null, adapter.tiers.get(node.id) ?? '–')))),
      h('tr', null,
        h('th', { scope: 'row' }, 'found hot'),
        h('td', null, ''),
        h('td', null, ''),
        holders.map((node) => {
          const tiers = node.adapter_tiers;
          const asked = tiers.hits + tiers.waits;
          return h('td', null, asked === 0 ? '–' : `${percent(tiers.hits / asked)} of ${count(asked)}, ${tiers.switches} switches`);
        }))));
  const region = h('div', { class: 'scroll', role: 'region', 'aria-label': 'Adapters', tabindex: 0 }, table);
  return all.length > shown.length
    ? [region, h('p', { class: 'key' }, `and ${all.length - shown.length} more, as warm or colder`)]
    : [region];
}

/** The region is kept over redraws, so that the focus stays in it. */
function replaceAdapters(into, made) {
  const known = into.querySelector('.scroll');
  if (known && made.length > 0) {
    known.replaceChildren(...made[0].childNodes);
    while (known.nextSibling) {
      known.nextSibling.remove();
    }
    into.append(...made.slice(1));
  } else {
    into.replaceChildren(...made);
  }
}

function roles(told) {
  const when = told.verdict ? `${age(told.age_ms)} ago` : '';
  byId('verdict').replaceChildren(
    h('span', { class: 'muted' }, told.automatic ? 'Switched by the router. ' : 'Switched by hand (--roles auto lets the router). '),
    told.verdict ? `${when}: ${told.verdict}. ` : 'No look at the cluster yet. ',
    told.verdict ? `Expected to meet their targets: ${percent(told.attainment)}.` : '');
  byId('pressures').tBodies[0].replaceChildren(...told.pressures.map((stage) => {
    const busy = stage.utilisation;
    return h('tr', null,
      h('th', { scope: 'row' }, stage.stage),
      h('td', { class: 'n' }, `${stage.nodes}`),
      h('td', null,
        svg('svg', { class: 'meter', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
          svg('rect', { class: 'fill-used', width: busy === undefined ? 100 : Math.min(100, 100 * busy), height: 8 })),
        busy === undefined ? 'no node' : percent(busy)),
      h('td', { class: 'n' }, `${stage.backlog_s.toFixed(1)} s`));
  }));
  const best = told.options.toSorted((a, b) => b.attainment - a.attainment).slice(0, SHOWN_OPTIONS);
  byId('options').replaceChildren(...(best.length === 0 ? [] : [
    h('span', { class: 'muted' }, best.length < told.options.length ? `The best ${best.length} of ${told.options.length} switches` : 'Switches that are possible'),
    h('ul', null, best.map((option) => h('li', null,
      `${option.node} to ${option.stages.join(', ')}: ${percent(option.attainment)}${option.why_not ? `, ${option.why_not}` : ', the best'}`)))]));
  byId('switches').replaceChildren(...(told.switches.length === 0 ? [] : [
    h('h3', null, told.switch_count > told.switches.length ? `Last ${told.switches.length} of ${told.switch_count} switches` : 'Switches'),
    h('ul', null, told.switches.toReversed().map((each) => h('li', null,
      `${age(each.age_ms)} ago: ${each.node} from ${each.from.join(', ')} to ${each.to.join(', ')}${each.manual ? ' by hand' : ''}`,
      each.error ? h('span', { class: 'bad' }, `: ${each.error}`) : `, ${ms(each.total_ms)}`)))]));
}

export function showCluster(told) {
  setText(byId('facts'), `${told.model}, ${told.context_tokens} tokens of context, version ${told.version}, up ${age(told.uptime_s * 1000)}`);
  const state = byId('state');
  state.className = told.ready ? '' : 'bad';
  const waiting = told.requests.waiting;
  setText(state, (told.ready ? 'Ready' : `Not ready: no node serves ${told.missing_stages.join(', ')}`)
    + `. ${told.requests.running} at work, ${waiting} waiting.`);
  byId('nodes').tBodies[0].replaceChildren(...told.nodes.map(row));
  replaceAdapters(byId('adapters'), adapters(told.nodes));
  roles(told.roles);
}
