import { expect, test } from "bun:test";
import { MadeReporter } from "./made-reporter.ts";

function reporter(report: (paths: readonly string[]) => Promise<unknown>) {
  const made: string[] = [];
  const told: string[] = [];
  return { made, told, reporter: new MadeReporter({ made: () => made, tell: (path) => told.push(path), report }) };
}

test("threat-15 each path is told once, and the gateway hears of it again until it has", async () => {
  const heard: (readonly string[])[] = [];
  let away = true;
  const {
    made,
    told,
    reporter: all,
  } = reporter(async (paths) => {
    if (away) throw new Error("away");
    heard.push(paths);
  });
  made.push("/repo/.envrc");
  all.look();
  await Bun.sleep(0);
  made.push("/repo/.vscode");
  away = false;
  await all.finish();
  expect(told).toEqual(["/repo/.envrc", "/repo/.vscode"]);
  expect(heard).toEqual([["/repo/.envrc", "/repo/.vscode"]]);
  await all.finish();
  expect(heard).toHaveLength(1);
});

test("what is made while the gateway is being told is told at the end", async () => {
  const heard: string[] = [];
  const answer = Promise.withResolvers<void>();
  const { made, reporter: all } = reporter(async (paths) => {
    await answer.promise;
    heard.push(...paths);
  });
  made.push("/repo/.envrc");
  all.look();
  made.push("/repo/.git/hooks");
  const finished = all.finish();
  answer.resolve();
  await finished;
  expect(heard).toEqual(["/repo/.envrc", "/repo/.git/hooks"]);
});

test("a gateway that does not answer is not waited for without end", async () => {
  const { made, reporter: all } = reporter(() => new Promise(() => {}));
  made.push("/repo/.envrc");
  await all.finish();
});
