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
  live: { title: "Live" },
  videos: { title: "Videos" },
  cameras: { title: "Cameras" },
  server: { title: "Server" },
};
