// When a lost stream connects again. Pure: chance is passed in.

const FIRST = 500, LONGEST = 15000; // ms
const PASSING = [1001, 1005, 1006, 1011, 1012, 1013, 4408, 4429, 4503];
const MODEL = ["name", "fingerprint", "classes", "height", "width"];

/** Whether it is worth connecting again after a close with this code. */
export const mayPass = (code) => PASSING.includes(code);

/** The ms to wait before an attempt, counted from 0: doubled each time, then shortened by up to a half, by `chance` (0..1). */
export const delay = (attempt, chance) => Math.min(LONGEST, FIRST * 2 ** attempt) * (1 - chance / 2);

/** Whether a stream can continue with the other model. */
export const isSame = (one, other) =>
  MODEL.every((name) => JSON.stringify(one[name]) === JSON.stringify(other[name]));
