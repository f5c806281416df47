// Starts Swagger UI. A file of its own, because the Content-Security-Policy allows no inline script.
"use strict";

SwaggerUIBundle({
  url: "/v1/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // The default asks validator.swagger.io about the document; nothing here may leave the server.
  validatorUrl: null,
  // An API key lives only as long as the page does.
  persistAuthorization: false,
  displayRequestDuration: true,
});
