// Every English text of the page, by view. Translate this file to translate the page.

export const texts = {
  nav: { label: "Views", live: "Live", videos: "Videos", cameras: "Cameras", server: "Server" },
  theme: { auto: "Colours follow the system", light: "Light colours", dark: "Dark colours" },
  errors: {
    unreachable: "The server cannot be reached. Check that it is running; the page tries again by itself.",
    status: (status) => `The server answered with status ${status}.`,
    missing: "There is no such page. Choose one above.",
  },
  stream: {
    lost: "The connection was lost. The stream continues as soon as the server can be reached.",
    foreign: "The server's answer cannot be read. Check that it is a mastream server of this version.",
    otherModel: "The server serves another model than before. Start the stream again.",
  },
  live: {
    title: "Live",
    invite: {
      title: "What does the model see?",
      text: "Choose a moving picture. Each of its frames is divided into classes while you watch.",
      camera: "Pictures go to this server only and are not kept.",
      demo: "A street drawn by your browser. Nothing else is needed.",
      file: "Plays here; the file is not uploaded.",
      streams: "Or watch a camera of the server:",
    },
    sources: {
      label: "Source", here: "This device", there: "Cameras of the server", camera: "Use the camera",
      demo: "Demonstration", file: "Open a video file", numbered: (number) => `Camera ${number}`,
    },
    states: { connecting: "Connecting…", live: "Live", waiting: "Reconnecting…", paused: "Paused" },
    modes: { over: "Over", beside: "Next to", mask: "Mask only" },
    tools: { mode: "Where the mask is shown", stop: "Stop", snapshot: "Save a snapshot", record: "Record a film", full: "Full screen" },
    legend: {
      title: "Classes", all: "Show all", opacity: "Opacity of the mask",
      toggle: "Click to show or hide, double-click to show only this", only: (name) => `Show only ${name}`,
    },
    numbers: { rate: "Rate", latency: "Latency", drops: "Dropped", memory: "Memory", resets: "Resets" },
    about: {
      rate: "Masks per second", latency: "Median time from sending a frame to its mask",
      drops: "Frames without a mask", memory: "Frames that the model remembers", resets: "How often the memory was emptied",
    },
    perSecond: (rate) => `${rate} /s`,
    ms: (count) => `${count} ms`,
    of: (filled, frames) => `${filled} of ${frames}`,
    canvas: "Picture with its mask",
    insecure: "Browsers give cameras only to pages at https or localhost. Open the page there, or choose the demonstration.",
    camera: {
      NotAllowedError: "The camera is blocked for this page. Allow it in the browser's address bar, then choose it again.",
      NotFoundError: "No camera was found. Connect one and choose it again, or choose the demonstration.",
      NotReadableError: "Another program uses the camera. Close it, then choose the camera again.",
      OverconstrainedError: "This camera is gone. Choose another one.",
      other: (reason) => `The camera could not be opened: ${reason}`,
    },
    unplayable: (name) => `The browser cannot play ${name || "this source"}. Choose another file, or upload it in the view Videos.`,
  },
  videos: { title: "Videos" },
  cameras: { title: "Cameras" },
  server: { title: "Server" },
};
