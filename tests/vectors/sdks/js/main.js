// Tokens of the AWS SDK for JavaScript v3, for the cases on standard input (tests/vectors/tokens.json).
//
//   npm ci && node main.js < ../../tokens.json > ../js.json
//
// Its STS client has no presigner for a GET, so clients sign a request that they build themselves. How they then write the
// URL differs, and so does the order of its parameters.
import { readFileSync } from "node:fs";
import { Sha256 } from "@aws-crypto/sha256-js";
import { formatUrl } from "@aws-sdk/util-format-url";
import { HttpRequest } from "@smithy/protocol-http";
import { SignatureV4 } from "@smithy/signature-v4";

const SDK = "@smithy/signature-v4";

// As the SDK's own helper writes it; and as Backstage's Kubernetes plugin does, in the order of signing, with X-Amz-Expires=0.
const RECIPES = [
  { recipe: "presign, formatUrl", expiresIn: 60, write: formatUrl },
  { recipe: "presign, encodeURIComponent", expiresIn: 0, write: inOrder },
];

function inOrder({ hostname, path, query }) {
  const pairs = Object.entries(query).map((pair) => pair.map(encodeURIComponent).join("="));
  return `https://${hostname}${path}?${pairs.join("&")}`;
}

async function token(vector, { recipe, expiresIn, write }) {
  const signer = new SignatureV4({
    credentials: {
      accessKeyId: vector.access_key_id,
      secretAccessKey: vector.secret_access_key,
      sessionToken: vector.session_token ?? undefined,
    },
    region: vector.region,
    service: "sts",
    sha256: Sha256,
  });
  const request = new HttpRequest({
    protocol: "https:",
    hostname: vector.host,
    path: "/",
    headers: { host: vector.host, "x-k8s-aws-id": vector.cluster_id },
    query: { Action: "GetCallerIdentity", Version: "2011-06-15" },
  });
  const signed = await signer.presign(request, { signingDate: new Date(vector.unix_time * 1000), expiresIn });
  return { recipe, name: vector.name, token: "k8s-aws-v1." + Buffer.from(write(signed)).toString("base64url") };
}

const vectors = JSON.parse(readFileSync(0, "utf8"));
const { version } = JSON.parse(readFileSync(new URL(`node_modules/${SDK}/package.json`, import.meta.url), "utf8"));
const tokens = await Promise.all(RECIPES.flatMap((recipe) => vectors.map((vector) => token(vector, recipe))));
console.log(JSON.stringify({ sdk: SDK, version, tokens }, null, 2));
