// Makes the component of codec.js: `node build.mjs [TO]`, where TO is json-js.wasm in this folder unless it is given.
import { writeFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
// From this folder, or from another one where `npm ci` was run, which JSON_JS_MODULES names.
const elsewhere = process.env.JSON_JS_MODULES;
const package_ = "@bytecodealliance/componentize-js";
const tool = elsewhere ? pathToFileURL(`${elsewhere}/node_modules/${package_}/src/componentize.js`).href : package_;
const { componentize } = await import(tool);

// With no feature that touches the outside, no WASI is imported: the contract allows nothing but diagnostics.
const { component } = await componentize({
  sourcePath: here("codec.js"),
  witPath: here("../../wit/codec.wit"),
  worldName: "codec",
  disableFeatures: ["random", "stdio", "clocks", "http", "fetch-event"],
});
await writeFile(process.argv[2] ?? here("json-js.wasm"), component);
