/** Does something with each of many, some at once. */
export async function each<T>(atOnce: number, all: readonly T[], step: (one: T) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let one = all[next++]; one !== undefined; one = all[next++]) await step(one);
    }),
  );
}
