/** How long another program waits for its answer while an agent tries to stall the supervisor (threat 16). */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY, type Installation } from "../test/e2e/installation.ts";
import { milliseconds, report, summarise } from "./statistics.ts";

const PERL = "/usr/bin/perl";
/** Answers per measurement, one after the other. */
const ANSWERS = 300;

/** Asks for a denied host again and again; prints the milliseconds of each answer. */
const VICTIM = `use IO::Socket::IP; use Time::HiRes "time"; $| = 1;
for (1..${ANSWERS}) {
  my $t = time; my $s = IO::Socket::IP->new(PeerHost => "10.200.0.1", PeerPort => 3128) or die "connect: $@";
  print $s "CONNECT denied.example:443 HTTP/1.1\\r\\nHost: denied.example:443\\r\\n\\r\\n"; my $answer = <$s>;
  die "no answer" unless defined $answer && $answer =~ / 403 /; printf "%.3f\\n", (time - $t) * 1000;
}`;

/** Each says "ready" and goes on until its stdin ends. */
const HOLD = `$| = 1; print "ready\\n"; <STDIN>;`;
const ATTACKS: Readonly<Record<string, string>> = {
  "quiet sandbox": HOLD,
  "200 connections that say nothing": `use IO::Socket::IP; $| = 1; my @s;
    push @s, IO::Socket::IP->new(PeerHost => "10.200.0.1", PeerPort => 3128) for 1..200; ${HOLD}`,
  "40,000 open descriptors in 10 processes": `$| = 1; my $parent = $$;
    for (1..10) { next if fork; my @f; while (open my $h, "<", "/dev/null") { push @f, $h } sleep 60; exit } sleep 1; ${HOLD} kill 9, -$parent;`,
  "500 processes and a connect flood": `use IO::Socket::IP; $| = 1; my $parent = $$;
    for (1..500) { next if fork; sleep 60; exit }
    if (!fork) { while (1) { my $s = IO::Socket::IP->new(PeerHost => "10.200.0.1", PeerPort => 3128); } } ${HOLD} kill 9, -$parent;`,
};

export async function benchStall(shell: Installation, sandbox: string): Promise<void> {
  if (!existsSync(PERL)) {
    report("answers while an agent stalls", `${PERL} is not on this machine`);
    return;
  }
  for (const directory of shell.sandboxDirectories()) {
    writeFileSync(join(directory, "workspace/victim.pl"), VICTIM);
    for (const [index, script] of Object.values(ATTACKS).entries()) writeFileSync(join(directory, `workspace/attack-${index}.pl`), script);
  }
  for (const [index, name] of Object.keys(ATTACKS).entries()) {
    const attack = await shell.net.spawnOnHost([BINARY, "sandbox", "exec", "-n", sandbox, "--", PERL, `/sandbox/attack-${index}.pl`], {
      env: shell.env,
    });
    await attack.waitForOutput(/ready/);
    const { exitCode, stdout, stderr } = await shell.exec(sandbox, PERL, "/sandbox/victim.pl");
    await attack.closeInput();
    await attack.exited;
    const what = `answer to a denied request beside: ${name}`;
    report(
      what,
      exitCode === 0 ? milliseconds(summarise(stdout.trim().split("\n").map(Number))) : `failed: ${stderr.trim().split("\n")[0]}`,
    );
  }
}
