// Pictures for the tests of streams, in Node and in browsers.

/** Raw pixels that differ for each number. */
export function picture(number, width, height) {
  const pixels = new Uint8Array(width * height * 3);
  let state = number + 1;
  for (let at = 0; at < pixels.length; at++) pixels[at] = (state = (state * 1103515245 + 12345) % 2 ** 31) >> 16;
  return pixels;
}
