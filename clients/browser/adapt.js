// How large the sent frames are, and how many are in flight: additive increase,
// multiplicative decrease. Pure.

const FAR = 150; // ms; a longer network time without load is taken for that of a slow line

/** `level` 0..1: size and quality of frames; `depth`: frames in flight; `rest`: network time without load, ms. */
export const START = { level: 0.6, depth: 2, rest: FAR, pause: 0 };

/**
 * The state after one answered frame. `latency` (sent to received) and the server's `queue`, `step` and
 * `total` are in ms; `lost` says that a newer frame took its place; `window` is the server's.
 */
export function adapt(state, { latency = 0, queue = 0, step = 0, total = 0, lost = false }, window) {
  const network = Math.max(1, latency - total);
  const rest = lost ? state.rest : Math.min(network, state.rest * 1.005);
  if (state.pause > 0) return { ...state, rest, pause: state.pause - 1 };
  const crowded = lost || queue > step + 5, slow = !lost && network > 2 * rest + 80;
  if (crowded || slow) return less(state, rest, slow);
  const depth = queue < step / 4 ? state.depth + 0.1 : state.depth;
  return { level: Math.min(1, state.level + 0.02), depth: Math.min(window, depth), rest, pause: 0 };
}

// Answers to frames sent before a change say nothing about it, so they are ignored.
const less = ({ level, depth }, rest, slow) =>
  ({ level: slow ? level * 0.7 : level, depth: Math.max(1, depth * 0.75), rest, pause: Math.ceil(depth) });

/** Width, height and JPEG quality of a picture's frame: at most what the model can use. */
export function shape(level, picture, model) {
  const most = Math.min(1, Math.max(model.width / picture.width, model.height / picture.height));
  const step = Math.round(level * 8) / 8, scale = most * (0.4 + 0.6 * step);
  const side = (length) => Math.max(16, Math.round((length * scale) / 2) * 2);
  return { width: side(picture.width), height: side(picture.height), quality: 0.5 + 0.35 * step };
}
