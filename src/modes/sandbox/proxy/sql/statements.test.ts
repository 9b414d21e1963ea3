import { describe, expect, test } from "bun:test";
import { commandsOf, MAX_STATEMENTS } from "./statements.ts";

describe("commands of a query text", () => {
  for (const [text, ...commands] of [
    ["select 1", "SELECT"],
    ["", ...[]],
    [" ; ;; ", ...[]],
    ["-- only a comment", ...[]],
    ["BEGIN; update t set a = 1;COMMIT", "BEGIN", "UPDATE", "COMMIT"],
    ["select ';' ; drop table t", "SELECT", "DROP"],
    ["select 'it''s;' ; drop table t", "SELECT", "DROP"],
    ["select '\\'; drop table t --'", "SELECT", "DROP"],
    ["select E'\\'; drop table t --'", "SELECT"],
    ["select e'a''b\\\\'; drop table t", "SELECT", "DROP"],
    ["select name'; drop '", "SELECT"],
    ['select ";" from "a""b;" ; delete from t', "SELECT", "DELETE"],
    ["select $$ ; drop $$ ; delete from t", "SELECT", "DELETE"],
    ["select $tag$ $$ ; $other$ ; $tag$ ; delete from t", "SELECT", "DELETE"],
    ["select $1 ; delete from t where a = $2", "SELECT", "DELETE"],
    ["select a$b$ ; delete from t -- $b$", "SELECT", "DELETE"],
    ["/* ; drop /* ; */ ; */ select 1 -- ; drop\n; delete from t", "SELECT", "DELETE"],
    ["/* never closed ; drop table t", ...[]],
    ["(select 1) union (values (2))", "SELECT"],
    ["with x as (insert into t values (1) returning a) select * from x", "WITH"],
    ["create rule r as on insert to t do (delete from a; delete from b); select 1", "CREATE", "SELECT"],
    [
      "create function f() returns int begin atomic select case when a then 1 else 2 end; delete from t; end; drop table t",
      "CREATE",
      "DROP",
    ],
    ["do $$ begin delete from t; end $$; select 1", "DO", "SELECT"],
    ["begin; select case when true then 1 end; end", "BEGIN", "SELECT", "END"],
    ["2 + 2; select 1", "UNKNOWN", "SELECT"],
    ["\u00e9t\u00e9; select 1", "ÉTÉ", "SELECT"],
    [`${"x".repeat(40)} y`, "UNKNOWN"],
  ] as [string, ...string[]][]) {
    test(JSON.stringify(text), () => expect(commandsOf(text)).toEqual({ commands, more: false }));
  }

  test("no more than are told of", () => {
    expect(commandsOf("x;".repeat(MAX_STATEMENTS)).more).toBe(false);
    const { commands, more } = commandsOf("x;".repeat(MAX_STATEMENTS + 1));
    expect([commands.length, more]).toEqual([MAX_STATEMENTS, true]);
  });

  test("a mebibyte of anything is read without depth", () => {
    for (const text of ["'", "''", "(", "/*", "$$", "$a$", '"', "E'\\", ";", "a ", "--\n", "\\'"])
      expect(commandsOf(text.repeat(1_048_576 / text.length)).commands.length).toBeLessThanOrEqual(MAX_STATEMENTS);
  });
});
