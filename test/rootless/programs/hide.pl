# Before it connects, a program makes itself unreadable to others of its user, as threat 11 has it; and what it finds of them.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;

my $PR_SET_DUMPABLE = 4;
report("before", status_of(ask("own.example.com", 80)));
report("undumpable", call("prctl", $PR_SET_DUMPABLE, 0, 0, 0, 0) ? "ok" : failure());
report("after", status_of(ask("own.example.com", 80)));
report("no rule", status_of(ask("other.example.com", 80)));
attempt("signal to a process of the same user outside", sub { kill 0, $ENV{OUTSIDE_PID} });
attempt("signal to pid 1", sub { kill 9, 1 });
attempt("signal to everybody", sub { local $SIG{TERM} = "IGNORE"; kill "TERM", -1 });
report("alive", "yes");
