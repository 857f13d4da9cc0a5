// Times to first text, as OpenAI's own client sees them: node ttft.mjs BASE_URL COUNT PROMPT
import OpenAI from "openai";

const [baseURL, count, prompt] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const ttfts = [];
// The first two connect and compile.
for (let i = 0; i < Number(count) + 2; i++) {
  const started = performance.now();
  const stream = await client.chat.completions.create({
    model: "any", stream: true, max_tokens: 16, temperature: 0,
    messages: [{ role: "user", content: prompt }],
  });
  let first = 0;
  for await (const chunk of stream) {
    if (!first && chunk.choices[0]?.delta?.content) first = performance.now();
  }
  if (i >= 2) ttfts.push(first - started);
}
ttfts.sort((a, b) => a - b);
console.log(JSON.stringify({ p50: ttfts[Math.ceil(ttfts.length / 2) - 1], count: ttfts.length }));
