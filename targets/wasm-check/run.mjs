// Golden models in a WebAssembly module against the fingerprints that x86-64 keeps: node run.mjs MODULE
import { readFileSync } from "node:fs";

const tests = new URL("../../tests/", import.meta.url);
const kept = new Map(
  readFileSync(new URL("vectors/fingerprints.txt", tests), "utf8")
    .trim().split("\n").map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]),
);
const module = new WebAssembly.Module(readFileSync(process.argv[2]));
let compared = 0;
for (const { model, tokens } of JSON.parse(readFileSync(new URL("goldens/manifest.json", tests), "utf8"))) {
  const file = readFileSync(new URL(`goldens/${model}`, tests));
  for (const mode of ["int8", "exact"]) {
    for (const kv of ["f16", "f32"]) {
      // A new instance each time: its memory only grows.
      const { exports } = new WebAssembly.Instance(module);
      const place = exports.memory_for(file.length) >>> 0;
      const numbers = exports.memory_for(4 * tokens.length) >>> 0;
      if (place === 0 || numbers === 0) throw new Error("out of memory");
      new Uint8Array(exports.memory.buffer, place, file.length).set(file);
      new Uint32Array(exports.memory.buffer, numbers, tokens.length).set(tokens);
      const got = exports.fingerprint(place, file.length, numbers, tokens.length, mode === "exact", kv === "f32");
      const key = `${model.replace(".gguf", "")} ${mode} ${kv}`;
      const hex = BigInt.asUintN(64, got).toString(16).padStart(16, "0");
      if (!kept.has(key)) throw new Error(`${key} has no fingerprint`);
      if (kept.get(key) !== hex) throw new Error(`${key}: ${hex}, x86-64 has ${kept.get(key)}`);
      compared += 1;
    }
  }
}
console.log(`${compared} fingerprints equal`);
if (compared === 0) throw new Error("nothing was compared");
