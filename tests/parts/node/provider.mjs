// An OpenID provider for the tests: node provider.mjs PORT CONFIG, where CONFIG holds {"jwks": ..., "alg": ...}.
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const [port, file] = process.argv.slice(2);
const { jwks, alg } = JSON.parse(readFileSync(file, "utf8"));
const issuer = `http://127.0.0.1:${port}`;
const audiences = { "urn:atalaia": "atalaia", "urn:other": "other", "urn:short": "atalaia" };

const provider = new Provider(issuer, {
  jwks,
  cookies: { keys: ["only for tests"] },
  clients: ["viewer", "ml_engineer", "nobody"].map((client_id) => ({
    client_id,
    client_secret: "secret",
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: alg,
  })),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: "",
        audience: audiences[resource],
        accessTokenTTL: resource === "urn:short" ? 1 : 600,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg } },
      }),
    },
  },
  extraTokenClaims: (ctx, token) => ({ realm: { roles: [token.clientId] } }),
});
provider.listen(Number(port), "127.0.0.1");
