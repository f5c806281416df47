// Starts Redoc. A file of its own, because the Content-Security-Policy allows no inline script.
"use strict";

Redoc.init(
  "/v1/openapi.json",
  {
    // Fonts that are on the reader's machine; none are fetched.
    theme: {
      typography: {
        fontFamily: "system-ui, sans-serif",
        headings: { fontFamily: "system-ui, sans-serif" },
        code: { fontFamily: "ui-monospace, monospace" },
      },
    },
  },
  document.getElementById("reference"),
);
