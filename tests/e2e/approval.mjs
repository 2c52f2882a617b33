// A run that stops for approvals, as `useChat` does it: each is approved and the messages are sent again.
// Usage: node approval.mjs PACKAGE URL. Prints the chat's messages and errors as JSON.
const [name, api] = process.argv.slice(2);
const { AbstractChat, DefaultChatTransport } = await import(name);

class State {
  messages = [];
  status = "ready";
  error = undefined;
  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) => (this.messages = this.messages.with?.(index, structuredClone(message)));
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor(options) {
    super({ ...options, state: new State() });
  }
}

const errors = [];
const chat = new Chat({ transport: new DefaultChatTransport({ api }), onError: (error) => errors.push(String(error)) });
await chat.sendMessage({ text: "Pay them." });
const waits = () => chat.messages.at(-1).parts.filter((part) => part.state === "input-available");
for (let round = 0; round < 3 && waits().length > 0 && errors.length === 0; round++) {
  const ids = waits().map((part) => part.toolCallId);
  const approvals = chat.messages
    .at(-1)
    .parts.filter((part) => part.type === "data-approval" && ids.includes(part.data.id))
    .map(({ data: { id, sha256 } }) => ({ id, sha256, decision: "approved" }));
  await chat.sendMessage(undefined, { body: { approvals } });
}
console.log(JSON.stringify({ messages: chat.messages, errors }));
