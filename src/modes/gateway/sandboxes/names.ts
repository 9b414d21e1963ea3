import { randomInt } from "node:crypto";

const FIRST =
  "amber apt azure bold brave brisk calm clear clever cosy crisp deft eager early even fair fleet fond free fresh gentle glad grand green happy hardy keen kind lively lucky mellow merry mild neat nimble noble open plain proud quick quiet rapid ready royal safe sharp silver smart smooth snug solid steady still sunny sure swift tidy true vivid warm wise witty young zesty".split(
    " ",
  );
const SECOND =
  "alder ant badger bear beaver birch bison bream buck cedar cod crane crow deer dove duck eagle elk elm falcon fern finch fir fox frog gecko goose gull hare hawk hazel heron ibex jay kite koala lark lemur lily lion lynx maple marten mole moose moth newt oak orca otter owl panda pike pine puffin quail raven robin rook seal swan tern trout vole wren".split(
    " ",
  );

/** Two words, and a number when that pair is taken. */
export function petname(isTaken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const pair = `${FIRST[randomInt(FIRST.length)]}-${SECOND[randomInt(SECOND.length)]}`;
    const name = attempt < 4 ? pair : `${pair}-${randomInt(10_000, 100_000)}`;
    if (!isTaken(name)) return name;
  }
}
