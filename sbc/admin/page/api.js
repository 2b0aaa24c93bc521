// Asks the admin API: the token, JSON, problem documents (RFC 9457). Every path is relative, so that a proxy may add a prefix.

import { read, write } from "./words.js";

const ROOT = "api/v1/";
const KEY = "sbc.token";
const PATIENCE_MS = 30_000;

let token = read(KEY, "sessionStorage");
let onDenied = () => {};

/** What the API refused, or why it could not be asked. `problems`: lines, of a reload. */
export class Problem extends Error {
  constructor(status, title, detail = "", problems = []) {
    super(detail || title);
    Object.assign(this, { status, title, detail, problems });
  }
}

export const hasToken = () => Boolean(token);
export function useToken(text) {
  token = text || null;
  write(KEY, token, "sessionStorage");
}
/** `listener` is called when the API wants a token, or another one. */
export function whenDenied(listener) {
  onDenied = listener;
}

/** JSON of `path`, or its text with `as: "text"`, or a Blob with `as: "blob"`. Throws Problem. */
export async function ask(path, { method = "GET", as = "json", body, signal } = {}) {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const response = await open(path, {
    method,
    accept: { json: "application/json", text: "text/plain" }[as] ?? "*/*",
    body,
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
  });
  return await response[as]();
}

/** The response of `path` when it is a good one. Throws Problem. */
export async function open(path, { method = "GET", accept = "*/*", body, signal } = {}) {
  const headers = { Accept: accept };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    const content = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(ROOT + path, { method, headers, body: content, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "No answer", error.name === "TimeoutError" ? "it did not answer in time" : "the SBC cannot be reached");
  }
  if (response.ok) return response;
  if (response.status === 401) onDenied();
  throw await problemOf(response);
}

/** A path of several parts, each of which a peer or an operator may have named. */
export const path = (...parts) => parts.map(encodeURIComponent).join("/");

/** `?a=b`, without what is empty. */
export function query(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

async function problemOf(response) {
  try {
    const document = await response.json();
    return new Problem(response.status, document.title ?? response.statusText, document.detail, document.problems);
  } catch {
    return new Problem(response.status, response.statusText || `status ${response.status}`);
  }
}
