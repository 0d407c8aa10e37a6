// Draws a picture and its mask on a canvas, with WebGL2, otherwise in 2D. Runs on a page and in a worker.

/**
 * Return {draw(frame, look), shot(look)} for a canvas (HTML or offscreen). `draw` draws with the next frame
 * of the screen, and its promise then resolves; that of `shot` resolves to a PNG of the last drawing.
 *   frame  {picture, labels, width, height}: an ImageBitmap or a VideoFrame, which is closed, or null; and
 *          the labels with their size. Without a frame, the last one is drawn again.
 *   look   {palette, panes}: 256 colours as RGBA bytes; for each pane, from left to right, whether it shows
 *          [the picture, the mask], each 0 or 1
 */
export function brush(canvas) {
  const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
  const paint = gl ? webgl(gl) : flat(canvas.getContext("2d"));
  let size = [1, 1], pane = [1, 1], drawn = Promise.resolve();

  function render(frame, look) {
    if (frame) [size, pane] = [[frame.width, frame.height], sizeOf(frame.picture ?? frame)];
    resize(canvas, pane[0] * look.panes.length, pane[1]);
    paint(frame, look, size);
    frame?.picture?.close();
  }

  async function shot(look) {
    await drawn.catch(() => {});
    render(null, look);
    return canvas.convertToBlob?.() ?? new Promise((resolve) => canvas.toBlob(resolve));
  }

  const draw = (frame, look) => (drawn = new Promise(requestAnimationFrame).then(() => render(frame, look)));
  return { draw, shot };
}

const sizeOf = ({ displayWidth, displayHeight, width, height }) =>
  [displayWidth ?? width, displayHeight ?? height];

function resize(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

const VERTEX = `#version 300 es
out vec2 at;
void main() {
  at = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0;
  gl_Position = vec4(at.x * 2.0 - 1.0, 1.0 - at.y * 2.0, 0, 1);
}`;

// The class with the most weight among the four nearest labels takes the pixel, by a steep curve, so borders
// are sharp lines instead of stairs, at any size.
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture, palette;
uniform highp usampler2D labels;
uniform vec2 pane;
in vec2 at;
out vec4 colour;
uint label(ivec2 place) {
  return texelFetch(labels, clamp(place, ivec2(0), textureSize(labels, 0) - 1), 0).r;
}
void main() {
  vec2 place = at * vec2(textureSize(labels, 0)) - 0.5, part = fract(place);
  ivec2 corner = ivec2(floor(place));
  uvec4 near = uvec4(
    label(corner), label(corner + ivec2(1, 0)), label(corner + ivec2(0, 1)), label(corner + 1));
  vec4 weights = vec4(1.0 - part.x, part.x, 1.0 - part.x, part.x) * vec4(1.0 - part.yy, part.yy);
  vec4 mask = vec4(0);
  float total = 0.0;
  for (int i = 0; i < 4; i++) {
    float share = dot(weights, vec4(equal(near, uvec4(near[i]))));
    float weight = weights[i] * pow(share, 7.0);
    vec4 paint = texelFetch(palette, ivec2(near[i], 0), 0);
    mask += weight * vec4(paint.rgb * paint.a, paint.a);
    total += weight;
  }
  mask *= pane.y / total;
  colour = mask + texture(picture, at) * pane.x * (1.0 - mask.a);
}`;

function webgl(gl) {
  let textures;
  gl.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  gl.canvas.addEventListener("webglcontextrestored", () => (textures = prepare(gl)));
  textures = prepare(gl);

  return (frame, look) => {
    if (gl.isContextLost()) return;
    if (frame) {
      const { labels, width, height } = frame;
      textures.labels(gl.R8UI, width, height, 0, gl.RED_INTEGER, gl.UNSIGNED_BYTE, labels);
      if (frame.picture) textures.picture(gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, frame.picture);
    }
    textures.palette(gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, look.palette);
    const width = gl.canvas.width / look.panes.length;
    look.panes.forEach((pane, index) => {
      gl.viewport(index * width, 0, width, gl.canvas.height);
      gl.uniform2fv(textures.pane, pane);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    });
  };
}

function prepare(gl) {
  const program = linked(gl);
  const place = (name) => gl.getUniformLocation(program, name);
  gl.useProgram(program);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  const texture = (name, unit, filter) => {
    const made = gl.createTexture();
    gl.uniform1i(place(name), unit);
    const fill = (format, ...content) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, made);
      gl.texImage2D(gl.TEXTURE_2D, 0, format, ...content);
    };
    const set = (name, value) => gl.texParameteri(gl.TEXTURE_2D, gl[name], value);
    fill(gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    for (const name of ["TEXTURE_WRAP_S", "TEXTURE_WRAP_T"]) set(name, gl.CLAMP_TO_EDGE);
    for (const name of ["TEXTURE_MIN_FILTER", "TEXTURE_MAG_FILTER"]) set(name, filter);
    return fill;
  };
  return {
    picture: texture("picture", 0, gl.LINEAR),
    labels: texture("labels", 1, gl.NEAREST),
    palette: texture("palette", 2, gl.NEAREST),
    pane: place("pane"),
  };
}

function linked(gl) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  return program;
}

function flat(context) {
  const copy = new OffscreenCanvas(1, 1), mask = new OffscreenCanvas(1, 1);
  let labels = new Uint8Array(1);

  return (frame, { palette, panes }, size) => {
    const { canvas } = context, width = canvas.width / panes.length;
    if (frame) labels = frame.labels;
    if (frame?.picture) keep(copy, frame.picture, width, canvas.height);
    colour(mask, labels, size, palette);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = false;
    panes.forEach((shown, index) => {
      for (const [layer, source] of [copy, mask].entries())
        if (shown[layer]) context.drawImage(source, index * width, 0, width, canvas.height);
    });
  };
}

function keep(canvas, picture, width, height) {
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
}

function colour(canvas, labels, [width, height], palette) {
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer), colours = new Uint32Array(palette.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colours[labels[i]];
  canvas.getContext("2d").putImageData(image, 0, 0);
}
