// A conversation that covers each row of the protocol page's tables.
//
//   node conversation.mjs WS_URL PICTURES_JSON PID_OF_THE_SERVER
//
// Pictures are base64 by name. The server has the fake engine with steps of 50 ms, a window of 4,
// 3 sessions, limits of 4,000,000 pixels and 2,000,000 bytes, idle after 1 s and slow after 3 s. At
// the end it is told to stop.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeMask, Stream } from "./client.mjs";

const [, , url, file, pid] = process.argv;
const pictures = JSON.parse(readFileSync(file));
for (const name in pictures) pictures[name] = Buffer.from(pictures[name], "base64");
const { jpeg } = pictures;
const EVERY = { policy: "every", output: "none" };
const types = (messages) => messages.map(({ type }) => type);

/** Send frames, or call functions with the stream; then `end`. Returns all that comes. */
async function talk(wish, ...steps) {
  const stream = await Stream.open(url, wish);
  assert.equal(stream.ready.type, "ready");
  for (const step of steps) {
    if (typeof step === "function") await step(stream);
    else stream.frame(...step);
  }
  stream.say("end");
  return stream.rest();
}

/** What comes after these bytes, of a stream that they end. */
async function refused(...sends) {
  const stream = await Stream.connect(url);
  for (const one of sends) await stream.socket.send(one);
  return (await stream.rest()).filter(({ type }) => type !== "ready");
}

async function ends(code, word, messages) {
  const [error, closed] = (await messages).slice(-2);
  assert.deepEqual([error.type, error.code, error.fatal], ["error", word, true]);
  assert.deepEqual([closed.code, closed.reason], [code, word]);
  return error;
}

const rows = {
  async "open, ready"() {
    const { ready, socket } = await Stream.open(url, {});
    assert.equal(socket.protocol, "mastream.v1");
    assert.deepEqual([ready.window, ready.memory, typeof ready.resume], [4, "new", "string"]);
    assert.deepEqual(ready.limits, { max_message_bytes: 2000000, max_pixels: 4000000 });
    assert.equal(ready.model.name, "fake");
    assert.ok(ready.model.classes.every((one) => one.name && one.colour.length === 3));
    socket.tcp.destroy();
  },
  async "open twice, null is absent, after a frame"() {
    const stream = await Stream.open(url, { policy: null, output: "none" });
    stream.say("open", EVERY);
    assert.notEqual((await stream.next()).session, stream.ready.session);
    stream.frame({}, jpeg);
    stream.say("open");
    const found = await stream.rest();
    assert.deepEqual(types(found), ["mask", "error", "closed"]);
    await ends(4400, "bad_message", found);
  },
  async "silence: ready; idle: 4408, WebSocket pings do not count"() {
    const stream = await Stream.connect(url);
    const pings = setInterval(() => stream.socket.ping("x"), 200);
    assert.equal((await stream.next()).type, "ready");
    await ends(4408, "too_slow", stream.rest());
    clearInterval(pings);
  },
  async "ping, pong, WebSocket ping; JSON pings keep a stream"() {
    const stream = await Stream.open(url, {});
    const pong = new Promise((resolve) => (stream.socket.onpong = resolve));
    stream.socket.ping("hello");
    assert.equal(await pong, "hello");
    for (let i = 0; i < 4; i++) {
      await sleep(500);
      stream.say("ping");
      assert.deepEqual(await stream.next(), { type: "pong" });
    }
    stream.say("pong");
    stream.say("end");
    assert.deepEqual(types(await stream.rest()), ["end", "closed"]);
  },
  async "end: all is answered in order, close 1000; frames after it are not read"() {
    const late = (stream) => stream.say("end").then(() => stream.frame({ seq: 9 }, jpeg));
    const frames = [[{ seq: 3, pts: 0.5 }, jpeg], [{ pts: -1 }, jpeg], [{ seq: 7 }, jpeg]];
    const found = await talk(EVERY, ...frames, late);
    assert.deepEqual(types(found), ["mask", "mask", "mask", "end", "closed"]);
    assert.deepEqual(found.slice(0, 3).map(({ seq, pts }) => [seq, pts]), [[3, 0.5], [4, -1], [7, null]]);
    assert.deepEqual([found[4].code, found[4].reason], [1000, "end"]);
  },
  async "jpeg, png, webp, bare or framed; EXIF"() {
    const bare = (name) => (stream) => stream.socket.send(pictures[name]);
    const found = await talk(EVERY, bare("jpeg"), bare("png"), bare("webp"), [{}, pictures.turned]);
    const sizes = found.slice(0, 4).map(({ width, height }) => [width, height]);
    assert.deepEqual(sizes, [[48, 32], [48, 32], [48, 32], [32, 48]]);
  },
  async "masks: png, rle and raw agree; none; areas; ms; batch"() {
    const pixels = Buffer.alloc(30 * 20 * 3, Buffer.from([9, 80, 200, 31, 7]));
    const labels = [];
    for (const output of ["png", "rle", "raw", "none"]) {
      const wish = { input: "rgb24", width: 30, height: 20, output, policy: "every" };
      const [mask] = await talk(wish, [{}, pixels]);
      assert.deepEqual([mask.encoding, mask.width, mask.height, mask.batch], [output, 30, 20, 1]);
      assert.deepEqual(Object.keys(mask.ms), ["wait", "decode", "queue", "step", "encode"]);
      if (output === "none") assert.equal(mask.payload.length, 0);
      else labels.push(decodeMask(mask.payload, output, 30, 20));
      const shares = Object.values(mask.areas);
      assert.equal(shares.length, 11);
      assert.ok(Math.abs(shares.reduce((a, b) => a + b) - 1) < 1e-4);
    }
    assert.deepEqual(labels[0], labels[2]);
    assert.deepEqual(labels[1], labels[2]);
  },
  async "size model, overlay"() {
    const [mask] = await talk({ size: "model", output: "raw", overlay: true }, [{}, jpeg]);
    assert.equal(mask.payload.length, mask.width * mask.height + mask.overlay);
    assert.deepEqual([mask.width, mask.height], [480, 352]);
    const overlay = mask.payload.subarray(mask.payload.length - mask.overlay);
    assert.equal(overlay.toString("hex", 0, 3), "ffd8ff");
  },
  async "reset, in a header and as a message"() {
    const reset = (stream) => stream.say("reset");
    const found = await talk(EVERY, [{}, jpeg], [{}, jpeg], reset, [{}, jpeg], [{ reset: true }, jpeg]);
    const memory = [["new", 0], [null, 1], ["client", 0], ["client", 0]];
    assert.deepEqual(found.slice(0, 4).map(({ memory: { reset, filled } }) => [reset, filled]), memory);
  },
  async "replay: no answer, no age; answered only if it cannot be used"() {
    const wish = { ...EVERY, budget_ms: 100 };
    const replay = { replay: true };
    const found = await talk(wish, [replay, jpeg], [replay, jpeg], [replay, jpeg], [replay, Buffer.from("?")],
      () => sleep(400), [{}, jpeg]);
    const [dropped, mask] = found;
    assert.deepEqual([dropped.type, dropped.seqs, dropped.cause], ["dropped", [3], "undecodable"]);
    assert.deepEqual([mask.seq, mask.memory.filled], [4, 2]);
    assert.deepEqual(types(found), ["dropped", "mask", "end", "closed"]);
  },
  async "resume: intact after a lost socket, cold and a replay after an unknown token"() {
    const raw = { policy: "every", output: "raw", input: "rgb24", width: 48, height: 32 };
    const picture = (seq) => Buffer.alloc(48 * 32 * 3, Buffer.from([seq, 9 * seq, 99 - seq]));
    const frames = (from) => Array.from({ length: 7 - from }, (_, i) => [{ seq: from + i }, picture(from + i)]);
    const whole = (await talk(raw, ...frames(0))).filter(({ type }) => type === "mask");
    const labels = (messages) => messages.filter(({ type }) => type === "mask").map(({ payload }) => payload);

    const lost = await Stream.open(url, raw);
    for (const one of frames(0).slice(0, 4)) lost.frame(...one);
    const [first, second] = [await lost.next(), await lost.next()];
    lost.socket.tcp.destroy();
    const found = await talk({ ...raw, resume: lost.ready.resume }, (stream) => {
      assert.deepEqual([stream.ready.memory, stream.ready.session], ["intact", lost.ready.session]);
    }, ...frames(2));
    assert.deepEqual(labels([first, second, ...found]), labels(whole));

    const replays = frames(1).slice(0, 2).map(([header, data]) => [{ ...header, replay: true }, data]);
    const cold = await talk({ ...raw, resume: "unknown" }, (stream) => {
      assert.equal(stream.ready.memory, "cold");
    }, ...replays, ...frames(3));
    assert.deepEqual(labels(cold), labels(whole.slice(3)));
  },
  async "resume: 4409 for the older of two sockets"() {
    const older = await Stream.open(url, EVERY);
    older.frame({}, jpeg);
    await older.next();
    const newer = await Stream.open(url, { ...EVERY, resume: older.ready.resume });
    await ends(4409, "taken_over", older.rest());
    newer.say("end");
    assert.deepEqual(types(await newer.rest()), ["end", "closed"]);
  },
  async "dropped: newer, told before the masks of frames before; the reset goes on"() {
    const frames = Array.from({ length: 6 }, (_, seq) => [{ seq, reset: seq === 3 }, jpeg]);
    const found = await talk({ output: "none" }, ...frames);
    const dropped = found.filter(({ type }) => type === "dropped");
    assert.ok(dropped.length && dropped.every(({ cause, detail }) => cause === "newer" && !detail));
    const masks = found.filter(({ type }) => type === "mask");
    const seqs = [...dropped.flatMap((one) => one.seqs), ...masks.map(({ seq }) => seq)];
    assert.deepEqual(seqs.sort(), [0, 1, 2, 3, 4, 5]);
    assert.ok(masks.some(({ seq, memory }) => seq >= 3 && memory.reset === "client"));
  },
  async "dropped: stale"() {
    const found = await talk({ ...EVERY, budget_ms: 1 }, [{}, jpeg], [{}, jpeg], [{}, jpeg]);
    assert.ok(found.some(({ cause }) => cause === "stale"));
  },
  async "dropped: client_slow"() {
    const stream = await Stream.open(url, { output: "raw", size: "input" });
    stream.socket.tcp.pause();
    for (let i = 0; i < 25; i++) {
      stream.frame({}, pictures.large);
      await sleep(70);
    }
    stream.socket.tcp.resume();
    stream.say("end");
    const found = await stream.rest();
    assert.ok(found.some(({ cause }) => cause === "client_slow"), types(found).join());
    assert.equal(found.at(-1).code, 1000);
  },
  async "dropped: undecodable, with detail; error of one frame: too large"() {
    const gif = [{}, Buffer.from("GIF89a....")], cut = [{}, jpeg.subarray(0, 200)];
    const found = await talk(EVERY, gif, cut, [{}, pictures.huge], [{}, jpeg]);
    assert.deepEqual(types(found), ["dropped", "dropped", "error", "mask", "end", "closed"]);
    assert.match(found[0].detail, /GIF/);
    assert.deepEqual([found[1].seqs, found[1].cause], [[1], "undecodable"]);
    const { code, status, seq, fatal, title } = found[2];
    assert.deepEqual([code, status, seq, fatal, title], ["too_large", 413, 2, false, "too large"]);
  },
  async "JSON as a binary message: an error that is not fatal"() {
    const found = await talk(EVERY, (stream) => stream.socket.send(Buffer.from('{"type":"end"}')));
    assert.deepEqual([found[0].code, found[0].fatal, found[0].seq], ["bad_message", false, null]);
    assert.deepEqual(types(found), ["error", "end", "closed"]);
  },
  async "every: more frames than the window, none is lost"() {
    const found = await talk(EVERY, ...Array.from({ length: 12 }, (_, seq) => [{ seq }, jpeg]));
    const seqs = found.filter(({ type }) => type === "mask").map(({ seq }) => seq);
    assert.deepEqual(seqs, [...Array(12).keys()]);
  },
  async "4400: bad messages"() {
    await ends(4400, "bad_message", refused("hello"));
    await ends(4400, "bad_message", refused("{}"));
    await ends(4400, "bad_request", refused('{"type":"opne"}'));
    await ends(4400, "bad_request", refused('{"type":"open","polcy":"every"}'));
    await ends(4400, "bad_request", refused('{"type":"end","now":null}'));
    await ends(4400, "bad_request", refused('{"type":"open","budget_ms":"1"}'));
    await ends(4400, "bad_message", refused(Buffer.from([1, 0])));
    const stream = await Stream.connect(url, { protocols: ["other"] });
    assert.equal(stream.socket.protocol, null);
    await ends(4400, "bad_request", stream.rest());
  },
  async "4404: no such model"() {
    await ends(4404, "not_found", (await Stream.connect(url, { query: "?model=no" })).rest());
  },
  async "4413: raw pictures over the limits"() {
    const raw = (width, height) => JSON.stringify({ type: "open", input: "rgb24", width, height });
    await ends(4413, "too_large", refused(raw(2001, 2000)));
    await ends(4413, "too_large", refused(raw(1000, 900)));
  },
  async "4422: seq must rise; two answers for one number"() {
    const found = await talk(EVERY, [{ seq: 5 }, jpeg], [{ seq: 5 }, jpeg]);
    assert.deepEqual(types(found), ["mask", "error", "closed"]);
    assert.equal((await ends(4422, "out_of_sequence", found)).seq, 5);
    const last = await talk(EVERY, [{ seq: 2 ** 53 - 1 }, jpeg], [{}, jpeg]);
    assert.equal((await ends(4422, "out_of_sequence", last)).seq, null);
  },
  async "4503: all sessions are taken"() {
    const streams = [];
    for (let i = 0; i < 3; i++) streams.push(await Stream.open(url, {}));
    await ends(4503, "no_capacity", refused('{"type":"open"}'));
    for (const stream of streams) {
      stream.say("end");
      await stream.rest();
    }
  },
  async "1009: too big, with an error or without"() {
    await ends(1009, "too_large", refused(" ".repeat(65536) + "{}"));
    await ends(1009, "too_large", refused(Buffer.concat([Buffer.from([1, 0, 1, 0]), Buffer.alloc(65537)])));
    const found = await refused(Buffer.alloc(2000001));
    assert.deepEqual(types(found), ["closed"]);
    assert.deepEqual([found[0].code, found[0].reason.split(":")[0]], [1009, "too_large"]);
  },
  async "1002, 1007: not WebSocket, not UTF-8"() {
    const ended = async (...frame) => {
      const stream = await Stream.connect(url);
      stream.socket.frame(...frame);
      const { code, reason } = await stream.socket.closed;
      return [code, reason.split(":")[0]];
    };
    assert.deepEqual(await ended(1, Buffer.from("{}"), 0xc1), [1002, "bad_message"]);
    assert.deepEqual(await ended(1, Buffer.from([0xff])), [1007, "bad_message"]);
    await ends(1007, "bad_message", refused(Buffer.from([2, 0, 0, 0, 0xff, 0xfe])));
  },
  async "fragments, an empty header, no sub-protocol"() {
    const stream = await Stream.connect(url, { protocols: [] });
    stream.socket.frame(1, Buffer.from('{"type":'), 0x01);
    stream.socket.frame(0, Buffer.from('"open","policy":"every","output":"none"}'), 0x80);
    stream.socket.send(Buffer.concat([Buffer.alloc(4), jpeg]));
    stream.say("end");
    assert.deepEqual(types(await stream.rest()), ["ready", "mask", "end", "closed"]);
  },
  async "4408: a client that does not read"() {
    const stream = await Stream.open(url, { output: "raw", policy: "every" });
    stream.socket.tcp.pause();
    for (let i = 0; i < 20; i++) stream.frame({}, pictures.large);
    await sleep(4500);
    stream.socket.tcp.resume();
    const { code, reason } = (await stream.rest()).at(-1);
    assert.deepEqual([code, reason], [4408, "too_slow"]);
  },
  async "4429: too many small frames"() {
    const stream = await Stream.connect(url);
    for (let i = 0; i < 6000; i++) stream.socket.ping();
    assert.equal((await stream.socket.closed).code, 4429);
  },
  async "going_away: what was read is answered, close 1012"() {
    const stream = await Stream.open(url, EVERY);
    for (let seq = 0; seq < 9; seq++) stream.frame({ seq }, jpeg);
    const first = await stream.next();
    process.kill(Number(pid), "SIGTERM");
    const found = [first, ...(await stream.rest())];
    const masks = found.filter(({ type }) => type === "mask").map(({ seq }) => seq);
    assert.deepEqual(masks, [...masks.keys()]);
    assert.ok(masks.length < 9);
    const [bye, closed] = found.slice(-2);
    assert.equal(bye.taken, masks.at(-1));
    assert.deepEqual([bye.type, bye.reconnect_after_ms], ["going_away", 1000]);
    assert.deepEqual([closed.code, closed.reason], [1012, "going_away"]);
  },
};

for (const [name, row] of Object.entries(rows)) {
  try {
    await row();
  } catch (error) {
    error.message = `${name}: ${error.message}`;
    throw error;
  }
  console.log(name);
}
