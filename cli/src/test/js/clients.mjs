// Asks one question about one picture with every client that users have, and prints the answers as
// one JSON object.
// Usage: node clients.mjs HTTP_ADDRESS GRPC_ADDRESS PROTO_FOLDER PICTURE QUESTION
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import OpenAI from 'openai';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const [httpAddress, grpcAddress, protoFolder, picture, question] = process.argv.slice(2);
const bytes = readFileSync(picture);
const result = {};

const openai = new OpenAI({ baseURL: `http://${httpAddress}/v1`, apiKey: 'none', maxRetries: 0 });
const model = (await openai.models.list()).data[0].id;
const chat = {
  model,
  temperature: 0,
  messages: [
    {
      role: 'user',
      content: [
        { type: 'image_url', image_url: { url: `data:image/png;base64,${bytes.toString('base64')}` } },
        { type: 'text', text: question },
      ],
    },
  ],
};
const whole = await openai.chat.completions.create(chat);
result.openai = whole.choices[0].message.content;
result.openaiFinish = whole.choices[0].finish_reason;

const stream = await openai.chat.completions.create({
  ...chat,
  stream: true,
  stream_options: { include_usage: true },
});
result.openaiStream = '';
result.roles = [];
for await (const chunk of stream) {
  if (chunk.choices.length === 0) {
    result.usage = chunk.usage;
    continue;
  }
  const delta = chunk.choices[0].delta;
  if (delta.role) result.roles.push({ role: delta.role, text: delta.content ?? '' });
  result.openaiStream += delta.content ?? '';
}
result.wholeUsage = whole.usage;

// What a call that fails says.
async function failure(call) {
  try {
    await call();
    return { status: 200 };
  } catch (error) {
    return { status: error.status, type: error.constructor.name, param: error.param, message: error.message };
  }
}

result.unknownModel = await failure(() => openai.chat.completions.create({ ...chat, model: 'no-such-model' }));
result.hot = await failure(() => openai.chat.completions.create({ ...chat, temperature: 7 }));
result.penalty = await failure(() => openai.chat.completions.create({ ...chat, presence_penalty: 2.5 }));
result.tools = await failure(() =>
  openai.chat.completions.create({ ...chat, tools: [{ type: 'function', function: { name: 'f' } }] }),
);
result.audio = await failure(() =>
  openai.chat.completions.create({
    model,
    messages: [
      { role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'aGk=', format: 'wav' } }] },
    ],
  }),
);
result.retrieved = (await openai.models.retrieve(model)).id;
result.unknownRetrieve = await failure(() => openai.models.retrieve('no-such-model'));

// Log-probabilities change nothing else.
const scored = await openai.chat.completions.create({ ...chat, logprobs: true, top_logprobs: 3 });
result.scored = {
  text: scored.choices[0].message.content,
  tokens: scored.choices[0].logprobs.content,
  completionTokens: scored.usage.completion_tokens,
};

// Several answers: each with a seed of its own, the prompt computed once.
const drawn = { ...chat, temperature: 1, seed: 5, n: 3, max_tokens: 12 };
const several = await openai.chat.completions.create({ ...drawn, timeline: true });
result.several = several.choices.map((choice) => choice.message.content);
result.severalPrefill = several.choices.map((choice) =>
  choice.timeline.stages.filter((s) => s.stage === 'prefill').map((s) => [s.units, s.cached_units])[0],
);
result.severalPromptTokens = several.usage.prompt_tokens;
result.severalStreamed = ['', '', ''];
for await (const chunk of await openai.chat.completions.create({ ...drawn, stream: true })) {
  for (const choice of chunk.choices) result.severalStreamed[choice.index] += choice.delta.content ?? '';
}
result.alone = [];
for (const seed of [5, 6, 7]) {
  const one = await openai.chat.completions.create({ ...drawn, n: 1, seed });
  result.alone.push(one.choices[0].message.content);
}

const word = whole.choices[0].message.content.split(' ')[2];
const stopped = await openai.chat.completions.create({ ...chat, stop: [word] });
result.stopped = { word, text: stopped.choices[0].message.content, finish: stopped.choices[0].finish_reason };

// A client that goes away in the middle.
const gone = await openai.chat.completions.create({ ...chat, stream: true, ignore_eos: true });
for await (const _ of gone) {
  gone.controller.abort();
  break;
}

const completion = await openai.completions.create({
  model,
  prompt: ['a red', 'a blue'],
  temperature: 0,
  max_tokens: 4,
  logprobs: 2,
});
result.completions = completion.choices;
const { data: echoed, response } = await openai.completions
  .create(
    { model, prompt: 'a red', temperature: 0, max_tokens: 4, echo: true },
    { headers: { 'x-request-id': 'js-1' } },
  )
  .withResponse();
result.echoed = echoed.choices[0].text;
result.headers = {
  id: response.headers.get('x-request-id'),
  ms: response.headers.get('openai-processing-ms'),
};
result.completionStream = '';
const pieces = await openai.completions.create({
  model,
  prompt: 'a red',
  temperature: 0,
  max_tokens: 4,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of pieces) {
  if (chunk.choices.length === 0) result.completionUsage = chunk.usage;
  else result.completionStream += chunk.choices[0].text;
}

const loadOptions = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };

function generate(definition) {
  const { Inference } = grpc.loadPackageDefinition(definition).epidote.v1;
  const client = new Inference(grpcAddress, grpc.credentials.createInsecure());
  return new Promise((resolve, reject) => {
    let text = '';
    const call = client.Generate({
      chat: { messages: [{ role: 'user', content: [{ media: { data: bytes } }, { text: question }] }] },
      sampling: { temperature: 0 },
    });
    call.on('data', (event) => {
      if (event.chunk) text += event.chunk.text;
    });
    call.on('error', reject);
    call.on('end', () => {
      client.close();
      resolve(text);
    });
  });
}

result.grpcProto = await generate(
  protoLoader.loadSync('epidote/v1/inference.proto', { ...loadOptions, includeDirs: [protoFolder] }),
);

// By reflection: the file descriptors come from the server, no .proto of ours is read.
const reflectionProto = path.join(
  path.dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json')),
  'build/proto/grpc/reflection/v1/reflection.proto',
);
const { ServerReflection } = grpc.loadPackageDefinition(protoLoader.loadSync(reflectionProto, loadOptions)).grpc
  .reflection.v1;
const reflection = new ServerReflection(grpcAddress, grpc.credentials.createInsecure());

function ask(request) {
  return new Promise((resolve, reject) => {
    const call = reflection.ServerReflectionInfo();
    call.on('data', (response) => {
      resolve(response);
      call.end();
    });
    call.on('error', reject);
    call.write(request);
  });
}

async function descriptors(symbol) {
  const files = (await ask({ file_containing_symbol: symbol })).file_descriptor_response.file_descriptor_proto;
  // A FileDescriptorSet is field 1, repeated: each file with its tag and length in front.
  const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]);
  const set = Buffer.concat(files.flatMap((file) => [Buffer.from([0x0a, ...varint(file.length)]), file]));
  return protoLoader.loadFileDescriptorSetFromBuffer(set, loadOptions);
}

// A call with one response.
function unary(client, method, request) {
  return new Promise((resolve, reject) => {
    client[method](request, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

result.services = (await ask({ list_services: '' })).list_services_response.service.map((s) => s.name);
result.grpcReflection = await generate(await descriptors('epidote.v1.Inference'));

const { Health } = grpc.loadPackageDefinition(await descriptors('grpc.health.v1.Health')).grpc.health.v1;
const health = new Health(grpcAddress, grpc.credentials.createInsecure());
result.health = [];
for (const service of ['', 'epidote.v1.Inference', 'inference.GRPCInferenceService']) {
  result.health.push((await unary(health, 'Check', { service })).status);
}
result.unknownService = await unary(health, 'Check', { service: 'none' }).catch((error) => error.code);
health.close();
reflection.close();

// KServe v2, from its .proto.
const { GRPCInferenceService } = grpc.loadPackageDefinition(
  protoLoader.loadSync('kserve/v2/inference.proto', { ...loadOptions, includeDirs: [protoFolder] }),
).inference;
const kserve = new GRPCInferenceService(grpcAddress, grpc.credentials.createInsecure());
const tensor = (name, text) => ({
  name,
  datatype: 'BYTES',
  shape: [1],
  contents: { bytes_contents: [Buffer.from(text)] },
});
const streaming = { name: 'stream', datatype: 'BOOL', shape: [1], contents: { bool_contents: [true] } };
result.kserveReady = (await unary(kserve, 'ModelReady', { name: model })).ready;
result.kserveInputs = (await unary(kserve, 'ModelMetadata', { name: model })).inputs.map((input) => input.name);
const parameters = tensor('sampling_parameters', JSON.stringify({ temperature: '0', max_tokens: '4' }));
const inferred = await unary(kserve, 'ModelInfer', {
  model_name: model,
  id: 'k-1',
  inputs: [tensor('text_input', 'a red'), parameters],
});
result.kserve = inferred.outputs[0].contents.bytes_contents[0].toString();
result.kserveStream = await new Promise((resolve, reject) => {
  const texts = {};
  const errors = {};
  const call = kserve.ModelStreamInfer();
  call.on('data', ({ error_message, infer_response: { id, outputs } }) => {
    if (error_message) errors[id] = error_message;
    else texts[id] = (texts[id] ?? '') + outputs[0].contents.bytes_contents[0].toString();
  });
  call.on('error', reject);
  call.on('end', () => resolve({ texts, errors }));
  call.write({ model_name: model, id: 'text', inputs: [tensor('text_input', 'a red'), parameters, streaming] });
  call.write({
    model_name: model,
    id: 'picture',
    inputs: [
      tensor('text_input', `<image>${question}`),
      tensor('image', bytes.toString('base64')),
      parameters,
      streaming,
    ],
  });
  call.write({ model_name: model, id: 'bad', inputs: [tensor('text_input', '<image>'), streaming] });
  call.end();
});
kserve.close();

console.log(JSON.stringify(result));
