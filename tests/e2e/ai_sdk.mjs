// Turns of a conversation, by the AI SDK's own transport and reader, as `useChat` does them.
// Usage: node ai_sdk.mjs PACKAGE URL TEXT... Prints one line of JSON a turn: {message, parts, errors}.
const [name, api, ...texts] = process.argv.slice(2);
const { DefaultChatTransport, readUIMessageStream } = await import(name);

const transport = new DefaultChatTransport({ api });
const messages = [];
for (const text of texts) {
  messages.push({ id: `u${messages.length}`, role: "user", parts: [{ type: "text", text }] });
  const stream = await transport.sendMessages({ chatId: "c", messages, trigger: "submit-message" });
  const [forMessage, forParts] = stream.tee();
  const errors = [];
  const parts = [];
  const reading = (async () => {
    for await (const part of forParts) parts.push(part.type);
  })();
  let message;
  for await (const state of readUIMessageStream({ stream: forMessage, onError: (error) => errors.push(String(error)) })) {
    message = state;
  }
  await reading;
  console.log(JSON.stringify({ message, parts, errors }));
  messages.push(message);
}
