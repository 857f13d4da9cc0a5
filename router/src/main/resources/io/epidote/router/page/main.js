import { charts } from './charts.js';
import { byId, setText } from './dom.js';
import { age } from './format.js';
import { showCluster } from './nodes.js';
import { Playground } from './playground.js';
import { Requests } from './requests.js';

const PERIOD_MS = 1000;

const playground = new Playground();
const requests = new Requests();
const figures = charts(byId('charts'));
let points = [];
let lastPoint = 0;
let lastRequest = 0;
let heardAt = performance.now();

async function get(path) {
  const key = byId('key').value;
  const response = await fetch(path, {
    headers: key ? { authorization: `Bearer ${key}` } : {},
    signal: AbortSignal.timeout(5000),
  });
  if (response.status === 401 || response.status === 403) {
    byId('key').closest('details').open = true;
    throw new Error('The router wants an API key: enter it in the playground');
  }
  if (!response.ok) {
    throw new Error(`The router answers HTTP ${response.status}`);
  }
  return response.json();
}

async function look() {
  const [cluster, history, ended] = await Promise.all([
    get('/epidote/v1/cluster'),
    get(`/epidote/v1/history?after=${lastPoint}`),
    get(`/epidote/v1/requests?after=${lastRequest}`),
  ]);
  heardAt = performance.now();
  showCluster(cluster);
  playground.showModels(cluster.models, cluster.max_body_bytes);
  points = (history.all ? [] : points).concat(history.points).slice(-history.capacity);
  lastPoint = history.last;
  figures.show(points, history.capacity, cluster.targets);
  requests.add(ended.requests, ended.all);
  lastRequest = ended.last;
}

async function watch() {
  for (;;) {
    if (!document.hidden) {
      try {
        await look();
      } catch (error) {
        const state = byId('state');
        state.className = 'bad';
        const why = error instanceof TypeError || error.name === 'TimeoutError' ? 'The router does not answer' : error.message;
        setText(state, `${why}. What is shown is ${age(performance.now() - heardAt)} old.`);
      }
    }
    await new Promise((resolve) => {
      setTimeout(resolve, PERIOD_MS);
    });
  }
}

watch();
