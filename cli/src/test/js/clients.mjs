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

try {
  await openai.chat.completions.create({ ...chat, model: 'no-such-model' });
} catch (error) {
  result.unknownModel = { status: error.status, message: error.message };
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

result.services = (await ask({ list_services: '' })).list_services_response.service.map((s) => s.name);
const files = (await ask({ file_containing_symbol: 'epidote.v1.Inference' })).file_descriptor_response
  .file_descriptor_proto;
reflection.close();
// A FileDescriptorSet is field 1, repeated: each file with its tag and length in front.
const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]);
const set = Buffer.concat(files.flatMap((file) => [Buffer.from([0x0a, ...varint(file.length)]), file]));
result.grpcReflection = await generate(protoLoader.loadFileDescriptorSetFromBuffer(set, loadOptions));

console.log(JSON.stringify(result));
