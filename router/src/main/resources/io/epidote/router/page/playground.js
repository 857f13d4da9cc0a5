import { byId, h, setText } from './dom.js';
import { bytes, ms } from './format.js';
import { detail } from './timeline.js';

function dataUri(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name} cannot be read: ${reader.error?.message}. Choose it again.`));
    reader.readAsDataURL(file);
  });
}

/** What a response that is no answer says. */
async function problem(response) {
  const text = await response.text();
  let message = text.slice(0, 300);
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // Something else than the router answered.
  }
  if (response.status === 401 || response.status === 403) {
    return `${message} Enter a key under "Sampling, API key".`;
  }
  const wait = response.headers.get('retry-after');
  return wait ? `${message} (HTTP ${response.status}; try again in ${wait} s)` : `${message} (HTTP ${response.status})`;
}

/** The objects of a stream of server-sent events. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    held += value;
    let end;
    while ((end = held.indexOf('\n\n')) >= 0) {
      const event = held.slice(0, end);
      held = held.slice(end + 2);
      if (event.startsWith('data: ')) {
        const data = event.slice(6);
        if (data === '[DONE]') {
          return;
        }
        yield JSON.parse(data);
      }
    }
  }
}

/** Asks this router, as any client would. */
export class Playground {
  constructor() {
    this.pictures = [];
    this.models = '';
    this.maxBody = Infinity;
    byId('ask').addEventListener('submit', (event) => {
      event.preventDefault();
      this.ask();
    });
    byId('stop').addEventListener('click', () => this.stop());
    byId('files').addEventListener('change', (event) => {
      this.add(event.target.files);
      event.target.value = '';
    });
    byId('playground').addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.ask();
      } else if (event.key === 'Escape') {
        this.stop();
      }
    });
    this.takeDrops();
    document.addEventListener('paste', (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length > 0) {
        event.preventDefault();
        this.add(files);
      }
    });
  }

  takeDrops() {
    const place = byId('drop');
    // Beside the place a dropped file would be opened instead of the page.
    for (const kind of ['dragover', 'drop']) {
      document.addEventListener(kind, (event) => event.preventDefault());
    }
    place.addEventListener('dragover', () => place.classList.add('over'));
    place.addEventListener('dragleave', () => place.classList.remove('over'));
    place.addEventListener('drop', (event) => {
      place.classList.remove('over');
      this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    const wrong = [];
    for (const file of files) {
      if (file.type.startsWith('image/')) {
        this.pictures.push({ file, url: URL.createObjectURL(file) });
      } else {
        wrong.push(`${file.name || 'What you gave'} is no picture; PNG, JPEG, GIF, BMP or WebP are.`);
      }
    }
    this.tell(wrong.join(' '));
    this.showPictures();
  }

  showPictures() {
    byId('pictures').replaceChildren(...this.pictures.map((picture, index) => {
      const name = picture.file.name || `picture ${index + 1}`;
      const remove = h('button', { type: 'button', 'aria-label': `Remove ${name}` }, 'Remove');
      remove.addEventListener('click', () => {
        URL.revokeObjectURL(picture.url);
        this.pictures.splice(index, 1);
        this.showPictures();
        const left = byId('pictures').querySelectorAll('button');
        (left[Math.min(index, left.length - 1)] ?? byId('files')).focus();
      });
      return h('li', null,
        h('img', { src: picture.url, alt: name }),
        h('span', { class: 'name', title: name }, `${name}, ${bytes(picture.file.size)}`),
        remove);
    }));
  }

  /** What the cluster serves now. The choice is kept while it is there. */
  showModels(models, maxBody) {
    this.maxBody = maxBody;
    if (models.join('\n') !== this.models) {
      this.models = models.join('\n');
      const select = byId('model');
      const chosen = select.value;
      select.replaceChildren(...models.map((model) => h('option', { value: model }, model)));
      if (models.includes(chosen)) {
        select.value = chosen;
      }
    }
  }

  tell(message) {
    setText(byId('problem'), message);
  }

  stop() {
    this.stopped = true;
    this.abort?.abort();
  }

  async body() {
    const question = byId('question').value.trim();
    if (!question && this.pictures.length === 0) {
      byId('question').focus();
      throw new Error('Nothing is asked: write a question, or add a picture.');
    }
    const size = this.pictures.reduce((sum, picture) => sum + picture.file.size, 0) * 4 / 3 + question.length;
    if (size > this.maxBody) {
      throw new Error(`The pictures come to ${bytes(size)} on the wire, and this router takes ${bytes(this.maxBody)}; remove some, or make them smaller.`);
    }
    const content = [];
    for (const picture of this.pictures) {
      content.push({ type: 'image_url', image_url: { url: await dataUri(picture.file) } });
    }
    if (question) {
      content.push({ type: 'text', text: question });
    }
    const body = {
      model: byId('model').value,
      messages: [{ role: 'user', content }],
      stream: true,
      stream_options: { include_usage: true },
      timeline: true,
    };
    for (const [id, field] of [['max-tokens', 'max_tokens'], ['temperature', 'temperature'], ['seed', 'seed']]) {
      if (byId(id).value !== '') {
        body[field] = byId(id).valueAsNumber;
      }
    }
    return JSON.stringify(body);
  }

  async ask() {
    if (this.abort) {
      return;
    }
    this.tell('');
    this.stopped = false;
    this.abort = new AbortController();
    byId('send').disabled = true;
    byId('stop').disabled = false;
    try {
      const body = await this.body();
      await this.stream(body);
    } catch (error) {
      this.fail(error);
    } finally {
      this.abort = undefined;
      byId('send').disabled = false;
      byId('stop').disabled = true;
      byId('answer').removeAttribute('aria-busy');
    }
  }

  fail(error) {
    if (this.stopped) {
      setText(byId('phase'), 'Stopped. Its nodes have let go of it.');
    } else {
      setText(byId('phase'), 'Failed.');
      this.tell(error instanceof TypeError
        ? 'The router cannot be reached; is it still running? Its log says why it stopped.'
        : error.message);
    }
  }

  async stream(body) {
    const answer = byId('answer');
    byId('reply').hidden = false;
    answer.textContent = '';
    answer.setAttribute('aria-busy', 'true');
    byId('own-timeline').replaceChildren();
    const run = { start: performance.now(), tokens: 0 };
    setText(byId('phase'), 'Waiting for the first token.');
    const ticking = setInterval(() => this.measure(run), 100);
    try {
      const key = byId('key').value;
      const response = await fetch('/v1/chat/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}) },
        body,
        signal: this.abort.signal,
      });
      if (!response.ok) {
        throw new Error(await problem(response));
      }
      for await (const event of events(response)) {
        this.take(event, run, answer);
      }
      if (!run.reason) {
        throw new Error('The answer broke off before its end; the router or the connection was lost. Ask again.');
      }
    } finally {
      clearInterval(ticking);
      run.end = performance.now();
      this.measure(run);
    }
  }

  take(event, run, answer) {
    if (event.error) {
      throw new Error(event.error.message);
    }
    if (event.usage) {
      run.usage = event.usage;
    }
    const choice = event.choices?.[0];
    if (!choice) {
      return;
    }
    if (choice.delta?.content !== undefined) {
      if (run.first === undefined) {
        run.first = performance.now();
        run.model = event.model;
        setText(byId('phase'), `${event.model} answers.`);
      }
      run.tokens++;
      const atEnd = answer.scrollHeight - answer.scrollTop - answer.clientHeight < 8;
      answer.append(choice.delta.content);
      if (atEnd) {
        answer.scrollTop = answer.scrollHeight;
      }
    }
    if (choice.finish_reason) {
      run.reason = choice.finish_reason;
      setText(byId('phase'), {
        stop: `${event.model} has answered.`,
        length: `${event.model} came to the most tokens, or the context's end.`,
      }[run.reason] ?? `Ended: ${run.reason}.`);
      if (event.timeline) {
        byId('own-timeline').replaceChildren(h('h3', null, 'Timeline'), detail(event.timeline));
      }
    }
  }

  /** As seen from here, network included. */
  measure(run) {
    const now = run.end ?? performance.now();
    const tokens = run.usage?.completion_tokens ?? run.tokens;
    const figures = [
      ['first token', run.first === undefined ? (run.end ? '–' : `${ms(now - run.start)} …`) : ms(run.first - run.start)],
      ['total', ms(now - run.start)],
      ['tokens', `${tokens}`],
    ];
    if (run.first !== undefined && tokens > 1) {
      figures.push(['a token', ms((now - run.first) / (tokens - 1))]);
    }
    if (run.usage) {
      figures.push(['prompt', `${run.usage.prompt_tokens} tokens, ${run.usage.prompt_tokens_details?.media_tokens ?? 0} of media`]);
    }
    byId('measures').replaceChildren(...figures.map(([name, value]) =>
      h('div', null, h('dt', null, name), h('dd', null, value))));
  }
}
