// Every English text of the page, by view. Translate this file to translate the page.

export const texts = {
  nav: { label: "Views", live: "Live", videos: "Videos", cameras: "Cameras", server: "Server" },
  theme: { auto: "Colours follow the system", light: "Light colours", dark: "Dark colours" },
  errors: {
    unreachable: "The server cannot be reached. Check that it is running; the page tries again by itself.",
    status: (status) => `The server answered with status ${status}.`,
    missing: "There is no such page. Choose one above.",
  },
  live: { title: "Live" },
  videos: { title: "Videos" },
  cameras: { title: "Cameras" },
  server: { title: "Server" },
};
