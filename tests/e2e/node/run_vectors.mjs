// The golden vectors in Node: node run_vectors.mjs FOLDER_OF_PROTOCOL CLIENT_MODULE

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { check } from "./vectors.mjs";

const [, , folder, module] = process.argv;
const load = (name) => JSON.parse(readFileSync(`${folder}/${name}.json`));
const client = await import(pathToFileURL(module));
console.log(JSON.stringify(await check(client, load("vectors"), load("schema"))));
