// As much of JSON Schema as protocol/schema.json uses.

/** Whether a value fits one of the schema's `$defs`. */
export function fits(root, name, value) {
  return check(root, root.$defs[name], value);
}

const KINDS = {
  null: (one) => one === null,
  boolean: (one) => typeof one === "boolean",
  string: (one) => typeof one === "string",
  number: (one) => typeof one === "number",
  integer: Number.isInteger,
  array: Array.isArray,
  object: (one) => one !== null && typeof one === "object" && !Array.isArray(one),
};

const RULES = {
  $ref: (path, one, root) => check(root, root.$defs[path.split("/").at(-1)], one),
  type: (kind, one) => KINDS[kind](one),
  const: (wanted, one) => one === wanted,
  enum: (words, one) => words.includes(one),
  anyOf: (schemas, one, root) => schemas.some((schema) => check(root, schema, one)),
  minimum: (least, one) => !KINDS.number(one) || one >= least,
  maximum: (most, one) => !KINDS.number(one) || one <= most,
  maxLength: (most, one) => !KINDS.string(one) || [...one].length <= most,
  minItems: (least, one) => !KINDS.array(one) || one.length >= least,
  maxItems: (most, one) => !KINDS.array(one) || one.length <= most,
  prefixItems: (schemas, one, root) =>
    !KINDS.array(one) || one.every((item, i) => !(i in schemas) || check(root, schemas[i], item)),
  items: (schema, one, root) =>
    !KINDS.array(one) || schema === false || one.every((item) => check(root, schema, item)),
  required: (names, one) => !KINDS.object(one) || names.every((name) => name in one),
  properties: (known, one, root) => !KINDS.object(one) ||
    Object.entries(known).every(([name, schema]) => !(name in one) || check(root, schema, one[name])),
  additionalProperties: (other, one, root, { properties = {} }) => !KINDS.object(one) ||
    Object.keys(one).every((name) => name in properties || (other && check(root, other, one[name]))),
  if: (condition, one, root, { then = {}, else: otherwise = {} }) =>
    check(root, check(root, condition, one) ? then : otherwise, one),
};

const NOTES = ["title", "description", "default", "discriminator", "then", "else"];

function check(root, schema, one) {
  return Object.entries(schema).every(([rule, given]) => {
    if (NOTES.includes(rule)) return true;
    if (!(rule in RULES)) throw new Error(`unknown rule of the schema: ${rule}`);
    return RULES[rule](given, one, root, schema);
  });
}
